"""Close views: what they show, and that all other data stay the same."""

import io
from functools import partial

import datasets
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tiny_training import MODEL

from tiger_fg_hf.catalog.source import load_catalog
from tiger_fg_hf.data.close_views import CloseViewConfig, CloseViewMaker
from tiger_fg_hf.data.mosaic import MosaicComposer, MosaicConfig
from tiger_fg_hf.data.query_synthesis import QuerySynthesisConfig, QuerySynthesizer
from tiger_fg_hf.data.tiger_fg_collator import TigerFGCollator
from tiger_fg_hf.data.tiger_fg_pairs import ItemAugmentation, TigerFGPairDataset
from tiger_fg_hf.training.recipes.tiger_fg.arguments import TigerFGModelArguments
from tiger_fg_hf.training.recipes.tiger_fg.build import build_model_and_processor

GROUP, OTHERS = (1, 5, 2), (4, 0)
KEYS = [(0, 1, GROUP), (0, 6), (0, 2, GROUP), (1, 2, GROUP), (0, 4, OTHERS), (0, 0, OTHERS), 3]
GROUPED = [isinstance(key, tuple) and len(key) == 3 for key in KEYS]
PLAIN, CROPS = CloseViewConfig(plain_share=1.0), CloseViewConfig(plain_share=0.0)


def photo(row: int) -> Image.Image:
    image = Image.new("RGB", (72, 60), "white")
    ImageDraw.Draw(image).rectangle((20, 15, 50, 45), fill=(10 + 23 * row, 60, 200 - 20 * row))
    return image


def png(image: Image.Image) -> dict:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


@pytest.fixture(scope="module")
def catalog():
    rows = range(7)
    return load_catalog(
        datasets.Dataset.from_dict(
            {
                "item_id": [f"id{row}" for row in rows],
                "image": [png(photo(row)) for row in rows],
                "title": [f"thing {row}" for row in rows],
                "category": list("abcdefg"),
                "box": [[20, 15, 51, 46]] * 7,
            }
        )
    )


@pytest.fixture
def pairs(catalog):
    """`pairs(config)` makes the pairs with close views, or without any for None."""

    def build(config=None, seed=0, **options) -> TigerFGPairDataset:
        return TigerFGPairDataset(
            catalog,
            QuerySynthesizer(QuerySynthesisConfig(size=32)),
            seed=seed,
            item_augmentation=ItemAugmentation(),
            num_hard_texts=2,
            close_views=None if config is None else CloseViewMaker(config),
            **{"mosaic": MosaicComposer(MosaicConfig(size=64)), **options},
        )

    return build


def content(pair: dict) -> dict:
    """A pair with bytes in place of pictures."""
    return {name: value.tobytes() if isinstance(value, Image.Image) else value for name, value in pair.items()}


def contents(found: list[dict]) -> list[dict]:
    return [content(pair) for pair in found]


def crops(count: int, box=(30, 40, 50, 70), size=(96, 96), **config) -> list[Image.Image]:
    """Crops of a mosaic whose product is red."""
    mosaic = Image.new("RGB", size, "white")
    x0, y0, x1, y1 = box
    ImageDraw.Draw(mosaic).rectangle((x0, y0, x1 - 1, y1 - 1), fill="red")
    maker = CloseViewMaker(CloseViewConfig(plain_share=0.0, **config))
    return [maker(photo(0), mosaic, box, np.random.default_rng(seed)) for seed in range(count)]


def test_a_crop_shows_the_box_moved_within_bounds():
    sizes = set()
    for crop in crops(60, jitter=0.2, margin=0.1):
        # Sides of 20 and 30 pixels move inward by 2 and 3 at most, and outward by 6 and 9; borders are rounded.
        red = (np.asarray(crop)[..., 1] == 0).sum(axis=(0, 1))
        assert red >= (20 - 2 * 2) * (30 - 2 * 3)
        assert 16 <= crop.width <= 20 + 2 * 6 + 2
        assert 24 <= crop.height <= 30 + 2 * 9 + 2
        sizes.add(crop.size)
    assert len(sizes) > 20


def test_without_jitter_a_crop_is_the_box_with_its_margin():
    assert {crop.size for crop in crops(5, jitter=0.0, margin=0.0)} == {(20, 30)}
    assert {crop.size for crop in crops(5, jitter=0.0, margin=0.5)} == {(40, 60)}
    assert {crop.size for crop in crops(5, box=(0, 0, 20, 30), jitter=0.0, margin=0.5)} == {(30, 45)}


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (95, 95, 96, 96), (40, 0, 41, 96), (0, 0, 96, 96)])
def test_crops_of_extreme_boxes_are_neither_empty_nor_the_whole_mosaic(box):
    width, height = box[2] - box[0], box[3] - box[1]
    for crop in crops(40, box=box, jitter=0.49, margin=0.0):
        assert 1 <= crop.width <= 2 * width + 2
        assert 1 <= crop.height <= 2 * height + 2


def test_shares_are_kept_and_draw_the_same_numbers():
    """A pair has the same crop at any share, as long as it has one."""
    box, mosaic = [10, 10, 30, 30], Image.effect_noise((64, 64), 50).convert("RGB")

    def made(**config):
        maker = CloseViewMaker(CloseViewConfig(**config))
        return [maker(photo(0), mosaic, box, np.random.default_rng(seed)) for seed in range(400)]

    def share(found, wanted):
        return sum(wanted(one) for one in found) / len(found)

    some = made(share=0.25, plain_share=0.75)
    assert share(some, lambda one: one is not None) == pytest.approx(0.25, abs=0.06)
    shown = [one for one in some if one is not None]
    assert share(shown, lambda one: one.size == (72, 60)) == pytest.approx(0.75, abs=0.12)
    everything, cropped = made(plain_share=0.75), made(plain_share=0.0)
    for one, other, crop in zip(some, everything, cropped, strict=True):
        assert one is None or one.tobytes() == other.tobytes()
        assert other.size == (72, 60) or other.tobytes() == crop.tobytes()
    assert not any(made(share=0.0))


@pytest.mark.parametrize(
    "unusable",
    [{"share": 1.5}, {"plain_share": -0.1}, {"jitter": 0.5}, {"jitter": -0.1}, {"margin": -1.0}, {"size": 8}],
)
def test_settings_out_of_bounds_are_refused(unusable):
    (name,) = unusable
    with pytest.raises(ValueError, match=f"^{name}: expected a number in "):
        CloseViewConfig(**unusable)


@pytest.mark.parametrize("config", [CloseViewConfig(), PLAIN, CROPS, CloseViewConfig(share=0.5, jitter=0.3)])
def test_all_other_data_stay_the_same(pairs, config):
    """Queries, mosaics, boxes, texts and the augmentation of listing photos."""
    plain, close = contents(pairs().__getitems__(KEYS)), contents(pairs(config).__getitems__(KEYS))
    assert [(pair.pop("close"), pair.pop("close_is_crop")) for pair in plain] == [(None, False)] * len(KEYS)
    for pair in close:
        del pair["close"], pair["close_is_crop"]
    assert close == plain


def test_only_pairs_in_mosaics_have_close_views(pairs):
    for config in (CloseViewConfig(), PLAIN, CROPS):
        found = pairs(config).__getitems__(KEYS)
        assert [pair["close"] is not None for pair in found] == GROUPED
        crops = [grouped and config.plain_share < 1 for grouped in GROUPED]
        assert config.plain_share == 0.5 or [pair["close_is_crop"] for pair in found] == crops
    assert not any(pair["close"] for pair in pairs(CloseViewConfig(share=0.0)).__getitems__(KEYS))


def test_close_views_show_the_item_of_the_pair(pairs):
    for pair in pairs(PLAIN).__getitems__(KEYS):
        assert pair["close"] is None or pair["close"].tobytes() == photo(pair["row"]).tobytes()
    for pair in pairs(CROPS).__getitems__(KEYS):
        if pair["close"] is not None:
            x0, y0, x1, y1 = pair["box"]
            assert pair["close"].width == pytest.approx(1.12 * (x1 - x0), abs=0.3 * (x1 - x0) + 2)
            assert pair["close"].height == pytest.approx(1.12 * (y1 - y0), abs=0.3 * (y1 - y0) + 2)
            wanted = np.array([10 + 23 * pair["row"], 60, 200 - 20 * pair["row"]])
            distance = np.abs(np.asarray(pair["close"]).astype(int) - wanted).max(axis=-1)
            assert (distance < 50).mean() > 0.4


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_close_views_do_not_depend_on_workers_order_or_batches(pairs):
    config = CloseViewConfig(share=0.8)
    expected = contents(pairs(config).__getitems__(KEYS))
    for dataset in (pairs(config), pairs(config, cache_decoded=True)):
        assert contents([dataset[key] for key in KEYS]) == expected
        assert contents(dataset.__getitems__(KEYS[::-1])) == expected[::-1]
        for workers in (0, 2):
            loader = torch.utils.data.DataLoader(
                dataset, batch_size=2, sampler=KEYS, num_workers=workers, collate_fn=contents
            )
            assert [pair for batch in loader for pair in batch] == expected


def test_seeds_and_epochs_give_other_close_views(pairs):
    key, config = (0, 1, GROUP), CROPS
    sizes = [pairs(config, seed=seed)[epoch, *key[1:]]["close"].tobytes() for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(sizes)) == 4


def test_close_views_need_mosaics(pairs):
    with pytest.raises(ValueError, match="close_views: only pairs in mosaics have them, but mosaic is None"):
        pairs(CloseViewConfig(), mosaic=None)


@pytest.fixture(scope="module")
def processor(catalog):
    arguments = TigerFGModelArguments(model_config=MODEL, vocab_size=420, image_size=48, max_text_length=20)
    return build_model_and_processor(arguments, catalog)[1]


def test_batches_hold_each_close_view_and_its_place(pairs, processor):
    found = pairs(CloseViewConfig()).__getitems__(KEYS)
    batch = TigerFGCollator(processor, close_size=24)(found)
    places = batch["close_index"]
    assert places.dtype == torch.int64
    assert places.tolist() == [0, -1, 1, 2, 3, 4, -1]
    assert batch["close_pixel_values"].shape == (5, 3, 24, 24)
    resize = partial(processor.image_processor, size={"height": 24, "width": 24}, return_tensors="pt")
    for pair, place in zip(found, places.tolist(), strict=True):
        if place >= 0:
            assert torch.equal(batch["close_pixel_values"][place], resize([pair["close"]])["pixel_values"][0])
    assert batch["close_is_crop"].tolist() == [pair["close_is_crop"] for pair in found]
    plain = TigerFGCollator(processor)(found)
    assert batch.keys() - plain.keys() == {"close_pixel_values", "close_index", "close_is_crop"}
    for name, value in plain.items():
        assert torch.equal(batch[name], value), name


def test_batches_without_a_close_view_have_the_same_columns(pairs, processor):
    """Otherwise, processes would not agree on the losses of a step."""
    batch = TigerFGCollator(processor, close_size=24)(pairs(CloseViewConfig()).__getitems__([0, 3]))
    assert batch["close_index"].tolist() == [-1, -1]
    assert batch["close_pixel_values"].shape == (0, 3, 24, 24)
    assert batch["close_pixel_values"].dtype == batch["pixel_values"].dtype
