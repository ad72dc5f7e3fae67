"""Fixed digests: trained models and published figures depend on what a seed draws.

The pixels are the same with Pillow 12.3 and 13.0; JPEG compression, which may differ, is left out.
"""

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image, ImageDraw

from tiger_fg_hf import load_catalog
from tiger_fg_hf.data.close_views import CloseViewConfig, CloseViewMaker
from tiger_fg_hf.data.listings import ListingConfig, ListingSynthesizer
from tiger_fg_hf.data.matte import object_matte
from tiger_fg_hf.data.mosaic import MosaicComposer, MosaicConfig, Product
from tiger_fg_hf.data.query_synthesis import QuerySynthesisConfig, QuerySynthesizer
from tiger_fg_hf.data.tgq_former_pairs import TGQFormerPairDataset
from tiger_fg_hf.data.tiger_fg_pairs import ItemAugmentation, TigerFGPairDataset

BOX = [20, 15, 71, 61]
LISTINGS = ListingConfig(size=80, jpeg_probability=0.0)
QUERIES = QuerySynthesisConfig(size=48, jpeg_probability=0.0)


def photo(shift: int = 0) -> Image.Image:
    image = Image.new("RGB", (90, 80), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle(BOX, fill=(40 + 30 * shift, 60, 160))
    draw.rectangle((30, 25, 50 + shift, 45), fill=(200, 180, 20 * shift))
    return image


def text(row: int) -> dict:
    return {
        "title": f"acme ribbed mug number {row} with a handle",
        "category": ("mug", "cup")[row % 2],
        "attributes": {"color": "teal", "terms": "cup, tea mug, coffee mug, gift, kitchen"},
    }


@pytest.fixture(scope="module")
def catalog():
    rows = []
    for row in range(6):
        buffer = io.BytesIO()
        photo(row).save(buffer, "PNG")
        image = {"bytes": buffer.getvalue(), "path": None}
        rows.append({"item_id": f"id{row}", "image": image, "box": BOX, **text(row)})
    return load_catalog(Dataset.from_list(rows))


def digest(*parts) -> str:
    state = hashlib.sha256()
    for part in parts:
        state.update(part.tobytes() if hasattr(part, "tobytes") else repr(part).encode())
    return state.hexdigest()[:12]


def pair_digest(pairs: list[dict]) -> str:
    parts: list = []
    for pair in pairs:
        for name in sorted(pair):
            parts += pair[name] if isinstance(pair[name], list | tuple) else [pair[name]]
    return digest(*parts)


@pytest.mark.parametrize(
    ("preset", "expected"), [("easy", "dd03a1f5495c"), ("default", "0757f341b80d"), ("hard", "b61808817ca2")]
)
def test_queries(preset, expected):
    config = QuerySynthesisConfig.preset(preset, size=48, jpeg_probability=0.0)
    rng = np.random.default_rng(3)
    queries = [QuerySynthesizer(config)(photo(row), box=BOX, rng=rng) for row in range(6)]
    queries += [QuerySynthesizer(config, clutter=[photo(9)]).augment_photo(photo(4), rng)]
    assert digest(*queries, int(rng.integers(2**40))) == expected


@pytest.mark.parametrize(("overlay_probability", "expected"), [(0.0, "4a8c5b62af1f"), (1.0, "73146b167216")])
def test_mosaics(overlay_probability, expected):
    config = MosaicConfig(size=96, overlay_probability=overlay_probability, overlay_level=3, max_overlap=0.3)
    rng = np.random.default_rng(4)
    parts: list = []
    for count in range(1, 5):
        photos = [photo(row) for row in range(count)]
        mosaic = MosaicComposer(config)([Product(np.asarray(each), object_matte(each)) for each in photos], rng)
        parts += [mosaic.image, mosaic.boxes, mosaic.flipped]
    assert digest(*parts, int(rng.integers(2**40))) == expected


@pytest.mark.parametrize(
    ("level", "expected"), [("clean", "6fa28af7cea6"), ("light", "1f69be30de24"), ("heavy", "c57cd140097b")]
)
def test_listings(level, expected):
    parts: list = []
    for synthesizer in (ListingSynthesizer(LISTINGS), ListingSynthesizer(LISTINGS, clutter=[photo(9)])):
        for row in range(4):
            listing = synthesizer(photo(row), text(row), level=level, rng=np.random.default_rng(row), box=BOX)
            parts += [listing.image, listing.text, listing.alpha, listing.elements]
    assert digest(*parts) == expected


@pytest.mark.parametrize(
    ("close_views", "expected"),
    [(None, "ca496c14642c"), (CloseViewMaker(CloseViewConfig(plain_share=0.0)), "8efa4505c1b6")],
    ids=["plain", "close views"],
)
def test_tiger_fg_pairs(catalog, close_views, expected):
    dataset = TigerFGPairDataset(
        catalog,
        QuerySynthesizer(QUERIES),
        seed=7,
        item_augmentation=ItemAugmentation(),
        mosaic=MosaicComposer(MosaicConfig(size=64)),
        num_hard_texts=2,
        close_views=close_views,
    )
    pairs = dataset.__getitems__([0, (1, 2), (1, 3, (3, 0)), (1, 0, (3, 0))])
    close = [pair.pop("close") for pair in pairs]
    assert [pair.pop("close_is_crop") for pair in pairs].count(True) == (2 if close_views else 0)
    assert pair_digest(pairs) == "c026549096fa"
    assert digest(*close) == expected


def test_tgq_former_pairs(catalog):
    dataset = TGQFormerPairDataset(catalog, ListingSynthesizer(replace(LISTINGS, size=64)), seed=7, wrong_titles=0.5)
    assert pair_digest([dataset[key] for key in (0, (1, 2), (1, 3, (3, 0)))]) == "68ee8abb25b2"
