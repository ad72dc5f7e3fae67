"""Score a model on the IMMR benchmark: ranks with several item texts, grounding, and time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from ..catalog.encode import Processor, split_rows
from ..catalog.eval_mode import in_eval_mode
from ..data.boxes import crop_to_box, map_box
from ..models.image_loading_tiger_fg import load_rgb_image
from .grounding import box_mass, extent_overlap, pointing_accuracy
from .immr import IMMRBenchmark
from .ranking import RelevantRanks, build_relevance, rank_relevant, retrieval_metrics

GALLERIES = ("normal", "scene", "mosaic")
TEXTS = ("own", "missing", "category", "swapped")
GLANCES = ("first_glance", "second_glance")
METRICS = ("recall@1", "recall@5", "recall@10", "mrr", "ndcg@10")


@dataclass(frozen=True)
class GalleryScores:
    """Scores on one gallery of N items, for Q queries.

    Attributes:
        above: view of the items -> int `[Q]`, number of items that score higher than the query's product. Views are
            `TEXTS` and, for a model with two glances, `GLANCES`: the items' own texts with either glance alone.
        tied: view of the items -> int `[Q]`, number of items that score equal, itself included; see
            [`RelevantRanks`].
        best: `[Q]` highest-scoring item with its own text.
        grounding: `[N, h, w]` float16 grounding maps with the item's own text; None if the model has none.
        pointing, mass: `[N]`, see [`pointing_accuracy`] and [`box_mass`]; NaN without box, None without maps.
        extent: `[N]`, IoU of the extent with the true box, see [`extent_overlap`]; NaN without box, None for a model
            with one glance.
        pointing_chance, mass_chance, extent_chance: mean scores of uniform maps, whose extent is the whole picture.
        boxes: `[N, 4]` extents as shares of width and height of the processed picture; None as for `extent`.
    """

    above: dict[str, np.ndarray]
    tied: dict[str, np.ndarray]
    best: np.ndarray
    grounding: np.ndarray | None = None
    pointing: np.ndarray | None = None
    mass: np.ndarray | None = None
    pointing_chance: float | None = None
    mass_chance: float | None = None
    extent: np.ndarray | None = None
    extent_chance: float | None = None
    boxes: np.ndarray | None = None


@dataclass(frozen=True)
class IMMRScores:
    """Scores of a model on the benchmark.

    Attributes:
        galleries: scores by gallery, those of `GALLERIES` that the benchmark has.
        seconds_per_1k_queries: wall-clock time to embed 1,000 queries, decoding included.
        seconds_per_1k_items: the same for items of the Normal gallery with their own texts.
    """

    galleries: dict[str, GalleryScores]
    seconds_per_1k_queries: float
    seconds_per_1k_items: float


@torch.no_grad()
def score_immr(
    model: PreTrainedModel,
    processor: Processor,
    benchmark: IMMRBenchmark,
    *,
    true_boxes: bool = False,
    batch_size: int = 64,
    autocast_dtype: torch.dtype | None = None,
    seed: int = 0,
) -> IMMRScores:
    """Embed queries and all galleries, and rank each query's product with several texts of the items.

    The texts are those of `TEXTS`: the item's own, none, its category alone, and another product's. Every picture and
    every distinct text is encoded once; texts are exchanged after encoding.

    Args:
        model: a [`TigerFGModel`], or a model with the same methods. A model that ignores text is ranked with `"own"`
            only.
        processor: its `TigerFGProcessor`.
        benchmark: from [`build_immr`] or [`load_immr`].
        true_boxes: crop item pictures to their true boxes first, like a perfect detector; skips grounding.
        batch_size: pictures or texts per forward pass.
        autocast_dtype: type of autocast; None for no autocast.
        seed: seed of the exchange of texts.

    Returns:
        Ranks, grounding and times; [`query_metrics`] computes metrics from them.
    """
    clock = _Clock()
    autocast = torch.autocast(model.device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None)
    model = in_eval_mode(model)
    with autocast:
        with clock("queries"):
            queries = _embed_queries(model, processor, benchmark, batch_size)
        views = text_views(benchmark, processor, seed=seed)
        with clock("texts"):
            texts = _EncodedTexts(model, processor, batch_size)
            reads_text = texts.encode(views["own"])
        if not reads_text:
            views = {"own": [""] * len(benchmark.normal)}
        texts.encode(views.get("category", []))
        galleries = {
            name: _score_gallery(
                model, processor, benchmark, name, queries, texts, views, true_boxes, batch_size, clock
            )
            for name in GALLERIES
            if getattr(benchmark, name) is not None
        }
    items = clock.seconds["texts"] + clock.seconds["normal"]
    return IMMRScores(
        galleries,
        1000 * clock.seconds["queries"] / len(benchmark.queries),
        1000 * items / len(benchmark.normal),
    )


def query_metrics(benchmark: IMMRBenchmark, scores: GalleryScores, text: str = "own") -> dict[str, np.ndarray]:
    """Compute the metrics of every query on one gallery; see [`retrieval_metrics`].

    Args:
        benchmark: the benchmark that was scored.
        scores: scores of a gallery.
        text: view of the items, one of `TEXTS` or `GLANCES`.

    Returns:
        Name of `METRICS` -> float64 `[Q]` in [0, 1].
    """
    relevance = build_relevance(benchmark.queries["item_id"], benchmark.normal["item_id"])
    ranks = RelevantRanks(relevance, *(torch.from_numpy(part[text]) for part in (scores.above, scores.tied)))
    metrics = retrieval_metrics(ranks, (1, 5, 10))
    return {name: metrics[name].numpy() for name in METRICS}


def text_views(benchmark: IMMRBenchmark, processor: Any, *, seed: int) -> dict[str, list[str]]:
    """Return the text of every product for each of `TEXTS`."""
    records = benchmark.records()
    own = [processor.render_text(record) for record in records]
    categories = [record["category"] for record in records]
    return {
        "own": own,
        "missing": [""] * len(own),
        "category": [processor.render_text({"category": category}) for category in categories],
        "swapped": [own[row] for row in swap_rows(categories, seed=seed)],
    }


def swap_rows(categories: Sequence[str], *, seed: int) -> list[int]:
    """Permute rows so that each row gets one of another category.

    Args:
        categories: category of every row.
        seed: seed of the permutation.

    Returns:
        Row whose text each row gets.

    Raises:
        ValueError: if more than half of the rows share a category.

    Example:
        >>> from tiger_fg_hf.evaluation.immr_scores import swap_rows
        >>> swap_rows(["mug", "lamp"], seed=0)
        [1, 0]
    """
    rng = np.random.default_rng(seed)
    members: dict[str, list[int]] = {}
    for row in rng.permutation(len(categories)).tolist():
        members.setdefault(categories[row], []).append(row)
    order = [row for rows in members.values() for row in rows]
    # Rows of a category are adjacent, so a shift by the size of the largest category leaves none in its own.
    shift = max(map(len, members.values()))
    if 2 * shift > len(order):
        raise ValueError(
            "Texts cannot be exchanged between categories: more than half of the products share a category."
        )
    swapped = [0] * len(order)
    for place, row in enumerate(order):
        swapped[row] = order[(place + shift) % len(order)]
    return swapped


def _embed_queries(
    model: PreTrainedModel, processor: Processor, benchmark: IMMRBenchmark, batch_size: int
) -> torch.Tensor:
    embeds = []
    for rows in split_rows(range(len(benchmark.queries)), batch_size, "batch_size"):
        pictures = benchmark.queries[rows]["query_image"]
        pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
        embeds.append(model.get_query_features(pixels.to(model.device)).float().cpu())
    return torch.cat(embeds)


def _score_gallery(
    model: PreTrainedModel,
    processor: Any,
    benchmark: IMMRBenchmark,
    name: str,
    queries: torch.Tensor,
    texts: _EncodedTexts,
    views: Mapping[str, Sequence[str]],
    true_boxes: bool,
    batch_size: int,
    clock: _Clock,
) -> GalleryScores:
    gallery = getattr(benchmark, name)
    embeds: dict[str, list[torch.Tensor]] = {view: [] for view in views}
    groundings: list[torch.Tensor] = []
    extents: list[torch.Tensor] = []
    boxes: list[tuple[float, ...] | None] = []
    for rows in split_rows(range(len(gallery)), batch_size, "batch_size"):
        with clock(name):
            batch = gallery[rows]
            pictures = [
                load_rgb_image(image, name=f"{name}, item {item_id!r}")
                for image, item_id in zip(batch["image"], batch["item_id"], strict=True)
            ]
            if true_boxes:
                pictures = [crop_to_box(picture, box) for picture, box in zip(pictures, batch["box"], strict=True)]
            pixels = processor.image_processor(pictures, size=processor.item_size, return_tensors="pt")["pixel_values"]
            pixels = pixels.to(model.device)
            tokens = model.encode_item_image(pixels)
            own = _embed_items(model, pixels, tokens, *texts.batch([views["own"][row] for row in rows]))
            embeds["own"].append(own.embeds.float().cpu())
        if own.extent is not None:
            for view, glance in zip(GLANCES, (own.first_embeds, own.glance_embeds), strict=True):
                embeds.setdefault(view, []).append(glance.float().cpu())
        if own.grounding is not None and not true_boxes:
            groundings.append(own.grounding.float().cpu())
            extents += [] if own.extent is None else [own.extent.float().cpu()]
            size, mode = processor.image_processor.size, processor.image_processor.resize_mode
            boxes += [
                None if box is None else map_box(box, picture.size, size, mode)
                for picture, box in zip(pictures, batch["box"], strict=True)
            ]
        for view in set(views) - {"own"}:
            output = _embed_items(model, pixels, tokens, *texts.batch([views[view][row] for row in rows]))
            embeds[view].append(output.embeds.float().cpu())

    relevance = build_relevance(benchmark.queries["item_id"], gallery["item_id"])
    items = {view: torch.cat(parts) for view, parts in embeds.items()}
    ranks = {view: rank_relevant(queries, embeddings, relevance) for view, embeddings in items.items()}
    return GalleryScores(
        above={view: each.above.numpy() for view, each in ranks.items()},
        tied={view: each.tied.numpy() for view, each in ranks.items()},
        best=_best(queries, items["own"]),
        **_score_groundings(groundings, extents, boxes),
    )


def _embed_items(model: Any, pixels: torch.Tensor, tokens: Any, text: Any, mask: torch.Tensor | None) -> Any:
    """Run the item tower on pictures and texts that are encoded already, with as many glances as the model has."""
    output = model.fuse_item(tokens, text, mask)
    return output if model.config.num_glances == 1 else model.look_again(pixels, tokens, output, text, mask, None)


def _best(queries: torch.Tensor, items: torch.Tensor) -> np.ndarray:
    return torch.cat([(part @ items.T).argmax(1) for part in queries.split(256)]).numpy()


def _score_groundings(
    batches: list[torch.Tensor], extents: list[torch.Tensor], boxes: Sequence[Sequence[float] | None]
) -> dict[str, Any]:
    if not batches:
        return {}
    maps = torch.cat(batches)
    scores: dict[str, Any] = {"grounding": maps.numpy().astype(np.float16)}
    if extents:
        scores["boxes"] = torch.cat(extents).numpy()
    rows = [row for row, box in enumerate(boxes) if box is not None]
    if not rows:
        return scores
    true_boxes = [box for box in boxes if box is not None]
    measured = {
        "pointing": pointing_accuracy([maps[row] for row in rows], true_boxes),
        "mass": box_mass([maps[row] for row in rows], true_boxes),
    }
    if extents:
        measured["extent"] = extent_overlap(scores["boxes"][rows], true_boxes)
    for name, (values, chances) in measured.items():
        scores[name] = np.full(len(maps), np.nan)
        scores[name][rows] = values
        scores[f"{name}_chance"] = float(chances.mean())
    return scores


class _EncodedTexts:
    """Text tokens on the CPU; each distinct text is encoded once."""

    def __init__(self, model: PreTrainedModel, processor: Processor, batch_size: int):
        self.model, self.processor, self.batch_size = model, processor, batch_size
        self._tokens: dict[str, torch.Tensor] = {}

    def encode(self, texts: Sequence[str]) -> bool:
        """Encode the texts that are new; return whether the model reads text."""
        # Sorted by length, to reduce padding.
        new = sorted({text for text in texts if text} - self._tokens.keys(), key=lambda text: (len(text), text))
        for start in range(0, len(new), self.batch_size):
            chosen = new[start : start + self.batch_size]
            inputs = self.processor(text=chosen, return_tensors="pt")
            device = self.model.device
            output = self.model.encode_item_text(inputs["input_ids"].to(device), inputs["attention_mask"].to(device))
            if output is None:
                return False
            for text, tokens, mask in zip(chosen, output.last_hidden_state, inputs["attention_mask"], strict=True):
                self._tokens[text] = tokens[mask.bool()].cpu()
        return True

    def batch(self, texts: Sequence[str]) -> tuple[BaseModelOutput | None, torch.Tensor | None]:
        """Return tokens and mask of some texts for `fuse_item`; None and None if all texts are empty."""
        known = next((self._tokens[text] for text in texts if text in self._tokens), None)
        if known is None:
            return None, None
        rows = [self._tokens.get(text, known[:0]) for text in texts]
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]
        tokens = pad_sequence(rows, batch_first=True).to(self.model.device)
        return BaseModelOutput(last_hidden_state=tokens), mask.long().to(self.model.device)


class _Clock:
    """Measure the total wall-clock time of named parts."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
