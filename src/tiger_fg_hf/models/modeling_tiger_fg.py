"""TIGER-FG models: the query tower, the item tower that looks where its text tells it, and both together."""

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, can_return_tuple
from transformers.utils.output_capturing import capture_outputs

from .configuration_tiger_fg import TigerFGConfig, TigerFGItemConfig, TigerFGQueryConfig
from .encoders_tiger_fg import TigerFGVisionTokens, backbone_from_config, backbone_from_pretrained, encode_image
from .grounding_tiger_fg import (
    TigerFGAppearanceGate,
    TigerFGCrossAttention,
    TigerFGFocusProjection,
    TigerFGGroundingLayer,
    TigerFGGroundingOutput,
    TigerFGGuidedPooling,
    TigerFGMerge,
    TigerFGPatchValue,
    TigerFGSlotPooling,
    TigerFGVisualProjection,
    additive_mask,
    safe_mask,
)


@dataclass
class TigerFGQueryOutput(ModelOutput):
    """
    Args:
        embeds (`torch.FloatTensor` of shape `(batch, projection_dim)`): query embeddings, L2-normalised.
        last_hidden_state (`torch.FloatTensor` of shape `(batch, tokens, d)`): tokens of the vision encoder.
        hidden_states, attentions (`tuple[torch.FloatTensor]`, *optional*): of the vision encoder, where asked for.
    """

    embeds: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class TigerFGItemOutput(ModelOutput):
    """
    Args:
        embeds (`torch.FloatTensor` of shape `(batch, projection_dim)`): item embeddings `f_i`, L2-normalised.
        grounding (`torch.FloatTensor` of shape `(batch, h, w)`, *optional*): where the item tower looked: weights of
            the patch grid that sum to 1 (to 0 in rows without an image); `None` when the batch has no images.
        slot_weights, focus, appearance, text_focus, hidden_states, attentions: see [`TigerFGGroundingOutput`].
        last_hidden_state (`torch.FloatTensor` of shape `(batch, M, d)`): the slots.
        vision_model_output, text_model_output (`ModelOutput`, *optional*): of the two encoders.
    """

    embeds: torch.FloatTensor | None = None
    grounding: torch.FloatTensor | None = None
    slot_weights: torch.FloatTensor | None = None
    focus: torch.FloatTensor | None = None
    appearance: torch.FloatTensor | None = None
    text_focus: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None
    vision_model_output: ModelOutput | None = None
    text_model_output: ModelOutput | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None

    def to_tuple(self) -> tuple[Any, ...]:
        return tuple(v.to_tuple() if isinstance(v, ModelOutput) else v for v in self.values())


@dataclass
class TigerFGOutput(ModelOutput):
    """
    Args:
        logits_per_query (`torch.FloatTensor` of shape `(queries, items)`, *optional*): scaled cosine similarities.
        query_embeds (`torch.FloatTensor` of shape `(queries, projection_dim)`, *optional*): L2-normalised.
        item_embeds (`torch.FloatTensor` of shape `(items, projection_dim)`, *optional*): L2-normalised.
        grounding (`torch.FloatTensor` of shape `(items, h, w)`, *optional*): see [`TigerFGItemOutput`].
        logit_scale (`torch.FloatTensor` of shape `()`): clamped scale, the inverse temperature.
        query_model_output, item_model_output: outputs of the two towers.
    """

    logits_per_query: torch.FloatTensor | None = None
    query_embeds: torch.FloatTensor | None = None
    item_embeds: torch.FloatTensor | None = None
    grounding: torch.FloatTensor | None = None
    logit_scale: torch.FloatTensor | None = None
    query_model_output: TigerFGQueryOutput | None = None
    item_model_output: TigerFGItemOutput | None = None

    def to_tuple(self) -> tuple[Any, ...]:
        return tuple(v.to_tuple() if isinstance(v, ModelOutput) else v for v in self.values())


class TigerFGPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation of the TIGER-FG models."""

    config: TigerFGConfig
    base_model_prefix = "tiger_fg"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["TigerFGGroundingLayer", "TigerFGGuidedPooling"]
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
        if isinstance(module, TigerFGVisualProjection):
            init.orthogonal_(module.weight)
        elif isinstance(module, TigerFGFocusProjection) and self.config.merge_init_zero:
            init.zeros_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, TigerFGGroundingModel):
            init.normal_(module.slots, std=self.config.initializer_range)
        elif isinstance(module, TigerFGGuidedPooling) and module.text_match_scale is not None:
            init.constant_(module.text_match_scale, math.log(self.config.text_match_scale_init))
        elif isinstance(module, TigerFGPatchValue):
            init.eye_(module.weight)
        elif isinstance(module, TigerFGAppearanceGate):
            init.zeros_(module.weight)
            init.constant_(module.bias, self.config.appearance_gate_init)
        elif isinstance(module, TigerFGModel):
            init.constant_(module.logit_scale, math.log(1.0 / self.config.temperature_init))
        else:
            super()._init_weights(module)


class TigerFGGroundingModel(TigerFGPreTrainedModel):
    """Text-guided grounding: slots read the text, then the patches, and guide where the image is pooled."""

    config: TigerFGItemConfig
    _can_record_outputs = {"hidden_states": TigerFGGroundingLayer, "attentions": TigerFGCrossAttention}

    def __init__(self, config: TigerFGItemConfig):
        super().__init__(config)
        width = config.vision_config.hidden_size
        self.slots = nn.Parameter(torch.empty(config.num_slots, width))
        self.text_projection = nn.Linear(config.text_config.hidden_size, width)
        self.text_layers = nn.ModuleList(TigerFGGroundingLayer(config) for _ in range(config.num_text_layers))
        self.visual_layers = nn.ModuleList(TigerFGGroundingLayer(config) for _ in range(config.num_visual_layers))
        self.slot_pooling = TigerFGSlotPooling(config)
        self.guided_pooling = TigerFGGuidedPooling(config)
        self.post_init()

    @capture_outputs
    def forward(
        self,
        cls: torch.Tensor | None = None,
        patches: torch.Tensor | None = None,
        text: torch.Tensor | None = None,
        text_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TigerFGGroundingOutput:
        r"""
        cls (`torch.FloatTensor` of shape `(batch, d)`, *optional*):
            Class tokens.
        patches (`torch.FloatTensor` of shape `(batch, N, d)`, *optional*):
            Patch tokens.
        text (`torch.FloatTensor` of shape `(batch, L, text width)`, *optional*):
            Text tokens `H_t`.
        text_mask (`torch.BoolTensor` of shape `(batch, L)`, *optional*):
            `True` at real tokens. A row of `False` is an item without text.
        image_mask (`torch.BoolTensor` of shape `(batch,)`, *optional*):
            `False` at items without an image.
        """
        batch = text.shape[0] if patches is None else patches.shape[0]
        slots = self.slots.expand(batch, -1, -1)
        text_focus = has_text = None
        if text is not None:
            has_text = None if text_mask is None else text_mask.any(dim=-1)
            slots = self.read_text(slots, text, text_mask)
            text_focus, _ = self.slot_pooling(slots)
        if patches is not None:
            slots = self.read_patches(slots, patches, image_mask)
        focus, slot_weights = self.slot_pooling(slots)
        appearance = patch_weights = None
        if patches is not None:
            appearance, patch_weights = self.guided_pooling(focus, cls, patches, text_focus, has_text)
            if image_mask is not None:
                patch_weights = torch.where(image_mask[:, None], patch_weights, torch.zeros_like(patch_weights))
        return TigerFGGroundingOutput(
            last_hidden_state=slots,
            slot_weights=slot_weights,
            focus=focus,
            appearance=appearance,
            patch_weights=patch_weights,
            text_focus=text_focus,
        )

    def read_text(
        self, slots: torch.Tensor, text: torch.Tensor, text_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Slots `[B, M, d]` after the text blocks; arguments as `forward` has them."""
        text = self.text_projection(text)
        has_text = attention_mask = None
        if text_mask is not None:
            has_text = text_mask.any(dim=-1)
            attention_mask = additive_mask(safe_mask(text_mask), slots)
        for layer in self.text_layers:
            slots = layer(slots, text, attention_mask, has_text)
        return slots

    def read_patches(
        self, slots: torch.Tensor, patches: torch.Tensor, image_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Slots `[B, M, d]` after the visual blocks; arguments as `forward` has them."""
        for layer in self.visual_layers:
            slots = layer(slots, patches, None, image_mask)
        return slots


class _QueryTower:
    """What [`TigerFGQueryModel`] and [`TigerFGModel`] have in common; parameter names are the same in both."""

    def _build_query_tower(self, config: TigerFGQueryConfig) -> None:
        prefix = "" if config.share_vision_tower else "query_"
        setattr(self, f"{prefix}vision_model", backbone_from_config(config.vision_config))
        projection = TigerFGVisualProjection(config.vision_config.hidden_size, config.projection_dim, bias=False)
        setattr(self, f"{prefix}visual_projection", projection)

    def _query_vision_model(self) -> PreTrainedModel:
        return self.vision_model if self.config.share_vision_tower else self.query_vision_model

    def get_input_embeddings(self) -> nn.Module:
        return self._query_vision_model().get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self._query_vision_model().set_input_embeddings(value)

    def _embed_query(self, pixel_values: torch.Tensor, **kwargs) -> TigerFGQueryOutput:
        tokens = encode_image(self._query_vision_model(), pixel_values, **kwargs)
        shared = self.config.share_vision_tower
        projection = self.visual_projection if shared else self.query_visual_projection
        return TigerFGQueryOutput(
            embeds=nn.functional.normalize(projection(tokens.cls), dim=-1),
            last_hidden_state=tokens.model_output.last_hidden_state,
            hidden_states=tokens.model_output.get("hidden_states"),
            attentions=tokens.model_output.get("attentions"),
        )


class _ItemTower:
    """What [`TigerFGItemModel`] and [`TigerFGModel`] have in common; parameter names are the same in both."""

    def _build_item_tower(self, config: TigerFGItemConfig) -> None:
        if not hasattr(self, "vision_model"):
            self.vision_model = backbone_from_config(config.vision_config)
            self.visual_projection = TigerFGVisualProjection(
                config.vision_config.hidden_size, config.projection_dim, bias=False
            )
        self.text_model = backbone_from_config(config.text_config)
        self.grounding_model = TigerFGGroundingModel(config)
        self.merge = TigerFGMerge(config)

    def get_input_embeddings(self) -> nn.Module:
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.text_model.set_input_embeddings(value)

    def encode_item_image(self, pixel_values: torch.Tensor, **kwargs) -> TigerFGVisionTokens:
        """Vision tokens of item images `[B, 3, H, W]`, for [`fuse_item`], once for any number of texts."""
        return encode_image(self.vision_model, pixel_values, **kwargs)

    def encode_item_text(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> ModelOutput:
        """Text tokens `[B, L, text width]` of `input_ids` `[B, L]`, as the text encoder's `last_hidden_state`."""
        if attention_mask is not None:
            attention_mask = safe_mask(attention_mask.bool()).to(attention_mask.dtype)
        return self.text_model(input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **kwargs)

    def embed_region(self, region: torch.Tensor) -> torch.Tensor:
        """`z_box`: mean patch tokens of a region `[B, d]` as an L2-normalised embedding `[B, projection_dim]`."""
        value = self.grounding_model.guided_pooling.value(region)
        return nn.functional.normalize(self.visual_projection(value), dim=-1)

    def fuse_item(
        self,
        vision_tokens: TigerFGVisionTokens | None = None,
        text_output: ModelOutput | None = None,
        attention_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        **kwargs,
    ) -> TigerFGItemOutput:
        """Item embeddings and grounding from encoded images and texts; see [`TigerFGItemModel.forward`]."""
        image_mask = None if image_mask is None or vision_tokens is None else image_mask.bool()
        grounded = self.grounding_model(
            cls=None if vision_tokens is None else vision_tokens.cls,
            patches=None if vision_tokens is None else vision_tokens.patches,
            text=None if text_output is None else text_output.last_hidden_state,
            text_mask=None if attention_mask is None or text_output is None else attention_mask.bool(),
            image_mask=image_mask,
            **kwargs,
        )
        visual = None if vision_tokens is None else self.visual_projection(grounded.appearance)
        return TigerFGItemOutput(
            embeds=self.merge(grounded.focus, visual, image_mask),
            grounding=None if vision_tokens is None else grounded.patch_weights.unflatten(-1, vision_tokens.grid),
            slot_weights=grounded.slot_weights,
            focus=grounded.focus,
            appearance=grounded.appearance,
            text_focus=grounded.text_focus,
            last_hidden_state=grounded.last_hidden_state,
            vision_model_output=None if vision_tokens is None else vision_tokens.model_output,
            text_model_output=text_output,
            hidden_states=grounded.hidden_states,
            attentions=grounded.attentions,
        )

    def _embed_item(
        self,
        pixel_values: torch.Tensor | None,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        image_mask: torch.Tensor | None,
        **kwargs,
    ) -> TigerFGItemOutput:
        if pixel_values is None and input_ids is None:
            raise ValueError("An item needs `pixel_values`, `input_ids` or both; neither was given.")
        if pixel_values is not None and input_ids is not None and len(pixel_values) != len(input_ids):
            raise ValueError(f"{len(pixel_values)} item images were given with {len(input_ids)} texts.")
        tokens = None if pixel_values is None else self.encode_item_image(pixel_values, **kwargs)
        text = None if input_ids is None else self.encode_item_text(input_ids, attention_mask, **kwargs)
        return self.fuse_item(tokens, text, attention_mask, image_mask, **kwargs)


class TigerFGQueryModel(_QueryTower, TigerFGPreTrainedModel):
    """
    Query tower: a cropped image becomes one embedding (TIGER-FG, arXiv 2605.18434, "query tower").

    Loads from a joint [`TigerFGModel`] folder, of which it reads only its own weights, or from its own.

    ```python
    >>> query = TigerFGQueryModel.from_pretrained(path)  # doctest: +SKIP
    >>> embeds = query(**processor(images=[crop], return_tensors="pt")).embeds  # doctest: +SKIP

    ```
    """

    config: TigerFGQueryConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: TigerFGQueryConfig):
        super().__init__(config)
        other = r"^(text_model|grounding_model|merge)\.|^logit_scale$"
        item_vision = [] if config.share_vision_tower else [r"^(vision_model|visual_projection)\."]
        self._keys_to_ignore_on_load_unexpected = [other, *item_vision]
        self._build_query_tower(config)
        self.post_init()

    @can_return_tuple
    def forward(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> TigerFGQueryOutput:
        r"""
        pixel_values (`torch.FloatTensor` of shape `(batch, 3, H, W)`):
            Crops as [`TigerFGProcessor`] returns them. H and W need not be those of training.
        """
        return self._embed_query(pixel_values, **kwargs)


class TigerFGItemModel(_ItemTower, TigerFGPreTrainedModel):
    """
    Item tower: a full listing image and its text become one embedding and a grounding map (TIGER-FG, "item tower").

    Loads from a joint [`TigerFGModel`] folder, of which it reads only its own weights, or from its own. An item
    without text is embedded from its image alone: the slots read only the patches. An item without an image is
    embedded from its text alone: the slots read only the text and the visual part of the embedding is left out.

    ```python
    >>> item = TigerFGItemModel.from_pretrained(path)  # doctest: +SKIP
    >>> out = item(**processor(images=[photo], text=[{"title": "red mug"}], return_tensors="pt"))  # doctest: +SKIP
    >>> out.embeds, out.grounding  # doctest: +SKIP

    ```
    """

    config: TigerFGItemConfig
    main_input_name = "pixel_values"
    _keys_to_ignore_on_load_unexpected = [r"^query_(vision_model|visual_projection)\.", r"^logit_scale$"]

    def __init__(self, config: TigerFGItemConfig):
        super().__init__(config)
        self._build_item_tower(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TigerFGItemOutput:
        r"""
        pixel_values (`torch.FloatTensor` of shape `(batch, 3, H, W)`, *optional*):
            Full listing images. `None` when no item of the batch has one.
        input_ids (`torch.LongTensor` of shape `(batch, L)`, *optional*):
            Item texts. `None` when no item of the batch has one.
        attention_mask (`torch.LongTensor` of shape `(batch, L)`, *optional*):
            1 at real tokens, 0 at padding; a row of zeros is an item without text.
        image_mask (`torch.LongTensor` of shape `(batch,)`, *optional*):
            1 at items with an image, 0 at items without; their pixels are ignored.

        Raises:
            ValueError: neither images nor texts, or not as many images as texts.
        """
        return self._embed_item(pixel_values, input_ids, attention_mask, image_mask, **kwargs)


class TigerFGModel(_ItemTower, _QueryTower, TigerFGPreTrainedModel):
    """
    Query tower and item tower together, with the learnable temperature: what training updates and the Hub stores.

    With `config.share_vision_tower` both towers use one vision encoder and one projection. The parameters of
    [`TigerFGQueryModel`] and [`TigerFGItemModel`] are subsets of this model's, under the same names.
    """

    config: TigerFGConfig
    main_input_name = "query_pixel_values"

    def __init__(self, config: TigerFGConfig):
        super().__init__(config)
        self._build_query_tower(config)
        self._build_item_tower(config)
        self.logit_scale = nn.Parameter(torch.empty(()))
        self.post_init()

    @classmethod
    def from_backbones(
        cls,
        vision: str,
        text: str,
        *,
        dtype: torch.dtype = torch.float32,
        attn_implementation: str | None = None,
        vision_kwargs: dict | None = None,
        text_kwargs: dict | None = None,
        **config_kwargs,
    ) -> "TigerFGModel":
        """
        Fresh TIGER-FG heads on pretrained backbones.

        Args:
            vision (`str`): Hub id or folder of a vision encoder, or of an image-text model (CLIP, SigLIP).
            text (`str`): Hub id or folder of a text encoder, or of an image-text model.
            dtype (`torch.dtype`): of all weights. Float32 by default, whatever the backbones were saved in: training
                wants float32 master weights, with autocast for speed.
            attn_implementation (`str`, *optional*): `"eager"`, `"sdpa"`, `"flash_attention_2"`, ...
            vision_kwargs, text_kwargs (`dict`, *optional*): for the backbones' `from_pretrained` (`revision`, ...).
            config_kwargs: fields of [`TigerFGConfig`].

        Raises:
            ValueError: the vision encoder has no patch grid.
            TypeError: one of `config_kwargs` is no field of the configuration.
        """
        unknown = config_kwargs.keys() - {field.name for field in fields(cls.config_class)}
        if unknown:
            raise TypeError(f"{cls.config_class.__name__} has no field {', '.join(sorted(unknown))}.")
        vision_model = backbone_from_pretrained(vision, "vision_config", dtype, vision_kwargs or {})
        text_model = backbone_from_pretrained(text, "text_config", dtype, text_kwargs or {})
        config = cls.config_class(vision_config=vision_model.config, text_config=text_model.config, **config_kwargs)
        model = cls._from_config(config, dtype=dtype, attn_implementation=attn_implementation)
        model.vision_model.load_state_dict(vision_model.state_dict())
        model.text_model.load_state_dict(text_model.state_dict())
        if not config.share_vision_tower:
            model.query_vision_model.load_state_dict(vision_model.state_dict())
            # Both towers start in one space; training may part them.
            model.query_visual_projection.load_state_dict(model.visual_projection.state_dict())
        return model.eval()

    def towers(self) -> tuple[TigerFGQueryModel, TigerFGItemModel]:
        """The two towers as models of their own that share this model's parameters, for encoding while it trains."""
        towers = []
        for tower_class in (TigerFGQueryModel, TigerFGItemModel):
            kept = tower_class.config_class.default_config_fields()
            config = tower_class.config_class(**{name: getattr(self.config, name) for name in kept})
            with torch.device("meta"):
                tower = tower_class(config)
            for name, _ in list(tower.named_children()):
                setattr(tower, name, getattr(self, name))
            towers.append(tower.train(self.training))
        return tuple(towers)

    def get_query_features(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> torch.Tensor:
        """L2-normalised query embeddings `[B, projection_dim]`; arguments as [`TigerFGQueryModel.forward`]."""
        return self._embed_query(pixel_values, **kwargs).embeds

    def get_item_features(
        self,
        pixel_values: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        """L2-normalised item embeddings `[B, projection_dim]`; arguments as [`TigerFGItemModel.forward`]."""
        return self._embed_item(pixel_values, input_ids, attention_mask, image_mask, **kwargs).embeds

    @can_return_tuple
    def get_image_features(
        self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> BaseModelOutputWithPooling:
        """
        As transformers' image-text models have it: image tokens `[B, N, d]`, and as `pooler_output` query embeddings.

        With [`get_text_features`] this makes the two towers an image-text dual encoder, such as TGQ-Former reads.
        """
        output = self._embed_query(pixel_values, **kwargs)
        return BaseModelOutputWithPooling(
            last_hidden_state=output.last_hidden_state,
            pooler_output=output.embeds,
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )

    @can_return_tuple
    def get_text_features(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        """Text tokens `[B, L, text width]`, and as `pooler_output` embeddings of items that have this text alone."""
        output = self._embed_item(None, input_ids, attention_mask, None, **kwargs)
        text = output.text_model_output
        return BaseModelOutputWithPooling(
            last_hidden_state=text.last_hidden_state,
            pooler_output=output.embeds,
            hidden_states=text.get("hidden_states"),
            attentions=text.get("attentions"),
        )

    def bounded_logit_scale(self) -> torch.Tensor:
        """Clamped inverse temperature `[]`, its gradient kept: past the bound it would else never come back."""
        scale = self.logit_scale.exp()
        return scale.clamp(max=self.config.logit_scale_max).detach() + (scale - scale.detach())

    @can_return_tuple
    def forward(
        self,
        query_pixel_values: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TigerFGOutput:
        r"""
        query_pixel_values (`torch.FloatTensor` of shape `(queries, 3, H, W)`, *optional*):
            Crops. `None` embeds items only.
        pixel_values, input_ids, attention_mask, image_mask (*optional*):
            Items, as [`TigerFGItemModel.forward`] takes them. All `None` embeds queries only.

        Raises:
            ValueError: neither queries nor items were given.
        """
        has_items = pixel_values is not None or input_ids is not None
        if query_pixel_values is None and not has_items:
            raise ValueError(
                "Neither queries (`query_pixel_values`) nor items (`pixel_values`, `input_ids`) were given."
            )
        query = None if query_pixel_values is None else self._embed_query(query_pixel_values, **kwargs)
        item = None
        if has_items:
            item = self._embed_item(pixel_values, input_ids, attention_mask, image_mask, **kwargs)
        logit_scale = self.bounded_logit_scale()
        return TigerFGOutput(
            logits_per_query=None if query is None or item is None else logit_scale * query.embeds @ item.embeds.T,
            query_embeds=None if query is None else query.embeds,
            item_embeds=None if item is None else item.embeds,
            grounding=None if item is None else item.grounding,
            logit_scale=logit_scale,
            query_model_output=query,
            item_model_output=item,
        )


__all__ = [
    "TigerFGItemModel",
    "TigerFGModel",
    "TigerFGPreTrainedModel",
    "TigerFGQueryModel",
]
