"""Ranking metrics agree with loops over all orderings of ties and with scikit-learn, for any chunk size."""

import itertools
import math

import numpy as np
import pytest
import torch
from memory import LargestTensor
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score, ndcg_score

from tiger_fg_hf.evaluation.ranking import build_relevance, chance_metrics, rank_relevant, retrieval_metrics

KS = (1, 2, 3, 5, 20)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def metrics_of_order(gains: list[float], ideal: list[float]) -> dict[str, float]:
    """Compute every metric of one ordering from its definition."""
    relevant = sum(gain > 0 for gain in gains)
    hits = [rank for rank, gain in enumerate(gains, start=1) if gain > 0]
    metrics = {"mrr": 1 / hits[0]}
    metrics["map"] = sum(found / rank for found, rank in enumerate(hits, start=1)) / relevant
    for k in KS:
        found = sum(rank <= k for rank in hits)
        metrics[f"recall@{k}"] = found / relevant
        metrics[f"hit_rate@{k}"] = float(found > 0)
        dcg, best = (sum(g / math.log2(r + 1) for r, g in enumerate(x[:k], start=1)) for x in (gains, ideal))
        metrics[f"ndcg@{k}"] = dcg / best
    return metrics


def mean_over_orderings(scores: list[float], gains: list[float]) -> dict[str, float]:
    """Average over all permutations that sort the scores."""
    total: dict[str, float] = {}
    count = 0
    for order in itertools.permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            count += 1
            values = metrics_of_order([gains[i] for i in order], sorted(gains, reverse=True))
            for name, value in values.items():
                total[name] = total.get(name, 0.0) + value
    return {name: value / count for name, value in total.items()}


def embeds_of(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return queries and items whose inner products are exactly `scores` `[Q, N]`."""
    return torch.eye(len(scores)), scores.T.contiguous()


def grades_of(gains: torch.Tensor) -> list[dict[str, float]]:
    return [{f"i{i}": gain for i, gain in enumerate(row)} for row in gains.tolist()]


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{i}" for i in range(count)]


@pytest.mark.parametrize("seed", range(3))
def test_ties_are_averaged_over_all_orderings(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 3, (8, 6), generator=generator).float()
    gains = torch.randint(0, 3, (8, 6), generator=generator).float()
    gains[:, 0] = 1
    relevance = build_relevance(names("q", 8), names("i", 6), grades_of(gains))
    per_query = retrieval_metrics(rank_relevant(*embeds_of(scores), relevance, item_chunk=4), KS)
    for query in range(8):
        expected = mean_over_orderings(scores[query].tolist(), gains[query].tolist())
        assert {name: float(values[query]) for name, values in per_query.items()} == pytest.approx(expected, abs=1e-12)


def test_without_ties_agrees_with_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(20, 50, generator=generator)
    gains = torch.randint(0, 4, (20, 50), generator=generator).clamp(min=0).float() * (
        torch.rand(20, 50, generator=generator) < 0.3
    )
    gains[:, 7] = 2
    per_query = retrieval_metrics(
        rank_relevant(*embeds_of(scores), build_relevance(names("q", 20), names("i", 50), grades_of(gains))), KS
    )
    relevant = (gains > 0).numpy()
    for k in KS:
        assert float(per_query[f"ndcg@{k}"].mean()) == pytest.approx(ndcg_score(gains, scores, k=k))
    expected = [average_precision_score(r, s) for r, s in zip(relevant, scores.numpy(), strict=True)]
    assert per_query["map"].tolist() == pytest.approx(expected)
    assert float(per_query["map"].mean()) == pytest.approx(label_ranking_average_precision_score(relevant, scores))


def test_ndcg_treats_ties_as_scikit_learn_does():
    generator = torch.Generator().manual_seed(1)
    scores = torch.randint(0, 5, (20, 40), generator=generator).float()
    gains = torch.randint(0, 4, (20, 40), generator=generator).float()
    ranks = rank_relevant(*embeds_of(scores), build_relevance(names("q", 20), names("i", 40), grades_of(gains)))
    for k in KS:
        assert float(retrieval_metrics(ranks, KS)[f"ndcg@{k}"].mean()) == pytest.approx(ndcg_score(gains, scores, k=k))


@pytest.mark.parametrize("relevant", [1, 3, 12])
def test_constant_embedding_scores_chance(relevant):
    items = torch.nn.functional.normalize(torch.randn(1, 257), dim=1).expand(120, -1)
    item_ids = ["a"] * relevant + names("i", 120 - relevant)
    relevance = build_relevance(["a"] * 7, item_ids)
    ranks = rank_relevant(items[:7], items, relevance, item_chunk=50, query_chunk=3)
    assert ranks.above.eq(0).all()
    assert ranks.tied.eq(120).all()
    per_query, chance = retrieval_metrics(ranks, (1, 10)), chance_metrics(relevance, (1, 10))
    for name, values in per_query.items():
        assert torch.equal(values, chance[name])
    assert float(chance["recall@10"][0]) == pytest.approx(10 / 120)
    miss = math.comb(120 - relevant, 10) / math.comb(120, 10)
    assert float(chance["hit_rate@10"][0]) == pytest.approx(1 - miss)
    # Two metrics have no short formula for chance: compare with a simulation.
    generator = np.random.default_rng(0)
    orders = generator.permuted(np.tile(np.arange(120) < relevant, (20000, 1)), axis=1)
    places = np.argsort(~orders, axis=1, kind="stable")[:, :relevant] + 1
    assert float(chance["mrr"][0]) == pytest.approx((1 / places[:, 0]).mean(), rel=0.05)
    precision = np.arange(1, relevant + 1) / places
    assert float(chance["map"][0]) == pytest.approx(precision.mean(), rel=0.05)


def reference_counts(queries, items, relevance):
    scores = (queries.double() @ items.double().T).float()
    pairs = zip(relevance.query.tolist(), relevance.item.tolist(), strict=True)
    counts = [((scores[q] > scores[q, i]).sum(), (scores[q] == scores[q, i]).sum()) for q, i in pairs]
    return torch.tensor(counts).unbind(1)


@pytest.mark.parametrize("products", [60, 5])  # few relevant items per query, and many
@pytest.mark.parametrize(("query_chunk", "item_chunk"), [(1, 1), (7, 13), (64, 1000)])
def test_counts_match_a_full_matrix_for_any_chunks(products, query_chunk, item_chunk):
    queries, items = torch.randn(23, 8), torch.randn(90, 8)
    items[40:60] = items[5]
    item_ids = [f"p{i % products}" for i in range(90)]
    relevance = build_relevance([f"p{i % products}" for i in range(23)], item_ids)
    ranks = rank_relevant(queries, items, relevance, query_chunk=query_chunk, item_chunk=item_chunk)
    above, tied = reference_counts(queries, items, relevance)
    assert torch.equal(ranks.above, above)
    assert torch.equal(ranks.tied, tied)


def test_order_of_items_and_queries_does_not_matter():
    queries, items = torch.randn(15, 4), torch.randint(-1, 2, (40, 4)).float()
    query_ids, item_ids = [f"p{i % 9}" for i in range(15)], [f"p{i % 9}" for i in range(40)]
    q, n = torch.randperm(15), torch.randperm(40)
    straight = rank_relevant(queries, items, build_relevance(query_ids, item_ids))
    shuffled_relevance = build_relevance([query_ids[i] for i in q], [item_ids[i] for i in n])
    shuffled = rank_relevant(queries[q], items[n], shuffled_relevance)
    for name, values in retrieval_metrics(straight, KS).items():
        torch.testing.assert_close(retrieval_metrics(shuffled, KS)[name], values[q])


def test_one_relevant_item_makes_recall_and_hit_rate_equal():
    queries, items = torch.randn(15, 4), torch.randint(-1, 2, (40, 4)).float()
    ranks = rank_relevant(queries, items, build_relevance(names("i", 15), names("i", 40)))
    metrics = retrieval_metrics(ranks, KS)
    for k in KS:
        torch.testing.assert_close(metrics[f"recall@{k}"], metrics[f"hit_rate@{k}"])
    torch.testing.assert_close(metrics["mrr"], metrics["map"])


def test_perfect_retrieval_scores_one():
    embeds = torch.eye(6)
    metrics = retrieval_metrics(rank_relevant(embeds, embeds, build_relevance(names("i", 6), names("i", 6))))
    assert all(values.eq(1).all() for values in metrics.values())


def test_numpy_half_precision_and_truncation_are_accepted():
    queries, items = torch.randn(5, 8), torch.randn(9, 8)
    relevance = build_relevance(names("i", 5), names("i", 9))
    as_numpy = rank_relevant(queries.half().numpy(), items.half().numpy(), relevance, truncate_dim=4)
    as_torch = rank_relevant(queries.half(), items.half(), relevance, truncate_dim=4)
    assert torch.equal(as_numpy.above, as_torch.above)


def test_no_queries_give_empty_metrics():
    ranks = rank_relevant(torch.empty(0, 4), torch.randn(3, 4), build_relevance([], names("i", 3)))
    assert all(values.shape == (0,) for values in retrieval_metrics(ranks).values())


def test_errors_name_the_query():
    with pytest.raises(ValueError, match=r"query row 1 \('b'\): no item has the item_id 'b'"):
        build_relevance(["a", "b"], ["a"])
    with pytest.raises(ValueError, match=r"query row 0 \('a'\) has no relevant item"):
        build_relevance(["a"], ["a"], [{"a": 0.0}])
    with pytest.raises(ValueError, match=r"grade of 'a' is -1\.0"):
        build_relevance(["a"], ["a"], [{"a": -1.0}])
    with pytest.raises(ValueError, match="1 for 2 queries"):
        build_relevance(["a", "a"], ["a"], [{"a": 1.0}])
    relevance = build_relevance(["a"], ["a"])
    with pytest.raises(ValueError, match="1 queries and 1 items, got 2 query_embeds and 1 item_embeds"):
        rank_relevant(torch.randn(2, 4), torch.randn(1, 4), relevance)
    with pytest.raises(ValueError, match="item_embeds row 0 holds NaN"):
        rank_relevant(torch.randn(1, 4), torch.full((1, 4), torch.nan), relevance)
    with pytest.raises(ValueError, match="every k must be at least 1"):
        retrieval_metrics(rank_relevant(torch.ones(1, 4), torch.ones(1, 4), relevance), (0,))


@pytest.mark.parametrize("products", [2000, 200])
def test_memory_is_bounded_by_the_chunks(products):
    queries, items = torch.randn(300, 2), torch.randn(2000, 2)
    relevance = build_relevance([f"p{i % products}" for i in range(300)], [f"p{i % products}" for i in range(2000)])
    with LargestTensor() as largest:
        retrieval_metrics(rank_relevant(queries, items, relevance, query_chunk=10, item_chunk=100))
    assert largest.numel <= max(10 * 100, items.numel(), 3 * len(relevance.query))
