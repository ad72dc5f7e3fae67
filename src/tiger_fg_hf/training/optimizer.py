"""AdamW with separate rates for pretrained backbones and new layers."""

from typing import Any

import torch
from torch import nn

_BACKBONES = ("vision_model.", "query_vision_model.", "text_model.")


def parameter_groups(
    model: nn.Module, *, backbone_lr: float, head_lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    """
    Trainable parameters in four groups: backbone or new layer, with or without weight decay.

    Vectors and scalars (biases, norms, gates, the temperature) are not decayed.

    Returns:
        Groups with `params`, `lr`, `weight_decay` and `name`; empty ones left out.

    Raises:
        ValueError: nothing is left to train.
    """
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        backbone, decayed = name.startswith(_BACKBONES), parameter.ndim > 1
        key = f"{'backbone' if backbone else 'head'}{'' if decayed else '_no_decay'}"
        group = groups.setdefault(
            key,
            {
                "name": key,
                "lr": backbone_lr if backbone else head_lr,
                "weight_decay": weight_decay if decayed else 0.0,
                "params": [],
            },
        )
        group["params"].append(parameter)
    if not groups:
        raise ValueError("No parameter is left to train: every one is frozen.")
    return list(groups.values())


def build_optimizer(model: nn.Module, *, backbone_lr: float, head_lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (betas 0.9, 0.98, as contrastive image-text training uses them) over [`parameter_groups`]."""
    groups = parameter_groups(model, backbone_lr=backbone_lr, head_lr=head_lr, weight_decay=weight_decay)
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-6)
