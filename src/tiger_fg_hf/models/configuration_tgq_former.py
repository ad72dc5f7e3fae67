"""Configuration of TGQ-Former: frozen dual encoder, connector, language model."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

CONNECTORS = ("tgq_former", "q_former", "notellm2", "perceiver_resampler", "mlp")

# The paper's scale: Chinese-CLIP ViT-B/16 and Qwen3-Embedding-0.6B.
_DUAL_ENCODER_DEFAULT = SubConfigSpec(
    config_class=AutoConfig,
    model_type="chinese_clip",
    init_kwargs={"vision_config": {"patch_size": 16}, "text_config": {"vocab_size": 21128}},
)
_TEXT_DEFAULT = SubConfigSpec(
    config_class=AutoConfig,
    model_type="qwen3",
    init_kwargs={
        "vocab_size": 151669,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
    },
)


@strict
class TGQFormerConfig(PreTrainedConfig):
    r"""
    Configuration of [`TGQFormerModel`] (TGQ-Former, arXiv 2605.17366). Its default is the paper's scale.

    Args:
        dual_encoder_config (`PreTrainedConfig` or `dict`, *optional*):
            Any transformers image-text dual encoder with `get_image_features` and `get_text_features`: CLIP,
            Chinese-CLIP, SigLIP, a `vision-text-dual-encoder` of two encoders with pooled outputs; or a
            [`TigerFGConfig`], whose query tower then sees the pictures and whose item tower reads the titles. Defaults
            to Chinese-CLIP ViT-B/16. It stays frozen.
        text_config (`PreTrainedConfig` or `dict`, *optional*):
            Any transformers language model that takes `inputs_embeds` and `position_ids`. Defaults to
            Qwen3-Embedding-0.6B.
        connector (`str`, defaults to `"tgq_former"`):
            What brings image tokens into the language model: `"tgq_former"`, or for comparison `"q_former"` (all
            queries learned), `"notellm2"` (the same, and a gate that fuses its output with the language model's),
            `"perceiver_resampler"` or `"mlp"` (every image token).
        num_metadata_queries (`int`, defaults to 8):
            Queries `Q_txt` compressed from the title's tokens. 0 leaves the exploratory stream alone.
        num_exploratory_queries (`int`, defaults to 8):
            Learned queries `Q_rnd`. The baselines learn as many queries as both together.
        metadata_conv_kernel (`int`, defaults to 3):
            Width in tokens of the convolution over the title's tokens; odd.
        connector_hidden_size (`int`, defaults to 768):
            Width of the connector.
        connector_num_layers (`int`, defaults to 6):
            Its layers.
        connector_num_attention_heads (`int`, defaults to 12):
            Heads of its attention.
        connector_intermediate_size (`int`, defaults to 3072):
            Width of its feed-forward layers; [`match_connector_budget`] finds that which gives a baseline as many
            parameters.
        cross_attention_frequency (`int`, defaults to 2):
            Every which layer reads the image, the first one included.
        connector_dropout (`float`, defaults to 0.0):
            Dropout of attention weights and of residual branches, in [0, 1).
        gated (`bool`, defaults to `True`):
            Whether each stream of `"tgq_former"` passes its gate.
        gate_hidden_size (`int`, *optional*):
            Width of the gates' hidden layer. Defaults to `connector_hidden_size`.
        hidden_act (`str`, defaults to `"gelu"`):
            Activation of connector, gates and projector.
        layer_norm_eps (`float`, defaults to 1e-6):
            Epsilon of the layer norms.
        initializer_range (`float`, defaults to 0.02):
            Standard deviation of new linear layers and queries; those of cross-attention keep the size of what they
            are given instead.
        pooling (`str`, *optional*):
            Item embedding: the language model's `"last"` token, or the `"mean"` of all. Defaults to `"mean"` for an
            encoder, such as BERT, and to `"last"` for a decoder.
        logit_scale_init (`float`, defaults to 3.0):
            Start t of the learnable inverse temperature `exp(t)`.
        logit_scale_max (`float`, defaults to 100.0):
            Its upper bound.

    Raises:
        ValueError: a size is not positive, the heads do not divide the width, or a name is unknown.

    Example:

    ```python
    >>> from transformers import CLIPConfig, Qwen3Config
    >>> from tiger_fg_hf import TGQFormerConfig, TGQFormerModel

    >>> small = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    >>> config = TGQFormerConfig(
    ...     dual_encoder_config=CLIPConfig(
    ...         text_config=dict(vocab_size=100, **small),
    ...         vision_config=dict(image_size=32, patch_size=8, **small),
    ...         projection_dim=16,
    ...     ),
    ...     text_config=Qwen3Config(vocab_size=100, head_dim=8, num_key_value_heads=2, **small),
    ...     connector_hidden_size=32,
    ...     connector_num_layers=2,
    ...     connector_num_attention_heads=4,
    ...     connector_intermediate_size=64,
    ... )
    >>> model = TGQFormerModel(config)

    ```
    """

    model_type = "tgq_former"
    sub_configs_defaults = {"dual_encoder_config": _DUAL_ENCODER_DEFAULT, "text_config": _TEXT_DEFAULT}

    dual_encoder_config: PreTrainedConfig | dict | None = None
    text_config: PreTrainedConfig | dict | None = None
    connector: str = "tgq_former"
    num_metadata_queries: int = 8
    num_exploratory_queries: int = 8
    metadata_conv_kernel: int = 3
    connector_hidden_size: int = 768
    connector_num_layers: int = 6
    connector_num_attention_heads: int = 12
    connector_intermediate_size: int = 3072
    cross_attention_frequency: int = 2
    connector_dropout: float = 0.0
    gated: bool = True
    gate_hidden_size: int | None = None
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.02
    pooling: str | None = None
    logit_scale_init: float = 3.0
    logit_scale_max: float = 100.0

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.gate_hidden_size is None:
            self.gate_hidden_size = self.connector_hidden_size
        if self.pooling is None:
            # Not at the top: that module imports configurations itself.
            from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

            is_encoder = self.text_config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
            self.pooling = "mean" if is_encoder else "last"
        for name in (
            "num_exploratory_queries",
            "metadata_conv_kernel",
            "connector_hidden_size",
            "connector_num_layers",
            "connector_num_attention_heads",
            "connector_intermediate_size",
            "cross_attention_frequency",
            "gate_hidden_size",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.num_metadata_queries < 0:
            raise ValueError(f"num_metadata_queries must not be negative, got {self.num_metadata_queries}.")
        if self.metadata_conv_kernel % 2 == 0:
            raise ValueError(f"metadata_conv_kernel must be odd, got {self.metadata_conv_kernel}.")
        if self.connector_hidden_size % self.connector_num_attention_heads:
            raise ValueError(
                f"connector_num_attention_heads={self.connector_num_attention_heads} does not divide "
                f"connector_hidden_size={self.connector_hidden_size}."
            )
        if not 0.0 <= self.connector_dropout < 1.0:
            raise ValueError(f"connector_dropout must lie in [0, 1), got {self.connector_dropout}.")
        for name, known in (("connector", CONNECTORS), ("pooling", ("last", "mean"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}.")

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs):
        config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        if not cls.__module__.startswith("transformers_modules"):
            # It names code in the folder that was read, which this installed class does not use; saved elsewhere, it
            # would name code that is not there.
            config_dict.pop("auto_map", None)
        found = config_dict.get("model_type", cls.model_type)
        if found != cls.model_type:
            raise ValueError(
                f"'{pretrained_model_name_or_path}' holds a '{found}' checkpoint; a '{cls.model_type}' one cannot be "
                "read from it."
            )
        return config_dict, kwargs

    @property
    def token_width(self) -> int:
        """
        Width of the language model's word embeddings, and so of visual tokens.

        Raises:
            ValueError: the configuration is not that of a language model.
        """
        # Where words are narrower than what the model makes of them: ALBERT and ELECTRA, OPT, RemBERT.
        for name in ("embedding_size", "word_embed_proj_dim", "input_embedding_size"):
            if getattr(self.text_config, name, None):
                return getattr(self.text_config, name)
        if getattr(self.text_config, "hidden_size", None) is None:
            raise ValueError(f"A '{self.text_config.model_type}' is no language model: it has no hidden_size.")
        return self.text_config.hidden_size

    @property
    def image_width(self) -> int:
        """Width of the dual encoder's image tokens."""
        return self.dual_encoder_config.vision_config.hidden_size

    @property
    def title_width(self) -> int:
        """Width of its text tokens."""
        return self.dual_encoder_config.text_config.hidden_size

    @property
    def shared_width(self) -> int:
        """Width of the space in which it compares images with texts."""
        # SigLIP has no projection of images: its space is as wide as they are.
        return getattr(self.dual_encoder_config, "projection_dim", None) or self.image_width


__all__ = ["TGQFormerConfig"]
