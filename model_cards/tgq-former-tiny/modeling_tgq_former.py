"""TGQ-Former models: the connector, and the item embedder around it."""

import torch
from torch import nn
from transformers import AutoModel, PreTrainedConfig
from transformers import initialization as init
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple
from transformers.utils.output_capturing import capture_outputs

from .configuration_tgq_former import TGQFormerConfig
from .connector_baselines_tgq_former import TGQFormerLateFusion, TGQFormerResamplerLayer
from .connector_budget_tgq_former import CONNECTOR_CLASSES, match_connector_budget
from .connector_tgq_former import TGQFormerCrossAttention, TGQFormerLayer
from .dual_encoder_tgq_former import check_dual_encoder, encode_images, encode_titles
from .language_model_tgq_former import (
    first_position,
    language_model_from_config,
    model_from_pretrained,
    parameters_of_forward,
)
from .layers import l2_normalize
from .outputs_tgq_former import TGQFormerConnectorOutput, TGQFormerOutput, TGQFormerPair
from .pretrained import SafePreTrainedModel, check_kwargs
from .temperature import bounded_scale, clamp_scale_


class TGQFormerPreTrainedModel(SafePreTrainedModel):
    """Base class of the TGQ-Former models: loading, saving and initialization."""

    config: TGQFormerConfig
    base_model_prefix = "tgq_former"
    _no_split_modules = ["TGQFormerLayer", "TGQFormerResamplerLayer", "TGQFormerGate"]


class TGQFormerTemperature(nn.Module):
    """The learnable inverse temperature. It is a module because PEFT saves modules, not single parameters."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        self.maximum = config.logit_scale_max
        self.logit_scale = nn.Parameter(torch.empty(()))

    def init_parameters(self, config: TGQFormerConfig) -> None:
        """Set the initial value."""
        init.constant_(self.logit_scale, config.logit_scale_init)

    def forward(self) -> torch.Tensor:
        """Return `exp(logit_scale)`, at most the maximum; a float32 scalar."""
        return bounded_scale(self.logit_scale, self.maximum)


class TGQFormerConnector(TGQFormerPreTrainedModel):
    """Map tokens of the dual encoder to visual tokens for the language model, as set by `config.connector`."""

    base_model_prefix = "connector"
    _can_record_outputs = {
        "hidden_states": [TGQFormerLayer, TGQFormerResamplerLayer],
        "attentions": TGQFormerCrossAttention,
    }

    def __init__(self, config: TGQFormerConfig):
        super().__init__(config)
        self.network = CONNECTOR_CLASSES[config.connector](config)
        self.post_init()

    @capture_outputs
    def forward(
        self,
        image_tokens: torch.Tensor,
        image_embeds: torch.Tensor | None = None,
        title_tokens: torch.Tensor | None = None,
        title_mask: torch.Tensor | None = None,
        agreement: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TGQFormerConnectorOutput:
        """Compute visual tokens.

        Args:
            image_tokens (`torch.FloatTensor` of shape `(batch, N, d_v)`):
                Image tokens `H_img`.
            image_embeds (`torch.FloatTensor` of shape `(batch, D)`, *optional*):
                Global image features; the gates of `"tgq_former"` need them.
            title_tokens (`torch.FloatTensor` of shape `(batch, L, d_t)`, *optional*):
                Title tokens. `None` means empty titles.
            title_mask (`torch.BoolTensor` of shape `(batch, L)`, *optional*):
                `True` at real tokens. By default, all tokens are real.
            agreement (`torch.FloatTensor` of shape `(batch,)`, *optional*):
                `S_title`; 0 by default.
            kwargs: See `TransformersKwargs`.
        """
        batch = image_tokens.shape[0]
        if title_tokens is None:
            title_tokens = image_tokens.new_zeros(batch, 1, self.config.title_width)
            title_mask = torch.zeros(batch, 1, dtype=torch.bool, device=image_tokens.device)
        elif title_mask is None:
            title_mask = torch.ones(title_tokens.shape[:2], dtype=torch.bool, device=image_tokens.device)
        if agreement is None:
            agreement = image_tokens.new_zeros(batch)
        return self.network(image_tokens, image_embeds, title_tokens, title_mask.bool(), agreement)


class TGQFormerModel(TGQFormerPreTrainedModel):
    """Embed items with a frozen dual encoder, a connector and a language model (TGQ-Former, arXiv 2605.17366).

    An item without a title is embedded from its image and the rest of its text. An item without an image is embedded
    only from its text; its visual tokens are masked.

    Example:
        >>> import torch
        >>> from transformers import BertConfig, CLIPConfig
        >>> from tiger_fg_hf import TGQFormerConfig, TGQFormerModel
        >>> size = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64)
        >>> clip = CLIPConfig(
        ...     text_config=dict(vocab_size=100, eos_token_id=2, **size),
        ...     vision_config=dict(image_size=32, patch_size=8, **size),
        ...     projection_dim=16,
        ... )
        >>> config = TGQFormerConfig(
        ...     dual_encoder_config=clip,
        ...     text_config=BertConfig(vocab_size=100, **size),
        ...     connector_hidden_size=32,
        ...     connector_num_layers=1,
        ...     connector_num_attention_heads=4,
        ... )
        >>> model = TGQFormerModel(config).eval()
        >>> title, prompt = torch.tensor([[5, 6, 2]]), torch.tensor([[7, 8, 9]])
        >>> model(torch.rand(1, 3, 32, 32), title_input_ids=title, input_ids=prompt).embeds.shape
        torch.Size([1, 32])
    """

    main_input_name = "pixel_values"

    def __init__(self, config: TGQFormerConfig):
        super().__init__(config)
        self.dual_encoder = AutoModel.from_config(config.dual_encoder_config)
        check_dual_encoder(self.dual_encoder)
        self.connector = TGQFormerConnector._from_config(config)
        self.language_model = language_model_from_config(config.text_config)
        parameters = parameters_of_forward(self.language_model)
        word_width = self.get_input_embeddings().weight.shape[1]
        if word_width != config.token_width:
            raise ValueError(
                f"{type(self.language_model).__name__} cannot read visual tokens: its word embeddings are "
                f"{word_width} wide, not {config.token_width} as its configuration says."
            )
        self._language_model_kwargs = {"use_cache": False} if "use_cache" in parameters else {}
        self._first_position = first_position(self.language_model)
        self.late_fusion = TGQFormerLateFusion(config) if config.connector == "notellm2" else None
        self.temperature = TGQFormerTemperature(config)
        self.post_init()

    @classmethod
    def from_backbones(
        cls,
        vision: str,
        language_model: str | PreTrainedConfig,
        *,
        matched_connector: str | None = None,
        dtype: torch.dtype = torch.float32,
        attn_implementation: str | None = None,
        vision_kwargs: dict | None = None,
        language_model_kwargs: dict | None = None,
        **config_kwargs,
    ) -> "TGQFormerModel":
        """Build a model from pretrained parts, with a new connector.

        Args:
            vision (`str`): Hub id or folder of an image-text dual encoder, or of a joint TIGER-FG.
            language_model (`str` or `PreTrainedConfig`): Hub id or folder of a language model, or the configuration of
                one to train from scratch.
            matched_connector (`str`, *optional*): Connector to build in place of the one in `config_kwargs`, with the
                same number of parameters; see [`match_connector_budget`].
            dtype (`torch.dtype`): Dtype of all weights; float32 by default, whatever the dtype of the parts.
            attn_implementation (`str`, *optional*): `"eager"`, `"sdpa"`, ...
            vision_kwargs (`dict`, *optional*): Passed to `from_pretrained` of the dual encoder (`revision`, ...).
            language_model_kwargs (`dict`, *optional*): Passed to `from_pretrained` of the language model.
            config_kwargs: Fields of [`TGQFormerConfig`].

        Returns:
            The model in evaluation mode.

        Raises:
            ValueError: `vision` is not a dual encoder, or `language_model` cannot read visual tokens.
            TypeError: One of `config_kwargs` is not a field of the configuration.
        """
        cls.config_class.check_field_names(config_kwargs)
        dual_encoder = model_from_pretrained(vision, dtype, vision_kwargs)
        check_dual_encoder(dual_encoder, vision)
        text_model = None
        if isinstance(language_model, str):
            text_model = model_from_pretrained(language_model, dtype, language_model_kwargs)
        text_config = language_model if text_model is None else text_model.config
        config = cls.config_class(dual_encoder_config=dual_encoder.config, text_config=text_config, **config_kwargs)
        if matched_connector is not None:
            config = match_connector_budget(config, matched_connector)
        model = cls._from_config(config, dtype=dtype, attn_implementation=attn_implementation)
        model.dual_encoder.load_state_dict(dual_encoder.state_dict())
        if text_model is not None:
            # The checkpoint may have a pooling head, which is not built.
            kept = model.language_model.state_dict().keys()
            model.language_model.load_state_dict({k: v for k, v in text_model.state_dict().items() if k in kept})
        return model.eval()

    def get_input_embeddings(self) -> nn.Module:
        """Return the word embeddings of the language model."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings of the language model."""
        self.language_model.set_input_embeddings(value)

    @torch.no_grad()
    def encode_pair(
        self,
        pixel_values: torch.Tensor,
        title_input_ids: torch.Tensor | None = None,
        title_attention_mask: torch.Tensor | None = None,
    ) -> TGQFormerPair:
        """Encode images and titles with the frozen dual encoder, for [`embed`].

        No gradient flows through the dual encoder, so training can compute this once per listing and keep it.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch, 3, H, W)`): Images.
            title_input_ids (`torch.LongTensor` of shape `(batch, L)`, *optional*): Titles.
            title_attention_mask (`torch.LongTensor` of shape `(batch, L)`, *optional*): 1 at real tokens.
        """
        image = encode_images(self.dual_encoder, pixel_values)
        image_embeds = l2_normalize(image.pooler_output)
        pair = TGQFormerPair(
            image_tokens=image.last_hidden_state,
            image_embeds=image_embeds,
            agreement=image_embeds.new_zeros(image_embeds.shape[0]),
        )
        if title_input_ids is None:
            return pair
        if title_attention_mask is None:
            title_attention_mask = torch.ones_like(title_input_ids)
        title = encode_titles(self.dual_encoder, title_input_ids, title_attention_mask)
        pair.title_tokens, pair.title_mask = title.last_hidden_state, title_attention_mask.bool()
        cosine = (image_embeds * l2_normalize(title.pooler_output)).sum(dim=-1)
        pair.agreement = torch.where(pair.title_mask.any(dim=-1), cosine, torch.zeros_like(cosine))
        return pair

    @property
    def metadata_gate(self) -> nn.Module | None:
        """The gate that reads `S_title`; `None` if the connector has none."""
        return getattr(self.connector.network, "metadata_gate", None)

    def calibrate_agreement(self, agreement: torch.Tensor) -> None:
        """Standardize `S_title` in the first layer of a new metadata gate; do nothing if there is no such gate.

        A dual encoder's cosines differ little between listings, so the gate's other signals would drown them out.

        Args:
            agreement (`torch.Tensor` of shape `(N,)`): `S_title` of listings like the training data, from
                [`encode_pair`]. If all are equal, as they are without titles, only their mean is subtracted.
        """
        if self.metadata_gate is not None:
            std = float(agreement.double().std(correction=0))
            self.metadata_gate.hidden.standardise_first(float(agreement.double().mean()), std if std > 0 else 1.0)

    def clamp_logit_scale_(self) -> None:
        """Clamp `logit_scale` in place to its bound; call this after each optimizer step."""
        clamp_scale_(self.temperature.logit_scale, self.config.logit_scale_max)

    def embed(
        self,
        pair: TGQFormerPair | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TGQFormerOutput:
        """Embed items from the output of [`encode_pair`] and prompts.

        Args:
            pair ([`TGQFormerPair`], *optional*): Encoded images and titles; `None` if no item has an image.
            input_ids (*optional*): See `forward`.
            attention_mask (*optional*): See `forward`.
            image_mask (*optional*): See `forward`.
            kwargs: See `TransformersKwargs`.
        """
        check_kwargs(self, kwargs)
        states, masks = [], []
        connected = visual = None
        if pair is not None:
            if image_mask is not None:
                image_mask = image_mask.bool()
                agreement = torch.where(image_mask, pair.agreement, torch.zeros_like(pair.agreement))
                pair = TGQFormerPair(**{**pair, "agreement": agreement})
            connected = self.connector(**pair, return_dict=True, **kwargs)
            visual = connected.tokens
            states.append(visual)
            has_image = torch.ones_like(visual[:, 0, 0], dtype=torch.bool) if image_mask is None else image_mask
            masks.append(has_image.long()[:, None].expand(visual.shape[:2]))
        if input_ids is not None:
            states.append(self.get_input_embeddings()(input_ids))
            masks.append(torch.ones_like(input_ids) if attention_mask is None else attention_mask.long())
        mask = torch.cat(masks, dim=1)
        output = self.language_model(
            inputs_embeds=torch.cat([part.to(states[-1].dtype) for part in states], dim=1),
            attention_mask=mask,
            # Only real tokens are counted, so that padding on either side changes nothing.
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0) + self._first_position,
            return_dict=True,
            **self._language_model_kwargs,
            **kwargs,
        )
        pooled = self._pool(output.last_hidden_state, mask)
        if self.late_fusion is not None and visual is not None:
            fused = self.late_fusion(visual.mean(dim=1), pooled)
            pooled = fused if image_mask is None else torch.where(image_mask[:, None], fused, pooled)
        return TGQFormerOutput(
            embeds=l2_normalize(pooled),
            agreement=None if pair is None else pair.agreement,
            connector_output=connected,
            last_hidden_state=output.last_hidden_state,
            logit_scale=self.temperature(),
            hidden_states=output.get("hidden_states"),
            attentions=output.get("attentions"),
        )

    def _pool(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool the states `[B, L, d]` of real tokens to `[B, d]`, as set by `config.pooling`."""
        if self.config.pooling == "mean":
            weights = (mask / mask.sum(dim=1, keepdim=True).clamp(min=1)).to(states.dtype)
            return torch.einsum("bl,bld->bd", weights, states)
        last = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).argmax(dim=1)
        return states[torch.arange(states.shape[0], device=states.device), last]

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        title_input_ids: torch.Tensor | None = None,
        title_attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TGQFormerOutput:
        """Embed items.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch, 3, H, W)`, *optional*):
                Item images. `None` if no item in the batch has one.
            title_input_ids (`torch.LongTensor` of shape `(batch, L)`, *optional*):
                Titles for the dual encoder.
            title_attention_mask (`torch.LongTensor` of shape `(batch, L)`, *optional*):
                1 at real tokens, 0 at padding; a row of zeros is an item without a title.
            input_ids (`torch.LongTensor` of shape `(batch, L')`, *optional*):
                Prompts for the language model; they follow the visual tokens.
            attention_mask (`torch.LongTensor` of shape `(batch, L')`, *optional*):
                1 at real tokens, 0 at padding.
            image_mask (`torch.LongTensor` of shape `(batch,)`, *optional*):
                1 at items with an image, 0 at items without; their pixels are ignored.
            kwargs: See `TransformersKwargs`.

        Raises:
            TypeError: An argument is unknown.
            ValueError: Neither images nor prompts are given, or their numbers differ.
        """
        check_kwargs(self, kwargs)
        if pixel_values is None and input_ids is None:
            raise ValueError("An item needs `pixel_values`, `input_ids` or both; neither was given.")
        given = {"pixel_values": pixel_values, "title_input_ids": title_input_ids, "input_ids": input_ids}
        sizes = {name: value.shape[0] for name, value in given.items() if value is not None}
        first, *others = sizes.values()
        if any(size != first for size in others):
            raise ValueError(f"The inputs have different numbers of items: {sizes}.")
        pair = None
        if pixel_values is not None:
            pair = self.encode_pair(pixel_values, title_input_ids, title_attention_mask)
        return self.embed(pair, input_ids, attention_mask, image_mask, **kwargs)


__all__ = ["TGQFormerConnector", "TGQFormerModel", "TGQFormerPreTrainedModel"]
