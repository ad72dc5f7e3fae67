"""Processor of TIGER-FG: images and structured product text to model inputs."""

import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np
from PIL import Image
from transformers.image_processing_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .image_processing_pil_tiger_fg import Box, list_images

# Control characters that are not white space, lone surrogates (which cannot be encoded) and the byte-order mark.
_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff]")
_LIST_SEPARATOR = " / "


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
        if isinstance(text_template, str):
            raise ValueError(f"text_template must be a list of segments, got the string {text_template!r}")
        self.text_template = list(text_template)
        self.text_separator = text_separator
        self.attribute_template = attribute_template
        self.attribute_separator = attribute_separator
        self.max_length = max_length
        if query_size is not None and (query_size.keys() != {"height", "width"} or min(query_size.values()) < 1):
            raise ValueError(f"query_size must be {{'height': ..., 'width': ...}} in pixels, got {query_size!r}")
        self.query_size = query_size
        self._segments = [(segment, _template_fields(segment)) for segment in self.text_template]
        if not {"value"} <= _template_fields(attribute_template) <= {"name", "value"}:
            raise ValueError(f"attribute_template must use {{value}} and may use {{name}}, got {attribute_template!r}")

    @property
    def text_kwargs(self) -> dict[str, Any]:
        """Tokenizer arguments of a call that does not override them."""
        return {
            "padding": True,
            "truncation": True,
            "max_length": min(self.max_length, self.tokenizer.model_max_length),
            "return_token_type_ids": False,
        }

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
            ValueError: If both inputs are missing or empty, if their numbers differ, if an item has neither image nor
                text, or if an image, box or record cannot be used; the message names the item.
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
            texts = self._render_texts(text)
            data.update(self._tokenize(texts, options["text_kwargs"]))
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

    def _tokenize(self, texts: list[str], options: dict[str, Any]) -> dict[str, Any]:
        # Some tokenizers return no token at all for "", so that a batch of empty texts would have no columns.
        encoding = self.tokenizer([text or "-" for text in texts], **options, return_attention_mask=True)
        for row, text in enumerate(texts):
            if not text:
                length = len(encoding["input_ids"][row])
                encoding["input_ids"][row] = [self.tokenizer.pad_token_id] * length
                encoding["attention_mask"][row] = [0] * length
        return dict(encoding)

    def _render_texts(self, text: Any) -> list[str]:
        texts = text if isinstance(text, Sequence) and not isinstance(text, str) else [text]
        if not texts:
            raise ValueError("text is empty: pass at least one text")
        rendered = []
        for index, record in enumerate(texts):
            try:
                rendered.append(self.render_text(record))
            except ValueError as error:
                raise ValueError(f"text[{index}]: {error}") from error
        return rendered

    def render_text(self, record: str | Mapping[str, Any] | None) -> str:
        """
        Render a product record to the text that the model reads.

        Text is normalised to Unicode NFC, white space is collapsed, and control characters are removed. A value may be
        a string, a number or a list of those, which is joined by `" / "`. `None`, NaN and blank values count as
        missing, and keys that no segment of `text_template` names are ignored.

        Args:
            record: A record such as `{"title": ..., "category": ..., "attributes": {name: value}}`, a string (used as
                it is, without the template), or `None`.

        Returns:
            The text; `""` if there is nothing to say.

        Raises:
            ValueError: If the record or one of its values is of another type.
        """
        if record is None or isinstance(record, str):
            return _clean(record or "")
        if not isinstance(record, Mapping):
            raise ValueError(f"expected a string, a record (dict) or None, got {type(record).__name__}")
        values: dict[str, str] = {}
        segments = []
        for segment, fields in self._segments:
            for field in fields - values.keys():
                render = self._render_attributes if field == "attributes" else _render_value
                values[field] = render(record.get(field), field)
            if all(values[field] for field in fields):
                segments.append(segment.format_map(values))
        return self.text_separator.join(segments)

    def _render_attributes(self, attributes: Mapping[str, Any] | None, field: str) -> str:
        if attributes is None:
            return ""
        if not isinstance(attributes, Mapping):
            raise ValueError(f"{field} must be a dict, got {type(attributes).__name__}")
        rendered = []
        for name, value in attributes.items():
            value = _render_value(value, f"{field}[{name!r}]")
            if value:
                rendered.append(self.attribute_template.format(name=_clean(str(name)), value=value))
        return self.attribute_separator.join(rendered)


def _template_fields(template: str) -> set[str]:
    """Return the fields of a template, which must be bare names: no attribute, index, conversion or format."""
    try:
        parsed = list(string.Formatter().parse(template))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{template!r} is not a template: {error}") from error
    fields = {field for _, field, _, _ in parsed if field is not None}
    plain = all(field is None or (field.isidentifier() and not spec and not conv) for _, field, spec, conv in parsed)
    if not fields or not plain:
        raise ValueError(f"the template {template!r} needs one or more fields, all of them bare names like {{title}}")
    return fields


def _clean(text: str) -> str:
    return " ".join(_UNPRINTABLE.sub("", unicodedata.normalize("NFC", text)).split())


def _render_value(value: Any, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, Number):
        return str(value) if value == value else ""  # NaN, which marks a missing value in data frames
    if isinstance(value, list | tuple):
        return _LIST_SEPARATOR.join(filter(None, (_render_value(element, name) for element in value)))
    raise ValueError(f"{name} must be a string, a number or a list of those, got {type(value).__name__}")


__all__ = ["TigerFGProcessor"]
