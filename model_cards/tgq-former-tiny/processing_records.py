"""What the processors of both models share: text options, safe loading, and items without a picture."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image
from transformers.processing_utils import ProcessorMixin

from .record_text import RecordTemplate, check_mapping, exceeds_length, map_columns
from .special_tokens import special_tokens_of


class RecordProcessor(ProcessorMixin):
    """Base class of the processors that render product records to text."""

    def _set_text_options(
        self,
        text_template: Sequence[str],
        text_separator: str,
        attribute_template: str,
        attribute_separator: str,
        columns: Mapping[str, str | Sequence[str]] | None,
        keep_html: bool,
    ) -> None:
        """Check the options of the template, and store them under the names they are saved as."""
        self.text_template = text_template if isinstance(text_template, str) else list(text_template)
        self.text_separator = text_separator
        self.attribute_template = attribute_template
        self.attribute_separator = attribute_separator
        self.keep_html = keep_html
        check_mapping(columns or {})
        self.columns = {
            name: source if isinstance(source, str) else list(source) for name, source in (columns or {}).items()
        } or None
        _ = self._template  # raises for templates that cannot be used

    @property
    def _template(self) -> RecordTemplate:
        segments = self.text_template if isinstance(self.text_template, str) else tuple(self.text_template)
        return _cached_template(
            segments,
            self.text_separator,
            self.attribute_template,
            self.attribute_separator,
            self.keep_html,
            special_tokens_of(*self._tokenizers()),
        )

    def _tokenizers(self) -> list[Any]:
        """Return the tokenizers that read records."""
        return [getattr(self, name) for name in self.get_attributes() if name.endswith("tokenizer")]

    @classmethod
    def get_processor_dict(cls, pretrained_model_name_or_path, **kwargs):
        """Read the saved options; refuse those of the other kind of processor."""
        saved, kwargs = super().get_processor_dict(pretrained_model_name_or_path, **kwargs)
        kind = saved.get("processor_class", cls.__name__)
        if kind != cls.__name__:
            raise ValueError(
                f"'{pretrained_model_name_or_path}' holds a {kind}; a {cls.__name__} cannot be read from it."
            )
        return saved, kwargs

    def render_text(self, record: str | Mapping[str, Any] | None) -> str:
        """Render a product record to the text that the model reads; see [`RecordTemplate.render`]."""
        return self._template.render(self._map(record))

    def _map(self, record: Any) -> Any:
        """Add the schema's names to a record that has those of its source."""
        return map_columns(record, self.columns) if isinstance(record, Mapping) else record

    def count_cut(self, text: Any) -> int:
        """Count the records whose text is cut off because it is longer than the model reads.

        Args:
            text: One record or a list of them, as in a call.
        """
        checks = [exceeds_length(*reader) for reader in self._readers(self._list_records(text))]
        return sum(map(any, zip(*checks, strict=True)))

    def _list_records(self, text: Any) -> list[Any]:
        """Return one or several records as a list, with the schema's names."""
        records = text if isinstance(text, Sequence) and not isinstance(text, str) else [text]
        if not records:
            raise ValueError("text is empty: pass at least one text")
        return [self._map(record) for record in records]

    def _readers(self, records: list[Any]) -> list[tuple[Any, list[str], int]]:
        """Return each tokenizer with the texts it reads from the records and its maximum length in tokens."""
        raise NotImplementedError


_cached_template = lru_cache(RecordTemplate)


def fill_missing_images(images: list[Any], texts: list[str] | None) -> tuple[list[Any], list[int]]:
    """Replace each missing image by a placeholder, so that the batch keeps its rows.

    Args:
        images: Images, `None` for an item without one.
        texts: The text of each item, `""` for an item without one; `None` if there are no texts at all.

    Returns:
        The images with placeholders, and the positions of the placeholders.

    Raises:
        ValueError: If the numbers of images and texts differ, or an item has neither.
    """
    if texts is not None and len(images) != len(texts):
        raise ValueError(f"got {len(images)} images and {len(texts)} texts; an item has one of each, or None")
    missing = [index for index, image in enumerate(images) if image is None]
    for index in missing:
        if texts is None or not texts[index]:
            raise ValueError(f"item {index} has neither image nor text")
    placeholder = Image.new("RGB", (1, 1))
    return [placeholder if image is None else image for image in images], missing


def mask_missing_images(pixel_values: Any, missing: list[int]) -> dict[str, Any]:
    """Set the pixels of placeholders to zero.

    Args:
        pixel_values: `[B, 3, H, W]`, changed in place.
        missing: Positions of the placeholders.

    Returns:
        `pixel_values`, and if any image is missing, `image_mask` `[B]`, bool, `True` for an item with an image.
    """
    if not missing:
        return {"pixel_values": pixel_values}
    pixel_values[missing] = 0.0
    return {"pixel_values": pixel_values, "image_mask": np.isin(np.arange(len(pixel_values)), missing, invert=True)}
