"""Find the layers of any encoder, and freeze parts of a model."""

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel


@dataclass(frozen=True)
class EncoderLayers:
    """An encoder in three parts, which follow each other in the order in which its modules were created.

    Attributes:
        stem: Modules before the layers: embeddings, and norms after them.
        layers: The layers, first to last.
        depth: Depth of every parameter, by name: 0 in the stem, `i + 1` in layer `i`, one more after the last layer.
    """

    stem: list[nn.Module]
    layers: nn.ModuleList
    depth: dict[str, int]


def encoder_layers(backbone: PreTrainedModel) -> EncoderLayers:
    """Find the layers of an encoder: its one outermost `ModuleList` of `num_hidden_layers` modules.

    Raises:
        ValueError: If there is no such list, or more than one.
    """
    expected = getattr(backbone.config, "num_hidden_layers", None)
    lists: dict[str, nn.ModuleList] = {}
    for path, module in backbone.named_modules():
        is_inner = any(path.startswith(f"{outer}.") for outer in lists)
        if isinstance(module, nn.ModuleList) and len(module) == expected and not is_inner:
            lists[path] = module
    if len(lists) != 1:
        raise ValueError(
            f"The layers of {type(backbone).__name__} cannot be found: expected exactly one list of "
            f"num_hidden_layers = {expected} modules, found {sorted(lists) or 'none'}. Train it without --layer_decay "
            "and --freeze_stem."
        )
    ((path, layers),) = lists.items()

    stem: list[nn.Module] = []
    listed: tuple[str, ...] = ()
    for name, module in backbone.named_modules():
        if name == path:
            break
        if f"{path}.".startswith(f"{name}.") or not name or name.startswith(listed):
            continue  # it contains the layers, or is part of a module listed already
        stem.append(module)
        listed += (f"{name}.",)

    depth: dict[str, int] = {}
    after_stem = False
    for name, _ in backbone.named_parameters():
        in_layer = name.startswith(f"{path}.")
        after_stem = after_stem or in_layer
        depth[name] = (
            int(name[len(path) + 1 :].split(".")[0]) + 1 if in_layer else len(layers) + 1 if after_stem else 0
        )
    return EncoderLayers(stem, layers, depth)


def freeze(model: PreTrainedModel, *, text: bool = False, stem: int = 0) -> list[nn.Module]:
    """Freeze parts of a [`TigerFGModel`].

    Args:
        model: The model.
        text: Freeze the whole text encoder.
        stem: Freeze the embeddings and the first `stem` layers of each vision encoder; 0 freezes neither. Nothing
            below them is trained, so no graph is kept for them.

    Returns:
        The frozen modules, which must stay in eval mode during training.

    Raises:
        ValueError: If a vision encoder has fewer layers, or they cannot be found.
    """
    frozen: list[nn.Module] = [model.text_model] if text else []
    if text:
        model.text_model.requires_grad_(False)
    if not stem:
        return frozen
    for name in ("vision_model", "query_vision_model"):
        backbone = getattr(model, name, None)
        if backbone is None:
            continue  # the towers share one
        parts = encoder_layers(backbone)
        if stem > len(parts.layers):
            raise ValueError(
                f"--freeze_stem {stem} exceeds the {len(parts.layers)} layers of {type(backbone).__name__}."
            )
        for parameter, value in backbone.named_parameters():
            value.requires_grad_(value.requires_grad and parts.depth[parameter] > stem)
        frozen += [*parts.stem, *parts.layers[:stem]]
    return frozen
