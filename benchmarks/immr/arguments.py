"""Arguments of the IMMR benchmark, and those of `examples/train.py`, which every system shares."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tiger_fg_hf.objectives.tiger_fg_weights import TigerFGLossWeights
from tiger_fg_hf.training.recipes.tiger_fg.arguments import (
    TigerFGDataArguments,
    TigerFGModelArguments,
    parse_tiger_fg_arguments,
)

from ..harness.arguments import RUN_FLAGS, BenchmarkArguments, Setup, parse_setup
from .systems import IMMR_SYSTEMS


@dataclass
class IMMRArguments(BenchmarkArguments):
    """Flags of the benchmark; `--grid` and `--lr` are learning rates of the encoders."""

    grid: str | None = field(
        default="5e-5,1e-4,2e-4",
        metadata={"help": "Learning rates of the encoders to try for every system, separated by commas."},
    )
    mosaic_size: int = field(default=256, metadata={"help": "Side of the benchmarks' mosaics and scenes in pixels."})
    ablation_steps: int | None = field(
        default=None, metadata={"help": "Steps of an ablation; default: half of --max_steps."}
    )

    known = IMMR_SYSTEMS


@dataclass(frozen=True)
class IMMRSetup(Setup):
    """All arguments of the benchmark."""

    bench: IMMRArguments
    model: TigerFGModelArguments
    data: TigerFGDataArguments
    losses: TigerFGLossWeights


def parse_immr_setup(argv: Sequence[str] | None = None) -> IMMRSetup:
    """Parse the command line of the benchmark; see [`parse_setup`]."""
    return parse_setup(
        IMMRSetup,
        IMMRArguments,
        argv,
        refused=(*RUN_FLAGS, "drawn_layout"),
        description="The IMMR benchmark: builds it, trains and scores every system, and writes a report. Further "
        "arguments, such as a recipe, are those of examples/train.py and apply to every system.",
        parse_training=parse_tiger_fg_arguments,
    )
