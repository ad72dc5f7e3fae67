"""Exact top-k search of a catalog, chunk by chunk: the `[Q, N]` score matrix is never held in memory."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F

Embeddings: TypeAlias = torch.Tensor | np.ndarray


@torch.no_grad()
def search(
    query_embeds: Embeddings,
    item_embeds: Embeddings,
    k: int,
    *,
    query_chunk: int = 256,
    item_chunk: int = 16384,
    device: torch.device | str = "cpu",
    truncate_dim: int | None = None,
    compute_dtype: torch.dtype | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the `k` items with the highest inner product for each query, exactly.

    Items with equal scores are returned in index order. Scores are summed in float64 and rounded to float32, so that
    equal items get equal scores and the result does not depend on the chunk sizes. (The last bits of a float32 sum
    do.)

    Args:
        query_embeds: `[Q, D]` tensor or numpy array of floats, L2-normalized for cosine similarity.
        item_embeds: `[N, D]` tensor or numpy array of floats. May be memory-mapped: each row is read once.
        k: Number of items to return per query, at least 1.
        query_chunk: Number of queries to score at a time.
        item_chunk: Number of items to score at a time. In addition to the result, memory use is
            O(query_chunk * (item_chunk + k)).
        device: Where to compute the scores.
        truncate_dim: Compare only the first `truncate_dim` dimensions, L2-normalized again.
        compute_dtype: Data type of the sums, float64 by default (float32 on devices without float64).
            `torch.float32` is faster, but may return equal items from different chunks in any order.

    Returns:
        scores `[Q, min(k, N)]`, float32, in descending order, and item indices `[Q, min(k, N)]`, int64; both on the
        CPU.

    Raises:
        ValueError: If the shapes or data types do not fit, `k` or a chunk size is below 1, or a row holds NaN or
            infinity.

    Example:
        >>> import torch
        >>> items = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
        >>> scores, indices = search(torch.tensor([[0.0, 1.0]]), items, k=2)
        >>> indices.tolist()
        [[1, 2]]
    """
    check_embeds(query_embeds, item_embeds, truncate_dim)
    for name, value in (("k", k), ("query_chunk", query_chunk), ("item_chunk", item_chunk)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    dtype = compute_dtype or score_dtype(device)
    num_queries, num_items = query_embeds.shape[0], item_embeds.shape[0]
    best_scores = torch.empty(num_queries, min(k, num_items))
    best_items = torch.empty(num_queries, min(k, num_items), dtype=torch.int64)

    # Items in the outer loop: a catalog on disk is read once, not once per chunk of queries.
    for first_item in range(0, num_items, item_chunk):
        last_item = min(first_item + item_chunk, num_items)
        items = load_rows(
            item_embeds,
            slice(first_item, last_item),
            name="item_embeds",
            device=device,
            dtype=dtype,
            truncate_dim=truncate_dim,
        )
        before, after = min(k, first_item), min(k, last_item)
        for first_query in range(0, num_queries, query_chunk):
            rows = slice(first_query, min(first_query + query_chunk, num_queries))
            queries = load_rows(
                query_embeds, rows, name="query_embeds", device=device, dtype=dtype, truncate_dim=truncate_dim
            )
            scores, columns = _top((queries @ items.T).float(), min(k, last_item - first_item))
            # Earlier items come first, so that the stable sort keeps equal scores in index order.
            scores = torch.cat([best_scores[rows, :before], scores.cpu()], dim=1)
            candidates = torch.cat([best_items[rows, :before], columns.cpu() + first_item], dim=1)
            scores, order = scores.sort(dim=1, descending=True, stable=True)
            best_scores[rows, :after] = scores[:, :after]
            best_items[rows, :after] = candidates.gather(1, order[:, :after])
    return best_scores, best_items


def _top(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the `k` highest of scores `[q, n]` and their columns, equal scores in column order."""
    values, columns = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    if values.shape[1] > k:
        # Where equal scores straddle the cut, `topk` may keep any of them.
        is_split = values[:, k] == values[:, k - 1]
        values, columns = values[:, :k], columns[:, :k]
        if is_split.any():
            ordered = scores[is_split].sort(dim=1, descending=True, stable=True)
            values[is_split], columns[is_split] = ordered.values[:, :k], ordered.indices[:, :k]
    columns, order = columns.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)


def check_embeds(query_embeds: Embeddings, item_embeds: Embeddings, truncate_dim: int | None = None) -> None:
    """Check that two arrays of embeddings can be compared.

    Raises:
        ValueError: If they are not `[Q, D]` and `[N, D]` floats with the same D, or `truncate_dim` is not in [1, D].
    """
    for name, embeds in (("query_embeds", query_embeds), ("item_embeds", item_embeds)):
        if len(embeds.shape) != 2:
            raise ValueError(f"{name} must have shape [rows, dim], got {tuple(embeds.shape)}")
        is_float = embeds.is_floating_point() if isinstance(embeds, torch.Tensor) else embeds.dtype.kind == "f"
        if not is_float:
            raise ValueError(f"{name} must hold floating point numbers, got {embeds.dtype}")
    query_dim, item_dim = query_embeds.shape[1], item_embeds.shape[1]
    if query_dim != item_dim:
        raise ValueError(f"query_embeds have {query_dim} dimensions but item_embeds have {item_dim}")
    if truncate_dim is not None and not 1 <= truncate_dim <= query_dim:
        raise ValueError(f"truncate_dim must lie in [1, {query_dim}], got {truncate_dim}")


def score_dtype(device: torch.device | str) -> torch.dtype:
    """Return the data type to sum similarities in: float64, or float32 on devices that lack it (MPS)."""
    return torch.float32 if torch.device(device).type == "mps" else torch.float64


def load_rows(
    embeds: Embeddings,
    rows: slice | np.ndarray,
    *,
    name: str,
    device: torch.device | str,
    dtype: torch.dtype,
    truncate_dim: int | None = None,
) -> torch.Tensor:
    """Copy rows of a tensor or (memory-mapped) array to `device`, and check that they are finite.

    Args:
        embeds: `[N, D]`.
        rows: A slice with explicit bounds and step 1, or int64 row numbers `[n]`.
        name: Name of `embeds` in error messages.
        device: Target device.
        dtype: Target data type.
        truncate_dim: Keep only the first `truncate_dim` dimensions, and L2-normalize them.

    Returns:
        `[n, D]`, or `[n, truncate_dim]`.

    Raises:
        ValueError: If a row holds NaN or infinity; the message names the first one.
    """
    if isinstance(embeds, np.ndarray):
        # A copy, because a read-only memory map cannot back a tensor.
        chunk = torch.from_numpy(np.array(embeds[rows]))
    else:
        chunk = embeds[rows if isinstance(rows, slice) else torch.from_numpy(rows).to(embeds.device)]
    chunk = chunk.detach().to(device=device, dtype=dtype)
    # A sum costs less than a mask; it may also overflow, so only the mask decides.
    if not chunk.sum().isfinite():
        finite = chunk.isfinite().all(dim=1)
        if not finite.all():
            first = int((~finite).nonzero()[0])
            row = rows.start + first if isinstance(rows, slice) else int(rows[first])
            raise ValueError(f"{name} row {row} holds NaN or infinity")
    if truncate_dim is not None:
        chunk = F.normalize(chunk[:, :truncate_dim], dim=1)
    return chunk
