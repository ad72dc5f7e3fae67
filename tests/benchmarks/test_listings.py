"""The listings benchmark, on drawn products and models of some ten thousand weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tgq import VOCAB, tiny_tgq_config

from benchmarks.listings import benchmark as listings_benchmark
from benchmarks.listings.arguments import parse_listings_setup
from benchmarks.listings.gates import title_donors
from benchmarks.listings.model import start_model
from benchmarks.listings.results import ListingsResult
from benchmarks.listings.systems import ABLATIONS, BY_NAME, OURS, SYSTEMS
from benchmarks.micro import connector_flops
from tiger_fg_hf.models.configuration_tgq_former import CONNECTORS
from tiger_fg_hf.models.modeling_tgq_former import TGQFormerModel
from tiger_fg_hf.objectives.tgq_former import TGQFormerLossWeights
from tiger_fg_hf.synthetic.overlays import LEVELS


@pytest.fixture
def command(listings, make_command):
    return make_command(listings)


def test_one_command_from_data_to_report(command, capsys, monkeypatch):
    collate = listings_benchmark.FeatureCollator.__call__
    batches = {}

    def watch(self, pairs):
        batch = [
            (pair["row"], pair["texts"], [side["image_tokens"].numpy().tobytes() for side in pair["features"]])
            for pair in pairs
        ]
        batches.setdefault(command.started[-1], []).append(batch)
        return collate(self, pairs)

    monkeypatch.setattr(listings_benchmark.FeatureCollator, "__call__", watch)
    assert command.call("--systems", "all,ablations") == 0
    printed = capsys.readouterr().out
    names = [system.name for system in (*SYSTEMS, *ABLATIONS)]
    assert command.started == [f"{name}-seed0" for name in names]
    # Every system is trained on the same bytes in the same order.
    assert all(batches[f"{name}-seed0"] == batches[f"{OURS}-seed0"] for name in names)
    assert [len(batch) for batch in batches[f"{OURS}-seed0"]] == [4] * 4

    report, text = command.output / "report", command.report()
    for heading in (
        "Systems",
        "Results",
        "Drop",
        "Wrong titles",
        "Paired differences",
        "Learning rates",
        "Cost",
        "Ablations",
        "Gates",
    ):
        assert f"## {heading}\n" in text
    assert "Not run yet" not in text
    assert text.count("\n| `mlp` |") == 7  # three levels, drop, wrong titles, differences, cost
    assert text.count("\n| `no_rr` |") == 1
    assert text.count(f"\n| `{OURS}` |") == 7
    assert "a pool of 20, 8 of them distractors" in text
    assert Image.open(report / "hit_rate.png").width == 1800
    assert Image.open(report / "gates.png").width > 1000

    numbers = command.numbers()
    assert numbers["systems"].keys() == set(names)
    assert numbers["paired"].keys() == {f"{OURS} - {name}" for name in names if name != OURS}
    for system in numbers["systems"].values():
        assert system["metrics"].keys() == set(LEVELS)
        for metrics in system["metrics"].values():
            assert metrics["hit_rate@100"]["mean"] == 100  # of 20
    ours = numbers["systems"][OURS]
    cell = numbers["paired"][f"{OURS} - mlp"]["heavy"]["mrr"]
    theirs = numbers["systems"]["mlp"]["metrics"]["heavy"]["mrr"]["mean"]
    assert cell["difference"] == pytest.approx(ours["metrics"]["heavy"]["mrr"]["mean"] - theirs)
    assert cell["relative"] == pytest.approx(100 * cell["difference"] / theirs)
    for system in numbers["systems"].values():
        assert system["wrong_titles"].keys() == set(LEVELS)
    drop = ours["drop"]["mrr"]["difference"]
    assert drop == pytest.approx(ours["metrics"]["clean"]["mrr"]["mean"] - ours["metrics"]["heavy"]["mrr"]["mean"])

    # All connectors have the same number of parameters.
    cost = {name: system["cost"] for name, system in numbers["systems"].items()}
    for system in SYSTEMS:
        assert cost[system.name]["connector"]["parameters"] == pytest.approx(
            cost[OURS]["connector"]["parameters"], rel=0.01
        )
        assert 0 < cost[system.name]["connector"]["gflops"] < cost[system.name]["item"]["gflops"]
    assert cost["no_gate"]["connector"]["parameters"] < cost[OURS]["connector"]["parameters"]
    assert cost["no_rr"] == cost[OURS]
    gates = {name: bool(system["gates"]) for name, system in numbers["systems"].items()}
    assert [name for name, has in gates.items() if has] == [OURS, "no_rr"]
    assert -1 < ours["gates"]["heavy"]["metadata"]["difference"]["difference"] < 1
    assert [path.parent.name for path in command.output.glob("*/model")] == [f"{OURS}-seed0"]
    assert "connector GFLOPs | training, minutes" in printed
    for name, system in numbers["systems"].items():
        row = next(line for line in printed.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"{system['cost']['connector']['gflops']:.3f}" in row


def test_ablations_and_the_language_model_follow_the_selected_rate(command):
    flags = ["--systems", f"{OURS},no_gate", "--grid", "1e-3,3e-3", "--grid_steps", "2"]
    assert command.call(*flags) == 0
    assert command.started[:2] == [f"grid/{OURS}-lr0.001", f"grid/{OURS}-lr0.003"]
    ours, ablation = (command.load(f"{name}-seed0").settings for name in (OURS, "no_gate"))
    assert ablation["rate"] == ours["rate"]
    assert ours["learning_rates"] == {"backbone_lr": ours["rate"] / 2, "head_lr": ours["rate"]}  # as in the recipe


def test_models_of_other_systems_are_kept_on_request(command):
    assert command.call("--systems", "mlp", "--max_steps", "2") == 0
    assert not list(command.output.glob("*/model"))
    (command.output / "mlp-seed0" / "result.json").unlink()
    assert command.call("--systems", "mlp", "--max_steps", "2", "--keep_models") == 0
    assert [path.parent.name for path in command.output.glob("*/model")] == ["mlp-seed0"]


def test_stored_pairs_of_other_settings_are_refused(command):
    flags = ["--systems", "q_former"]
    assert command.call(*flags) == 0
    with pytest.raises(ValueError, match=r"level_shares: .* there, .* now"):
        command.call(*flags, "--level_shares", "1", "0", "1")
    with pytest.raises(ValueError, match="batch_size: 4 there, 8 now"):
        command.call(*flags, "--batch_size", "8")


def test_results_are_read_as_they_were_written(command, tmp_path):
    assert command.call("--systems", OURS) == 0
    result = command.load(f"{OURS}-seed0")
    result.save(tmp_path)
    again = ListingsResult.load(tmp_path)
    assert (again.settings, again.summary, again.cost) == (result.settings, result.summary, result.cost)
    assert (again.training, again.seconds_per_1k) == (result.training, result.seconds_per_1k)
    for level in LEVELS:
        for name, values in result.wrong_titles[level].items():
            np.testing.assert_array_equal(again.wrong_titles[level][name], values)
        for title, gates in result.gates[level].items():
            for name, values in vars(gates).items():
                assert values.shape == (12,)
                np.testing.assert_array_equal(getattr(again.gates[level][title], name), values)


def test_evaluation_of_a_checkpoint_shows_its_gates(command, capsys):
    assert command.call("--systems", OURS) == 0
    assert command.call("--evaluate", str(command.output / f"{OURS}-seed0" / "model")) == 0
    printed = capsys.readouterr().out
    assert "| overlays | H@1 | H@10 | H@100 | MRR |" in printed
    assert "heavy: mean β, metadata gate" in printed
    assert Image.open(command.output / "evaluation" / "gates.png").width > 1000
    card = json.loads((command.output / "evaluation" / "heavy.json").read_text())
    assert (card["num_queries"], card["num_items"]) == (12, 20)


def test_systems_start_alike_where_they_agree(command):
    setup = command.benchmark().setup
    models = {name: start_model(setup, system, seed=1)[0] for name, system in BY_NAME.items()}
    ours = models[OURS].state_dict()
    for name, model in models.items():
        state = model.state_dict()
        common = [key for key in state if key in ours and ours[key].shape == state[key].shape]
        assert all(torch.equal(state[key], ours[key]) for key in common), name
        assert all(key in common for key in state if key.startswith(("dual_encoder.", "language_model."))), name
        assert not any(parameter.requires_grad for parameter in model.dual_encoder.parameters())
        assert model.config.connector == BY_NAME[name].connector
    assert models["no_dual_stream"].config.num_metadata_queries == 0
    assert models["no_dual_stream"].config.num_exploratory_queries == 5
    assert models["no_gate"].connector.network.metadata_gate is None
    assert BY_NAME["no_rr"].weights(setup.losses) == replace(setup.losses, rr=0.0)
    other = start_model(setup, BY_NAME[OURS], seed=2)[0].state_dict()
    name = "connector.network.exploratory_queries"
    assert not torch.equal(other[name], ours[name])


def test_a_dual_encoder_that_is_trained_again_has_another_digest(command, listings, tmp_path):
    from benchmarks.listings.model import _weights_digest, model_settings

    settings = model_settings(command.benchmark().setup)
    assert settings["dual_encoder"] != settings["language_model"] != str(listings.folder / "lm")
    assert _weights_digest("OFA-Sys/chinese-clip-vit-base-patch16") == "OFA-Sys/chinese-clip-vit-base-patch16"
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (listings.folder / "dual").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert _weights_digest(str(copy)) == settings["dual_encoder"]
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    _weights_digest.cache_clear()
    assert _weights_digest(str(copy)) != settings["dual_encoder"]


def test_mismatched_titles_are_of_other_categories():
    categories = ["mug", "bowl", "mug", None, "mug", "lamp"]
    donors = title_donors(categories)
    assert donors == title_donors(categories)
    assert all(categories[donor] != category for donor, category in zip(donors, categories, strict=True))
    assert all(donor != row for row, donor in enumerate(title_donors([None] * 5)))
    with pytest.raises(ValueError, match="needs at least two products"):
        title_donors(["mug"])


def test_operations_need_no_weights(capsys):
    config = tiny_tgq_config()
    flags = ["--image_size", "32", "--title_tokens", "6", "--prompt_tokens", "5"]
    costs = connector_flops.main(flags, config)
    assert list(costs) == list(CONNECTORS)
    printed = capsys.readouterr().out
    assert all(f"\n| `{connector}` |" in printed for connector in CONNECTORS)
    for connector, parts in costs.items():
        read = ["image", "title", "connector"] if connector == OURS else ["image", "connector"]
        for what in ("parameters", "gflops"):  # the language model adds the rest
            assert 0 < sum(parts[name][what] for name in read) < parts["item"][what]
    encoders = sum(costs[OURS][name]["parameters"] for name in ("image", "title"))
    language = TGQFormerModel(config).language_model.num_parameters(exclude_embeddings=True)
    remaining = costs[OURS]["item"]["parameters"] - encoders - costs[OURS]["connector"]["parameters"]
    assert 0 <= remaining - language <= VOCAB * config.text_config.hidden_size
    # A language model reads 17 image tokens instead of 5 queries.
    assert costs["mlp"]["item"]["gflops"] > costs["q_former"]["item"]["gflops"]


def test_models_and_connectors_are_refused(tmp_path):
    for name in ("connector", "model"):
        with pytest.raises(ValueError, match=f"The benchmark sets --{name} itself"):
            parse_listings_setup(["--output", "x", f"--{name}", "mlp"])
    with pytest.raises(ValueError, match="either --grid or --lr"):
        parse_listings_setup(["--output", "x", "--lr", "1e-3", "--grid", "1e-3"])
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"model_config": {"connector": "mlp"}}))
    with pytest.raises(ValueError, match="neither a model nor a connector"):
        parse_listings_setup(["--output", "x", str(recipe)])
    recipe.write_text(json.dumps({"i2i": 0.5}))
    # The recipe is not parsed as the value of the switch before it.
    setup = parse_listings_setup(["--output", "x", "--rr", "0.25", "--keep_models", str(recipe)])
    assert setup.losses == TGQFormerLossWeights(i2i=0.5, rr=0.25)
    assert setup.rates == [setup.train.head_lr]
    assert setup.bench.keep_models


@pytest.mark.parametrize("name", ["abo-tgq-former", "tgq-former-paper"])
def test_recipes_are_read(name):
    recipe = Path(__file__).parents[2] / "examples" / "recipes" / f"{name}.yaml"
    setup = parse_listings_setup(["--output", "x", str(recipe)])
    assert setup.train.weight_decay == 1e-3
    assert setup.train.warmup_ratio == 0.1
    assert setup.model_config["num_metadata_queries"] == 8
    assert setup.model.lora_alpha == 2 * setup.model.lora_rank
