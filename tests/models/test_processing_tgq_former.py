"""TGQ-Former's processor: pictures, titles and prompts."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoProcessor, CLIPImageProcessorPil, PreTrainedTokenizerFast

from tiger_fg_hf import TGQFormerProcessor, TigerFGImageProcessorPil, TigerFGProcessor

RECORD = {"title": "red mug", "category": "kitchen", "attributes": {"color": "red"}}


def make_tokenizer(words: str, pad_token="<pad>") -> PreTrainedTokenizerFast:
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<unk>", *words.split()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad_token, unk_token="<unk>")


def make_processor(**options) -> TGQFormerProcessor:
    """The two tokenizers number their words differently."""
    language, title = make_tokenizer("find : red mug | kitchen color lamp"), make_tokenizer("lamp mug red")
    return TGQFormerProcessor(TigerFGImageProcessorPil(size=16), language, title, **options)


def photo(seed=0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8))


def test_items():
    processor = make_processor()
    inputs = processor(images=[photo(0), photo(1)], text=[RECORD, "red lamp"], return_tensors="pt")
    assert list(inputs) == [
        *[name for name in processor.model_input_names if name != "image_mask"][1:],
        "pixel_values",
    ]
    assert torch.equal(
        inputs.pixel_values, processor.image_processor([photo(0), photo(1)], return_tensors="pt").pixel_values
    )
    assert inputs.title_input_ids.tolist() == [[4, 3], [4, 2]]  # "red mug", "red lamp" by the dual encoder's tokenizer
    decoded = [
        processor.tokenizer.decode(row[mask.bool()])
        for row, mask in zip(inputs.input_ids, inputs.attention_mask, strict=True)
    ]
    assert decoded == ["red mug | kitchen | color : red", "red lamp"]


def test_the_dual_encoder_may_read_more_than_the_title(tmp_path):
    processor = make_processor(title_template=["{title}", "{attributes}"])
    processor.save_pretrained(tmp_path)
    for each in (processor, TGQFormerProcessor.from_pretrained(tmp_path)):
        read = each.title_tokenizer.decode(each(text=[RECORD])["title_input_ids"][0])
        assert read == "red mug <unk> <unk> <unk> red"  # "red mug | color: red" in the words that it knows
    with pytest.raises(ValueError, match="must be a list of segments"):
        make_processor(title_template="{title}")


def test_instruction_stands_before_every_text():
    inputs = make_processor(instruction="find: ")(images=[photo(), photo()], text=["red", None])
    language = make_processor().tokenizer
    assert language.decode(inputs["input_ids"][0]) == "find : red"
    assert sum(inputs["attention_mask"][1]) == 0


@pytest.mark.parametrize("record", [None, "", {"title": None}, {"item_id": "7"}])
def test_items_without_title_or_text_are_all_padding(record):
    inputs = make_processor()(images=[photo(), photo()], text=[RECORD, record], return_tensors="pt")
    assert inputs.title_attention_mask.tolist() == [[1, 1], [0, 0]]
    assert inputs.attention_mask[1].sum() == 0
    no_title = make_processor()(images=[photo()], text=[{"category": "kitchen"}], return_tensors="pt")
    assert no_title.title_attention_mask.sum() == 0
    assert no_title.attention_mask.sum() == 1


def test_items_without_picture():
    inputs = make_processor()(images=[None, photo()], text=[RECORD, RECORD], return_tensors="pt")
    assert inputs.image_mask.tolist() == [False, True]
    assert inputs.pixel_values[0].abs().max() == 0
    assert inputs.pixel_values[1].abs().max() > 0
    alone = make_processor()(images=photo(), return_tensors="pt")
    assert list(alone) == ["pixel_values"]
    assert list(make_processor()(text=RECORD)) == [
        "title_input_ids",
        "title_attention_mask",
        "input_ids",
        "attention_mask",
    ]


def test_title_and_prompt_have_lengths_of_their_own():
    processor = make_processor(max_length=3, max_title_length=2)
    inputs = processor(text=["red mug red mug red"], return_tensors="pt")
    assert inputs.title_input_ids.shape == (1, 2)
    assert inputs.input_ids.shape == (1, 3)


def test_titles_may_be_padded_to_one_length():
    inputs = make_processor(title_padding="max_length", max_title_length=7)(text=["red mug", "red"])
    assert [len(row) for row in inputs["title_input_ids"]] == [7, 7]
    assert [sum(row) for row in inputs["title_attention_mask"]] == [2, 1]
    assert len(inputs["input_ids"][0]) == 2
    with pytest.raises(ValueError, match="title_padding must be"):
        make_processor(title_padding="left")


def test_save_and_load(tmp_path):
    processor = make_processor(instruction="find: ", text_template=["{category}", "{title}"], max_title_length=9)
    processor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    assert saved["instruction"] == "find: "
    assert saved["text_template"] == ["{category}", "{title}"]
    assert saved["max_title_length"] == 9
    inputs = {"images": [photo()], "text": [RECORD], "return_tensors": "pt"}
    expected = processor(**inputs)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "tgq_former"}))
    for loaded in (TGQFormerProcessor.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)):
        assert type(loaded) is TGQFormerProcessor
        found = loaded(**inputs)
        for name in expected:
            assert torch.equal(found[name], expected[name]), name


def test_one_tokenizer_for_both():
    both = make_tokenizer("red mug")
    processor = TGQFormerProcessor(TigerFGImageProcessorPil(size=16), both, both)
    inputs = processor(text=["red mug"])
    assert inputs["title_input_ids"] == inputs["input_ids"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "pass images, text or both"),
        ({"images": [photo()], "text": ["a", "b"]}, "got 1 images and 2 texts"),
        ({"images": [photo(), None], "text": ["a", None]}, "item 1 has neither image nor text"),
        ({"text": ["a", {"item_id": "7"}]}, "item 1 has neither image nor text"),
        ({"images": [None]}, "item 0 has neither image nor text"),
        ({"text": [{"title": 3}, 7]}, r"text\[1\]: expected a string"),
    ],
)
def test_bad_calls(inputs, message):
    with pytest.raises(ValueError, match=message):
        make_processor()(**inputs)


@pytest.mark.parametrize("which", ["tokenizer", "title_tokenizer"])
def test_a_tokenizer_without_padding_is_named(which):
    tokenizers = [
        make_tokenizer("a", pad_token=None if which == name else "<pad>") for name in ("tokenizer", "title_tokenizer")
    ]
    with pytest.raises(ValueError, match=f"the {which} has no padding token"):
        TGQFormerProcessor(TigerFGImageProcessorPil(size=16), *tokenizers)


def test_the_processor_of_another_model_is_refused(tmp_path):
    make_processor().save_pretrained(tmp_path / "tgq")
    TigerFGProcessor(TigerFGImageProcessorPil(size=16), make_tokenizer("red mug")).save_pretrained(tmp_path / "fg")
    with pytest.raises(ValueError, match="holds a TigerFGProcessor; a TGQFormerProcessor cannot be read from it"):
        TGQFormerProcessor.from_pretrained(tmp_path / "fg")
    with pytest.raises(ValueError, match="holds a TGQFormerProcessor; a TigerFGProcessor cannot be read from it"):
        TigerFGProcessor.from_pretrained(tmp_path / "tgq")
    assert isinstance(AutoProcessor.from_pretrained(tmp_path / "tgq"), TGQFormerProcessor)


def test_image_processors_of_other_libraries_download_nothing(tmp_path):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    processor = make_processor()
    processor.image_processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/mug.png"
        for image in (url, {"bytes": None, "path": url}):
            with pytest.raises(ValueError, match=r"images.0. .*it is a URL; download it first"):
                processor(images=[image])
    finally:
        server.shutdown()
        server.server_close()
    assert not asked
    photo().save(tmp_path / "photo.png")
    expected = processor(images=[photo(), photo(1)])["pixel_values"]
    mixed = [tmp_path / "photo.png", photo(1)]
    assert np.array_equal(processor(images=mixed)["pixel_values"], expected)
    assert np.array_equal(processor(images=[str(mixed[0]), photo(1)])["pixel_values"], expected)
