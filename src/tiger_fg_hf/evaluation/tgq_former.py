"""Item-to-item retrieval: listings embedded by TGQ-Former, and each query's product found in a full pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..catalog.encode import evaluating, split_rows
from ..models.image_loading_tiger_fg import load_rgb_image
from .ranking import build_relevance, rank_relevant, retrieval_metrics

HITS = (1, 10, 100)


@dataclass(frozen=True)
class EmbeddedListings:
    """
    Attributes:
        embeds: `[N, D]` float32, L2-normalised.
        agreement: `[N]`, cosine of picture and title in the dual encoder.
        metadata_gate, exploratory_gate: `[N]`, mean `β` over the channels; None where the connector has no such gate.
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
    """
    Args:
        model: [`TGQFormerModel`], or its `peft` wrapper.
        processor: a `TGQFormerProcessor`.
        images: pictures as `load_rgb_image` takes them; a sequence that decodes on access keeps one batch in memory.
        records: text of each: `title`, `category`, `attributes`.
        encoded: what [`TGQFormerModel.encode_pair`] said of some rows, where it is known; pictures are then not read.

    Raises:
        ValueError: there are not as many records as pictures, or a picture cannot be read.
    """
    if len(images) != len(records):
        raise ValueError(f"{len(images)} images were given with {len(records)} records.")
    device = next(model.parameters()).device
    autocast = torch.autocast(device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None)
    parts: dict[str, list[torch.Tensor]] = {}
    with evaluating(model, None), autocast:
        for rows in split_rows(range(len(images)), batch_size, "batch_size"):
            texts = [records[row] for row in rows]
            if encoded is None:
                pictures = [load_rgb_image(images[row], name=f"listing {row}") for row in rows]
                output = model(**processor(images=pictures, text=texts, return_tensors="pt").to(device))
            else:
                prompts = processor(text=texts, return_tensors="pt").to(device)
                output = model.embed(encoded(rows), prompts["input_ids"], prompts["attention_mask"])
            found = {"embeds": output.embeds, "agreement": output.agreement}
            for gate in ("metadata_gate", "exploratory_gate"):
                if output.connector_output.get(gate) is not None:
                    found[gate] = output.connector_output[gate].float().mean(dim=1)
            for name, value in found.items():
                parts.setdefault(name, []).append(value.float().cpu())
    whole = {name: torch.cat(values) for name, values in parts.items()}
    return EmbeddedListings(
        whole["embeds"], whole["agreement"], whole.get("metadata_gate"), whole.get("exploratory_gate")
    )


def item_metrics(
    query_embeds: torch.Tensor, query_ids: Sequence[str], pool_embeds: torch.Tensor, pool_ids: Sequence[str]
) -> dict[str, np.ndarray]:
    """
    `hit_rate@1`, `@10`, `@100` and `mrr` of every query `[Q]`, float64; see [`retrieval_metrics`].

    Args:
        query_embeds (`[Q, D]`), pool_embeds (`[N, D]`): L2-normalised.
        query_ids, pool_ids: item ids; a query's product must be in the pool.
    """
    ranks = rank_relevant(query_embeds, pool_embeds, build_relevance(query_ids, pool_ids))
    found = retrieval_metrics(ranks, HITS)
    return {name: found[name].numpy() for name in (*(f"hit_rate@{k}" for k in HITS), "mrr")}


def pair_metrics(
    model: torch.nn.Module, processor: Any, pairs: Sequence[Mapping[str, Any]], *, batch_size: int = 64
) -> dict[str, float]:
    """Mean metrics of a [`TGQFormerPairDataset`]: their first listings as queries in the pool of the second."""
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
