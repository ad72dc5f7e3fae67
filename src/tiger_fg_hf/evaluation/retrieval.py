"""Evaluates two towers on queries and a catalog: retrieval metrics with intervals and chance, speed, grounding."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import datasets
import numpy as np
import torch
from PIL import ExifTags, Image

from ..catalog.encode import Processor, Records, encode_items, encode_queries
from .bootstrap import BootstrapInterval, bootstrap_interval
from .ranking import build_relevance, chance_metrics, rank_relevant, retrieval_metrics

if TYPE_CHECKING:
    import evaluate

Box: TypeAlias = Sequence[float]
BoxMapper: TypeAlias = Callable[[Box, int, int], Box]
"""(box in pixels of the upright image, its width, its height) -> the box in fractions of `pixel_values`' width and
height: [x0, y0, x1, y1], 0 to 1 where visible."""


@dataclass(frozen=True)
class RetrievalResult:
    """What `evaluate_retrieval` measured.

    Attributes:
        metrics: name (`recall@1`, ..., `mrr`, `map`) -> mean over queries with its bootstrap interval.
        chance: the same names -> what a random order of the items scores in expectation.
        num_queries: Q.
        num_products: distinct item ids among the queries; the intervals resample these.
        num_items: N.
        seconds_per_1k_queries, seconds_per_1k_items: wall-clock time of encoding 1000, decoding included.
        pointing: share of the items with a box whose grounding peaks inside it; `None` without boxes.
        pointing_chance: what a uniform grounding scores.
        num_boxes: items with a box.
        confidence, seed: of the intervals.
        query_ids: [Q] item id of each query.
        per_query: name -> float64 [Q], for paired tests against another model.
    """

    metrics: dict[str, BootstrapInterval]
    chance: dict[str, float]
    num_queries: int
    num_products: int
    num_items: int
    seconds_per_1k_queries: float
    seconds_per_1k_items: float
    pointing: BootstrapInterval | None
    pointing_chance: float | None
    num_boxes: int
    confidence: float
    seed: int
    query_ids: list[str] = field(repr=False)
    per_query: dict[str, np.ndarray] = field(repr=False)

    def to_markdown(self) -> str:
        """A table of the metrics, and a sentence on how they were measured."""
        rows = [(name, interval, self.chance[name]) for name, interval in self.metrics.items()]
        if self.pointing is not None and self.pointing_chance is not None:
            rows.append(("pointing", self.pointing, self.pointing_chance))
        lines = [f"| metric | value | {self.confidence:.0%} interval | chance |", "|---|---:|---:|---:|"]
        lines += [
            f"| {name} | {interval.mean:.4f} | {interval.low:.4f} – {interval.high:.4f} | {chance:.4f} |"
            for name, interval, chance in rows
        ]
        note = (
            f"{self.num_queries} queries of {self.num_products} products against {self.num_items} items. "
            f"Intervals: percentile bootstrap over products, seed {self.seed}. "
            f"Encoding 1000 takes {self.seconds_per_1k_queries:.1f} s (queries) "
            f"and {self.seconds_per_1k_items:.1f} s (items)."
        )
        if self.pointing is not None:
            note += f" Pointing: {self.num_boxes} items with a box."
        return "\n".join([*lines, "", note]) + "\n"

    def to_json(self, *, per_query: bool = False) -> str:
        """All numbers as a JSON object; with `per_query` also those of each query."""
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
    box_mapper: BoxMapper | None = None,
) -> RetrievalResult:
    """Encodes queries and items, and measures how well the queries find their items.

    Metrics are defined in `retrieval_metrics`: equal scores count as randomly ordered.

    Args:
        query_model, item_model, processor: as in `encode_queries` and `encode_items`.
        queries: a `datasets.Dataset` or a list of dicts with `item_id` and `query_image`; where there is no column
            `query_image`, `image` is taken.
        items: likewise with `item_id`, `image`, texts, and optionally `box`, in pixels of the upright image: with any
            box, grounding is measured.
        ks: cut-offs.
        batch_size, device, num_workers, show_progress, autocast_dtype: as in `encode_queries`. Similarities are
            computed on the query model's device.
        truncate_dim: compare the first dimensions only, L2-normalised again.
        confidence, resamples, seed: of the bootstrap; queries that share an item_id are resampled together.
        box_mapper: where a box comes to lie in `pixel_values`. Default: as the processor resizes images.

    Raises:
        ValueError: no queries or items; a query's item_id is not among the items (it is named); an image cannot be
            processed (its row is named); boxes without a way to map them.
    """
    if not len(queries) or not len(items):
        raise ValueError(f"need queries and items, got {len(queries)} and {len(items)}")
    query_ids, item_ids = _column(queries, "item_id"), _column(items, "item_id")
    relevance = build_relevance(query_ids, item_ids)
    boxes = _column(items, "box") if "box" in _column_names(items) else [None] * len(items)
    boxed = {row: box for row, box in enumerate(boxes) if box is not None}
    if boxed and box_mapper is None:
        box_mapper = processor_box_mapper(processor)

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
    if boxed and box_mapper is not None:
        sizes = [_upright_size(image) for image in _LazyColumn(items, "image", list(boxed))]
        fractions = [box_mapper(box, *size) for box, size in zip(boxed.values(), sizes, strict=True)]
        hits, chances = pointing_accuracy([groundings[row] for row in boxed], fractions)
        pointing = interval(hits, groups=[item_ids[row] for row in boxed])
        pointing_chance = float(chances.mean())

    return RetrievalResult(
        metrics={name: interval(values, groups=query_ids) for name, values in per_query.items()},
        chance={name: float(values.mean()) for name, values in chance_metrics(relevance, ks).items()},
        num_queries=len(query_ids),
        num_products=len(set(query_ids)),
        num_items=len(item_ids),
        seconds_per_1k_queries=1000 * (queries_done - started) / len(query_ids),
        seconds_per_1k_items=1000 * (items_done - queries_done) / len(item_ids),
        pointing=pointing,
        pointing_chance=pointing_chance,
        num_boxes=len(boxed),
        confidence=confidence,
        seed=seed,
        query_ids=query_ids,
        per_query=per_query,
    )


def pointing_accuracy(groundings: Sequence[torch.Tensor], boxes: Sequence[Box]) -> tuple[np.ndarray, np.ndarray]:
    """The pointing game: does each grounding peak inside its box?

    A cell is inside if its centre is, or if it holds the centre of the box, which even the smallest box has. Where
    several cells share the peak, the hit is the share of them that lie inside, so a uniform map scores chance.

    Args:
        groundings: n maps [h, w].
        boxes: n boxes [x0, y0, x1, y1] in fractions of the maps' width and height.

    Returns:
        hits [n] in [0, 1], and what a uniform map scores on each [n].
    """
    hits, chances = [], []
    for grounding, (x0, y0, x1, y1) in zip(groundings, boxes, strict=True):
        height, width = grounding.shape
        x, y = (torch.arange(width) + 0.5) / width, (torch.arange(height) + 0.5) / height
        inside = ((y >= y0) & (y < y1))[:, None] & ((x >= x0) & (x < x1))[None]
        row, column = int((y0 + y1) / 2 * height), int((x0 + x1) / 2 * width)
        inside[min(max(row, 0), height - 1), min(max(column, 0), width - 1)] = True
        hits.append(float(inside[grounding == grounding.max()].double().mean()))
        chances.append(float(inside.double().mean()))
    return np.array(hits), np.array(chances)


def processor_box_mapper(processor: Any) -> BoxMapper:
    """Maps boxes as a TIGER-FG processor resizes images (`"pad"`, `"squash"` or `"crop"`).

    Raises:
        ValueError: the processor does not say how it resizes.
    """
    from ..models.tiger_fg.image_processing_pil_tiger_fg import plan_resize

    image_processor: Any = getattr(processor, "image_processor", None)
    if not hasattr(image_processor, "resize_mode"):
        raise ValueError(
            f"the items have boxes, but {type(processor).__name__} does not say how it resizes images: "
            "pass box_mapper, or drop the column `box`"
        )

    def map_box(box: Box, width: int, height: int) -> Box:
        size = image_processor.size
        plan = plan_resize(height, width, size, image_processor.resize_mode)
        left, top, right, bottom = plan.source or (0, 0, width, height)
        x0, x1 = ((plan.left + (x - left) * plan.width / (right - left)) / size.width for x in (box[0], box[2]))
        y0, y1 = ((plan.top + (y - top) * plan.height / (bottom - top)) / size.height for y in (box[1], box[3]))
        return x0, y0, x1, y1

    return map_box


def load_retrieval_metric(**kwargs: Any) -> evaluate.Metric:
    """Loads the `evaluate` module in `metrics/retrieval`, offline; arguments are those of `evaluate.load`."""
    import evaluate

    return evaluate.load(str(Path(__file__).parent / "metrics" / "retrieval"), module_type="metric", **kwargs)


class _LazyColumn(Sequence[Any]):
    """One column, read row by row: other columns may hold images, and a whole column of those may not fit."""

    def __init__(self, rows: Records, name: str, indices: Sequence[int] | None = None):
        if isinstance(rows, datasets.Dataset):
            rows = rows.select_columns([name])
        self.rows, self.name = rows, name
        self.indices = range(len(rows)) if indices is None else indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[self.indices[index]][self.name]


def _column_names(rows: Records) -> Sequence[str]:
    return rows.column_names if isinstance(rows, datasets.Dataset) else list(rows[0])


def _column(rows: Records, name: str) -> list[Any]:
    if isinstance(rows, datasets.Dataset):
        rows = rows.select_columns([name])
    return [row.get(name) for row in rows]


def _upright_size(image: Any) -> tuple[int, int]:
    """Width and height after EXIF rotation, from the header alone."""
    if isinstance(image, Mapping):
        image = image["bytes"] if image.get("bytes") is not None else image["path"]
    if not isinstance(image, Image.Image):
        image = Image.open(io.BytesIO(image) if isinstance(image, bytes) else image)
    width, height = image.size
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (height, width) if turned else (width, height)
