"""Hard negatives of each query: items that score high, but not as high as the query's own item."""

from collections.abc import Iterator

import torch

from ..catalog.search import Embeddings, check_embeds, load_rows


@torch.no_grad()
def mine_hard_negatives(
    query_embeds: Embeddings,
    item_embeds: Embeddings,
    query_item_ids: torch.Tensor,
    item_ids: torch.Tensor,
    *,
    num_negatives: int,
    top_k: int = 50,
    relative_margin: float | None = 0.05,
    absolute_margin: float | None = None,
    seed: int = 0,
    query_chunk: int = 256,
    item_chunk: int = 16384,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Draw random negatives from the `top_k` best items of each query, leaving out its own product and close scores.

    An item that scores about as high as the query's own is likely an unlabeled positive. Candidates above a threshold
    that depends on the positive's score are dropped, as in NV-Retriever (arXiv 2407.15831, "TopK-PercPos" and
    "TopK-MarginPos"). The search is exact and holds one chunk of scores at a time. Ties for the last of the `top_k`
    are broken arbitrarily.

    Args:
        query_embeds: `[Q, D]`, L2-normalized, a tensor or a memory-mapped array.
        item_embeds: `[N, D]`, likewise.
        query_item_ids: `[Q]` integer, product of each query; [`stable_id`] makes integers of strings.
        item_ids: `[N]` integer, product of each item.
        num_negatives: Negatives per query, m.
        top_k: Candidates to draw from, at least m.
        relative_margin: Keep candidates that score at most `positive - relative_margin * |positive|`, where `positive`
            is the score of the best of the query's own items; 0.05 is NV-Retriever's 95 percent. None sets no bound.
        absolute_margin: Keep candidates that score at most `positive - absolute_margin`. None sets no bound.
        seed: Seed of the draw.
        query_chunk: Queries per chunk; working memory is O(query_chunk * (item_chunk + D) + Q * top_k).
        item_chunk: Items per chunk.
        device: Where to compute.

    Returns:
        `[Q, m]` int64 on the CPU: distinct rows of `item_embeds`, hardest first, padded with -1.

    Raises:
        ValueError: If shapes do not fit, m is not in [1, top_k], a query has no item of its product, or a row holds
            NaN or infinity.

    Example:
        >>> embeds, ids = torch.nn.functional.normalize(torch.tensor([[1.0, 0], [1, 1], [0, 1]])), torch.arange(3)
        >>> mine_hard_negatives(embeds, embeds, ids, ids, num_negatives=1, top_k=1).tolist()
        [[1], [0], [1]]
    """
    check_embeds(query_embeds, item_embeds)
    if (len(query_item_ids), len(item_ids)) != (len(query_embeds), len(item_embeds)):
        raise ValueError(
            f"{len(query_embeds)} query_embeds and {len(item_embeds)} item_embeds were given with "
            f"{len(query_item_ids)} query_item_ids and {len(item_ids)} item_ids."
        )
    if not 1 <= num_negatives <= top_k:
        raise ValueError(f"num_negatives must lie in [1, top_k = {top_k}], got {num_negatives}.")

    def blocks() -> Iterator[tuple[slice, slice, torch.Tensor, torch.Tensor]]:
        """Yield query rows, item rows, their scores `[q, n]`, and whether they show one product `[q, n]`."""
        # Items in the outer loop, so that a catalog on disk is read once and not once per chunk of queries.
        for items in _slices(len(item_embeds), item_chunk):
            item_block = load_rows(item_embeds, items, name="item_embeds", device=device, dtype=torch.float32)
            for queries in _slices(len(query_embeds), query_chunk):
                query_block = load_rows(query_embeds, queries, name="query_embeds", device=device, dtype=torch.float32)
                own = query_item_ids[queries].to(device)[:, None] == item_ids[items].to(device)
                yield queries, items, query_block @ item_block.T, own

    positives = torch.full((len(query_embeds),), -torch.inf)
    for queries, _, scores, own in blocks():
        best = scores.masked_fill(~own, -torch.inf).amax(dim=1).cpu()
        positives[queries] = positives[queries].maximum(best)
    if positives.isinf().any():
        row = int(positives.isinf().nonzero()[0])
        raise ValueError(f"Query row {row}: no item has its item id {int(query_item_ids[row])}.")
    bound = torch.full_like(positives, torch.inf)
    if relative_margin is not None:
        bound = bound.minimum(positives - relative_margin * positives.abs())
    if absolute_margin is not None:
        bound = bound.minimum(positives - absolute_margin)

    top_scores = torch.full((len(query_embeds), min(top_k, len(item_embeds))), -torch.inf)
    top_rows = torch.full(top_scores.shape, -1)
    for queries, items, scores, own in blocks():
        scores = scores.masked_fill(own | (scores > bound[queries].to(device)[:, None]), -torch.inf)
        scores, rows = scores.topk(min(top_k, scores.shape[1]), dim=1)
        scores = torch.cat([top_scores[queries], scores.cpu()], dim=1)
        rows = torch.cat([top_rows[queries], rows.cpu() + items.start], dim=1)
        top_scores[queries], kept = scores.topk(top_scores.shape[1], dim=1)
        top_rows[queries] = rows.gather(1, kept)
    top_rows.masked_fill_(top_scores.isinf(), -1)
    return _draw(top_rows, num_negatives, seed)


def _slices(size: int, chunk: int) -> Iterator[slice]:
    return (slice(start, min(start + chunk, size)) for start in range(0, size, chunk))


def _draw(candidates: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """Draw `count` of each row's candidates at random, keeping their order; -1 marks no candidate and comes last."""
    keys = torch.rand(candidates.shape, generator=torch.Generator().manual_seed(seed))
    keys.masked_fill_(candidates < 0, -1.0)
    chosen = keys.topk(min(count, candidates.shape[1]), dim=1).indices.sort(dim=1).values
    drawn = candidates.gather(1, chosen)
    padding = drawn.new_full((len(drawn), count - drawn.shape[1]), -1)
    return torch.cat([drawn, padding], dim=1)
