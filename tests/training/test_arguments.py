"""Arguments from flags, from a recipe, and from both."""

import json
from pathlib import Path

import pytest

from tiger_fg_hf import TigerFGConfig
from tiger_fg_hf.objectives.tiger_fg_weights import TigerFGLossWeights
from tiger_fg_hf.training.arguments import TrainArguments, parse_recipe
from tiger_fg_hf.training.recipes import dual_encoder, tgq_former, tiger_fg
from tiger_fg_hf.training.recipes.dual_encoder.arguments import DualEncoderArguments, DualEncoderTrainArguments
from tiger_fg_hf.training.recipes.listings import ListingArguments
from tiger_fg_hf.training.recipes.tgq_former.arguments import TGQFormerArguments, TGQFormerTrainArguments
from tiger_fg_hf.training.recipes.tiger_fg.arguments import TigerFGModelArguments, parse_tiger_fg_arguments

METHODS = {"tiger-fg": tiger_fg, "tgq-former": tgq_former, "dual-encoder": dual_encoder}

RECIPES = sorted((Path(__file__).parents[2] / "examples" / "recipes").glob("*.yaml"))


def recipe(folder: Path, text: str, name: str = "recipe.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_defaults():
    model, data, train, losses = parse_tiger_fg_arguments([])
    assert losses == TigerFGLossWeights()
    assert (model.model_config, data.data, train.mixed_precision, train.resume) == (None, "drawn", "bf16", None)


def test_defaults_of_tgq_former_follow_the_paper_and_each_method_has_its_own_folder():
    model, _, losses, train = parse_recipe(tgq_former.arguments.ARGUMENTS, [])
    assert (model.lora_rank, model.lora_alpha, train.weight_decay, train.warmup_ratio) == (16, 32, 1e-3, 0.1)
    assert 0.01 <= losses.rr <= 0.1
    folders = {kind().output_dir for kind in (TrainArguments, DualEncoderTrainArguments, TGQFormerTrainArguments)}
    assert len(folders) == 3


def test_yaml(tmp_path):
    model, data, train, losses = parse_tiger_fg_arguments(
        [
            recipe(
                tmp_path,
                "head_lr: 5e-5\nbackbone_lr: 1.5e-4\nweight_decay: 0\nwarmup_ratio: .2\nbatch_size: 12\n"
                "freeze_text: true\ncache_decoded: false\nprogress: no\nmixed_precision: no\ntracker: none\n"
                "compile: no\nq2i: 2\nhard: no\nclutter: null\ncolumns: attributes=color+keywords,title=name\n",
            )
        ]
    )
    assert (train.head_lr, train.backbone_lr, train.weight_decay, train.warmup_ratio) == (5e-5, 1.5e-4, 0.0, 0.2)
    assert isinstance(train.weight_decay, float)
    assert train.batch_size == 12
    assert (losses.q2i, losses.hard) == (2.0, False)
    assert (model.freeze_text, data.cache_decoded, train.progress) == (True, False, False)
    assert (train.mixed_precision, train.tracker, train.compile) == ("no", "none", "no")
    assert (data.clutter, data.columns) == (None, "attributes=color+keywords,title=name")


def test_json_is_read_as_the_same_yaml(tmp_path):
    values = {"head_lr": 5e-5, "freeze_text": True, "max_steps": 7, "model_config": {"layer_norm_eps": 1e-6}}
    from_json = parse_tiger_fg_arguments([recipe(tmp_path, json.dumps(values, indent="\t"), "recipe.json")])
    from_yaml = parse_tiger_fg_arguments(
        [recipe(tmp_path, "head_lr: 5e-5\nfreeze_text: true\nmax_steps: 7\nmodel_config: {layer_norm_eps: 1e-6}\n")]
    )
    assert from_json == from_yaml
    assert from_json[2].head_lr == 5e-5


def test_flags_override_the_recipe(tmp_path):
    path = recipe(tmp_path, "batch_size: 12\nfreeze_text: true\nprogress: true\nhead_lr: 1e-4\nvocab_size: 300\n")
    flags = ["--batch_size", "3", "--freeze_text", "false", "--no_progress", "--head_lr", "2e-4"]
    model, _, train, _ = parse_tiger_fg_arguments([path, *flags])
    assert (train.batch_size, model.freeze_text, train.progress, train.head_lr) == (3, False, False, 2e-4)
    assert model.vocab_size == 300


def test_model_config_is_a_mapping(tmp_path):
    config = {"projection_dim": 16, "layer_norm_eps": 1e-6, "vision_config": {"model_type": "vit", "hidden_size": 32}}
    assert parse_tiger_fg_arguments(["--model_config", json.dumps(config)])[0].model_config == config
    text = (
        "model_config:\n  projection_dim: 16\n  layer_norm_eps: 1e-6\n"
        "  vision_config:\n    model_type: vit\n    hidden_size: 32\n"
    )
    assert parse_tiger_fg_arguments([recipe(tmp_path, text)])[0].model_config == config
    assert TigerFGModelArguments(model_config=config).model_config == config


@pytest.mark.parametrize(
    ("kind", "name"), [(TigerFGModelArguments, "TigerFGConfig"), (TGQFormerArguments, "TGQFormerConfig")]
)
def test_unusable_model_configs_are_refused(kind, name):
    """A configuration would silently accept a misspelt field."""
    with pytest.raises(ValueError, match=f"--model_config: {name} has no field hiden_act, projecton"):
        kind(model_config={"projecton": 16, "layer_norm_eps": 1e-6, "hiden_act": "gelu"})
    with pytest.raises(ValueError, match="--model_config is not JSON: Expecting"):
        kind(model_config="{layer_norm_eps: 1}")
    with pytest.raises(ValueError, match=r"--model_config must be a mapping, got \[16\]"):
        kind(model_config="[16]")


def test_unusable_dual_encoder_configs_are_refused():
    with pytest.raises(ValueError, match="--dual_encoder_config needs a model_type, such as 'clip'"):
        DualEncoderArguments(dual_encoder_config="{}")
    with pytest.raises(ValueError, match="--dual_encoder_config is not JSON"):
        DualEncoderArguments(dual_encoder_config="clip")


def test_unknown_keys_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"recipe.yaml has unknown keys \['batchsize', 'lr'\]; known are .*'batch_size'"
    ):
        parse_tiger_fg_arguments([recipe(tmp_path, "lr: 1e-4\nbatchsize: 2\nseed: 1\n")])
    with pytest.raises(ValueError, match="--batchsize"):
        parse_tiger_fg_arguments(["--batchsize", "2"])


@pytest.mark.parametrize(("text", "found"), [("", "NoneType"), ("- seed\n- 1\n", "list")])
def test_recipe_is_a_mapping(tmp_path, text, found):
    with pytest.raises(ValueError, match=rf"recipe.yaml must hold a mapping .* found {found}"):
        parse_tiger_fg_arguments([recipe(tmp_path, text)])


@pytest.mark.parametrize(
    "text", ["batch_size: many", "batch_size: 1.5", "mixed_precision: fp8", "progress: maybe", "sdd_teacher: big"]
)
def test_values_of_another_type_are_refused(tmp_path, text, capsys):
    """Values of a recipe pass the same checks as flags."""
    with pytest.raises(SystemExit):
        parse_tiger_fg_arguments([recipe(tmp_path, text)])
    assert f"argument --{text.split(':')[0].replace('_', '-')}" in capsys.readouterr().err.replace("_", "-")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--max_steps", "0"], "--max_steps must be at least 1, got 0"),
        (["--batch_size", "-4"], "--batch_size must be at least 1, got -4"),
        (["--save_total_limit", "0"], "--save_total_limit must be at least 1"),
        (["--warmup_ratio", "1"], r"--warmup_ratio must lie in \[0, 1\), got 1.0"),
        (["--ema_decay", "1"], r"--ema_decay must lie in \[0, 1\), got 1.0"),
        (["--layer_decay", "0"], r"--layer_decay must lie in \(0, 1\], got 0.0"),
        (["--grad_cache_chunk", "-1"], "--grad_cache_chunk must not be negative, got -1"),
        (["--freeze_stem", "-1"], "--freeze_stem must not be negative, got -1"),
        (["--mosaic_share", "1.1"], r"--mosaic_share must lie in \[0, 1\], got 1.1"),
        (["--mosaic_items", "2"], r"--mosaic_items takes two numbers, .* got \[2\]"),
        (["--mosaic_area", "0.5", "0.1"], r"--mosaic_area takes two numbers, the smallest .* got \[0.5, 0.1\]"),
        (["--close_share", "-0.1"], r"--close_share must lie in \[0, 1\], got -0.1"),
        (["--close_plain_share", "2"], r"--close_plain_share must lie in \[0, 1\], got 2.0"),
        (["--close_size", "8"], "--close_size must be at least 16, got 8"),
        (["--close_jitter", "0.5"], r"--close_jitter must lie in \[0, 0.5\), got 0.5"),
        (["--num_hard_texts", "-1"], "--num_hard_texts must not be negative, got -1"),
        (["--srd", "-1"], "srd must not be negative, got -1.0"),
    ],
)
def test_values_out_of_range_are_refused(flags, told):
    with pytest.raises(ValueError, match=told):
        parse_tiger_fg_arguments(flags)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_example_recipes_parse(path):
    (method,) = [module for name, module in METHODS.items() if name in path.stem] or [tiger_fg]
    flags = [str(path), "--seed", "5"]
    if path.stem == "abo-dual-encoder":
        flags += ["--vision", "vision", "--text", "text"]  # as its first lines say
    arguments = parse_recipe(method.arguments.ARGUMENTS, flags)
    assert arguments[-1].seed == 5
    assert arguments[-1] != TrainArguments(seed=5)
    if method is tiger_fg and arguments[0].model_config is not None:
        TigerFGConfig(**arguments[0].model_config)


def test_ranges_are_numbers_in_flags_and_recipes(tmp_path):
    path = recipe(tmp_path, "mosaic_items: [2, 3]\nmosaic_area: [0.1, 0.2]\n")
    data = parse_tiger_fg_arguments([path, "--mosaic_items", "3", "5", "--progress"])[1]
    assert (data.mosaic_items, data.mosaic_area) == ([3, 5], [0.1, 0.2])
    path = recipe(tmp_path, "level_shares: [3, 1, 0]\n")
    data = parse_recipe((ListingArguments,), ["--keep_words", "0.2", "0.5", path])[0]
    assert data.shares_by_level == {"clean": 3.0, "light": 1.0, "heavy": 0.0}
    assert data.listing_config.keep_words == (0.2, 0.5)


def test_lists_of_two_objects_are_not_shared():
    first, second = ListingArguments(), ListingArguments()
    first.keep_words.append(1.0)
    assert second.keep_words == [0.4, 0.9]


@pytest.mark.parametrize(
    ("method", "sections"),
    [
        (
            "tiger-fg",
            ["Model", "Data", "Synthesis", "Mosaics", "Close views", "Batches", "Losses", "Optimization", "Run"],
        ),
        ("tgq-former", ["Model", "Data", "Synthesis", "Losses", "Optimization", "Run"]),
        ("dual-encoder", ["Model", "Data", "Synthesis", "Optimization", "Run"]),
    ],
)
def test_help_has_a_section_for_each_group(method, sections, capsys):
    with pytest.raises(SystemExit):
        parse_recipe(METHODS[method].arguments.ARGUMENTS, ["--help"])
    text = capsys.readouterr().out
    titles = [line[:-1] for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["options", *sections]
    assert "default: None" not in text
    run = text[text.index("\nRun:") :]
    assert "--output_dir" in run
    assert "--weight_decay" not in run
