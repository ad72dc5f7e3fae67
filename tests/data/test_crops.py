"""Crops of listing photos."""

import pytest
from PIL import Image

from tiger_fg_hf import load_catalog
from tiger_fg_hf.data.crops import CatalogPhotos, crop_to_box
from tiger_fg_hf.data.drawn import drawn_catalog


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
