"""Runs of `examples/train.py` that take a second: a drawn catalog of a few products and a model of 50,000 weights."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

from safetensors.torch import load_file

TRAIN_SCRIPT = Path(__file__).parents[1] / "examples" / "train.py"

MODEL = {
    "projection_dim": 16,
    "num_slots": 2,
    "grounding_intermediate_size": 48,
    "vision_config": {
        "model_type": "vit",
        "image_size": 32,
        "patch_size": 8,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    },
    # BERT's default dropout of 0.1 stays: a resumed run must draw the same masks.
    "text_config": {
        "model_type": "bert",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 32,
    },
}
RECIPE = {
    "model_config": MODEL,
    "vocab_size": 420,
    "image_size": 32,
    "max_text_length": 24,
    "batch_size": 8,
    "num_workers": 0,
    "max_steps": 8,
    "warmup_ratio": 0.25,
    "backbone_lr": 2e-3,
    "head_lr": 2e-3,
    "mixed_precision": "no",
    "log_every": 2,
    "save_every": 0,
    "tracker": "none",
    "progress": False,
}


def write_recipe(folder: Path, **changes) -> Path:
    """The recipe with changes, as a file; None takes an argument out."""
    path = folder / "recipe.json"
    path.write_text(json.dumps({name: value for name, value in (RECIPE | changes).items() if value is not None}))
    return path


def load_script(path: Path) -> ModuleType:
    """A script of `examples/`, imported by its path."""
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def final_weights(folder: Path) -> dict:
    return load_file(folder / "model.safetensors")


def read_history(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def untimed_history(folder: Path) -> list[dict]:
    """The history but for what the clock says."""
    timed = ("train/pairs_per_second", "train/waiting_for_data")
    return [{name: value for name, value in entry.items() if name not in timed} for entry in read_history(folder)]
