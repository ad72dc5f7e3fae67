"""TGQ-Former's gates on listings with their own titles and with titles of other products."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from tiger_fg_hf.evaluation.tgq_former import EmbeddedListings
from tiger_fg_hf.synthetic.overlays import Level

from .dataset import ListingBenchmark

Part = Literal["queries", "pool", "mismatched"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Gates:
    """Gates of N listings.

    Attributes:
        agreement: `[N]` cosine of picture and title in the dual encoder.
        metadata, exploratory: `[N]` mean `β` over the channels of that stream's gate, in [-1, 1].
    """

    agreement: np.ndarray
    metadata: np.ndarray
    exploratory: np.ndarray

    @classmethod
    def of(cls, listings: EmbeddedListings) -> "Gates":
        """Read the gates of embedded listings.

        Raises:
            ValueError: if the connector does not have both gates.
        """
        if listings.metadata_gate is None or listings.exploratory_gate is None:
            raise ValueError("The listings were embedded with a connector that does not have both gates.")
        parts = (listings.agreement, listings.metadata_gate, listings.exploratory_gate)
        return cls(*(values.numpy().astype(float) for values in parts))


def listings_of(benchmark: ListingBenchmark, part: Part, level: Level) -> tuple[Any, list[dict[str, Any]]]:
    """Return pictures and texts of one part of the benchmark at one level.

    `"mismatched"` are the queries, each with the title of a product of another category.
    """
    rows = (benchmark.pool if part == "pool" else benchmark.queries)[level]
    records = benchmark.records(rows)
    if part == "mismatched":
        donors = title_donors(rows["product_category"][:])
        records = [{**record, "title": records[donor]["title"]} for record, donor in zip(records, donors, strict=True)]
    return rows["image"], records


def title_donors(categories: Sequence[str | None], seed: int = 0) -> list[int]:
    """For each of N products, draw a product of another category; any other product if all share one category.

    Products without a category form a category of their own.

    Raises:
        ValueError: if there is only one product.
    """
    if len(categories) < 2:
        raise ValueError("A mismatched title needs at least two products.")
    rng = np.random.default_rng(seed)
    rows = np.arange(len(categories))
    labels = np.array([str(category) for category in categories])
    donors = []
    for row, label in enumerate(labels):
        others = rows[labels != label]
        donors.append(int(rng.choice(others if len(others) else rows[rows != row])))
    return donors
