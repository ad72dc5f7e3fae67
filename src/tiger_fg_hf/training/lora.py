"""Low-rank adapters (LoRA, arXiv 2106.09685) on TGQ-Former's language model, with `peft`."""

from typing import TYPE_CHECKING

from torch import nn
from transformers.utils import is_peft_available

from ..models.modeling_tgq_former import TGQFormerModel

if TYPE_CHECKING:
    from peft import PeftModel

# Fully trained, and saved with the adapters.
_FULLY_TRAINED = ("connector", "late_fusion", "temperature")


def add_lora(model: TGQFormerModel, *, rank: int = 16, alpha: int = 32, dropout: float = 0.0) -> "PeftModel":
    """Wrap a model to train adapters on all linear layers of the language model's blocks, and the whole connector.

    `save_pretrained` of the result writes the adapters with the connector and the temperature,
    `peft.PeftModel.from_pretrained(model, folder)` loads them onto the model they were made for, and
    `merge_and_unload()` returns a [`TGQFormerModel`] without adapters for deployment.

    Args:
        model: The model.
        rank: Rank `r` of the adapters, which add `alpha / r · B A x`.
        alpha: Their scale `alpha`.
        dropout: Dropout of the adapters' inputs.

    Raises:
        ImportError: If `peft` is missing.
        ValueError: If `rank` is not positive, or the language model has no blocks of linear layers.
    """
    if not is_peft_available():
        raise ImportError("LoRA needs the package 'peft': pip install 'tiger-fg-hf[lora]'.")
    if rank < 1:
        raise ValueError(f"The rank of adapters must be at least 1, got {rank}.")
    from peft import LoraConfig, get_peft_model

    config = model.language_model.config
    # ALBERT repeats one layer in each group.
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
        modules_to_save=[name for name in _FULLY_TRAINED if getattr(model, name) is not None],
    )
    return get_peft_model(model, adapters)
