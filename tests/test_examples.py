"""The examples run as the README says, on the demo checkpoint."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tiny_training import load_script
from transformers import AutoModel

from tiger_fg_hf import TigerFGModel
from tiger_fg_hf.export.refresh_code import refresh_code

ROOT = Path(__file__).parents[1]
CARD = ROOT / "model_cards" / "tiger-fg-tiny"
CARDS = pytest.mark.parametrize("card", sorted((ROOT / "model_cards").iterdir()), ids=lambda folder: folder.name)


def test_quickstart_finds_crops_and_draws_a_picture(tmp_path, monkeypatch, capsys):
    picture = tmp_path / "picture.png"
    monkeypatch.setattr(sys, "argv", ["quickstart.py", "--listings", "60", "--output", str(picture)])
    load_script(ROOT / "examples" / "quickstart.py").main()
    printed = capsys.readouterr().out
    recall = float(printed.split("Recall@10")[1].split()[0])
    assert recall > 0.5  # chance is 0.17
    assert Image.open(picture).size[0] > 800


def test_evaluation_of_the_demo_checkpoint(tmp_path, capsys):
    script = load_script(ROOT / "examples" / "evaluate.py")
    output = tmp_path / "results.json"
    arguments = ["--model", str(CARD), "--items", "drawn", "--layout", "clean", "--limit", "80"]
    script.main([*arguments, "--output", str(output)])
    assert "| recall@1 |" in capsys.readouterr().out
    result = json.loads(output.read_text())
    assert result["num_queries"] == result["num_items"] == 80
    assert result["metrics"]["recall@1"]["mean"] > 20 * result["chance"]["recall@1"]


def test_evaluation_names_what_is_missing():
    script = load_script(ROOT / "examples" / "evaluate.py")
    with pytest.raises(ValueError, match="Give either --model"):
        script.main(["--items", "drawn", "--limit", "4"])


@CARDS
def test_demo_checkpoint_is_a_whole_hub_folder(card):
    names = {path.name for path in card.iterdir()}
    assert {"README.md", "config.json", "model.safetensors", "processor_config.json"} <= names
    assert sum(path.stat().st_size for path in card.rglob("*") if path.is_file()) < 12_000_000
    text = (card / "README.md").read_text()
    assert text.startswith("---")
    assert "model-index" in text


@CARDS
def test_demo_checkpoint_carries_the_code_of_this_package(card, tmp_path):
    """`python -m tiger_fg_hf.export.refresh_code model_cards/*` writes it after a change in `models/`."""
    copy = shutil.copytree(card, tmp_path / card.name)
    assert refresh_code(copy) == sorted(path.name for path in card.glob("*.py"))
    for path in copy.glob("*.py"):
        assert (card / path.name).read_text() == path.read_text(), path.name


@CARDS
def test_demo_checkpoint_holds_every_weight(card):
    _, info = AutoModel.from_pretrained(card, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]


def test_help_texts():
    for name in ("train", "train_tgq_former", "train_dual_encoder", "evaluate", "quickstart", "publish"):
        command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "--help" in done.stdout


def test_demo_checkpoint_saved_again_names_no_code_that_is_not_there(tmp_path):
    TigerFGModel.from_pretrained(CARD).save_pretrained(tmp_path)
    assert "auto_map" in json.loads((CARD / "config.json").read_text())
    assert "auto_map" not in json.loads((tmp_path / "config.json").read_text())
