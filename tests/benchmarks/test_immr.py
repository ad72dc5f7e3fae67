"""The IMMR benchmark's one command, on drawn products and a model of 50,000 weights."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tiny_training import write_recipe

from benchmarks.harness.folder import claim_folder
from benchmarks.immr import command as immr
from benchmarks.immr import run as immr_run
from benchmarks.immr.arguments import parse_setup
from benchmarks.immr.data import BenchmarkData, TrueBoxPairs
from benchmarks.immr.results import load_result, save_result
from benchmarks.immr.systems import ABLATIONS, BY_NAME, OURS, SYSTEMS
from benchmarks.immr.tables import target_groups
from tiger_fg_hf.hub.card import results_table
from tiger_fg_hf.objectives.tiger_fg_weights import TigerFGLossWeights

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Folder of a recipe, of the benchmarks and of what the tests leave there."""
    folder = tmp_path_factory.mktemp("immr")
    recipe = write_recipe(folder, drawn_products=24, drawn_views=2, max_steps=4, save_every=2, mosaic_share=0.75)
    data = folder / "data"
    return SimpleNamespace(recipe=recipe, data=data)


@pytest.fixture
def command(shared, tmp_path, monkeypatch, fresh_accelerate):
    """Runs the command in this process, its runs included: starting Python for each takes longer than they do."""
    output = tmp_path / "out"
    output.mkdir()
    (output / "data").symlink_to(shared.data, target_is_directory=True)
    shared.data.mkdir(exist_ok=True)
    started = []

    def start(argv, log):
        fresh_accelerate()
        started.append(argv[1])
        try:
            return immr.main(argv)
        except Exception as error:
            print(repr(error), file=log)
            return 1

    monkeypatch.setattr(immr, "start_process", start)

    def call(*flags: str) -> int:
        started.clear()
        return immr.main([*arguments, *flags, str(shared.recipe)])

    arguments = ["--output", str(output), "--limit", "24", "--mosaic_size", "48"]
    return SimpleNamespace(call=call, output=output, started=started, arguments=arguments, recipe=shared.recipe)


def test_one_command_from_data_to_report(command, capsys):
    names = ["late_fusion", OURS, "true_box", "untrained"]
    flags = ["--systems", ",".join(names), "--grid", "1e-3,3e-3", "--grid_steps", "2"]
    assert command.call(*flags) == 0
    trials = [f"grid/{name}-lr{rate}" for name in names[:3] for rate in ("0.001", "0.003")]
    finals = [f"{name}-seed0" for name in names]
    assert command.started == trials + finals

    report = command.output / "report"
    text = (report / "report.md").read_text()
    for heading in ("Systems", "Paired differences", "Grounding", "Robustness", "Learning rates", "Cost"):
        assert f"## {heading}\n" in text
    assert "**Not run yet:** image-seed0, image-mosaics-seed0," in text
    assert text.count("\n| `true_box` |") == 8
    assert Image.open(report / "recall.png").width == 1800
    assert Image.open(report / "grounding.png").height > 300
    assert "<article>" in (report / "grounding.html").read_text()

    numbers = json.loads((report / "results.json").read_text())
    assert numbers["systems"].keys() == set(names)
    assert numbers["paired"].keys() == {f"{OURS} - {name}" for name in names if name != OURS}
    for name in names[:3]:
        scores = {float(rate): score for rate, score in numbers["learning_rates"][name].items()}
        assert scores.keys() == {1e-3, 3e-3}
        assert numbers["systems"][name]["runs"][0]["rate"] == max(scores, key=scores.get)
    ours = numbers["systems"][OURS]
    assert ours["cost"]["item"]["parameters"] > ours["cost"]["query"]["parameters"] > 0
    assert ours["cost"]["item"]["gflops"] > numbers["systems"]["untrained"]["cost"]["item"]["gflops"] > 0
    assert ours["grounding"]["mass mosaic"]["chance"] < ours["grounding"]["mass normal"]["chance"]

    # All read the same bytes, and only the trials those of the validation benchmark.
    results = {name: load_result(command.output / name) for name in trials + finals}
    contents = [{results[name].settings["benchmark"]["content"] for name in group} for group in (trials, finals)]
    assert len(contents[0]) == len(contents[1]) == 1
    assert contents[1] == {numbers["benchmark"]["content"]} != contents[0]
    assert not list(command.output.glob("**/checkpoints"))
    assert not list(command.output.glob("grid/*/model"))

    # Given again it keeps what there is; a part of the systems does not take the others out of the report.
    before = (report / "results.json").read_bytes()
    capsys.readouterr()
    assert command.call(*flags[:1], "late_fusion", *flags[2:]) == 0
    assert "late_fusion-seed0: kept" in capsys.readouterr().out
    assert (report / "results.json").read_bytes() == before
    command.started.clear()
    assert command.call(*flags, "--report_only") == 0
    assert command.started == []


def test_the_command_starts_processes(shared, tmp_path):
    shared.data.mkdir(exist_ok=True)
    flags = [
        "--output",
        str(tmp_path),
        "--systems",
        "untrained",
        "--lr",
        "1e-3",
        "--limit",
        "8",
        "--mosaic_size",
        "32",
    ]
    process = [sys.executable, str(BENCHMARKS / "immr"), *flags, str(shared.recipe)]
    done = subprocess.run(process, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "untrained-seed0: done" in done.stdout
    assert "`untrained`" in (tmp_path / "report" / "report.md").read_text()


def test_an_interrupted_run_goes_on_and_ends_the_same(command, monkeypatch, tmp_path):
    flags = ["--systems", OURS, "--lr", "1e-3"]
    collate = immr_run.TigerFGCollator.__call__
    batches = []

    def interrupt(self, pairs):
        batches.append(len(pairs))
        if len(batches) == 4:
            raise KeyboardInterrupt
        return collate(self, pairs)

    monkeypatch.setattr(immr_run.TigerFGCollator, "__call__", interrupt)
    run = [*command.arguments, *flags, "--run_one", f"{OURS}-seed0", str(command.recipe)]
    command.call("--systems", "untrained", "--lr", "1e-3")  # the benchmarks
    with pytest.raises(KeyboardInterrupt):
        immr.main(run)
    folder = command.output / f"{OURS}-seed0"
    assert [path.name for path in folder.glob("checkpoints/step-*")] == ["step-00000002"]
    assert command.call(*flags) == 0
    assert len(batches) == 6  # two of the four steps were done
    resumed = load_result(folder)

    folder.rename(tmp_path / "resumed")
    assert command.call(*flags) == 0
    whole = load_result(folder)
    assert whole.summary == resumed.summary
    assert whole.settings == resumed.settings
    np.testing.assert_array_equal(
        whole.scores.galleries["mosaic"].grounding, resumed.scores.galleries["mosaic"].grounding
    )


def test_a_model_that_is_trained_is_not_trained_again(command, monkeypatch):
    flags = ["--systems", "late_fusion", "--lr", "1e-3"]
    score_model = immr_run.score_model
    monkeypatch.setattr(immr_run, "score_model", None)
    assert command.call(*flags) == 1
    folder = command.output / "late_fusion-seed0"
    assert "not callable" in (folder / "log.txt").read_text()
    monkeypatch.setattr(immr_run, "score_model", score_model)
    monkeypatch.setattr(immr_run, "train", None)
    assert command.call(*flags) == 0
    assert load_result(folder).training["steps"] == 4


def test_other_settings_are_refused_and_left_out_of_the_report(command):
    flags = ["--systems", "image", "--lr", "1e-3"]
    assert command.call(*flags) == 0
    changed = [*flags, "--seeds", "0", "--mosaic_share", "0.5"]
    assert command.call(*changed) == 1
    log = (command.output / "image-seed0" / "log.txt").read_text()
    assert "data.mosaic_share: 0.75 there, 0.5 now" in log
    report = (command.output / "report" / "report.md").read_text()
    assert "- image-seed0: data.mosaic_share: 0.75 there, 0.5 now" in report
    assert "`image`" not in report
    with pytest.raises(ValueError, match="limit: 24 there, 23 now"):
        command.call(*flags, "--limit", "23")


def test_a_folder_of_another_versions_arguments_is_refused(tmp_path):
    """An argument that there was not then, or is not now, may have another value than it would have had."""
    settings = {"steps": 4, "model": {"rank": 2}}
    claim_folder(tmp_path / "run", settings)
    claim_folder(tmp_path / "run", settings)
    for changed, told in (
        ({"steps": 4, "model": {"rank": 2, "samples": 512}}, "model.samples: nothing there, 512 now"),
        ({"model": {"rank": 2}}, "steps: 4 there, nothing now"),
    ):
        with pytest.raises(ValueError, match=told):
            claim_folder(tmp_path / "run", changed)


def test_ablations_learn_at_the_rate_of_tiger_fg(command):
    flags = ["--systems", "tiger_fg-full,tiger_fg-no_appearance,tiger_fg-vision_first", "--grid", "1e-3,2e-3"]
    assert command.call(*flags, "--grid_steps", "1", "--ablation_steps", "2") == 0
    assert command.started[:2] == [f"grid/{OURS}-lr0.001", f"grid/{OURS}-lr0.002"]
    results = [load_result(command.output / name) for name in command.started[2:]]
    assert len({result.settings["rate"] for result in results}) == 1
    assert {result.settings["steps"] for result in results} == {2}
    assert "## Ablations" in (command.output / "report" / "report.md").read_text()


def test_evaluation_of_a_checkpoint(command, capsys):
    assert command.call("--systems", OURS, "--lr", "1e-3") == 0
    folder = command.output / f"{OURS}-seed0"
    capsys.readouterr()
    assert command.call("--evaluate", str(folder / "model")) == 0
    printed = capsys.readouterr().out
    assert "### Mosaic gallery" in printed
    assert "## Robustness" in printed
    found = json.loads((command.output / "evaluation" / "evaluation.json").read_text())
    assert found["summary"] == load_result(folder).summary
    card = json.loads((command.output / "evaluation" / "mosaic.json").read_text())
    assert card["metrics"]["recall@1"]["mean"] == pytest.approx(found["summary"]["mosaic"]["recall@1"])
    assert 0 <= card["pointing"]["mean"] <= 1
    assert "Drawn mosaics | 24 → 24" in results_table({"Drawn mosaics": card})


def test_results_are_read_as_they_were_written(command, tmp_path):
    assert command.call("--systems", OURS, "--lr", "1e-3") == 0
    result = load_result(command.output / f"{OURS}-seed0")
    gallery = result.scores.galleries["mosaic"]
    gallery.tied["own"][3] = 5
    gallery.mass[2] = np.nan
    save_result(tmp_path, result)
    again = load_result(tmp_path)
    assert (again.settings, again.summary, again.cost) == (result.settings, result.summary, result.cost)
    for name, value in vars(gallery).items():
        np.testing.assert_equal(vars(again.scores.galleries["mosaic"])[name], value, err_msg=name)


def test_true_box_pairs_show_the_box_alone(command):
    setup = parse_setup([*command.arguments, "--lr", "1e-3", str(command.recipe)])
    data = BenchmarkData(setup)
    pairs = data.pairs(seed=0, mosaics=True, hard_texts=False, true_boxes=True)
    assert isinstance(pairs, TrueBoxPairs)
    assert pairs.categories == pairs.pairs.categories
    rows = (0, next(row for row in range(1, len(pairs)) if pairs.categories[row] != pairs.categories[0]))
    keys = [(0, rows[0], rows), (0, rows[1], rows), (0, 5)]
    for whole, cropped in zip(pairs.pairs.__getitems__(keys), pairs.__getitems__(keys), strict=True):
        x0, y0, x1, y1 = (round(side) for side in whole["box"])
        assert cropped["image"].tobytes() == whole["image"].crop((x0, y0, x1, y1)).tobytes()
        assert cropped["box"] == [0, 0, x1 - x0, y1 - y0]
        assert cropped["query"].tobytes() == whole["query"].tobytes()
    assert len({pair["image_key"] for pair in pairs.__getitems__(keys)}) == 3


def test_queries_are_grouped_by_area_and_distractors(command):
    command.call("--systems", "untrained", "--lr", "1e-3")
    setup = parse_setup([*command.arguments, "--lr", "1e-3", str(command.recipe)])
    benchmark = BenchmarkData(setup).benchmark("test")
    groups = target_groups(benchmark)
    assert list(groups) == [
        "below 5%",
        "5–10%",
        "10–25%",
        "above 25%",
        "1 distractor",
        "2 distractors",
        "3 distractors",
    ]
    by_area = np.stack([groups[name] for name in list(groups)[:4]])
    assert (by_area.sum(0) == 1).all()
    assert (np.stack([groups[name] for name in list(groups)[4:]]).sum(0) == 1).all()
    row = int(np.flatnonzero(groups["10–25%"])[0])
    assert 0.10 <= benchmark.mosaic[row]["target_area"] < 0.25
    row = int(np.flatnonzero(groups["2 distractors"])[0])
    assert len(benchmark.mosaic[row]["distractors"]) == 2


def test_every_system_starts_from_the_same_encoders_and_has_its_own_losses():
    own = TigerFGLossWeights(i2v=0.5)
    assert BY_NAME[OURS].weights(own) == BY_NAME["tiger_fg"].weights(own) == own
    assert BY_NAME["tiger_fg-no_i2v"].weights(own) == replace(own, i2v=0.0)
    contrastive = BY_NAME["late_fusion"].weights(own)
    assert contrastive.q2i == 1.0
    terms = contrastive.student_terms()
    assert not any((terms.mismatched, terms.region, terms.text, terms.relations))
    assert not BY_NAME["tiger_fg-no_hard_negatives"].weights(own).student_terms().mismatched
    assert len({system.name for system in (*SYSTEMS, *ABLATIONS)}) == len(SYSTEMS) + len(ABLATIONS)


def test_arguments_that_the_benchmark_sets_are_refused():
    with pytest.raises(ValueError, match="The benchmark sets --seed itself"):
        parse_setup(["--output", "x", "--seed", "3"])
    with pytest.raises(ValueError, match="unknown system 'clip'"):
        parse_setup(["--output", "x", "--systems", "clip"])
    for flag, value in (("--seeds", "0,x"), ("--grid", "1e-3;1e-4")):
        with pytest.raises(ValueError, match=f"{flag} must be numbers with commas, got '{value}'"):
            parse_setup(["--output", "x", flag, value])
    setup = parse_setup(["--output", "x", "--i2v", "0.25", "--max_steps", "7", "--systems", "all,ablations"])
    assert setup.losses == TigerFGLossWeights(i2v=0.25)
    assert setup.train.max_steps == 7
    assert len(setup.bench.system_names) == len(SYSTEMS) + len(ABLATIONS)


def test_loader_and_step_are_timed(command, capsys):
    from benchmarks.micro import loader

    assert loader.main([str(command.recipe), "--max_steps", "2"]) in (0, 1)
    assert "loader / step" in capsys.readouterr().out
