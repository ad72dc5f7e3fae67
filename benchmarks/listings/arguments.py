"""Arguments of the listing benchmark: its own, and those of `examples/train_tgq_former.py`, alike for every system."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tiger_fg_hf.objectives.tgq_former import TGQFormerLossWeights
from tiger_fg_hf.training.arguments import TrainArguments, parse_recipe
from tiger_fg_hf.training.recipes.listings import ListingArguments
from tiger_fg_hf.training.recipes.tgq_former.arguments import TGQFormerArguments, TGQFormerTrainArguments

from ..harness.arguments import parse_own, read_numbers
from .systems import ABLATIONS, BY_NAME, SYSTEMS

AUTOCAST_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
# Arguments of `examples/train_tgq_former.py` that the benchmark sets itself.
_OWN = (
    *("output_dir", "seed", "resume", "tracker", "progress"),
    *("eval_every", "eval_data", "eval_limit", "model", "connector"),
)


@dataclass
class BenchmarkArguments:
    """What is compared, on what. Model, data and training are told by those of `examples/train_tgq_former.py`."""

    output: str = field(metadata={"help": "Folder of the benchmarks, the pairs, the runs and the report."})
    test: str = field(default="drawn", metadata={"help": "Catalog of the test benchmark, or 'drawn'."})
    distractors: str | None = field(
        default=None,
        metadata={"help": "Catalog whose products, one listing each, fill the test benchmark's pool, or 'drawn'."},
    )
    validation: str = field(
        default="drawn",
        metadata={"help": "Catalog that learning rates are selected on, without distractors, or 'drawn'."},
    )
    limit: int = field(default=1000, metadata={"help": "Most products of either benchmark."})
    distractor_limit: int | None = field(default=None, metadata={"help": "First rows of --distractors to use."})
    train_limit: int | None = field(default=None, metadata={"help": "First rows of the training catalog to use."})
    benchmark_seed: int = field(default=0, metadata={"help": "Seed of the benchmarks' listings."})
    systems: str = field(
        default="all",
        metadata={"help": "'all' connectors, or names with commas; ablations too, by name or as 'ablations'."},
    )
    seeds: str = field(default="0", metadata={"help": "Seeds of training, with commas: one run of a system each."})
    grid: str | None = field(
        default=None,
        metadata={
            "help": "Learning rates of the connector that every system is tried at, with commas; the language model's "
            "keeps its ratio to it. --head_lr alone by default."
        },
    )
    grid_steps: int | None = field(
        default=None, metadata={"help": "Steps of a trial; a fifth of --max_steps by default."}
    )
    lr: float | None = field(default=None, metadata={"help": "One learning rate for all, in place of a grid."})
    eval_batch_size: int = field(default=64, metadata={"help": "Listings per forward pass of an evaluation."})
    draw_workers: int = field(default=2, metadata={"help": "Processes that draw the training pairs."})
    jobs: int = field(default=1, metadata={"help": "Runs side by side, each a process of one thread."})
    keep_models: bool = field(
        default=False, metadata={"help": "Keep every trained model; TGQ-Former's of the first seed alone otherwise."}
    )
    report_only: bool = field(default=False, metadata={"help": "Only write the report of the runs there are."})
    evaluate: str | None = field(
        default=None, metadata={"help": "Only score this TGQ-Former checkpoint on the test benchmark."}
    )
    run_one: str | None = field(default=None, metadata={"help": "Only this run, by its folder in --output."})

    def __post_init__(self):
        for name in self.system_names:
            if name not in BY_NAME:
                raise ValueError(f"--systems: unknown system {name!r}; known are {', '.join(BY_NAME)}.")
        if self.grid is not None and self.lr is not None:
            raise ValueError("Give either --grid or --lr.")
        # Said at once, not after the benchmark is built.
        read_numbers(self.seeds, int, "--seeds")
        if self.grid is not None:
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


@dataclass(frozen=True)
class Setup:
    """All arguments of a benchmark, and the command line that gave them."""

    bench: BenchmarkArguments
    model: TGQFormerArguments
    data: ListingArguments
    train: TrainArguments
    losses: TGQFormerLossWeights
    argv: tuple[str, ...]

    @property
    def output(self) -> Path:
        return Path(self.bench.output)

    @property
    def model_config(self) -> dict[str, Any]:
        """Fields of TGQ-Former's configuration."""
        assert not isinstance(self.model.model_config, str)  # `TGQFormerArguments` has parsed it
        return dict(self.model.model_config or {})

    @property
    def rates(self) -> list[float]:
        """Learning rates of the connector that are tried."""
        if self.bench.grid is not None:
            return read_numbers(self.bench.grid, float, "--grid")
        return [self.train.head_lr if self.bench.lr is None else self.bench.lr]


def parse_setup(argv: list[str] | None = None) -> Setup:
    """
    Reads `--output FOLDER [--benchmark_flag ...] [recipe.yaml | recipe.json] [--training_flag ...]`, in any order.

    Raises:
        ValueError: a training argument is given that the benchmark sets itself, or a value is out of range.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    bench, rest = parse_own(
        BenchmarkArguments,
        argv,
        refused=_OWN,
        description="The listing benchmark: builds it, trains and scores every connector alike, writes the report. "
        "Further arguments, a recipe among them, are those of examples/train_tgq_former.py and hold for every system.",
    )
    kinds = (TGQFormerArguments, ListingArguments, TGQFormerTrainArguments, TGQFormerLossWeights)
    model, data, train, losses = parse_recipe(kinds, rest)
    setup = Setup(bench, model, data, train, losses, tuple(argv))
    if model.model is not None or "connector" in setup.model_config:
        raise ValueError("The benchmark builds its models itself: give neither a model nor a connector.")
    return setup
