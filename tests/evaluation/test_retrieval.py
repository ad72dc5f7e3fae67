"""The whole evaluation, with the real towers at toy size and with towers that are right or wrong on purpose."""

import io
import json
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, PreTrainedTokenizerFast, ViTConfig

from tiger_fg_hf.catalog.encode import encode_items, encode_queries
from tiger_fg_hf.evaluation.bootstrap import paired_bootstrap
from tiger_fg_hf.evaluation.ranking import build_relevance, rank_relevant, retrieval_metrics
from tiger_fg_hf.evaluation.retrieval import evaluate_retrieval, pointing_accuracy, processor_box_mapper
from tiger_fg_hf.models.tiger_fg.configuration_tiger_fg import TigerFGItemConfig, TigerFGQueryConfig
from tiger_fg_hf.models.tiger_fg.image_processing_pil_tiger_fg import TigerFGImageProcessorPil
from tiger_fg_hf.models.tiger_fg.modeling_tiger_fg import TigerFGItemModel, TigerFGQueryModel
from tiger_fg_hf.models.tiger_fg.processing_tiger_fg import TigerFGProcessor

WORDS = ["[PAD]", "[UNK]", "red", "blue", "cup", "shirt"]


@pytest.fixture(scope="module")
def processor() -> TigerFGProcessor:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    return TigerFGProcessor(TigerFGImageProcessorPil(size={"height": 32, "width": 32}), fast)


@pytest.fixture(scope="module")
def towers() -> tuple[TigerFGQueryModel, TigerFGItemModel]:
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    vision = ViTConfig(image_size=32, patch_size=8, **small)
    query = TigerFGQueryModel(TigerFGQueryConfig(vision_config=vision, projection_dim=8))
    text = BertConfig(vocab_size=len(WORDS), **small)
    return query, TigerFGItemModel(TigerFGItemConfig(vision_config=vision, text_config=text, projection_dim=8))


class ColourTower(torch.nn.Module):
    """Embeds the mean colour, so that a query finds its item; points at the brightest patch."""

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
    assert result.num_boxes == 3
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
    with pytest.raises(ValueError, match="pass box_mapper"):
        evaluate_retrieval(*towers, lambda **_: {}, make_queries([1]), make_items(5, boxes=True))


def test_report_as_markdown_and_json(processor):
    result = evaluate_retrieval(
        ColourTower(), ColourTower(), processor, make_queries([1, 2]), make_items(4, boxes=True), ks=(1,), seed=3
    )
    markdown = result.to_markdown()
    assert "| recall@1 | 1.0000 | 1.0000 – 1.0000 | 0.2500 |" in markdown
    assert "| pointing |" in markdown
    assert "2 queries of 2 products against 4 items" in markdown
    data = json.loads(result.to_json(per_query=True))
    assert data["metrics"]["recall@1"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert data["per_query"]["mrr"] == [1.0, 1.0]
    assert data["seed"] == 3
    assert "per_query" not in json.loads(result.to_json())


@pytest.mark.parametrize("resize_mode", ["pad", "squash", "crop"])
@pytest.mark.parametrize(("height", "width"), [(40, 80), (90, 30), (64, 64)])
def test_boxes_land_where_the_processor_puts_their_pixels(processor, monkeypatch, resize_mode, height, width):
    monkeypatch.setattr(processor.image_processor, "resize_mode", resize_mode)
    box = [width * 0.4, height * 0.45, width * 0.6, height * 0.6]
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[round(box[1]) : round(box[3]), round(box[0]) : round(box[2])] = 255
    options = {"do_normalize": False, "pad_color": 0, "return_tensors": "pt"}
    lit = processor(images=[Image.fromarray(pixels)], **options)["pixel_values"][0].mean(0) > 0.5
    rows, columns = lit.any(1).nonzero().flatten(), lit.any(0).nonzero().flatten()
    seen = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
    mapped = [fraction * 32 for fraction in processor_box_mapper(processor)(box, width, height)]
    assert mapped == pytest.approx(seen, abs=1.0)


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
    # Stored lying down, shown standing: the bright spot is at the upper right, and the box with it.
    upright = np.zeros((40, 20, 3), dtype=np.uint8)
    upright[:10, 10:] = 255
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    buffer = io.BytesIO()
    stored.save(buffer, format="PNG", exif=exif)
    item = {"item_id": "p1", "image": buffer.getvalue(), "title": "cup", "box": [10, 0, 20, 10]}
    queries = [{"item_id": "p1", "image": png(flat(1))}]
    black = TigerFGProcessor(TigerFGImageProcessorPil(size=32, pad_color=0), processor.tokenizer)
    result = evaluate_retrieval(ColourTower(), ColourTower(), black, queries, [item])
    assert (result.pointing.mean, result.num_boxes) == (1.0, 1)
    assert result.pointing_chance < 0.2
