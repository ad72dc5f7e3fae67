"""Whether TGQ-Former's gates see that a title is not its picture's: the same listings with other products' titles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from tiger_fg_hf.evaluation.tgq_former import EmbeddedListings
from tiger_fg_hf.synthetic.overlays import Level

from .benchmark import ListingBenchmark

Part = Literal["queries", "pool", "mismatched"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Gates:
    """
    Attributes:
        agreement: `[N]`, cosine of picture and title in the dual encoder.
        metadata, exploratory: `[N]`, mean `β` over the channels of that stream's gate, in [-1, 1].
    """

    agreement: np.ndarray
    metadata: np.ndarray
    exploratory: np.ndarray

    @classmethod
    def of(cls, found: EmbeddedListings) -> "Gates":
        """
        Raises:
            ValueError: the connector has not both gates.
        """
        if found.metadata_gate is None or found.exploratory_gate is None:
            raise ValueError("The listings were embedded with a connector that has not both gates.")
        parts = (found.agreement, found.metadata_gate, found.exploratory_gate)
        return cls(*(values.numpy().astype(float) for values in parts))


def listings_of(benchmark: ListingBenchmark, part: Part, level: Level) -> tuple[Any, list[dict[str, Any]]]:
    """
    Pictures and texts of a part of the benchmark at one level.

    `"mismatched"` are the queries, each with the title of a product of another category.
    """
    rows = (benchmark.pool if part == "pool" else benchmark.queries)[level]
    records = benchmark.records(rows)
    if part == "mismatched":
        donors = title_donors(rows["product_category"][:])
        records = [{**record, "title": records[donor]["title"]} for record, donor in zip(records, donors, strict=True)]
    return rows["image"], records


def title_donors(categories: Sequence[str | None], seed: int = 0) -> list[int]:
    """
    For each of N products one of another category, drawn at random; any other one where all are of one category.

    Products without a category count as one more.

    Raises:
        ValueError: there is one product alone.
    """
    if len(categories) < 2:
        raise ValueError("A mismatched title needs two products at least.")
    rng = np.random.default_rng(seed)
    rows = np.arange(len(categories))
    labels = np.array([str(category) for category in categories])
    donors = []
    for row, label in enumerate(labels):
        others = rows[labels != label]
        donors.append(int(rng.choice(others if len(others) else rows[rows != row])))
    return donors
