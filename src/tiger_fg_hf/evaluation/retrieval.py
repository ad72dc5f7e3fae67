"""Evaluate two towers on queries and a catalog: metrics with intervals and chance, speed and grounding."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import torch

from ..catalog.encode import Processor, Records, encode_items, encode_queries
from ..data.boxes import map_box
from ..models.image_loading_tiger_fg import upright_size
from .bootstrap import BootstrapInterval, bootstrap_interval
from .grounding import Box, pointing_accuracy
from .ranking import build_relevance, chance_metrics, rank_relevant, retrieval_metrics

if TYPE_CHECKING:
    import evaluate


@dataclass(frozen=True)
class RetrievalResult:
    """Result of [`evaluate_retrieval`].

    Attributes:
        metrics: name (`recall@1`, ..., `mrr`, `map`) -> mean over queries with its bootstrap interval.
        chance: the same names -> expected score of a random order of the items.
        num_queries: number of queries Q.
        num_products: number of distinct item ids among the queries, which the intervals resample.
        num_items: number of items N.
        max_relevant: largest number of items that share the item id of a query.
        seconds_per_1k_queries, seconds_per_1k_items: wall-clock time to encode 1,000, decoding included.
        pointing: share of the `num_boxes` items whose grounding peaks inside their box; None without boxes.
        pointing_chance: score of uniform groundings.
        num_boxes: number of items with a visible box.
        num_boxes_left_out: number of items with a box but no image, or whose box the processor crops away.
        confidence, seed: confidence and seed of the intervals.
        query_ids: `[Q]` item id of each query.
        per_query: name -> float64 `[Q]`, for [`paired_bootstrap`] with another model.
    """

    metrics: dict[str, BootstrapInterval]
    chance: dict[str, float]
    num_queries: int
    num_products: int
    num_items: int
    max_relevant: int
    seconds_per_1k_queries: float
    seconds_per_1k_items: float
    pointing: BootstrapInterval | None
    pointing_chance: float | None
    num_boxes: int
    num_boxes_left_out: int
    confidence: float
    seed: int
    query_ids: list[str] = field(repr=False)
    per_query: dict[str, np.ndarray] = field(repr=False)

    def to_markdown(self) -> str:
        """Format a table of the metrics and how they were measured; skips metrics that equal another by definition."""
        rows = [(name, value, self.chance[name]) for name, value in self.metrics.items() if not self._is_repeat(name)]
        if self.pointing is not None and self.pointing_chance is not None:
            rows.append(("pointing", self.pointing, self.pointing_chance))
        lines = [
            f"| metric | value | {self.confidence:.0%} interval | chance | ÷ chance |",
            "|---|---:|---:|---:|---:|",
        ]
        lines += [
            f"| {name} | {mean:.4f} | {low:.4f} – {high:.4f} | {chance:.4f} | {mean / chance:.1f}× |"
            for name, (mean, low, high), chance in rows
        ]
        note = (
            f"{self.num_queries} queries of {self.num_products} products against {self.num_items} items. "
            f"Intervals: percentile bootstrap over products, seed {self.seed}. "
            f"Encoding 1000 takes {self.seconds_per_1k_queries:.1f} s (queries) "
            f"and {self.seconds_per_1k_items:.1f} s (items)."
        )
        if self.max_relevant == 1:
            note += " Each query has one relevant item, so hit_rate equals recall and map equals mrr."
        if self.num_boxes or self.num_boxes_left_out:
            note += f" Pointing: {self.num_boxes} items with a box"
            note += f", {self.num_boxes_left_out} more left out." if self.num_boxes_left_out else "."
        return "\n".join([*lines, "", note]) + "\n"

    def _is_repeat(self, name: str) -> bool:
        """Whether a metric equals another by definition, as all relevant items have grade 1."""
        if name == "ndcg@1":  # hit_rate@1
            return True
        return self.max_relevant == 1 and (name == "map" or name.startswith("hit_rate@"))

    def to_json(self, *, per_query: bool = False) -> str:
        """Format all numbers as JSON; with `per_query`, also those of each query."""
        data = {name: value for name, value in vars(self).items() if name not in ("query_ids", "per_query")}
        data["metrics"] = {name: interval._asdict() for name, interval in self.metrics.items()}
        data["pointing"] = None if self.pointing is None else self.pointing._asdict()
        if per_query:
            data["query_ids"] = self.query_ids
            data["per_query"] = {name: values.tolist() for name, values in self.per_query.items()}
        return json.dumps(data, indent=2, ensure_ascii=False)


def evaluate_retrieval(
    query_model: torch.nn.Module,
    item_model: torch.nn.Module,
    processor: Processor,
    queries: Records,
    items: Records,
    *,
    ks: Sequence[int] = (1, 5, 10),
    batch_size: int = 32,
    device: torch.device | str | None = None,
    num_workers: int = 0,
    show_progress: bool = False,
    autocast_dtype: torch.dtype | None = None,
    truncate_dim: int | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> RetrievalResult:
    """Encode queries and items, and measure how well the queries find their items.

    See [`retrieval_metrics`] for the metrics; items with equal scores count as randomly ordered.

    Args:
        query_model: query tower, as for `encode_queries`.
        item_model: item tower, as for `encode_items`.
        processor: their processor.
        queries: `datasets.Dataset` or list of dicts with `item_id` and `query_image`. If no row has a `query_image`,
            `image` is used.
        items: `datasets.Dataset` or list of dicts with `item_id`, texts, `image`, and optionally `box` in pixels of
            the upright image. Grounding is measured on items with a visible box.
        ks: cut-offs.
        batch_size: pictures per forward pass.
        device: device to move the models to; default: where they are.
        num_workers: processes that prepare pictures.
        show_progress: show progress bars.
        autocast_dtype: type of autocast; None for no autocast.
        truncate_dim: compare only the first dimensions, L2-normalized again.
        confidence: coverage of the intervals.
        resamples: resamples of the bootstrap; queries that share an item id are resampled together.
        seed: seed of the bootstrap.

    Returns:
        Metrics with intervals, chance, times and grounding.

    Raises:
        ValueError: if there are no queries or items; if the item id of a query is not among the items; if an image
            cannot be processed; or if there are boxes but `processor.image_processor` has no `resize_mode`.

    Example:
        ```python
        from tiger_fg_hf import TigerFGModel, TigerFGProcessor, drawn_catalog, evaluate_retrieval

        path = "model_cards/tiger-fg-tiny"
        model, processor = TigerFGModel.from_pretrained(path), TigerFGProcessor.from_pretrained(path)
        catalog = drawn_catalog(num_products=100, split="test", size=160)
        result = evaluate_retrieval(*model.eval().towers(), processor, queries=catalog, items=catalog)
        print(result.to_markdown())
        ```
    """
    if not len(queries) or not len(items):
        raise ValueError(f"need queries and items, got {len(queries)} and {len(items)}")
    query_ids, item_ids = _column(queries, "item_id"), _column(items, "item_id")
    relevance = build_relevance(query_ids, item_ids)
    boxed = {row: box for row, box in enumerate(_column(items, "box")) if box is not None}
    image_processor = getattr(processor, "image_processor", None)
    if boxed and not hasattr(image_processor, "resize_mode"):
        raise ValueError(
            f"the items have boxes, but {type(processor).__name__} does not say how it resizes images: "
            "drop the column `box`"
        )

    encode_options: dict[str, Any] = {
        "batch_size": batch_size,
        "device": device,
        "num_workers": num_workers,
        "show_progress": show_progress,
        "autocast_dtype": autocast_dtype,
    }
    started = time.perf_counter()
    images = _LazyColumn(queries, "query_image" if "query_image" in _column_names(queries) else "image")
    query_embeds = encode_queries(query_model, processor, images, item_ids=query_ids, **encode_options)
    queries_done = time.perf_counter()
    encoded = encode_items(item_model, processor, items, return_grounding=bool(boxed), **encode_options)
    item_embeds, groundings = encoded if isinstance(encoded, tuple) else (encoded, [])
    items_done = time.perf_counter()

    query_device = next(query_model.parameters()).device
    ranks = rank_relevant(query_embeds, item_embeds, relevance, device=query_device, truncate_dim=truncate_dim)
    per_query = {name: values.numpy() for name, values in retrieval_metrics(ranks, ks).items()}
    interval = partial(bootstrap_interval, confidence=confidence, resamples=resamples, seed=seed)

    pointing = pointing_chance = None
    boxes = _visible_boxes(image_processor, items, boxed)
    if boxes:
        hits, chances = pointing_accuracy([groundings[row] for row in boxes], list(boxes.values()))
        pointing = interval(hits, groups=[item_ids[row] for row in boxes])
        pointing_chance = float(chances.mean())

    return RetrievalResult(
        metrics={name: interval(values, groups=query_ids) for name, values in per_query.items()},
        chance={name: float(values.mean()) for name, values in chance_metrics(relevance, ks).items()},
        num_queries=len(query_ids),
        num_products=len(set(query_ids)),
        num_items=len(item_ids),
        max_relevant=int(relevance.counts.max()),
        seconds_per_1k_queries=1000 * (queries_done - started) / len(query_ids),
        seconds_per_1k_items=1000 * (items_done - queries_done) / len(item_ids),
        pointing=pointing,
        pointing_chance=pointing_chance,
        num_boxes=len(boxes),
        num_boxes_left_out=len(boxed) - len(boxes),
        confidence=confidence,
        seed=seed,
        query_ids=query_ids,
        per_query=per_query,
    )


def _visible_boxes(image_processor: Any, items: Records, boxed: Mapping[int, Box]) -> dict[int, Box]:
    """Map boxes to fractions of the processed image, by row; leaves out invisible boxes."""
    mapped: dict[int, Box] = {}
    for row, image in zip(boxed, _LazyColumn(items, "image", list(boxed)), strict=True):
        if image is not None:
            box = map_box(boxed[row], upright_size(image), image_processor.size, image_processor.resize_mode)
            if box is not None:
                mapped[row] = box
    return mapped


def load_retrieval_metric(**kwargs: Any) -> evaluate.Metric:
    """Load the retrieval metric of the `evaluate` library, without network access.

    Args:
        **kwargs: arguments of `evaluate.load`.
    """
    import evaluate

    return evaluate.load(str(Path(__file__).parent / "metrics" / "retrieval"), module_type="metric", **kwargs)


class _LazyColumn(Sequence[Any]):
    """One column, read row by row, because a full column of images may not fit into memory."""

    def __init__(self, rows: Records, name: str, indices: Sequence[int] | None = None):
        if isinstance(rows, datasets.Dataset) and name in rows.column_names:
            rows = rows.select_columns([name])
        self.rows, self.name = rows, name
        self.indices = range(len(rows)) if indices is None else indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[self.indices[index]].get(self.name)


def _column_names(rows: Records) -> set[str]:
    names = getattr(rows, "column_names", None)
    return {name for row in rows for name in row} if names is None else set(names)


def _column(rows: Records, name: str) -> list[Any]:
    if isinstance(rows, datasets.Dataset):
        return list(rows[name]) if name in rows.column_names else [None] * len(rows)
    return [row.get(name) for row in rows]
