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
from encoding_stubs import ROWS, StubModel, StubProcessor, make_dataset
from safetensors import safe_open
from tiny import IMAGE, tiny_model
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from tiger_fg_hf import TigerFGImageProcessorPil, TigerFGItemModel, TigerFGProcessor
from tiger_fg_hf.catalog.encode import encode_items
from tiger_fg_hf.catalog.shards import encode_catalog, load_embeddings


def test_catalog_equals_items_encoded_in_memory(tmp_path):
    model, dataset = StubModel(), make_dataset()
    report = encode_catalog(model, StubProcessor(), dataset, tmp_path, shard_size=10, batch_size=4)
    assert (report.encoded, report.resumed, report.skipped) == (ROWS, 0, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "manifest.json", "shard-00000.safetensors", "shard-00001.safetensors", "shard-00002.safetensors",
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
    model = StubModel()
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
    with pytest.raises(ValueError, match="item_id must be a string, got None"):
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
    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "x": 2}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")
    for folder in ("first", "moved"):
        TigerFGProcessor(TigerFGImageProcessorPil(size=IMAGE), tokenizer).save_pretrained(tmp_path / folder)
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
    assert "images[0] cannot be read" in report.skipped[0].error
    good = dataset.select([i for i in range(9) if i != 4])
    loaded = load_embeddings(out)
    torch.testing.assert_close(loaded.embeds, encode_items(model, processor, good))
    assert loaded.item_ids == good["item_id"][:]
