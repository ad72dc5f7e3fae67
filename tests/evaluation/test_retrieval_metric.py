"""The metric of the `evaluate` library loads offline, collects batches, and agrees with our functions."""

import subprocess
import sys
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch

import tiger_fg_hf
from tiger_fg_hf.evaluation.ranking import build_relevance, rank_relevant, retrieval_metrics
from tiger_fg_hf.evaluation.retrieval import load_retrieval_metric

QUERY_IDS = ["a", "b", "c", "a"]
ITEM_IDS = ["a", "b", "b", "c", "d"]


@pytest.fixture
def embeds():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 6, generator=generator), torch.randn(5, 6, generator=generator)


@pytest.fixture
def metric(tmp_path):
    return load_retrieval_metric(cache_dir=str(tmp_path))


def expected(queries, items, ks, grades=None):
    ranks = rank_relevant(queries, items, build_relevance(QUERY_IDS, ITEM_IDS, grades))
    return {name: float(values.mean()) for name, values in retrieval_metrics(ranks, ks).items()}


def test_is_an_evaluate_metric(metric):
    assert isinstance(metric, evaluate.Metric)
    assert metric.name == "retrieval"


@pytest.mark.parametrize("as_numpy", [False, True])
def test_compute_in_one_call(metric, embeds, as_numpy):
    queries, items = (x.numpy() for x in embeds) if as_numpy else embeds
    found = metric.compute(
        query_embeds=queries, query_ids=QUERY_IDS, item_embeds=items, item_ids=ITEM_IDS, ks=[1, 2], item_chunk=2
    )
    assert found == expected(*embeds, (1, 2))


def test_batches_add_up_and_compute_starts_afresh(metric, embeds):
    queries, items = embeds
    for _ in range(2):
        metric.add_batch(query_embeds=queries[:3], query_ids=QUERY_IDS[:3])
        metric.add(query_embeds=queries[3], query_ids=QUERY_IDS[3])
        assert metric.compute(item_embeds=items, item_ids=ITEM_IDS) == expected(queries, items, (1, 5, 10))


def test_grades_and_values_per_query(metric, embeds):
    queries, items = embeds
    grades = [{"a": 2.0, "d": 1.0}] * 4
    found = metric.compute(
        query_embeds=queries, query_ids=QUERY_IDS, item_embeds=items, item_ids=ITEM_IDS, grades=grades, ks=[2],
        return_per_query=True,
    )  # fmt: skip
    per_query = found.pop("per_query")
    assert found == expected(queries, items, (2,), grades)
    assert {name: pytest.approx(values.mean()) for name, values in per_query.items()} == found


def test_unequal_inputs_are_refused(metric, embeds):
    queries, items = embeds
    with pytest.raises(ValueError, match="Mismatch in the number of"):
        metric.compute(query_embeds=queries, query_ids=QUERY_IDS[:2], item_embeds=items, item_ids=ITEM_IDS)


def test_loads_by_path_in_a_fresh_process_without_network(tmp_path):
    """Sockets are forbidden, and only the caches are written to."""
    script = Path(tiger_fg_hf.__file__).parent / "evaluation" / "metrics" / "retrieval"
    before = sorted(path.name for path in script.iterdir() if path.name != "__pycache__")
    code = f"""
import socket
def refuse(*args, **kwargs):
    raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = refuse
import evaluate, numpy as np
metric = evaluate.load({str(script)!r})
embeds = np.eye(3, dtype=np.float32)
ids = ["a", "b", "c"]
print(metric.compute(query_embeds=embeds, query_ids=ids, item_embeds=embeds, item_ids=ids, ks=[1])["recall@1"])
"""
    environment = {"PATH": "", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "1.0", done.stderr
    assert sorted(path.name for path in script.iterdir() if path.name != "__pycache__") == before


def test_constant_embedding_scores_chance(metric):
    found = metric.compute(
        query_embeds=np.ones((2, 3)), query_ids=["a", "b"], item_embeds=np.ones((4, 3)), item_ids=list("abcd"), ks=[1]
    )
    assert found["recall@1"] == found["hit_rate@1"] == 0.25
