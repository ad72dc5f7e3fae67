"""AdamW with separate rates for pretrained backbones and new layers, and for the layers of a backbone."""

from typing import Any

import torch
from torch import nn

from .layers import encoder_layers

_BACKBONES = ("vision_model", "query_vision_model", "text_model", "dual_encoder", "language_model")


def parameter_groups(
    student: nn.Module, *, backbone_lr: float, head_lr: float, weight_decay: float, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Group the trainable parameters by rate: backbone or new layer, with or without weight decay, and by depth.

    Vectors and scalars (biases, norms, gates, the temperature) are not decayed.

    Args:
        student: A student or a bare model. Whatever is not in a backbone counts as a new layer.
        backbone_lr: Rate of the backbones.
        head_lr: Rate of new layers.
        weight_decay: Decoupled weight decay of matrices.
        layer_decay: Factor of the rate from each layer of a backbone to the one below it (BEiT, arXiv 2106.08254):
            layer `i` of `n`, counted from 1, learns at `backbone_lr * layer_decay ** (n + 1 - i)`. The embeddings are
            layer 0, and whatever follows the last layer learns at `backbone_lr`.

    Returns:
        Non-empty groups with `params`, `lr`, `weight_decay` and `name`.

    Raises:
        ValueError: If nothing is trainable, or `layer_decay` is not 1 and a backbone's layers cannot be found.

    Example:
        >>> model = torch.nn.Linear(2, 2)
        >>> groups = parameter_groups(model, backbone_lr=1e-5, head_lr=1e-3, weight_decay=0.1)
        >>> [(group["name"], group["lr"], group["weight_decay"]) for group in groups]
        [('head', 0.001, 0.1), ('head_no_decay', 0.001, 0.0)]
    """
    depths_below_top = _depths_below_top(student) if layer_decay != 1.0 else {}
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in student.named_parameters():
        if not parameter.requires_grad:
            continue
        backbone, decayed = _bare(name).startswith(tuple(f"{part}." for part in _BACKBONES)), parameter.ndim > 1
        below = depths_below_top.get(_bare(name), 0)
        key = "backbone" if backbone else "head"
        key += f"_{below}_below" if below else ""
        key += "" if decayed else "_no_decay"
        group = groups.setdefault(
            key,
            {
                "name": key,
                "lr": backbone_lr * layer_decay**below if backbone else head_lr,
                "weight_decay": weight_decay if decayed else 0.0,
                "params": [],
            },
        )
        group["params"].append(parameter)
    if not groups:
        raise ValueError("No parameter is left to train: all are frozen.")
    return list(groups.values())


def _bare(name: str) -> str:
    """Strip the prefixes that a student (`model.`) and `peft` (`base_model.model.`) add to a name in the model."""
    return name.removeprefix("model.").removeprefix("base_model.model.")


def _depths_below_top(student: nn.Module) -> dict[str, int]:
    """Count the layers from each backbone parameter to the backbone's output, including its own."""
    depths = {}
    for path, module in student.named_modules():
        if _bare(path) in _BACKBONES and any(parameter.requires_grad for parameter in module.parameters()):
            parts = encoder_layers(module)
            for name, depth in parts.depth.items():
                depths[f"{_bare(path)}.{name}"] = len(parts.layers) + 1 - depth
    return depths


def build_optimizer(
    student: nn.Module, *, backbone_lr: float, head_lr: float, weight_decay: float, layer_decay: float = 1.0
) -> torch.optim.AdamW:
    """Build AdamW over [`parameter_groups`], with the betas 0.9 and 0.98 of contrastive image-text training."""
    groups = parameter_groups(
        student, backbone_lr=backbone_lr, head_lr=head_lr, weight_decay=weight_decay, layer_decay=layer_decay
    )
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-6)
