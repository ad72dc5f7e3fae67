"""Configuration of TGQ-Former: frozen dual encoder, connector and language model."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .pretrained_config import CheckedConfig

CONNECTORS = ("tgq_former", "q_former", "notellm2", "perceiver_resampler", "mlp")

# The models of the paper: Chinese-CLIP ViT-B/16 and Qwen3-Embedding-0.6B.
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
class TGQFormerConfig(CheckedConfig):
    r"""Configuration of [`TGQFormerModel`] (TGQ-Former, arXiv 2605.17366). The defaults match the paper's scale.

    Main departures from the paper:

    - Metadata queries read only the title. *Paper, read literally:* they read title, brand and category; set the
      processor's `title_template`.
    - The Q-Former is pre-norm; see `connector_pre_norm`.
    - Before training, [`TGQFormerModel.calibrate_agreement`] standardizes `S_title` in the metadata gate. *Paper, read
      literally:* the gate reads the raw cosine; do not call that method.

    Args:
        dual_encoder_config (`PreTrainedConfig` or `dict`, *optional*):
            Configuration of any transformers image-text dual encoder with `get_image_features` and
            `get_text_features` (CLIP, Chinese-CLIP, SigLIP, a `vision-text-dual-encoder` of two encoders with pooled
            outputs), or a [`TigerFGConfig`], whose query tower then reads the images and whose item tower reads the
            titles. Defaults to Chinese-CLIP ViT-B/16. Frozen.
        text_config (`PreTrainedConfig` or `dict`, *optional*):
            Configuration of any transformers language model that takes `inputs_embeds` and `position_ids`. Defaults to
            Qwen3-Embedding-0.6B.
        connector (`str`, defaults to `"tgq_former"`):
            What maps image tokens to visual tokens for the language model: `"tgq_former"`, or one for comparison:
            `"q_former"` (all queries are learned), `"notellm2"` (the same, plus a gate that fuses its output with
            that of the language model), `"perceiver_resampler"` or `"mlp"` (maps every image token).
        num_metadata_queries (`int`, defaults to 8):
            Number of queries `Q_txt` compressed from the tokens of the title. 0 leaves only the exploratory stream.
        num_exploratory_queries (`int`, defaults to 8):
            Number of learned queries `Q_rnd`. The other connectors with queries learn as many as
            both kinds together.
        metadata_conv_kernel (`int`, defaults to 3):
            Width in tokens of the convolution over the title; odd.
        connector_hidden_size (`int`, defaults to 768):
            Width of the connector.
        connector_num_layers (`int`, defaults to 6):
            Number of layers of the connector.
        connector_num_attention_heads (`int`, defaults to 12):
            Number of attention heads of the connector.
        connector_intermediate_size (`int`, defaults to 3072):
            Width of the connector's feed-forward layers; [`match_connector_budget`] computes the width that gives
            another connector the same number of parameters.
        connector_pre_norm (`bool`, defaults to `True`):
            Whether the Q-Former normalizes the inputs of its sublayers. *Paper, read literally* (a BLIP-2 style
            Q-Former): it normalizes their outputs (`False`).
        cross_attention_frequency (`int`, defaults to 2):
            Interval between the layers that read the image, starting with the first.
        connector_dropout (`float`, defaults to 0.0):
            Dropout of attention weights and of residual branches, in [0, 1).
        gated (`bool`, defaults to `True`):
            Whether the streams of `"tgq_former"` are gated.
        gate_hidden_size (`int`, *optional*):
            Width of the hidden layer of the gates. Defaults to `connector_hidden_size`.
        hidden_act (`str`, defaults to `"gelu"`):
            Activation of connector, gates and projector.
        layer_norm_eps (`float`, defaults to 1e-6):
            Epsilon of the layer norms.
        initializer_range (`float`, defaults to 0.02):
            Standard deviation of new linear layers and queries. The projections of cross-attention start larger, so
            that they keep the size of their inputs.
        pooling (`str`, *optional*):
            Which output of the language model is the item embedding: that of the `"last"` token, or the `"mean"` over
            all tokens. Defaults to `"mean"` for encoders such as BERT, and to `"last"` for decoders.
        logit_scale_init (`float`, defaults to 3.0):
            Initial value t of the learnable inverse temperature `exp(t)`.
        logit_scale_max (`float`, defaults to 100.0):
            Upper bound of the inverse temperature.

    Raises:
        ValueError: A value is out of range, the heads do not divide the width, or a name is unknown.

    Example:
        >>> from transformers import CLIPConfig, Qwen3Config
        >>> from tiger_fg_hf import TGQFormerConfig, TGQFormerModel
        >>> size = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
        >>> config = TGQFormerConfig(
        ...     dual_encoder_config=CLIPConfig(
        ...         text_config=dict(vocab_size=100, **size),
        ...         vision_config=dict(image_size=32, patch_size=8, **size),
        ...         projection_dim=16,
        ...     ),
        ...     text_config=Qwen3Config(vocab_size=100, head_dim=8, num_key_value_heads=2, **size),
        ...     connector_hidden_size=32,
        ...     connector_num_layers=2,
        ...     connector_num_attention_heads=4,
        ...     connector_intermediate_size=64,
        ... )
        >>> model = TGQFormerModel(config)
        >>> config.pooling
        'last'
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
    connector_pre_norm: bool = True
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
            # Imported here because that module imports configurations itself.
            from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

            is_encoder = self.text_config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
            self.pooling = "mean" if is_encoder else "last"
        self.check_at_least(0, "num_metadata_queries")
        self.check_at_least(
            1,
            "num_exploratory_queries",
            "metadata_conv_kernel",
            "connector_hidden_size",
            "connector_num_layers",
            "connector_num_attention_heads",
            "connector_intermediate_size",
            "cross_attention_frequency",
            "gate_hidden_size",
        )
        if self.metadata_conv_kernel % 2 == 0:
            raise ValueError(f"metadata_conv_kernel must be odd, got {self.metadata_conv_kernel}.")
        if self.connector_hidden_size % self.connector_num_attention_heads:
            raise ValueError(
                f"connector_num_attention_heads={self.connector_num_attention_heads} does not divide "
                f"connector_hidden_size={self.connector_hidden_size}."
            )
        self.check_share("connector_dropout")
        for name, known in (("connector", CONNECTORS), ("pooling", ("last", "mean"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}.")

    @property
    def token_width(self) -> int:
        """Width of the language model's word embeddings, and so of visual tokens.

        Raises:
            ValueError: `text_config` is not the configuration of a language model.
        """
        # In ALBERT, ELECTRA, OPT and RemBERT, word embeddings are narrower than hidden states.
        for name in ("embedding_size", "word_embed_proj_dim", "input_embedding_size"):
            if getattr(self.text_config, name, None):
                return getattr(self.text_config, name)
        if getattr(self.text_config, "hidden_size", None) is None:
            raise ValueError(f"A '{self.text_config.model_type}' is not a language model: it has no hidden_size.")
        return self.text_config.hidden_size

    @property
    def image_width(self) -> int:
        """Width of the image tokens of the dual encoder."""
        return self.dual_encoder_config.vision_config.hidden_size

    @property
    def title_width(self) -> int:
        """Width of the text tokens of the dual encoder."""
        return self.dual_encoder_config.text_config.hidden_size

    @property
    def shared_width(self) -> int:
        """Width of the space in which the dual encoder compares images and texts."""
        # SigLIP does not project images, so its space is as wide as its image tokens.
        return getattr(self.dual_encoder_config, "projection_dim", None) or self.image_width


__all__ = ["TGQFormerConfig"]
