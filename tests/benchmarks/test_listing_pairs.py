"""Stored training pairs and stored outputs of the dual encoder."""

import io
import shutil

import pytest
import torch
from PIL import Image

from benchmarks.listings.features import FeatureCollator, FeatureStudent
from benchmarks.listings.model import start_model
from benchmarks.listings.pairs import JPEG_QUALITY, StoredPairs, write_pairs
from benchmarks.listings.systems import BY_NAME, OURS
from tiger_fg_hf import drawn_catalog, load_catalog
from tiger_fg_hf.data.listings import ListingConfig, ListingSynthesizer
from tiger_fg_hf.data.tgq_former_collator import TGQFormerCollator
from tiger_fg_hf.data.tgq_former_pairs import TGQFormerPairDataset
from tiger_fg_hf.objectives.tgq_former_student import TGQFormerStudent
from tiger_fg_hf.synthetic.jpeg import encode_jpeg
from tiger_fg_hf.training.sampler import EpochBatchSampler


@pytest.fixture
def command(listings, make_command):
    return make_command(listings)


def test_stored_pairs_are_those_of_the_dataset(tmp_path):
    catalog = load_catalog(drawn_catalog(num_products=10, layout="mixed", size=48, with_queries=False))
    made = []

    def make():
        made.append(TGQFormerPairDataset(catalog, ListingSynthesizer(ListingConfig(size=48)), seed=3))
        return made[-1]

    def write(batches, workers=0):
        write_pairs(tmp_path, make, num_rows=10, batch_size=4, batches=batches, seed=3, workers=workers)

    write(5)  # two batches are an epoch
    stored = StoredPairs(tmp_path, 10)
    assert len(stored) == 10
    for keys in EpochBatchSampler(10, 4, 5, seed=3):
        for key in keys:
            read, drawn = stored[key], made[0][key]
            assert read.keys() == drawn.keys()
            for name in drawn.keys() - {"images"}:
                assert read[name] == drawn[name], name
            for image, other in zip(read["images"], drawn["images"], strict=True):
                compressed = Image.open(io.BytesIO(encode_jpeg(other, JPEG_QUALITY))).convert("RGB")
                assert image.mode == "RGB"
                assert image.tobytes() == compressed.tobytes()
    with pytest.raises(KeyError, match="no pair of epoch 3, row 0: draw more steps"):
        stored[3, 0]

    def content():
        return [StoredPairs(tmp_path, 10)._rows[place] for place in range(len(StoredPairs(tmp_path, 10)._rows))]

    # Existing shards are kept, new ones are added, and worker processes draw the same pairs.
    before = content()
    write(4)
    assert len(made) == 1
    write(6, workers=1)
    assert len(made) == 2
    assert content()[: len(before)] == before
    assert len(content()) == 24
    with pytest.raises(FileNotFoundError, match="holds no pairs"):
        StoredPairs(tmp_path / "none", 10)


def test_interrupted_drawing_keeps_whole_shards(tmp_path, monkeypatch):
    from benchmarks.listings import pairs as listings_pairs

    monkeypatch.setattr(listings_pairs, "SHARD", 2)
    catalog = load_catalog(drawn_catalog(num_products=4, layout="clean", size=48, with_queries=False))
    pairs = TGQFormerPairDataset(catalog, ListingSynthesizer(ListingConfig(size=48)))
    drawn = []

    class Stopping(torch.utils.data.Dataset):
        def __getitem__(self, key):
            drawn.append(key)
            if len(drawn) == 12:
                raise KeyboardInterrupt
            return pairs[key]

    options = {"num_rows": 4, "batch_size": 4, "batches": 4, "seed": 0}
    with pytest.raises(KeyboardInterrupt):
        write_pairs(tmp_path, Stopping, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["batches-000000"]
    write_pairs(tmp_path, Stopping, **options)
    assert len(drawn) == 12 + 8
    assert len(StoredPairs(tmp_path, 4)._places) == 16


def test_training_on_features_is_training_on_the_pictures(command):
    """A shard that has grown is encoded again."""
    data = command.benchmark().data
    data.draw_pairs(0, 2)
    data.encode_pairs(0)
    data.draw_pairs(0, 4)
    data.encode_pairs(0)
    model, processor = start_model(data.setup, BY_NAME[OURS], 0)
    model.eval()
    shown, kept = StoredPairs(data.folder / "pairs-seed0", 16), data.pairs(0)
    agreement = []
    for keys in EpochBatchSampler(16, 4, 4, seed=0):
        pictures = TGQFormerCollator(processor)([shown[key] for key in keys])
        features = FeatureCollator(processor)([kept[key] for key in keys])
        torch.testing.assert_close(features["item_ids"], pictures["item_ids"])
        del features["item_ids"]
        assert not any(name.endswith("pixel_values") for name in features)
        actual, expected = FeatureStudent(model)(**features), TGQFormerStudent(model)(**pictures)
        assert actual.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(actual[name], value, msg=lambda text, name=name: f"{name}: {text}")
        gradients = [
            torch.autograd.grad(side["first_embeds"][:, 0].sum(), model.connector.parameters(), allow_unused=True)
            for side in (actual, expected)
        ]
        assert any(part is not None and part.any() for part in gradients[0])
        torch.testing.assert_close(*gradients)
        given = (pictures[f"first_{name}"] for name in ("pixel_values", "title_input_ids", "title_attention_mask"))
        agreement.append(model.encode_pair(*given).agreement)
    agreement = torch.cat(agreement)
    torch.testing.assert_close(kept.agreement(100, of_first=100), agreement)
    torch.testing.assert_close(kept.agreement(4, of_first=100), agreement[::4])
    # Pairs drawn for a longer run do not change a shorter one.
    torch.testing.assert_close(kept.agreement(4, of_first=8), agreement[:8:2])
    with pytest.raises(ValueError, match="read without features"):
        shown.agreement(4, of_first=16)


def test_features_of_other_settings_are_refused(command):
    assert command.call("--systems", OURS) == 0
    with pytest.raises(ValueError, match="mixed_precision: 'no' there, 'bf16' now"):
        command.call("--systems", OURS, "--mixed_precision", "bf16")


def test_features_of_pairs_that_were_drawn_again_are_refused(command, tmp_path):
    """If only the pairs are deleted, the stored features belong to other pictures."""
    fresh = tmp_path / "again"
    fresh.mkdir()
    (command.output / "data").unlink()
    (command.output / "data").symlink_to(fresh, target_is_directory=True)
    assert command.call("--systems", OURS, "--max_steps", "2") == 0
    shutil.rmtree(fresh / "pairs-seed0")
    with pytest.raises(ValueError, match=r"listings.wrong_titles: 0.0 there, 0.5 now"):
        command.call("--systems", OURS, "--max_steps", "2", "--wrong_titles", "0.5")
