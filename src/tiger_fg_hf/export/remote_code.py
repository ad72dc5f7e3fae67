"""Export checkpoints that load with `trust_remote_code=True` where this package is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, ProcessorMixin


def export_with_code(model: PreTrainedModel, processor: ProcessorMixin, folder: str | Path) -> None:
    """Save a model and its processor together with the code that defines them.

    `AutoModel`, `AutoConfig`, `AutoProcessor` and `AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)`
    then work without this package. Where the package is installed, its own code is used.

    Args:
        model: A model of this package.
        processor: The processor of the model.
        folder: Folder to write.

    Raises:
        ValueError: A part of the model is of a type that neither its own code nor transformers defines.
    """
    for name in model.config.sub_configs:
        part = getattr(model.config, name)
        if not type(part).__module__.startswith("transformers."):
            raise ValueError(
                f"The {name} is of type '{part.model_type}', whose code would be missing from the folder: save the "
                "model with `save_pretrained` and load it where tiger_fg_hf is installed."
            )
    classes: dict[Any, str] = {
        type(model.config): "AutoConfig",
        type(model): "AutoModel",
        type(processor.image_processor): "AutoImageProcessor",
        type(processor): "AutoProcessor",
    }
    with _registered(classes), _own_auto_map(model.config, processor.image_processor, processor):
        model.save_pretrained(folder)
        processor.save_pretrained(folder)


@contextmanager
def _registered(classes: dict[Any, str]) -> Iterator[None]:
    """Register classes for Auto classes temporarily; otherwise, every later save of the process would write code."""
    before = {cls: cls._auto_class for cls in classes}
    try:
        for cls, auto_class in classes.items():
            cls.register_for_auto_class(auto_class)
        yield
    finally:
        for cls, auto_class in before.items():
            cls._auto_class = auto_class


@contextmanager
def _own_auto_map(*objects: Any) -> Iterator[None]:
    """Give each object a temporary `auto_map`: saving with code fills it, and later saves would write it again."""
    before = [vars(each).get("auto_map") for each in objects]
    try:
        for each in objects:
            each.auto_map = {}
        yield
    finally:
        for each, auto_map in zip(objects, before, strict=True):
            if auto_map is None:
                del each.auto_map
            else:
                each.auto_map = auto_map
