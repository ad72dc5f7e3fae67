"""Encoding: order, modes, errors that name the row, and catalogs that survive being killed."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from tiger_fg_hf.catalog.encode import encode_catalog, encode_items, encode_queries, load_embeddings

SHOTS = 23


class StubProcessor:
    """Decodes undecoded images; text becomes its length."""

    def __init__(self, template: str = "{title}"):
        self.template = template

    def __call__(self, images, text=None, return_tensors="pt"):
        decoded = [Image.open(io.BytesIO(image["bytes"])).convert("RGB") for image in images]
        inputs = {"pixel_values": torch.stack([torch.from_numpy(np.array(x)).float() / 255 for x in decoded])}
        if text is not None:
            inputs["input_ids"] = torch.tensor([[len(self.template.format(**record))] for record in text])
        return inputs

    def save_pretrained(self, folder):
        (Path(folder) / "processor_config.json").write_text(json.dumps({"template": self.template}))


class StubModel(torch.nn.Module):
    """Projects the mean colour and the text's length; dropout tells train mode from eval mode."""

    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.linear = torch.nn.Linear(4, 5)
        self.frozen = torch.nn.Dropout(0.9).eval()
        self.batch_sizes: list[int] = []

    def forward(self, pixel_values, input_ids=None):
        self.batch_sizes.append(len(pixel_values))
        length = torch.zeros(len(pixel_values), 1) if input_ids is None else input_ids.float()
        states = self.linear(torch.cat([pixel_values.mean(dim=(1, 2)), length], dim=1))
        grounding = pixel_values.mean(-1) / pixel_values.mean(-1).sum(dim=(1, 2), keepdim=True)
        return SimpleNamespace(
            embeds=torch.nn.functional.normalize(torch.nn.functional.dropout(states, 0.5, self.training), dim=1),
            grounding=grounding,
        )


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def make_dataset(broken: tuple[int, ...] = (), count: int = SHOTS) -> datasets.Dataset:
    features = datasets.Features(
        {
            "item_id": datasets.Value("string"),
            "image": datasets.Image(decode=False),
            "title": datasets.Value("string"),
            "query_image": datasets.Image(decode=False),
        }
    )
    rows = [
        {
            "item_id": f"sku-{i}",
            "image": {"bytes": b"not an image" if i in broken else png(i), "path": None},
            "title": "x" * i,
            "query_image": {"bytes": png(1000 + i), "path": None},
        }
        for i in range(count)
    ]
    return datasets.Dataset.from_list(rows, features=features)


def one_by_one(model, records) -> torch.Tensor:
    """Rows encoded singly, by hand."""
    model.eval()
    with torch.no_grad():
        singles = [
            model(**StubProcessor()(images=[row["image"]], text=[{"title": row["title"]}])).embeds for row in records
        ]
    return torch.cat(singles)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_items_keep_their_order(num_workers):
    model, dataset = StubModel(), make_dataset()
    embeds = encode_items(model, StubProcessor(), dataset, batch_size=5, num_workers=num_workers)
    torch.testing.assert_close(embeds, one_by_one(model, dataset))
    assert embeds.dtype == torch.float32
    assert not embeds.is_inference()


def test_lists_of_dicts_and_datasets_agree():
    dataset = make_dataset(count=7)
    from_list = encode_items(StubModel(), StubProcessor(), list(dataset), batch_size=3)
    assert torch.equal(from_list, encode_items(StubModel(), StubProcessor(), dataset, batch_size=3))


def test_other_columns_reach_the_template_and_other_pictures_do_not():
    seen = []

    class Spy(StubProcessor):
        def __call__(self, images, text=None, return_tensors="pt"):
            seen.extend(text)
            return super().__call__(images, text)

    encode_items(StubModel(), Spy("{brand}"), make_dataset(count=2).add_column("brand", ["ACME", "Zeta"]))
    assert seen == [{"item_id": f"sku-{i}", "title": "x" * i, "brand": b} for i, b in enumerate(["ACME", "Zeta"])]


def test_queries_match_their_images():
    model, dataset = StubModel(), make_dataset(count=6)
    embeds = encode_queries(model, StubProcessor(), dataset["query_image"], batch_size=4)
    singles = [encode_queries(model, StubProcessor(), [image]) for image in dataset["query_image"]]
    torch.testing.assert_close(embeds, torch.cat(singles))


def test_groundings_come_on_request():
    embeds, groundings = encode_items(
        StubModel(), StubProcessor(), make_dataset(count=5), batch_size=2, return_grounding=True
    )
    assert len(groundings) == len(embeds) == 5
    assert all(grounding.shape == (4, 4) for grounding in groundings)
    assert float(groundings[3].sum()) == pytest.approx(1)


def test_modes_are_restored_module_by_module():
    model = StubModel().train()
    model.frozen.eval()
    encode_queries(model, StubProcessor(), [{"bytes": png(0)}])
    assert model.training
    assert model.linear.training
    assert not model.frozen.training
    with pytest.raises(ValueError, match="row 0"):
        encode_queries(model, StubProcessor(), [{"bytes": b""}])
    assert model.training
    assert torch.is_grad_enabled()


def test_autocast_stays_close():
    dataset = make_dataset(count=4)
    half = encode_items(StubModel(), StubProcessor(), dataset, autocast_dtype=torch.bfloat16)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, encode_items(StubModel(), StubProcessor(), dataset), atol=0.02, rtol=0)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_bad_image_is_named(num_workers):
    with pytest.raises(ValueError, match=r"row 7 \(item_id 'sku-7'\): UnidentifiedImageError"):
        encode_items(StubModel(), StubProcessor(), make_dataset((7,)), batch_size=5, num_workers=num_workers)
    images = [{"bytes": png(0)}, {"bytes": b"?"}]
    with pytest.raises(ValueError, match=r"row 1 \(item_id 'b'\)"):
        encode_queries(StubModel(), StubProcessor(), images, item_ids=["a", "b"], num_workers=num_workers)


def test_an_image_that_datasets_decodes_is_named_too():
    decoding = make_dataset((2,), count=4).cast_column("image", datasets.Image())
    with pytest.raises(ValueError, match=r"row 2 \(item_id 'sku-2'\)"):
        encode_items(StubModel(), StubProcessor(), decoding)


def test_nothing_to_encode_is_an_error():
    with pytest.raises(ValueError, match="got 0 rows"):
        encode_items(StubModel(), StubProcessor(), [])
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        encode_items(StubModel(), StubProcessor(), make_dataset(count=1), batch_size=0)
    with pytest.raises(ValueError, match="1 for 2 images"):
        encode_queries(StubModel(), StubProcessor(), [{}, {}], item_ids=["a"])


def test_catalog_equals_items_encoded_in_memory(tmp_path):
    model, dataset = StubModel(), make_dataset()
    report = encode_catalog(model, StubProcessor(), dataset, tmp_path, shard_size=10, batch_size=4)
    assert (report.encoded, report.resumed, report.skipped) == (SHOTS, 0, [])
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
    assert (report.encoded, report.resumed) == (SHOTS, 13)
    again = load_embeddings(tmp_path)
    assert torch.equal(again.embeds, whole.embeds)
    assert again.item_ids == whole.item_ids


def test_a_killed_run_is_finished_by_the_next(tmp_path):
    make_dataset().save_to_disk(tmp_path / "data")
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import datasets
from test_encode import StubModel, StubProcessor, encode_catalog
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
    assert 0 < report.resumed < report.encoded == SHOTS
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
    # Imported here: the run that gets killed imports this module, and need not wait for these.
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, PreTrainedTokenizerFast, ViTConfig

    from tiger_fg_hf.models.tiger_fg.configuration_tiger_fg import TigerFGItemConfig
    from tiger_fg_hf.models.tiger_fg.image_processing_pil_tiger_fg import TigerFGImageProcessorPil
    from tiger_fg_hf.models.tiger_fg.modeling_tiger_fg import TigerFGItemModel
    from tiger_fg_hf.models.tiger_fg.processing_tiger_fg import TigerFGProcessor

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    vision = ViTConfig(image_size=16, patch_size=8, **small)
    torch.manual_seed(0)
    model = TigerFGItemModel(
        TigerFGItemConfig(vision_config=vision, text_config=BertConfig(vocab_size=3, **small), projection_dim=8)
    )
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "x": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    for folder in ("first", "moved"):
        TigerFGProcessor(TigerFGImageProcessorPil(size=16), fast).save_pretrained(tmp_path / folder)
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
