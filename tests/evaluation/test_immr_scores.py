"""IMMR scores agree with the retrieval evaluation."""

import numpy as np
import pytest
import torch
from benchmark_models import drawn_products, random_model, same_start

from benchmarks.immr.baselines import BaselineModel
from tiger_fg_hf import evaluate_retrieval
from tiger_fg_hf.data.mosaic import MosaicConfig
from tiger_fg_hf.data.scene import SceneConfig
from tiger_fg_hf.evaluation.immr import IMMRConfig, build_immr
from tiger_fg_hf.evaluation.immr_scores import GALLERIES, METRICS, query_metrics, score_immr, swap_rows, text_views


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    catalog = drawn_products(12)
    folder = tmp_path_factory.mktemp("immr") / "benchmark"
    benchmark = build_immr(catalog, folder, IMMRConfig(mosaics=MosaicConfig(size=64), scenes=SceneConfig(size=64)))
    return benchmark, *random_model(catalog)


def retrieve(small, gallery: str, texts: list):
    """Evaluate the same gallery and texts with [`evaluate_retrieval`]."""
    benchmark, model, processor = small
    rows = getattr(benchmark, gallery)
    items = [
        {"item_id": row["item_id"], "image": row["image"], "box": row["box"], "title": text}
        for row, text in zip(rows, texts, strict=True)
    ]
    queries = list(benchmark.queries)
    return evaluate_retrieval(*model.towers(), processor, queries, items, resamples=2)


@pytest.mark.parametrize("query_size", [None, {"height": 16, "width": 16}])
@pytest.mark.parametrize("text", ["own", "missing", "category", "swapped"])
def test_ranks_are_those_of_the_retrieval_evaluation(small, text, query_size, monkeypatch):
    benchmark, model, processor = small
    monkeypatch.setattr(processor, "query_size", query_size)
    scores = score_immr(model, processor, benchmark, batch_size=5)
    for gallery in GALLERIES:
        expected = retrieve(small, gallery, text_views(benchmark, processor, seed=0)[text])
        found = query_metrics(benchmark, scores.galleries[gallery], text)
        assert found.keys() == set(METRICS)
        for name, values in found.items():
            np.testing.assert_allclose(values, expected.per_query[name], err_msg=f"{gallery} {name}")
        if text == "own":
            pointing = scores.galleries[gallery].pointing
            assert pointing.mean() == pytest.approx(expected.pointing.mean)
            assert scores.galleries[gallery].pointing_chance == pytest.approx(expected.pointing_chance)


def test_a_model_with_two_glances_is_scored_with_both(small):
    benchmark = small[0]
    model, processor = random_model(drawn_products(12), num_glances=2, glance_size=16)
    assert processor.item_size["height"] == 2 * processor.image_processor.size["height"]
    scores = score_immr(model, processor, benchmark, batch_size=5)
    for text in ("own", "swapped"):
        expected = retrieve((benchmark, model, processor), "mosaic", text_views(benchmark, processor, seed=0)[text])
        found = query_metrics(benchmark, scores.galleries["mosaic"], text)
        for name, values in found.items():
            np.testing.assert_allclose(values, expected.per_query[name], err_msg=name)


def test_maps_and_first_items(small):
    benchmark, model, processor = small
    scores = score_immr(model, processor, benchmark)
    for gallery in scores.galleries.values():
        assert gallery.grounding.shape == (12, 4, 4)
        np.testing.assert_allclose(gallery.grounding.sum((1, 2)), 1, atol=1e-2)
        assert ((gallery.mass > 0) & (gallery.mass < 1)).all()
        ranks_first = gallery.above["own"] == 0
        assert (gallery.best[ranks_first] == np.flatnonzero(ranks_first)).all()
    assert scores.seconds_per_1k_items > 0
    assert scores.seconds_per_1k_queries > 0


def test_models_that_read_no_text_have_one_view(small):
    benchmark, model, processor = small
    scores = score_immr(same_start(model, BaselineModel, baseline="image"), processor, benchmark)
    assert scores.galleries["mosaic"].above.keys() == {"own"}
    assert scores.galleries["mosaic"].grounding is None
    assert scores.galleries["mosaic"].pointing is None


def test_true_boxes_are_what_a_perfect_detector_crops(small, monkeypatch):
    benchmark, model, processor = small
    scores = score_immr(model, processor, benchmark, true_boxes=True)
    assert scores.galleries["mosaic"].grounding is None
    crops = []
    for row in benchmark.mosaic:
        crop = processor(images=[row["image"]], boxes=[row["box"]], return_tensors="pt")["pixel_values"]
        crops.append(model.encode_item_image(crop))
    texts = text_views(benchmark, processor, seed=0)["own"]
    inputs = [processor(text=[text], return_tensors="pt") for text in texts]
    with torch.no_grad():
        embeds = torch.cat(
            [
                model.fuse_item(tokens, model.encode_item_text(**each), each["attention_mask"]).embeds
                for tokens, each in zip(crops, inputs, strict=True)
            ]
        )
        queries = torch.cat(
            [
                model.get_query_features(processor(images=[row["query_image"]], return_tensors="pt")["pixel_values"])
                for row in benchmark.queries
            ]
        )
    similarities = queries @ embeds.T
    ranks = (similarities > similarities.diagonal()[:, None] + 1e-6).sum(1)
    assert scores.galleries["mosaic"].above["own"].tolist() == ranks.tolist()


def test_texts_are_swapped_between_categories_once_each():
    categories = ["a"] * 5 + ["b"] * 3 + ["c"] * 2
    swapped = swap_rows(categories, seed=1)
    assert sorted(swapped) == list(range(10))
    assert all(categories[row] != categories[other] for row, other in enumerate(swapped))
    assert swap_rows(categories, seed=1) == swapped != swap_rows(categories, seed=2)
    with pytest.raises(ValueError, match="more than half"):
        swap_rows(["a", "a", "b"], seed=0)


def test_text_views(small):
    benchmark, _, processor = small
    views = text_views(benchmark, processor, seed=0)
    first = benchmark.normal[0]
    assert views["own"][0].startswith(f"{first['title']} | {first['category']} | ")
    assert views["category"][0] == first["category"]
    assert set(views["missing"]) == {""}
    assert sorted(views["swapped"]) == sorted(views["own"])
    assert views["swapped"][0] != views["own"][0]


def test_a_benchmark_without_scenes_is_scored_without_them(small):
    benchmark, model, processor = small
    scores = score_immr(model, processor, benchmark._replace(scene=None), batch_size=5)
    assert list(scores.galleries) == ["normal", "mosaic"]
