"""Retrieval evaluation with tiny real towers, and with towers that are right or wrong on purpose."""

import io
import json
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from tiny import IMAGE, tiny_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tiger_fg_hf import TigerFGImageProcessorPil, TigerFGItemModel, TigerFGProcessor, TigerFGQueryModel
from tiger_fg_hf.catalog.encode import encode_items, encode_queries
from tiger_fg_hf.evaluation.bootstrap import paired_bootstrap
from tiger_fg_hf.evaluation.grounding import pointing_accuracy
from tiger_fg_hf.evaluation.ranking import build_relevance, rank_relevant, retrieval_metrics
from tiger_fg_hf.evaluation.retrieval import evaluate_retrieval

WORDS = ["[PAD]", "[UNK]", "red", "blue", "cup", "shirt"]


@pytest.fixture(scope="module")
def processor() -> TigerFGProcessor:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    return TigerFGProcessor(TigerFGImageProcessorPil(size=IMAGE), fast)


@pytest.fixture(scope="module")
def towers() -> tuple[TigerFGQueryModel, TigerFGItemModel]:
    return tiny_model("query"), tiny_model("item")


class ColourTower(torch.nn.Module):
    """Embeds the mean color, so that a query finds its item, and points at the brightest patch."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, pixel_values, **text):
        embeds = torch.nn.functional.normalize(pixel_values.mean(dim=(2, 3)) * self.scale, dim=1)
        grounding = torch.nn.functional.adaptive_avg_pool2d(pixel_values.mean(1), 4)
        return SimpleNamespace(embeds=embeds, grounding=grounding.flatten(1).softmax(1).view(-1, 4, 4))


class ConstantTower(ColourTower):
    def forward(self, pixel_values, **text):
        count = len(pixel_values)
        return SimpleNamespace(
            embeds=torch.nn.functional.normalize(torch.ones(count, 7), dim=1), grounding=torch.ones(count, 4, 4) / 16
        )


def png(pixels: np.ndarray) -> dict[str, bytes | None]:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def flat(index: int, height: int = 20, width: int = 20) -> np.ndarray:
    return np.broadcast_to(np.random.default_rng(index).integers(0, 256, 3, dtype=np.uint8), (height, width, 3)).copy()


def make_queries(ids: list[int]) -> datasets.Dataset:
    rows = [{"item_id": f"p{i}", "image": png(flat(i + 500)), "query_image": png(flat(i))} for i in ids]
    return as_dataset(rows)


def make_items(count: int, boxes: bool = False) -> datasets.Dataset:
    rows = []
    for i in range(count):
        row = {"item_id": f"p{i}", "image": png(flat(i)), "title": "red cup", "attributes": {"color": "blue"}}
        rows.append({**row, "box": [0.0, 0.0, 10.0, 10.0] if boxes and i % 2 else None} if boxes else row)
    return as_dataset(rows)


def as_dataset(rows: list[dict]) -> datasets.Dataset:
    dataset = datasets.Dataset.from_list(rows)
    for name in {"image", "query_image"} & set(dataset.column_names):
        dataset = dataset.cast_column(name, datasets.Image(decode=False))
    return dataset


def test_matches_its_parts_with_the_real_towers(processor, towers):
    query, item = towers
    queries, items = make_queries([3, 0, 3, 5]), make_items(9)
    result = evaluate_retrieval(query, item, processor, queries, items, ks=(1, 3), batch_size=4, truncate_dim=6)
    ranks = rank_relevant(
        encode_queries(query, processor, queries["query_image"], batch_size=4),
        encode_items(item, processor, items, batch_size=4),
        build_relevance(queries["item_id"], items["item_id"]),
        truncate_dim=6,
    )
    for name, values in retrieval_metrics(ranks, (1, 3)).items():
        assert result.per_query[name].tolist() == values.tolist()
        assert result.metrics[name].mean == pytest.approx(float(values.mean()))
        assert result.metrics[name].low <= result.metrics[name].mean <= result.metrics[name].high
    assert (result.num_queries, result.num_products, result.num_items) == (4, 3, 9)
    assert result.chance["recall@3"] == pytest.approx(3 / 9)
    assert result.pointing is None
    assert result.seconds_per_1k_items > 0


def test_real_groundings_are_measured_where_there_are_boxes(processor, towers):
    result = evaluate_retrieval(*towers, processor, make_queries([0]), make_items(6, boxes=True))
    assert (result.num_boxes, result.num_boxes_left_out) == (3, 0)
    assert 0 <= result.pointing.mean <= 1
    assert result.pointing_chance == pytest.approx(4 / 16)


def test_right_towers_score_one_and_constant_ones_chance(processor):
    queries, items = make_queries(list(range(8))), make_items(20)
    right = evaluate_retrieval(ColourTower(), ColourTower(), processor, queries, items)
    assert {metric.mean for metric in right.metrics.values()} == {1.0}
    constant = evaluate_retrieval(ConstantTower(), ConstantTower(), processor, queries, items)
    for name, metric in constant.metrics.items():
        assert metric.mean == pytest.approx(constant.chance[name])
    assert constant.metrics["recall@5"].mean == pytest.approx(0.25)
    better = paired_bootstrap(right.per_query["mrr"], constant.per_query["mrr"], groups=right.query_ids)
    assert better.low > 0


def test_image_serves_where_there_is_no_query_image(processor):
    queries = make_queries([1, 2]).remove_columns("query_image")
    whole = evaluate_retrieval(ColourTower(), ColourTower(), processor, queries, make_items(5))
    assert whole.num_queries == 2


def test_a_missing_query_image_is_named_and_no_listing_takes_its_place(processor):
    queries, items = list(make_queries([0, 1, 2])), make_items(3)
    queries[0] = {"item_id": queries[0]["item_id"], "image": queries[0]["query_image"]}
    with pytest.raises(ValueError, match="row 0"):
        evaluate_retrieval(ColourTower(), ColourTower(), processor, queries, items)


def test_lists_of_dicts_serve_as_datasets_do(processor):
    queries, items = make_queries([1, 2]), make_items(5, boxes=True)
    towers = ColourTower(), ColourTower()
    from_lists = evaluate_retrieval(*towers, processor, list(queries), list(items))
    assert from_lists.metrics == evaluate_retrieval(*towers, processor, queries, items).metrics


def test_errors_name_the_culprit(processor):
    towers = ColourTower(), ColourTower()
    with pytest.raises(ValueError, match=r"query row 1 \('p7'\): no item has the item_id 'p7'"):
        evaluate_retrieval(*towers, processor, make_queries([1, 7]), make_items(5))
    with pytest.raises(ValueError, match="got 0 and 5"):
        evaluate_retrieval(*towers, processor, [], make_items(5))
    with pytest.raises(ValueError, match=r"row 0 \(item_id 'p1'\)"):
        evaluate_retrieval(*towers, processor, [{"item_id": "p1", "image": b"?"}], make_items(5))
    with pytest.raises(ValueError, match="does not say how it resizes"):
        evaluate_retrieval(*towers, lambda **_: {}, make_queries([1]), make_items(5, boxes=True))


def test_boxes_that_cannot_be_seen_are_left_out_of_pointing(processor, towers):
    wide = {"image": png(flat(7, 20, 60)), "title": "cup"}
    items = [
        {"item_id": "p0", "image": png(flat(0)), "title": "cup"},
        {"item_id": "p1", "title": "red cup", "box": [0, 0, 10, 10]},  # no image
        {"item_id": "p2", "image": None, "title": "blue cup", "box": [0, 0, 10, 10]},
        {"item_id": "p3", **wide, "box": [0, 0, 15, 20]},  # cropped away
        {"item_id": "p4", **wide, "box": [0, 0, 30, 20]},  # cropped to [0, 0, 0.5, 1]
    ]
    crop = TigerFGProcessor(TigerFGImageProcessorPil(size=IMAGE, resize_mode="crop"), processor.tokenizer)
    result = evaluate_retrieval(*towers, crop, make_queries([0, 1]), items)
    assert (result.num_boxes, result.num_boxes_left_out, result.pointing_chance) == (1, 3, 0.5)
    assert "1 items with a box, 3 more left out" in result.to_markdown()
    unseen = evaluate_retrieval(*towers, crop, make_queries([0, 1]), items[:4])
    assert (unseen.num_boxes, unseen.num_boxes_left_out, unseen.pointing) == (0, 3, None)
    assert "| pointing |" not in unseen.to_markdown()
    textless = evaluate_retrieval(*towers, processor, make_queries([1]), make_items(3, True).remove_columns("image"))
    assert (textless.num_boxes, textless.num_boxes_left_out) == (0, 1)


def test_metrics_that_repeat_another_are_not_printed(processor):
    def printed(items):
        result = evaluate_retrieval(ColourTower(), ColourTower(), processor, make_queries([1, 2]), items, ks=(1, 5))
        assert len(json.loads(result.to_json())["metrics"]) == 8
        np.testing.assert_allclose(result.per_query["ndcg@1"], result.per_query["hit_rate@1"])
        return [line.split(" | ")[0][2:] for line in result.to_markdown().splitlines()[2:] if line.startswith("|")]

    single = list(make_items(6))
    assert printed(single) == ["recall@1", "recall@5", "ndcg@5", "mrr"]
    views = [{**single[2], "image": png(flat(9))}, *single]
    assert printed(views) == ["recall@1", "hit_rate@1", "recall@5", "hit_rate@5", "ndcg@5", "mrr", "map"]


def test_report_as_markdown_and_json(processor):
    result = evaluate_retrieval(
        ColourTower(), ColourTower(), processor, make_queries([1, 2]), make_items(4, boxes=True), ks=(1,), seed=3
    )
    markdown = result.to_markdown()
    assert "| recall@1 | 1.0000 | 1.0000 – 1.0000 | 0.2500 | 4.0× |" in markdown
    assert "| pointing |" in markdown
    assert "2 queries of 2 products against 4 items" in markdown
    data = json.loads(result.to_json(per_query=True))
    assert data["metrics"]["recall@1"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert data["per_query"]["mrr"] == [1.0, 1.0]
    assert data["seed"] == 3
    assert "per_query" not in json.loads(result.to_json())


def test_pointing_counts_peaks_inside_the_box():
    peaked = torch.zeros(4, 4)
    peaked[1, 2] = 1
    boxes = [[0.5, 0.25, 0.75, 0.5], [0, 0, 0.5, 1], [0.6, 0.3, 0.61, 0.31], [0, 0, 1, 1]]
    hits, chances = pointing_accuracy([peaked] * 4, boxes)
    assert hits.tolist() == [1, 0, 1, 1]
    assert chances.tolist() == [1 / 16, 8 / 16, 1 / 16, 1]
    uniform, _ = pointing_accuracy([torch.full((4, 4), 1 / 16)] * 4, boxes)
    assert uniform.tolist() == chances.tolist()


def test_pointing_follows_exif_rotation(processor):
    # EXIF rotation moves the bright spot to the upper right, and the box with it.
    upright = np.zeros((40, 20, 3), dtype=np.uint8)
    upright[:10, 10:] = 255
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    buffer = io.BytesIO()
    stored.save(buffer, format="PNG", exif=exif)
    item = {"item_id": "p1", "image": buffer.getvalue(), "title": "cup", "box": [10, 0, 20, 10]}
    queries = [{"item_id": "p1", "image": png(flat(1))}]
    black = TigerFGProcessor(TigerFGImageProcessorPil(size=IMAGE, pad_color=0), processor.tokenizer)
    result = evaluate_retrieval(ColourTower(), ColourTower(), black, queries, [item])
    assert (result.pointing.mean, result.num_boxes) == (1.0, 1)
    assert result.pointing_chance < 0.2
