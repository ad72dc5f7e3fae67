"""Command line of a benchmark: its own flags, and those of the training script that every system shares."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from transformers import HfArgumentParser

from tiger_fg_hf.training.arguments import TrainArguments

from .systems import SystemList

# Training flags that a benchmark sets for each run.
RUN_FLAGS = ("output_dir", "seed", "resume", "tracker", "progress", "eval_every", "eval_data", "eval_limit")


@dataclass
class BenchmarkArguments:
    """Flags of every benchmark. A benchmark subclasses this, sets `known` and adds its own flags."""

    output: str = field(metadata={"help": "Folder of the data, the runs and the report."})
    test: str = field(default="drawn", metadata={"help": "Catalog of the test benchmark, or 'drawn'."})
    validation: str = field(
        default="drawn",
        metadata={"help": "Catalog of the benchmark that learning rates are selected on, or 'drawn'."},
    )
    limit: int = field(default=1000, metadata={"help": "Maximum number of products of either benchmark."})
    train_limit: int | None = field(default=None, metadata={"help": "Use the first rows of the training catalog."})
    benchmark_seed: int = field(default=0, metadata={"help": "Seed of the pictures of both benchmarks."})
    systems: str = field(
        default="all", metadata={"help": "System names separated by commas; 'all' and 'ablations' stand for groups."}
    )
    seeds: str = field(default="0", metadata={"help": "Training seeds, separated by commas, for every system."})
    grid: str | None = field(
        default=None, metadata={"help": "Learning rates to try for every system, separated by commas."}
    )
    grid_steps: int | None = field(
        default=None, metadata={"help": "Steps of a trial; default: a fifth of --max_steps."}
    )
    lr: float | None = field(default=None, metadata={"help": "One learning rate for every system instead of a grid."})
    eval_batch_size: int = field(default=64, metadata={"help": "Pictures per forward pass of an evaluation."})
    jobs: int = field(default=1, metadata={"help": "Number of runs at a time, each a process with one thread."})
    report_only: bool = field(default=False, metadata={"help": "Only write the report of the finished runs."})
    evaluate: str | None = field(default=None, metadata={"help": "Only score this checkpoint on the test benchmark."})
    run_one: str | None = field(default=None, metadata={"help": "Only execute this run, named by its folder."})

    known: ClassVar[SystemList]

    def __post_init__(self):
        # Fail now rather than after the benchmark is built.
        self.known.select(self.systems)
        read_numbers(self.seeds, int, "--seeds")
        if self.grid is not None:
            read_numbers(self.grid, float, "--grid")

    @property
    def system_names(self) -> list[str]:
        """Selected systems."""
        return self.known.select(self.systems)

    @property
    def seed_numbers(self) -> list[int]:
        """Training seeds."""
        return read_numbers(self.seeds, int, "--seeds")


@dataclass(frozen=True)
class Setup:
    """All arguments of a benchmark, and the command line they came from."""

    bench: Any
    model: Any
    data: Any
    train: TrainArguments
    losses: Any
    argv: tuple[str, ...]

    @property
    def output(self) -> Path:
        """Folder of the benchmark."""
        return Path(self.bench.output)

    @property
    def rates(self) -> list[float]:
        """Learning rates to try: `--lr`, else `--grid`, else `--head_lr`."""
        if self.bench.lr is not None:
            return [self.bench.lr]
        if self.bench.grid is not None:
            return read_numbers(self.bench.grid, float, "--grid")
        return [self.train.head_lr]

    @property
    def evaluation_options(self) -> dict[str, Any]:
        """Batch size and autocast type of an evaluation."""
        types = {"bf16": torch.bfloat16, "fp16": torch.float16}
        return {
            "batch_size": self.bench.eval_batch_size,
            "autocast_dtype": types.get(self.train.mixed_precision),
        }


SetupType = TypeVar("SetupType", bound=Setup)


def parse_setup(
    setup_class: type[SetupType],
    arguments: type[BenchmarkArguments],
    argv: Sequence[str] | None,
    *,
    refused: Sequence[str],
    description: str,
    parse_training: Callable[[list[str]], tuple[Any, ...]],
) -> SetupType:
    """Parse `--output FOLDER [--benchmark_flag ...] [recipe.yaml | recipe.json] [--training_flag ...]`, in any order.

    Args:
        setup_class: class of the result.
        arguments: dataclass of the benchmark's flags.
        argv: command line; default: `sys.argv[1:]`.
        refused: training flags that the benchmark sets itself.
        description: first paragraph of `--help`.
        parse_training: parses the remaining flags into model, data, training and loss arguments.

    Raises:
        ValueError: if a flag of `refused` is given, or a value is out of range.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = HfArgumentParser(arguments, allow_abbrev=False, description=description)
    # A recipe after a switch would be parsed as the value of the switch.
    switches = {f"--{part.name}" for part in fields(arguments) if part.type is bool}
    flags = [f"{part}=true" if part in switches else part for part in argv]
    bench, rest = parser.parse_args_into_dataclasses(flags, return_remaining_strings=True, look_for_args_file=False)
    given = [name for name in refused if any(part == f"--{name}" or part.startswith(f"--{name}=") for part in rest)]
    if given:
        raise ValueError(f"The benchmark sets {', '.join(f'--{name}' for name in given)} itself.")
    return setup_class(bench, *parse_training(rest), tuple(argv))


def read_numbers(text: str, kind: type, flag: str) -> list[Any]:
    """Parse numbers separated by commas.

    Raises:
        ValueError: if a part is not of `kind`, which is `int` or `float`.
    """
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{flag} must be numbers separated by commas, got {text!r}.") from None
