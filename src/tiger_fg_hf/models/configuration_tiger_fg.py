"""Configurations of TIGER-FG: the query tower, the item tower, and the joint model that holds both."""

from dataclasses import fields

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

# DINOv3 ViT-B/16: the query backbone whose 85,660,416 parameters are the count the paper reports.
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


@strict
class TigerFGQueryConfig(PreTrainedConfig):
    r"""
    Configuration of [`TigerFGQueryModel`]: a vision encoder and a projection.

    Reads the folder of a joint [`TigerFGModel`] as well as that of a saved query tower.

    Args:
        vision_config (`PreTrainedConfig` or `dict`, *optional*):
            Any transformers vision encoder that returns patch tokens on a regular grid: ViT, DeiT, DINOv2, DINOv3 ViT,
            CLIP vision, SigLIP, SigLIP 2. Defaults to DINOv3 ViT-B/16.
        projection_dim (`int`, defaults to 256):
            Width D of the shared embedding space.
        share_vision_tower (`bool`, defaults to `True`):
            Whether queries and items share the vision encoder and its projection. With `False` the query tower keeps
            a vision encoder and a projection of its own.
        initializer_range (`float`, defaults to 0.02):
            Standard deviation of the new linear layers.
    """

    model_type = "tiger_fg_query"
    sub_configs_defaults = {"vision_config": _VISION_DEFAULT}

    vision_config: PreTrainedConfig | dict | None = None
    projection_dim: int = 256
    share_vision_tower: bool = True
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        _require_positive(self, "projection_dim")
        if getattr(self.vision_config, "patch_size", None) is None:
            raise ValueError(
                f"vision_config of type '{self.vision_config.model_type}' has no patch_size: TIGER-FG needs a vision "
                "encoder with patch tokens on one grid (ViT, DeiT, DINOv2, DINOv3 ViT, CLIP, SigLIP, SigLIP 2)."
            )

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs):
        config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        if not cls.__module__.startswith("transformers_modules"):
            # It names code in the folder that was read, which this installed class does not use; saved elsewhere, it
            # would name code that is not there.
            config_dict.pop("auto_map", None)
        return _as_model_type(config_dict, cls, pretrained_model_name_or_path), kwargs


@strict
class TigerFGItemConfig(TigerFGQueryConfig):
    r"""
    Configuration of [`TigerFGItemModel`]: vision encoder, text encoder and text-guided grounding.

    Reads the folder of a joint [`TigerFGModel`] as well as that of a saved item tower. Arguments beyond those of
    [`TigerFGQueryConfig`]:

    Args:
        text_config (`PreTrainedConfig` or `dict`, *optional*):
            Any transformers text encoder with a `last_hidden_state`: BERT family, MiniLM, XLM-R, ModernBERT, CLIP or
            SigLIP text. Defaults to BERT base.
        num_slots (`int`, defaults to 8):
            Number M of learnable queries that read the text, then the patches.
        num_text_layers (`int`, defaults to 1):
            Cross-attention blocks from the slots to the text tokens.
        num_visual_layers (`int`, defaults to 1):
            Cross-attention blocks from the slots to the patch tokens, after the text blocks.
        grounding_attention_heads (`int`, *optional*):
            Heads of these blocks. Defaults to the heads of the vision encoder.
        grounding_intermediate_size (`int`, *optional*):
            Width of their feed-forward layers. Defaults to 4 times the width of the vision encoder.
        hidden_act (`str`, defaults to `"gelu"`):
            Activation of the grounding module.
        layer_norm_eps (`float`, defaults to 1e-6):
            Epsilon of its layer norms.
        attention_dropout (`float`, defaults to 0.0):
            Dropout of its attention weights, in [0, 1).
        appearance_gate_init (`float`, *optional*, defaults to 0.0):
            Start of the gate by which the appearance feature departs from the class token towards the guided pooling
            of the patches: per channel `sigmoid(W [f_m; v_cls] + b)` with `W` zero and `b` this value at first.
            `None` removes the gate: the appearance feature is the guided pooling alone, the literal reading of the
            paper.
        text_match_scale_init (`float`, *optional*, defaults to 5.0):
            Start of the learnable scale at which the cosine of text and patch, as `L_v2t` aligns them, is added to the
            scores of the guided pooling. `None` leaves it out, the literal reading of the paper.
        merge_init_zero (`bool`, defaults to `True`):
            Whether the branch that adds the semantic focus to the embedding starts at zero, so that an untrained item
            embedding is that of its image.
    """

    model_type = "tiger_fg_item"
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
    text_match_scale_init: float | None = 5.0
    merge_init_zero: bool = True

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.grounding_attention_heads is None:
            self.grounding_attention_heads = self.vision_config.num_attention_heads
        if self.grounding_intermediate_size is None:
            self.grounding_intermediate_size = 4 * self.vision_config.hidden_size
        for name in ("num_slots", "num_text_layers", "num_visual_layers", "grounding_attention_heads"):
            _require_positive(self, name)
        if self.vision_config.hidden_size % self.grounding_attention_heads:
            raise ValueError(
                f"grounding_attention_heads={self.grounding_attention_heads} does not divide the vision encoder's "
                f"hidden_size={self.vision_config.hidden_size}."
            )
        if not 0.0 <= self.attention_dropout < 1.0:
            raise ValueError(f"attention_dropout must lie in [0, 1), got {self.attention_dropout}.")
        if self.text_match_scale_init is not None and not self.text_match_scale_init > 0.0:
            raise ValueError(f"text_match_scale_init must be positive or None, got {self.text_match_scale_init}.")


@strict
class TigerFGConfig(TigerFGItemConfig):
    r"""
    Configuration of [`TigerFGModel`], the query tower and the item tower together (TIGER-FG, arXiv 2605.18434).

    Its default is the paper's scale: DINOv3 ViT-B/16, BERT base, 256-dimensional embeddings. Arguments beyond those of
    [`TigerFGItemConfig`]:

    Args:
        temperature_init (`float`, defaults to 0.07):
            Start of the learnable temperature; `logit_scale` starts at `log(1 / temperature_init)`.
        logit_scale_max (`float`, defaults to 100.0):
            Upper bound of `exp(logit_scale)`.

    Example:

    ```python
    >>> from transformers import BertConfig, ViTConfig
    >>> from tiger_fg_hf import TigerFGConfig, TigerFGModel

    >>> small = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    >>> config = TigerFGConfig(
    ...     vision_config=ViTConfig(image_size=32, patch_size=8, **small),
    ...     text_config=BertConfig(vocab_size=100, **small),
    ...     projection_dim=16,
    ... )
    >>> model = TigerFGModel(config)

    ```
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
                f"logit_scale_max={self.logit_scale_max} lies below the start 1 / temperature_init="
                f"{1.0 / self.temperature_init:.4g}."
            )


def _require_positive(config: PreTrainedConfig, name: str) -> None:
    if getattr(config, name) < 1:
        raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}.")


def _as_model_type(config_dict: dict, config_class: type, source) -> dict:
    """A joint configuration read as that of one tower; any other model's is refused: the weights are not there."""
    wanted = config_class.model_type
    found = config_dict.get("model_type", wanted)
    if found == wanted:
        return config_dict
    if found != "tiger_fg":
        raise ValueError(f"'{source}' holds a '{found}' checkpoint; a '{wanted}' one cannot be read from it.")
    kept = {field.name for field in fields(config_class)} - {"architectures"}
    return {key: value for key, value in config_dict.items() if key in kept} | {"model_type": wanted}


__all__ = ["TigerFGConfig", "TigerFGItemConfig", "TigerFGQueryConfig"]
