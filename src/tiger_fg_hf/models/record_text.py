"""Product records as text: the one place that folds attributes, maps columns and renders the text that models read."""

import json
import re
import string
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .html_text import strip_html
from .special_tokens import spell_special_tokens
from .text_cut import cut_texts
from .tokenizer_lock import tokenizing
from .unicode_text import normalize_nfc
from .value_text import shown, value_text

SCHEMA = ("item_id", "image", "title", "category", "attributes", "box", "query_image")
"""The names of a record's fields, in order."""

ATTRIBUTE_PREFIX = "attributes."
"""Prefix of the name of a column that holds one attribute or several: `attributes.color`."""

# Control characters that are not white space, lone surrogates (which cannot be encoded) and the byte-order mark.
_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff]")


def fold_attributes(row: Mapping[str, Any]) -> dict[str, str] | None:
    """Fold the columns `attributes` and `attributes.<name>` of a row into one dict.

    A mapping, or a JSON object as text, contributes all its entries. Any other value becomes one attribute, named
    after its column: `attributes.color` becomes `color`, and plain text in the column `attributes` becomes
    `attributes`. `attributes` is read first; later columns replace entries of the same name.

    Args:
        row: A row of a catalog or a record; other keys are ignored.

    Returns:
        The attributes as text, without empty ones, or `None` if there are none.

    Raises:
        ValueError: If text that starts like a JSON object is not one, or a value cannot be read as text; the message
            names it.

    Example:
        >>> fold_attributes({"attributes": '{"color": "teal", "size": null}', "attributes.use": ["tea", "soup"]})
        {'color': 'teal', 'use': 'tea, soup'}
        >>> fold_attributes({"title": "Mug"}) is None
        True
    """
    attributes: dict[str, str] = {}
    # `attributes` comes first wherever it stands in the row, as in a loaded catalog.
    columns = ["attributes", *filter(_is_attribute, row)]
    for column, value in ((column, row[column]) for column in columns if column in row):
        if isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{column} is not valid JSON ({error}): {value[:80]!r}") from None
        entries = value if isinstance(value, Mapping) else {column.removeprefix(ATTRIBUTE_PREFIX): value}
        for name, entry in entries.items():
            text = value_text(entry, column if entries is not value else f"{column}[{shown(name)}]")
            if text:
                attributes[value_text(name, f"a name in {column}") if not isinstance(name, str) else name] = text
    return attributes or None


def check_names(row: Mapping[str, Any]) -> None:
    """Check that a row or record is a mapping whose names are text.

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"expected a record (dict), got {type(row).__name__}")
    for name in row:
        if not isinstance(name, str):
            raise ValueError(f"the names of a record must be text, got {shown(name)} ({type(name).__name__})")


def _is_attribute(name: Any) -> bool:
    return isinstance(name, str) and name.startswith(ATTRIBUTE_PREFIX)


def has_unmapped_columns(names: Collection[str], columns: Mapping[str, str | Sequence[str]] | None) -> bool:
    """Whether rows with these columns still have the names of their source.

    That is the case if a source column of the mapping is there whose name is not in the schema. A loaded catalog has
    none.
    """
    sources = (
        source for given in (columns or {}).values() for source in ([given] if isinstance(given, str) else given)
    )
    return any(source in names and source not in SCHEMA for source in sources)


def map_columns(row: Mapping[str, Any], columns: Mapping[str, str | Sequence[str]] | None) -> Mapping[str, Any]:
    """Give a row of an unmapped source the names of the schema, as `load_catalog` does.

    If the row still has columns of the source (see `has_unmapped_columns`), the mapping decides, also for names that
    the row has. Otherwise it only adds missing names. Rows of a loaded catalog and records pass unchanged, and mapping
    a row a second time changes nothing.

    Args:
        row: A row of any source.
        columns: Schema name to source column. `attributes` may name several columns; each becomes
            `attributes.<column>`, and the row's other attributes are dropped.

    Returns:
        The row itself if there is nothing to map, or else a new dict that also keeps the row's columns.

    Example:
        >>> map_columns({"name": "Mug", "color": "teal"}, {"title": "name", "attributes": ["color", "size"]})
        {'name': 'Mug', 'color': 'teal', 'title': 'Mug', 'attributes.color': 'teal'}
    """
    is_unmapped = has_unmapped_columns(row, columns)
    mapped: dict[str, Any] = {}
    for name, source in (columns or {}).items():
        if name == "attributes":
            sources = [source] if isinstance(source, str) else source
            if is_unmapped or not any(map(_is_attribute, row)):
                mapped |= _map_attributes(row, sources, is_unmapped)
        elif isinstance(source, str) and source in row and (is_unmapped or name not in row):
            mapped[name] = row[source]
    if not mapped:
        return row
    if any(map(_is_attribute, mapped)):
        row = {name: v for name, v in row.items() if name != "attributes" and not _is_attribute(name)}
    return {**row, **mapped}


def _map_attributes(row: Mapping[str, Any], sources: Sequence[str], is_unmapped: bool) -> dict[str, Any]:
    if "attributes" in row and "attributes" not in sources and not is_unmapped:
        return {}
    mapped = {}
    for source in sources:
        # A row that is mapped a second time has the source `attributes` under its new name alone.
        for column in (source, ATTRIBUTE_PREFIX + source):
            if column in row:
                mapped[ATTRIBUTE_PREFIX + source] = row[column]
                break
    return mapped


def clean_text(text: str, *, keep_html: bool = False) -> str:
    r"""Normalize text to Unicode NFC, remove HTML and control characters, and collapse white space.

    Args:
        text: Any text.
        keep_html: Whether to keep HTML tags and entities; see `strip_html`.

    Example:
        >>> clean_text("  Linen&nbsp;<b>shirt</b>\n ")
        'Linen shirt'
    """
    text = normalize_nfc(text if keep_html else strip_html(text))
    return " ".join(_UNPRINTABLE.sub("", text).split())


class RecordTemplate:
    """Renders a product record as a list of segments, leaving out every segment that has a missing field.

    Args:
        text_template: Segments such as `"Category: {category}"`. `{attributes}` stands for the rendered attributes,
            any other field for the value of that key in the record.
        text_separator: Text between two segments.
        attribute_template: Format of one attribute, with the fields `{name}` and `{value}`.
        attribute_separator: Text between two attributes.
        keep_html: Whether to keep HTML tags and entities; see `strip_html`.
        special_tokens: The tokenizer's special tokens. In the values of a record they are text; see
            `spell_special_tokens`. In the template they stay.

    Raises:
        ValueError: If a template has no field, a field that is not a bare name, or a field that cannot occur there.

    Example:
        >>> template = RecordTemplate(["{title}", "in {category}", "{attributes}"])
        >>> template.render({"title": "Linen shirt", "attributes": {"color": "blue", "size": None}})
        'Linen shirt | color: blue'
    """

    def __init__(
        self,
        text_template: Sequence[str],
        text_separator: str = " | ",
        attribute_template: str = "{name}: {value}",
        attribute_separator: str = ", ",
        keep_html: bool = False,
        special_tokens: tuple[str, ...] = (),
    ):
        if isinstance(text_template, str):
            raise ValueError(f"text_template must be a list of segments, got the string {text_template!r}")
        self._segments = [(segment, _template_fields(segment)) for segment in text_template]
        if not {"value"} <= _template_fields(attribute_template) <= {"name", "value"}:
            raise ValueError(f"attribute_template must use {{value}} and may use {{name}}, got {attribute_template!r}")
        self._fields = sorted({field for _, fields in self._segments for field in fields})
        self._known = {*SCHEMA, *self._fields}
        self._separator = text_separator
        self._attribute_template = attribute_template
        self._attribute_separator = attribute_separator
        self._keep_html = keep_html
        self._special_tokens = special_tokens

    def render_all(self, records: Sequence[str | Mapping[str, Any] | None]) -> list[str]:
        """Render each of several records; see `render`. Errors name the position of the record."""
        rendered = []
        for index, record in enumerate(records):
            try:
                rendered.append(self.render(record))
            except ValueError as error:
                raise ValueError(f"text[{index}]: {error}") from error
        return rendered

    def render(self, record: str | Mapping[str, Any] | None) -> str:
        """Render a product record to the text that the model reads.

        Normalizes text to Unicode NFC, collapses white space, and removes HTML and control characters.
        `None`, NaN and blank values count as missing; see `value_text` for other values. Keys that no segment
        names are ignored.

        Args:
            record: A record such as `{"title": ..., "category": ..., "attributes": {name: value}}`, a row of a catalog
                (see `fold_attributes`), a string, which is used without the template, or `None`.

        Returns:
            The text, or `""` if the record has none.

        Raises:
            ValueError: If the record is of another type, one of its values cannot be read as text, or it has keys
                outside the schema but no field of the template.
        """
        if record is None or isinstance(record, str):
            return self._clean(record or "")
        self._check_names(record)
        return self._join(record, self._segments)

    def render_part(self, record: str | Mapping[str, Any] | None, segments: Sequence[str]) -> str:
        """Render other segments of a record, such as `["{title}"]`; a string is used without them."""
        if record is None or isinstance(record, str):
            return self._clean(record or "")
        return self._join(record, [(segment, _template_fields(segment)) for segment in segments])

    def _join(self, record: Mapping[str, Any], template: Sequence[tuple[str, set[str]]]) -> str:
        values: dict[str, str] = {}
        segments = []
        for segment, fields in template:
            for field in fields - values.keys():
                values[field] = self._value(record, field)
            if all(values[field] for field in fields):
                segments.append(segment.format_map(values))
        return self._separator.join(segments)

    def _check_names(self, record: Mapping[str, Any]) -> None:
        """Refuse a record with names that are not text, or with names outside the schema but no template field."""
        if not isinstance(record, Mapping):
            raise ValueError(f"expected a string, a record (dict) or None, got {type(record).__name__}")
        check_names(record)
        attributes = any(map(_is_attribute, record))
        if not attributes and record.keys().isdisjoint(self._fields) and not record.keys() <= self._known:
            raise ValueError(
                f"the record has no field of the text template ({', '.join(self._fields)}), only "
                f"{', '.join(map(shown, record))}; rename its fields, map them with `columns`, or pass None for no "
                "text"
            )

    def _value(self, record: Mapping[str, Any], field: str) -> str:
        if field != "attributes":
            return self._clean(value_text(record.get(field), field))
        rendered = []
        for name, value in (fold_attributes(record) or {}).items():
            if value := self._clean(value):
                rendered.append(self._attribute_template.format(name=self._clean(name), value=value))
        return self._attribute_separator.join(rendered)

    def _clean(self, text: str) -> str:
        return spell_special_tokens(clean_text(text, keep_html=self._keep_html), self._special_tokens)


def check_mapping(columns: Mapping[str, str | Sequence[str]]) -> None:
    """Check that a column mapping maps the schema's names to source columns.

    Raises:
        ValueError: If a name is not in the schema, or maps to several columns and is not `attributes`.
    """
    for name, source in columns.items():
        if name not in SCHEMA:
            raise ValueError(f"columns: {name!r} is not in the schema, expected one of {', '.join(SCHEMA)}")
        if name != "attributes" and not isinstance(source, str):
            raise ValueError(f"columns: {name!r} takes one source column, found {source!r}")


def tokenize_texts(tokenizer: Any, texts: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Tokenize texts; the row of an empty text is all padding, without special tokens.

    Args:
        tokenizer: Any transformers tokenizer with a padding token.
        texts: The texts.
        options: Arguments of the tokenizer's call, padding among them.

    Returns:
        `input_ids` and `attention_mask`.
    """
    # Some tokenizers return no token at all for "", so a batch of empty texts would have no columns.
    with tokenizing():
        cut = cut_texts(tokenizer, texts, options)
        encoding = tokenizer([text or "-" for text in cut], **options, return_attention_mask=True)
    for row, text in enumerate(texts):
        if not text:
            length = len(encoding["input_ids"][row])
            encoding["input_ids"][row] = [tokenizer.pad_token_id] * length
            encoding["attention_mask"][row] = [0] * length
    return dict(encoding)


def exceeds_length(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[bool]:
    """Return for each text whether it has more than `max_length` tokens, special tokens included."""
    if not texts:
        return []
    with tokenizing():
        texts = cut_texts(tokenizer, texts, {"truncation": True, "max_length": max_length})
        encoding = tokenizer(texts, truncation=False, padding=False, verbose=False)
    return [len(ids) > max_length for ids in encoding["input_ids"]]


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
