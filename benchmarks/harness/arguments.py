"""A benchmark's own arguments, told apart from those of the training script that it passes on."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from transformers import HfArgumentParser


def parse_own(kind: type, argv: Sequence[str], *, refused: Sequence[str], description: str) -> tuple[Any, list[str]]:
    """
    Reads `[--benchmark_flag ...] [recipe.yaml | recipe.json] [--training_flag ...]`, in any order.

    Args:
        kind: dataclass of the benchmark's arguments.
        refused: training arguments that the benchmark sets itself.

    Returns:
        An object of `kind`, and the command line of the training script.

    Raises:
        ValueError: a flag of `refused` is given, or a value is out of range.
    """
    parser = HfArgumentParser(kind, allow_abbrev=False, description=description)
    # The parser would read a recipe behind a switch as its value.
    switches = {f"--{part.name}" for part in fields(kind) if part.type is bool}
    flags = [f"{part}=true" if part in switches else part for part in argv]
    own, rest = parser.parse_args_into_dataclasses(flags, return_remaining_strings=True, look_for_args_file=False)
    given = [name for name in refused if any(part == f"--{name}" or part.startswith(f"--{name}=") for part in rest)]
    if given:
        raise ValueError(f"The benchmark sets {', '.join(f'--{name}' for name in given)} itself.")
    return own, rest


def read_numbers(text: str, kind: type, flag: str) -> list[Any]:
    """
    Numbers with commas between them.

    Raises:
        ValueError: one is no `kind`, which is `int` or `float`.
    """
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{flag} must be numbers with commas, got {text!r}.") from None
