import io
import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from PIL import Image

from tiger_fg_hf.catalog.columns import parse_columns
from tiger_fg_hf.catalog.fingerprint import catalog_fingerprint
from tiger_fg_hf.catalog.pairing import pair_queries
from tiger_fg_hf.catalog.record import to_record
from tiger_fg_hf.catalog.source import load_catalog


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def png(color="red", size=(8, 6)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def rows(**columns) -> datasets.Dataset:
    data = {"item_id": ["a", "b"], "image": [{"bytes": png(), "path": None}, {"bytes": png("blue"), "path": None}]}
    dataset = datasets.Dataset.from_dict({**data, **columns})
    return dataset.cast_column("image", datasets.Image()) if "image" in dataset.column_names else dataset


def records(catalog):
    return [to_record(row) for row in catalog]


def test_minimal_catalog_has_empty_text_and_undecoded_images():
    catalog = load_catalog(rows())
    assert catalog.column_names == ["item_id", "image"]
    record = to_record(catalog[0])
    assert record["image"]["bytes"] == png()
    assert {**record, "image": None} == {
        "item_id": "a",
        "image": None,
        "title": "",
        "category": None,
        "attributes": None,
        "box": None,
        "query_image": None,
    }


@pytest.mark.parametrize("streaming", [False, True])
def test_mapping_keeps_the_schema_and_drops_the_rest(streaming):
    source = rows(
        name=["Shirt", None],
        title=["not this", "nor this"],
        category=["tops", ""],
        color=["red", None],
        keywords=[["soft", "", "warm"], []],
        price=[3, 4],
        box=[[1, 2, 5, 6], None],
    )
    columns = parse_columns("title=name,attributes=color+keywords+category+price")
    catalog = load_catalog(source, columns=columns, streaming=streaming)
    assert isinstance(catalog, datasets.IterableDataset) == streaming
    first, second = records(catalog)
    assert (first["title"], first["category"], first["box"]) == ("Shirt", "tops", [1, 2, 5, 6])
    assert first["attributes"] == {"color": "red", "keywords": "soft, warm", "category": "tops", "price": "3"}
    assert (second["title"], second["category"], second["box"]) == ("", None, None)
    assert second["attributes"] == {"price": "4"}
    again = load_catalog(catalog)
    assert sorted(again.column_names) == sorted(catalog.column_names)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([{"color": "red", "size": None}, {"color": None, "size": 4}], [{"color": "red"}, {"size": "4"}]),
        (['{"color": "red"}', ""], [{"color": "red"}, None]),
        (["made of wool", None], [{"details": "made of wool"}, None]),
    ],
)
def test_attributes_from_one_column(column, expected):
    catalog = load_catalog(rows(details=column), columns={"attributes": "details"})
    assert [record["attributes"] for record in records(catalog)] == expected


def test_columns_may_swap_names():
    catalog = load_catalog(
        rows(title=["t", "t"], category=["c", "c"]), columns={"title": "category", "category": "title"}
    )
    assert (to_record(catalog[0])["title"], to_record(catalog[0])["category"]) == ("c", "t")


@pytest.mark.parametrize("streaming", [False, True])
def test_class_labels_become_names_and_numbers_text(streaming):
    source = rows(item_id=[7, 8], label=[1, 0]).cast_column("label", datasets.ClassLabel(names=["hat", "shoe"]))
    found = records(load_catalog(source, columns={"category": "label"}, streaming=streaming))
    assert [(record["item_id"], record["category"]) for record in found] == [("7", "shoe"), ("8", "hat")]


@pytest.mark.parametrize(
    ("drop", "columns", "message"),
    [
        ("item_id", None, "no column 'item_id', found image"),
        ("image", None, "no column 'image' or 'query_image', found item_id"),
        (None, {"title": "name"}, "no column 'name' for 'title', found item_id, image"),
        (None, {"attributes": ["color"]}, "no column 'color' for 'attributes.color'"),
        (None, {"color": "x"}, "'color' is not in the schema"),
    ],
)
def test_missing_columns(drop, columns, message):
    source = rows().remove_columns(drop) if drop else rows()
    with pytest.raises(ValueError, match=message):
        load_catalog(source, columns=columns)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_text_files_with_relative_image_paths(tmp_path, suffix, streaming):
    folder = tmp_path / "shop"
    (folder / "photos").mkdir(parents=True)
    (folder / "photos/a.png").write_bytes(png())
    if suffix == "jsonl":
        line = {"item_id": "007", "image": "photos/a.png", "box": [0, 0, 4, 4]}
        (folder / "items.jsonl").write_text(json.dumps(line) + "\n")
    else:
        (folder / "items.csv").write_text('item_id,image,box\n007,photos/a.png,"[0, 0, 4, 4]"\n')
    (record,) = records(load_catalog(folder / f"items.{suffix}", streaming=streaming))
    assert (record["item_id"], record["box"]) == ("007", [0, 0, 4, 4])
    assert record["image"] == {"bytes": None, "path": str(folder / "photos/a.png")}


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("streaming", [False, True])
def test_csv_values_stay_text(tmp_path, streaming, suffix):
    """Whatever they look like, and also where a column changes its look after the first rows that are read."""
    separator = "\t" if suffix == "tsv" else ","
    lines = [["item_id", "image", "title", "size"], ["007", "a.png", "NA", "4"], ["1e5", "b.png", "1984", ""]]
    lines += [[str(i), "c.png", "x", "4"] for i in range(10_100)] + [["last", "d.png", "null", "XL"]]
    path = tmp_path / f"items.{suffix}"
    path.write_text("".join(separator.join(line) + "\n" for line in lines))
    found = records(load_catalog(path, columns={"attributes": "size"}, streaming=streaming))
    assert [(record["item_id"], record["title"]) for record in found[:2]] == [("007", "NA"), ("1e5", "1984")]
    assert [record["attributes"] for record in found[:2]] == [{"size": "4"}, None]
    assert (found[-1]["title"], found[-1]["attributes"]) == ("null", {"size": "XL"})


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("kind", ["csv", "tsv", "metadata"])
def test_csv_files_in_folders_are_text(tmp_path, kind, streaming):
    folder = tmp_path / "shop"
    folder.mkdir()
    for name in ("a.png", "b.png") if kind == "metadata" else ():  # pictures make it an image folder
        (folder / name).write_bytes(png())
    separator = "\t" if kind == "tsv" else ","
    name = "metadata.csv" if kind == "metadata" else f"items.{kind}"
    image = "file_name" if kind == "metadata" else "image"
    lines = [["item_id", image, "title", "size"], ["NA", "a.png", "007", "4.50"], ["1e5", "b.png", "1984", ""]]
    (folder / name).write_text("".join(separator.join(line) + "\n" for line in lines))
    first, second = records(load_catalog(folder, columns="attributes=size", streaming=streaming))
    assert (first["item_id"], first["title"], first["attributes"]) == ("NA", "007", {"size": "4.50"})
    assert (second["item_id"], second["title"], second["attributes"]) == ("1e5", "1984", None)
    assert first["image"] == {"bytes": None, "path": str(folder / "a.png")}


def test_image_folders_with_splits(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "photos").mkdir(parents=True)
        (tmp_path / split / "photos" / "a.png").write_bytes(png())
        text = f"photo_file_name,item_id,title\nphotos/a.png,007,{split}\n"
        (tmp_path / split / "metadata.csv").write_text(text)
    with pytest.raises(ValueError, match=r"expected a split out of (train, test|test, train), found None"):
        load_catalog(tmp_path, columns="image=photo")
    for split in ("train", "test"):
        (record,) = records(load_catalog(tmp_path, split=split, columns="image=photo"))
        assert (record["item_id"], record["title"]) == ("007", split)
        assert record["image"]["path"] == str(tmp_path / split / "photos" / "a.png")


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("in_folder", [False, True])
@pytest.mark.parametrize("line", [2, 3])
def test_rows_with_too_many_fields_are_named(tmp_path, line, in_folder, streaming):
    """The reader of `datasets` drops the fields beyond the header if the first row has them."""
    lines = ["item_id,image,title", "a,a.png,mug", "b,b.png,lamp"]
    lines[line - 1] += ",for tea"
    (tmp_path / "items.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=rf"line {line} of .*items\.csv has 4 fields, but the header has 3"):
        load_catalog(tmp_path if in_folder else tmp_path / "items.csv", streaming=streaming)


def test_short_rows_long_fields_and_trailing_separators_are_read(tmp_path):
    lines = ["item_id,image,title", f'a,a.png,"{"x" * 200_000}, y",', "b,b.png,,"]
    (tmp_path / "items.csv").write_text("\n".join(lines) + "\n")
    first, second = records(load_catalog(tmp_path / "items.csv"))
    assert (len(first["title"]), second["title"]) == (200_003, "")
    (tmp_path / "short.csv").write_text("item_id,image,title\na,a.png\n")
    assert [record["title"] for record in records(load_catalog(tmp_path / "short.csv"))] == [""]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("image", [list(png()), ["a.png", "b.png"], 7])
def test_numbers_and_lists_are_no_pictures(image, streaming):
    source = datasets.Dataset.from_dict({"item_id": ["a"], "photo": [image]})
    with pytest.raises(ValueError, match=r"column 'photo' for 'image' holds .* expected images, paths, bytes, or arr"):
        load_catalog(source, columns={"image": "photo"}, streaming=streaming)


def test_arrays_are_pictures():
    source = datasets.Dataset.from_dict({"item_id": ["a"], "image": [[[[255, 0, 0], [255, 0, 0]]]]})
    picture = Image.open(io.BytesIO(load_catalog(source)[0]["image"]["bytes"]))
    assert (picture.size, picture.getpixel((0, 0))) == ((2, 1), (255, 0, 0))


def test_patterns_of_files(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.csv").write_text(f"item_id,image\n{name},{name}.png\n")
    assert load_catalog(tmp_path / "*.csv")["item_id"][:] == ["a", "b"]
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_catalog(tmp_path / "*.tsv")


@pytest.mark.parametrize("streaming", [False, True])
def test_image_columns_of_plain_bytes(streaming):
    source = datasets.Dataset.from_dict({"item_id": ["a"], "photo": [png()]}).cast_column(
        "photo", datasets.Value("binary")
    )
    catalog = load_catalog(source, columns={"image": "photo"}, streaming=streaming)
    image = next(iter(catalog))["image"]
    assert (image if isinstance(image, bytes) else image["bytes"]) == png()
    assert len(catalog_fingerprint(catalog)) == 32


def test_parquet_saved_folder_and_image_folder(tmp_path):
    rows(title=["x", "y"]).to_parquet(tmp_path / "items.parquet")
    rows(title=["x", "y"]).save_to_disk(tmp_path / "saved")
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(png())
    (folder / "metadata.csv").write_text("file_name,item_id,title\na.png,a,x\n")
    for source in (tmp_path / "items.parquet", str(tmp_path / "saved"), folder):
        record = to_record(load_catalog(source)[0])
        assert (record["item_id"], record["title"]) == ("a", "x"), source
        assert set(record["image"]) == {"bytes", "path"}


def test_split_must_be_named_among_several(tmp_path):
    datasets.DatasetDict(train=rows(), test=rows()).save_to_disk(tmp_path / "saved")
    with pytest.raises(ValueError, match="expected a split out of train, test, found None"):
        load_catalog(tmp_path / "saved")
    assert len(load_catalog(tmp_path / "saved", split="test")) == 2


@pytest.mark.parametrize("name", ["items.parquet", "items.jsonl", "items.csv"])
def test_damaged_files_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b'{"a":\x00"\nb,c,"d\n1\n')
    with pytest.raises(ValueError, match=rf"{name} cannot be read as"):
        load_catalog(tmp_path / name)


def test_missing_and_unknown_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"items\.parquet does not exist"):
        load_catalog(tmp_path / "items.parquet")
    (tmp_path / "items.xml").write_text("<items/>")
    with pytest.raises(ValueError, match="expected a folder or a file ending in"):
        load_catalog(tmp_path / "items.xml")


def test_fingerprint_is_of_the_content(tmp_path):
    catalog = load_catalog(rows(title=["x", "y"]))
    catalog.to_parquet(tmp_path / "items.parquet")
    moved = load_catalog(tmp_path / "items.parquet")
    assert catalog_fingerprint(moved) == catalog_fingerprint(catalog)
    assert catalog_fingerprint(load_catalog(rows(title=["x", "z"]))) != catalog_fingerprint(catalog)
    assert catalog_fingerprint(catalog.select([1, 0])) != catalog_fingerprint(catalog)
    assert catalog_fingerprint(load_catalog(catalog, streaming=True)) == catalog_fingerprint(
        load_catalog(tmp_path / "items.parquet", streaming=True)
    )
    code = (
        "import sys; from tiger_fg_hf.catalog.fingerprint import *; from tiger_fg_hf.catalog.source import *; "
        "print(catalog_fingerprint(load_catalog(sys.argv[1])))"
    )
    environment = {**os.environ, "HF_DATASETS_CACHE": str(tmp_path / "other"), "PYTHONHASHSEED": "5"}
    command = [sys.executable, "-c", code, str(tmp_path / "items.parquet")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == catalog_fingerprint(catalog)


def test_fingerprint_notices_image_files_of_another_size(tmp_path):
    prints = []
    for name, color, size in (("first", "red", 8), ("copy", "red", 8), ("other", "red", 40)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(png(color, (size, size)))
        os.utime(tmp_path / name / "a.png", ns=(1, len(prints)))
        prints.append(catalog_fingerprint(load_catalog(rows(image=[str(tmp_path / name / "a.png"), None]))))
    assert prints[0] == prints[1] != prints[2]


def test_columns_may_be_given_as_on_the_command_line():
    source = rows(name=["x", "y"], color=["red", "blue"])
    as_text = load_catalog(source, columns="title=name,attributes=color")
    assert records(as_text) == records(load_catalog(source, columns={"title": "name", "attributes": "color"}))
    assert records(as_text)[1]["title"] == "y"


def test_pair_queries_takes_listings_in_turn():
    items = load_catalog(rows(title=["first", "second"], item_id=["a", "a"]))
    photos = [{"bytes": png(color), "path": None} for color in ("green", "white", "black")]
    queries = load_catalog(datasets.Dataset.from_dict({"item_id": ["a"] * 3, "image": photos}))
    paired = pair_queries(queries, items)
    assert [to_record(row)["title"] for row in paired] == ["first", "second", "first"]
    assert [row["query_image"]["bytes"] for row in paired] == [photo["bytes"] for photo in photos]
    assert paired[0]["image"]["bytes"] == png()
    assert len(paired) == 3
    assert len(catalog_fingerprint(paired)) == 32
    some = paired.select(range(1, 3))
    assert [to_record(row) for row in some] == [to_record(paired[row]) for row in (1, 2)]


def test_pair_queries_names_missing_items():
    queries = load_catalog(rows(item_id=["b", "c"]))
    with pytest.raises(ValueError, match=r"1 item_id\(s\) have no listing in items: 'c'"):
        pair_queries(queries, load_catalog(rows()))


@pytest.mark.skipif("TIGER_FG_DATA" not in os.environ, reason="TIGER_FG_DATA does not name the folder of real data")
def test_real_catalogs():
    data = Path(os.environ["TIGER_FG_DATA"])
    abo = load_catalog(data / "abo/validation.parquet", columns=parse_columns("attributes=color+keywords"))
    assert all(record["title"] and record["category"] for record in records(abo))
    items = load_catalog(data / "grocery/items.parquet", columns={"attributes": "description"})
    paired = pair_queries(load_catalog(data / "grocery/train.parquet"), items)
    assert len(paired) == 2640
    assert to_record(paired[0])["attributes"]["description"]
