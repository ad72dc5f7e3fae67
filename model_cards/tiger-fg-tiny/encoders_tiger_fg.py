"""One way to build, load and call the vision and text encoders of transformers."""

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, Siglip2TextModel, SiglipTextModel
from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING
from transformers.utils import ModelOutput

from .configuration_tiger_fg import patch_size_of
from .pretrained import pooling_kwargs

# Encoders that are missing from the Auto mappings of transformers.
_TEXT_MODELS = {"siglip_text_model": SiglipTextModel, "siglip2_text_model": Siglip2TextModel}


@dataclass
class TigerFGVisionTokens(ModelOutput):
    """Tokens of a batch of images, in the same form for every vision encoder.

    Args:
        cls (`torch.FloatTensor` of shape `(batch, d)`): Class tokens `v_cls`: the pooled output of the encoder if it
            has one, else its class token, else the mean of the patches.
        patches (`torch.FloatTensor` of shape `(batch, h * w, d)`): Patch tokens `P`, row by row, without registers.
        grid (`tuple[int, int]`): Rows h and columns w of the patch grid.
        model_output (`ModelOutput`): Output of the encoder, with hidden states and attentions if requested.
    """

    cls: torch.FloatTensor | None = None
    patches: torch.FloatTensor | None = None
    grid: tuple[int, int] | None = None
    model_output: ModelOutput | None = None


def encode_image(
    vision_model: PreTrainedModel, pixel_values: torch.Tensor, interpolate_pos_encoding: bool = True, **kwargs
) -> TigerFGVisionTokens:
    """Encode images with any supported vision encoder.

    Class, distillation and register tokens come first in every supported encoder, so the patches are the last `h * w`
    tokens. If the patch size does not divide H or W, the remaining rows or columns of pixels are ignored.

    Args:
        vision_model: The encoder.
        pixel_values: `[B, 3, H, W]`.
        interpolate_pos_encoding: Whether to interpolate position embeddings where the encoder offers it.
        kwargs: Passed to the encoder.

    Raises:
        ValueError: The image is smaller than one patch, or the encoder does not keep one token per patch.
    """
    config = vision_model.config
    patch_height, patch_width = patch_size_of(config)
    height, width = pixel_values.shape[-2] // patch_height, pixel_values.shape[-1] // patch_width
    if height == 0 or width == 0:
        raise ValueError(
            f"Images of {tuple(pixel_values.shape[-2:])} pixels are smaller than one patch "
            f"({patch_height} x {patch_width})."
        )
    inputs: dict[str, Any] = {"pixel_values": pixel_values}
    if config.model_type == "siglip2_vision_model":
        inputs = _naflex_inputs(pixel_values, patch_height, (height, width))
    elif "interpolate_pos_encoding" in inspect.signature(type(vision_model).forward).parameters:
        inputs["interpolate_pos_encoding"] = interpolate_pos_encoding
    output = vision_model(**inputs, return_dict=True, **kwargs)
    tokens = output.last_hidden_state
    num_prefix = tokens.shape[1] - height * width
    if tokens.ndim != 3 or num_prefix < 0:
        raise ValueError(
            f"The '{config.model_type}' encoder returned tokens of shape {tuple(tokens.shape)} for a grid of "
            f"{height} x {width} patches; an encoder with one token per patch is needed."
        )
    patches = tokens[:, num_prefix:]
    if config.model_type == "clip_vision_model":
        # CLIP normalizes only the class token; the patches must lie in the same space.
        patches = vision_model.post_layernorm(patches)
    cls = output.get("pooler_output")
    if cls is None:
        cls = tokens[:, 0] if num_prefix else patches.mean(dim=1)
    return TigerFGVisionTokens(cls=cls, patches=patches, grid=(height, width), model_output=output)


def _naflex_inputs(pixel_values: torch.Tensor, patch: int, grid: tuple[int, int]) -> dict[str, torch.Tensor]:
    """Flatten images to patches `[B, h * w, patch * patch * 3]` for the NaFlex variant of SigLIP 2."""
    height, width = grid
    pixels = pixel_values[..., : height * patch, : width * patch]
    pixels = pixels.unflatten(-2, (height, patch)).unflatten(-1, (width, patch))
    pixels = pixels.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    shapes = torch.tensor([grid], device=pixels.device).expand(pixels.shape[0], 2)
    mask = torch.ones(pixels.shape[:2], dtype=torch.long, device=pixels.device)
    return {"pixel_values": pixels, "spatial_shapes": shapes, "pixel_attention_mask": mask}


def _backbone_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """Return the encoder class for a configuration; for an encoder-decoder, its encoder half."""
    if config.model_type in _TEXT_MODELS:
        return _TEXT_MODELS[config.model_type]
    for mapping in (MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING):
        found = mapping.get(type(config), None)
        if found is not None:
            return found[0] if isinstance(found, (list, tuple)) else found
    raise ValueError(f"transformers has no encoder for a configuration of type '{config.model_type}'.")


def backbone_from_config(config: PreTrainedConfig) -> PreTrainedModel:
    """Build an encoder with random weights, without its pooling head if possible.

    Raises:
        ValueError: transformers has no encoder for this configuration.
    """
    model_class = _backbone_class(config)
    return model_class._from_config(config, **pooling_kwargs(model_class))


def backbone_from_pretrained(source: str, sub_config: str, dtype: torch.dtype, kwargs: dict) -> PreTrainedModel:
    """Load an encoder from its own folder, or from that of a CLIP-like model or a TIGER-FG.

    Args:
        source: Hub id or folder.
        sub_config: Name of the encoder's configuration in a model of several parts: `"vision_config"` or
            `"text_config"`.
        dtype: Dtype of the weights.
        kwargs: Passed to `from_pretrained` (`revision`, ...).

    Raises:
        ValueError: `source` lacks most of the encoder's weights.
    """
    source_config = AutoConfig.from_pretrained(source, **kwargs)
    config = copy.deepcopy(getattr(source_config, sub_config, source_config))
    model_class = _backbone_class(config)
    kwargs = {"use_safetensors": True, **pooling_kwargs(model_class), **kwargs}
    if source_config.model_type.startswith("tiger_fg"):  # transformers does not know the prefix of our names
        kwargs = {"key_mapping": {f"^{sub_config.removesuffix('config')}model\\.": ""}, **kwargs}
    model, info = model_class.from_pretrained(source, config=config, dtype=dtype, output_loading_info=True, **kwargs)
    if 2 * len(info["missing_keys"]) > len(model.state_dict()):
        raise ValueError(
            f"'{source}' lacks most weights of a {model_class.__name__}, such as {min(info['missing_keys'])}."
        )
    model.config._name_or_path = ""  # do not publish local paths
    return model
