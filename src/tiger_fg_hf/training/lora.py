"""Low-rank adapters (LoRA, arXiv 2106.09685) on TGQ-Former's language model, by `peft`."""

from typing import TYPE_CHECKING

from torch import nn
from transformers.utils import is_peft_available

from ..models.modeling_tgq_former import TGQFormerModel

if TYPE_CHECKING:
    from peft import PeftModel

# Trained whole and saved beside the adapters.
_WHOLE = ("connector", "late_fusion", "temperature")


def add_lora(model: TGQFormerModel, *, rank: int = 16, alpha: int = 32, dropout: float = 0.0) -> "PeftModel":
    """
    Wraps `model` so that adapters on all linear layers of the language model's blocks learn, and the connector whole.

    `save_pretrained` of the result writes the adapters with the connector and the temperature,
    `peft.PeftModel.from_pretrained(model, folder)` reads them back onto the model they were made for, and
    `merge_and_unload()` gives a [`TGQFormerModel`] without adapters for deployment.

    Args:
        rank, alpha: r and α; an adapter adds `α / r · B A x`.
        dropout: of the adapters' inputs.

    Raises:
        ImportError: `peft` is missing.
        ValueError: `rank` is not positive, or the language model has no blocks of linear layers.
    """
    if not is_peft_available():
        raise ImportError("LoRA needs the package 'peft': pip install 'tiger-fg-hf[lora]'.")
    if rank < 1:
        raise ValueError(f"The rank of adapters must be at least 1, got {rank}.")
    from peft import LoraConfig, get_peft_model

    config = model.language_model.config
    # ALBERT's layers are one and the same in each group.
    layers = getattr(config, "num_hidden_groups", config.num_hidden_layers)
    blocks = [
        path
        for path, module in model.language_model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == layers
    ]
    targets = [
        f"language_model.{name}"
        for name, module in model.language_model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(tuple(f"{block}." for block in blocks))
    ]
    if not targets:
        raise ValueError(f"{type(model.language_model).__name__} has no linear layers in its blocks to adapt.")
    adapters = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=targets,
        modules_to_save=[name for name in _WHOLE if getattr(model, name) is not None],
    )
    return get_peft_model(model, adapters)
