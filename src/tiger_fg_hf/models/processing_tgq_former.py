"""Processor of TGQ-Former: images, titles for the dual encoder, and prompts for the language model."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from transformers.image_processing_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .record_text import RecordTemplate, tokenize_texts


class TGQFormerProcessor(ProcessorMixin):
    """
    Image processor, the two tokenizers and the text template of TGQ-Former in one.

    A product record becomes two texts: its title, which the dual encoder reads, and a prompt of `instruction` and of
    the segments of `text_template` whose fields are all present. All of it is saved in `processor_config.json`.

    Args:
        image_processor: That of the dual encoder, or a [`TigerFGImageProcessorPil`] with its mean and deviation, which
            opens paths and bytes too.
        tokenizer: That of the language model.
        title_tokenizer: That of the dual encoder.
        text_template, text_separator, attribute_template, attribute_separator: See [`RecordTemplate`].
        instruction: What stands before every record that has a text.
        max_length: Longest prompt in tokens, special tokens included; longer ones are truncated.
        max_title_length: Longest title, likewise.
        title_padding: `"longest"` pads titles to the longest of the batch, `"max_length"` to `max_title_length`.
            SigLIP, which reads a text off its last position, wants all the positions that it has (64).

    Raises:
        ValueError: If a template cannot be used, or a tokenizer has no padding token.

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
        instruction: str = "",
        max_length: int = 64,
        max_title_length: int = 52,
        title_padding: str = "longest",
    ):
        if title_tokenizer is tokenizer:
            title_tokenizer = copy.deepcopy(tokenizer)  # transformers cannot save one object under two names with code
        super().__init__(image_processor, tokenizer, title_tokenizer)
        for name, given in (("tokenizer", tokenizer), ("title_tokenizer", title_tokenizer)):
            if given.pad_token_id is None:
                raise ValueError(f"the {name} has no padding token; set one, as in {name}.pad_token = '<pad>'")
        self._template = RecordTemplate(text_template, text_separator, attribute_template, attribute_separator)
        self._title_template = RecordTemplate(["{title}"], "", attribute_template, "")
        self.text_template = list(text_template)
        self.text_separator = text_separator
        self.attribute_template = attribute_template
        self.attribute_separator = attribute_separator
        self.instruction = instruction
        self.max_length = max_length
        self.max_title_length = max_title_length
        if title_padding not in ("longest", "max_length"):
            raise ValueError(f"title_padding must be 'longest' or 'max_length', got {title_padding!r}")
        self.title_padding = title_padding

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
        """
        Prepare items: pictures, records, or both.

        Args:
            images: One image or a list of B, as the image processor takes them; with `text`, an item without image is
                `None`.
            text: One text or a list of B: a record such as `{"title", "category", "attributes"}`, a string (title and
                record in one), or `None` for an item without text.
            return_tensors: `"pt"`, `"np"` or `None`.

        Returns:
            A `BatchFeature` with, where applicable:

            - `pixel_values` `[B, 3, H, W]`, float32; zeros for an item without image.
            - `image_mask` `[B]`, bool, `True` for an item with an image; only if some item has none.
            - `title_input_ids`, `title_attention_mask` `[B, L]`, `input_ids`, `attention_mask` `[B, L']`; the mask is
              0 everywhere in the row of an item without title or text.

        Raises:
            ValueError: If both inputs are missing, if their numbers differ, or if an item has neither image nor text.
        """
        if images is None and text is None:
            raise ValueError("pass images, text or both")
        data: dict[str, Any] = {}
        prompts = None
        if text is not None:
            prompts = self._template.render_all(text)
            titles = self._title_template.render_all(text)
            title = self._tokenize(self.title_tokenizer, titles, self.max_title_length, self.title_padding)
            prompt = self._tokenize(self.tokenizer, [self.instruction * bool(p) + p for p in prompts], self.max_length)
            data.update({f"title_{name}": value for name, value in title.items()}, **prompt)
        if images is not None:
            pictures = list(images) if isinstance(images, list | tuple) else [images]
            data.update(self._process_images(pictures, prompts))
        elif prompts is not None and "" in prompts:
            raise ValueError(f"item {prompts.index('')} has neither image nor text")
        return BatchFeature(data, tensor_type=return_tensors)

    def _process_images(self, images: list, prompts: list[str] | None) -> dict[str, Any]:
        if prompts is not None and len(images) != len(prompts):
            raise ValueError(f"got {len(images)} images and {len(prompts)} texts; an item has one of each, or None")
        missing = [index for index, image in enumerate(images) if image is None]
        bare = [index for index in missing if prompts is None or not prompts[index]]
        if bare:
            raise ValueError(f"item {bare[0]} has neither image nor text")
        for index in missing:
            images[index] = Image.new("RGB", (1, 1))
        pixels = np.asarray(self.image_processor(images, return_tensors="np")["pixel_values"], dtype=np.float32)
        if not missing:
            return {"pixel_values": pixels}
        pixels[missing] = 0.0
        return {"pixel_values": pixels, "image_mask": np.isin(np.arange(len(images)), missing, invert=True)}

    @staticmethod
    def _tokenize(tokenizer: Any, texts: list[str], max_length: int, padding: str = "longest") -> dict[str, Any]:
        options = {
            "padding": padding,
            "truncation": True,
            "max_length": min(max_length, tokenizer.model_max_length),
            "return_token_type_ids": False,
        }
        return tokenize_texts(tokenizer, texts, options)

    def render_text(self, record: str | Mapping[str, Any] | None) -> str:
        """Render a product record to the text of its prompt, without `instruction`; see [`RecordTemplate.render`]."""
        return self._template.render(record)


__all__ = ["TGQFormerProcessor"]
