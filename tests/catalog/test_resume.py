"""What a resumed run notices, and what it does not: processors that were used, and photos that changed."""

import os
from pathlib import Path

import pytest
from encoding_stubs import png
from processor_cases import make_tiger_fg
from tiny import tiny_model

from tiger_fg_hf import TGQFormerModel, TGQFormerProcessor, TigerFGItemModel, TigerFGProcessor
from tiger_fg_hf.catalog.shards import encode_catalog, load_embeddings

CARDS = Path(__file__).parents[2] / "model_cards"
METHODS = {
    "tiger-fg-tiny": (TigerFGItemModel, TigerFGProcessor),
    "tgq-former-tiny": (TGQFormerModel, TGQFormerProcessor),
}


def make_photos(folder: Path) -> list[dict]:
    """Four rows with photos on disk, all of one size in bytes."""
    rows = [{"item_id": f"p{row}", "image": str(folder / f"{row}.png"), "title": "red mug"} for row in range(4)]
    for row, record in enumerate(rows):
        Path(record["image"]).write_bytes(png(row))
    assert len({os.path.getsize(record["image"]) for record in rows}) == 1
    return rows


@pytest.mark.parametrize("card", METHODS)
def test_a_processor_resumes_however_it_was_used(tmp_path, card):
    model_class, processor_class = METHODS[card]
    model, processor = model_class.from_pretrained(CARDS / card), processor_class.from_pretrained(CARDS / card)
    rows = make_photos(tmp_path)

    def resumed(processor) -> int:
        return encode_catalog(model, processor, rows, tmp_path / "out", fingerprint="1", shard_size=2).resumed

    assert resumed(processor) == 0
    assert resumed(processor) == 4  # it has encoded the catalog
    processor(text=["red mug " * 99, "red"], return_tensors="pt")
    processor.count_cut(["red mug"])
    assert resumed(processor) == 4
    processor.save_pretrained(tmp_path / "used")  # with the truncation of the last call in tokenizer.json
    assert resumed(processor_class.from_pretrained(tmp_path / "used")) == 4
    processor.max_length = 3
    with pytest.raises(ValueError, match=r"cannot resume .*processor was "):
        resumed(processor)


def test_a_call_with_another_length_resumes(tmp_path):
    rows, processor = make_photos(tmp_path), make_tiger_fg()
    options = {"fingerprint": "1", "output_dir": tmp_path / "out"}
    encode_catalog(tiny_model("item"), make_tiger_fg(), rows, **options)
    processor(text="red mug lamp", max_length=2, padding="max_length")
    assert encode_catalog(tiny_model("item"), processor, rows, **options).resumed == 4


def test_photos_that_changed_or_are_gone_are_encoded_again(tmp_path):
    rows = make_photos(tmp_path)
    options = {"fingerprint": "1", "shard_size": 1, "on_error": "skip", "output_dir": tmp_path / "out"}
    encode_catalog(tiny_model("item"), make_tiger_fg(), rows, **options)
    before = load_embeddings(tmp_path / "out").embeds
    path = Path(rows[1]["image"])
    status = path.stat()
    path.write_bytes(png(99))
    assert path.stat().st_size == status.st_size  # so that the time alone tells
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    os.unlink(rows[2]["image"])
    report = encode_catalog(tiny_model("item"), make_tiger_fg(), rows, **options)
    assert (report.encoded, report.resumed) == (3, 2)
    assert [(fault.row, fault.item_id) for fault in report.skipped] == [(2, "p2")]
    after = load_embeddings(tmp_path / "out")
    assert after.item_ids == ["p0", "p1", "p3"]
    assert (after.embeds != before[[0, 1, 3]]).any(dim=1).tolist() == [False, True, False]
