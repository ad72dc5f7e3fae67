"""What must stay equal for a run to be resumed exactly."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .arguments import may_change


def guarded_arguments(*groups: Any) -> dict[str, Any]:
    """Collect every argument that must have the same value when a run is resumed.

    An argument counts unless it is declared with `resume="may_change"`, so that a new one cannot be forgotten.

    Args:
        groups: Argument objects, such as [`parse_recipe`] returns.

    Example:
        >>> from tiger_fg_hf.training.arguments import RunArguments, TrainArguments
        >>> guarded_arguments(RunArguments())
        {}
        >>> guarded_arguments(TrainArguments(seed=3))["seed"]
        3
    """
    return {part.name: getattr(group, part.name) for group in groups for part in fields(group) if not may_change(part)}


def guard_differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """List what differs between a checkpoint's guard and the current one, one phrase per value.

    Example:
        >>> guard_differences({"head_lr": 0.1, "seed": 0}, {"head_lr": 0.2, "seed": 0})
        ['head_lr: 0.1 in the checkpoint, 0.2 now']
    """
    before, now = _flat(saved), _flat(json.loads(json.dumps(current)))
    phrases = []
    for name in dict.fromkeys([*now, *before]):
        if name not in before:
            phrases.append(f"{name}: not in the checkpoint, {now[name]!r} now")
        elif name not in now:
            phrases.append(f"{name}: {before[name]!r} in the checkpoint, absent now")
        elif before[name] != now[name]:
            phrases.append(f"{name}: {before[name]!r} in the checkpoint, {now[name]!r} now")
    return phrases


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name the values of nested mappings by their path, so that messages stay short."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {f"{prefix}{name}": value}
    return flat
