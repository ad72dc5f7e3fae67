"""Product records as the text that models read."""

import json
import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

# Control characters that are not white space, lone surrogates (which cannot be encoded) and the byte-order mark.
_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff]")
# As catalogs are read for training.
_LIST_SEPARATOR = ", "


class RecordTemplate:
    """
    Renders a product record as a list of segments; one whose fields are not all present is left out.

    Args:
        text_template: Segments such as `"Category: {category}"`. `{attributes}` stands for the rendered attributes,
            any other field for the value of that key of the record.
        text_separator: What joins the segments.
        attribute_template: How one attribute is rendered, with the fields `{name}` and `{value}`.
        attribute_separator: What joins the attributes.

    Raises:
        ValueError: If a template has no field, a field that is not a bare name, or a field that cannot occur there.
    """

    def __init__(
        self, text_template: Sequence[str], text_separator: str, attribute_template: str, attribute_separator: str
    ):
        if isinstance(text_template, str):
            raise ValueError(f"text_template must be a list of segments, got the string {text_template!r}")
        self._segments = [(segment, _template_fields(segment)) for segment in text_template]
        if not {"value"} <= _template_fields(attribute_template) <= {"name", "value"}:
            raise ValueError(f"attribute_template must use {{value}} and may use {{name}}, got {attribute_template!r}")
        self._separator = text_separator
        self._attribute_template = attribute_template
        self._attribute_separator = attribute_separator

    def render_all(self, text: Any) -> list[str]:
        """
        Render one record or a list of them; see `render`.

        Raises:
            ValueError: If there are none, or one cannot be rendered; the message names it.
        """
        texts = text if isinstance(text, Sequence) and not isinstance(text, str) else [text]
        if not texts:
            raise ValueError("text is empty: pass at least one text")
        rendered = []
        for index, record in enumerate(texts):
            try:
                rendered.append(self.render(record))
            except ValueError as error:
                raise ValueError(f"text[{index}]: {error}") from error
        return rendered

    def render(self, record: str | Mapping[str, Any] | None) -> str:
        """
        Render a product record to the text that the model reads.

        Text is normalised to Unicode NFC, white space is collapsed, and control characters are removed. A value may be
        a string, a number or a list of those, which is joined by `", "`. `None`, NaN and blank values count as
        missing, and keys that no segment of the template names are ignored.

        Args:
            record: A record such as `{"title": ..., "category": ..., "attributes": {name: value}}`, a string (used as
                it is, without the template), or `None`. Attributes may also be JSON text, or keys `attributes.<name>`
                as in rows of a loaded catalog.

        Returns:
            The text; `""` if there is nothing to say.

        Raises:
            ValueError: If the record or one of its values is of another type.
        """
        if record is None or isinstance(record, str):
            return clean_text(record or "")
        if not isinstance(record, Mapping):
            raise ValueError(f"expected a string, a record (dict) or None, got {type(record).__name__}")
        values: dict[str, str] = {}
        segments = []
        for segment, fields in self._segments:
            for field in fields - values.keys():
                if field == "attributes":
                    values[field] = self._render_attributes(_attributes_of(record))
                else:
                    values[field] = render_value(record.get(field), field)
            if all(values[field] for field in fields):
                segments.append(segment.format_map(values))
        return self._separator.join(segments)

    def _render_attributes(self, attributes: Mapping[str, Any]) -> str:
        rendered = []
        for name, value in attributes.items():
            value = render_value(value, f"attributes[{name!r}]")
            if value:
                rendered.append(self._attribute_template.format(name=clean_text(str(name)), value=value))
        return self._attribute_separator.join(rendered)


def _attributes_of(record: Mapping[str, Any]) -> dict[str, Any]:
    attributes = record.get("attributes")
    if isinstance(attributes, str) and attributes.lstrip().startswith("{"):
        try:
            attributes = json.loads(attributes)
        except json.JSONDecodeError as error:
            raise ValueError(f"attributes is no valid JSON ({error}): {attributes[:80]!r}") from None
    if attributes is not None and not isinstance(attributes, Mapping):
        raise ValueError(f"attributes must be a dict, got {type(attributes).__name__}")
    spread = {name: value for name, value in record.items() if name.startswith("attributes.")}
    return {**(attributes or {}), **{name.removeprefix("attributes."): value for name, value in spread.items()}}


def tokenize_texts(tokenizer: Any, texts: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """
    `input_ids` and `attention_mask` of texts; the row of an empty one is all padding, special tokens included.

    Args:
        tokenizer: Any transformers tokenizer with a padding token.
        options: For its call, padding among them.
    """
    # Some tokenizers return no token at all for "", so that a batch of empty texts would have no columns.
    encoding = tokenizer([text or "-" for text in texts], **options, return_attention_mask=True)
    for row, text in enumerate(texts):
        if not text:
            length = len(encoding["input_ids"][row])
            encoding["input_ids"][row] = [tokenizer.pad_token_id] * length
            encoding["attention_mask"][row] = [0] * length
    return dict(encoding)


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


def clean_text(text: str) -> str:
    """NFC, without control characters, every run of white space as one space."""
    return " ".join(_UNPRINTABLE.sub("", unicodedata.normalize("NFC", text)).split())


def render_value(value: Any, name: str) -> str:
    """
    One value of a record as text; `""` where it is missing.

    Raises:
        ValueError: If it is of another type; `name` says which value.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Number):
        return str(value) if value == value else ""  # NaN, which marks a missing value in data frames
    if isinstance(value, list | tuple):
        return _LIST_SEPARATOR.join(filter(None, (render_value(element, name) for element in value)))
    raise ValueError(f"{name} must be a string, a number or a list of those, got {type(value).__name__}")
