"""Command-line arguments of training, read from flags, from a YAML or JSON recipe, or from both."""

import json
import re
import sys
from argparse import Action, ArgumentDefaultsHelpFormatter, ArgumentParser
from collections.abc import Sequence
from copy import copy
from dataclasses import Field, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_type_hints

import yaml
from transformers import HfArgumentParser, PreTrainedConfig

_RESUME = "resume"


def argument(default: Any, help: str, *, resume: Literal["must_match", "may_change"] = "must_match") -> Any:
    """Declare an argument: a dataclass field that is a command-line flag as well.

    Args:
        default: Default value; a list is copied for every object.
        help: Text of `--help`.
        resume: Whether a run may be resumed with another value. Declare `"may_change"` only for arguments that affect
            neither the data nor the weights, or whose effect is compared in another way.

    Example:
        >>> @dataclass
        ... class Demo:
        ...     steps: int = argument(10, "Optimizer steps.")
        >>> Demo().steps
        10
    """
    metadata = {"help": help, _RESUME: resume}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def may_change(declared: Field) -> bool:
    """Tell whether a run may be resumed with another value of an argument."""
    return declared.metadata.get(_RESUME) == "may_change"


@dataclass
class ArgumentGroup:
    """A section of `--help`, whose title is `_argument_group_name`.

    A subclass of several groups has the fields of all of them; each is listed under the title of the group that
    declares it.
    """

    def __post_init__(self) -> None:
        """Check the values; subclasses call `super().__post_init__()`."""


@dataclass
class OptimizerArguments(ArgumentGroup):
    """How the weights are updated."""

    _argument_group_name = "Optimization"

    seed: int = argument(0, "Seed of initial weights, data order and augmentation.")
    max_steps: int = argument(1000, "Optimizer steps.")
    batch_size: int = argument(64, "Pairs per process and forward pass.")
    gradient_accumulation_steps: int = argument(1, "Forward passes per optimizer step.")
    grad_cache_chunk: int = argument(
        0,
        "Pairs per chunk of a batch (GradCache): batches of any size in the memory of one chunk, at the cost of a "
        "second forward pass. 0 turns chunks off.",
    )
    backbone_lr: float = argument(5e-5, "Peak learning rate of pretrained encoders.")
    head_lr: float = argument(5e-4, "Peak learning rate of new layers.")
    layer_decay: float = argument(
        1.0, "Factor of the learning rate from each encoder layer to the layer below; 1 gives all layers one rate."
    )
    weight_decay: float = argument(0.05, "Decoupled weight decay of matrices.")
    warmup_ratio: float = argument(0.1, "Share of the steps in which the learning rate warms up.")
    max_grad_norm: float = argument(1.0, "Norm that gradients are clipped to; 0 turns clipping off.")
    ema_decay: float = argument(
        0.0,
        "Decay of an exponential moving average of the weights; 0 turns it off. The average is evaluated, and saved "
        "as the final model.",
    )
    mixed_precision: Literal["no", "bf16", "fp16"] = argument("bf16", "Autocast type.")
    compile: Literal["no", "inductor", "aot_eager", "eager"] = argument(
        "no", "Backend of torch.compile; only 'inductor' makes a run faster."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_steps", "batch_size", "gradient_accumulation_steps"):
            check_at_least(self, name, 1)
        check_at_least(self, "grad_cache_chunk", 0)
        for name in ("warmup_ratio", "ema_decay"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"--{name} must lie in [0, 1), got {getattr(self, name)}.")
        if not 0.0 < self.layer_decay <= 1.0:
            raise ValueError(f"--layer_decay must lie in (0, 1], got {self.layer_decay}.")


@dataclass
class RunArguments(ArgumentGroup):
    """Where a run writes, and how often."""

    _argument_group_name = "Run"

    output_dir: str = argument("runs/tiger-fg", "Folder of the run and of the final model.", resume="may_change")
    log_every: int = argument(10, "Steps between log entries.", resume="may_change")
    eval_every: int = argument(0, "Steps between evaluations; 0 turns them off.", resume="may_change")
    save_every: int = argument(500, "Steps between checkpoints; 0 turns them off.", resume="may_change")
    save_total_limit: int = argument(2, "Checkpoints to keep.", resume="may_change")
    resume: str | None = argument(
        None,
        "Checkpoint folder to resume from, or 'auto' for the last checkpoint in --output_dir, if there is one.",
        resume="may_change",
    )
    tracker: Literal["tensorboard", "wandb", "none"] = argument(
        "tensorboard", "Where metrics are logged, in addition to history.jsonl.", resume="may_change"
    )
    progress: bool = argument(True, "Show a progress bar.", resume="may_change")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, "log_every", 1)
        check_at_least(self, "save_total_limit", 1)


@dataclass
class TrainArguments(RunArguments, OptimizerArguments):
    """Everything that [`train`] needs to know about a run."""


def check_at_least(arguments: Any, name: str, smallest: int) -> None:
    """Refuse a number below `smallest`."""
    value = getattr(arguments, name)
    if value < smallest:
        expected = "must not be negative" if smallest == 0 else f"must be at least {smallest}"
        raise ValueError(f"--{name} {expected}, got {value}.")


def check_share(arguments: Any, name: str) -> None:
    """Refuse a number outside [0, 1]."""
    value = getattr(arguments, name)
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"--{name} must lie in [0, 1], got {value}.")


def check_range(arguments: Any, name: str) -> None:
    """Refuse anything but two numbers in ascending order."""
    values = getattr(arguments, name)
    if len(values) != 2 or values[0] > values[1]:
        raise ValueError(f"--{name} takes two numbers, the smallest and the largest, got {values}.")


def read_mapping(value: dict[str, Any] | str | None, flag: str) -> dict[str, Any] | None:
    """Read a mapping, given as a mapping in a recipe and as JSON in a flag.

    Raises:
        ValueError: If the value is neither.

    Example:
        >>> read_mapping('{"num_slots": 4}', "--model_config")
        {'num_slots': 4}
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"{flag} is not JSON: {error}") from error
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"{flag} must be a mapping, got {value!r}.")
    return value


def read_fields(
    value: dict[str, Any] | str | None, config_class: type[PreTrainedConfig], flag: str
) -> dict[str, Any] | None:
    """Read a mapping whose keys are fields of a configuration.

    Raises:
        ValueError: If the value is not a mapping, or a key is not a field; the configuration would accept any key.
    """
    mapping = read_mapping(value, flag)
    unknown = (mapping or {}).keys() - {part.name for part in fields(config_class)}
    if unknown:
        raise ValueError(f"{flag}: {config_class.__name__} has no field {', '.join(sorted(unknown))}.")
    return mapping


class _HelpFormatter(ArgumentDefaultsHelpFormatter):
    """Shows each flag in one spelling, though both `--max_steps` and `--max-steps` are accepted."""

    def _format_action_invocation(self, action: Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        values = "" if action.nargs == 0 else self._format_args(action, action.dest.upper())
        if isinstance(action.default, list):
            values = " ".join("N" for _ in action.default)
        flag = next(name for name in action.option_strings if name.startswith("--"))
        return f"{flag} {values}".rstrip()

    def _get_help_string(self, action: Action) -> str | None:
        if action.option_strings and action.option_strings[0].startswith("--no_"):
            return f"Turn --{action.dest} off."
        return action.help if action.default is None else super()._get_help_string(action)


class RecipeParser(HfArgumentParser):
    """An `HfArgumentParser` for fields of [`argument`], with a section of `--help` for each argument group."""

    def __init__(self, kinds: Sequence[type], **options: Any):
        super().__init__(kinds, formatter_class=_HelpFormatter, allow_abbrev=False, **options)

    def _add_dataclass_arguments(self, dtype: Any) -> None:
        hints = get_type_hints(dtype)
        for declared in fields(dtype):
            declared.type = hints[declared.name]
            self._parse_dataclass_field(self._section_of(dtype, declared.name), declared)

    def _section_of(self, dtype: type, name: str) -> Any:
        """Return the section of the group that declares an argument first."""
        owner = next(kind for kind in reversed(dtype.__mro__) if name in vars(kind).get("__annotations__", {}))
        title = getattr(owner, "_argument_group_name", None)
        if title is None:
            return self
        known = (group for group in self._action_groups if group.title == title)
        return next(known, None) or self.add_argument_group(title)

    @staticmethod
    def _parse_dataclass_field(parser: ArgumentParser, field: Any) -> None:
        declared = copy(field)
        declared.metadata = {name: value for name, value in field.metadata.items() if name != _RESUME}
        HfArgumentParser._parse_dataclass_field(parser, declared)


class _RecipeLoader(yaml.SafeLoader):
    """Reads 5e-5 as a number, as JSON and YAML 1.2 do; YAML 1.1 requires a dot."""


_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
)


def parse_recipe(
    kinds: tuple[type, ...], argv: list[str] | None = None, *, description: str | None = None
) -> tuple[Any, ...]:
    """Read `[recipe.yaml | recipe.json] [--flag value ...]`; flags override the recipe, whatever the order.

    Args:
        kinds: Dataclasses whose fields are the flags.
        argv: Command line; `sys.argv[1:]` by default.
        description: First lines of `--help`.

    Returns:
        One object of each kind.

    Raises:
        ValueError: If the recipe is not a mapping or has an unknown key, or a value is out of range.
        SystemExit: If a value has the wrong type; the usage is printed.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = RecipeParser(
        kinds, description=description, usage="%(prog)s [recipe.yaml | recipe.json] [--flag VALUE ...]"
    )
    for index, part in enumerate(argv):
        is_value = index > 0 and argv[index - 1].startswith("--") and "=" not in argv[index - 1]
        if part.endswith((".yaml", ".yml", ".json")) and not part.startswith("--") and not is_value:
            argv = _recipe_flags(Path(part), kinds) + argv[:index] + argv[index + 1 :]
            break
    return parser.parse_args_into_dataclasses(argv, look_for_args_file=False)


def _recipe_flags(path: Path, kinds: tuple[type, ...]) -> list[str]:
    """Turn a recipe into flags, so that its values pass the same checks as those of the command line."""
    read = json.loads if path.suffix == ".json" else partial(yaml.load, Loader=_RecipeLoader)
    recipe = read(path.read_text(encoding="utf-8"))
    if not isinstance(recipe, dict):
        raise ValueError(f"{path} must hold a mapping of arguments to values, found {type(recipe).__name__}.")
    known = {part.name for kind in kinds for part in fields(kind)}
    unknown = sorted(set(recipe) - known)
    if unknown:
        raise ValueError(f"{path} has unknown keys {unknown}; known are {sorted(known)}.")
    flags = []
    for name, value in recipe.items():
        if isinstance(value, list):
            flags += [f"--{name}", *map(str, value)]
        elif value is False:
            flags.append(f"--{name}=no")  # YAML reads "no" as false; switches and choices both accept "no"
        elif value is not None:
            flags.append(f"--{name}={json.dumps(value) if isinstance(value, dict) else value}")
    return flags
