"""One interface to the image-text dual encoders of transformers and to TIGER-FG."""

import inspect

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .attention import unmask_empty_rows


def check_dual_encoder(model: PreTrainedModel, source: str | None = None) -> None:
    """Check that a model encodes texts and images of any size.

    Args:
        model: The model to check.
        source: Hub id or folder it was loaded from, for the error message.

    Raises:
        ValueError: It is not an image-text dual encoder, or does not take images of any size as pixels.
    """
    kind = model.config.model_type
    subject = "The dual encoder is" if source is None else f"'{source}' holds"
    if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
        raise ValueError(
            f"{subject} a '{kind}', which is not an image-text dual encoder (CLIP, Chinese-CLIP, SigLIP, "
            "vision-text-dual-encoder, or a joint TIGER-FG)."
        )
    takes_any_size = "interpolate_pos_encoding" in inspect.signature(model.get_image_features).parameters
    # A vision-text-dual-encoder passes the argument on to its vision encoder.
    if not takes_any_size and kind != "vision-text-dual-encoder":
        # This is the NaFlex variant of SigLIP 2; the fixed-resolution variant has the type 'siglip'.
        raise ValueError(f"{subject} a '{kind}', which does not take pictures of any size as pixels.")


def encode_images(dual_encoder: PreTrainedModel, pixel_values: torch.Tensor) -> BaseModelOutputWithPooling:
    """Encode images `[B, 3, H, W]`.

    Returns:
        Image tokens `[B, N, d_v]` as `last_hidden_state` and global features `[B, D]` as `pooler_output`.
    """
    return dual_encoder.get_image_features(pixel_values=pixel_values, interpolate_pos_encoding=True, return_dict=True)


def encode_titles(
    dual_encoder: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor
) -> BaseModelOutputWithPooling:
    """Encode titles `[B, L]`; a row that is all padding is encoded from its first token.

    Returns:
        Title tokens `[B, L, d_t]` as `last_hidden_state` and global features `[B, D]` as `pooler_output`.
    """
    mask = None  # SigLIP was trained to read its padding
    if not pads_titles(dual_encoder.config):
        mask = unmask_empty_rows(attention_mask.bool()).to(attention_mask.dtype)
    return dual_encoder.get_text_features(input_ids=input_ids, attention_mask=mask, return_dict=True)


def pads_titles(config: PreTrainedConfig) -> bool:
    """Return whether titles need padding to a fixed length: SigLIP reads a text's embedding from the last position."""
    return config.model_type == "siglip"
