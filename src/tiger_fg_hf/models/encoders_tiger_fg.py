"""Any transformers vision or text encoder, built, loaded and read in one way."""

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, Siglip2TextModel, SiglipTextModel
from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING
from transformers.utils import ModelOutput

# Encoders that transformers' Auto mappings leave out.
_TEXT_MODELS = {"siglip_text_model": SiglipTextModel, "siglip2_text_model": Siglip2TextModel}


@dataclass
class TigerFGVisionTokens(ModelOutput):
    """
    What a vision encoder says of a batch of images, in one form for every backbone.

    Args:
        cls (`torch.FloatTensor` of shape `(batch, d)`): class token `v_cls`; the backbone's pooled output or the mean
            of the patches where it has none.
        patches (`torch.FloatTensor` of shape `(batch, h * w, d)`): patch tokens `P`, row by row, registers dropped.
        grid (`tuple[int, int]`): rows h and columns w of the patch grid.
        model_output (`ModelOutput`): the backbone's own output, with hidden states and attentions where asked for.
    """

    cls: torch.FloatTensor | None = None
    patches: torch.FloatTensor | None = None
    grid: tuple[int, int] | None = None
    model_output: ModelOutput | None = None


def encode_image(vision_model: PreTrainedModel, pixel_values: torch.Tensor, **kwargs) -> TigerFGVisionTokens:
    """
    Class token and patch tokens of `pixel_values` `[B, 3, H, W]` from any supported vision encoder.

    Prefix tokens (class, distillation, registers) come first in every supported backbone, so the patches are the last
    `h * w` tokens; H and W that the patch size does not divide lose their last rows and columns.

    Raises:
        ValueError: the image is smaller than one patch, or the encoder has no token for each patch.
    """
    config = vision_model.config
    patch = config.patch_size
    patch_height, patch_width = (patch, patch) if isinstance(patch, int) else patch
    height, width = pixel_values.shape[-2] // patch_height, pixel_values.shape[-1] // patch_width
    if height == 0 or width == 0:
        raise ValueError(f"Images of {tuple(pixel_values.shape[-2:])} pixels are smaller than one patch ({patch}).")
    inputs: dict[str, Any] = {"pixel_values": pixel_values}
    if config.model_type == "siglip2_vision_model":
        inputs = _navit_inputs(pixel_values, patch, (height, width))
    elif _takes_interpolation(type(vision_model)):
        inputs["interpolate_pos_encoding"] = True
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
        # CLIP normalises only the class token; the patches belong in the same space.
        patches = vision_model.post_layernorm(patches)
    cls = output.get("pooler_output")
    if cls is None:
        cls = tokens[:, 0] if num_prefix else patches.mean(dim=1)
    return TigerFGVisionTokens(cls=cls, patches=patches, grid=(height, width), model_output=output)


def _navit_inputs(pixel_values: torch.Tensor, patch: int, grid: tuple[int, int]) -> dict[str, torch.Tensor]:
    """Flattened patches `[B, h * w, patch * patch * 3]` as the NaFlex variant of SigLIP 2 takes them."""
    height, width = grid
    pixels = pixel_values[..., : height * patch, : width * patch]
    pixels = pixels.unflatten(-2, (height, patch)).unflatten(-1, (width, patch))
    pixels = pixels.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    shapes = torch.tensor([grid], device=pixels.device).expand(len(pixels), 2)
    mask = torch.ones(pixels.shape[:2], dtype=torch.long, device=pixels.device)
    return {"pixel_values": pixels, "spatial_shapes": shapes, "pixel_attention_mask": mask}


def _takes_interpolation(model_class: type) -> bool:
    return "interpolate_pos_encoding" in inspect.signature(model_class.forward).parameters


def _backbone_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The encoder class of a configuration: the encoder half of encoder-decoders, and SigLIP's text half too."""
    if config.model_type in _TEXT_MODELS:
        return _TEXT_MODELS[config.model_type]
    for mapping in (MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING):
        found = mapping.get(type(config), None)
        if found is not None:
            return found[0] if isinstance(found, (list, tuple)) else found
    raise ValueError(f"transformers has no encoder for a configuration of type '{config.model_type}'.")


def _backbone_kwargs(model_class: type[PreTrainedModel]) -> dict[str, Any]:
    """Leaves out the pooling head of backbones that let it be left out: its weights would never be used."""
    takes = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    return {"add_pooling_layer": False} if takes else {}


def backbone_from_config(config: PreTrainedConfig) -> PreTrainedModel:
    model_class = _backbone_class(config)
    return model_class._from_config(config, **_backbone_kwargs(model_class))


def backbone_from_pretrained(source: str, sub_config: str, dtype: torch.dtype, kwargs: dict) -> PreTrainedModel:
    """
    An encoder from its own folder, from that of a CLIP-like model, or from that of a TIGER-FG.

    Raises:
        ValueError: most of its weights are not there.
    """
    whole = AutoConfig.from_pretrained(source, **kwargs)
    config = copy.deepcopy(getattr(whole, sub_config, whole))
    model_class = _backbone_class(config)
    kwargs = {"use_safetensors": True, **_backbone_kwargs(model_class), **kwargs}
    if whole.model_type.startswith("tiger_fg"):  # transformers does not know its names as a prefix
        kwargs = {"key_mapping": {f"^{sub_config.removesuffix('config')}model\\.": ""}, **kwargs}
    model, told = model_class.from_pretrained(source, config=config, dtype=dtype, output_loading_info=True, **kwargs)
    if 2 * len(told["missing_keys"]) > len(model.state_dict()):
        raise ValueError(
            f"'{source}' lacks most weights of a {model_class.__name__}, such as {min(told['missing_keys'])}."
        )
    model.config._name_or_path = ""  # a local folder's path is nobody's business once its weights are in a new model
    return model
