"""The IMMR benchmark, on drawn products and a model of 50,000 weights."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image
from tiny_training import MODEL

from benchmarks.immr.data import TrueBoxPairs
from benchmarks.immr.results import IMMRResult
from benchmarks.immr.scored import target_groups
from benchmarks.immr.systems import BY_NAME, OURS
from tiger_fg_hf.evaluation.immr_scores import GALLERIES
from tiger_fg_hf.hub.card import results_table
from tiger_fg_hf.objectives.tiger_fg_weights import TigerFGLossWeights


@pytest.fixture
def command(immr, make_command):
    return make_command(immr)


def test_one_command_from_data_to_report(command):
    names = ["late_fusion", OURS, "true_box", "untrained"]
    assert command.call("--systems", ",".join(names), "--lr", "1e-3") == 0
    assert command.started == [f"{name}-seed0" for name in names]

    report, text = command.output / "report", command.report()
    for heading in ("Systems", "Paired differences", "Grounding", "Robustness", "Learning rates", "Cost"):
        assert f"## {heading}\n" in text
    assert "**Not run yet:** image-seed0, image-mosaics-seed0," in text
    assert text.count("\n| `true_box` |") == 9
    assert Image.open(report / "recall.png").width == 1800
    assert Image.open(report / "grounding.png").height > 300
    assert "<article>" in (report / "grounding.html").read_text()

    numbers = command.numbers()
    assert numbers["systems"].keys() == set(names)
    assert numbers["paired"].keys() == {f"{OURS} - {name}" for name in names if name != OURS}
    ours = numbers["systems"][OURS]
    assert ours["cost"]["item"]["parameters"] > ours["cost"]["query"]["parameters"] > 0
    assert ours["cost"]["item"]["gflops"] > numbers["systems"]["untrained"]["cost"]["item"]["gflops"] > 0
    assert ours["grounding"]["mass mosaic"]["chance"] < ours["grounding"]["mass normal"]["chance"]


def test_data_of_an_earlier_version_gains_scenes(command):
    assert command.call("--systems", "untrained") == 0
    folder = command.output / "data" / "test"
    meta = json.loads((folder / "immr.json").read_text())
    scenes = meta.pop("scene")
    (folder / "immr.json").write_text(json.dumps(meta))
    assert command.call("--report_only") == 0
    assert json.loads((folder / "immr.json").read_text())["scene"] == scenes
    assert "### Scene" in command.report()


def test_ablations_learn_at_the_rate_of_tiger_fg(command):
    flags = ["--systems", "tiger_fg-full,tiger_fg-no_appearance,tiger_fg-vision_first", "--grid", "1e-3,2e-3"]
    assert command.call(*flags, "--grid_steps", "1", "--ablation_steps", "2") == 0
    assert command.started[:2] == [f"grid/{OURS}-lr0.001", f"grid/{OURS}-lr0.002"]
    results = [command.load(name) for name in command.started[2:]]
    assert len({result.settings["rate"] for result in results}) == 1
    assert {result.settings["steps"] for result in results} == {2}
    assert "## Ablations" in command.report()


def test_evaluation_of_a_checkpoint_measures_grounding(command, capsys):
    assert command.call("--systems", OURS, "--lr", "1e-3") == 0
    assert command.call("--evaluate", str(command.output / f"{OURS}-seed0" / "model")) == 0
    printed = capsys.readouterr().out
    assert "### Mosaic" in printed
    assert "## Robustness" in printed
    assert "### Scene" in printed
    cards = {part: json.loads((command.output / "evaluation" / f"{part}.json").read_text()) for part in GALLERIES}
    assert all(0 <= card["pointing"]["mean"] <= 1 for card in cards.values())
    assert results_table(cards).count("→") == len(cards) + 1
    record = json.loads((command.output / "evaluation" / "record.json").read_text())
    pointing = next(figure for figure in record["figures"] if figure["metric"] == "pointing")
    assert 0 < pointing["chance"] < 100


def test_results_are_read_as_they_were_written(command, tmp_path):
    assert command.call("--systems", OURS, "--lr", "1e-3") == 0
    result = command.load(f"{OURS}-seed0")
    gallery = result.scores.galleries["mosaic"]
    gallery.tied["own"][3] = 5
    gallery.mass[2] = np.nan
    result.save(tmp_path)
    again = IMMRResult.load(tmp_path)
    assert (again.settings, again.summary, again.cost) == (result.settings, result.summary, result.cost)
    for name, value in vars(gallery).items():
        np.testing.assert_equal(vars(again.scores.galleries["mosaic"])[name], value, err_msg=name)


def test_true_box_pairs_show_the_box_alone(command):
    pairs = command.benchmark().data.pairs(seed=0, mosaics=True, hard_texts=False, true_boxes=True)
    assert isinstance(pairs, TrueBoxPairs)
    assert pairs.categories == pairs.pairs.categories
    rows = (0, next(row for row in range(1, len(pairs)) if pairs.categories[row] != pairs.categories[0]))
    keys = [(0, rows[0], rows), (0, rows[1], rows), (0, 5)]
    for full, cropped in zip(pairs.pairs.__getitems__(keys), pairs.__getitems__(keys), strict=True):
        x0, y0, x1, y1 = (round(side) for side in full["box"])
        assert cropped["image"].tobytes() == full["image"].crop((x0, y0, x1, y1)).tobytes()
        assert cropped["box"] == [0, 0, x1 - x0, y1 - y0]
        assert cropped["query"].tobytes() == full["query"].tobytes()
    assert len({pair["image_key"] for pair in pairs.__getitems__(keys)}) == 3


def test_every_system_with_mosaics_is_trained_on_the_same_close_views(command):
    """The true-box system too, whose item pictures are crops."""
    flags = ["--close_share", "0.8", "--close_size", "16", "--close", "0.5"]
    benchmark = command.benchmark(*flags)
    assert {name: benchmark.data.settings[name] for name in ("close_share", "close_size")} == {
        "close_share": 0.8,
        "close_size": 16,
    }
    build = partial(benchmark.data.pairs, seed=0, hard_texts=False, close_views=True)
    plain, boxes, alone = (
        build(mosaics=mosaics, true_boxes=boxes) for mosaics, boxes in ((True, False), (True, True), (False, False))
    )
    rows = (0, next(row for row in range(1, len(plain)) if plain.categories[row] != plain.categories[0]))
    keys = [(epoch, row, rows) for epoch in range(3) for row in rows]
    close = [pair["close"] and pair["close"].tobytes() for pair in plain.__getitems__(keys)]
    assert any(close)
    assert [pair["close"] and pair["close"].tobytes() for pair in boxes.__getitems__(keys)] == close
    assert boxes.close_views.config.size == 16
    assert alone.close_views is None
    for name in ("image", "late_fusion-mosaics", "true_box", OURS):
        assert BY_NAME[name].weights(benchmark.setup.losses).close == 0.5
    assert BY_NAME["late_fusion"].weights(TigerFGLossWeights()).active() == {"q2i": 1.0}


def test_runs_with_close_views(command):
    flags = ["--lr", "1e-3", "--close_share", "1", "--close_size", "16", "--close", "1", "--sdd_teacher", "self"]
    names = ["late_fusion", "late_fusion-mosaics", "true_box", OURS]
    assert command.call("--systems", ",".join(names), *flags) == 0
    assert "75% of their pairs in mosaics, and close views of 100% of those at 16 px." in command.report()
    logged = {
        name: json.loads((command.output / f"{name}-seed0" / "history.jsonl").open().readline()) for name in names
    }
    assert {name: "train/close" in entry for name, entry in logged.items()} == {
        name: name != "late_fusion" for name in names
    }
    assert "train/sdd" in logged[OURS]
    assert command.call("--systems", OURS, "--close_size", "24", *flags[:4], *flags[6:]) != 0


def test_runs_with_two_glances(command):
    """Baselines look once, at the same mosaics; the report has extents and glances."""
    flags = ["--lr", "1e-3", "--close_share", "1", "--close_size", "16", "--close", "1"]
    flags += [
        "--extent",
        "0.5",
        "--glance",
        "0.5",
        "--model_config",
        json.dumps(MODEL | {"num_glances": 2, "glance_size": 16}),
    ]
    names = [
        "late_fusion-mosaics",
        OURS,
        "tiger_fg-full",
        "tiger_fg-one_glance",
        "tiger_fg-votes",
        "tiger_fg-quantile",
    ]
    assert command.call("--systems", ",".join(names), *flags) == 0
    loaded = {name: command.load(f"{name}-seed0") for name in names}
    side = command.benchmark().setup.model.image_size
    assert {result.settings["mosaic_size"] for result in loaded.values()} == {2 * side}
    once = {name for name, result in loaded.items() if result.scores.galleries["mosaic"].extent is None}
    assert once == {"late_fusion-mosaics", "tiger_fg-one_glance"}
    gallery = loaded[OURS].scores.galleries["mosaic"]
    assert gallery.boxes.shape == (len(gallery.extent), 4)
    assert 0 < np.nanmean(gallery.extent) < 1
    assert gallery.above.keys() >= {"own", "first_glance", "second_glance"}
    report = command.report()
    assert "| extent IoU | Normal | Scene | Mosaic |" in report
    assert "## Glances" in report
    costs = {name: result.cost["item"]["gflops"] for name, result in loaded.items()}
    assert costs[OURS] > costs["tiger_fg-one_glance"] > costs["late_fusion-mosaics"]
    logged = json.loads((command.output / f"{OURS}-seed0" / "history.jsonl").open().readline())
    assert logged.keys() >= {"train/glance", "train/extent"}


def test_queries_are_grouped_by_area_and_distractors(command):
    benchmark = command.benchmark().data.build_benchmark("test")
    groups = target_groups(benchmark)
    areas, counts = list(groups)[:4], list(groups)[4:]
    assert areas == ["below 5%", "5–10%", "10–25%", "above 25%"]
    assert counts == ["1 distractor", "2 distractors", "3 distractors"]
    for names in (areas, counts):
        assert (np.stack([groups[name] for name in names]).sum(0) == 1).all()
    row = int(np.flatnonzero(groups["10–25%"])[0])
    assert 0.10 <= benchmark.mosaic[row]["target_area"] < 0.25
    row = int(np.flatnonzero(groups["2 distractors"])[0])
    assert len(benchmark.mosaic[row]["distractors"]) == 2


def test_baselines_have_the_contrastive_loss_alone():
    full = TigerFGLossWeights(i2v=0.5)
    assert BY_NAME[OURS].weights(full) == BY_NAME["tiger_fg"].weights(full) == full
    assert BY_NAME["tiger_fg-no_i2v"].weights(full) == replace(full, i2v=0.0)
    contrastive = BY_NAME["late_fusion"].weights(full)
    assert contrastive.q2i == 1.0
    terms = contrastive.student_outputs()
    assert not any((terms.mismatched, terms.region, terms.text, terms.relations))
    assert not BY_NAME["tiger_fg-no_hard_negatives"].weights(full).student_outputs().mismatched


def test_loader_and_step_are_timed(immr, capsys, fresh_accelerate):
    from benchmarks.micro import loader

    assert loader.main([str(immr.recipe), "--max_steps", "2"]) in (0, 1)
    assert "loader / step" in capsys.readouterr().out
