"""Queries of a catalog: real where they exist, synthesized for the other rows."""

import datasets
import numpy as np
import pytest
from PIL import Image

from tiger_fg_hf import drawn_catalog, load_catalog
from tiger_fg_hf.catalog.records import CatalogRecords, has_every_query
from tiger_fg_hf.data.boxes import crop_to_box
from tiger_fg_hf.data.catalog_photos import CatalogPhotos
from tiger_fg_hf.data.catalog_queries import synthesize_queries
from tiger_fg_hf.data.query_synthesis import QuerySynthesisConfig, QuerySynthesizer
from tiger_fg_hf.models.image_loading_tiger_fg import load_rgb_image


@pytest.fixture(scope="module")
def catalogs():
    """Four products: with a real query each, with some, and with none."""
    drawn = drawn_catalog(num_products=4, views=1, layout="clean", size=48)
    encoded = drawn.cast_column("query_image", datasets.Image(decode=False))["query_image"]
    some = [image if number % 2 else None for number, image in enumerate(encoded)]
    some = drawn.remove_columns("query_image").add_column("query_image", some, feature=datasets.Image())
    return {
        "all": load_catalog(drawn),
        "some": load_catalog(some),
        "none": load_catalog(drawn.remove_columns("query_image")),
    }


def test_has_every_query(catalogs):
    assert {name: has_every_query(catalog) for name, catalog in catalogs.items()} == {
        "all": True,
        "some": False,
        "none": False,
    }


def test_real_queries_are_kept_and_the_others_synthesised(catalogs):
    synthesizer = QuerySynthesizer(QuerySynthesisConfig(size=32))
    found = {name: synthesize_queries(catalog, synthesizer, seed=0) for name, catalog in catalogs.items()}

    def pixels(name, row):
        return np.asarray(load_rgb_image(found[name][row]["query_image"]))

    for row in range(4):
        expected = "all" if row % 2 else "none"
        assert np.array_equal(pixels("some", row), pixels(expected, row))
        assert found["some"][row]["item_id"] == catalogs["all"]["item_id"][row]


def test_a_row_without_query_is_shown_by_its_listing(catalogs):
    photos = CatalogPhotos(catalogs["some"], "query_image")
    for row in range(4):
        record = CatalogRecords(catalogs["all"])[row]
        listing = crop_to_box(load_rgb_image(record["image"]), record["box"])
        expected = load_rgb_image(record["query_image"]) if row % 2 else listing
        assert np.array_equal(np.asarray(photos[row]), np.asarray(expected))
        assert isinstance(photos[row], Image.Image)
