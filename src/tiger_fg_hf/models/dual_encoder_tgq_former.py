"""Any transformers image-text dual encoder, or a TIGER-FG, read in one way."""

import inspect

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling


def check_dual_encoder(model: PreTrainedModel, source: str | None = None) -> None:
    """
    Checks that a model compares pictures with texts.

    Raises:
        ValueError: it does not, naming `source`, or it takes pictures in another form than as pixels.
    """
    kind = model.config.model_type
    which = "The dual encoder is" if source is None else f"'{source}' holds"
    if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
        raise ValueError(
            f"{which} a '{kind}', which is no image-text dual encoder (CLIP, Chinese-CLIP, SigLIP, "
            "vision-text-dual-encoder, or a TIGER-FG of both towers)."
        )
    # These two hand the argument on, or do without.
    takes_any_size = kind in ("vision-text-dual-encoder", "tiger_fg")
    if not takes_any_size and "interpolate_pos_encoding" not in inspect.signature(model.get_image_features).parameters:
        # SigLIP 2 of one resolution is of type siglip; siglip2 is NaFlex.
        raise ValueError(f"{which} a '{kind}', which does not take pictures of any size as pixels.")


def encode_images(dual_encoder: PreTrainedModel, pixel_values: torch.Tensor) -> BaseModelOutputWithPooling:
    """Image tokens `[B, N, d_v]` as `last_hidden_state` and global features `[B, D]` as `pooler_output`."""
    # A TIGER-FG takes pictures of any size of itself.
    kwargs = {} if dual_encoder.config.model_type == "tiger_fg" else {"interpolate_pos_encoding": True}
    return dual_encoder.get_image_features(pixel_values=pixel_values, return_dict=True, **kwargs)


def encode_titles(
    dual_encoder: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor
) -> BaseModelOutputWithPooling:
    """
    Title tokens `[B, L, d_t]` as `last_hidden_state` and global features `[B, D]` as `pooler_output`.

    A row that is all padding shows its first token: a softmax over nothing is not a number.
    """
    mask = attention_mask.bool()
    first = torch.arange(mask.shape[1], device=mask.device) == 0
    shown = (mask | (first & ~mask.any(dim=-1, keepdim=True))).to(attention_mask.dtype)
    if pads_titles(dual_encoder.config):
        shown = None  # padding is what it was trained to read, too
    return dual_encoder.get_text_features(input_ids=input_ids, attention_mask=shown, return_dict=True)


def pads_titles(config: PreTrainedConfig) -> bool:
    """Whether titles must be padded to one length, as SigLIP's, which reads a text off its last position."""
    return config.model_type == "siglip"
