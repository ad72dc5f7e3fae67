"""The listing benchmark's one command, on drawn products and models of some ten thousand weights."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tgq import VOCAB, tiny_tgq_config
from transformers import Qwen3Config, Qwen3Model

pytest.importorskip("peft", reason="adapters need the extra 'lora'")


from benchmarks.listings import command as listings
from benchmarks.listings import run as listings_run
from benchmarks.listings.arguments import parse_setup
from benchmarks.listings.data import BenchmarkData
from benchmarks.listings.features import FeatureCollator, FeatureStudent
from benchmarks.listings.figure import draw_scatter
from benchmarks.listings.gates import title_donors
from benchmarks.listings.model import start_model
from benchmarks.listings.pairs import JPEG_QUALITY, StoredPairs, write_pairs
from benchmarks.listings.results import load_result, save_result
from benchmarks.listings.systems import ABLATIONS, BY_NAME, OURS, SYSTEMS
from benchmarks.micro import connector_flops
from tiger_fg_hf import drawn_catalog, load_catalog
from tiger_fg_hf.data.listings import ListingConfig, ListingSynthesizer, encode_jpeg
from tiger_fg_hf.data.tgq_former_collator import TGQFormerCollator
from tiger_fg_hf.data.tgq_former_pairs import TGQFormerPairDataset
from tiger_fg_hf.hub.card import _KINDS, results_table
from tiger_fg_hf.models.configuration_tgq_former import CONNECTORS
from tiger_fg_hf.models.modeling_tgq_former import TGQFormerModel
from tiger_fg_hf.objectives.tgq_former import TGQFormerLossWeights
from tiger_fg_hf.objectives.tgq_former_student import TGQFormerStudent
from tiger_fg_hf.synthetic.overlays import LEVELS
from tiger_fg_hf.training.recipes.dual_encoder.arguments import DualEncoderArguments
from tiger_fg_hf.training.recipes.dual_encoder.build import build_dual_encoder
from tiger_fg_hf.training.recipes.listings import ListingArguments
from tiger_fg_hf.training.sampler import EpochBatchSampler

pytestmark = pytest.mark.usefixtures("fresh_accelerate")

_SIZE = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
DUAL = {
    "model_type": "clip",
    "projection_dim": 16,
    "text_config": {**_SIZE, "max_position_embeddings": 24},
    "vision_config": {**_SIZE, "image_size": 48, "patch_size": 16},
}
RECIPE = {
    "drawn_products": 16,
    "image_size": 48,
    "max_title_length": 24,
    "max_text_length": 24,
    "model_config": {
        "num_metadata_queries": 3,
        "num_exploratory_queries": 2,
        "connector_hidden_size": 32,
        "connector_num_layers": 1,
        "connector_num_attention_heads": 2,
        "connector_intermediate_size": 64,
        "connector_dropout": 0.1,
    },
    "lora_rank": 2,
    "lora_dropout": 0.1,
    "batch_size": 4,
    "num_workers": 0,
    "max_steps": 4,
    "backbone_lr": 1e-3,
    "head_lr": 2e-3,
    "mixed_precision": "no",
    "log_every": 1,
    "save_every": 2,
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Folder of the models, of a recipe, of the benchmarks and of the pairs."""
    folder = tmp_path_factory.mktemp("listings")
    catalog = load_catalog(drawn_catalog(num_products=16, layout="clean", size=48, with_queries=False))
    dual = DualEncoderArguments(dual_encoder_config=DUAL, vocab_size=420, max_title_length=24)
    torch.manual_seed(0)
    model, processor = build_dual_encoder(dual, ListingArguments(image_size=48), catalog)
    for part in (model, processor.title_tokenizer, processor.image_processor):
        part.save_pretrained(folder / "dual")
    vocabulary = {"vocab_size": len(processor.tokenizer), "pad_token_id": processor.tokenizer.pad_token_id}
    Qwen3Model(Qwen3Config(head_dim=16, num_key_value_heads=2, **_SIZE, **vocabulary)).save_pretrained(folder / "lm")
    processor.tokenizer.save_pretrained(folder / "lm")
    recipe = folder / "recipe.json"
    models = {"dual_encoder": str(folder / "dual"), "language_model": str(folder / "lm")}
    recipe.write_text(json.dumps(RECIPE | models))
    (folder / "data").mkdir()
    return SimpleNamespace(recipe=recipe, data=folder / "data", folder=folder)


@pytest.fixture
def command(shared, tmp_path, monkeypatch, fresh_accelerate):
    """Runs the command in this process, its runs included: starting Python for each takes longer than they do."""
    output = tmp_path / "out"
    output.mkdir()
    (output / "data").symlink_to(shared.data, target_is_directory=True)
    started = []

    def start(argv, log):
        fresh_accelerate()
        started.append(argv[1])
        try:
            return listings.main(argv)
        except Exception as error:
            print(repr(error), file=log)
            return 1

    monkeypatch.setattr(listings, "start_process", start)

    def call(*flags: str) -> int:
        started.clear()
        return listings.main([*arguments, *flags, str(shared.recipe)])

    arguments = ["--output", str(output), "--limit", "12", "--distractors", "drawn", "--distractor_limit", "8"]
    arguments += ["--draw_workers", "0"]
    return SimpleNamespace(call=call, output=output, started=started, arguments=arguments, recipe=shared.recipe)


@pytest.fixture
def setup(command):
    return parse_setup([*command.arguments, str(command.recipe)])


def test_one_command_from_data_to_report(command, capsys, monkeypatch):
    collate = listings_run.FeatureCollator.__call__
    batches = {}

    def watch(self, pairs):
        told = [
            (pair["row"], pair["texts"], [side["image_tokens"].numpy().tobytes() for side in pair["features"]])
            for pair in pairs
        ]
        batches.setdefault(command.started[-1], []).append(told)
        return collate(self, pairs)

    monkeypatch.setattr(listings_run.FeatureCollator, "__call__", watch)
    assert command.call("--systems", "all,ablations") == 0
    names = [system.name for system in (*SYSTEMS, *ABLATIONS)]
    assert command.started == [f"{name}-seed0" for name in names]
    # All are trained on the same bytes in the same order.
    assert all(batches[f"{name}-seed0"] == batches[f"{OURS}-seed0"] for name in names)
    assert [len(batch) for batch in batches[f"{OURS}-seed0"]] == [4] * 4

    report = command.output / "report"
    text = (report / "report.md").read_text()
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
    assert "a pool of 20, of them 8 distractors" in text
    assert Image.open(report / "hit_rate.png").width == 1800
    assert Image.open(report / "gates.png").width > 1000

    numbers = json.loads((report / "results.json").read_text())
    assert numbers["systems"].keys() == set(names)
    assert numbers["paired"].keys() == {f"{OURS} - {name}" for name in names if name != OURS}
    for found in numbers["systems"].values():
        assert found["metrics"].keys() == set(LEVELS)
        for metrics in found["metrics"].values():
            assert metrics["hit_rate@100"]["mean"] == 100  # of 20
    ours = numbers["systems"][OURS]
    cell = numbers["paired"][f"{OURS} - mlp"]["heavy"]["mrr"]
    theirs = numbers["systems"]["mlp"]["metrics"]["heavy"]["mrr"]["mean"]
    assert cell["difference"] == pytest.approx(ours["metrics"]["heavy"]["mrr"]["mean"] - theirs)
    assert cell["relative"] == pytest.approx(100 * cell["difference"] / theirs)
    for found in numbers["systems"].values():
        assert found["wrong_titles"].keys() == set(LEVELS)
    drop = ours["drop"]["mrr"]["difference"]
    assert drop == pytest.approx(ours["metrics"]["clean"]["mrr"]["mean"] - ours["metrics"]["heavy"]["mrr"]["mean"])

    # Connectors have one budget, and what differs is left out of it.
    cost = {name: found["cost"] for name, found in numbers["systems"].items()}
    for system in SYSTEMS:
        assert cost[system.name]["connector"]["parameters"] == pytest.approx(
            cost[OURS]["connector"]["parameters"], rel=0.01
        )
        assert 0 < cost[system.name]["connector"]["gflops"] < cost[system.name]["item"]["gflops"]
    assert cost["no_gate"]["connector"]["parameters"] < cost[OURS]["connector"]["parameters"]
    assert cost["no_rr"] == cost[OURS]
    gates = {name: bool(found["gates"]) for name, found in numbers["systems"].items()}
    assert [name for name, has in gates.items() if has] == [OURS, "no_rr"]
    assert -1 < ours["gates"]["heavy"]["metadata"]["difference"]["difference"] < 1
    assert not list(command.output.glob("**/checkpoints"))
    assert [path.parent.name for path in command.output.glob("*/model")] == [f"{OURS}-seed0"]

    # Given again it keeps what there is; a part of the systems does not take the others out of the report.
    before = (report / "results.json").read_bytes()
    capsys.readouterr()
    assert command.call("--systems", "mlp") == 0
    assert "mlp-seed0: kept" in capsys.readouterr().out
    assert (report / "results.json").read_bytes() == before
    assert command.call("--report_only") == 0
    assert command.started == []
    printed = capsys.readouterr().out
    assert "connector GFLOPs | training, minutes" in printed
    for name, found in numbers["systems"].items():
        row = next(line for line in printed.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"{found['cost']['connector']['gflops']:.3f}" in row


def test_runs_are_processes_of_the_script(tmp_path):
    with (tmp_path / "log.txt").open("w") as log:
        assert listings.start_process(["--help"], log) == 0
    assert "--run_one" in (tmp_path / "log.txt").read_text()


def test_rates_are_selected_on_the_validation_benchmark_and_seeds_are_averaged(command):
    flags = ["--systems", f"{OURS},mlp,no_gate", "--grid", "1e-3,3e-3", "--grid_steps", "2", "--seeds", "0,1"]
    assert command.call(*flags) == 0
    trials = [f"grid/{name}-lr{rate}" for name in (OURS, "mlp") for rate in ("0.001", "0.003")]
    finals = [f"{name}-seed{seed}" for seed in (0, 1) for name in (OURS, "mlp", "no_gate")]
    assert command.started == trials + finals
    numbers = json.loads((command.output / "report" / "results.json").read_text())
    for name in (OURS, "mlp"):
        scores = {float(rate): score for rate, score in numbers["learning_rates"][name].items()}
        best = max(scores, key=scores.get)
        assert scores.keys() == {1e-3, 3e-3}
        assert [run["rate"] for run in numbers["systems"][name]["runs"]] == [best, best]
    results = {name: load_result(command.output / name) for name in trials + finals}
    ours = [results[f"{OURS}-seed{seed}"] for seed in (0, 1)]
    assert results["no_gate-seed0"].settings["rate"] == ours[0].settings["rate"]
    assert ours[0].settings["backbone_rate"] == ours[0].settings["rate"] / 2  # as in the recipe
    mean = np.mean([result.metrics["light"]["mrr"] for result in ours])
    assert numbers["systems"][OURS]["metrics"]["light"]["mrr"]["mean"] == pytest.approx(100 * mean)
    contents = [{results[name].settings["benchmark"]["content"] for name in group} for group in (trials, finals)]
    assert len(contents[0]) == len(contents[1]) == 1
    assert contents[1] == {numbers["benchmark"]["content"]} != contents[0]
    assert "## Seeds" in (command.output / "report" / "report.md").read_text()
    assert [path.parent.name for path in command.output.glob("**/model")] == [f"{OURS}-seed0"]


def test_an_interrupted_run_goes_on_and_ends_the_same(command, monkeypatch, tmp_path):
    flags = ["--systems", OURS, "--keep_models"]
    collate = listings_run.FeatureCollator.__call__
    batches = []

    def interrupt(self, pairs):
        batches.append(len(pairs))
        if len(batches) == 4:
            raise KeyboardInterrupt
        return collate(self, pairs)

    monkeypatch.setattr(listings_run.FeatureCollator, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        command.call(*flags)
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
    for level in LEVELS:
        for title in ("own", "mismatched"):
            np.testing.assert_array_equal(
                whole.gates[level][title].metadata, resumed.gates[level][title].metadata, err_msg=level
            )


def test_a_model_that_is_trained_is_not_trained_again(command, monkeypatch):
    flags = ["--systems", "notellm2"]
    score_model = listings_run.score_model
    monkeypatch.setattr(listings_run, "score_model", None)
    assert command.call(*flags) == 1
    folder = command.output / "notellm2-seed0"
    assert "not callable" in (folder / "log.txt").read_text()
    monkeypatch.setattr(listings_run, "score_model", score_model)
    monkeypatch.setattr(listings_run, "train", None)
    assert command.call(*flags) == 0
    assert load_result(folder).training["steps"] == 4
    assert not (folder / "model").exists()


def test_other_settings_are_refused_and_left_out_of_the_report(command):
    flags = ["--systems", "q_former"]
    assert command.call(*flags) == 0
    assert command.call(*flags, "--lora_rank", "4") == 1
    log = (command.output / "q_former-seed0" / "log.txt").read_text()
    assert "model.lora_rank: 2 there, 4 now" in log
    report = (command.output / "report" / "report.md").read_text()
    assert "- q_former-seed0: model.lora_rank: 2 there, 4 now" in report
    assert "`q_former`" not in report
    with pytest.raises(ValueError, match="limit: 12 there, 11 now"):
        command.call(*flags, "--limit", "11")
    with pytest.raises(ValueError, match="level_shares: '1,1,1' there, '1,0,1' now"):
        command.call(*flags, "--level_shares", "1,0,1")
    with pytest.raises(ValueError, match="batch_size: 4 there, 8 now"):
        command.call(*flags, "--batch_size", "8")


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
            found, drawn = stored[key], made[0][key]
            assert found.keys() == drawn.keys()
            for name in drawn.keys() - {"images"}:
                assert found[name] == drawn[name], name
            for image, other in zip(found["images"], drawn["images"], strict=True):
                compressed = Image.open(io.BytesIO(encode_jpeg(other, JPEG_QUALITY))).convert("RGB")
                assert image.mode == "RGB"
                assert image.tobytes() == compressed.tobytes()
    with pytest.raises(KeyError, match="no pair of epoch 3, row 0: draw more steps"):
        stored[3, 0]

    def content():
        return [StoredPairs(tmp_path, 10)._rows[place] for place in range(len(StoredPairs(tmp_path, 10)._rows))]

    # What is there is kept, more is added, and processes draw the same.
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


def test_training_on_features_is_training_on_the_pictures(setup):
    """And a shard that grows is encoded anew."""
    data = BenchmarkData(setup)
    data.draw_pairs(0, 2)
    data.encode_pairs(0)
    data.draw_pairs(0, 4)
    data.encode_pairs(0)
    model, processor = start_model(setup, BY_NAME[OURS], 0)
    model.eval()
    shown, kept = StoredPairs(setup.output / "data" / "pairs-seed0", 16), data.pairs(0)
    agreement = []
    for keys in EpochBatchSampler(16, 4, 4, seed=0):
        pictures = TGQFormerCollator(processor)([shown[key] for key in keys])
        features = FeatureCollator(processor)([kept[key] for key in keys])
        torch.testing.assert_close(features["item_ids"], pictures["item_ids"])
        del features["item_ids"]
        assert not any(name.endswith("pixel_values") for name in features)
        found, expected = FeatureStudent(model)(**features), TGQFormerStudent(model)(**pictures)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, msg=lambda text, name=name: f"{name}: {text}")
        gradients = [
            torch.autograd.grad(side["first_embeds"][:, 0].sum(), model.connector.parameters(), allow_unused=True)
            for side in (found, expected)
        ]
        assert any(part is not None and part.any() for part in gradients[0])
        torch.testing.assert_close(*gradients)
        given = (pictures[f"first_{name}"] for name in ("pixel_values", "title_input_ids", "title_attention_mask"))
        agreement.append(model.encode_pair(*given).agreement)
    agreement = torch.cat(agreement)
    torch.testing.assert_close(kept.agreement(100, of_first=100), agreement)
    torch.testing.assert_close(kept.agreement(4, of_first=100), agreement[::4])
    # A shorter run reads nothing of what was drawn for a longer one.
    torch.testing.assert_close(kept.agreement(4, of_first=8), agreement[:8:2])
    with pytest.raises(ValueError, match="read without features"):
        shown.agreement(4, of_first=16)


def test_features_are_of_one_dual_encoder(command):
    assert command.call("--systems", OURS) == 0
    with pytest.raises(ValueError, match="mixed_precision: 'no' there, 'bf16' now"):
        command.call("--systems", OURS, "--mixed_precision", "bf16")


def test_features_of_pairs_that_were_drawn_anew_are_not_read(command, shared):
    """Were only the pairs deleted, their features would be of pictures that are gone."""
    own = shared.folder / "again"
    own.mkdir()
    (command.output / "data").unlink()
    (command.output / "data").symlink_to(own, target_is_directory=True)
    assert command.call("--systems", OURS, "--max_steps", "2") == 0
    shutil.rmtree(own / "pairs-seed0")
    with pytest.raises(ValueError, match=r"listings.wrong_titles: 0.0 there, 0.5 now"):
        command.call("--systems", OURS, "--max_steps", "2", "--wrong_titles", "0.5")


def test_systems_start_alike_where_they_agree(setup):
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


def test_a_dual_encoder_that_is_trained_anew_is_another(setup, shared, tmp_path):
    from benchmarks.listings.model import _weights_digest, model_settings

    told = model_settings(setup)
    assert told["dual_encoder"] != told["language_model"] != str(shared.folder / "lm")
    assert _weights_digest("OFA-Sys/chinese-clip-vit-base-patch16") == "OFA-Sys/chinese-clip-vit-base-patch16"
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (shared.folder / "dual").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert _weights_digest(str(copy)) == told["dual_encoder"]
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    _weights_digest.cache_clear()
    assert _weights_digest(str(copy)) != told["dual_encoder"]


def test_results_are_read_as_they_were_written(command, tmp_path):
    assert command.call("--systems", OURS) == 0
    result = load_result(command.output / f"{OURS}-seed0")
    save_result(tmp_path, result)
    again = load_result(tmp_path)
    assert (again.settings, again.summary, again.cost) == (result.settings, result.summary, result.cost)
    assert (again.training, again.seconds_per_1k) == (result.training, result.seconds_per_1k)
    for level in LEVELS:
        for name, values in result.wrong_titles[level].items():
            np.testing.assert_array_equal(again.wrong_titles[level][name], values)
        for title, gates in result.gates[level].items():
            for name, values in vars(gates).items():
                assert values.shape == (12,)
                np.testing.assert_array_equal(getattr(again.gates[level][title], name), values)


def test_a_kept_model_scores_the_same_by_itself(command, capsys):
    """And its numbers are those that a model card shows."""
    assert command.call("--systems", OURS) == 0
    folder = command.output / f"{OURS}-seed0"
    assert command.call("--evaluate", str(folder / "model")) == 0
    printed = capsys.readouterr().out
    assert "| overlays | H@1 | H@10 | H@100 | MRR |" in printed
    assert "heavy: mean β, metadata gate" in printed
    assert Image.open(command.output / "evaluation" / "gates.png").width > 1000
    result = load_result(folder)
    for level in LEVELS:
        numbers = json.loads((command.output / "evaluation" / f"{level}.json").read_text())
        for name, interval in numbers["metrics"].items():
            assert interval["mean"] == pytest.approx(result.summary[level][name]), name
        assert (numbers["num_queries"], numbers["num_items"]) == (12, 20)
        assert "hit_rate@1 | hit_rate@10" in results_table({level: numbers}, _KINDS["tgq_former"].shown)


def test_mismatched_titles_are_of_other_categories():
    categories = ["mug", "bowl", "mug", None, "mug", "lamp"]
    donors = title_donors(categories)
    assert donors == title_donors(categories)
    assert all(categories[donor] != category for donor, category in zip(donors, categories, strict=True))
    assert all(donor != row for row, donor in enumerate(title_donors([None] * 5)))
    with pytest.raises(ValueError, match="needs two products"):
        title_donors(["mug"])


def test_scatter_of_one_value_and_of_many():
    rng = np.random.default_rng(0)
    cloud = (rng.normal(size=30), rng.normal(size=30))
    one = (np.zeros(4), np.zeros(4))
    picture = draw_scatter({"a": {"own": cloud, "other": one}}, title="t", x_label="x", y_label="y")
    colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert {(52, 101, 164), (230, 126, 34)} <= colours
    assert draw_scatter({"a": {"own": one}}, title="t", x_label="x", y_label="y").width < picture.width * 2
    with pytest.raises(ValueError, match="expected panels of 1 to 2 series, found 0"):
        draw_scatter({}, title="t", x_label="x", y_label="y")


def test_operations_need_no_weights(capsys):
    config = tiny_tgq_config()
    flags = ["--image_size", "32", "--title_tokens", "6", "--prompt_tokens", "5"]
    found = connector_flops.main(flags, config)
    assert list(found) == list(CONNECTORS)
    printed = capsys.readouterr().out
    assert all(f"\n| `{connector}` |" in printed for connector in CONNECTORS)
    for connector, parts in found.items():
        read = ["image", "title", "connector"] if connector == OURS else ["image", "connector"]
        for what in ("parameters", "gflops"):  # the language model's beside them
            assert 0 < sum(parts[name][what] for name in read) < parts["whole"][what]
    encoders = sum(found[OURS][name]["parameters"] for name in ("image", "title"))
    language = TGQFormerModel(config).language_model.num_parameters(exclude_embeddings=True)
    whole = found[OURS]["whole"]["parameters"] - encoders - found[OURS]["connector"]["parameters"]
    assert 0 <= whole - language <= VOCAB * config.text_config.hidden_size
    # A language model reads 17 image tokens instead of 5 visual ones.
    assert found["mlp"]["whole"]["gflops"] > found["q_former"]["whole"]["gflops"]


def test_arguments_that_the_benchmark_sets_are_refused(tmp_path):
    for name in ("seed", "connector", "model"):
        with pytest.raises(ValueError, match=f"The benchmark sets --{name} itself"):
            parse_setup(["--output", "x", f"--{name}", "3"])
    with pytest.raises(ValueError, match="unknown system 'clip'"):
        parse_setup(["--output", "x", "--systems", "clip"])
    for flag, value in (("--seeds", "0,x"), ("--grid", "1e-3;1e-4")):
        with pytest.raises(ValueError, match=f"{flag} must be numbers with commas, got '{value}'"):
            parse_setup(["--output", "x", flag, value])
    with pytest.raises(ValueError, match="either --grid or --lr"):
        parse_setup(["--output", "x", "--lr", "1e-3", "--grid", "1e-3"])
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"model_config": {"connector": "mlp"}}))
    with pytest.raises(ValueError, match="neither a model nor a connector"):
        parse_setup(["--output", "x", str(recipe)])
    recipe.write_text(json.dumps({"i2i": 0.5}))  # not the value of the switch before it
    setup = parse_setup(["--output", "x", "--rr", "0.25", "--systems", "all,ablations", "--keep_models", str(recipe)])
    assert setup.losses == TGQFormerLossWeights(i2i=0.5, rr=0.25)
    assert setup.rates == [setup.train.head_lr]
    assert setup.bench.keep_models
    assert len(setup.bench.system_names) == len(SYSTEMS) + len(ABLATIONS)


@pytest.mark.parametrize("name", ["abo-tgq-former", "tgq-former-paper"])
def test_recipes_are_read(name):
    recipe = Path(__file__).parents[2] / "examples" / "recipes" / f"{name}.yaml"
    setup = parse_setup(["--output", "x", str(recipe)])
    assert setup.train.weight_decay == 1e-3
    assert setup.train.warmup_ratio == 0.1
    assert setup.model_config["num_metadata_queries"] == 8
    assert setup.model.lora_alpha == 2 * setup.model.lora_rank
