"""Whether TGQ-Former's gates see that a title is not its picture's: the same listings with other products' titles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tiger_fg_hf.data.promotions import Level
from tiger_fg_hf.evaluation.item_retrieval import EmbeddedListings, embed_listings
from tiger_fg_hf.evaluation.listing_benchmark import ListingBenchmark


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


def mismatched_gates(
    model: torch.nn.Module, processor: Any, benchmark: ListingBenchmark, level: Level, **options: Any
) -> Gates:
    """
    Gates of a level's queries, each with the title of a product of another category.

    Args:
        options: of [`embed_listings`].
    """
    queries = benchmark.queries[level]
    records = benchmark.records(queries)
    donors = title_donors(queries["category"][:])
    swapped = [{**record, "title": records[donor]["title"]} for record, donor in zip(records, donors, strict=True)]
    return Gates.of(embed_listings(model, processor, queries["image"], swapped, **options))


def title_donors(categories: Sequence[str | None], seed: int = 0) -> list[int]:
    """
    For each of N products one of another category, drawn at random; any other one where all are of one category.

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
