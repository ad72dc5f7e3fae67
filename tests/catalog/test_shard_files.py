"""Shards that changed on disk: each is named when loaded, and encoded again."""

import json
import shutil

import pytest
import torch
from encoding_stubs import StubModel, StubProcessor, make_dataset
from safetensors import safe_open
from safetensors.torch import save_file

from tiger_fg_hf.catalog.shards import encode_catalog, load_embeddings

SIZES = {"shard_size": 4, "batch_size": 4}


@pytest.fixture
def folder(tmp_path):
    """A catalog of three shards, with a row that was skipped."""
    encode_catalog(StubModel(), StubProcessor(), make_dataset((1,), count=12), tmp_path, on_error="skip", **SIZES)
    return tmp_path


def check_mended(folder, expected, damaged, caplog):
    """Check that loading names the damaged shards, and that another run encodes these alone."""
    with pytest.raises(ValueError, match=rf"{damaged[0]}.*; run encode_catalog again to encode it again"):
        load_embeddings(folder)
    caplog.clear()
    dataset = make_dataset((1,), count=12)
    report = encode_catalog(StubModel(), StubProcessor(), dataset, folder, on_error="skip", **SIZES)
    assert (report.encoded, report.resumed) == (
        11,
        11 - sum(3 if name.startswith("shard-00000") else 4 for name in damaged),
    )
    for name in damaged:
        assert any(name in record.message and "encoding it again" in record.message for record in caplog.records)
    check_equal(load_embeddings(folder), expected)


def check_equal(loaded, expected):
    assert torch.equal(loaded.embeds, expected.embeds)
    assert loaded.item_ids == expected.item_ids
    assert [(fault.row, fault.item_id) for fault in loaded.skipped] == [(1, "sku-1")]


def flip(path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_a_changed_embedding_is_noticed(folder, caplog):
    expected = load_embeddings(folder)
    path = folder / "shard-00001.safetensors"
    flip(path, 8 * (path.stat().st_size - 5))
    check_mended(folder, expected, [path.name], caplog)


def test_a_changed_id_is_noticed(folder, caplog):
    expected = load_embeddings(folder)
    path = folder / "shard-00001.safetensors"
    path.write_bytes(path.read_bytes().replace(b"sku-6", b"sku-9"))
    check_mended(folder, expected, [path.name], caplog)


def test_a_shard_in_the_place_of_another_is_noticed(folder, caplog):
    expected = load_embeddings(folder)
    shutil.copy(folder / "shard-00002.safetensors", folder / "shard-00001.safetensors")
    check_mended(folder, expected, ["shard-00001.safetensors"], caplog)


def test_a_shard_of_another_catalog_is_noticed(folder, tmp_path_factory, caplog):
    expected = load_embeddings(folder)
    other = tmp_path_factory.mktemp("other")
    encode_catalog(StubModel(seed=1), StubProcessor(), make_dataset(count=12), other, **SIZES)
    shutil.copy(other / "shard-00002.safetensors", folder / "shard-00002.safetensors")
    check_mended(folder, expected, ["shard-00002.safetensors"], caplog)


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_shards_that_were_cut_are_named(folder, size, caplog):
    expected = load_embeddings(folder)
    names = ["shard-00000.safetensors", "shard-00002.safetensors"]
    for name in names:
        (folder / name).write_bytes((folder / name).read_bytes()[:size])
    check_mended(folder, expected, names, caplog)


@pytest.mark.parametrize("name", ["shard-00000.safetensors", "manifest.json"])
def test_no_flipped_bit_changes_what_is_loaded(folder, name):
    """Each flip is named, or changes nothing (white space of the manifest)."""
    expected = load_embeddings(folder)
    path = folder / name
    content = path.read_bytes()
    messages = []
    for place in range(0, len(content), 2):
        flip(path, 8 * place + place % 8)
        try:
            check_equal(load_embeddings(folder), expected)
        except ValueError as error:
            messages.append(str(error))
        path.write_bytes(content)
    assert all(str(folder) in message for message in messages)
    assert len(messages) > 0.8 * len(content) / 2


def drop_checksums(folder) -> None:
    """Rewrite the shards as early versions wrote them."""
    for path in folder.glob("shard-*.safetensors"):
        with safe_open(path, framework="pt") as file:
            metadata, embeds = dict(file.metadata()), file.get_tensor("embeds").clone()
        del metadata["checksum"]
        save_file({"embeds": embeds}, path, metadata=metadata)


def test_folders_without_checksums_load_and_say_so(folder, caplog):
    expected = load_embeddings(folder)
    assert "checksum" not in caplog.text
    drop_checksums(folder)
    check_equal(load_embeddings(folder), expected)
    assert f"{folder}: 3 shards of an early version have no checksum" in caplog.text
    caplog.clear()
    (folder / "shard-00001.safetensors").unlink()
    dataset = make_dataset((1,), count=12)
    assert encode_catalog(StubModel(), StubProcessor(), dataset, folder, on_error="skip", **SIZES).resumed == 7
    assert "2 shards of an early version have no checksum" in caplog.text
    check_equal(load_embeddings(folder), expected)


def test_folders_without_checksums_must_have_all_rows(folder, caplog):
    drop_checksums(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "num_rows": 11}))
    with pytest.raises(ValueError, match=r"shard-00002.safetensors is damaged: it has 4 rows, expected 3"):
        load_embeddings(folder)
