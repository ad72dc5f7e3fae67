import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from tiger_fg_hf.data.boxes import map_box
from tiger_fg_hf.data.stable_id import stable_id
from tiger_fg_hf.data.tiger_fg_collator import TigerFGCollator
from tiger_fg_hf.models.image_processing_pil_tiger_fg import TigerFGImageProcessorPil
from tiger_fg_hf.models.processing_tiger_fg import TigerFGProcessor

SIZE = {"height": 48, "width": 64}


def processor(resize_mode="pad", **options):
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "[PAD]": 1, "red": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")
    images = TigerFGImageProcessorPil(size=SIZE, resize_mode=resize_mode, pad_color=255, do_normalize=False)
    return TigerFGProcessor(images, wrapped, **options)


def pair(item_id="a", category="hats", box=(10, 10, 30, 25), size=(80, 60), row=0, **changes):
    image = Image.new("RGB", size, "white")
    if box is not None:
        image.paste((0, 0, 0), tuple(box))
    text = {"title": "red hat", "category": category, "attributes": {"color": "red"}}
    return {
        "item_id": item_id,
        "query": image,
        "image": image,
        "text": text,
        "box": box,
        "row": row,
        "image_key": (0, row),
        "flipped": False,
        "hard_texts": [],
        "close": None,
        **changes,
    }


def test_queries_may_be_smaller_than_items():
    pairs = [pair(), pair("b", row=1)]
    small = TigerFGCollator(processor(query_size={"height": 24, "width": 32}))(pairs)
    equal = TigerFGCollator(processor())(pairs)
    assert small["query_pixel_values"].shape == (2, 3, 24, 32)
    for name in small.keys() - {"query_pixel_values"}:
        assert torch.equal(small[name], equal[name]), name


def test_items_are_as_large_as_in_use_if_asked_for():
    pairs, twice = [pair(), pair("b", row=1)], processor(glance_scale=2)
    small, large = TigerFGCollator(twice)(pairs), TigerFGCollator(twice, full_size=True)(pairs)
    assert small["pixel_values"].shape == (2, 3, 48, 64)
    assert large["pixel_values"].shape == (2, 3, 96, 128)
    for name in small.keys() - {"pixel_values"}:
        assert torch.equal(small[name], large[name]), name
    assert torch.equal(TigerFGCollator(processor(), full_size=True)(pairs)["pixel_values"], small["pixel_values"])


def test_batch():
    pairs = [pair(), pair("b", None, None, (40, 90), 5), pair("a", "shoes", size=(70, 70), row=3, flipped=True)]
    batch = TigerFGCollator(processor())(pairs)
    assert set(batch) == {
        "query_pixel_values",
        "pixel_values",
        "image_index",
        "input_ids",
        "attention_mask",
        "item_ids",
        "category_ids",
        "rows",
        "boxes",
        "has_box",
        "flipped",
    }
    assert batch["query_pixel_values"].shape == batch["pixel_values"].shape == (3, 3, 48, 64)
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    for name in ("item_ids", "category_ids", "rows", "image_index"):
        assert batch[name].dtype == torch.int64
    assert batch["item_ids"][0] == batch["item_ids"][2] != batch["item_ids"][1]
    assert batch["category_ids"].tolist() == [stable_id("hats"), -1, stable_id("shoes")]
    assert batch["has_box"].tolist() == [True, False, True]
    assert batch["flipped"].tolist() == [False, False, True]
    assert batch["rows"].tolist() == [0, 5, 3]
    assert batch["image_index"].tolist() == [0, 1, 2]
    assert batch["boxes"].dtype == torch.float32
    assert batch["boxes"][1].tolist() == [0, 0, 0, 0]


def test_shared_pictures_are_processed_once():
    pictures = [pair(size=size)["image"] for size in ((80, 60), (64, 48), (30, 90))]
    keys = [(0, (1, 4)), (0, 7), (0, (1, 4)), (0, (2, 3)), (0, 7)]
    chosen = [0, 1, 0, 2, 1]
    boxes = [(10, 10, 30, 25), (1, 2, 30, 20), (40, 30, 70, 50), None, (1, 2, 30, 20)]
    pairs = [
        pair(image=pictures[which], image_key=key, box=box, row=row)
        for row, (which, key, box) in enumerate(zip(chosen, keys, boxes, strict=True))
    ]
    shared = TigerFGCollator(processor())(pairs)
    single = TigerFGCollator(processor())([{**pair, "image_key": (0, pair["row"])} for pair in pairs])
    assert shared["pixel_values"].shape == (3, 3, 48, 64)
    assert single["pixel_values"].shape == (5, 3, 48, 64)
    assert shared["image_index"].tolist() == chosen
    assert torch.equal(shared["pixel_values"][shared["image_index"]], single["pixel_values"])
    for name in set(single) - {"pixel_values", "image_index"}:
        assert torch.equal(shared[name], single[name])


def test_hard_texts():
    texts = [{"title": title, "category": None, "attributes": None} for title in ("red", "red red red", "hat red", "")]
    pairs = [pair(hard_texts=texts[:2]), pair(row=1, hard_texts=texts[2:])]
    batch = TigerFGCollator(processor())(pairs)
    assert batch["hard_input_ids"].shape == batch["hard_attention_mask"].shape == (2, 2, 3)
    assert batch["hard_input_ids"].tolist() == [[[2, 1, 1], [2, 2, 2]], [[0, 2, 1], [1, 1, 1]]]
    assert batch["hard_attention_mask"].tolist() == [[[1, 0, 0], [1, 1, 1]], [[1, 1, 0], [0, 0, 0]]]


def test_no_pairs():
    with pytest.raises(ValueError, match="at least one"):
        TigerFGCollator(processor())([])


def test_stable_ids_never_change():
    assert stable_id("a") == 2340832890917691671
    assert 0 <= stable_id("ü" * 100) < 2**63


@pytest.mark.parametrize("resize_mode", ["pad", "squash", "crop"])
@pytest.mark.parametrize("size", [(80, 60), (200, 60), (50, 170), (64, 48), (31, 33)])
def test_boxes_lie_on_the_object_in_the_processed_image(resize_mode, size):
    width, height = size
    box = (width // 3, height // 3, width * 2 // 3, height * 3 // 4)
    batch = TigerFGCollator(processor(resize_mode))([pair(box=box, size=size)])
    rows, columns = np.nonzero(batch["pixel_values"][0, 0].numpy() < 0.5)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    mapped = batch["boxes"][0] * torch.tensor([64, 48, 64, 48])
    assert mapped.numpy() == pytest.approx(np.array(found), abs=1.01)


def test_box_that_the_crop_removes():
    assert map_box((0, 0, 10, 10), (400, 40), SIZE, "crop") is None
    batch = TigerFGCollator(processor("crop"))([pair(box=(0, 0, 10, 10), size=(400, 40))])
    assert batch["has_box"].tolist() == [False]
    assert map_box((0, 0, 400, 40), (400, 40), SIZE, "crop") == (0, 0, 1, 1)
    assert map_box((0, 0, 10, 10), (100, 100), {"height": 50, "width": 50}, "pad") == pytest.approx((0, 0, 0.1, 0.1))
