"""Image paths of a catalog that leave its folder, and what is no file."""

import os
import threading

import datasets
import pytest
from PIL import Image

from tiger_fg_hf.catalog.check import check_catalog
from tiger_fg_hf.catalog.image_files import file_identity
from tiger_fg_hf.catalog.source import load_catalog


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "shop"
    (folder / "photos").mkdir(parents=True)
    Image.new("RGB", (8, 6)).save(tmp_path / "secret.png")
    Image.new("RGB", (8, 6)).save(folder / "photos" / "mug.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "alias.png").symlink_to("photos/mug.png")
    return folder


def write(folder, path):
    (folder / "items.csv").write_text(f"item_id,image\na,photos/mug.png\nb,{path}\n")
    return folder / "items.csv"


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "path", ["../secret.png", "photos/../../secret.png", "{outside}", "link.png", "linked/secret.png"]
)
def test_paths_that_leave_the_folder_are_refused(folder, path, streaming):
    source = write(folder, path.format(outside=folder.parent / "secret.png"))
    with pytest.raises(ValueError, match=r"secret\.png|link\.png") as error:
        list(load_catalog(source, streaming=streaming))
    assert f"lies outside the catalog's folder '{folder}'" in str(error.value)
    catalog = load_catalog(source, streaming=streaming, allow_outside=True)
    assert [row["item_id"] for row in catalog] == ["a", "b"]


@pytest.mark.parametrize("path", ["photos/mug.png", "photos/../photos/mug.png", "alias.png", "{inside}"])
def test_paths_inside_the_folder_are_read(folder, path):
    catalog = load_catalog(write(folder, path.format(inside=folder / "photos" / "mug.png")))
    assert not check_catalog(catalog).faults


@pytest.mark.parametrize("streaming", [False, True])
def test_image_columns_of_a_parquet_file_are_checked(folder, streaming):
    rows = {"item_id": ["a"], "image": [{"bytes": None, "path": str(folder.parent / "secret.png")}]}
    features = datasets.Features({"item_id": datasets.Value("string"), "image": datasets.Image(decode=False)})
    datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / "items.parquet")
    with pytest.raises(ValueError, match="lies outside the catalog's folder"):
        list(load_catalog(folder / "items.parquet", streaming=streaming))
    assert len(list(load_catalog(folder / "items.parquet", streaming=streaming, allow_outside=True))) == 1


def test_a_catalog_at_a_url_is_refused():
    with pytest.raises(ValueError, match="it is a URL; download it first"):
        load_catalog("http://127.0.0.1:9/items.csv")


@pytest.mark.parametrize("hash_content", [False, True])
def test_a_pipe_is_not_read_to_identify_it(tmp_path, hash_content):
    os.mkfifo(tmp_path / "pipe.png")
    found = []
    thread = threading.Thread(
        target=lambda: found.append(file_identity(str(tmp_path / "pipe.png"), hash_content=hash_content)), daemon=True
    )
    thread.start()
    thread.join(timeout=10)
    assert found == [f"{tmp_path / 'pipe.png'} is not a file"]
