"""A catalog for all training tests, drawn once."""

import pytest

from tiger_fg_hf import drawn_catalog


@pytest.fixture(scope="session")
def catalog_folder(tmp_path_factory):
    """24 products with 2 views each, as a folder that `--data` reads."""
    folder = tmp_path_factory.mktemp("catalog") / "train"
    drawn_catalog(num_products=24, views=2, layout="clean", size=48).save_to_disk(folder)
    return folder
