import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from tiger_fg_hf.data.collator import PairCollator, map_box, stable_id
from tiger_fg_hf.models.tiger_fg.image_processing_pil_tiger_fg import TigerFGImageProcessorPil
from tiger_fg_hf.models.tiger_fg.processing_tiger_fg import TigerFGProcessor

SIZE = {"height": 48, "width": 64}


def processor(resize_mode="pad"):
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "[PAD]": 1, "red": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")
    images = TigerFGImageProcessorPil(size=SIZE, resize_mode=resize_mode, pad_color=255, do_normalize=False)
    return TigerFGProcessor(images, wrapped)


def pair(item_id="a", category="hats", box=(10, 10, 30, 25), size=(80, 60), row=0):
    image = Image.new("RGB", size, "white")
    if box is not None:
        image.paste((0, 0, 0), tuple(box))
    text = {"title": "red hat", "category": category, "attributes": {"color": "red"}}
    return {"item_id": item_id, "query": image, "image": image, "text": text, "box": box, "row": row}


def test_batch():
    pairs = [pair(), pair("b", None, None, (40, 90)), pair("a", "shoes", size=(70, 70))]
    batch = PairCollator(processor())(pairs)
    assert set(batch) == {
        "query_pixel_values",
        "pixel_values",
        "input_ids",
        "attention_mask",
        "item_ids",
        "category_ids",
        "boxes",
        "has_box",
    }
    assert batch["query_pixel_values"].shape == batch["pixel_values"].shape == (3, 3, 48, 64)
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert batch["item_ids"].dtype == batch["category_ids"].dtype == torch.int64
    assert batch["item_ids"][0] == batch["item_ids"][2] != batch["item_ids"][1]
    assert batch["category_ids"].tolist() == [stable_id("hats"), -1, stable_id("shoes")]
    assert batch["has_box"].tolist() == [True, False, True]
    assert batch["boxes"].dtype == torch.float32
    assert batch["boxes"][1].tolist() == [0, 0, 0, 0]


def test_no_pairs():
    with pytest.raises(ValueError, match="at least one"):
        PairCollator(processor())([])


def test_stable_ids_never_change():
    assert stable_id("a") == 2340832890917691671
    assert 0 <= stable_id("ü" * 100) < 2**63


@pytest.mark.parametrize("resize_mode", ["pad", "squash", "crop"])
@pytest.mark.parametrize("size", [(80, 60), (200, 60), (50, 170), (64, 48), (31, 33)])
def test_boxes_lie_on_the_object_in_the_processed_image(resize_mode, size):
    width, height = size
    box = (width // 3, height // 3, width * 2 // 3, height * 3 // 4)
    batch = PairCollator(processor(resize_mode))([pair(box=box, size=size)])
    rows, columns = np.nonzero(batch["pixel_values"][0, 0].numpy() < 0.5)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    mapped = batch["boxes"][0] * torch.tensor([64, 48, 64, 48])
    assert mapped.numpy() == pytest.approx(np.array(found), abs=1.01)


def test_box_that_the_crop_removes():
    assert map_box((0, 0, 10, 10), (400, 40), SIZE, "crop") is None
    batch = PairCollator(processor("crop"))([pair(box=(0, 0, 10, 10), size=(400, 40))])
    assert batch["has_box"].tolist() == [False]
    assert map_box((0, 0, 400, 40), (400, 40), SIZE, "crop") == (0, 0, 1, 1)
    assert map_box((0, 0, 10, 10), (100, 100), {"height": 50, "width": 50}, "pad") == pytest.approx((0, 0, 0.1, 0.1))
