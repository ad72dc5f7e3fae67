"""AdamW with separate rates for pretrained backbones and new layers, and for the layers of a backbone."""

from typing import Any

import torch
from torch import nn

from .layers import encoder_layers

_BACKBONES = ("vision_model", "query_vision_model", "text_model", "dual_encoder", "language_model")


def parameter_groups(
    student: nn.Module, *, backbone_lr: float, head_lr: float, weight_decay: float, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """
    Trainable parameters in groups: backbone or new layer, with or without weight decay, and by rate.

    Vectors and scalars (biases, norms, gates, the temperature) are not decayed.

    Args:
        student: [`TigerFGStudent`], [`TGQFormerStudent`], or a model by itself. What is in no backbone is a new layer.
        layer_decay: factor of the rate from each layer of a backbone to the one before it (BEiT, arXiv 2106.08254):
            layer `i` of `n`, counted from 1, learns at `backbone_lr * layer_decay ** (n + 1 - i)`; the embeddings are
            layer 0, and what follows the last layer learns at `backbone_lr`.

    Returns:
        Groups with `params`, `lr`, `weight_decay` and `name`; empty ones left out.

    Raises:
        ValueError: nothing is left to train, or `layer_decay` is not 1 and a backbone's layers cannot be told.
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
        raise ValueError("No parameter is left to train: every one is frozen.")
    return list(groups.values())


def _bare(name: str) -> str:
    """Name of a parameter in the model itself, which a student holds as `model`, and `peft` in one of its own."""
    return name.removeprefix("model.").removeprefix("base_model.model.")


def _depths_below_top(student: nn.Module) -> dict[str, int]:
    """Layers between each backbone parameter and the backbone's output, that of its own included."""
    depths = {}
    for path, module in student.named_modules():
        if _bare(path) in _BACKBONES and any(parameter.requires_grad for parameter in module.parameters()):
            found = encoder_layers(module)
            for name, depth in found.depth.items():
                depths[f"{_bare(path)}.{name}"] = len(found.layers) + 1 - depth
    return depths


def build_optimizer(
    student: nn.Module, *, backbone_lr: float, head_lr: float, weight_decay: float, layer_decay: float = 1.0
) -> torch.optim.AdamW:
    """AdamW (betas 0.9, 0.98, as contrastive image-text training uses them) over [`parameter_groups`]."""
    groups = parameter_groups(
        student, backbone_lr=backbone_lr, head_lr=head_lr, weight_decay=weight_decay, layer_decay=layer_decay
    )
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-6)
