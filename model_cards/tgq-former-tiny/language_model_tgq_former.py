"""Build, load and inspect transformers language models that read visual tokens."""

import inspect
from collections.abc import Mapping

import torch
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from .pretrained import pooling_kwargs


def language_model_from_config(config: PreTrainedConfig) -> PreTrainedModel:
    """Build a language model with random weights, without its pooling head if possible."""
    model_class = AutoModel._model_mapping[type(config)]
    return model_class._from_config(config, **pooling_kwargs(model_class))


def model_from_pretrained(source: str, dtype: torch.dtype, kwargs: dict | None) -> PreTrainedModel:
    """Load a dual encoder or a language model from safetensors."""
    model = AutoModel.from_pretrained(source, dtype=dtype, **{"use_safetensors": True, **(kwargs or {})})
    model.config._name_or_path = ""  # do not publish local paths
    return model


def parameters_of_forward(language_model: PreTrainedModel) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of the model's `forward`, and check that it can read visual tokens.

    Raises:
        ValueError: The model cannot read visual tokens.
    """
    parameters = inspect.signature(type(language_model).forward).parameters
    missing = [name for name in ("inputs_embeds", "attention_mask", "position_ids") if name not in parameters]
    if missing:
        raise ValueError(
            f"{type(language_model).__name__} cannot read visual tokens: its forward takes no {', '.join(missing)}."
        )
    return parameters


def first_position(language_model: PreTrainedModel) -> int:
    """Return the position of the first token: 0, or one past the padding index in RoBERTa's family."""
    for name, module in language_model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return module.padding_idx + 1
    return 0
