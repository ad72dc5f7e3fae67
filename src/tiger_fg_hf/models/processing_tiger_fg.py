"""Processor of TIGER-FG: images and structured product text to model inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from transformers.image_processing_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .image_processing_pil_tiger_fg import Box, list_images
from .record_text import RecordTemplate, tokenize_texts


class TigerFGProcessor(ProcessorMixin):
    """
    Image processor, text template and tokenizer of TIGER-FG in one.

    A product record is rendered to text by `text_template`, a list of segments joined by `text_separator`. A segment
    whose fields are not all present is left out together with its separator. All of it is saved in
    `processor_config.json`.

    Args:
        image_processor: A [`TigerFGImageProcessor`] or [`TigerFGImageProcessorPil`].
        tokenizer: Any transformers tokenizer with a padding token.
        text_template: Segments such as `"Category: {category}"`. `{attributes}` stands for the rendered attributes,
            any other field for the value of that key of the record.
        text_separator: What joins the segments.
        attribute_template: How one attribute is rendered, with the fields `{name}` and `{value}`.
        attribute_separator: What joins the attributes.
        max_length: Longest text in tokens, special tokens included; longer text is truncated.
        query_size: `{"height", "width"}` in pixels of queries where it is not that of items: a crop shows one product,
            a listing photo shows it among others, so that items want more pixels. By default that of items,
            `image_processor.size`.

    Raises:
        ValueError: If `query_size` is not of that form; if a template has no field, a field that is not a bare name,
            or a field that cannot occur there; or if the tokenizer has no padding token.

    Example:
        ```python
        processor = TigerFGProcessor.from_pretrained(path)
        query = processor(images=[crop], return_tensors="pt")
        record = {"title": "Linen shirt", "category": "Shirts", "attributes": {"color": "blue", "size": None}}
        item = processor(images=[photo], text=[record], return_tensors="pt")  # "Linen shirt | Shirts | color: blue"
        ```
    """

    def __init__(
        self,
        image_processor=None,
        tokenizer=None,
        text_template: Sequence[str] = ("{title}", "{category}", "{attributes}"),
        text_separator: str = " | ",
        attribute_template: str = "{name}: {value}",
        attribute_separator: str = ", ",
        max_length: int = 64,
        query_size: dict[str, int] | None = None,
    ):
        super().__init__(image_processor, tokenizer)
        if tokenizer.pad_token_id is None:
            raise ValueError("the tokenizer has no padding token; set one, as in tokenizer.pad_token = '<pad>'")
        self._template = RecordTemplate(text_template, text_separator, attribute_template, attribute_separator)
        self.text_template = list(text_template)
        self.text_separator = text_separator
        self.attribute_template = attribute_template
        self.attribute_separator = attribute_separator
        self.max_length = max_length
        if query_size is not None and (query_size.keys() != {"height", "width"} or min(query_size.values()) < 1):
            raise ValueError(f"query_size must be {{'height': ..., 'width': ...}} in pixels, got {query_size!r}")
        self.query_size = query_size

    @property
    def text_kwargs(self) -> dict[str, Any]:
        """Tokenizer arguments of a call that does not override them."""
        return {
            "padding": True,
            "truncation": True,
            "max_length": min(self.max_length, self.tokenizer.model_max_length),
            "return_token_type_ids": False,
        }

    @classmethod
    def get_processor_dict(cls, pretrained_model_name_or_path, **kwargs):
        found, kwargs = super().get_processor_dict(pretrained_model_name_or_path, **kwargs)
        # Another model's processor has other texts and tokenizers, with which this one would read nonsense.
        kind = found.get("processor_class", cls.__name__)
        if kind != cls.__name__:
            raise ValueError(
                f"'{pretrained_model_name_or_path}' holds a {kind}; a {cls.__name__} cannot be read from it."
            )
        return found, kwargs

    @property
    def model_input_names(self) -> list[str]:
        """Names of the inputs; `image_mask` is there only when some item has no image."""
        return ["pixel_values", "image_mask", "input_ids", "attention_mask"]

    def __call__(
        self,
        images: Any = None,
        text: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any] | None] | None = None,
        boxes: Sequence[Box | None] | None = None,
        **kwargs,
    ) -> BatchFeature:
        """
        Prepare queries (`images`), items (`images` and `text`, which may be `None` for each) or text alone.

        Images without `text` are queries and get `query_size`; `processor.image_processor` prepares pictures of items
        without their texts.

        Args:
            images: One image or a list of B, each a `PIL.Image`, path, bytes, `{"bytes", "path"}` dict, array or
                tensor (see [`load_rgb_image`]). With `text`, an item without image is `None`.
            text: One text or a list of B: a string, a record such as `{"title", "category", "attributes"}` (see
                [`~TigerFGProcessor.render_text`]), or `None` for an item without text.
            boxes: For each image the box `[x0, y0, x1, y1]` in pixels to cut out before resizing, or `None`.
            **kwargs: Options of the image processor and of the tokenizer, such as `size`, `max_length` or
                `return_tensors`, flat or in `images_kwargs` and `text_kwargs`.

        Returns:
            A `BatchFeature` with, where applicable:

            - `pixel_values` `[B, 3, H, W]`, float32; zeros for an item without image.
            - `image_mask` `[B]`, bool, `True` for an item with an image; only if some item has none.
            - `input_ids` `[B, L]` and `attention_mask` `[B, L]`. The row of an item without text is all padding: its
              `attention_mask` is 0 everywhere, special tokens included, which the model reads as "no text".

        Raises:
            ValueError: If both inputs are missing or empty, if their numbers differ, if, given both, an item has
                neither image nor text, or if an image, box or record cannot be used; the message names the item.
        """
        if images is None and text is None:
            raise ValueError("pass images, text or both")
        if images is None and boxes is not None:
            raise ValueError("boxes need images")
        options = self._merge_kwargs(**kwargs)
        return_tensors = options["text_kwargs"].pop("return_tensors", None)
        data = {}
        texts = None
        if text is not None:
            texts = self._template.render_all(text)
            data.update(tokenize_texts(self.tokenizer, texts, options["text_kwargs"]))
        if images is not None:
            data.update(self._process_item_images(list_images(images), texts, boxes, options["images_kwargs"]))
        return BatchFeature(data, tensor_type=return_tensors)

    def _process_item_images(self, images: list, texts: list[str] | None, boxes: Any, options: dict) -> dict[str, Any]:
        if texts is None:
            query_size = {} if self.query_size is None else {"size": self.query_size}
            return dict(self.image_processor(images, boxes, **{**query_size, **options}))
        if len(images) != len(texts):
            raise ValueError(f"got {len(images)} images and {len(texts)} texts; an item has one of each, or None")
        missing = [index for index, image in enumerate(images) if image is None]
        bare = [index for index in missing if not texts[index]]
        if bare:
            raise ValueError(f"item {bare[0]} has neither image nor text")
        for index in missing:
            images[index] = Image.new("RGB", (1, 1))
        inputs = dict(self.image_processor(images, boxes, **options))
        if missing:
            inputs["pixel_values"][missing] = 0.0
            inputs["image_mask"] = np.isin(np.arange(len(images)), missing, invert=True)
        return inputs

    def render_text(self, record: str | Mapping[str, Any] | None) -> str:
        """Render a product record to the text that the model reads; see [`RecordTemplate.render`]."""
        return self._template.render(record)


__all__ = ["TigerFGProcessor"]
