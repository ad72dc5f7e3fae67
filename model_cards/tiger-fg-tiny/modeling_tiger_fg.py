"""TIGER-FG models: the query tower, the item tower, and the joint model with both."""

import copy
import math
from dataclasses import fields
from itertools import chain

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple

from .configuration_tiger_fg import TigerFGConfig, TigerFGItemConfig, TigerFGQueryConfig
from .encoders_tiger_fg import backbone_from_pretrained
from .outputs_tiger_fg import TigerFGItemOutput, TigerFGOutput, TigerFGQueryOutput
from .pretrained import SafePreTrainedModel, VisionKwargs
from .temperature import bounded_scale, clamp_scale_
from .towers_tiger_fg import ItemTower, QueryTower


class TigerFGPreTrainedModel(SafePreTrainedModel):
    """Base class of the TIGER-FG models: loading, saving and initialization."""

    config: TigerFGConfig
    base_model_prefix = "tiger_fg"
    _no_split_modules = ["TigerFGGroundingLayer", "TigerFGGuidedPooling"]


class TigerFGQueryModel(QueryTower, TigerFGPreTrainedModel):
    """Query tower: embeds a cropped image (TIGER-FG, arXiv 2605.18434).

    Loads from its own folder or from that of a joint [`TigerFGModel`]; reads only its own weights.

    Example:
        >>> import torch
        >>> from transformers import ViTConfig
        >>> from tiger_fg_hf import TigerFGQueryConfig, TigerFGQueryModel
        >>> size = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64)
        >>> vit = ViTConfig(image_size=32, patch_size=8, **size)
        >>> config = TigerFGQueryConfig(vision_config=vit, projection_dim=16)
        >>> query_tower = TigerFGQueryModel(config).eval()
        >>> query_tower(torch.rand(2, 3, 32, 32)).embeds.shape
        torch.Size([2, 16])
    """

    config: TigerFGQueryConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: TigerFGQueryConfig):
        super().__init__(config)
        other = r"^(text_model|grounding_model|merge|extent|glance_gate)\.|^logit_scale$"
        item_vision = [] if config.share_vision_tower else [r"^(vision_model|visual_projection)\."]
        self._keys_to_ignore_on_load_unexpected = [other, *item_vision]
        self._build_query_tower(config)
        self.post_init()

    @can_return_tuple
    def forward(self, pixel_values: torch.Tensor, **kwargs: Unpack[VisionKwargs]) -> TigerFGQueryOutput:
        """Embed query images.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch, 3, H, W)`):
                Crops from [`TigerFGProcessor`]; H and W may differ from those used in training.
            kwargs: See [`VisionKwargs`].

        Raises:
            TypeError: An argument is unknown.
            ValueError: The images are smaller than one patch.
        """
        return self._embed_query(pixel_values, **kwargs)


class TigerFGItemModel(ItemTower, TigerFGPreTrainedModel):
    """Item tower: embeds a full listing image and its text, and shows where it looked (TIGER-FG, arXiv 2605.18434).

    Loads from its own folder or from that of a joint [`TigerFGModel`]; reads only its own weights. For an item without
    text, the slots read only the patches. For an item without an image, they read only the text, and the semantic
    focus replaces the appearance feature (see `TigerFGItemConfig.appearance_fallback`).

    Example:
        >>> import torch
        >>> from transformers import BertConfig, ViTConfig
        >>> from tiger_fg_hf import TigerFGItemConfig, TigerFGItemModel
        >>> size = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64)
        >>> config = TigerFGItemConfig(
        ...     vision_config=ViTConfig(image_size=32, patch_size=8, **size),
        ...     text_config=BertConfig(vocab_size=100, **size),
        ...     projection_dim=16,
        ... )
        >>> item_tower = TigerFGItemModel(config).eval()
        >>> output = item_tower(torch.rand(2, 3, 32, 32), input_ids=torch.tensor([[5, 6], [7, 8]]))
        >>> output.embeds.shape, output.grounding.shape
        (torch.Size([2, 16]), torch.Size([2, 4, 4]))
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
        **kwargs: Unpack[VisionKwargs],
    ) -> TigerFGItemOutput:
        """Embed items.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch, 3, H, W)`, *optional*):
                Full listing images. `None` if no item in the batch has one. With two glances, the second gains from
                images larger than `config.first_glance_size`.
            input_ids (`torch.LongTensor` of shape `(batch, L)`, *optional*):
                Item texts. `None` if no item in the batch has one.
            attention_mask (`torch.LongTensor` of shape `(batch, L)`, *optional*):
                1 at real tokens, 0 at padding; a row of zeros is an item without text.
            image_mask (`torch.LongTensor` of shape `(batch,)`, *optional*):
                1 at items with an image, 0 at items without; their pixels are ignored.
            kwargs: See [`VisionKwargs`].

        Raises:
            TypeError: An argument is unknown.
            ValueError: Neither images nor texts are given, or their numbers differ.
        """
        return self._embed_item(pixel_values, input_ids, attention_mask, image_mask, **kwargs)


class TigerFGModel(ItemTower, QueryTower, TigerFGPreTrainedModel):
    """Query tower, item tower and learnable temperature: the model that is trained and published.

    With `config.share_vision_tower`, both towers use the same vision encoder and projection. The parameters of
    [`TigerFGQueryModel`] and [`TigerFGItemModel`] are subsets of those of this model, under the same names.
    """

    config: TigerFGConfig
    main_input_name = "query_pixel_values"

    def __init__(self, config: TigerFGConfig):
        super().__init__(config)
        self._build_query_tower(config)
        self._build_item_tower(config)
        self.logit_scale = nn.Parameter(torch.empty(()))
        self.post_init()

    def init_parameters(self, config: TigerFGConfig) -> None:
        """Set the initial temperature."""
        init.constant_(self.logit_scale, math.log(1.0 / config.temperature_init))

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
        """Build a model from pretrained backbones, with new heads.

        Args:
            vision (`str`): Hub id or folder of a vision encoder or an image-text model (CLIP, SigLIP).
            text (`str`): Hub id or folder of a text encoder or an image-text model.
            dtype (`torch.dtype`): Dtype of all weights. Float32 by default, whatever the dtype of the backbones; for
                speed, train float32 weights with autocast.
            attn_implementation (`str`, *optional*): `"eager"`, `"sdpa"`, `"flash_attention_2"`, ...
            vision_kwargs (`dict`, *optional*): Passed to `from_pretrained` of the vision encoder (`revision`, ...).
            text_kwargs (`dict`, *optional*): Passed to `from_pretrained` of the text encoder.
            config_kwargs: Fields of [`TigerFGConfig`].

        Returns:
            The model in evaluation mode.

        Raises:
            ValueError: The vision encoder does not keep one token per patch, or a value is out of range.
            TypeError: One of `config_kwargs` is not a field of the configuration.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> from transformers import BertConfig, BertModel, ViTConfig, ViTModel
            >>> from tiger_fg_hf import TigerFGModel
            >>> size = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64)
            >>> with TemporaryDirectory() as folder:
            ...     ViTModel(ViTConfig(image_size=32, patch_size=8, **size)).save_pretrained(f"{folder}/vision")
            ...     BertModel(BertConfig(vocab_size=100, **size)).save_pretrained(f"{folder}/text")
            ...     model = TigerFGModel.from_backbones(f"{folder}/vision", f"{folder}/text", projection_dim=16)
            >>> model.config.projection_dim
            16
        """
        cls.config_class.check_field_names(config_kwargs)
        vision_model = backbone_from_pretrained(vision, "vision_config", dtype, vision_kwargs or {})
        text_model = backbone_from_pretrained(text, "text_config", dtype, text_kwargs or {})
        config = cls.config_class(vision_config=vision_model.config, text_config=text_model.config, **config_kwargs)
        model = cls._from_config(config, dtype=dtype, attn_implementation=attn_implementation)
        model.vision_model.load_state_dict(vision_model.state_dict())
        model.text_model.load_state_dict(text_model.state_dict())
        if not config.share_vision_tower:
            model.query_vision_model.load_state_dict(vision_model.state_dict())
            # Both towers start in the same space.
            model.query_visual_projection.load_state_dict(model.visual_projection.state_dict())
        return model.eval()

    def towers(self) -> tuple[TigerFGQueryModel, TigerFGItemModel]:
        """Return both towers as separate models that share this model's parameters.

        Use them to encode while this model trains. Their configurations are copies, so changing the attention
        implementation of one model leaves the others unchanged.
        """
        towers = []
        for tower_class in (TigerFGQueryModel, TigerFGItemModel):
            config_class = tower_class.config_class
            # `default_config_fields` lacks the fields whose default is None.
            own = {field.name for field in fields(config_class)} - {field.name for field in fields(PreTrainedConfig)}
            names = own | config_class.default_config_fields().keys()
            config = config_class(**{name: copy.deepcopy(getattr(self.config, name)) for name in names})
            with torch.device("meta"):
                tower = tower_class(config)
            # Copy the modules, but share parameters and buffers, and give the copies the tower's configurations.
            memo = {id(tensor): tensor for tensor in chain(self.parameters(), self.buffers())}
            memo[id(self.config)] = tower.config
            attention = {"": self.config._attn_implementation}
            for name in tower.config.sub_configs:
                memo[id(getattr(self.config, name))] = getattr(tower.config, name)
                attention[name] = getattr(self.config, name)._attn_implementation
            for name, _ in list(tower.named_children()):
                setattr(tower, name, copy.deepcopy(getattr(self, name), memo))
            tower.set_attn_implementation(attention)
            towers.append(tower.train(self.training))
        return tuple(towers)

    def get_query_features(self, pixel_values: torch.Tensor, **kwargs: Unpack[VisionKwargs]) -> torch.Tensor:
        """Return query embeddings `[B, projection_dim]`; see [`TigerFGQueryModel.forward`] for arguments."""
        return self._embed_query(pixel_values, **kwargs).embeds

    def get_item_features(
        self,
        pixel_values: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        **kwargs: Unpack[VisionKwargs],
    ) -> torch.Tensor:
        """Return item embeddings `[B, projection_dim]`; see [`TigerFGItemModel.forward`] for arguments."""
        return self._embed_item(pixel_values, input_ids, attention_mask, image_mask, **kwargs).embeds

    @can_return_tuple
    def get_image_features(
        self, pixel_values: torch.Tensor, interpolate_pos_encoding: bool = True, **kwargs: Unpack[TransformersKwargs]
    ) -> BaseModelOutputWithPooling:
        """Encode images with the query tower, through the interface of transformers' image-text models.

        Together with [`get_text_features`], this lets TGQ-Former use the joint model as its dual encoder.

        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch, 3, H, W)`): Images.
            interpolate_pos_encoding (`bool`): See [`VisionKwargs`].
            kwargs: See `TransformersKwargs`.

        Returns:
            Image tokens `[B, N, d]` as `last_hidden_state` and query embeddings as `pooler_output`.
        """
        output = self._embed_query(pixel_values, interpolate_pos_encoding=interpolate_pos_encoding, **kwargs)
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
        """Encode texts as items without images, through the interface of transformers' image-text models.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, L)`): Texts.
            attention_mask (`torch.LongTensor` of shape `(batch, L)`, *optional*): 1 at real tokens, 0 at padding.
            kwargs: See `TransformersKwargs`.

        Returns:
            Text tokens `[B, L, text width]` as `last_hidden_state` and item embeddings as `pooler_output`.
        """
        output = self._embed_item(None, input_ids, attention_mask, None, **kwargs)
        text = output.text_model_output
        return BaseModelOutputWithPooling(
            last_hidden_state=text.last_hidden_state,
            pooler_output=output.embeds,
            hidden_states=text.get("hidden_states"),
            attentions=text.get("attentions"),
        )

    def bounded_logit_scale(self) -> torch.Tensor:
        """Return the inverse temperature `exp(logit_scale)`, at most `config.logit_scale_max`; a float32 scalar."""
        return bounded_scale(self.logit_scale, self.config.logit_scale_max)

    def clamp_logit_scale_(self) -> None:
        """Clamp `logit_scale` in place to its bound; call this after each optimizer step."""
        clamp_scale_(self.logit_scale, self.config.logit_scale_max)

    @can_return_tuple
    def forward(
        self,
        query_pixel_values: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        **kwargs: Unpack[VisionKwargs],
    ) -> TigerFGOutput:
        """Embed queries, items or both, and compare them.

        Args:
            query_pixel_values (`torch.FloatTensor` of shape `(queries, 3, H, W)`, *optional*):
                Crops. If `None`, only items are embedded.
            pixel_values (*optional*): Images of items; see [`TigerFGItemModel.forward`].
            input_ids (*optional*): Texts of items. If neither images nor texts are given, only queries are embedded.
            attention_mask (*optional*): See [`TigerFGItemModel.forward`].
            image_mask (*optional*): See [`TigerFGItemModel.forward`].
            kwargs: See [`VisionKwargs`].

        Raises:
            TypeError: An argument is unknown.
            ValueError: Neither queries nor items are given.
        """
        has_items = pixel_values is not None or input_ids is not None
        if query_pixel_values is None and not has_items:
            raise ValueError(
                "Neither queries (`query_pixel_values`) nor items (`pixel_values`, `input_ids`) were given."
            )
        query = item = None
        if query_pixel_values is not None:
            query = self._embed_query(query_pixel_values, **kwargs)
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
