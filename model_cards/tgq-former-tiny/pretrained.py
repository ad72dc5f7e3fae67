"""Base classes of both model families: load from safetensors, initialize layers, return nested outputs."""

import inspect
from collections.abc import Collection, Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput, TransformersKwargs


class SafePreTrainedModel(PreTrainedModel):
    """A `PreTrainedModel` that reads only safetensors and lets its layers initialize themselves."""

    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs) -> PreTrainedModel:
        """Load a model as transformers does, but from safetensors only: a pickle can run code when it is loaded.

        Raises:
            OSError: The folder has no safetensors file, or a damaged one.
        """
        try:
            return super().from_pretrained(pretrained_model_name_or_path, *args, **{"use_safetensors": True, **kwargs})
        except SafetensorError as error:
            raise OSError(f"The weights of '{pretrained_model_name_or_path}' cannot be read: {error}") from error

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # transformers calls this only for modules that own parameters.
        if hasattr(module, "init_parameters"):
            module.init_parameters(self.config)
        else:
            super()._init_weights(module)


class NestedOutput(ModelOutput):
    """An output that holds other outputs; `to_tuple` turns those into tuples as well."""

    def to_tuple(self) -> tuple[Any, ...]:
        """Return all values that are not `None`, in order."""
        return tuple(value.to_tuple() if isinstance(value, ModelOutput) else value for value in self.values())


class VisionKwargs(TransformersKwargs, total=False):
    """Keyword arguments of models that take pictures.

    Attributes:
        interpolate_pos_encoding (`bool`, *optional*, defaults to `True`):
            Whether to interpolate position embeddings, so that pictures need not have the size of pretraining. Vision
            encoders with rotary positions take any size regardless.
    """

    interpolate_pos_encoding: bool


# Computed at import, because neither `torch.compile` nor `torch.export` can trace it.
KNOWN_KWARGS = frozenset(TransformersKwargs.__annotations__)
KNOWN_VISION_KWARGS = frozenset(VisionKwargs.__annotations__)


def check_kwargs(model: nn.Module, kwargs: Mapping[str, Any], known: Collection[str] = KNOWN_KWARGS) -> None:
    """Check the names of extra keyword arguments of a model's forward.

    Raises:
        TypeError: A name is unknown and its value is not `None`.
    """
    unknown = [name for name, value in kwargs.items() if value is not None and name not in known]
    if unknown:
        raise TypeError(f"{type(model).__name__} got an unexpected keyword argument {', '.join(map(repr, unknown))}.")


def pooling_kwargs(model_class: type[PreTrainedModel]) -> dict[str, bool]:
    """Return the arguments that build a backbone without its pooling head, whose weights would never be used."""
    takes = "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    return {"add_pooling_layer": False} if takes else {}
