"""The layers of an encoder, found in any backbone, and what of a model is frozen."""

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel


@dataclass(frozen=True)
class EncoderLayers:
    """
    An encoder in three parts, told apart by the order in which its modules were made.

    Attributes:
        stem: modules before the layers (embeddings, and norms behind them).
        layers: the layers, first to last.
        depth: of every parameter, by name: 0 in the stem, i + 1 in layer i, one more behind the last layer.
    """

    stem: list[nn.Module]
    layers: nn.ModuleList
    depth: dict[str, int]


def encoder_layers(backbone: PreTrainedModel) -> EncoderLayers:
    """
    Finds the layers of an encoder: the one outermost `ModuleList` as long as its config's `num_hidden_layers`.

    Raises:
        ValueError: there is none, or more than one.
    """
    expected = getattr(backbone.config, "num_hidden_layers", None)
    found: dict[str, nn.ModuleList] = {}
    for path, module in backbone.named_modules():
        is_inner = any(path.startswith(f"{outer}.") for outer in found)
        if isinstance(module, nn.ModuleList) and len(module) == expected and not is_inner:
            found[path] = module
    if len(found) != 1:
        raise ValueError(
            f"The layers of {type(backbone).__name__} cannot be told: exactly one list of num_hidden_layers = "
            f"{expected} modules is needed, found {sorted(found) or 'none'}. Train it without --layer_decay and "
            "--freeze_stem."
        )
    ((path, layers),) = found.items()

    stem: list[nn.Module] = []
    whole: tuple[str, ...] = ()
    for name, module in backbone.named_modules():
        if name == path:
            break
        if f"{path}.".startswith(f"{name}.") or not name or name.startswith(whole):
            continue  # around the layers, or within what is listed already
        stem.append(module)
        whole += (f"{name}.",)

    depth: dict[str, int] = {}
    behind = False
    for name, _ in backbone.named_parameters():
        in_layer = name.startswith(f"{path}.")
        behind = behind or in_layer
        depth[name] = int(name[len(path) + 1 :].split(".")[0]) + 1 if in_layer else len(layers) + 1 if behind else 0
    return EncoderLayers(stem, layers, depth)


def freeze(model: PreTrainedModel, *, text: bool = False, stem: int = 0) -> list[nn.Module]:
    """
    Takes parameters of a [`TigerFGModel`] out of training.

    Args:
        text: the whole text encoder.
        stem: the embeddings and the first `stem` layers of each vision encoder; 0 freezes neither. Nothing before them
            is trained, so no graph is kept of them.

    Returns:
        Modules that must stay in eval mode while the rest trains.

    Raises:
        ValueError: a vision encoder has fewer layers, or they cannot be told.
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
        found = encoder_layers(backbone)
        if stem > len(found.layers):
            raise ValueError(
                f"--freeze_stem {stem} exceeds the {len(found.layers)} layers of {type(backbone).__name__}."
            )
        for parameter, value in backbone.named_parameters():
            value.requires_grad_(value.requires_grad and found.depth[parameter] > stem)
        frozen += [*found.stem, *found.layers[:stem]]
    return frozen
