"""Configurations of TIGER-FG: the query tower, the item tower, and the joint model with both."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .pretrained_config import CheckedConfig

# DINOv3 ViT-B/16 has 85,660,416 parameters, the number that the paper reports for its query encoder.
_VISION_DEFAULT = SubConfigSpec(
    config_class=AutoConfig,
    model_type="dinov3_vit",
    init_kwargs={
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "num_register_tokens": 4,
    },
)
_TEXT_DEFAULT = SubConfigSpec(config_class=AutoConfig, model_type="bert")


def patch_size_of(vision_config: PreTrainedConfig) -> tuple[int, int]:
    """Return height and width in pixels of the patches of a vision encoder.

    Raises:
        ValueError: The encoder has no single grid of patches, such as ResNet, ConvNeXt or Swin.

    Example:
        >>> from transformers import ViTConfig
        >>> patch_size_of(ViTConfig(patch_size=16))
        (16, 16)
    """
    patch = getattr(vision_config, "patch_size", None)
    # Hierarchical encoders also have a patch size, but merge their patches from stage to stage.
    if patch is None or any(hasattr(vision_config, name) for name in ("depths", "hidden_sizes")):
        raise ValueError(
            f"A vision encoder of type '{vision_config.model_type}' does not keep one token per patch: TIGER-FG needs "
            "one that does (ViT, DeiT, DINOv2, DINOv3 ViT, CLIP, SigLIP, SigLIP 2)."
        )
    height, width = (patch, patch) if isinstance(patch, int) else patch
    return height, width


@strict
class TigerFGQueryConfig(CheckedConfig):
    r"""Configuration of [`TigerFGQueryModel`]: a vision encoder and a projection.

    Loads from the folder of a query tower or of a joint [`TigerFGModel`].

    Args:
        vision_config (`PreTrainedConfig` or `dict`, *optional*):
            Configuration of any transformers vision encoder that keeps one token per patch: ViT, DeiT, DINOv2,
            DINOv3 ViT, CLIP vision, SigLIP, SigLIP 2. Defaults to DINOv3 ViT-B/16.
        projection_dim (`int`, defaults to 256):
            Width D of the shared embedding space.
        share_vision_tower (`bool`, defaults to `True`):
            Whether queries and items share the vision encoder and its projection. The paper does not say.
        initializer_range (`float`, defaults to 0.02):
            Standard deviation of new linear layers and slots.

    Raises:
        ValueError: A value is out of range, or the vision encoder does not keep one token per patch.
    """

    model_type = "tiger_fg_query"
    readable_model_types = ("tiger_fg",)
    sub_configs_defaults = {"vision_config": _VISION_DEFAULT}

    vision_config: PreTrainedConfig | dict | None = None
    projection_dim: int = 256
    share_vision_tower: bool = True
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.check_at_least(1, "projection_dim")
        patch_size_of(self.vision_config)


@strict
class TigerFGItemConfig(TigerFGQueryConfig):
    r"""Configuration of [`TigerFGItemModel`]: vision encoder, text encoder and text-guided grounding.

    Loads from the folder of an item tower or of a joint [`TigerFGModel`]. Five defaults depart from the paper;
    `appearance_gate_init=None, appearance_value_layer=False, text_match_scale_init=None, merge_init_zero=False,
    appearance_fallback=False` is the literal reading. Takes these arguments in addition to those of
    [`TigerFGQueryConfig`]:

    Args:
        text_config (`PreTrainedConfig` or `dict`, *optional*):
            Configuration of any transformers text encoder with a `last_hidden_state`: the BERT family, XLM-R,
            ModernBERT, CLIP or SigLIP text. Defaults to BERT base; the paper does not name its text encoder.
        num_slots (`int`, defaults to 8):
            Number M of learnable queries ("slots") that read the text and then the patches.
        num_text_layers (`int`, defaults to 1):
            Number of cross-attention blocks from the slots to the text tokens.
        num_visual_layers (`int`, defaults to 1):
            Number of cross-attention blocks from the slots to the patches; they follow the text blocks.
        grounding_attention_heads (`int`, *optional*):
            Number of attention heads of these blocks. Defaults to that of the vision encoder.
        grounding_intermediate_size (`int`, *optional*):
            Width of their feed-forward layers. Defaults to 4 times the width of the vision encoder.
        hidden_act (`str`, defaults to `"gelu"`):
            Activation of the grounding module.
        layer_norm_eps (`float`, defaults to 1e-6):
            Epsilon of its layer norms.
        attention_dropout (`float`, defaults to 0.0):
            Dropout of its attention weights, in [0, 1).
        appearance_gate_init (`float`, *optional*, defaults to 0.0):
            Initial bias of a gate that mixes class token and pooled patches into the appearance feature `f_a`: per
            channel `sigmoid(W [f_m; v_cls] + b)`, where `W` starts at zero and `b` at this value.
            *Paper, read literally:* no gate (`None`); `f_a` is made of the pooled patches alone.
        appearance_value_layer (`bool`, defaults to `True`):
            Whether a linear layer, initialized as the identity, maps the pooled patches into the space of class
            tokens. *Paper, read literally:* no such layer (`False`); `f_a` is the weighted mean of the patches.
        text_match_scale_init (`float`, *optional*, defaults to 5.0):
            Initial value of a learnable scale. The cosine of text and patch, in the space of `L_v2t`, times this scale
            is added to the scores of the guided pooling. *Paper, read literally:* no such term (`None`).
        merge_init_zero (`bool`, defaults to `True`):
            Whether the branch that adds the semantic focus `f_m` to the embedding starts at zero, so that an untrained
            item embedding is that of its image. *Paper, read literally:* an ordinary initialization (`False`).
        appearance_fallback (`bool`, defaults to `True`):
            Whether `f_m` takes the place of `f_a` in items without an image. *Paper, read literally:* every item has
            an image. With `False`, items without an image are embedded by the `f_m` branch alone, which gives the zero
            vector before training if `merge_init_zero`. Configurations saved before this field existed load as
            `False`.
        num_glances (`int`, defaults to 1):
            How often the item tower looks at an image. With 2, it finds the extent of the object from the grounding
            map, crops it from the same image, encodes the crop with the same vision encoder, fuses it with the same
            text, and joins both embeddings by a learned gate. *Paper, read literally:* 1. The query tower is the same.
        first_glance_size (`int`, *optional*):
            Side in pixels of the images of the first glance. An image at least twice as large is reduced by a whole
            factor for the first glance; the crop of the second is taken from the image as it comes. By default,
            images are never reduced.
        glance_size (`int`, defaults to 112):
            Side in pixels of the crop of the second glance.
        glance_margin (`float`, defaults to 0.0):
            Share by which the crop is wider and higher than the extent.
        glance_padding (`list[float]`, *optional*):
            Red, green and blue, normalized as the image processor does, around crops that are not square. Defaults to
            white, normalized with the statistics of ImageNet.
        extent (`"head"`, `"votes"` or `"quantile"`, defaults to `"head"`):
            How the extent is found: by a small convolutional head on patches and map; by boxes that the patches
            predict one by one and the map weighs; or from the quantiles of the map, without parameters. The first two
            are trained on boxes.
        extent_sharpness (`float`, defaults to 1.0):
            Power to which the grounding map is raised before it weighs the votes of the patches. Above 1, the
            map's peak counts more.

    Raises:
        ValueError: A value is out of range, or the heads do not divide the width of the vision encoder.
    """

    model_type = "tiger_fg_item"
    values_before = {"appearance_fallback": False}
    sub_configs_defaults = {"vision_config": _VISION_DEFAULT, "text_config": _TEXT_DEFAULT}

    text_config: PreTrainedConfig | dict | None = None
    num_slots: int = 8
    num_text_layers: int = 1
    num_visual_layers: int = 1
    grounding_attention_heads: int | None = None
    grounding_intermediate_size: int | None = None
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    appearance_gate_init: float | None = 0.0
    appearance_value_layer: bool = True
    text_match_scale_init: float | None = 5.0
    merge_init_zero: bool = True
    appearance_fallback: bool = True
    num_glances: int = 1
    first_glance_size: int | None = None
    glance_size: int = 112
    glance_margin: float = 0.0
    glance_padding: list[float] | None = None
    extent: Literal["head", "votes", "quantile"] = "head"
    extent_sharpness: float = 1.0

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.grounding_attention_heads is None:
            self.grounding_attention_heads = self.vision_config.num_attention_heads
        if self.grounding_intermediate_size is None:
            self.grounding_intermediate_size = 4 * self.vision_config.hidden_size
        self.check_at_least(1, "num_slots", "num_text_layers", "num_visual_layers", "grounding_attention_heads")
        if self.vision_config.hidden_size % self.grounding_attention_heads:
            raise ValueError(
                f"grounding_attention_heads={self.grounding_attention_heads} does not divide the vision encoder's "
                f"hidden_size={self.vision_config.hidden_size}."
            )
        self.check_share("attention_dropout")
        if self.text_match_scale_init is not None and not self.text_match_scale_init > 0.0:
            raise ValueError(f"text_match_scale_init must be positive or None, got {self.text_match_scale_init}.")
        self._check_glances()

    def _check_glances(self) -> None:
        if self.num_glances not in (1, 2):
            raise ValueError(f"num_glances must be 1 or 2, got {self.num_glances}.")
        if self.extent not in ("head", "votes", "quantile"):
            raise ValueError(f"extent must be 'head', 'votes' or 'quantile', got {self.extent!r}.")
        patch = max(patch_size_of(self.vision_config))
        for name in ("first_glance_size", "glance_size"):
            if (getattr(self, name) or patch) < patch:
                raise ValueError(f"{name} must be at least one patch of {patch} pixels, got {getattr(self, name)}.")
        if not self.glance_margin >= 0.0:
            raise ValueError(f"glance_margin must not be negative, got {self.glance_margin}.")
        if self.glance_padding is not None and len(self.glance_padding) != 3:
            raise ValueError(f"glance_padding must be three numbers or None, got {self.glance_padding}.")
        if not self.extent_sharpness > 0.0:
            raise ValueError(f"extent_sharpness must be positive, got {self.extent_sharpness}.")


@strict
class TigerFGConfig(TigerFGItemConfig):
    r"""Configuration of [`TigerFGModel`], query tower and item tower together (TIGER-FG, arXiv 2605.18434).

    The defaults match the paper's scale: DINOv3 ViT-B/16, BERT base, 256-dimensional embeddings. Takes these arguments
    in addition to those of [`TigerFGItemConfig`]:

    Args:
        temperature_init (`float`, defaults to 0.07):
            Initial value of the learnable temperature; `logit_scale` starts at `log(1 / temperature_init)`.
        logit_scale_max (`float`, defaults to 100.0):
            Upper bound of `exp(logit_scale)`.

    Raises:
        ValueError: A value is out of range.

    Example:
        >>> from transformers import BertConfig, ViTConfig
        >>> from tiger_fg_hf import TigerFGConfig, TigerFGModel
        >>> size = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
        >>> config = TigerFGConfig(
        ...     vision_config=ViTConfig(image_size=32, patch_size=8, **size),
        ...     text_config=BertConfig(vocab_size=100, **size),
        ...     projection_dim=16,
        ... )
        >>> model = TigerFGModel(config)
        >>> model.config.grounding_attention_heads
        4
    """

    model_type = "tiger_fg"
    sub_configs_defaults = {"vision_config": _VISION_DEFAULT, "text_config": _TEXT_DEFAULT}

    temperature_init: float = 0.07
    logit_scale_max: float = 100.0

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if not self.temperature_init > 0.0:
            raise ValueError(f"temperature_init must be positive, got {self.temperature_init}.")
        if not 1.0 / self.temperature_init <= self.logit_scale_max:
            raise ValueError(
                f"logit_scale_max={self.logit_scale_max} is below the initial value 1 / temperature_init="
                f"{1.0 / self.temperature_init:.4g}."
            )


__all__ = ["TigerFGConfig", "TigerFGItemConfig", "TigerFGQueryConfig"]
