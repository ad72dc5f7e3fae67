"""Processor of TGQ-Former: images, titles for the dual encoder, and prompts for the language model."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.image_processing_utils import BatchFeature

from .image_loading_tiger_fg import list_images, load_reduced_rgb_image
from .processing_records import RecordProcessor, fill_missing_images, mask_missing_images
from .record_text import RecordTemplate, tokenize_texts

# Image processors of transformers copy a picture several times, as arrays of its full size.
_MAX_PIXELS_ELSEWHERE = 50_000_000


class TGQFormerProcessor(RecordProcessor):
    """Image processor, two tokenizers and text template of TGQ-Former in one.

    A product record becomes two texts: its title, which the dual encoder reads, and a prompt, which the language model
    reads. The prompt is `instruction` followed by the segments of `text_template` whose fields are all present. All
    options are saved in `processor_config.json`.

    Args:
        image_processor: Image processor of the dual encoder, or a [`TigerFGImageProcessorPil`] with its mean and
            standard deviation. For either, paths and bytes are opened by [`load_reduced_rgb_image`]: nothing is
            downloaded.
        tokenizer: Tokenizer of the language model.
        title_tokenizer: Tokenizer of the dual encoder.
        text_template, text_separator, attribute_template, attribute_separator, keep_html: Options of the prompt's
            [`RecordTemplate`].
        title_template: Segments of the text that the dual encoder reads, from which the metadata queries and the
            agreement signal are computed. By default the title alone, because dual encoders are trained on titles. The
            paper speaks of metadata; the literal reading is `["{title}", "{category}", "{attributes}"]`.
        instruction: Text to put before the text of every record that has one.
        max_length: Maximum length of a prompt in tokens, including special tokens; longer ones are truncated.
        max_title_length: Maximum length of a title in tokens, counted likewise.
        title_padding: `"longest"` pads titles to the longest of the batch, `"max_length"` to `max_title_length`.
            SigLIP takes a text's embedding from its last position and needs all of its 64 positions.
        columns: The column mapping of the training catalog; see [`TigerFGProcessor`].

    Raises:
        ValueError: If a template or `columns` cannot be used, or a tokenizer has no padding token.

    Example:
        ```python
        processor = TGQFormerProcessor.from_pretrained(path)
        record = {"title": "Linen shirt", "category": "Shirts", "attributes": {"color": "blue"}}
        inputs = processor(images=[photo], text=[record], return_tensors="pt")
        ```
    """

    def __init__(
        self,
        image_processor=None,
        tokenizer=None,
        title_tokenizer=None,
        text_template: Sequence[str] = ("{title}", "{category}", "{attributes}"),
        text_separator: str = " | ",
        attribute_template: str = "{name}: {value}",
        attribute_separator: str = ", ",
        title_template: Sequence[str] = ("{title}",),
        instruction: str = "",
        max_length: int = 64,
        max_title_length: int = 52,
        title_padding: str = "longest",
        columns: Mapping[str, str | Sequence[str]] | None = None,
        keep_html: bool = False,
    ):
        if title_tokenizer is tokenizer:
            title_tokenizer = copy.deepcopy(tokenizer)  # transformers cannot save one object twice with code
        super().__init__(image_processor, tokenizer, title_tokenizer)
        for name, given in (("tokenizer", tokenizer), ("title_tokenizer", title_tokenizer)):
            if given.pad_token_id is None:
                raise ValueError(f"the {name} has no padding token; set one, as in {name}.pad_token = '<pad>'")
        self._set_text_options(
            text_template, text_separator, attribute_template, attribute_separator, columns, keep_html
        )
        self.title_template = list(title_template)
        RecordTemplate(title_template)  # raises for segments that cannot be used
        self.instruction = instruction
        self.max_length = max_length
        self.max_title_length = max_title_length
        if title_padding not in ("longest", "max_length"):
            raise ValueError(f"title_padding must be 'longest' or 'max_length', got {title_padding!r}")
        self.title_padding = title_padding

    @property
    def model_input_names(self) -> list[str]:
        """Names of the inputs; a batch has `image_mask` only if some item has no image."""
        return [
            *("pixel_values", "image_mask"),
            *("title_input_ids", "title_attention_mask"),
            *("input_ids", "attention_mask"),
        ]

    def __call__(
        self,
        images: Any = None,
        text: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any] | None] | None = None,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """Prepare items: images, records, or both.

        Args:
            images: One image or a list of B, as the image processor accepts them, or paths, encoded bytes and
                `{"bytes", "path"}` dicts; with `text`, pass `None` for an item without an image.
            text: One text or a list of B: a record such as `{"title", "category", "attributes"}`, a string (used as
                title and prompt), or `None` for an item without text.
            return_tensors: `"pt"`, `"np"` or `None`.

        Returns:
            A `BatchFeature` with, where applicable:

            - `pixel_values` `[B, 3, H, W]`, float32; zeros for an item without an image.
            - `image_mask` `[B]`, bool, `True` for an item with an image; present only if some item has none.
            - `title_input_ids`, `title_attention_mask` `[B, L]`, `input_ids`, `attention_mask` `[B, L']`; the mask is
              0 everywhere in the row of an item without a title or text.

        Raises:
            ValueError: If both inputs are missing, if their numbers differ, if an item has neither image nor text, or
                if an image or record cannot be used.
        """
        if images is None and text is None:
            raise ValueError("pass images, text or both")
        data: dict[str, Any] = {}
        prompts = None
        if text is not None:
            prompts, titles = self._render(self._list_records(text))
            title = self._tokenize(self.title_tokenizer, titles, self.max_title_length, self.title_padding)
            prompt = self._tokenize(self.tokenizer, prompts, self.max_length)
            data.update({f"title_{name}": value for name, value in title.items()}, **prompt)
        if images is not None:
            images, missing = fill_missing_images(list_images(images), prompts)
            data.update(mask_missing_images(self._pixels(images), missing))
        elif prompts is not None and "" in prompts:
            raise ValueError(f"item {prompts.index('')} has neither image nor text")
        return BatchFeature(data, tensor_type=return_tensors)

    def _pixels(self, images: list[Any]) -> np.ndarray:
        """Return `[B, 3, H, W]`. Image processors of other libraries never see a path, which they might download."""
        is_ours = hasattr(self.image_processor, "resize_mode")
        if is_ours or all(isinstance(image, Image.Image | np.ndarray | torch.Tensor) for image in images):
            pixels = self.image_processor(images, return_tensors="np")["pixel_values"]
            return np.asarray(pixels, dtype=np.float32)
        parts = []
        for index, image in enumerate(images):
            if not isinstance(image, Image.Image | np.ndarray | torch.Tensor):
                name = f"images[{index}]"
                image = load_reduced_rgb_image(image, name=name, max_pixels=_MAX_PIXELS_ELSEWHERE).image
            parts.append(np.asarray(self.image_processor([image], return_tensors="np")["pixel_values"], np.float32))
        return np.concatenate(parts)

    def _render(self, records: list[Any]) -> tuple[list[str], list[str]]:
        """Return the prompts and the titles of records."""
        texts = self._template.render_all(records)
        prompts = [self.instruction + text if text else "" for text in texts]
        return prompts, [self._template.render_part(record, self.title_template) for record in records]

    def _readers(self, records: list[Any]) -> list[tuple[Any, list[str], int]]:
        prompts, titles = self._render(records)
        return [
            (self.tokenizer, prompts, min(self.max_length, self.tokenizer.model_max_length)),
            (self.title_tokenizer, titles, min(self.max_title_length, self.title_tokenizer.model_max_length)),
        ]

    @staticmethod
    def _tokenize(tokenizer: Any, texts: list[str], max_length: int, padding: str = "longest") -> dict[str, Any]:
        options = {
            "padding": padding,
            "truncation": True,
            "max_length": min(max_length, tokenizer.model_max_length),
            "return_token_type_ids": False,
        }
        return tokenize_texts(tokenizer, texts, options)


__all__ = ["TGQFormerProcessor"]
