"""`examples/train.py`, from a catalog to a folder that `from_pretrained` reads, with interruptions."""

import json
import math

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_training import MODEL, TRAIN_SCRIPT, final_weights, load_script, read_history, untimed_history, write_recipe

from tiger_fg_hf import TigerFGItemModel, TigerFGModel, TigerFGProcessor, TigerFGQueryModel
from tiger_fg_hf.objectives.tiger_fg import TigerFGTask
from tiger_fg_hf.training.checkpoint import checkpoint_steps

# Mosaics with close views, and every loss that uses them.
CLOSE_VIEWS = {
    "mosaic_share": 0.75,
    "close_share": 0.8,
    "close_size": 16,
    "close": 1.0,
    "sdd_teacher": "self",
    "grounding": 0.5,
}


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
    """`stop_after(n)` interrupts the next run before it computes the loss of batch n + 1."""

    def stop(passes: int):
        loss, count = TigerFGTask.loss, 0

        def counting(task, *arguments):
            nonlocal count
            count += 1
            if count > passes:
                monkeypatch.setattr(TigerFGTask, "loss", loss)
                raise KeyboardInterrupt
            return loss(task, *arguments)

        monkeypatch.setattr(TigerFGTask, "loss", counting)

    return stop


@pytest.fixture
def interrupted(train, stop_after, tmp_path):
    """Folder of a run that saved a checkpoint at step 4 of 8 and was interrupted then."""
    stop_after(4)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "interrupted", save_every=4)
    return tmp_path / "interrupted"


def assert_equal_weights(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name in found:
        assert torch.equal(found[name], expected[name]), name


def test_trains_on_the_drawn_catalog(train, tmp_path):
    """A recipe is all it takes: products are drawn, a tokenizer is learned, the loss falls, everything is saved."""
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
        {"grad_cache_chunk": 3, "ema_decay": 0.8, "layer_decay": 0.7},
        CLOSE_VIEWS | {"num_workers": 2, "grad_cache_chunk": 3},
    ],
    ids=["plain", "workers-accumulation-bf16", "chunks-average-layers", "close-views"],
)
def test_resumed_run_equals_an_uninterrupted_one(train, stop_after, tmp_path, changes):
    """Weights are equal bit for bit, with dropout, although the run had gone on after its checkpoint."""
    train(tmp_path / "whole", save_every=4, **changes)
    stop_after(7 * changes.get("gradient_accumulation_steps", 1))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", save_every=4, **changes)
    assert read_history(tmp_path / "parts")[-1]["step"] == 6
    summary = train(tmp_path / "parts", save_every=4, resume="auto", **changes)

    assert_equal_weights(final_weights(tmp_path / "parts"), final_weights(tmp_path / "whole"))
    assert untimed_history(tmp_path / "parts") == untimed_history(tmp_path / "whole")
    assert summary["history"] == read_history(tmp_path / "parts")


def test_checkpoints_and_evaluation_do_not_change_a_run(train, tmp_path):
    train(tmp_path / "with", save_every=3, eval_every=3, eval_data="drawn", eval_limit=4)
    train(tmp_path / "without")
    assert_equal_weights(final_weights(tmp_path / "with"), final_weights(tmp_path / "without"))


def test_workers_do_not_change_a_run(train, tmp_path):
    train(tmp_path / "two", num_workers=2)
    train(tmp_path / "none")
    assert_equal_weights(final_weights(tmp_path / "two"), final_weights(tmp_path / "none"))


def test_close_views_are_learned_from(train, tmp_path):
    """With any number of workers. The data of the other losses stay the same."""
    options = CLOSE_VIEWS | {"log_every": 1, "max_steps": 2, "model_config": MODEL | NO_DROPOUT}
    train(tmp_path / "close", num_workers=2, **options)
    train(tmp_path / "none", **options)
    train(tmp_path / "plain", **options | {"close_share": 0.0})
    assert_equal_weights(final_weights(tmp_path / "close"), final_weights(tmp_path / "none"))
    close, plain = read_history(tmp_path / "close"), read_history(tmp_path / "plain")
    assert close[0].keys() - plain[0].keys() == {"train/close", "train/sdd"}
    for name in ("train/q2i", "train/i2v", "train/v2t", "train/grounding"):
        assert close[0][name] == plain[0][name]
    assert close[1]["train/q2i"] != plain[1]["train/q2i"]


def test_frozen_text_encoder_stays_as_it_is(train, tmp_path):
    """A checkpoint is trained further, and weight decay spares the frozen encoder too."""
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
        ({"batch_size": 16}, "batch_size: 8 in the checkpoint, 16 now"),
        ({"head_lr": 1e-4}, "head_lr: 0.002 in the checkpoint, 0.0001 now"),
        (
            {"ema_decay": 0.9, "grad_cache_chunk": 4},
            "grad_cache_chunk: 0 in the checkpoint, 4 now, ema_decay: 0.0 in the checkpoint, 0.9 now",
        ),
        ({"num_hard_texts": 0}, "num_hard_texts: 1 in the checkpoint, 0 now"),
        (
            {"close_share": 0.5, "close_size": 24, "sdd_teacher": "self"},
            "close_share: 0.0 in the checkpoint, 0.5 now, close_size: 112 in the checkpoint, 24 now, "
            "sdd_teacher: 'frozen' in the checkpoint, 'self' now",
        ),
        ({"seed": 3, "max_steps": 9}, "seed: 0 in the checkpoint, 3 now, max_steps: 8 in the checkpoint, 9 now"),
    ],
)
def test_resuming_with_other_arguments_is_refused(train, interrupted, tmp_path, changes, told):
    with pytest.raises(ValueError, match=rf"step-00000004' cannot be resumed exactly .*\({told}\)"):
        train(interrupted, save_every=4, resume="auto", **changes)


def test_resuming_with_another_processor_is_refused(train, tmp_path):
    """The checkpoint behind `--model` was replaced by one that renders texts differently."""
    train(tmp_path / "first")
    start = {"model": str(tmp_path / "first"), "model_config": None, "save_every": 2, "max_steps": 4}
    train(tmp_path / "run", **start)
    path = tmp_path / "first" / "processor_config.json"
    saved = json.loads(path.read_text())
    path.write_text(json.dumps(saved | {"text_separator": " / "}))
    with pytest.raises(ValueError, match=r"cannot be resumed exactly .*processor: "):
        train(tmp_path / "run", **start, resume="auto")


def test_resume_from_a_folder(train, interrupted, tmp_path):
    """A run in a folder of its own starts from the checkpoint of another run."""
    checkpoint = interrupted / "checkpoints" / "step-00000004"
    train(tmp_path / "second", resume=str(checkpoint))
    assert [entry["step"] for entry in read_history(tmp_path / "second")] == [6, 8]
    with pytest.raises(FileNotFoundError, match="'absent' is not a complete checkpoint"):
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
    """It stops before the next checkpoint is saved, however rarely the run logs."""
    with pytest.raises(FloatingPointError, match=r"Not finite at step 2: .*'q2i': nan"):
        train(tmp_path, head_lr=1e30, warmup_ratio=0.0, log_every=1000, save_every=1)
    assert [step for step, _ in checkpoint_steps(tmp_path / "checkpoints")] == [1]


def test_gradients_are_measured_where_they_are_not_clipped(train, tmp_path):
    train(tmp_path / "unclipped", max_grad_norm=0.0)
    assert all(entry["train/grad_norm"] > 0 for entry in read_history(tmp_path / "unclipped"))
    train(tmp_path / "wide", max_grad_norm=1e6)
    assert_equal_weights(final_weights(tmp_path / "unclipped"), final_weights(tmp_path / "wide"))
    train(tmp_path / "clipped", max_grad_norm=1e-3)
    assert untimed_history(tmp_path / "clipped")[-1] != untimed_history(tmp_path / "unclipped")[-1]


def test_batch_that_exceeds_the_catalog_is_refused(train, tmp_path):
    with pytest.raises(ValueError, match="batch of 50 rows over all processes exceeds the dataset's 48"):
        train(tmp_path, batch_size=50)


NO_DROPOUT = {"text_config": MODEL["text_config"] | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}}


def test_chunks_do_not_change_a_run(train, tmp_path):
    options = {"model_config": MODEL | NO_DROPOUT, "batch_size": 12, "max_steps": 4, "gradient_accumulation_steps": 2}
    train(tmp_path / "chunks", grad_cache_chunk=5, **options)
    train(tmp_path / "whole", **options)
    for found, expected in zip(untimed_history(tmp_path / "chunks"), untimed_history(tmp_path / "whole"), strict=True):
        assert found == pytest.approx(expected, rel=1e-4)


def test_average_is_what_is_evaluated_and_saved(train, tmp_path):
    """Training is unaffected by the average; the final weights are the average."""
    options = {"max_steps": 4, "save_every": 1, "save_total_limit": 4}
    evaluation = {"eval_every": 4, "eval_data": "drawn", "eval_limit": 6}
    train(tmp_path / "average", ema_decay=0.75, **options, **evaluation)
    train(tmp_path / "plain", **options, **evaluation)
    steps = []
    for step in (1, 2, 3):
        name = f"checkpoints/step-{step:08d}/model.safetensors"
        weights = load_file(tmp_path / "plain" / name)
        assert_equal_weights(load_file(tmp_path / "average" / name), weights)
        steps.append({key.removeprefix("model."): value for key, value in weights.items()})
    averages, last = (TigerFGModel.from_pretrained(tmp_path / run).state_dict() for run in ("average", "plain"))
    steps.append(last)
    for name, value in averages.items():
        expected = steps[0][name]
        for weights in steps[1:]:
            expected = 0.75 * expected + 0.25 * weights[name]
        torch.testing.assert_close(value, expected, msg=name)
    assert not torch.equal(averages["logit_scale"], last["logit_scale"])
    assert (
        untimed_history(tmp_path / "average")[-1] != untimed_history(tmp_path / "plain")[-1]
    )  # the averaged model was evaluated


def test_frozen_stem_stays_as_it_is(train, tmp_path):
    train(tmp_path / "first")
    start = {"model": str(tmp_path / "first"), "model_config": None, "seed": 1}
    train(tmp_path / "frozen", freeze_stem=1, **start)
    before, after = final_weights(tmp_path / "first"), final_weights(tmp_path / "frozen")
    kept = {name for name in after if torch.equal(after[name], before[name])}
    assert kept == {name for name in after if name.startswith(("vision_model.embeddings.", "vision_model.encoder."))}


def test_compiled_run_learns_the_same(train, tmp_path):
    """It is saved under the same names and can be resumed. The backend 'eager' needs no compiler."""
    options = {"model_config": MODEL | NO_DROPOUT, "max_steps": 2, "log_every": 1, "save_every": 1}
    train(tmp_path / "compiled", compile="eager", **options)
    train(tmp_path / "plain", **options)
    for found, expected in zip(
        untimed_history(tmp_path / "compiled"), untimed_history(tmp_path / "plain"), strict=True
    ):
        assert found == pytest.approx(expected, rel=1e-4)
    compiled, plain = final_weights(tmp_path / "compiled"), final_weights(tmp_path / "plain")
    assert compiled.keys() == plain.keys()
    for name, value in compiled.items():
        torch.testing.assert_close(value, plain[name], atol=1e-4, rtol=1e-3, msg=name)
    train(tmp_path / "compiled", compile="eager", resume="auto", **options)
    assert_equal_weights(final_weights(tmp_path / "compiled"), compiled)


def test_run_folder_records_each_session(train, stop_after, tmp_path):
    stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", save_every=2, freeze_text=True)
    train(tmp_path / "run", save_every=2, freeze_text=True, resume="auto")
    first, second = json.loads((tmp_path / "run" / "run.json").read_text())["sessions"]
    assert (first["first_step"], second["first_step"]) == (0, 2)
    assert (first["arguments"]["resume"], second["arguments"]["resume"]) == (None, "auto")
    assert first["arguments"]["backbone_lr"] == 2e-3
    assert first["data"] == second["data"]
    assert len(first["data"]["fingerprint"]) == 32
    assert (first["device"], first["num_processes"]) == ("cpu", 1)
    saved = sum(value.numel() for value in final_weights(tmp_path / "run").values())
    assert first["parameters"]["trainable"] < saved == first["parameters"]["total"]

    train(tmp_path / "other", max_steps=1)
    train(tmp_path / "other", max_steps=2)
    (only,) = json.loads((tmp_path / "other" / "run.json").read_text())["sessions"]
    assert only["arguments"]["max_steps"] == 2


def test_missing_tracker_is_an_error_before_anything_is_read(train, monkeypatch, tmp_path):
    monkeypatch.setattr("tiger_fg_hf.training.loop.is_wandb_available", lambda: False)
    with pytest.raises(ImportError, match=r"--tracker wandb needs the package 'wandb': pip install .*\[wandb\]"):
        train(tmp_path, tracker="wandb", data="no/such/catalog")


def test_a_model_that_looks_twice_trains_box_and_gate(train, stop_after, tmp_path):
    """After an interruption as in one go."""
    changes = {
        "model_config": MODEL | {"num_glances": 2, "glance_size": 16},
        "mosaic_share": 0.5,
        "extent": 1.0,
        "glance": 1.0,
        "save_every": 4,
    }
    train(tmp_path / "whole", **changes)
    history = read_history(tmp_path / "whole")
    assert all(math.isfinite(history[-1][f"train/{name}"]) for name in ("extent", "glance"))
    model = TigerFGModel.from_pretrained(tmp_path / "whole")
    assert model.glance_gate.weight.any()
    assert model.config.first_glance_size == 32
    assert TigerFGProcessor.from_pretrained(tmp_path / "whole").item_size == {"height": 64, "width": 64}
    stop_after(4)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "resumed", **changes)
    train(tmp_path / "resumed", resume="auto", **changes)
    assert_equal_weights(final_weights(tmp_path / "resumed"), final_weights(tmp_path / "whole"))
