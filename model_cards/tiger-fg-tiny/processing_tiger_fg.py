"""Processor of TIGER-FG: images and product records to model inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers.image_processing_utils import BatchFeature

from .image_loading_tiger_fg import list_images
from .image_processing_pil_tiger_fg import Box
from .processing_records import RecordProcessor, fill_missing_images, mask_missing_images
from .record_text import tokenize_texts


class TigerFGProcessor(RecordProcessor):
    """Image processor, text template and tokenizer of TIGER-FG in one.

    A product record is rendered to text by `text_template`, a list of segments joined by `text_separator`. A segment
    whose fields are not all present is left out together with its separator. All options are saved in
    `processor_config.json`.

    Args:
        image_processor: A [`TigerFGImageProcessor`] or [`TigerFGImageProcessorPil`].
        tokenizer: Any transformers tokenizer with a padding token.
        text_template: Segments such as `"Category: {category}"`. `{attributes}` stands for the rendered attributes,
            any other field for the value of that key in the record.
        text_separator: Text between two segments.
        attribute_template: Format of one attribute, with the fields `{name}` and `{value}`.
        attribute_separator: Text between two attributes.
        max_length: Maximum length of a text in tokens, including special tokens; longer texts are truncated.
        query_size: `{"height", "width"}` of queries in pixels, by default `image_processor.size`. A listing shows a
            product among others and needs more pixels than a crop of the product.
        glance_scale: How many times as large as `image_processor.size` the images of items are, for models that look
            twice (`TigerFGItemConfig.num_glances`). The first glance reduces them again. 1 by default.
        columns: The column mapping of the catalog that the model was trained with, schema name to source column, such
            as `{"title": "name", "attributes": ["color", "size"]}`. Records with the names of that source are
            mapped before they are rendered.
        keep_html: Whether to keep HTML tags and entities in texts. By default, tags are removed and entities decoded.

    Raises:
        ValueError: If `query_size` has another form or `glance_scale` is not positive; if a template has no field, a
            field that is not a bare name, or a field that cannot occur there; if `columns` maps a name that is not in
            the schema; or if the tokenizer has no padding token.

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
        columns: Mapping[str, str | Sequence[str]] | None = None,
        keep_html: bool = False,
        glance_scale: int | None = None,
    ):
        super().__init__(image_processor, tokenizer)
        if tokenizer.pad_token_id is None:
            raise ValueError("the tokenizer has no padding token; set one, as in tokenizer.pad_token = '<pad>'")
        self._set_text_options(
            text_template, text_separator, attribute_template, attribute_separator, columns, keep_html
        )
        self.max_length = max_length
        if query_size is not None and (query_size.keys() != {"height", "width"} or min(query_size.values()) < 1):
            raise ValueError(f"query_size must be {{'height': ..., 'width': ...}} in pixels, got {query_size!r}")
        self.query_size = query_size
        if glance_scale is not None and glance_scale < 1:
            raise ValueError(f"glance_scale must be a positive integer, got {glance_scale}")
        self.glance_scale = glance_scale

    @property
    def item_size(self) -> dict[str, int]:
        """Height and width of the pictures of items in pixels."""
        return {side: (self.glance_scale or 1) * self.image_processor.size[side] for side in ("height", "width")}

    @property
    def text_kwargs(self) -> dict[str, Any]:
        """Default tokenizer arguments of a call."""
        return {
            "padding": True,
            "truncation": True,
            "max_length": min(self.max_length, self.tokenizer.model_max_length),
            "return_token_type_ids": False,
        }

    @property
    def model_input_names(self) -> list[str]:
        """Names of the inputs; a batch has `image_mask` only if some item has no image."""
        return ["pixel_values", "image_mask", "input_ids", "attention_mask"]

    def __call__(
        self,
        images: Any = None,
        text: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any] | None] | None = None,
        boxes: Sequence[Box | None] | None = None,
        **kwargs,
    ) -> BatchFeature:
        """Prepare queries (`images`), items (`images` and `text`, either of which may be `None`) or text alone.

        Images without `text` are queries and get `query_size`. Call `processor.image_processor` to prepare the images
        of items without their texts, at the size of the first glance.

        Args:
            images: One image or a list of B, each a `PIL.Image`, path, bytes, `{"bytes", "path"}` dict, array or
                tensor (see [`load_rgb_image`]). With `text`, pass `None` for an item without an image.
            text: One text or a list of B: a string, a record such as `{"title", "category", "attributes"}` (see
                [`RecordTemplate.render`]), or `None` for an item without text.
            boxes: For each image, the box `[x0, y0, x1, y1]` in pixels to cut out before resizing, or `None`.
            **kwargs: Options of the image processor and of the tokenizer, such as `size`, `max_length` or
                `return_tensors`, flat or in `images_kwargs` and `text_kwargs`.

        Returns:
            A `BatchFeature` with, where applicable:

            - `pixel_values` `[B, 3, H, W]`, float32; zeros for an item without an image.
            - `image_mask` `[B]`, bool, `True` for an item with an image; present only if some item has none.
            - `input_ids` `[B, L]` and `attention_mask` `[B, L]`. The row of an item without text is all padding: its
              `attention_mask` is 0 everywhere, special tokens included, which the model reads as "no text".

        Raises:
            ValueError: If both inputs are missing or empty, if their numbers differ, if both are given and an item has
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
            texts = self._template.render_all(self._list_records(text))
            data.update(tokenize_texts(self.tokenizer, texts, options["text_kwargs"]))
        if images is not None:
            data.update(self._process_item_images(list_images(images), texts, boxes, options["images_kwargs"]))
        return BatchFeature(data, tensor_type=return_tensors)

    def _process_item_images(self, images: list, texts: list[str] | None, boxes: Any, options: dict) -> dict[str, Any]:
        if texts is None:
            query_size = {} if self.query_size is None else {"size": self.query_size}
            return dict(self.image_processor(images, boxes, **{**query_size, **options}))
        images, missing = fill_missing_images(images, texts)
        if self.glance_scale is not None:
            options = {"size": self.item_size, **options}
        return mask_missing_images(self.image_processor(images, boxes, **options)["pixel_values"], missing)

    def _readers(self, records: list[Any]) -> list[tuple[Any, list[str], int]]:
        return [(self.tokenizer, self._template.render_all(records), self.text_kwargs["max_length"])]


__all__ = ["TigerFGProcessor"]
