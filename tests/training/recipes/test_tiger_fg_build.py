"""Arguments become model, processor and pairs."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from PIL import Image
from tiny import VISION, tiny_model
from tiny_training import MODEL

from tiger_fg_hf import load_catalog
from tiger_fg_hf.data.close_views import CloseViewConfig
from tiger_fg_hf.models.encoders_tiger_fg import backbone_from_pretrained
from tiger_fg_hf.training.recipes.catalogs import build_eval_catalog
from tiger_fg_hf.training.recipes.tiger_fg.arguments import TigerFGDataArguments, TigerFGModelArguments
from tiger_fg_hf.training.recipes.tiger_fg.build import (
    build_collator,
    build_model_and_processor,
    build_pairs,
    query_side,
)


@pytest.fixture
def catalog(catalog_folder):
    return load_catalog(catalog_folder)


def test_model_from_scratch(catalog):
    arguments = TigerFGModelArguments(model_config=MODEL, vocab_size=420, image_size=48, max_text_length=20)
    model, processor = build_model_and_processor(arguments, catalog)
    assert arguments.model_config == MODEL
    assert "vocab_size" not in MODEL["text_config"]
    assert model.config.text_config.vocab_size == len(processor.tokenizer)
    assert model.config.text_config.pad_token_id == processor.tokenizer.pad_token_id
    assert dict(processor.image_processor.size) == {"height": 48, "width": 48}
    assert processor.max_length == 20


def test_a_model_that_looks_twice_gets_larger_pictures(catalog):
    config = MODEL | {"num_glances": 2, "glance_size": 24}
    arguments = TigerFGModelArguments(model_config=config, vocab_size=420, image_size=48)
    model, processor = build_model_and_processor(arguments, catalog)
    assert (model.config.first_glance_size, processor.glance_scale) == (48, 2)
    white = processor.image_processor(Image.new("RGB", (9, 9), "white"), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(torch.tensor(model.config.glance_padding), white[0, :, 0, 0])
    item = processor(images=[catalog[0]["image"]], text="mug", return_tensors="pt")
    assert item["pixel_values"].shape == (1, 3, 96, 96)
    output = model.eval().get_item_features(**item)
    assert output.shape == (1, model.config.projection_dim)
    assert build_model_and_processor(TigerFGModelArguments(model_config=MODEL), catalog)[1].glance_scale is None


def test_text_encoder_of_a_config_has_a_default(catalog):
    small = MODEL | {"text_config": {k: v for k, v in MODEL["text_config"].items() if k != "model_type"}}
    model, _ = build_model_and_processor(TigerFGModelArguments(model_config=small, vocab_size=420), catalog)
    assert model.config.text_config.model_type == "bert"


def test_checkpoint_in_half_precision_trains_in_float32(catalog, tmp_path):
    arguments = TigerFGModelArguments(model_config=MODEL, vocab_size=420)
    model, processor = build_model_and_processor(arguments, catalog)
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, _ = build_model_and_processor(TigerFGModelArguments(model=str(tmp_path)), catalog)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_pretrained_encoders_with_heads_of_a_config(catalog, tmp_path):
    source = tiny_model()
    source.vision_model.save_pretrained(tmp_path / "vision")
    source.text_model.save_pretrained(tmp_path / "text")
    model, processor = build_model_and_processor(
        TigerFGModelArguments(
            vision=str(tmp_path / "vision"),
            text=str(tmp_path / "text"),
            tokenizer="train",
            vocab_size=420,
            model_config={"projection_dim": 8, "grounding_attention_heads": 2},
        ),
        catalog,
    )
    assert model.config.projection_dim == 8
    assert model.config.vision_config.hidden_size == VISION["vit"]().hidden_size
    for name, weight in source.vision_model.state_dict().items():
        assert torch.equal(model.vision_model.state_dict()[name], weight), name
    assert len(processor.tokenizer) > 0


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"vision": "a"},
        {"text": "b"},
        {"model": "m", "vision": "a", "text": "b"},
        {"model": "m", "model_config": MODEL},
        {"vision": "a", "model_config": MODEL},
    ],
)
def test_ambiguous_models_are_refused(given):
    with pytest.raises(ValueError, match="Give either --model"):
        build_model_and_processor(TigerFGModelArguments(**given), catalog=None)


def test_pairs_take_real_queries_or_make_them(catalog):
    for rows in (catalog, catalog.remove_columns("query_image")):
        pair = build_pairs(rows, TigerFGDataArguments(), image_size=32, seed=0)[3]
        assert pair["query"].mode == pair["image"].mode == "RGB"


def test_a_catalog_without_texts_to_tell_apart_trains_without_them(catalog, caplog):
    """Mismatched texts are on by default, and left out if the catalog has none."""
    bare = catalog.select_columns(["item_id", "image"])
    alike = bare.add_column("title", ["mug"] * len(bare)).add_column("category", ["mugs"] * len(bare))
    for rows in (bare, alike):
        caplog.clear()
        assert build_pairs(rows, TigerFGDataArguments(), image_size=32, seed=0, hard_texts=True)[3]["hard_texts"] == []
        assert "mismatched texts are left out" in caplog.text
    pairs = build_pairs(catalog, TigerFGDataArguments(num_hard_texts=2), image_size=32, seed=0, hard_texts=True)
    assert len(pairs[3]["hard_texts"]) == 2


def test_close_views_are_made_if_a_loss_uses_them(catalog):
    """They need mosaics and a share, and the collator resizes them to their size."""
    settings = {"close_size": 24, "close_plain_share": 0.25, "close_jitter": 0.1}
    data = TigerFGDataArguments(mosaic_share=0.5, close_share=0.75, **settings)
    build = partial(build_pairs, catalog, image_size=32, seed=0)
    pairs = build(data, close_views=True)
    assert pairs.close_views.config == CloseViewConfig(share=0.75, plain_share=0.25, jitter=0.1, size=24)
    assert build_collator(None, pairs).close_size == 24
    for other, close_views in (
        (data, False),
        (replace(data, close_share=0.0), True),
        (replace(data, mosaic_share=0), True),
    ):
        pairs = build(other, close_views=close_views)
        assert pairs.close_views is None
        assert build_collator(None, pairs).close_size is None


@pytest.mark.parametrize(
    ("flag", "value", "own"),
    [
        ("image_size", 96, "48"),
        ("query_image_size", 64, "32"),
        ("resize_mode", "squash", "pad"),
        ("max_text_length", 99, "20"),
        ("tokenizer", "train", "its tokenizer"),
    ],
)
def test_a_checkpoint_brings_its_own_inputs(catalog, tmp_path, flag, value, own):
    told = {"image_size": 48, "query_image_size": 32, "max_text_length": 20}
    model, processor = build_model_and_processor(
        TigerFGModelArguments(model_config=MODEL, vocab_size=420, **told), catalog
    )
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    build_model_and_processor(TigerFGModelArguments(model=str(tmp_path), **told), catalog)
    with pytest.raises(ValueError, match=f"--{flag} {value}: --model brings its own, {own}"):
        build_model_and_processor(TigerFGModelArguments(model=str(tmp_path), **{flag: value}), catalog)


def test_encoders_of_a_tiger_fg(catalog, tmp_path):
    """`--vision`, `--text` and `--teacher` may name its folder, and use the encoders in it."""
    torch.manual_seed(0)
    source = tiny_model()
    source.save_pretrained(tmp_path / "joint")
    source.towers()[0].save_pretrained(tmp_path / "query")
    arguments = TigerFGModelArguments(
        vision=str(tmp_path / "query"), text=str(tmp_path / "joint"), tokenizer="train", vocab_size=420
    )
    model, _ = build_model_and_processor(arguments, catalog)
    for name in ("vision_model", "text_model"):
        expected = getattr(source, name).state_dict()
        for key, value in getattr(model, name).state_dict().items():
            assert torch.equal(value, expected[key]), key


def test_a_folder_without_the_encoders_weights_is_named(catalog, tmp_path):
    source = tiny_model()
    source.text_model.save_pretrained(tmp_path)
    source.vision_model.config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="lacks most weights of a ViTModel, such as"):
        backbone_from_pretrained(str(tmp_path), "vision_config", torch.float32, {})


def test_queries_are_made_at_the_size_they_are_prepared_at(catalog):
    rows = catalog.remove_columns("query_image")
    query = build_pairs(rows, TigerFGDataArguments(), image_size=48, query_size=32, seed=0)[3]["query"]
    assert max(query.size) == 32
    arguments = {"model_config": MODEL, "vocab_size": 420, "image_size": 48}
    for own in (None, 32):
        _, processor = build_model_and_processor(TigerFGModelArguments(**arguments, query_image_size=own), catalog)
        assert query_side(processor) == (own or 48)
        assert processor.image_processor.size == {"height": 48, "width": 48}


def test_evaluation_needs_a_catalog_of_its_own(catalog_folder):
    with pytest.raises(ValueError, match="--eval_data, a catalog without training data"):
        build_eval_catalog(TigerFGDataArguments(data=str(catalog_folder)), image_size=32)
    arguments = TigerFGDataArguments(data="mine", eval_data=str(catalog_folder), eval_limit=5)
    assert len(build_eval_catalog(arguments, image_size=32)) == 5
