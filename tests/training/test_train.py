"""`examples/train.py`, from a catalog to a folder that `from_pretrained` reads, and through every interruption."""

import math

import pytest
import torch
from PIL import Image
from tiny_training import TRAIN_SCRIPT, final_weights, load_script, read_history, write_recipe

from tiger_fg_hf import TigerFGItemModel, TigerFGModel, TigerFGProcessor, TigerFGQueryModel
from tiger_fg_hf.objectives.task import RetrievalTask
from tiger_fg_hf.training.checkpoint import checkpoint_steps


@pytest.fixture
def train(fresh_accelerate, catalog_folder, tmp_path):
    """`train(output_dir, **changes of the recipe)` runs the script as in a process of its own."""
    script = load_script(TRAIN_SCRIPT)

    def run(output_dir, **changes):
        fresh_accelerate()
        changes = {"data": str(catalog_folder), "output_dir": str(output_dir), **changes}
        return script.main([str(write_recipe(tmp_path, **changes))])

    return run


@pytest.fixture
def stop_after(monkeypatch):
    """`stop_after(n)` interrupts the next run as it begins its forward pass n + 1."""

    def stop(passes: int):
        forward, count = RetrievalTask.__call__, 0

        def counting(task, batch):
            nonlocal count
            count += 1
            if count > passes:
                monkeypatch.setattr(RetrievalTask, "__call__", forward)
                raise KeyboardInterrupt
            return forward(task, batch)

        monkeypatch.setattr(RetrievalTask, "__call__", counting)

    return stop


@pytest.fixture
def interrupted(train, stop_after, tmp_path):
    """Folder of a run that was stopped after step 4 of 8, where it left a checkpoint."""
    stop_after(4)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "interrupted", save_every=4)
    return tmp_path / "interrupted"


def losses(folder) -> list[dict]:
    """The history but for what the clock says."""
    timed = ("train/pairs_per_second", "train/waiting_for_data")
    return [{name: value for name, value in entry.items() if name not in timed} for entry in read_history(folder)]


def assert_equal_weights(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name in found:
        assert torch.equal(found[name], expected[name]), name


def test_trains_on_the_drawn_catalog(train, tmp_path):
    """From nothing but a recipe: products are drawn, a tokenizer is trained, the loss falls, all is written."""
    output = tmp_path / "run"
    summary = train(
        output,
        data="drawn",
        drawn_products=24,
        drawn_layout="clean",
        eval_limit=10,
        eval_every=30,
        batch_size=16,
        max_steps=60,
        backbone_lr=5e-3,
        head_lr=5e-3,
        log_every=5,
        save_every=40,
        tracker="tensorboard",
    )
    history = read_history(output)
    assert summary["steps"] == 60
    assert summary["history"] == history

    entries = [entry for entry in history if "train/q2i" in entry]
    assert [entry["step"] for entry in entries] == list(range(5, 65, 5))
    assert entries[0]["train/q2i"] == pytest.approx(math.log(16), abs=0.4)
    assert entries[-1]["train/q2i"] < 0.85 * entries[0]["train/q2i"]
    assert {"train/lr", "train/grad_norm", "train/logit_scale", "train/pairs_per_second"} <= entries[0].keys()
    assert entries[-1]["train/lr"] == pytest.approx(0, abs=1e-9)

    evaluations = [entry for entry in history if "eval/recall@1" in entry]
    assert [entry["step"] for entry in evaluations] == [30, 60]
    assert {"eval/mrr", "eval/map", "eval/recall@10", "eval/pointing"} <= evaluations[0].keys()
    assert all(0 <= value <= 1 for name, value in evaluations[0].items() if name != "step")

    assert [step for step, _ in checkpoint_steps(output / "checkpoints")] == [40]
    assert list((output / "logs").rglob("events.out.tfevents.*"))

    processor = TigerFGProcessor.from_pretrained(output)
    photo = Image.new("RGB", (60, 40), "red")
    query = processor(images=[photo], return_tensors="pt")
    item = processor(images=[photo], text=[{"title": "red mug"}], return_tensors="pt")
    assert query["pixel_values"].shape == (1, 3, 32, 32)
    models = [cls.from_pretrained(output) for cls in (TigerFGModel, TigerFGQueryModel, TigerFGItemModel)]
    joint, query_tower, item_tower = models
    assert joint.num_parameters() < 100_000
    assert joint.config.text_config.vocab_size == len(processor.tokenizer)
    with torch.no_grad():
        both = joint(query_pixel_values=query["pixel_values"], **item)
        torch.testing.assert_close(query_tower(**query).embeds, both.query_embeds)
        torch.testing.assert_close(item_tower(**item).embeds, both.item_embeds)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_workers": 2, "gradient_accumulation_steps": 2, "mixed_precision": "bf16", "log_every": 3},
    ],
    ids=["plain", "workers-accumulation-bf16"],
)
def test_resumed_run_equals_an_uninterrupted_one(train, stop_after, tmp_path, changes):
    """Bit for bit, dropout included, although the interrupted run had gone on after its checkpoint."""
    train(tmp_path / "whole", save_every=4, **changes)
    stop_after(7 * changes.get("gradient_accumulation_steps", 1))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", save_every=4, **changes)
    assert read_history(tmp_path / "parts")[-1]["step"] == 6
    summary = train(tmp_path / "parts", save_every=4, resume="auto", **changes)

    assert_equal_weights(final_weights(tmp_path / "parts"), final_weights(tmp_path / "whole"))
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert summary["history"] == read_history(tmp_path / "parts")


def test_checkpoints_and_evaluation_do_not_change_a_run(train, tmp_path):
    train(tmp_path / "with", save_every=3, eval_every=3, eval_data="drawn", eval_limit=4)
    train(tmp_path / "without")
    assert_equal_weights(final_weights(tmp_path / "with"), final_weights(tmp_path / "without"))


def test_workers_do_not_change_a_run(train, tmp_path):
    train(tmp_path / "two", num_workers=2)
    train(tmp_path / "none")
    assert_equal_weights(final_weights(tmp_path / "two"), final_weights(tmp_path / "none"))


def test_frozen_text_encoder_stays_as_it_is(train, tmp_path):
    """Training goes on from a checkpoint, its weights decay, and the text encoder is none of it."""
    train(tmp_path / "first")
    start = {"model": str(tmp_path / "first"), "model_config": None, "seed": 1}
    train(tmp_path / "frozen", freeze_text=True, **start)
    before, after = final_weights(tmp_path / "first"), final_weights(tmp_path / "frozen")
    assert after.keys() == before.keys()
    text = {name for name in after if name.startswith("text_model.")}
    assert text
    assert {name for name in after if torch.equal(after[name], before[name])} == text

    train(tmp_path / "thawed", **start)
    thawed = final_weights(tmp_path / "thawed")
    assert not any(torch.equal(thawed[name], before[name]) for name in text)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"batch_size": 16}, "global_batch_size: 8 there, 16 now"),
        ({"head_lr": 1e-4}, "head_lr: 0.002 there, 0.0001 now"),
        ({"seed": 3, "max_steps": 9}, "seed: 0 there, 3 now, max_steps: 8 there, 9 now"),
    ],
)
def test_resuming_with_other_arguments_is_refused(train, interrupted, tmp_path, changes, told):
    with pytest.raises(ValueError, match=rf"step-00000004' cannot be resumed exactly .*\({told}\)"):
        train(interrupted, save_every=4, resume="auto", **changes)


def test_resume_from_a_folder(train, interrupted, tmp_path):
    """The checkpoint of one run begins another, in a folder of its own."""
    checkpoint = interrupted / "checkpoints" / "step-00000004"
    train(tmp_path / "second", resume=str(checkpoint))
    assert [entry["step"] for entry in read_history(tmp_path / "second")] == [6, 8]
    with pytest.raises(FileNotFoundError, match="'absent' is no complete checkpoint"):
        train(tmp_path / "third", resume="absent")


def test_resume_auto_starts_where_there_is_nothing(train, tmp_path):
    assert train(tmp_path / "run", resume="auto", max_steps=2)["steps"] == 2


def test_new_run_does_not_mix_with_an_earlier_one(train, interrupted, tmp_path):
    with pytest.raises(FileExistsError, match="continue it with --resume auto"):
        train(interrupted, save_every=4)
    train(tmp_path / "run", max_steps=4)
    train(tmp_path / "run", max_steps=2)
    assert [entry["step"] for entry in read_history(tmp_path / "run")] == [2]


def test_loss_that_is_not_finite_stops_the_run(train, tmp_path):
    """At once where a checkpoint is due, although nothing would be logged for long: none holds such weights."""
    with pytest.raises(FloatingPointError, match=r"Not finite at step 2: .*'q2i': nan"):
        train(tmp_path, head_lr=1e30, warmup_ratio=0.0, log_every=1000, save_every=1)
    assert [step for step, _ in checkpoint_steps(tmp_path / "checkpoints")] == [1]


def test_gradients_are_measured_where_they_are_not_clipped(train, tmp_path):
    train(tmp_path / "unclipped", max_grad_norm=0.0)
    assert all(entry["train/grad_norm"] > 0 for entry in read_history(tmp_path / "unclipped"))
    train(tmp_path / "wide", max_grad_norm=1e6)
    assert_equal_weights(final_weights(tmp_path / "unclipped"), final_weights(tmp_path / "wide"))
    train(tmp_path / "clipped", max_grad_norm=1e-3)
    assert losses(tmp_path / "clipped")[-1] != losses(tmp_path / "unclipped")[-1]


def test_batch_that_exceeds_the_catalog_is_refused(train, tmp_path):
    with pytest.raises(ValueError, match="batch of 50 rows over all processes exceeds the dataset's 48"):
        train(tmp_path, batch_size=50)
