"""What every benchmark inherits from the harness."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness.arguments import read_numbers
from benchmarks.harness.folder import claim_folder
from benchmarks.harness.record import record_table
from benchmarks.harness.systems import System, SystemList
from benchmarks.immr import benchmark as immr_benchmark
from benchmarks.listings import benchmark as listings_benchmark
from benchmarks.listings.features import FeatureCollator
from tiger_fg_hf.data.tiger_fg_collator import TigerFGCollator
from tiger_fg_hf.hub.card import results_table

MODULES = {"immr": immr_benchmark, "listings": listings_benchmark}
COLLATORS = {"immr": TigerFGCollator, "listings": FeatureCollator}


@pytest.fixture(params=sorted(MODULES))
def name(request):
    return request.param


@pytest.fixture
def case(name, request):
    return request.getfixturevalue(name)


@pytest.fixture
def command(case, make_command):
    return make_command(case)


def test_the_command_starts_processes(case, tmp_path):
    """As a script, from any directory."""
    script = [sys.executable, str(case.kind.script)]
    listed = subprocess.run([*script, "--help"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr[-2000:]
    assert "--run_one" in listed.stdout
    if "untrained" in case.kind.systems.by_name:
        flags = ["--output", str(tmp_path), "--systems", "untrained", *case.cheap, "--limit", "8"]
        process = [*script, *flags, "--mosaic_size", "48", str(case.recipe)]
        done = subprocess.run(process, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "untrained-seed0: done" in done.stdout
        assert "`untrained`" in (tmp_path / "report" / "report.md").read_text()


def test_an_interrupted_run_resumes_and_ends_the_same(command, case, name, monkeypatch, tmp_path):
    flags = ["--systems", case.ours, *case.cheap]
    collator = COLLATORS[name]
    collate = collator.__call__
    batches = []

    def interrupt(self, pairs):
        batches.append(len(pairs))
        if len(batches) == 4:
            raise KeyboardInterrupt
        return collate(self, pairs)

    monkeypatch.setattr(collator, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        command.call(*flags)
    folder = command.output / f"{case.ours}-seed0"
    assert [path.name for path in folder.glob("checkpoints/step-*")] == ["step-00000002"]
    assert command.call(*flags) == 0
    assert len(batches) == 6  # two of the four steps were done
    resumed = command.load(folder.name)

    folder.rename(tmp_path / "resumed")
    assert command.call(*flags) == 0
    uninterrupted = command.load(folder.name)
    assert uninterrupted.summary == resumed.summary
    assert uninterrupted.settings == resumed.settings


def test_a_trained_model_is_not_trained_again(command, case, name, monkeypatch):
    flags = ["--systems", case.small, *case.cheap]
    with monkeypatch.context() as patch:
        patch.setattr(case.kind, "score", None)
        assert command.call(*flags) == 1
    folder = command.output / f"{case.small}-seed0"
    assert "not callable" in (folder / "log.txt").read_text()
    monkeypatch.setattr(MODULES[name], "train", None)
    assert command.call(*flags) == 0
    assert command.load(folder.name).training["steps"] == 4


def test_finished_runs_are_kept_and_all_are_reported(command, case, capsys):
    assert command.call("--systems", f"{case.small},{case.ours}", *case.cheap) == 0
    before = (command.output / "report" / "results.json").read_bytes()
    capsys.readouterr()
    assert command.call("--systems", case.small, *case.cheap) == 0
    assert f"{case.small}-seed0: kept" in capsys.readouterr().out
    assert (command.output / "report" / "results.json").read_bytes() == before
    assert command.call("--report_only", *case.cheap) == 0
    assert command.started == []
    assert "**Not run yet:** " in command.report()
    assert not list(command.output.glob("**/checkpoints"))


def test_other_settings_are_refused_and_left_out_of_the_report(command, case):
    flag, value, difference = case.change
    flags = ["--systems", case.small, *case.cheap]
    assert command.call(*flags) == 0
    assert command.call(*flags, flag, value) == 1
    assert difference in (command.output / f"{case.small}-seed0" / "log.txt").read_text()
    assert f"- {case.small}-seed0: {difference}" in command.report()
    assert f"`{case.small}`" not in command.report()
    limit = int(case.arguments[1])
    with pytest.raises(ValueError, match=f"limit: {limit} there, {limit - 1} now"):
        command.call(*flags, "--limit", str(limit - 1))


def test_the_learning_rate_is_selected_on_the_validation_benchmark(command, case):
    flags = ["--systems", f"{case.ours},{case.small}", "--grid", "1e-3,3e-3", "--grid_steps", "2", "--seeds", "0,1"]
    assert command.call(*flags) == 0
    names = (case.ours, case.small)
    trials = [f"grid/{name}-lr{rate}" for name in names for rate in ("0.001", "0.003")]
    finals = [f"{name}-seed{seed}" for seed in (0, 1) for name in names]
    assert command.started == trials + finals
    numbers = command.numbers()
    for name in names:
        scores = {float(rate): score for rate, score in numbers["learning_rates"][name].items()}
        assert scores.keys() == {1e-3, 3e-3}
        assert [run["rate"] for run in numbers["systems"][name]["runs"]] == [max(scores, key=scores.get)] * 2
    results = {run: command.load(run) for run in trials + finals}
    contents = [{results[run].settings["benchmark"]["content"] for run in group} for group in (trials, finals)]
    assert len(contents[0]) == len(contents[1]) == 1
    assert contents[1] == {numbers["benchmark"]["content"]} != contents[0]
    assert not list(command.output.glob("grid/*/model"))
    assert "## Seeds" in command.report()
    # Reported figures are means over seeds.
    part, metric = case.kind.scored_class.parts[1], case.kind.scored_class.main
    mean = np.mean([results[f"{case.ours}-seed{seed}"].summary[part][metric] for seed in (0, 1)])
    assert numbers["systems"][case.ours]["metrics"][part][metric]["mean"] == pytest.approx(100 * mean)


def test_a_checkpoint_scores_the_same_by_itself(command, case, capsys):
    assert command.call("--systems", case.ours, *case.cheap) == 0
    folder = command.output / f"{case.ours}-seed0"
    capsys.readouterr()
    assert command.call("--evaluate", str(folder / "model"), *case.cheap) == 0
    printed = capsys.readouterr().out
    output = command.output / "evaluation"
    assert (output / "evaluation.md").read_text().strip() in printed
    numbers = json.loads((output / "evaluation.json").read_text())
    expected = command.load(folder.name).summary
    for part, metrics in expected.items():
        assert numbers["summary"][part] == pytest.approx(metrics)
        card = json.loads((output / f"{part}.json").read_text())
        assert {name: interval["mean"] for name, interval in card["metrics"].items()} == pytest.approx(metrics)
        table = results_table({"Drawn": card}, [name for name in metrics if name != "ndcg@10"])
        assert f"Drawn | {card['num_queries']} → {card['num_items']}" in table

    record = json.loads((output / "record.json").read_text())
    assert record["command"].startswith(f"python -m benchmarks.{case.kind.script.name} ")
    scored = case.kind.scored_class
    value = next(
        figure["mean"] for figure in record["figures"] if (figure["part"], figure["metric"]) == (part, scored.main)
    )
    assert value == pytest.approx(100 * expected[part][scored.main], abs=1e-4)
    assert f"| `model` | {value:.1f} [" in record_table(record, [(part, scored.main)])


def test_settings_of_other_versions_are_refused(tmp_path):
    """The value of a new or a removed argument is unknown in the other version."""
    settings = {"steps": 4, "model": {"rank": 2}}
    claim_folder(tmp_path / "run", settings)
    claim_folder(tmp_path / "run", settings)
    for changed, difference in (
        ({"steps": 4, "model": {"rank": 2, "samples": 512}}, "model.samples: nothing there, 512 now"),
        ({"model": {"rank": 2}}, "steps: 4 there, nothing now"),
    ):
        with pytest.raises(ValueError, match=difference):
            claim_folder(tmp_path / "run", changed)


def test_arguments_are_checked_before_anything_is_built(case):
    parse = case.kind.parse
    with pytest.raises(ValueError, match="The benchmark sets --seed itself"):
        parse(["--output", "x", "--seed", "3"])
    with pytest.raises(ValueError, match="unknown system 'clip'"):
        parse(["--output", "x", "--systems", "clip"])
    for flag, value in (("--seeds", "0,x"), ("--grid", "1e-3;1e-4")):
        with pytest.raises(ValueError, match=f"{flag} must be numbers separated by commas, got '{value}'"):
            parse(["--output", "x", flag, value])
    setup = parse(["--output", "x", "--max_steps", "7", "--systems", "all,ablations"])
    assert setup.train.max_steps == 7
    assert setup.bench.system_names == list(case.kind.systems.by_name)


def test_numbers_are_parsed():
    assert read_numbers("1e-3,2", float, "--grid") == [1e-3, 2.0]


def test_ablations_learn_at_the_rate_of_the_main_system():
    a, b, c = (System(name, "") for name in "abc")
    systems = SystemList((a, b), (c,), "b", "b")
    assert [systems.rate_source(name) for name in "abc"] == ["a", "b", "b"]
    assert systems.select("ablations,a,c") == ["c", "a"]


def test_records_of_published_figures_can_be_tabulated():
    folder = Path(__file__).parents[2] / "benchmarks" / "results"
    for path in folder.glob("*.json"):
        record = json.loads(path.read_text())
        assert record["schema"] == 1
        assert {"benchmark", "title", "command", "commit", "date", "sizes", "figures"} <= record.keys()
        columns = list(dict.fromkeys((figure["part"], figure["metric"]) for figure in record["figures"]))
        assert len(record_table(record, columns).splitlines()) > 2, path
