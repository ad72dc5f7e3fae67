"""Arguments of the listings benchmark, and those of `examples/train_tgq_former.py`, which every system shares."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tiger_fg_hf.objectives.tgq_former import TGQFormerLossWeights
from tiger_fg_hf.training.arguments import parse_recipe
from tiger_fg_hf.training.recipes.listings import ListingArguments
from tiger_fg_hf.training.recipes.tgq_former.arguments import TGQFormerArguments, TGQFormerTrainArguments

from ..harness.arguments import RUN_FLAGS, BenchmarkArguments, Setup, parse_setup
from .systems import LISTINGS_SYSTEMS


@dataclass
class ListingsArguments(BenchmarkArguments):
    """Flags of the benchmark; `--grid` and `--lr` are learning rates of the connector."""

    distractors: str | None = field(
        default=None,
        metadata={"help": "Catalog of further products, one listing each, in the pool of the test benchmark."},
    )
    distractor_limit: int | None = field(default=None, metadata={"help": "Use the first rows of --distractors."})
    draw_workers: int = field(default=2, metadata={"help": "Processes that draw the training pairs."})
    keep_models: bool = field(
        default=False, metadata={"help": "Keep every trained model; default: only TGQ-Former's of the first seed."}
    )

    known = LISTINGS_SYSTEMS

    def __post_init__(self):
        super().__post_init__()
        if self.grid is not None and self.lr is not None:
            raise ValueError("Give either --grid or --lr.")


@dataclass(frozen=True)
class ListingsSetup(Setup):
    """All arguments of the benchmark."""

    bench: ListingsArguments
    model: TGQFormerArguments
    data: ListingArguments
    losses: TGQFormerLossWeights

    @property
    def model_config(self) -> dict[str, Any]:
        """Fields of TGQ-Former's configuration that differ from the defaults."""
        assert not isinstance(self.model.model_config, str)  # `TGQFormerArguments` has parsed it
        return dict(self.model.model_config or {})


def parse_listings_setup(argv: Sequence[str] | None = None) -> ListingsSetup:
    """Parse the command line of the benchmark; see [`parse_setup`].

    Raises:
        ValueError: if a model or a connector is given, which the benchmark sets itself, or a value is out of range.
    """
    kinds = (TGQFormerArguments, ListingArguments, TGQFormerTrainArguments, TGQFormerLossWeights)
    setup = parse_setup(
        ListingsSetup,
        ListingsArguments,
        argv,
        refused=(*RUN_FLAGS, "model", "connector"),
        description="The listings benchmark: builds it, trains and scores every connector, and writes a report. "
        "Further arguments, such as a recipe, are those of examples/train_tgq_former.py and apply to every system.",
        parse_training=partial(parse_recipe, kinds),
    )
    if setup.model.model is not None or "connector" in setup.model_config:
        raise ValueError("The benchmark builds its models itself: give neither a model nor a connector.")
    return setup
