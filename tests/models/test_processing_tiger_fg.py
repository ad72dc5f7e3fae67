import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoImageProcessor, AutoProcessor, PreTrainedTokenizerFast

from tiger_fg_hf import TigerFGImageProcessorPil, TigerFGProcessor

RECORD = {"title": "Linen shirt", "category": "Shirts", "attributes": {"color": "blue", "size": "M"}}


def make_tokenizer(special_tokens=True, pad_token="<pad>", **options):
    vocabulary = {token: index for index, token in enumerate(["<pad>", "<unk>", "<s>", "</s>"])}
    for character in " abcdefghijklmnopqrstuvwxyz0123456789:|,.{}/é👍":
        vocabulary.setdefault(character, len(vocabulary))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    if special_tokens:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad_token, unk_token="<unk>", **options)


def make_processor(**options):
    return TigerFGProcessor(TigerFGImageProcessorPil(size={"height": 16, "width": 24}), make_tokenizer(), **options)


@pytest.fixture(scope="module")
def processor():
    return make_processor()


def photo(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8))


class TestRenderText:
    @pytest.mark.parametrize(
        ("record", "text"),
        [
            (RECORD, "Linen shirt | Shirts | color: blue, size: M"),
            (
                {**RECORD, "item_id": 7, "image": object(), "box": [0, 0, 1, 1]},
                "Linen shirt | Shirts | color: blue, size: M",
            ),
            ({"title": "Linen shirt"}, "Linen shirt"),
            ({"title": None, "category": " \n", "attributes": {"color": "blue"}}, "color: blue"),
            ({"title": float("nan"), "category": "Shirts", "attributes": None}, "Shirts"),
            ({"title": "a", "attributes": {"x": None, "y": "", "z": float("nan"), "w": []}}, "a"),
            (
                {"title": 501, "attributes": {"n": 3, "r": 2.5, "l": ["red", None, "blue"]}},
                "501 | n: 3, r: 2.5, l: red, blue",
            ),
            # Rows of a loaded catalog, and of one that is not.
            ({"title": "a", "attributes.n": "3", "attributes.l": ["red", "blue"]}, "a | n: 3, l: red, blue"),
            ({"title": "a", "attributes": '{"n": 3, "l": ["red", "blue"]}'}, "a | n: 3, l: red, blue"),
            ({"title": "a", "attributes": None, "attributes.n": None}, "a"),
            (
                {"title": "{title} {0.__class__} {}", "attributes": {"{name}": "{value}"}},
                "{title} {0.__class__} {} | {name}: {value}",
            ),
            ({"title": "  tab\tand\n\nline\u00a0end "}, "tab and line end"),
            ({"title": "nul\x00l \x07 b\ud800el\ufeffl\x9f"}, "null bell"),
            ({"title": "Cafe\u0301 👍🏽 衬衫"}, "Café 👍🏽 衬衫"),
            ("  a plain\nstring ", "a plain string"),
            ({}, ""),
            (None, ""),
            ("", ""),
        ],
    )
    def test_default_template(self, processor, record, text):
        assert processor.render_text(record) == text

    def test_own_template(self):
        processor = make_processor(
            text_template=["{brand} {title}", "in {category}", "{{{attributes}}}"],
            text_separator=". ",
            attribute_template="{value}",
            attribute_separator="+",
        )
        assert processor.render_text({**RECORD, "brand": "Acme"}) == "Acme Linen shirt. in Shirts. {blue+M}"
        assert processor.render_text(RECORD) == "in Shirts. {blue+M}"

    @pytest.mark.parametrize(
        "template",
        ["{title.__class__}", "{title[0]}", "{0}", "{}", "{title!r}", "{title:>9}", "{title", "no field", "", None],
    )
    def test_template_with_other_than_bare_names_is_refused(self, template):
        with pytest.raises(ValueError, match="template"):
            make_processor(text_template=[template])

    def test_bad_templates(self):
        with pytest.raises(ValueError, match="list of segments"):
            make_processor(text_template="{title}")
        for template in ("{name}", "{name}: {value} {unit}"):
            with pytest.raises(ValueError, match="attribute_template must use"):
                make_processor(attribute_template=template)

    @pytest.mark.parametrize(
        ("record", "message"),
        [
            (5, "expected a string, a record"),
            ({"title": b"bytes"}, "title must be text"),
            ({"name": "shirt"}, "the record has no field of the text template"),
            ({"attributes": "{broken"}, "attributes is not valid JSON"),
            ({"attributes": {"color": [b"blue"]}}, r"attributes\['color'\] must be text"),
        ],
    )
    def test_unusable_values_are_named(self, processor, record, message):
        with pytest.raises(ValueError, match=rf"^text\[1\]: {message}"):
            processor(text=["fine", record])


class TestCall:
    def test_queries(self, processor):
        inputs = processor(images=[photo(0), photo(1)], return_tensors="pt")
        assert set(inputs) == {"pixel_values"}
        assert inputs.pixel_values.shape == (2, 3, 16, 24)
        assert processor(images=photo(), return_tensors="pt").pixel_values.shape == (1, 3, 16, 24)

    def test_queries_may_have_a_size_of_their_own(self):
        """Images alone are queries; an item without text is still an item, and a call may ask for another size."""
        processor, alike = make_processor(query_size={"height": 8, "width": 12}), make_processor()
        query = processor(images=[photo()], return_tensors="pt").pixel_values
        assert query.shape == (1, 3, 8, 12)
        resized = alike(images=[photo()], size={"height": 8, "width": 12}, return_tensors="pt").pixel_values
        assert torch.equal(query, resized)
        for text in ("ab", None):
            item = processor(images=[photo()], text=[text], return_tensors="pt").pixel_values
            assert torch.equal(item, alike(images=[photo()], return_tensors="pt").pixel_values)
        assert processor(images=[photo()], size={"height": 4, "width": 4}).pixel_values[0].shape == (3, 4, 4)

    @pytest.mark.parametrize("size", [{"height": 8}, {"height": 8, "width": 0}, {"shortest_edge": 8}])
    def test_bad_query_sizes(self, size):
        with pytest.raises(ValueError, match="query_size must be"):
            make_processor(query_size=size)

    def test_text(self, processor):
        inputs = processor(text=["ab", RECORD], return_tensors="pt")
        assert set(inputs) == {"input_ids", "attention_mask"}
        assert inputs.attention_mask.sum(dim=1).tolist() == [4, len(processor.render_text(RECORD)) + 2]
        assert (
            processor(text="ab").input_ids == processor(text=["ab"]).input_ids == processor.tokenizer(["ab"]).input_ids
        )

    def test_items(self, processor):
        inputs = processor(images=[photo(0), photo(1)], text=[RECORD, "ab"], return_tensors="pt")
        assert set(inputs) == {"pixel_values", "input_ids", "attention_mask"}
        assert set(inputs) <= set(processor.model_input_names)
        assert torch.equal(
            inputs.pixel_values, processor(images=[photo(0), photo(1)], return_tensors="pt").pixel_values
        )
        assert torch.equal(inputs.input_ids, processor(text=[RECORD, "ab"], return_tensors="pt").input_ids)

    def test_batch_array_of_images(self, processor):
        batch = np.stack([np.asarray(photo(0)), np.asarray(photo(1))])
        inputs = processor(images=batch, text=["a", "b"], return_tensors="np")
        assert np.array_equal(inputs.pixel_values, processor(images=[photo(0), photo(1)]).pixel_values)

    @pytest.mark.parametrize("empty", [None, "", " \n", {}, {"title": None, "item_id": 3}])
    @pytest.mark.parametrize("special_tokens", [True, False])
    def test_row_without_text_is_all_padding(self, empty, special_tokens):
        processor = TigerFGProcessor(TigerFGImageProcessorPil(size=8), make_tokenizer(special_tokens))
        inputs = processor(images=[photo()] * 2, text=["abcd", empty], return_tensors="pt")
        assert inputs.attention_mask[0].all()
        assert not inputs.attention_mask[1].any()
        assert (inputs.input_ids[1] == processor.tokenizer.pad_token_id).all()
        alone = processor(text=[empty], return_tensors="pt")
        assert alone.attention_mask.shape[1] > 0
        assert not alone.attention_mask.any()

    def test_item_without_image(self, processor):
        images = [photo(0), None, photo(1)]
        inputs = processor(images=images, text=["a", "b", None], return_tensors="pt")
        assert inputs.image_mask.dtype == torch.bool
        assert inputs.image_mask.tolist() == [True, False, True]
        assert not inputs.pixel_values[1].any()
        expected = processor(images=[photo(0), photo(1)], return_tensors="pt").pixel_values
        assert torch.equal(inputs.pixel_values[[0, 2]], expected)
        assert images[1] is None
        alone = processor(images=[None], text="a", size=8, return_tensors="np")
        assert alone.pixel_values.shape == (1, 3, 8, 8)
        assert not alone.pixel_values.any()
        assert not alone.image_mask.any()

    def test_items_come_at_glance_scale_and_queries_do_not(self, tmp_path):
        make_processor(glance_scale=2).save_pretrained(tmp_path)
        processor = TigerFGProcessor.from_pretrained(tmp_path)
        assert processor.glance_scale == 2
        item = processor(images=[photo(), None], text=["a", "b"], return_tensors="pt")
        assert item.pixel_values.shape == (2, 3, 32, 48)
        expected = processor.image_processor([photo()], size={"height": 32, "width": 48}, return_tensors="pt")
        assert torch.equal(item.pixel_values[:1], expected.pixel_values)
        assert processor(images=[photo()], return_tensors="pt").pixel_values.shape == (1, 3, 16, 24)
        assert processor(images=[photo()], text="a", size=8, return_tensors="pt").pixel_values.shape == (1, 3, 8, 8)
        with pytest.raises(ValueError, match="glance_scale must be a positive integer, got 0"):
            make_processor(glance_scale=0)

    def test_boxes(self, processor):
        inputs = processor(images=[photo(), None], text=["a", "b"], boxes=[[2, 3, 12, 13], None], return_tensors="pt")
        expected = processor(images=photo().crop((2, 3, 12, 13)), return_tensors="pt")
        assert torch.equal(inputs.pixel_values[:1], expected.pixel_values)

    def test_options_can_be_overridden_per_call(self, processor):
        inputs = processor(
            images=photo(), text="abcdefgh", size=8, max_length=5, padding="max_length", return_tensors="np"
        )
        assert inputs.pixel_values.shape == (1, 3, 8, 8)
        assert inputs.input_ids.shape == (1, 5)
        nested = processor(text="ab", text_kwargs={"padding": "max_length", "max_length": 6}, return_tensors="np")
        assert nested.attention_mask.tolist() == [[1, 1, 1, 1, 0, 0]]

    def test_long_text_is_truncated(self, processor):
        inputs = processor(text=["shirt " * 20_000, "ab"], return_tensors="pt")
        assert inputs.input_ids.shape == (2, 64)
        assert inputs.input_ids[0, -1] == 3
        short = TigerFGProcessor(TigerFGImageProcessorPil(), make_tokenizer(model_max_length=16))
        assert len(short(text="shirt " * 20).input_ids[0]) == 16

    def test_unicode(self, processor):
        composed, decomposed = processor(text=["CAFÉ 👍", "cafe\u0301\u00a0👍"]).input_ids
        assert composed == decomposed
        assert processor.tokenizer.unk_token_id not in composed

    def test_bad_calls(self, processor):
        image = photo()
        for arguments, message in [
            ({}, "images, text or both"),
            ({"images": []}, "images is empty"),
            ({"text": []}, "text is empty"),
            ({"images": [image, image], "text": ["a", "b", "c"]}, "2 images and 3 texts"),
            ({"images": [image, image], "text": "a"}, "2 images and 1 texts"),
            ({"images": [image, None], "text": ["a", {}]}, "item 1 has neither image nor text"),
            ({"images": [image, None]}, r"images\[1\] cannot be read"),
            ({"images": [image, b"x"], "text": ["a", "b"]}, r"images\[1\] cannot be read"),
            ({"text": "a", "boxes": [None]}, "boxes need images"),
            ({"images": [image], "boxes": [[0, 0, 99, 9]]}, r"images\[0\]: the box"),
        ]:
            with pytest.raises(ValueError, match=message):
                processor(**arguments)

    def test_tokenizer_without_padding_token(self):
        with pytest.raises(ValueError, match="padding token"):
            TigerFGProcessor(TigerFGImageProcessorPil(), make_tokenizer(pad_token=None))


def same_output(first, second):
    arguments = {"images": [photo(), None], "text": [RECORD, "ab"], "return_tensors": "pt"}
    ours, theirs = first(**arguments), second(**arguments)
    # Where torchvision is installed the Auto classes may load that backend, which rounds differently.
    same_backend = first.image_processor.backend == second.image_processor.backend
    atol = 0 if same_backend else 3 / 255 / 0.224
    return set(ours) == set(theirs) and all(torch.allclose(ours[key], theirs[key], rtol=0, atol=atol) for key in ours)


def test_save_and_load(tmp_path):
    processor = make_processor(text_template=["{category}", "{title}"], text_separator=" - ", max_length=10)
    processor.query_size = {"height": 8, "width": 8}
    processor.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    assert saved == {
        "attribute_separator": ", ",
        "attribute_template": "{name}: {value}",
        "columns": None,
        "glance_scale": None,
        "image_processor": json.loads(processor.image_processor.to_json_string()),
        "keep_html": False,
        "max_length": 10,
        "processor_class": "TigerFGProcessor",
        "query_size": {"height": 8, "width": 8},
        "text_separator": " - ",
        "text_template": ["{category}", "{title}"],
    }
    for loaded in (TigerFGProcessor.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)):
        assert type(loaded) is TigerFGProcessor
        assert loaded.to_dict() == processor.to_dict()
        assert same_output(loaded, processor)
    assert AutoImageProcessor.from_pretrained(tmp_path).size == {"height": 16, "width": 24}
    again = tmp_path / "again"
    loaded.save_pretrained(again)
    assert (again / "processor_config.json").read_text() == (tmp_path / "processor_config.json").read_text()


def test_remote_code_in_a_process_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(TigerFGImageProcessorPil, "_auto_class", "AutoImageProcessor")
    monkeypatch.setattr(TigerFGProcessor, "_auto_class", "AutoProcessor")
    processor, folder = make_processor(columns={"title": "name"}), tmp_path / "export"
    processor.save_pretrained(folder)
    photo().save(tmp_path / "photo.png")
    script = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tiger_fg_hf":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
sys.modules["torchvision"] = None
import torch
from transformers import AutoImageProcessor, AutoProcessor

folder, photo, output, again = sys.argv[1:]
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
assert type(processor).__module__.startswith("transformers_modules."), type(processor)
assert type(processor.image_processor).__module__.startswith("transformers_modules.")
inputs = processor(images=[photo, None], text=[{"name": "Linen shirt"}, "ab"], return_tensors="pt")
alone = AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)(photo, return_tensors="pt")
assert torch.equal(alone.pixel_values[0], inputs.pixel_values[0])
torch.save(dict(inputs), output)
processor.save_pretrained(again)
AutoProcessor.from_pretrained(again, trust_remote_code=True)
"""
    arguments = [folder, tmp_path / "photo.png", tmp_path / "inputs.pt", tmp_path / "again"]
    result = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={"PATH": "", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")},
    )
    assert result.returncode == 0, result.stderr
    theirs = torch.load(tmp_path / "inputs.pt")
    ours = processor(images=[photo(), None], text=[{"name": "Linen shirt"}, "ab"], return_tensors="pt")
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)

    monkeypatch.undo()
    local = TigerFGProcessor.from_pretrained(folder)  # an exported folder also loads with the package, unasked
    assert type(local) is TigerFGProcessor
    local.save_pretrained(tmp_path / "plain")
    assert "auto_map" not in (tmp_path / "plain" / "processor_config.json").read_text()
