"""Catalogs encoded to shards: complete, refused when anything differs, and finished after being killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import pytest
import torch
from encoding_stubs import ROWS, StubModel, StubProcessor, make_dataset, png
from safetensors import safe_open
from tiny import IMAGE, tiny_model
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from tiger_fg_hf import TigerFGImageProcessorPil, TigerFGItemModel, TigerFGProcessor, load_catalog
from tiger_fg_hf.catalog.encode import encode_items
from tiger_fg_hf.catalog.records import CatalogRecords
from tiger_fg_hf.catalog.shards import encode_catalog, load_embeddings


def test_catalog_equals_items_encoded_in_memory(tmp_path):
    model, dataset = StubModel(), make_dataset()
    report = encode_catalog(model, StubProcessor(), dataset, tmp_path, shard_size=10, batch_size=4)
    assert (report.encoded, report.resumed, report.skipped) == (ROWS, 0, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".lock", "manifest.json", "shard-00000.safetensors", "shard-00001.safetensors", "shard-00002.safetensors",
    ]  # fmt: skip
    loaded = load_embeddings(tmp_path)
    torch.testing.assert_close(loaded.embeds, encode_items(model, StubProcessor(), dataset))
    assert loaded.item_ids == dataset["item_id"][:]


def test_catalog_in_half_precision(tmp_path):
    dataset = make_dataset(count=5)
    encode_catalog(StubModel(), StubProcessor(), dataset, tmp_path, storage_dtype=torch.float16)
    embeds = load_embeddings(tmp_path).embeds
    assert embeds.dtype == torch.float16
    torch.testing.assert_close(embeds.float(), encode_items(StubModel(), StubProcessor(), dataset), atol=1e-3, rtol=0)


def test_finished_shards_are_not_encoded_again(tmp_path):
    dataset = make_dataset()
    encode_catalog(StubModel(), StubProcessor(), dataset, tmp_path, shard_size=10)
    whole = load_embeddings(tmp_path)
    (tmp_path / "shard-00001.safetensors").unlink()
    (tmp_path / "shard-00001.tmp").write_bytes(b"half a shard")
    with pytest.raises(ValueError, match=r"1 of 3 shards are missing \(shard-00001.safetensors first\)"):
        load_embeddings(tmp_path)
    model = StubModel().eval()
    report = encode_catalog(model, StubProcessor(), dataset, tmp_path, shard_size=10)
    assert sum(model.batch_sizes) == 10
    assert (report.encoded, report.resumed) == (ROWS, 13)
    again = load_embeddings(tmp_path)
    assert torch.equal(again.embeds, whole.embeds)
    assert again.item_ids == whole.item_ids


def test_a_killed_run_is_finished_by_the_next(tmp_path):
    make_dataset().save_to_disk(tmp_path / "data")
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[1] / "fixtures")!r})
import datasets
from encoding_stubs import StubModel, StubProcessor
from tiger_fg_hf.catalog.shards import encode_catalog
class Slow(StubModel):
    def forward(self, **inputs):
        time.sleep(0.3)
        return super().forward(**inputs)
Slow.__name__ = "StubModel"
data = datasets.load_from_disk({str(tmp_path / "data")!r})
encode_catalog(Slow(), StubProcessor(), data, {str(tmp_path / "out")!r}, shard_size=4, batch_size=2)
"""
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").glob("shard-*.safetensors")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()

    dataset = datasets.load_from_disk(tmp_path / "data")
    with pytest.raises(ValueError, match="shards are missing"):
        load_embeddings(tmp_path / "out")
    report = encode_catalog(StubModel(), StubProcessor(), dataset, tmp_path / "out", shard_size=4, batch_size=2)
    assert 0 < report.resumed < report.encoded == ROWS
    encode_catalog(StubModel(), StubProcessor(), dataset, tmp_path / "straight", shard_size=4, batch_size=2)
    resumed, straight = load_embeddings(tmp_path / "out"), load_embeddings(tmp_path / "straight")
    assert torch.equal(resumed.embeds, straight.embeds)
    assert resumed.item_ids == straight.item_ids == dataset["item_id"][:]


def test_resuming_with_anything_else_is_refused(tmp_path):
    dataset = make_dataset(count=6)
    encode_catalog(StubModel(), StubProcessor(), dataset, tmp_path, shard_size=3)
    for change, arguments in {
        "model": (StubModel(seed=1), StubProcessor(), dataset),
        "processor": (StubModel(), StubProcessor("item {title}"), dataset),
        "dataset": (StubModel(), StubProcessor(), dataset.select([5, 4, 3, 2, 1, 0])),
        "num_rows": (StubModel(), StubProcessor(), make_dataset(count=7)),
    }.items():
        with pytest.raises(ValueError, match=f"cannot resume .*{change} was "):
            encode_catalog(*arguments, tmp_path, shard_size=3)
    with pytest.raises(ValueError, match="shard_size was 3, is 4"):
        encode_catalog(StubModel(), StubProcessor(), dataset, tmp_path, shard_size=4)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"holds shards but no manifest.json"):
        encode_catalog(StubModel(), StubProcessor(), dataset, tmp_path, shard_size=3)


def test_bad_rows_stop_a_catalog_or_are_skipped_and_listed(tmp_path, caplog):
    dataset = make_dataset((0, 8, 9), count=12)
    with pytest.raises(ValueError, match=r"row 0 \(item_id 'sku-0'\)"):
        encode_catalog(StubModel(), StubProcessor(), dataset, tmp_path / "raise", shard_size=3)
    model = StubModel()
    report = encode_catalog(
        model, StubProcessor(), dataset, tmp_path / "skip", shard_size=2, batch_size=2, on_error="skip"
    )
    assert report.encoded == 9
    assert [(skip.row, skip.item_id) for skip in report.skipped] == [(0, "sku-0"), (8, "sku-8"), (9, "sku-9")]
    loaded = load_embeddings(tmp_path / "skip")
    assert loaded.item_ids == [f"sku-{i}" for i in range(12) if i not in (0, 8, 9)]
    assert loaded.skipped == report.skipped
    resumed = encode_catalog(model, StubProcessor(), dataset, tmp_path / "raise", shard_size=3, on_error="skip")
    assert [skip.row for skip in resumed.skipped] == [0, 8, 9]
    good = dataset.select([i for i in range(12) if i not in (0, 8, 9)])
    torch.testing.assert_close(loaded.embeds, encode_items(model, StubProcessor(), good))


def test_catalog_arguments_are_checked(tmp_path):
    rows = list(make_dataset(count=2))
    with pytest.raises(ValueError, match="a list has no fingerprint"):
        encode_catalog(StubModel(), StubProcessor(), rows, tmp_path)
    with pytest.raises(ValueError, match=r"row 0 \(item_id None\): its item_id is empty"):
        encode_catalog(StubModel(), StubProcessor(), [{**rows[0], "item_id": None}], tmp_path, fingerprint="1")
    with pytest.raises(ValueError, match="shard_size must be at least 1, got 0"):
        encode_catalog(StubModel(), StubProcessor(), rows, tmp_path, fingerprint="1", shard_size=0)
    with pytest.raises(ValueError, match="storage_dtype"):
        encode_catalog(StubModel(), StubProcessor(), rows, tmp_path, storage_dtype=torch.int8)
    with pytest.raises(FileNotFoundError, match=r"no manifest\.json"):
        load_embeddings(tmp_path / "nowhere")


def test_shards_carry_their_ids(tmp_path):
    encode_catalog(StubModel(), StubProcessor(), make_dataset(count=3), tmp_path)
    with safe_open(tmp_path / "shard-00000.safetensors", framework="pt") as shard:
        assert shard.get_slice("embeds").get_shape() == [3, 5]
        assert json.loads(shard.metadata()["item_ids"]) == ["sku-0", "sku-1", "sku-2"]


def test_the_real_tower_and_processor_resume_too(tmp_path):
    model = tiny_model("item")
    for folder in ("first", "moved"):
        real_processor().save_pretrained(tmp_path / folder)
        model.save_pretrained(tmp_path / folder)

    dataset = make_dataset((4,), count=9)
    arguments = {"shard_size": 4, "batch_size": 2, "on_error": "skip", "num_workers": 2}
    out = tmp_path / "out"
    for folder, done in (("first", 0), ("first", 8), ("moved", 8)):
        processor = TigerFGProcessor(
            TigerFGImageProcessorPil.from_pretrained(tmp_path / folder),
            PreTrainedTokenizerFast.from_pretrained(tmp_path / folder),
        )
        tower = TigerFGItemModel.from_pretrained(tmp_path / folder)
        report = encode_catalog(tower, processor, dataset, out, **arguments)
        assert (report.encoded, report.resumed) == (8, done)
    assert report.skipped[0].reason.startswith("image cannot be read: not an image")
    good = dataset.select([i for i in range(9) if i != 4])
    loaded = load_embeddings(out)
    torch.testing.assert_close(loaded.embeds, encode_items(model, processor, good))
    assert loaded.item_ids == good["item_id"][:]


def real_processor() -> TigerFGProcessor:
    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "x": 2}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")
    return TigerFGProcessor(TigerFGImageProcessorPil(size=IMAGE), tokenizer)


def test_a_processor_that_has_been_used_resumes(tmp_path):
    """A call leaves its truncation and padding in the tokenizer, which say nothing about what it computes."""
    dataset, model, processor = make_dataset(count=4), tiny_model("item"), real_processor()
    encode_catalog(model, real_processor(), dataset, tmp_path)
    processor(text=[{"title": "x x"}, {"title": "x"}], return_tensors="pt")
    assert encode_catalog(model, processor, dataset, tmp_path).resumed == 4
    changed = real_processor()
    changed.max_length = 3
    with pytest.raises(ValueError, match=r"cannot resume .*processor was "):
        encode_catalog(model, changed, dataset, tmp_path)


def folder_catalog(folder: Path, count: int = 12) -> datasets.Dataset:
    """A catalog of image files."""
    folder.mkdir()
    for row in range(count):
        (folder / f"{row}.png").write_bytes(png(row))
    lines = [f"p{row},{row}.png,{'x' * row}\n" for row in range(count)]
    (folder / "items.csv").write_text("item_id,image,title\n" + "".join(lines))
    return load_catalog(folder / "items.csv")


@pytest.mark.parametrize("as_list", [False, True])
def test_changed_image_files_are_encoded_again(tmp_path, as_list, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    catalog = folder_catalog(tmp_path / "shop")
    rows = list(catalog) if as_list else catalog
    options = {"shard_size": 5, "batch_size": 2, "fingerprint": "1" if as_list else None}
    model = tiny_model("item")
    encode_catalog(model, real_processor(), rows, tmp_path / "out", **options)
    assert encode_catalog(model, real_processor(), rows, tmp_path / "out", **options).resumed == 12
    before = load_embeddings(tmp_path / "out").embeds
    (tmp_path / "shop" / "7.png").write_bytes(png(1007))
    report = encode_catalog(model, real_processor(), rows, tmp_path / "out", **options)
    assert (report.encoded, report.resumed) == (12, 7)
    after = load_embeddings(tmp_path / "out").embeds
    assert (before != after).any(dim=1).nonzero().flatten().tolist() == [7]
    torch.testing.assert_close(after, encode_items(model, real_processor(), rows), atol=1e-5, rtol=0)


def test_image_files_can_be_identified_by_their_content(tmp_path, monkeypatch):
    """Content shows a change that size and modification time hide, and no change in a file that was touched."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    catalog = folder_catalog(tmp_path / "shop", count=3)
    model = tiny_model("item")
    options = {"shard_size": 1, "hash_images": True}
    encode_catalog(model, real_processor(), catalog, tmp_path / "out", **options)
    first, second = tmp_path / "shop" / "0.png", tmp_path / "shop" / "1.png"
    content = bytearray(first.read_bytes())
    content[-1] ^= 1  # of the checksum of the last chunk
    times = (first.stat().st_atime_ns, first.stat().st_mtime_ns)
    first.write_bytes(content)
    os.utime(first, ns=times)
    os.utime(second, ns=(1, 1))
    assert encode_catalog(model, real_processor(), catalog, tmp_path / "out", **options).resumed == 2
    with pytest.raises(ValueError, match="hash_images was True, is False"):
        encode_catalog(model, real_processor(), catalog, tmp_path / "out", shard_size=1)


def test_a_skipped_image_that_is_mended_is_encoded(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    catalog = folder_catalog(tmp_path / "shop", count=4)
    (tmp_path / "shop" / "2.png").unlink()
    model = tiny_model("item")
    options = {"shard_size": 2, "on_error": "skip"}
    report = encode_catalog(model, real_processor(), catalog, tmp_path / "out", **options)
    assert [fault.row for fault in report.skipped] == [2]
    assert str(tmp_path / "shop" / "2.png") in report.skipped[0].reason
    (tmp_path / "shop" / "2.png").write_bytes(png(2))
    report = encode_catalog(model, real_processor(), catalog, tmp_path / "out", **options)
    assert (report.encoded, report.resumed, report.skipped) == (4, 2, [])


def test_a_skipped_record_that_cannot_be_read_is_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    catalog = folder_catalog(tmp_path / "shop", count=4).add_column("box", [None, "[1, 1, 1, 1]", None, None])
    options = {"shard_size": 2, "on_error": "skip", "fingerprint": "1"}
    for resumed in (0, 3):
        records = CatalogRecords(catalog)
        report = encode_catalog(tiny_model("item"), real_processor(), records, tmp_path / "out", **options)
        assert (report.encoded, report.resumed, [fault.row for fault in report.skipped]) == (3, resumed, [1])


def test_embedded_images_are_not_looked_for_on_disk(tmp_path, monkeypatch):
    """Their fingerprint covers them, wherever the paths beside them lead; some rows may have files."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    features = datasets.Features(
        {"item_id": datasets.Value("string"), "image": datasets.Image(decode=False), "title": datasets.Value("string")}
    )
    images = [{"bytes": png(1), "path": str(tmp_path / "a.png")}, {"bytes": None, "path": str(tmp_path / "a.png")}]
    for images_of in (images[:1], images):
        rows = [{"item_id": "a", "image": image, "title": "x"} for image in images_of]
        (tmp_path / "a.png").unlink(missing_ok=True)  # else `datasets` keeps the path alone
        catalog = datasets.Dataset.from_list(rows, features=features)
        (tmp_path / "a.png").write_bytes(png(0))
        out = tmp_path / f"out{len(images_of)}"
        encode_catalog(tiny_model("item"), real_processor(), catalog, out, shard_size=1)
        os.utime(tmp_path / "a.png", ns=(1, len(images_of)))
        assert encode_catalog(tiny_model("item"), real_processor(), catalog, out, shard_size=1).resumed == 1


def test_a_catalog_without_any_usable_row_is_an_error(tmp_path):
    dataset = make_dataset((0, 1, 2), count=3)
    with pytest.raises(ValueError, match=r"none of the 3 rows could be encoded; the first: row 0 \(item_id 'sku-0'\)"):
        encode_catalog(StubModel(), StubProcessor(), dataset, tmp_path, on_error="skip", shard_size=2)
    with pytest.raises(ValueError, match="got 0 rows"):
        encode_catalog(StubModel(), StubProcessor(), dataset.select([]), tmp_path / "empty")


def test_notes_cover_all_runs(tmp_path):
    dataset = make_dataset(count=6)  # the first title is empty
    dataset = dataset.remove_columns("item_id").add_column("item_id", ["a", "b", "a", "c", "a", "d"])
    encode_catalog(StubModel(), StubProcessor(), dataset, tmp_path, shard_size=2)
    report = encode_catalog(StubModel(), StubProcessor(), dataset, tmp_path, shard_size=2)
    assert (report.resumed, report.notes) == (6, {"empty_titles": 1, "duplicate_item_ids": 2})


def test_numbers_are_item_ids_too(tmp_path):
    rows = [{**row, "item_id": number} for number, row in enumerate(make_dataset(count=3))]
    encode_catalog(StubModel(), StubProcessor(), rows, tmp_path, fingerprint="1")
    assert load_embeddings(tmp_path).item_ids == ["0", "1", "2"]


def test_any_callable_processes(tmp_path):
    def process(images, text, return_tensors):
        return StubProcessor()(images, text)

    dataset = make_dataset(count=3)
    encode_catalog(StubModel(), process, dataset, tmp_path)
    assert encode_catalog(StubModel(), process, dataset, tmp_path).resumed == 3
    with pytest.raises(ValueError, match=r"cannot resume .*processor was "):
        encode_catalog(StubModel(), StubProcessor(), dataset, tmp_path)
