"""Item-to-item evaluation of TGQ-Former: embed listings and find each query's product in a pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..catalog.encode import split_rows
from ..catalog.eval_mode import in_eval_mode
from ..models.image_loading_tiger_fg import load_rgb_image
from .ranking import build_relevance, rank_relevant, retrieval_metrics

HITS = (1, 10, 100)


@dataclass(frozen=True)
class EmbeddedListings:
    """Embeddings of N listings, with the agreement of picture and title and the gates.

    Attributes:
        embeds: `[N, D]` float32, L2-normalized.
        agreement: `[N]` cosine of picture and title in the dual encoder.
        metadata_gate, exploratory_gate: `[N]` mean `β` over the channels; None if the connector has no such gate.
    """

    embeds: torch.Tensor
    agreement: torch.Tensor
    metadata_gate: torch.Tensor | None
    exploratory_gate: torch.Tensor | None


@torch.no_grad()
def embed_listings(
    model: torch.nn.Module,
    processor: Any,
    images: Sequence[Any],
    records: Sequence[Mapping[str, Any]],
    *,
    batch_size: int = 64,
    autocast_dtype: torch.dtype | None = None,
    encoded: Callable[[Sequence[int]], Any] | None = None,
) -> EmbeddedListings:
    """Embed listings with TGQ-Former.

    Args:
        model: a [`TGQFormerModel`], or its `peft` wrapper.
        processor: its `TGQFormerProcessor`.
        images: `[N]` pictures, as for `load_rgb_image`. A sequence that decodes on access keeps memory low.
        records: `[N]` texts with `title`, `category` and `attributes`.
        batch_size: listings per forward pass.
        autocast_dtype: type of autocast; None for no autocast.
        encoded: returns stored outputs of [`TGQFormerModel.encode_pair`] for some rows, in place of the pictures.

    Returns:
        Embeddings, agreement and gates.

    Raises:
        ValueError: if the numbers of records and pictures differ, or a picture cannot be read.
    """
    if len(images) != len(records):
        raise ValueError(f"{len(images)} images were given with {len(records)} records.")
    device = next(model.parameters()).device
    autocast = torch.autocast(device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None)
    parts: dict[str, list[torch.Tensor]] = {}
    model = in_eval_mode(model)
    with autocast:
        for rows in split_rows(range(len(images)), batch_size, "batch_size"):
            texts = [records[row] for row in rows]
            if encoded is None:
                pictures = [load_rgb_image(images[row], name=f"listing {row}") for row in rows]
                output = model(**processor(images=pictures, text=texts, return_tensors="pt").to(device))
            else:
                prompts = processor(text=texts, return_tensors="pt").to(device)
                output = model.embed(encoded(rows), prompts["input_ids"], prompts["attention_mask"])
            values = {"embeds": output.embeds, "agreement": output.agreement}
            for gate in ("metadata_gate", "exploratory_gate"):
                if output.connector_output.get(gate) is not None:
                    values[gate] = output.connector_output[gate].float().mean(dim=1)
            for name, value in values.items():
                parts.setdefault(name, []).append(value.float().cpu())
    columns = {name: torch.cat(values) for name, values in parts.items()}
    return EmbeddedListings(
        columns["embeds"], columns["agreement"], columns.get("metadata_gate"), columns.get("exploratory_gate")
    )


def item_metrics(
    query_embeds: torch.Tensor, query_ids: Sequence[str], pool_embeds: torch.Tensor, pool_ids: Sequence[str]
) -> dict[str, np.ndarray]:
    """Compute `hit_rate@1`, `@10`, `@100` and `mrr` of every query; see [`retrieval_metrics`].

    Args:
        query_embeds: `[Q, D]`, L2-normalized.
        query_ids: `[Q]` item ids; each must be in the pool.
        pool_embeds: `[N, D]`, L2-normalized.
        pool_ids: `[N]` item ids.

    Returns:
        Name -> float64 `[Q]` in [0, 1].

    Example:
        >>> import torch
        >>> from tiger_fg_hf.evaluation.tgq_former import item_metrics
        >>> metrics = item_metrics(torch.eye(2), ["mug", "cup"], torch.eye(3)[:, :2], ["mug", "cup", "pan"])
        >>> metrics["hit_rate@1"].tolist()
        [1.0, 1.0]
    """
    ranks = rank_relevant(query_embeds, pool_embeds, build_relevance(query_ids, pool_ids))
    metrics = retrieval_metrics(ranks, HITS)
    return {name: metrics[name].numpy() for name in (*(f"hit_rate@{k}" for k in HITS), "mrr")}


def pair_metrics(
    model: torch.nn.Module, processor: Any, pairs: Sequence[Mapping[str, Any]], *, batch_size: int = 64
) -> dict[str, float]:
    """Evaluate on a [`TGQFormerPairDataset`]: first listings are the queries, second listings the pool.

    Returns:
        Mean metrics of [`item_metrics`].
    """
    ids = [pair["item_id"] for pair in pairs]
    first, second = (
        embed_listings(
            model,
            processor,
            [pair["images"][side] for pair in pairs],
            [pair["texts"][side] for pair in pairs],
            batch_size=batch_size,
        ).embeds
        for side in (0, 1)
    )
    return {name: float(values.mean()) for name, values in item_metrics(first, ids, second, ids).items()}
