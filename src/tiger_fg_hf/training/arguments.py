"""Arguments of training: three dataclasses, read from flags, from YAML or JSON, or from both."""

import json
import re
import sys
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

import yaml
from transformers import HfArgumentParser, PreTrainedConfig


def read_mapping(given: dict[str, Any] | str | None, flag: str) -> dict[str, Any] | None:
    """
    What a flag says as a mapping, in a recipe, or as JSON.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except json.JSONDecodeError as error:
            raise ValueError(f"{flag} is not JSON: {error}") from error
    if given is not None and not isinstance(given, dict):
        raise ValueError(f"{flag} must be a mapping, got {given!r}.")
    return given


def read_fields(
    given: dict[str, Any] | str | None, config_class: type[PreTrainedConfig], flag: str
) -> dict[str, Any] | None:
    """
    As [`read_mapping`], for fields of a configuration.

    Raises:
        ValueError: also if one is no field, which the configuration would take without a word.
    """
    found = read_mapping(given, flag)
    unknown = (found or {}).keys() - {part.name for part in fields(config_class)}
    if unknown:
        raise ValueError(f"{flag}: {config_class.__name__} has no field {', '.join(sorted(unknown))}.")
    return found


@dataclass
class TrainArguments:
    """How it is trained."""

    output_dir: str = field(default="runs/tiger-fg", metadata={"help": "Folder of the run and of the final model."})
    seed: int = field(default=0, metadata={"help": "Seed of weights, order and augmentation."})
    max_steps: int = field(default=1000, metadata={"help": "Optimizer steps."})
    batch_size: int = field(default=64, metadata={"help": "Pairs per process and forward pass."})
    gradient_accumulation_steps: int = field(default=1, metadata={"help": "Forward passes per optimizer step."})
    grad_cache_chunk: int = field(
        default=0,
        metadata={
            "help": "Pairs whose graph is in memory at a time: any batch size at the memory of this many, for one "
            "more forward pass. 0 for all at once."
        },
    )
    backbone_lr: float = field(default=5e-5, metadata={"help": "Peak learning rate of pretrained encoders."})
    head_lr: float = field(default=5e-4, metadata={"help": "Peak learning rate of new layers."})
    layer_decay: float = field(
        default=1.0, metadata={"help": "Factor of the learning rate from each encoder layer to the one before it."}
    )
    weight_decay: float = field(default=0.05, metadata={"help": "Decoupled weight decay of matrices."})
    warmup_ratio: float = field(default=0.1, metadata={"help": "Share of the steps that warm up."})
    max_grad_norm: float = field(default=1.0, metadata={"help": "Norm to which gradients are clipped; 0 for none."})
    ema_decay: float = field(
        default=0.0,
        metadata={
            "help": "Decay of a moving average of the weights, 0 for none. The average is what is evaluated and saved "
            "as the final model."
        },
    )
    mixed_precision: Literal["no", "bf16", "fp16"] = field(default="bf16", metadata={"help": "Autocast type."})
    compile: Literal["no", "inductor", "aot_eager", "eager"] = field(
        default="no", metadata={"help": "Backend of torch.compile; only 'inductor' makes a run faster."}
    )
    log_every: int = field(default=10, metadata={"help": "Steps between log entries."})
    eval_every: int = field(default=0, metadata={"help": "Steps between evaluations; 0 for none."})
    save_every: int = field(default=500, metadata={"help": "Steps between checkpoints; 0 for none."})
    save_total_limit: int = field(default=2, metadata={"help": "Checkpoints that are kept."})
    resume: str | None = field(
        default=None, metadata={"help": "'auto' for the run's last checkpoint if it has one, or a checkpoint folder."}
    )
    tracker: Literal["tensorboard", "wandb", "none"] = field(
        default="tensorboard", metadata={"help": "Where logs go."}
    )
    progress: bool = field(default=True, metadata={"help": "Show a progress bar."})

    def __post_init__(self):
        for name in ("max_steps", "batch_size", "gradient_accumulation_steps", "log_every", "save_total_limit"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("warmup_ratio", "ema_decay"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"--{name} must lie in [0, 1), got {getattr(self, name)}.")
        if not 0.0 < self.layer_decay <= 1.0:
            raise ValueError(f"--layer_decay must lie in (0, 1], got {self.layer_decay}.")
        if self.grad_cache_chunk < 0:
            raise ValueError(f"--grad_cache_chunk must not be negative, got {self.grad_cache_chunk}.")


class _RecipeLoader(yaml.SafeLoader):
    """YAML that reads 5e-5 as a number, as JSON and YAML 1.2 do; YAML 1.1 wants a dot in it."""


_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
)


def parse_recipe(kinds: tuple[type, ...], argv: list[str] | None = None) -> tuple[Any, ...]:
    """
    Reads `[recipe.yaml | recipe.json] [--flag value ...]`; a flag overrides the recipe, wherever either stands.

    Args:
        kinds: dataclasses whose fields are the flags.

    Returns:
        One object of each kind.

    Raises:
        ValueError: the recipe is no mapping or has a key that no argument has, or a value is out of range.
        SystemExit: a value, of a flag or of the recipe, is not of its argument's type; the usage is printed.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = HfArgumentParser(kinds)
    for index, part in enumerate(argv):
        is_value = index > 0 and argv[index - 1].startswith("--") and "=" not in argv[index - 1]
        if part.endswith((".yaml", ".yml", ".json")) and not part.startswith("--") and not is_value:
            argv = _recipe_flags(Path(part), kinds) + argv[:index] + argv[index + 1 :]
            break
    return parser.parse_args_into_dataclasses(argv, look_for_args_file=False)


def _recipe_flags(path: Path, kinds: tuple[type, ...]) -> list[str]:
    """A recipe as flags, so that its values pass the same checks as those of the command line."""
    read = json.loads if path.suffix == ".json" else partial(yaml.load, Loader=_RecipeLoader)
    recipe = read(path.read_text(encoding="utf-8"))
    if not isinstance(recipe, dict):
        raise ValueError(f"{path} must hold a mapping of arguments to values, found {type(recipe).__name__}.")
    known = {f.name: f.type for kind in kinds for f in fields(kind)}
    unknown = sorted(set(recipe) - set(known))
    if unknown:
        raise ValueError(f"{path} has unknown keys {unknown}; known are {sorted(known)}.")
    flags = []
    for name, value in recipe.items():
        if value is False and known[name] is not bool:
            value = "no"  # which YAML reads as false
        if value is not None:
            flags.append(f"--{name}={json.dumps(value) if isinstance(value, dict) else value}")
    return flags
