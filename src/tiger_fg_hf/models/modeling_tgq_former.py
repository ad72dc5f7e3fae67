"""TGQ-Former models: the connector, and the item embedder around it."""

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, can_return_tuple
from transformers.utils.output_capturing import capture_outputs

from .configuration_tgq_former import TGQFormerConfig
from .connector_baselines_tgq_former import (
    TGQFormerLateFusion,
    TGQFormerLearnedQueryConnector,
    TGQFormerMLPConnector,
    TGQFormerPerceiverResampler,
    TGQFormerResamplerLayer,
)
from .connector_tgq_former import (
    TGQFormerConnectorOutput,
    TGQFormerCrossAttention,
    TGQFormerCrossProjection,
    TGQFormerGateInput,
    TGQFormerGateOutput,
    TGQFormerHybridQueryConnector,
    TGQFormerLayer,
)
from .dual_encoder_tgq_former import check_dual_encoder, encode_images, encode_titles

_CONNECTORS: dict[str, type[nn.Module]] = {
    "tgq_former": TGQFormerHybridQueryConnector,
    "q_former": TGQFormerLearnedQueryConnector,
    "notellm2": TGQFormerLearnedQueryConnector,
    "perceiver_resampler": TGQFormerPerceiverResampler,
    "mlp": TGQFormerMLPConnector,
}


@dataclass
class TGQFormerPair(ModelOutput):
    """
    What the frozen dual encoder says of a batch of images and titles.

    Args:
        image_tokens (`torch.FloatTensor` of shape `(batch, N, d_v)`): image tokens `H_img`.
        image_embeds (`torch.FloatTensor` of shape `(batch, D)`): global image features `f_img`, L2-normalised.
        title_tokens (`torch.FloatTensor` of shape `(batch, L, d_t)`, *optional*): title tokens.
        title_mask (`torch.BoolTensor` of shape `(batch, L)`, *optional*): `True` at real ones.
        agreement (`torch.FloatTensor` of shape `(batch,)`): `S_title`, cosine of image and title; 0 without a title.
    """

    image_tokens: torch.FloatTensor | None = None
    image_embeds: torch.FloatTensor | None = None
    title_tokens: torch.FloatTensor | None = None
    title_mask: torch.BoolTensor | None = None
    agreement: torch.FloatTensor | None = None


@dataclass
class TGQFormerOutput(ModelOutput):
    """
    Args:
        embeds (`torch.FloatTensor` of shape `(batch, text width)`): item embeddings, L2-normalised.
        agreement (`torch.FloatTensor` of shape `(batch,)`, *optional*): `S_title`, cosine of image and title; 0 where
            one of them is missing.
        connector_output ([`TGQFormerConnectorOutput`], *optional*): visual tokens, streams and gates; `None` when the
            batch has no images.
        last_hidden_state (`torch.FloatTensor` of shape `(batch, Q + L, text width)`): of the language model.
        logit_scale (`torch.FloatTensor` of shape `()`): clamped inverse temperature.
        hidden_states, attentions (`tuple[torch.FloatTensor]`, *optional*): of the language model, where asked for.
    """

    embeds: torch.FloatTensor | None = None
    agreement: torch.FloatTensor | None = None
    connector_output: TGQFormerConnectorOutput | None = None
    last_hidden_state: torch.FloatTensor | None = None
    logit_scale: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None

    def to_tuple(self) -> tuple:
        return tuple(v.to_tuple() if isinstance(v, ModelOutput) else v for v in self.values())


class TGQFormerPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation of the TGQ-Former models."""

    config: TGQFormerConfig
    base_model_prefix = "tgq_former"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["TGQFormerLayer", "TGQFormerResamplerLayer", "TGQFormerGate"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs) -> PreTrainedModel:
        """As transformers has it, but from safetensors alone: a pickle can run code when it is read."""
        try:
            return super().from_pretrained(pretrained_model_name_or_path, *args, **{"use_safetensors": True, **kwargs})
        except SafetensorError as error:
            raise OSError(f"The weights of '{pretrained_model_name_or_path}' cannot be read: {error}") from error

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # Only modules with parameters of their own come here when the code is not transformers' own.
        if isinstance(module, TGQFormerGateOutput):
            init.zeros_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, TGQFormerCrossProjection):
            init.normal_(module.weight, std=module.in_features**-0.5)
            init.zeros_(module.bias)
        elif isinstance(module, TGQFormerGateInput):
            scale = module.initial_scale().to(module.weight)
            init.copy_(module.weight, torch.randn_like(module.weight) * scale)
            init.zeros_(module.bias)
        elif hasattr(module, "exploratory_queries"):
            init.normal_(module.exploratory_queries, std=self.config.initializer_range)
        elif isinstance(module, TGQFormerTemperature):
            init.constant_(module.logit_scale, self.config.logit_scale_init)
        else:
            super()._init_weights(module)


class TGQFormerTemperature(nn.Module):
    """`exp(t)`, bounded with its gradient kept; a module, because adapters save no parameter that stands alone."""

    def __init__(self, config: TGQFormerConfig):
        super().__init__()
        self.maximum = config.logit_scale_max
        self.logit_scale = nn.Parameter(torch.empty(()))

    def forward(self) -> torch.Tensor:
        scale = self.logit_scale.exp()
        return scale.clamp(max=self.maximum).detach() + (scale - scale.detach())


class TGQFormerConnector(TGQFormerPreTrainedModel):
    """From the dual encoder's tokens to visual tokens of the language model, as `config.connector` says."""

    base_model_prefix = "connector"
    _can_record_outputs = {
        "hidden_states": [TGQFormerLayer, TGQFormerResamplerLayer],
        "attentions": TGQFormerCrossAttention,
    }

    def __init__(self, config: TGQFormerConfig):
        super().__init__(config)
        # Its own configuration of attention is that of the model around it, hence no sub-configuration.
        self.network = _CONNECTORS[config.connector](config)
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
        r"""
        image_tokens (`torch.FloatTensor` of shape `(batch, N, d_v)`):
            Image tokens `H_img`.
        image_embeds (`torch.FloatTensor` of shape `(batch, D)`, *optional*):
            Global image features; `"tgq_former"` needs them.
        title_tokens (`torch.FloatTensor` of shape `(batch, L, d_t)`, *optional*):
            Title tokens. Without them titles are empty.
        title_mask (`torch.BoolTensor` of shape `(batch, L)`, *optional*):
            `True` at real tokens; all by default.
        agreement (`torch.FloatTensor` of shape `(batch,)`, *optional*):
            `S_title`; 0 by default.
        """
        batch = len(image_tokens)
        if title_tokens is None:
            title_tokens = image_tokens.new_zeros(batch, 1, self.config.title_width)
            title_mask = torch.zeros(batch, 1, dtype=torch.bool, device=image_tokens.device)
        elif title_mask is None:
            title_mask = torch.ones(title_tokens.shape[:2], dtype=torch.bool, device=image_tokens.device)
        if agreement is None:
            agreement = image_tokens.new_zeros(batch)
        return self.network(image_tokens, image_embeds, title_tokens, title_mask.bool(), agreement)


class TGQFormerModel(TGQFormerPreTrainedModel):
    """
    Item embedder (TGQ-Former, arXiv 2605.17366): dual encoder, connector, language model.

    An item without a title is embedded from its picture and what else its text says; an item without a picture from
    its text alone, its visual tokens masked.

    ```python
    >>> model = TGQFormerModel.from_pretrained(path)  # doctest: +SKIP
    >>> inputs = processor(images=[photo], text=[{"title": "red mug"}], return_tensors="pt")  # doctest: +SKIP
    >>> embeds = model(**inputs).embeds  # doctest: +SKIP

    ```
    """

    main_input_name = "pixel_values"

    def __init__(self, config: TGQFormerConfig):
        super().__init__(config)
        self.dual_encoder = AutoModel.from_config(config.dual_encoder_config)
        check_dual_encoder(self.dual_encoder)
        self.connector = TGQFormerConnector._from_config(config)
        self.language_model = _language_model_from_config(config.text_config)
        takes = _parameters_of_forward(self.language_model)
        words = self.get_input_embeddings().weight.shape[1]
        if words != config.token_width:
            raise ValueError(
                f"{type(self.language_model).__name__} cannot read visual tokens: its word embeddings are {words} "
                f"wide, not {config.token_width} as its configuration tells."
            )
        self._language_model_kwargs = {"use_cache": False} if "use_cache" in takes else {}
        self._first_position = _first_position(self.language_model)
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
        """
        A fresh connector between pretrained models.

        Args:
            vision (`str`): Hub id or folder of an image-text dual encoder, or of a joint TIGER-FG.
            language_model (`str` or `PreTrainedConfig`): Hub id or folder of a language model, or the configuration of
                one that starts from scratch.
            matched_connector (`str`, *optional*): another connector in place of the one that `config_kwargs` describe,
                with as many parameters; see [`match_connector_budget`].
            dtype (`torch.dtype`): of all weights; float32 by default, whatever they were saved in.
            attn_implementation (`str`, *optional*): `"eager"`, `"sdpa"`, ...
            vision_kwargs, language_model_kwargs (`dict`, *optional*): for their `from_pretrained` (`revision`, ...).
            config_kwargs: fields of [`TGQFormerConfig`].

        Raises:
            ValueError: `vision` is no dual encoder, or `language_model` cannot read visual tokens.
            TypeError: one of `config_kwargs` is no field of the configuration.
        """
        unknown = config_kwargs.keys() - {field.name for field in fields(cls.config_class)}
        if unknown:
            raise TypeError(f"{cls.config_class.__name__} has no field {', '.join(sorted(unknown))}.")
        # A text encoder's pooling head is left out below: nothing here reads it.
        dual_encoder = _pretrained(vision, dtype, vision_kwargs)
        check_dual_encoder(dual_encoder, vision)
        text_model = None
        if isinstance(language_model, str):
            text_model = _pretrained(language_model, dtype, language_model_kwargs)
        text_config = language_model if text_model is None else text_model.config
        config = cls.config_class(dual_encoder_config=dual_encoder.config, text_config=text_config, **config_kwargs)
        if matched_connector is not None:
            config = match_connector_budget(config, matched_connector)
        model = cls._from_config(config, dtype=dtype, attn_implementation=attn_implementation)
        model.dual_encoder.load_state_dict(dual_encoder.state_dict())
        if text_model is not None:
            kept = model.language_model.state_dict().keys()
            model.language_model.load_state_dict({k: v for k, v in text_model.state_dict().items() if k in kept})
        return model.eval()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    @torch.no_grad()
    def encode_pair(
        self,
        pixel_values: torch.Tensor,
        title_input_ids: torch.Tensor | None = None,
        title_attention_mask: torch.Tensor | None = None,
    ) -> TGQFormerPair:
        """
        What the dual encoder says of images `[B, 3, H, W]` and titles `[B, L]`, for [`embed`].

        It is frozen and no gradient goes through it, so that a training which shows a listing again can keep this.
        """
        image = encode_images(self.dual_encoder, pixel_values)
        image_embeds = nn.functional.normalize(image.pooler_output, dim=-1)
        pair = TGQFormerPair(
            image_tokens=image.last_hidden_state,
            image_embeds=image_embeds,
            agreement=image_embeds.new_zeros(len(image_embeds)),
        )
        if title_input_ids is None:
            return pair
        if title_attention_mask is None:
            title_attention_mask = torch.ones_like(title_input_ids)
        title = encode_titles(self.dual_encoder, title_input_ids, title_attention_mask)
        pair.title_tokens, pair.title_mask = title.last_hidden_state, title_attention_mask.bool()
        cosine = (image_embeds * nn.functional.normalize(title.pooler_output, dim=-1)).sum(dim=-1)
        pair.agreement = torch.where(pair.title_mask.any(dim=-1), cosine, torch.zeros_like(cosine))
        return pair

    @property
    def metadata_gate(self) -> nn.Module | None:
        """The gate that is told `S_title`; None where the connector has none."""
        return getattr(self.connector.network, "metadata_gate", None)

    def calibrate_agreement(self, agreement: torch.Tensor) -> None:
        """
        Makes a fresh metadata gate hear `S_title` as far as it differs between listings, whatever its unit.

        Cosines of a dual encoder lie close together: as they are, the other signals drown them. The gate's first layer
        takes in that they count in standard deviations from their mean. Without such a gate nothing changes.

        Args:
            agreement (`torch.Tensor` of shape `(N,)`): `S_title` of listings like those of the training, as
                [`encode_pair`] gives it. Where all are equal, as without titles, they only lose their mean.
        """
        if self.metadata_gate is not None:
            std = float(agreement.double().std(correction=0))
            self.metadata_gate.hidden.standardise_first(float(agreement.double().mean()), std if std > 0 else 1.0)

    def embed(
        self,
        pair: TGQFormerPair | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TGQFormerOutput:
        """Item embeddings of what [`encode_pair`] returned and of prompts; see `forward`."""
        states, masks = [], []
        connected = visual = None
        if pair is not None:
            if image_mask is not None:
                image_mask = image_mask.bool()
                agreement = torch.where(image_mask, pair.agreement, torch.zeros_like(pair.agreement))
                pair = TGQFormerPair(**{**pair, "agreement": agreement})
            connected = self.connector(**pair, **kwargs)
            visual = connected.tokens
            states.append(visual)
            has_image = torch.ones_like(visual[:, 0, 0], dtype=torch.bool) if image_mask is None else image_mask
            masks.append(has_image.long()[:, None].expand(visual.shape[:2]))
        if input_ids is not None:
            states.append(self.get_input_embeddings()(input_ids))
            masks.append(torch.ones_like(input_ids) if attention_mask is None else attention_mask.long())
        mask = torch.cat(masks, dim=1)
        inputs = torch.cat([part.to(states[-1].dtype) for part in states], dim=1)
        output = self.language_model(
            inputs_embeds=inputs,
            attention_mask=mask,
            # Only real tokens count, so that padding on either side changes nothing.
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0) + self._first_position,
            return_dict=True,
            **self._language_model_kwargs,
            **kwargs,
        )
        hidden = output.last_hidden_state
        if self.config.pooling == "mean":
            weights = (mask / mask.sum(dim=1, keepdim=True).clamp(min=1)).to(hidden.dtype)
            pooled = torch.einsum("bl,bld->bd", weights, hidden)
        else:
            last = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).argmax(dim=1)
            pooled = hidden[torch.arange(len(hidden), device=hidden.device), last]
        if self.late_fusion is not None and visual is not None:
            fused = self.late_fusion(visual.mean(dim=1), pooled)
            pooled = fused if image_mask is None else torch.where(image_mask[:, None], fused, pooled)
        return TGQFormerOutput(
            embeds=nn.functional.normalize(pooled, dim=-1),
            agreement=None if pair is None else pair.agreement,
            connector_output=connected,
            last_hidden_state=hidden,
            logit_scale=self.temperature(),
            hidden_states=output.get("hidden_states"),
            attentions=output.get("attentions"),
        )

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
        r"""
        pixel_values (`torch.FloatTensor` of shape `(batch, 3, H, W)`, *optional*):
            Item images. `None` when no item of the batch has one.
        title_input_ids, title_attention_mask (`torch.LongTensor` of shape `(batch, L)`, *optional*):
            Titles for the dual encoder; a row of zeros in the mask is an item without title.
        input_ids, attention_mask (`torch.LongTensor` of shape `(batch, L')`, *optional*):
            Prompts for the language model, which follow the visual tokens.
        image_mask (`torch.LongTensor` of shape `(batch,)`, *optional*):
            1 at items with an image, 0 at items without; their pixels are ignored.

        Raises:
            ValueError: neither images nor prompts, or not as many of one as of another.
        """
        if pixel_values is None and input_ids is None:
            raise ValueError("An item needs `pixel_values`, `input_ids` or both; neither was given.")
        given = {"pixel_values": pixel_values, "title_input_ids": title_input_ids, "input_ids": input_ids}
        sizes = {name: len(value) for name, value in given.items() if value is not None}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"The inputs are of different numbers of items: {sizes}.")
        pair = None
        if pixel_values is not None:
            pair = self.encode_pair(pixel_values, title_input_ids, title_attention_mask)
        return self.embed(pair, input_ids, attention_mask, image_mask, **kwargs)


def match_connector_budget(config: TGQFormerConfig, connector: str) -> TGQFormerConfig:
    """
    A copy of `config` for another `connector`, with as many parameters as that of `config`.

    Parameters grow linearly with `connector_intermediate_size`, which is chosen for it.

    Raises:
        ValueError: there is no such connector, or it is larger at any size.
    """
    if connector not in _CONNECTORS:
        raise ValueError(f"The connector must be one of {', '.join(_CONNECTORS)}, got {connector!r}.")
    budget = _connector_parameters(config)
    other = copy.deepcopy(config)
    other.connector = connector
    counts = []
    for size in (1, 2):
        other.connector_intermediate_size = size
        counts.append(_connector_parameters(other))
    size = 1 + round((budget - counts[0]) / (counts[1] - counts[0]))
    if size < 1:
        raise ValueError(f"A {connector} connector has {counts[0]:,} parameters at least, more than {budget:,}.")
    other.connector_intermediate_size = size
    return other


def _connector_parameters(config: TGQFormerConfig) -> int:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in _CONNECTORS[config.connector](config).parameters())
        if config.connector == "notellm2":
            count += sum(parameter.numel() for parameter in TGQFormerLateFusion(config).parameters())
    return count


def _parameters_of_forward(language_model: PreTrainedModel) -> Mapping[str, inspect.Parameter]:
    """
    Raises:
        ValueError: it cannot read visual tokens.
    """
    takes = inspect.signature(type(language_model).forward).parameters
    missing = [name for name in ("inputs_embeds", "attention_mask", "position_ids") if name not in takes]
    if missing:
        raise ValueError(
            f"{type(language_model).__name__} cannot read visual tokens: its forward takes no {', '.join(missing)}."
        )
    return takes


def _first_position(language_model: PreTrainedModel) -> int:
    """0, but for RoBERTa and its kin, which count from behind the padding index."""
    for name, module in language_model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return module.padding_idx + 1
    return 0


def _pretrained(source: str, dtype: torch.dtype, kwargs: dict | None) -> PreTrainedModel:
    model = AutoModel.from_pretrained(source, dtype=dtype, **{"use_safetensors": True, **(kwargs or {})})
    model.config._name_or_path = ""  # a local folder's path is nobody's business once its weights are in a new model
    return model


def _language_model_from_config(config: PreTrainedConfig) -> PreTrainedModel:
    """Without the pooling head of those that let it be left out: its weights would never be used."""
    model_class = AutoModel._model_mapping[type(config)]
    takes = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    return model_class._from_config(config, **({"add_pooling_layer": False} if takes else {}))


__all__ = ["TGQFormerConnector", "TGQFormerModel", "TGQFormerPreTrainedModel"]
