"""The two towers as mix-ins, so that the tower models and the joint model share code and parameter names."""

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from .attention import unmask_empty_rows
from .configuration_tiger_fg import TigerFGItemConfig, TigerFGQueryConfig
from .encoders_tiger_fg import TigerFGVisionTokens, backbone_from_config, encode_image
from .glance_tiger_fg import SecondGlance, reduce_picture
from .grounding_tiger_fg import TigerFGGroundingModel
from .layers import l2_normalize
from .merge_tiger_fg import TigerFGMerge, TigerFGVisualProjection
from .outputs_tiger_fg import TigerFGGroundingOutput, TigerFGItemOutput, TigerFGQueryOutput
from .pretrained import KNOWN_VISION_KWARGS, check_kwargs


class QueryTower:
    """Query tower, shared by [`TigerFGQueryModel`] and [`TigerFGModel`]."""

    def _build_query_tower(self, config: TigerFGQueryConfig) -> None:
        prefix = "" if config.share_vision_tower else "query_"
        setattr(self, f"{prefix}vision_model", backbone_from_config(config.vision_config))
        projection = TigerFGVisualProjection(config.vision_config.hidden_size, config.projection_dim, bias=False)
        setattr(self, f"{prefix}visual_projection", projection)

    def _query_vision_model(self) -> PreTrainedModel:
        return self.vision_model if self.config.share_vision_tower else self.query_vision_model

    def get_input_embeddings(self) -> nn.Module:
        """Return the patch embeddings of the query encoder."""
        return self._query_vision_model().get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the patch embeddings of the query encoder."""
        self._query_vision_model().set_input_embeddings(value)

    def _embed_query(self, pixel_values: torch.Tensor, **kwargs) -> TigerFGQueryOutput:
        check_kwargs(self, kwargs, KNOWN_VISION_KWARGS)
        tokens = encode_image(self._query_vision_model(), pixel_values, **kwargs)
        shared = self.config.share_vision_tower
        projection = self.visual_projection if shared else self.query_visual_projection
        return TigerFGQueryOutput(
            embeds=l2_normalize(projection(tokens.cls)),
            last_hidden_state=tokens.model_output.last_hidden_state,
            hidden_states=tokens.model_output.get("hidden_states"),
            attentions=tokens.model_output.get("attentions"),
        )


class ItemTower(SecondGlance):
    """Item tower, shared by [`TigerFGItemModel`] and [`TigerFGModel`]."""

    def _build_item_tower(self, config: TigerFGItemConfig) -> None:
        if not hasattr(self, "vision_model"):
            self.vision_model = backbone_from_config(config.vision_config)
            self.visual_projection = TigerFGVisualProjection(
                config.vision_config.hidden_size, config.projection_dim, bias=False
            )
        self.text_model = backbone_from_config(config.text_config)
        self.grounding_model = TigerFGGroundingModel(config)
        self.merge = TigerFGMerge(config)
        self._build_second_glance(config)

    def get_input_embeddings(self) -> nn.Module:
        """Return the word embeddings of the text encoder."""
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings of the text encoder."""
        self.text_model.set_input_embeddings(value)

    def encode_item_image(self, pixel_values: torch.Tensor, **kwargs) -> TigerFGVisionTokens:
        """Encode item images `[B, 3, H, W]` once; [`fuse_item`] can fuse them with any number of texts.

        Larger images are reduced first, see `TigerFGItemConfig.first_glance_size`.
        """
        return encode_image(self.vision_model, reduce_picture(pixel_values, self.config.first_glance_size), **kwargs)

    def encode_item_text(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> ModelOutput:
        """Encode texts `[B, L]`; text tokens `[B, L, text width]` are the output's `last_hidden_state`."""
        if attention_mask is not None:
            attention_mask = unmask_empty_rows(attention_mask.bool()).to(attention_mask.dtype)
        return self.text_model(input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **kwargs)

    def embed_region(self, region: torch.Tensor) -> torch.Tensor:
        """Embed the mean patch token of a region `[B, d]` as `z_box` `[B, projection_dim]`, L2-normalized."""
        value = self.grounding_model.guided_pooling.value(region)
        return l2_normalize(self.visual_projection(value))

    def fuse_item(
        self,
        vision_tokens: TigerFGVisionTokens | None = None,
        text_output: ModelOutput | None = None,
        attention_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        **kwargs,
    ) -> TigerFGItemOutput:
        """Embed and ground items from encoded images and texts.

        Args:
            vision_tokens: Output of [`encode_item_image`]; `None` if no item has an image.
            text_output: Output of [`encode_item_text`]; `None` if no item has a text.
            attention_mask: See [`TigerFGItemModel.forward`].
            image_mask: See [`TigerFGItemModel.forward`].
            kwargs: See `TransformersKwargs`.
        """
        image_mask = None if image_mask is None or vision_tokens is None else image_mask.bool()
        grounded = self.grounding_model(
            cls=None if vision_tokens is None else vision_tokens.cls,
            patches=None if vision_tokens is None else vision_tokens.patches,
            text=None if text_output is None else text_output.last_hidden_state,
            text_mask=None if attention_mask is None or text_output is None else attention_mask.bool(),
            image_mask=image_mask,
            return_dict=True,
            **kwargs,
        )
        return TigerFGItemOutput(
            embeds=self._merge(grounded, image_mask),
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

    def _merge(self, grounded: TigerFGGroundingOutput, image_mask: torch.Tensor | None) -> torch.Tensor:
        """Merge `f_m` and `f_a` into embeddings; see `TigerFGItemConfig.appearance_fallback`."""
        visual = grounded.appearance
        if self.config.appearance_fallback:
            if visual is None:
                visual = grounded.focus
            elif image_mask is not None:
                visual = torch.where(image_mask[:, None], visual, grounded.focus)
            image_mask = None
        return self.merge(grounded.focus, None if visual is None else self.visual_projection(visual), image_mask)

    def _embed_item(
        self,
        pixel_values: torch.Tensor | None,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        image_mask: torch.Tensor | None,
        interpolate_pos_encoding: bool = True,
        **kwargs,
    ) -> TigerFGItemOutput:
        check_kwargs(self, kwargs)
        if pixel_values is None and input_ids is None:
            raise ValueError("An item needs `pixel_values`, `input_ids` or both; neither was given.")
        if pixel_values is not None and input_ids is not None and pixel_values.shape[0] != input_ids.shape[0]:
            raise ValueError(f"{pixel_values.shape[0]} item images were given with {input_ids.shape[0]} texts.")
        tokens = text = None
        if pixel_values is not None:
            tokens = self.encode_item_image(pixel_values, interpolate_pos_encoding=interpolate_pos_encoding, **kwargs)
        if input_ids is not None:
            text = self.encode_item_text(input_ids, attention_mask, **kwargs)
        output = self.fuse_item(tokens, text, attention_mask, image_mask, **kwargs)
        if self.config.num_glances == 1 or tokens is None:
            return output
        return self.look_again(pixel_values, tokens, output, text, attention_mask, image_mask, **kwargs)
