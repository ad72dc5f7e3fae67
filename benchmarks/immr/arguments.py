"""Arguments of the IMMR benchmark: its own, and those of `examples/train.py`, which hold for every system alike."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from tiger_fg_hf.objectives.tiger_fg_weights import TigerFGLossWeights
from tiger_fg_hf.training.arguments import TrainArguments
from tiger_fg_hf.training.recipes.tiger_fg.arguments import (
    TigerFGDataArguments,
    TigerFGModelArguments,
    parse_tiger_fg_arguments,
)

from ..harness.arguments import parse_own, read_numbers
from .systems import ABLATIONS, BY_NAME, SYSTEMS

# Arguments of `examples/train.py` that the benchmark sets itself.
_OWN = (
    "output_dir",
    "seed",
    "resume",
    "tracker",
    "progress",
    "eval_every",
    "eval_data",
    "eval_limit",
    "drawn_layout",
)


@dataclass
class BenchmarkArguments:
    """What is compared, on what. Data, model and training are told by the arguments of `examples/train.py`."""

    output: str = field(metadata={"help": "Folder of the benchmarks, the runs and the report."})
    test: str = field(default="drawn", metadata={"help": "Catalog of the test benchmark, or 'drawn'."})
    validation: str = field(
        default="drawn", metadata={"help": "Catalog of the benchmark that learning rates are selected on, or 'drawn'."}
    )
    limit: int = field(default=1000, metadata={"help": "Most products of either benchmark."})
    train_limit: int | None = field(default=None, metadata={"help": "First rows of the training catalog to use."})
    benchmark_seed: int = field(default=0, metadata={"help": "Seed of the benchmarks' queries and mosaics."})
    mosaic_size: int = field(default=256, metadata={"help": "Side of the benchmarks' mosaics in pixels."})
    systems: str = field(
        default="all",
        metadata={"help": "'all' that are compared, or names with commas; ablations too, by name or as 'ablations'."},
    )
    seeds: str = field(default="0", metadata={"help": "Seeds of training, with commas: one run of a system each."})
    grid: str = field(
        default="5e-5,1e-4,2e-4",
        metadata={"help": "Learning rates of the encoders that every system is tried at, with commas."},
    )
    grid_steps: int | None = field(
        default=None, metadata={"help": "Steps of a trial; a fifth of --max_steps by default."}
    )
    lr: float | None = field(default=None, metadata={"help": "One learning rate for all, in place of the grid."})
    ablation_steps: int | None = field(
        default=None, metadata={"help": "Steps of an ablation; half of --max_steps by default."}
    )
    eval_batch_size: int = field(default=64, metadata={"help": "Pictures per forward pass of an evaluation."})
    jobs: int = field(default=1, metadata={"help": "Runs side by side, each a process of one thread."})
    report_only: bool = field(default=False, metadata={"help": "Only write the report of the runs there are."})
    evaluate: str | None = field(
        default=None, metadata={"help": "Only score this TIGER-FG checkpoint on the test benchmark."}
    )
    run_one: str | None = field(default=None, metadata={"help": "Only this run, by its folder in --output."})

    def __post_init__(self):
        for name in self.system_names:
            if name not in BY_NAME:
                raise ValueError(f"--systems: unknown system {name!r}; known are {', '.join(BY_NAME)}.")
        # Said at once, not after the benchmark is built.
        read_numbers(self.seeds, int, "--seeds")
        read_numbers(self.grid, float, "--grid")

    @property
    def system_names(self) -> list[str]:
        groups = {"all": SYSTEMS, "ablations": ABLATIONS}
        names: list[str] = []
        for name in self.systems.split(","):
            names += [system.name for system in groups[name]] if name in groups else [name]
        return list(dict.fromkeys(names))

    @property
    def seed_numbers(self) -> list[int]:
        return read_numbers(self.seeds, int, "--seeds")

    @property
    def rates(self) -> list[float]:
        return [self.lr] if self.lr is not None else read_numbers(self.grid, float, "--grid")


@dataclass(frozen=True)
class Setup:
    """All arguments of a benchmark, and the command line that gave them."""

    bench: BenchmarkArguments
    model: TigerFGModelArguments
    data: TigerFGDataArguments
    train: TrainArguments
    losses: TigerFGLossWeights
    argv: tuple[str, ...]

    @property
    def output(self) -> Path:
        return Path(self.bench.output)


def parse_setup(argv: list[str] | None = None) -> Setup:
    """
    Reads `--output FOLDER [--benchmark_flag ...] [recipe.yaml | recipe.json] [--training_flag ...]`, in any order.

    Raises:
        ValueError: a training flag is given that the benchmark sets itself, or a value is out of range.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    bench, rest = parse_own(
        BenchmarkArguments,
        argv,
        refused=_OWN,
        description="The IMMR benchmark: builds it, trains and scores every system alike, writes the report. Further "
        "arguments, a recipe among them, are those of examples/train.py and hold for every system.",
    )
    return Setup(bench, *parse_tiger_fg_arguments(rest), tuple(argv))
