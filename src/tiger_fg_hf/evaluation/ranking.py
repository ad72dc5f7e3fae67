"""Ranks of the relevant items, counted in chunks, and retrieval metrics that are exact under ties.

Every metric is its expectation over all orderings of items with equal scores (McSherry & Najork, "Computing
Information Retrieval Performance Measures Efficiently in the Presence of Tied Scores", ECIR 2008). A model that maps
everything to one vector therefore scores chance, not what a sort happens to return. Two numbers per relevant item are
enough: how many items score higher (`above`) and how many score equal, itself included (`tied`).

ranx, ir_measures (pytrec_eval) and torchmetrics were compared and not used: they break ties by row or by item id, so a
constant embedding scores 0 or 1 at random, and they take all Q x N scores or a truncated run instead of embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..catalog.search import Embeddings, check_embeds, load_rows, score_dtype

# With this many relevant items per query, sorting a chunk is cheaper than one comparison per relevant item.
_SORT_FROM = 8


@dataclass(frozen=True)
class Relevance:
    """Relevant pairs of query and item, sorted by query and then by item.

    Attributes:
        query: `[P]` int64 query rows; every query occurs at least once.
        item: `[P]` int64 item rows.
        grade: `[P]` float64 relevance, greater than 0.
        num_queries: number of queries Q.
        num_items: number of items N.
    """

    query: torch.Tensor
    item: torch.Tensor
    grade: torch.Tensor
    num_queries: int
    num_items: int

    @property
    def counts(self) -> torch.Tensor:
        """Relevant items per query, `[Q]` int64."""
        return torch.bincount(self.query, minlength=self.num_queries)


@dataclass(frozen=True)
class RelevantRanks:
    """Ranks of the relevant pairs: uniform on `above + 1 .. above + tied`.

    Attributes:
        relevance: the pairs.
        above: `[P]` int64, number of items that score higher.
        tied: `[P]` int64, number of items that score equal, itself included.
    """

    relevance: Relevance
    above: torch.Tensor
    tied: torch.Tensor


def build_relevance(
    query_ids: Sequence[str],
    item_ids: Sequence[str],
    grades: Sequence[Mapping[str, float]] | None = None,
) -> Relevance:
    """Find which items are relevant to which query.

    Args:
        query_ids: `[Q]` item id of each query; every item with this id is relevant, with grade 1.
        item_ids: `[N]` ids of the catalog; an id may occur several times.
        grades: `[Q]` mappings from item id to grade, which replace that rule. Grade 0 means not relevant.

    Raises:
        ValueError: if a query has no relevant item, an id is unknown, or a grade is negative or not finite.

    Example:
        >>> from tiger_fg_hf.evaluation.ranking import build_relevance
        >>> build_relevance(["mug", "cup"], ["cup", "mug", "mug"]).item.tolist()
        [1, 2, 0]
    """
    rows_of: dict[str, list[int]] = {}
    for row, item_id in enumerate(item_ids):
        rows_of.setdefault(item_id, []).append(row)
    if grades is None:
        grades = [{query_id: 1.0} for query_id in query_ids]
    elif len(grades) != len(query_ids):
        raise ValueError(f"grades must hold one mapping per query, got {len(grades)} for {len(query_ids)} queries")

    query, item, grade = [], [], []
    for row, (query_id, wanted) in enumerate(zip(query_ids, grades, strict=True)):
        pairs = []
        for item_id, value in wanted.items():
            if not 0 <= value < math.inf:
                raise ValueError(f"query row {row} ({query_id!r}): grade of {item_id!r} is {value}, must be >= 0")
            if value > 0:
                if item_id not in rows_of:
                    raise ValueError(f"query row {row} ({query_id!r}): no item has the item_id {item_id!r}")
                pairs += [(item_row, value) for item_row in rows_of[item_id]]
        if not pairs:
            raise ValueError(f"query row {row} ({query_id!r}) has no relevant item")
        for item_row, value in sorted(pairs):
            query.append(row)
            item.append(item_row)
            grade.append(value)
    return Relevance(
        torch.tensor(query, dtype=torch.int64),
        torch.tensor(item, dtype=torch.int64),
        torch.tensor(grade, dtype=torch.float64),
        len(query_ids),
        len(item_ids),
    )


@torch.no_grad()
def rank_relevant(
    query_embeds: Embeddings,
    item_embeds: Embeddings,
    relevance: Relevance,
    *,
    query_chunk: int = 256,
    item_chunk: int = 16384,
    device: torch.device | str = "cpu",
    truncate_dim: int | None = None,
) -> RelevantRanks:
    """Rank every relevant item among all items by inner product, without the Q x N matrix.

    Scores are summed in float64 and rounded to float32, because the last bits of a float32 sum depend on the shape of
    the chunk, and equal items must score equal.

    Args:
        query_embeds: `[Q, D]` tensor or numpy array.
        item_embeds: `[N, D]` tensor or numpy array; may be memory-mapped, each chunk is read once.
        relevance: pairs to rank.
        query_chunk: queries per chunk.
        item_chunk: items per chunk; memory is O(query_chunk * (item_chunk + relevant items of a query)).
        device: device of the computation.
        truncate_dim: compare only the first dimensions, L2-normalized again.

    Raises:
        ValueError: if shapes do not match each other or `relevance`, or a row is not finite.

    Example:
        >>> import torch
        >>> from tiger_fg_hf.evaluation.ranking import build_relevance, rank_relevant
        >>> items = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> ranks = rank_relevant(items[1:2], items, build_relevance(["b"], ["a", "b", "c"]))
        >>> ranks.above.tolist(), ranks.tied.tolist()
        ([0], [2])
    """
    check_embeds(query_embeds, item_embeds, truncate_dim)
    expected = (relevance.num_queries, relevance.num_items)
    if (query_embeds.shape[0], item_embeds.shape[0]) != expected:
        raise ValueError(
            f"relevance is about {expected[0]} queries and {expected[1]} items, "
            f"got {query_embeds.shape[0]} query_embeds and {item_embeds.shape[0]} item_embeds"
        )
    dtype = score_dtype(device)

    def load(embeds: Embeddings, rows: slice | np.ndarray, name: str) -> torch.Tensor:
        return load_rows(embeds, rows, name=name, device=device, dtype=dtype, truncate_dim=truncate_dim)

    pair_chunks = zip(relevance.query.split(item_chunk), relevance.item.split(item_chunk), strict=True)
    pair_scores = torch.cat(
        [
            (load(query_embeds, query.numpy(), "query_embeds") * load(item_embeds, item.numpy(), "item_embeds")).sum(1)
            for query, item in pair_chunks
        ]
    ).float()

    # Pair p is column `column[p]` of its query's row in the padded tables below.
    ends = relevance.counts.cumsum(0)
    starts = ends - relevance.counts
    column = torch.arange(len(relevance.query)) - starts[relevance.query]
    above, tied = torch.zeros_like(relevance.query), torch.zeros_like(relevance.query)

    for first_item in range(0, relevance.num_items, item_chunk):
        last_item = min(first_item + item_chunk, relevance.num_items)
        items = load(item_embeds, slice(first_item, last_item), "item_embeds")
        for first_query in range(0, relevance.num_queries, query_chunk):
            last_query = min(first_query + query_chunk, relevance.num_queries)
            queries = load(query_embeds, slice(first_query, last_query), "query_embeds")
            scores = (queries @ items.T).float()

            pairs = slice(int(starts[first_query]), int(ends[last_query - 1]))
            rows, columns, item = relevance.query[pairs] - first_query, column[pairs], relevance.item[pairs]
            # A pair's own entry takes the very value it is compared with, so that it always ties with itself.
            inside = (item >= first_item) & (item < last_item)
            scores[rows[inside], item[inside] - first_item] = pair_scores[pairs][inside.to(pair_scores.device)]

            thresholds = torch.full((len(queries), int(columns.max()) + 1), torch.inf, device=device)
            thresholds[rows, columns] = pair_scores[pairs]
            greater, equal = _count(scores, thresholds)
            above[pairs] += greater[rows, columns].cpu()
            tied[pairs] += equal[rows, columns].cpu()
    return RelevantRanks(relevance, above, tied)


def _count(scores: torch.Tensor, thresholds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Count the scores `[q, n]` above and equal to each of the thresholds `[q, m]`: two int64 `[q, m]`."""
    if thresholds.shape[1] >= _SORT_FROM:
        ordered = scores.sort(dim=1).values
        below = torch.searchsorted(ordered, thresholds)
        up_to = torch.searchsorted(ordered, thresholds, right=True)
        return scores.shape[1] - up_to, up_to - below
    columns = thresholds.split(1, dim=1)
    greater = [(scores > column).sum(dim=1) for column in columns]
    equal = [(scores == column).sum(dim=1) for column in columns]
    return torch.stack(greater, dim=1), torch.stack(equal, dim=1)


def retrieval_metrics(ranks: RelevantRanks, ks: Sequence[int] = (1, 5, 10)) -> dict[str, torch.Tensor]:
    """Compute the metrics of every query, as expectations over random orderings of equal scores.

    With m relevant items among N:

    - `recall@k`: number of relevant items within the first k, divided by m.
    - `hit_rate@k`: 1 if any relevant item is within the first k. Equals `recall@k` where m = 1.
    - `ndcg@k`: sum of grade / log2(rank + 1) within the first k, divided by that sum for the best ordering. The gain
      is linear, as in trec_eval and scikit-learn.
    - `mrr`: 1 / rank of the first relevant item.
    - `map`: mean precision at the ranks of the relevant items, without cut-off.

    Args:
        ranks: from [`rank_relevant`].
        ks: cut-offs, each at least 1.

    Returns:
        Name -> float64 `[Q]` in [0, 1]; the metric is the mean over queries.

    Example:
        >>> import torch
        >>> from tiger_fg_hf.evaluation.ranking import build_relevance, rank_relevant, retrieval_metrics
        >>> constant = torch.ones(4, 2)
        >>> ranks = rank_relevant(constant[:1], constant, build_relevance(["b"], ["a", "b", "c", "d"]))
        >>> retrieval_metrics(ranks, ks=[1])["recall@1"].tolist()
        [0.25]
    """
    for k in ks:
        if k < 1:
            raise ValueError(f"every k must be at least 1, got {k}")
    groups = _tie_groups(ranks)
    first = groups.is_first
    metrics: dict[str, torch.Tensor] = {}
    for k in ks:
        metrics[f"recall@{k}"] = _recall(ranks, k)
        metrics[f"hit_rate@{k}"] = _hit_rate(groups.above[first], groups.tied[first], groups.relevant[first], k)
        metrics[f"ndcg@{k}"] = _ndcg(ranks, k)
    metrics["mrr"] = _reciprocal_rank(groups.above[first], groups.tied[first], groups.relevant[first])
    metrics["map"] = _average_precision(groups, ranks.relevance)
    return metrics


def chance_metrics(relevance: Relevance, ks: Sequence[int] = (1, 5, 10)) -> dict[str, torch.Tensor]:
    """Compute the expected metrics of a random order: [`retrieval_metrics`] with all items tied."""
    above = torch.zeros_like(relevance.query)
    return retrieval_metrics(RelevantRanks(relevance, above, torch.full_like(above, relevance.num_items)), ks)


@dataclass(frozen=True)
class _TieGroups:
    """Groups of equal score with a relevant item, sorted by query and rank; every field is `[groups]`."""

    query: torch.Tensor
    above: torch.Tensor
    tied: torch.Tensor
    relevant: torch.Tensor  # relevant items in the group
    relevant_above: torch.Tensor  # relevant items of the query that score higher

    @property
    def is_first(self) -> torch.Tensor:
        """Mask of the best group of each query."""
        return self.relevant_above == 0


def _tie_groups(ranks: RelevantRanks) -> _TieGroups:
    keys = torch.stack([ranks.relevance.query, ranks.above, ranks.tied], dim=1)
    unique, relevant = torch.unique(keys, dim=0, return_counts=True)
    query, above, tied = unique.unbind(1)
    before = relevant.cumsum(0) - relevant
    counts = ranks.relevance.counts
    return _TieGroups(query, above, tied, relevant, before - (counts.cumsum(0) - counts)[query])


def _mean_per_query(values: torch.Tensor, relevance: Relevance) -> torch.Tensor:
    total = torch.zeros(relevance.num_queries, dtype=torch.float64).index_add_(0, relevance.query, values)
    return total / relevance.counts


def _recall(ranks: RelevantRanks, k: int) -> torch.Tensor:
    return _mean_per_query(((k - ranks.above).double() / ranks.tied).clamp(0, 1), ranks.relevance)


def _hit_rate(above: torch.Tensor, tied: torch.Tensor, relevant: torch.Tensor, k: int) -> torch.Tensor:
    """1 - P(the first k miss). Only the best group matters: k - above of its items are drawn without replacement."""
    drawn = torch.minimum((k - above).clamp(min=0), tied)
    miss = torch.ones(len(above), dtype=torch.float64)
    for draw in range(int(drawn.max()) if len(drawn) else 0):
        factor = (tied - relevant - draw).clamp(min=0).double() / (tied - draw)
        miss *= torch.where(draw < drawn, factor, 1.0)
    return 1 - miss


def _ndcg(ranks: RelevantRanks, k: int) -> torch.Tensor:
    relevance = ranks.relevance
    discount = torch.zeros(k + 1, dtype=torch.float64)
    discount[1:] = (1 / torch.log2(torch.arange(2, k + 2, dtype=torch.float64))).cumsum(0)
    gained = discount[(ranks.above + ranks.tied).clamp(max=k)] - discount[ranks.above.clamp(max=k)]
    gain = _mean_per_query(relevance.grade * gained / ranks.tied, relevance)
    # Best ordering, by descending grade within each query: two stable sorts, the last by query.
    order = relevance.grade.argsort(descending=True, stable=True)
    order = order[relevance.query[order].argsort(stable=True)]
    starts = relevance.counts.cumsum(0) - relevance.counts
    rank = torch.arange(len(order)) - starts[relevance.query] + 1
    ideal = discount[rank.clamp(max=k)] - discount[(rank - 1).clamp(max=k)]
    return gain / _mean_per_query(relevance.grade[order] * ideal, relevance)


def _reciprocal_rank(above: torch.Tensor, tied: torch.Tensor, relevant: torch.Tensor) -> torch.Tensor:
    """E[1 / (above + J)] where J is the place of the first of `relevant` items among `tied` at random."""
    # There are few distinct cases: (above, 1, 1) without ties, and (0, N, m) for a constant embedding.
    cases, case_of = torch.unique(torch.stack([above, tied, relevant], dim=1), dim=0, return_inverse=True)
    expected = 1 / (cases[:, 0] + 1).double()
    for row in (cases[:, 1] > 1).nonzero().flatten().tolist():
        start, size, hits = cases[row].tolist()
        place = torch.arange(size - hits + 1, dtype=torch.float64)
        # P(J > j) = prod_{i<=j} (size - hits - i + 1) / (size - i + 1), then P(J = j + 1 | J > j) = hits / (size - j)
        survive = torch.cat([torch.ones(1, dtype=torch.float64), ((size - hits - place) / (size - place))[:-1]])
        expected[row] = (survive.cumprod(0) * hits / (size - place) / (start + 1 + place)).sum()
    return expected[case_of]


def _average_precision(groups: _TieGroups, relevance: Relevance) -> torch.Tensor:
    """Sums E[precision at j; j relevant] over the places j of each group.

    A place holds a relevant item with probability r / n; then relevant_above + 1 + (j - 1)(r - 1)/(n - 1) are found
    in above + j. The sum over j has a closed form in harmonic numbers.
    """
    above, tied, relevant = groups.above.double(), groups.tied.double(), groups.relevant.double()
    slope = (relevant - 1) / (tied - 1).clamp(min=1)
    # sum of 1 / (above + j); exact where nothing is tied, which the difference of two logarithms is not.
    harmonic = torch.where(
        groups.tied == 1, 1 / (above + 1), torch.digamma(above + tied + 1) - torch.digamma(above + 1)
    )
    precision = slope * tied + (groups.relevant_above + 1 - slope * (above + 1)) * harmonic
    total = torch.zeros(relevance.num_queries, dtype=torch.float64)
    return total.index_add_(0, groups.query, relevant / tied * precision) / relevance.counts
