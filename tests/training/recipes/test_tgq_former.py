"""`examples/train_dual_encoder.py` and `examples/train_tgq_former.py`, from a catalog to folders that load."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file
from tiny import tiny_model
from tiny_tgq import tiny_pair_batch, tiny_tgq_model
from tiny_training import load_script, read_history
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    DistilBertConfig,
    ViTConfig,
)

from tiger_fg_hf import TGQFormerModel, TGQFormerProcessor, TigerFGProcessor
from tiger_fg_hf.models.image_processing_pil_tiger_fg import TigerFGImageProcessorPil
from tiger_fg_hf.objectives.tgq_former import TGQFormerTask
from tiger_fg_hf.objectives.tgq_former_student import TGQFormerStudent
from tiger_fg_hf.training.grad_cache import GradCache
from tiger_fg_hf.training.recipes.listings import ListingArguments, build_listing_catalog, build_listing_pairs
from tiger_fg_hf.training.recipes.tgq_former.build import listing_agreement

peft = pytest.importorskip("peft", reason="adapters need the extra 'lora'")

_SIZE = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
DUAL = {
    "model_type": "clip",
    "projection_dim": 16,
    "text_config": {**_SIZE, "max_position_embeddings": 24},
    "vision_config": {**_SIZE, "image_size": 48, "patch_size": 16},
}
LANGUAGE = {"model_type": "qwen3", "head_dim": 16, "num_key_value_heads": 2, **_SIZE}
CONNECTOR = {
    "connector_hidden_size": 32,
    "connector_num_layers": 1,
    "connector_num_attention_heads": 2,
    "connector_intermediate_size": 48,
}
COMMON = {
    "image_size": 48,
    "max_title_length": 24,
    "batch_size": 8,
    "num_workers": 0,
    "max_steps": 4,
    "warmup_ratio": 0.25,
    "backbone_lr": 2e-3,
    "head_lr": 2e-3,
    "mixed_precision": "no",
    "log_every": 1,
    "save_every": 0,
    "tracker": "none",
    "progress": False,
}


@pytest.fixture(scope="module")
def examples():
    folder = Path(__file__).parents[3] / "examples"
    return {name: load_script(folder / f"train_{name}.py") for name in ("dual_encoder", "tgq_former")}


@pytest.fixture
def train(examples, fresh_accelerate, catalog_folder, tmp_path):
    """`train(script, output_dir, **arguments)` runs a script as in a process of its own."""

    def run(script, output_dir, **changes):
        fresh_accelerate()
        recipe = tmp_path / "recipe.json"
        arguments = {**COMMON, "data": str(catalog_folder), "output_dir": str(output_dir), **changes}
        recipe.write_text(json.dumps({name: value for name, value in arguments.items() if value is not None}))
        return examples[script].main([str(recipe)])

    return run


@pytest.fixture
def dual_encoder(train, tmp_path):
    train("dual_encoder", tmp_path / "dual", dual_encoder_config=DUAL, vocab_size=420)
    return tmp_path / "dual"


def test_dual_encoder(dual_encoder):
    """It learns, and both `--dual_encoder` and transformers read its folder."""
    assert type(AutoModel.from_pretrained(dual_encoder)).__name__ == "CLIPModel"
    assert AutoTokenizer.from_pretrained(dual_encoder).model_max_length == 24
    assert AutoImageProcessor.from_pretrained(dual_encoder).size == {"height": 48, "width": 48}
    losses = [entry["train/i2i"] for entry in read_history(dual_encoder)]
    assert losses[-1] < losses[0]


@pytest.fixture
def pretrained(dual_encoder, tmp_path):
    """Arguments for a pretrained dual encoder and a pretrained language model."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(dual_encoder)
    language = AutoConfig.for_model(**LANGUAGE, vocab_size=len(tokenizer))
    AutoModel.from_config(language).save_pretrained(tmp_path / "language")
    tokenizer.save_pretrained(tmp_path / "language")
    return {
        "dual_encoder": str(dual_encoder),
        "language_model": str(tmp_path / "language"),
        "model_config": CONNECTOR,
        "lora_rank": 4,
        "max_text_length": 24,
    }


@pytest.mark.parametrize("connector", [None, "notellm2"])
def test_adapters_and_the_merged_model(train, pretrained, tmp_path, connector):
    output = tmp_path / "run"
    drawn = {"data": "drawn", "drawn_products": 24, "eval_limit": 12}
    summary = train("tgq_former", output, **pretrained, connector=connector, **drawn, eval_every=4)
    assert summary["pairs"] == 32
    history = read_history(output)
    assert {"eval/hit_rate@1", "eval/hit_rate@10", "eval/mrr"} <= history[-1].keys()
    assert ("train/rr" in history[0]) == (connector is None)
    model, processor = TGQFormerModel.from_pretrained(output), TGQFormerProcessor.from_pretrained(output)
    assert model.config.connector == (connector or "tgq_former")
    frozen = AutoModel.from_pretrained(pretrained["dual_encoder"]).state_dict()
    for name, value in model.dual_encoder.state_dict().items():
        assert torch.equal(value, frozen[name]), name

    # Loaded onto a model of the same encoders, the adapters give the merged model.
    base = TGQFormerModel.from_backbones(
        pretrained["dual_encoder"],
        pretrained["language_model"],
        **{name: getattr(model.config, name) for name in (*CONNECTOR, "connector")},
    )
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    inputs = processor(images=[picture], text=[{"title": "red mug"}], return_tensors="pt")
    with torch.no_grad():
        before = base(**inputs).embeds
        adapted = peft.PeftModel.from_pretrained(base, output / "adapters").eval()
        found, merged = adapted(**inputs).embeds, model(**inputs).embeds
    torch.testing.assert_close(found, merged, atol=1e-5, rtol=0)
    assert not torch.allclose(before, merged, atol=1e-3)
    assert not (output / "adapters" / "README.md").exists()  # peft's template


def test_the_gate_is_calibrated_on_listings_of_the_training(train, pretrained, catalog_folder, tmp_path):
    """A model that is trained further, and `--agreement_samples 0`, leave the gate as it is."""
    weights = {}
    for name, changes in (
        ("calibrated", {}),
        ("plain", {"agreement_samples": 0}),
        ("on", dict.fromkeys((*pretrained, "max_title_length")) | {"model": str(tmp_path / "plain"), "lora_rank": 4}),
    ):
        train("tgq_former", tmp_path / name, **{**pretrained, **changes}, head_lr=0.0)
        found = load_file(tmp_path / name / "model.safetensors")
        weights[name] = found["connector.network.metadata_gate.hidden.weight"]
    data = ListingArguments(data=str(catalog_folder), image_size=48)
    model, processor = (kind.from_pretrained(tmp_path / "plain") for kind in (TGQFormerModel, TGQFormerProcessor))
    pairs = build_listing_pairs(build_listing_catalog(data, seed=0), data, seed=0)
    agreement = listing_agreement(model, processor, pairs, 1000, batch_size=5)
    expected = []
    for row in range(len(pairs)):
        picture, text = pairs[row]["images"][0], pairs[row]["texts"][0]
        expected.append(model(**processor(images=[picture], text=[text], return_tensors="pt")).agreement)
    torch.testing.assert_close(agreement, torch.cat(expected), atol=1e-5, rtol=0)
    ratio = weights["plain"][:, 0] / weights["calibrated"][:, 0]
    torch.testing.assert_close(ratio, agreement.std(correction=0).expand_as(ratio), atol=0, rtol=1e-3)
    torch.testing.assert_close(weights["on"], weights["plain"])


@pytest.mark.parametrize("changes", [{"gated": False}, {"num_metadata_queries": 0}])
def test_no_listing_is_measured_without_a_gate(train, pretrained, tmp_path, monkeypatch, changes):
    monkeypatch.setattr("tiger_fg_hf.training.recipes.tgq_former.run.listing_agreement", None)
    train("tgq_former", tmp_path, **pretrained | {"model_config": CONNECTOR | changes}, max_steps=1)
    with pytest.raises(TypeError):
        train("tgq_former", tmp_path / "gated", **pretrained, max_steps=1)


def test_resumed_is_uninterrupted(train, pretrained, tmp_path, monkeypatch):
    """With adapters and dropout. Other data or listings are refused."""
    arguments = {
        **pretrained,
        "model_config": {**CONNECTOR, "connector_dropout": 0.1},
        "lora_dropout": 0.1,
        "save_every": 2,
    }
    train("tgq_former", tmp_path / "whole", **arguments)
    loss, count = TGQFormerTask.loss, 0

    def stopping(task, *given):
        nonlocal count
        count += 1
        if count > 3:
            raise KeyboardInterrupt
        return loss(task, *given)

    with monkeypatch.context() as patch:
        patch.setattr(TGQFormerTask, "loss", stopping)
        with pytest.raises(KeyboardInterrupt):
            train("tgq_former", tmp_path / "parts", **arguments)
    for changes in ({"image_size": 64}, {"keep_words": [0.2, 0.3]}, {"instruction": "find"}):
        with pytest.raises(ValueError, match=f"cannot be resumed exactly .*{next(iter(changes))}: "):
            train("tgq_former", tmp_path / "parts", **{**arguments, **changes}, resume="auto")
    train("tgq_former", tmp_path / "parts", **arguments, resume="auto")
    found, expected = (load_file(tmp_path / name / "model.safetensors") for name in ("parts", "whole"))
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_without_adapters_the_language_model_learns_or_is_frozen(train, dual_encoder, tmp_path):
    arguments = {
        "dual_encoder": str(dual_encoder),
        "model_config": {"text_config": LANGUAGE, **CONNECTOR},
        "lora_rank": 0,
    }
    train("tgq_former", tmp_path / "whole", **arguments, max_steps=2)
    train("tgq_former", tmp_path / "frozen", **arguments, max_steps=2, freeze_language_model=True)
    whole, frozen = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "frozen"))
    name = "language_model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(whole[name], frozen[name])
    # The checkpoint brings its encoders when it is trained further.
    train(
        "tgq_former",
        tmp_path / "more",
        model=str(tmp_path / "frozen"),
        max_title_length=None,
        lora_rank=0,
        max_steps=2,
        freeze_language_model=True,
    )
    more = load_file(tmp_path / "more" / "model.safetensors")
    assert torch.equal(more[name], frozen[name])
    changed = "connector.network.exploratory_queries"
    assert not torch.equal(more[changed], frozen[changed])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "Give either --model"),
        ({"dual_encoder": "x"}, "Give either --model"),
        (
            {"dual_encoder": "x", "language_model": "y", "model_config": {"text_config": LANGUAGE}, "lora_rank": 0},
            "Give either --model",
        ),
        (
            {"model": "x", "dual_encoder": "y", "max_text_length": 3},
            "--model already determines --dual_encoder, --max_text_length",
        ),
        ({"model_config": {"text_config": LANGUAGE}}, r"from scratch \(text_config\) needs --lora_rank 0"),
        ({"model_config": {"text_config": {"hidden_size": 32}}, "lora_rank": 0}, "text_config .* needs a model_type"),
        ({"model_config": {"dual_encoder_config": {}}}, "a trained one with --dual_encoder"),
        ({"model_config": {"connector": "mlp"}, "connector": "mlp"}, "give one of them"),
        ({"freeze_language_model": True}, "--freeze_language_model needs --lora_rank 0"),
        ({"level_shares": [1, 1]}, "--level_shares takes 3 numbers"),
        ({"wrong_titles": 2.0}, r"--wrong_titles must lie in \[0, 1\], got 2.0"),
        ({"keep_words": [0.5]}, "--keep_words takes two numbers"),
    ],
)
def test_unclear_arguments_are_named(train, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train("tgq_former", tmp_path / "run", **changes)


def test_siglip_reads_titles_off_its_last_position(train, tmp_path):
    """Titles are padded to all of its positions, whichever recipe builds the processor."""
    siglip = {**DUAL, "model_type": "siglip", "text_config": {**_SIZE, "max_position_embeddings": 64}}
    del siglip["projection_dim"]
    train("dual_encoder", tmp_path / "dual", dual_encoder_config=siglip, vocab_size=420, max_title_length=None)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "dual")
    assert tokenizer.model_max_length == 64
    given = {"dual_encoder": str(tmp_path / "dual"), "model_config": {"text_config": LANGUAGE, **CONNECTOR}}
    train("tgq_former", tmp_path / "run", **given, lora_rank=0, max_title_length=None)
    processor = TGQFormerProcessor.from_pretrained(tmp_path / "run")
    model = TGQFormerModel.from_pretrained(tmp_path / "run").eval()
    image = Image.new("RGB", (48, 48), "red")
    inputs = processor(images=[image], text=["a red mug"], return_tensors="pt")
    assert inputs.title_input_ids.shape == (1, 64)
    with torch.no_grad():
        own = AutoModel.from_pretrained(tmp_path / "dual").eval()
        padded = tokenizer(["a red mug"], padding="max_length", return_tensors="pt").input_ids
        said = own(pixel_values=inputs.pixel_values, input_ids=padded)
        expected = torch.nn.functional.cosine_similarity(said.image_embeds, said.text_embeds)
        torch.testing.assert_close(model(**inputs).agreement, expected)
    for script, arguments in (("tgq_former", given), ("dual_encoder", {"dual_encoder": given["dual_encoder"]})):
        with pytest.raises(ValueError, match="--max_title_length must be 64, as SigLIP"):
            train(script, tmp_path / "other", **arguments, max_title_length=24, **_whole(script))


def _whole(script):
    return {"lora_rank": 0} if script == "tgq_former" else {}


def test_an_encoder_without_pooled_output_is_named(train, tmp_path, dual_encoder):
    tokenizer = AutoTokenizer.from_pretrained(dual_encoder)
    AutoModel.from_config(ViTConfig(**_SIZE, image_size=48, patch_size=16)).save_pretrained(tmp_path / "vision")
    words = DistilBertConfig(dim=32, hidden_dim=48, n_layers=1, n_heads=2, vocab_size=len(tokenizer))
    AutoModel.from_config(words).save_pretrained(tmp_path / "text")
    tokenizer.save_pretrained(tmp_path / "text")
    with pytest.raises(ValueError, match="holds a 'distilbert', which gives no pooled output"):
        train("dual_encoder", tmp_path / "run", vision=str(tmp_path / "vision"), text=str(tmp_path / "text"))


def test_a_dual_encoder_is_not_evaluated(train, tmp_path):
    for name, value in (("eval_every", 2), ("eval_data", "x")):
        with pytest.raises(ValueError, match="--eval_every and --eval_data are for TGQ-Former"):
            train("dual_encoder", tmp_path / "run", dual_encoder_config=DUAL, **{name: value})


def test_dual_encoders_learn_from_titles_alone(train, tmp_path, catalog_folder, caplog):
    catalog = datasets.load_from_disk(str(catalog_folder))
    titles = [None if row % 2 else title for row, title in enumerate(catalog["title"])]
    for name, column in (("half", titles), ("none", [None] * len(catalog))):
        catalog.remove_columns("title").add_column("title", column).save_to_disk(str(tmp_path / name))
    train("dual_encoder", tmp_path / "run", data=str(tmp_path / "half"), dual_encoder_config=DUAL, vocab_size=420)
    assert f"{len(catalog) // 2} of {len(catalog)} rows have no title" in caplog.text
    with pytest.raises(ValueError, match="No row of the catalog has a title"):
        train("dual_encoder", tmp_path / "other", data=str(tmp_path / "none"), dual_encoder_config=DUAL)


def test_listings_without_any_title_are_refused(train, pretrained, tmp_path, catalog_folder):
    """Training without titles, for want of `--columns title=NAME`, would miss the point of the method."""
    catalog = datasets.load_from_disk(str(catalog_folder))
    catalog.rename_column("title", "name").save_to_disk(str(tmp_path / "renamed"))
    with pytest.raises(ValueError, match=r"No row of the catalog has a title; .* --columns title=NAME"):
        train("tgq_former", tmp_path / "run", **pretrained, data=str(tmp_path / "renamed"))


def test_a_dual_encoder_of_two_encoders_learns_what_is_not_frozen(train, tmp_path, dual_encoder):
    """A frozen encoder stays as it is bit for bit, except for a vision encoder's pooling head."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(dual_encoder)
    AutoModel.from_config(ViTConfig(**_SIZE, image_size=48, patch_size=16)).save_pretrained(tmp_path / "vision")
    AutoModel.from_config(BertConfig(**_SIZE, vocab_size=len(tokenizer))).save_pretrained(tmp_path / "text")
    tokenizer.save_pretrained(tmp_path / "text")
    pair = {"vision": str(tmp_path / "vision"), "text": str(tmp_path / "text"), "projection_dim": 16}
    for frozen, other in (("vision", "text"), ("text", "vision")):
        train("dual_encoder", tmp_path / f"frozen-{frozen}", **pair, **{f"freeze_{frozen}": True})
        trained = AutoModel.from_pretrained(tmp_path / f"frozen-{frozen}")
        changed = {}
        for part in (frozen, other):
            before = AutoModel.from_pretrained(tmp_path / part).state_dict()
            found = getattr(trained, f"{part}_model").state_dict()
            changed[part] = {name for name, value in before.items() if not torch.equal(found[name], value)}
        assert changed[frozen] == ({"pooler.dense.weight", "pooler.dense.bias"} if frozen == "vision" else set())
        assert len(changed[other]) > 10


def test_a_dual_encoder_may_take_the_vision_encoder_of_a_tiger_fg(train, tmp_path, dual_encoder):
    """`--vision` takes its folder, and pictures are normalized as in its training."""
    tokenizer = AutoTokenizer.from_pretrained(dual_encoder)
    AutoModel.from_config(BertConfig(**_SIZE, vocab_size=len(tokenizer))).save_pretrained(tmp_path / "text")
    tokenizer.save_pretrained(tmp_path / "text")
    torch.manual_seed(0)
    model = tiny_model().eval()
    model.save_pretrained(tmp_path / "tiger")
    statistics = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    TigerFGProcessor(TigerFGImageProcessorPil(**statistics), tokenizer).save_pretrained(tmp_path / "tiger")
    pair = {"vision": str(tmp_path / "tiger"), "text": str(tmp_path / "text"), "projection_dim": 16}
    train("dual_encoder", tmp_path / "dual-encoder", **pair, freeze_vision=True)
    found = AutoModel.from_pretrained(tmp_path / "dual-encoder").eval()
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = model.vision_model(pixels).last_hidden_state
        torch.testing.assert_close(found.vision_model(pixels).last_hidden_state, expected)
    assert list(AutoImageProcessor.from_pretrained(tmp_path / "dual-encoder").image_mean) == statistics["image_mean"]


def test_unclear_dual_encoders_are_named(train, tmp_path):
    with pytest.raises(ValueError, match="Give either --dual_encoder, or --vision and --text"):
        train("dual_encoder", tmp_path / "run", vision="x")


@pytest.mark.parametrize("rows", [1, 2])
def test_gradient_caching_is_the_whole_batch(fresh_accelerate, rows):
    batch = tiny_pair_batch()
    cached, plain = (TGQFormerStudent(tiny_tgq_model()) for _ in range(2))
    losses = GradCache(Accelerator(cpu=True), TGQFormerTask(cached), rows)(batch)
    expected = TGQFormerTask(plain)(batch)
    expected["loss"].backward()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value.detach(), atol=1e-5, rtol=1e-4, msg=name)
    for (name, found), (_, other) in zip(cached.named_parameters(), plain.named_parameters(), strict=True):
        if other.grad is not None:
            torch.testing.assert_close(found.grad, other.grad, atol=2e-5, rtol=1e-3, msg=name)
