"""Photos of a catalog, cropped to their products."""

import numpy as np
import pytest
from datasets import Dataset
from PIL import Image, ImageDraw

from tiger_fg_hf import load_catalog
from tiger_fg_hf.data.boxes import crop_to_box
from tiger_fg_hf.data.catalog_photos import CatalogPhotos
from tiger_fg_hf.data.matte import object_matte
from tiger_fg_hf.data.mosaic import MosaicComposer, MosaicConfig, Product
from tiger_fg_hf.synthetic.drawn import drawn_catalog


@pytest.mark.parametrize(
    ("box", "size"),
    [([2.5, 1.0, 7.2, 9.0], (6, 8)), ([-5, 2, 30, 12], (20, 8)), (None, (20, 10)), ([25, 2, 30, 8], (20, 10))],
)
def test_boxes_are_rounded_outwards_and_clipped(box, size):
    assert crop_to_box(Image.new("RGB", (20, 10)), box).size == size


def test_photos_of_a_catalog_are_listings_cropped_and_queries_whole():
    catalog = load_catalog(drawn_catalog(num_products=2, size=40, layout="clutter"))
    x0, y0, x1, y1 = catalog[1]["box"]
    assert CatalogPhotos(catalog)[1].size == (x1 - x0, y1 - y0)
    assert CatalogPhotos(catalog, "query_image")[1].size == (40, 40)
    assert len(CatalogPhotos(catalog)) == 2


def test_without_a_box_a_photo_shows_what_a_mosaic_shows_of_it():
    """The teacher's crop must show the student's region; otherwise distillation would compare different views."""
    photo = Image.new("RGB", (120, 90), (255, 255, 255))
    drawing = ImageDraw.Draw(photo)
    drawing.rectangle((20, 30, 59, 69), fill=(160, 30, 30))
    drawing.rectangle((20, 30, 39, 49), fill=(20, 60, 140))
    scene = Image.effect_noise((120, 90), 80).convert("RGB")
    rows = [{"item_id": str(row), "title": "a box", "image": image} for row, image in enumerate([photo, scene])]
    photos = CatalogPhotos(load_catalog(Dataset.from_list(rows)))
    shown = photos[0]
    assert shown.size == pytest.approx((40, 40), abs=2)
    assert photos[1].size == scene.size

    plain = MosaicConfig(
        size=64, flip_probability=0, rotation_probability=0, shadow_probability=0, relight_probability=0
    )
    product = Product(np.asarray(photo), object_matte(photo))
    mosaic = MosaicComposer(plain)([product], np.random.default_rng(0))
    seen = crop_to_box(mosaic.image, mosaic.boxes[0])
    difference = np.abs(np.asarray(seen, int) - np.asarray(shown.resize(seen.size, Image.Resampling.BICUBIC), int))
    assert difference.mean() < 8
    whole = photo.resize(seen.size, Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(seen, int) - np.asarray(whole, int)).mean() > 40
