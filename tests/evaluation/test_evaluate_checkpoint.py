"""Evaluation of a checkpoint on a catalog."""

import json

import numpy as np
import pytest
from benchmark_models import drawn_products, random_model
from datasets import Dataset
from tiny_training import TRAIN_SCRIPT, load_script

from tiger_fg_hf.evaluation.evaluate_checkpoint import evaluate_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint that was trained on a catalog with a column `name`."""
    folder = tmp_path_factory.mktemp("checkpoint")
    model, processor = random_model(drawn_products(8))
    processor.columns = {"title": "name"}
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """A catalog file with a column `name` in place of `title`."""
    path = tmp_path_factory.mktemp("items") / "items.parquet"
    catalog = drawn_products(8).select_columns(["item_id", "image", "title", "category"])
    catalog.rename_column("title", "name").to_parquet(path)
    return str(path)


def test_columns_default_to_those_of_training(checkpoint, items):
    saved = evaluate_checkpoint(checkpoint, items)
    given = evaluate_checkpoint(checkpoint, items, columns="title=name")
    other = evaluate_checkpoint(checkpoint, items, columns="title=category")
    assert (saved.num_queries, saved.num_items) == (8, 8)
    np.testing.assert_array_equal(saved.per_query["mrr"], given.per_query["mrr"])
    assert any((saved.per_query[name] != other.per_query[name]).any() for name in ("mrr", "ndcg@10"))


def test_queries_and_texts(checkpoint, items, tmp_path):
    photos = tmp_path / "photos.parquet"
    rows = drawn_products(8).select([0, 0, 3])
    Dataset.from_list(
        [{"item_id": row["item_id"], "query_image": row["image"]} for row in rows],
        features=rows.select_columns(["item_id", "image"]).rename_column("image", "query_image").features,
    ).to_parquet(photos)
    result = evaluate_checkpoint(checkpoint, items, queries=str(photos), without_text=True)
    assert (result.num_queries, result.num_products) == (3, 2)
    assert evaluate_checkpoint(checkpoint, items, limit=5).num_items == 5


def test_the_script_writes_the_same_numbers(checkpoint, items, tmp_path, capsys):
    script = load_script(TRAIN_SCRIPT.with_name("evaluate.py"))
    output = tmp_path / "sub" / "numbers.json"
    script.main(["--model", str(checkpoint), "--items", items, "--output", str(output)])
    assert "| recall@1 |" in capsys.readouterr().out
    expected = evaluate_checkpoint(checkpoint, items)
    assert json.loads(output.read_text())["metrics"]["mrr"]["mean"] == pytest.approx(expected.metrics["mrr"].mean)
