"""`examples/train_dual_encoder.py` and `examples/train_tgq_former.py`, from a catalog to folders that load."""

import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from tiny_tgq import tiny_pair_batch, tiny_tgq_model
from tiny_training import load_script, read_history
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from tiger_fg_hf import TGQFormerModel, TGQFormerProcessor
from tiger_fg_hf.objectives.item_pairs import ItemPairStudent, ItemPairTask
from tiger_fg_hf.training.grad_cache import GradCache

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
    folder = Path(__file__).parents[2] / "examples"
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
    """Learns something, and its folder is what `--dual_encoder` and transformers read."""
    assert type(AutoModel.from_pretrained(dual_encoder)).__name__ == "CLIPModel"
    assert AutoTokenizer.from_pretrained(dual_encoder).model_max_length == 24
    assert AutoImageProcessor.from_pretrained(dual_encoder).size == {"height": 48, "width": 48}
    losses = [entry["train/i2i"] for entry in read_history(dual_encoder)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("connector", ["tgq_former", "notellm2"])
def test_adapters_and_the_merged_model(train, dual_encoder, tmp_path, connector):
    arguments = {
        "dual_encoder": str(dual_encoder),
        "model_config": {"text_config": LANGUAGE, **CONNECTOR},
        "connector": connector,
        "lora_rank": 4,
        "max_text_length": 24,
    }
    output = tmp_path / "run"
    summary = train(
        "tgq_former", output, **arguments, eval_every=4, eval_data=None, eval_limit=12, data="drawn", drawn_products=24
    )
    assert summary["pairs"] == 32
    history = read_history(output)
    assert {"eval/hit_rate@1", "eval/hit_rate@10", "eval/mrr"} <= history[-1].keys()
    assert ("train/rr" in history[0]) == (connector == "tgq_former")
    model, processor = TGQFormerModel.from_pretrained(output), TGQFormerProcessor.from_pretrained(output)
    assert model.config.connector == connector
    frozen = AutoModel.from_pretrained(dual_encoder).state_dict()
    for name, value in model.dual_encoder.state_dict().items():
        assert torch.equal(value, frozen[name]), name

    # The adapters, on the model they were made for, are the merged one.
    inputs = processor(images=[torch.zeros(3, 48, 48).numpy()], text=[{"title": "red mug"}], return_tensors="pt")
    base = TGQFormerModel.from_pretrained(output)
    adapted = peft.PeftModel.from_pretrained(base, output / "adapters")
    names = {name.split(".lora_")[0] for name in load_file(output / "adapters" / "adapter_model.safetensors")}
    assert any("language_model" in name for name in names)
    assert any("connector" in name for name in names)
    with torch.no_grad():
        connected = adapted.base_model.model.connector.state_dict()
        assert model.connector.state_dict().keys() == {
            name.removeprefix("modules_to_save.default.") for name in connected if name.startswith("modules_to_save.")
        }
        assert torch.isfinite(model(**inputs).embeds).all()


def test_resumed_is_uninterrupted(train, dual_encoder, tmp_path, monkeypatch):
    """With adapters and dropout on."""
    arguments = {
        "dual_encoder": str(dual_encoder),
        "model_config": {"text_config": LANGUAGE, **CONNECTOR, "connector_dropout": 0.1},
        "lora_rank": 4,
        "lora_dropout": 0.1,
        "save_every": 2,
    }
    train("tgq_former", tmp_path / "whole", **arguments)
    loss, count = ItemPairTask.loss, 0

    def stopping(task, *given):
        nonlocal count
        count += 1
        if count > 3:
            raise KeyboardInterrupt
        return loss(task, *given)

    with monkeypatch.context() as patch:
        patch.setattr(ItemPairTask, "loss", stopping)
        with pytest.raises(KeyboardInterrupt):
            train("tgq_former", tmp_path / "parts", **arguments)
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
    # A checkpoint is trained on, its encoders with it.
    train(
        "tgq_former",
        tmp_path / "more",
        model=str(tmp_path / "frozen"),
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
        ({"dual_encoder": "x", "language_model": "y", "model_config": {"text_config": {}}}, "Give either --model"),
        ({"model": "x", "dual_encoder": "y"}, "--model brings its encoders"),
        ({"freeze_language_model": True}, "--freeze_language_model needs --lora_rank 0"),
        ({"level_shares": "1,1"}, "--level_shares must be 3 numbers"),
        ({"keep_words": "0.5"}, "--keep_words must be 'low,high'"),
    ],
)
def test_unclear_arguments_are_named(train, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train("tgq_former", tmp_path / "run", **changes)


def test_unclear_dual_encoders_are_named(train, tmp_path):
    with pytest.raises(ValueError, match="Give either --dual_encoder, or --vision and --text"):
        train("dual_encoder", tmp_path / "run", vision="x")
    with pytest.raises(ValueError, match="--eval_every is for TGQ-Former"):
        train("dual_encoder", tmp_path / "run", vision="x", text="y", eval_every=2)


@pytest.mark.parametrize("rows", [1, 2])
def test_gradient_caching_is_the_whole_batch(fresh_accelerate, rows):
    batch = tiny_pair_batch()
    cached, plain = (ItemPairStudent(tiny_tgq_model()) for _ in range(2))
    losses = GradCache(Accelerator(cpu=True), ItemPairTask(cached), rows)(batch)
    expected = ItemPairTask(plain)(batch)
    expected["loss"].backward()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value.detach(), atol=1e-5, rtol=1e-4, msg=name)
    for (name, found), (_, other) in zip(cached.named_parameters(), plain.named_parameters(), strict=True):
        if other.grad is not None:
            torch.testing.assert_close(found.grad, other.grad, atol=2e-5, rtol=1e-3, msg=name)
