"""A metric of the `evaluate` library for retrieval: Recall@k, hit rate, nDCG@k, MRR and MAP from embeddings."""

from collections.abc import Mapping, Sequence

import datasets
import evaluate
import numpy as np
import torch

from tiger_fg_hf.evaluation.ranking import build_relevance, rank_relevant, retrieval_metrics

_DESCRIPTION = """
Ranks every relevant item of every query among all items by inner product, without the full similarity matrix.
Each metric is its expectation over all orderings of items with equal scores, so a constant embedding scores chance.
Definitions: tiger_fg_hf.evaluation.ranking.retrieval_metrics.
"""

_INPUTS_DESCRIPTION = """
Args:
    query_embeds: [Q, D] floats, L2-normalized, kept as float32. `add_batch` accepts them batch by batch.
    query_ids: [Q] strings, the item_id of each query; goes with `query_embeds`.
    item_embeds: [N, D] tensor or numpy array, for `compute` only. May be memory-mapped.
    item_ids: [N] strings, for `compute` only. All items with a query's id are relevant to it.
    ks: cut-offs; default (1, 5, 10).
    grades: optional [Q] mappings from item_id to grade, which replace equal ids.
    truncate_dim: optionally compare only the first dimensions, L2-normalized again.
    query_chunk, item_chunk, device: how to compute; see `rank_relevant`.
    return_per_query: also return "per_query": name -> [Q] values.
Returns:
    dict of recall@k, hit_rate@k, ndcg@k for each k, mrr and map: floats in [0, 1].
Example:
    >>> metric = load_retrieval_metric()
    >>> metric.add_batch(query_embeds=[[1.0, 0.0]], query_ids=["mug"])
    >>> metric.compute(item_embeds=np.eye(2), item_ids=["mug", "cup"], ks=[1])["recall@1"]
    1.0
"""

_CITATION = """
@inproceedings{mcsherry2008ties,
  title = {Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied Scores},
  author = {McSherry, Frank and Najork, Marc},
  booktitle = {European Conference on Information Retrieval},
  year = {2008}
}
"""


class Retrieval(evaluate.Metric):
    """Retrieval metrics from embeddings; see `inputs_description`."""

    def _info(self) -> evaluate.MetricInfo:
        # Items are not a feature: all features of a metric must have the same length, which is Q here.
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS_DESCRIPTION,
            features=datasets.Features(
                {
                    "query_embeds": datasets.Sequence(datasets.Value("float32")),
                    "query_ids": datasets.Value("string"),
                }
            ),
        )

    def _compute(
        self,
        query_embeds: Sequence[Sequence[float]],
        query_ids: Sequence[str],
        item_embeds: torch.Tensor | np.ndarray,
        item_ids: Sequence[str],
        ks: Sequence[int] = (1, 5, 10),
        grades: Sequence[Mapping[str, float]] | None = None,
        truncate_dim: int | None = None,
        query_chunk: int = 256,
        item_chunk: int = 16384,
        device: str = "cpu",
        return_per_query: bool = False,
    ) -> dict[str, float | dict[str, np.ndarray]]:
        ranks = rank_relevant(
            np.asarray(query_embeds, dtype=np.float32),
            item_embeds if isinstance(item_embeds, torch.Tensor) else np.asarray(item_embeds),
            build_relevance(query_ids, item_ids, grades),
            query_chunk=query_chunk,
            item_chunk=item_chunk,
            device=device,
            truncate_dim=truncate_dim,
        )
        per_query = retrieval_metrics(ranks, ks)
        result: dict[str, float | dict[str, np.ndarray]] = {name: float(v.mean()) for name, v in per_query.items()}
        if return_per_query:
            result["per_query"] = {name: values.numpy() for name, values in per_query.items()}
        return result
