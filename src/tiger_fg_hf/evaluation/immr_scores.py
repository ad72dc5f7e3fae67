"""Scores a model on the IMMR benchmark: ranks under several item texts, grounding, and the time it took."""

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

from ..catalog.encode import Processor, evaluating, split_rows
from ..data.boxes import crop_to_box, map_box
from ..models.image_loading_tiger_fg import load_rgb_image
from .grounding import box_mass, pointing_accuracy
from .immr import IMMRBenchmark
from .ranking import RelevantRanks, build_relevance, rank_relevant, retrieval_metrics

GALLERIES = ("normal", "mosaic")
TEXTS = ("own", "missing", "category", "swapped")
METRICS = ("recall@1", "recall@5", "recall@10", "mrr", "ndcg@10")


@dataclass(frozen=True)
class GalleryScores:
    """
    What a model made of one gallery of N items, for Q queries.

    Attributes:
        above, tied: text of the items -> int `[Q]`: items that score higher than the query's own, and as high, itself
            included; see [`RelevantRanks`].
        best: `[Q]`, the item that scores highest with its own text.
        grounding: `[N, h, w]` float16, where the model looked with the item's own text; None where it has no such map.
        pointing, mass: `[N]`, see [`pointing_accuracy`] and [`box_mass`]; NaN for items without box, None without map.
        pointing_chance, mass_chance: what a uniform map scores on average.
    """

    above: dict[str, np.ndarray]
    tied: dict[str, np.ndarray]
    best: np.ndarray
    grounding: np.ndarray | None = None
    pointing: np.ndarray | None = None
    mass: np.ndarray | None = None
    pointing_chance: float | None = None
    mass_chance: float | None = None


@dataclass(frozen=True)
class IMMRScores:
    """
    Attributes:
        galleries: `"normal"` and `"mosaic"`.
        seconds_per_1k_queries, seconds_per_1k_items: wall-clock time of embedding 1,000, decoding included; items are
            those of the Normal gallery with their own texts.
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
    """
    Embeds queries and both galleries, and ranks each query's item: with the items' own texts, without any, with the
    category alone, and with another product's text.

    Every picture is decoded and encoded once, and every distinct text; texts are exchanged behind the encoders.

    Args:
        model: [`TigerFGModel`] or a baseline; what reads no text is ranked with `"own"` alone.
        processor: a `TigerFGProcessor`.
        true_boxes: crop the items' pictures to their true boxes first, as a perfect detector would. Then no grounding
            is measured.
        batch_size: pictures or texts per forward pass.
        autocast_dtype: run under `torch.autocast` with this type.
        seed: of the exchange of texts.
    """
    clock = _Clock()
    autocast = torch.autocast(model.device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None)
    with evaluating(model, None), autocast:
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
        }
    items = clock.seconds["texts"] + clock.seconds["normal"]
    return IMMRScores(
        galleries,
        1000 * clock.seconds["queries"] / len(benchmark.queries),
        1000 * items / len(benchmark.normal),
    )


def query_metrics(benchmark: IMMRBenchmark, scores: GalleryScores, text: str = "own") -> dict[str, np.ndarray]:
    """`METRICS` of every query, `[Q]` float64, with the items' texts as `text` says; see [`retrieval_metrics`]."""
    relevance = build_relevance(benchmark.queries["item_id"], benchmark.normal["item_id"])
    ranks = RelevantRanks(relevance, *(torch.from_numpy(part[text]) for part in (scores.above, scores.tied)))
    found = retrieval_metrics(ranks, (1, 5, 10))
    return {name: found[name].numpy() for name in METRICS}


def text_views(benchmark: IMMRBenchmark, processor: Any, *, seed: int) -> dict[str, list[str]]:
    """For each of `TEXTS` the rendered text of every product."""
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
    """
    For each row another of another category, each row once.

    Raises:
        ValueError: there is no such exchange, because more than half of the rows are of one category.
    """
    rng = np.random.default_rng(seed)
    members: dict[str, list[int]] = {}
    for row in rng.permutation(len(categories)).tolist():
        members.setdefault(categories[row], []).append(row)
    order = [row for rows in members.values() for row in rows]
    # Rows of a category lie side by side, so a shift by the largest one leaves none in its own.
    shift = max(map(len, members.values()))
    if 2 * shift > len(order):
        raise ValueError("Texts cannot be exchanged between categories: more than half of the products are of one.")
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
            pixels = processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
            tokens = model.encode_item_image(pixels.to(model.device))
            own = model.fuse_item(tokens, *texts.batch([views["own"][row] for row in rows]))
            embeds["own"].append(own.embeds.float().cpu())
        if own.grounding is not None and not true_boxes:
            groundings.append(own.grounding.float().cpu())
            size, mode = processor.image_processor.size, processor.image_processor.resize_mode
            boxes += [
                None if box is None else map_box(box, picture.size, size, mode)
                for picture, box in zip(pictures, batch["box"], strict=True)
            ]
        for view in set(views) - {"own"}:
            output = model.fuse_item(tokens, *texts.batch([views[view][row] for row in rows]))
            embeds[view].append(output.embeds.float().cpu())

    relevance = build_relevance(benchmark.queries["item_id"], gallery["item_id"])
    items = {view: torch.cat(parts) for view, parts in embeds.items()}
    ranks = {view: rank_relevant(queries, found, relevance) for view, found in items.items()}
    return GalleryScores(
        above={view: found.above.numpy() for view, found in ranks.items()},
        tied={view: found.tied.numpy() for view, found in ranks.items()},
        best=_best(queries, items["own"]),
        **_score_groundings(groundings, boxes),
    )


def _best(queries: torch.Tensor, items: torch.Tensor) -> np.ndarray:
    return torch.cat([(part @ items.T).argmax(1) for part in queries.split(256)]).numpy()


def _score_groundings(batches: list[torch.Tensor], boxes: Sequence[Sequence[float] | None]) -> dict[str, Any]:
    if not batches:
        return {}
    maps = torch.cat(batches)
    found: dict[str, Any] = {"grounding": maps.numpy().astype(np.float16)}
    rows = [row for row, box in enumerate(boxes) if box is not None]
    if not rows:
        return found
    for name, measure in (("pointing", pointing_accuracy), ("mass", box_mass)):
        values, chances = measure([maps[row] for row in rows], [box for box in boxes if box is not None])
        found[name] = np.full(len(maps), np.nan)
        found[name][rows] = values
        found[f"{name}_chance"] = float(chances.mean())
    return found


class _EncodedTexts:
    """Text tokens, each distinct text encoded once and kept on the CPU."""

    def __init__(self, model: PreTrainedModel, processor: Processor, batch_size: int):
        self.model, self.processor, self.batch_size = model, processor, batch_size
        self._tokens: dict[str, torch.Tensor] = {}

    def encode(self, texts: Sequence[str]) -> bool:
        """Encodes what is new among some texts; returns whether the model reads texts at all."""
        # Texts of one length share a batch: less padding.
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
        """Text tokens and mask of some texts as `fuse_item` takes them; None and None where there is no text."""
        known = next((self._tokens[text] for text in texts if text in self._tokens), None)
        if known is None:
            return None, None
        rows = [self._tokens.get(text, known[:0]) for text in texts]
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]
        tokens = pad_sequence(rows, batch_first=True).to(self.model.device)
        return BaseModelOutput(last_hidden_state=tokens), mask.long().to(self.model.device)


class _Clock:
    """Adds up the wall-clock time of named parts."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
