"""Encoding: order, modes, errors that name the row."""

from pathlib import Path

import datasets
import pytest
import torch
from encoding_stubs import StubModel, StubProcessor, make_dataset, png
from tiny import IMAGE, tiny_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tiger_fg_hf import (
    TGQFormerModel,
    TGQFormerProcessor,
    TigerFGImageProcessorPil,
    TigerFGItemModel,
    TigerFGProcessor,
    load_catalog,
)
from tiger_fg_hf.catalog.encode import encode_items, encode_queries
from tiger_fg_hf.catalog.record import to_record
from tiger_fg_hf.catalog.records import CatalogRecords


def one_by_one(model, records) -> torch.Tensor:
    """Rows encoded singly, by hand."""
    model.eval()
    with torch.no_grad():
        singles = [
            model(**StubProcessor()(images=[row["image"]], text=[{"title": row["title"]}])).embeds for row in records
        ]
    return torch.cat(singles)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_items_keep_their_order(num_workers):
    model, dataset = StubModel(), make_dataset()
    embeds = encode_items(model, StubProcessor(), dataset, batch_size=5, num_workers=num_workers)
    torch.testing.assert_close(embeds, one_by_one(model, dataset))
    assert embeds.dtype == torch.float32
    assert not embeds.is_inference()


def test_lists_of_dicts_and_datasets_agree():
    dataset = make_dataset(count=7)
    from_list = encode_items(StubModel(), StubProcessor(), list(dataset), batch_size=3)
    assert torch.equal(from_list, encode_items(StubModel(), StubProcessor(), dataset, batch_size=3))


def test_other_columns_reach_the_template_and_other_pictures_do_not():
    seen = []

    class Spy(StubProcessor):
        def __call__(self, images, text=None, return_tensors="pt"):
            seen.extend(text)
            return super().__call__(images, text)

    encode_items(StubModel(), Spy("{brand}"), make_dataset(count=2).add_column("brand", ["ACME", "Zeta"]))
    assert seen == [{"item_id": f"sku-{i}", "title": "x" * i, "brand": b} for i, b in enumerate(["ACME", "Zeta"])]


def test_a_loaded_catalog_is_encoded_as_it_is_trained_on():
    """`load_catalog` spreads attributes over columns; the text is that of the record which training reads."""
    rows = [{"item_id": f"p{i}", "image": {"bytes": png(i), "path": None}, "title": "x"} for i in range(3)]
    rows = [
        {**row, "color": colour, "tags": ["a", "b"]} for row, colour in zip(rows, ("red", None, "teal"), strict=True)
    ]
    catalog = load_catalog(datasets.Dataset.from_list(rows), columns={"attributes": ["color", "tags"]})
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "red": 2, "teal": 3, "x": 4, "b": 5}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    processor = TigerFGProcessor(TigerFGImageProcessorPil(size=IMAGE), fast)
    model = tiny_model("item")
    found = encode_items(model, processor, catalog)
    torch.testing.assert_close(found, encode_items(model, processor, CatalogRecords(catalog)))
    without = encode_items(model, processor, catalog.remove_columns(["attributes.color", "attributes.tags"]))
    assert not torch.allclose(found, without, atol=1e-3)


def test_queries_match_their_images():
    model, dataset = StubModel(), make_dataset(count=6)
    embeds = encode_queries(model, StubProcessor(), dataset["query_image"], batch_size=4)
    singles = [encode_queries(model, StubProcessor(), [image]) for image in dataset["query_image"]]
    torch.testing.assert_close(embeds, torch.cat(singles))


def test_groundings_come_on_request():
    embeds, groundings = encode_items(
        StubModel(), StubProcessor(), make_dataset(count=5), batch_size=2, return_grounding=True
    )
    assert len(groundings) == len(embeds) == 5
    assert all(grounding.shape == (4, 4) for grounding in groundings)
    assert float(groundings[3].sum()) == pytest.approx(1)


def test_what_the_model_does_not_have_is_named():
    """TGQ-Former has no grounding, and another method's processor would give it nonsense."""
    cards = Path(__file__).parents[2] / "model_cards"
    models = {"tgq": TGQFormerModel, "tiger": TigerFGItemModel}
    processors = {"tgq": TGQFormerProcessor, "tiger": TigerFGProcessor}
    folders = {"tgq": cards / "tgq-former-tiny", "tiger": cards / "tiger-fg-tiny"}
    model = {name: kind.from_pretrained(folders[name]) for name, kind in models.items()}
    processor = {name: kind.from_pretrained(folders[name]) for name, kind in processors.items()}
    records = [{"item_id": "a", "title": "red mug", "image": png(0)}]
    assert len(encode_items(model["tgq"], processor["tgq"], records)) == 1
    with pytest.raises(ValueError, match="return_grounding: a TGQFormerModel returns no grounding"):
        encode_items(model["tgq"], processor["tgq"], records, return_grounding=True)
    for one, other in (("tgq", "tiger"), ("tiger", "tgq")):
        needed, found = processors[one].__name__, processors[other].__name__
        with pytest.raises(ValueError, match=f"processor: a {models[one].__name__} needs a {needed}, got a {found}"):
            encode_items(model[one], processor[other], records)


def test_modes_are_restored_module_by_module():
    model = StubModel().train()
    model.frozen.eval()
    encode_queries(model, StubProcessor(), [{"bytes": png(0)}])
    assert model.training
    assert model.linear.training
    assert not model.frozen.training
    with pytest.raises(ValueError, match="row 0"):
        encode_queries(model, StubProcessor(), [{"bytes": b""}])
    assert model.training
    assert torch.is_grad_enabled()


def test_autocast_stays_close():
    dataset = make_dataset(count=4)
    half = encode_items(StubModel(), StubProcessor(), dataset, autocast_dtype=torch.bfloat16)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, encode_items(StubModel(), StubProcessor(), dataset), atol=0.02, rtol=0)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_bad_image_is_named(num_workers):
    with pytest.raises(ValueError, match=r"row 7 \(item_id 'sku-7'\): UnidentifiedImageError"):
        encode_items(StubModel(), StubProcessor(), make_dataset((7,)), batch_size=5, num_workers=num_workers)
    images = [{"bytes": png(0)}, {"bytes": b"?"}]
    with pytest.raises(ValueError, match=r"row 1 \(item_id 'b'\)"):
        encode_queries(StubModel(), StubProcessor(), images, item_ids=["a", "b"], num_workers=num_workers)


def test_an_image_that_datasets_decodes_is_named_too():
    decoding = make_dataset((2,), count=4).cast_column("image", datasets.Image())
    with pytest.raises(ValueError, match=r"row 2 \(item_id 'sku-2'\)"):
        encode_items(StubModel(), StubProcessor(), decoding)


def test_nothing_to_encode_is_an_error():
    with pytest.raises(ValueError, match="got 0 rows"):
        encode_items(StubModel(), StubProcessor(), [])
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        encode_items(StubModel(), StubProcessor(), make_dataset(count=1), batch_size=0)
    with pytest.raises(ValueError, match="1 for 2 images"):
        encode_queries(StubModel(), StubProcessor(), [{}, {}], item_ids=["a"])


class Spy(StubProcessor):
    """Keeps the records that it is given."""

    def __init__(self, columns=None):
        super().__init__("{title}")
        self.columns = columns
        self.records = []

    def __call__(self, images, text=None, return_tensors="pt"):
        self.records.extend(text)
        return super().__call__(images, text)


def test_rows_are_converted_as_for_training():
    """Numbers as ids, plain-text attributes and structured categories, as `to_record` accepts them."""
    rows = [
        {"item_id": 7, "image": {"bytes": png(0)}, "title": " Mug ", "category": {"id": 3}, "attributes": "of clay"},
        {"item_id": 8, "image": {"bytes": png(1)}, "title": None, "category": ["a", "b"], "attributes": '{"size": 4}'},
    ]
    spy = Spy()
    encode_items(StubModel(), spy, rows)
    for seen, row in zip(spy.records, rows, strict=True):
        record = to_record(row)
        assert {**seen, "category": seen["category"] or None} == {name: record[name] for name in seen}


@pytest.mark.parametrize("as_list", [False, True])
def test_rows_of_an_unmapped_source_use_the_columns_of_the_processor(as_list):
    rows = [{"sku": f"p{i}", "photo": {"bytes": png(i), "path": None}, "name": "x" * i} for i in range(3)]
    columns = {"item_id": "sku", "image": "photo", "title": "name"}
    source = rows if as_list else datasets.Dataset.from_list(rows).cast_column("photo", datasets.Image())
    spy = Spy(columns)
    embeds = encode_items(StubModel(), spy, source)
    loaded = load_catalog(datasets.Dataset.from_list(rows), columns=columns)
    assert torch.equal(embeds, encode_items(StubModel(), StubProcessor(), loaded))
    assert [record["item_id"] for record in spy.records] == ["p0", "p1", "p2"]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_errors_name_the_item_and_the_path(tmp_path, num_workers):
    """And not the place of the row in the batch that is retried."""
    card = Path(__file__).parents[2] / "model_cards" / "tiger-fg-tiny"
    model, processor = TigerFGItemModel.from_pretrained(card), TigerFGProcessor.from_pretrained(card)
    (tmp_path / "0.png").write_bytes(png(0))
    rows = [{"item_id": f"B0{i}", "image": str(tmp_path / f"{i}.png"), "title": "mug"} for i in range(2)]
    with pytest.raises(ValueError) as raised:
        encode_items(model, processor, rows, num_workers=num_workers)
    assert "row 1 (item_id 'B01'): image" in str(raised.value)
    assert str(tmp_path / "1.png") in str(raised.value)
    assert "[0]" not in str(raised.value)
    with pytest.raises(ValueError, match=r"row 1 \(item_id 'B01'\): has neither image nor text"):
        encode_items(model, processor, [rows[0], {"item_id": "B01", "image": None, "title": ""}])
    with pytest.raises(ValueError, match=r"row 1 \(item_id 'B01'\): attributes is not valid JSON"):
        encode_items(model, processor, [rows[0], {**rows[0], "item_id": "B01", "attributes": "{"}])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_oddities_are_counted_and_logged_once(caplog, num_workers):
    card = Path(__file__).parents[2] / "model_cards" / "tiger-fg-tiny"
    model, processor = TigerFGItemModel.from_pretrained(card), TigerFGProcessor.from_pretrained(card)
    titles = ["mug", None, "", "<b>red</b> mug", "Tom &amp; Jerry", "mug " * 200]
    rows = [
        {"item_id": "a", "image": {"bytes": png(i)}, "title": title, "category": "mugs"}
        for i, title in enumerate(titles)
    ]
    encode_items(model, processor, rows, batch_size=2, num_workers=num_workers)
    assert [record.message for record in caplog.records if record.name.startswith("tiger_fg_hf")] == [
        "catalog of 6 rows: empty titles: 2, titles with HTML: 2, texts cut at the processor's max_length: 1, "
        "repeated item_ids: 5"
    ]
