"""Run a model in eval mode without changing it, because other threads may be using it."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch

Model = TypeVar("Model", bound=torch.nn.Module)


def in_eval_mode(model: Model, device: torch.device | str | None = None) -> Model:
    """Return a model that computes what `model` computes in eval mode, and leave the mode of `model` as it is.

    Args:
        model: Any model; it may be training in another thread.
        device: Device to move `model` to. By default, it stays where it is.

    Returns:
        `model` itself if it is in eval mode, or else a copy that shares its parameters, buffers and other tensors.

    Raises:
        ValueError: If the model is in train mode and the `forward` of a module was replaced by a plain function,
            which may call the original module.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2).train()
        >>> evaluated = in_eval_mode(model)
        >>> model.training, evaluated.training, evaluated.weight is model.weight
        (True, False, True)
    """
    if device is not None:
        model.to(device)
    if not any(module.training for module in model.modules()):
        return model
    # `deepcopy` takes objects that it finds in this table as copied already.
    shared: dict[int, Any] = {}
    for module in model.modules():
        for values in (module._parameters, module._buffers, vars(module)):
            shared |= {id(value): value for value in values.values() if isinstance(value, torch.Tensor)}
    copied = copy.deepcopy(model, shared).eval()
    for (name, module), twin in zip(model.named_modules(), copied.modules(), strict=True):
        if "forward" in vars(module) and vars(module)["forward"] is vars(twin).get("forward"):
            raise ValueError(
                f"model: the forward of {name or 'the model'} is a function that cannot be copied; call model.eval()"
            )
    return copied
