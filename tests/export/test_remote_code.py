"""Exports with code: they load with and without the package, and exporting has no lasting effect."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from remote_loader import model_inputs
from safetensors.torch import load_file, save_file
from tiny import TOWERS, tiny_model
from tiny_tgq import tiny_tgq_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor, PreTrainedTokenizerFast

import tiger_fg_hf
from tiger_fg_hf import TGQFormerConfig, TGQFormerModel, TGQFormerProcessor, TigerFGImageProcessorPil, TigerFGProcessor
from tiger_fg_hf.export.refresh_code import refresh_code
from tiger_fg_hf.export.remote_code import export_with_code

CLASSES = {**TOWERS, "tgq_former": (TGQFormerConfig, TGQFormerModel)}
PROCESSORS = dict.fromkeys(TOWERS, TigerFGProcessor) | {"tgq_former": TGQFormerProcessor}
KINDS = pytest.mark.parametrize("kind", list(CLASSES))
WORDS = ["[PAD]", "[UNK]", "red", "mug", "Kitchen", "color", "desk", "lamp", ":", ";"]
RECORDS = [{"title": "red mug", "category": "Kitchen", "attributes": {"color": "red"}}, None, {"title": "desk lamp"}]
MODELS = Path(tiger_fg_hf.__file__).parent / "models"
DEMOS = sorted((Path(__file__).parents[2] / "model_cards").iterdir())


def needed_code(*modules: str) -> set[str]:
    """Files of the model code that these modules import, directly or not."""
    files: set[str] = set()
    waiting = set(modules)
    while waiting:
        name = f"{waiting.pop()}.py"
        if name not in files:
            files.add(name)
            tree = ast.parse((MODELS / name).read_text(encoding="utf-8"))
            waiting |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level}
    return files


def make_model(kind):
    if kind == "item":
        return tiny_model(kind, num_glances=2, first_glance_size=32, glance_size=16)
    return tiny_tgq_model() if kind == "tgq_former" else tiny_model(kind)


def make_processor(kind="joint") -> TigerFGProcessor | TGQFormerProcessor:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    images = TigerFGImageProcessorPil(size=32, resize_mode="crop")
    tokenizers = [fast, fast] if kind == "tgq_former" else [fast]
    glances = {"glance_scale": 2} if kind == "item" else {}
    return PROCESSORS[kind](images, *tokenizers, text_separator=" ; ", **glances)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Folder with one export per model, the models, and their processors."""
    root = tmp_path_factory.mktemp("exported")
    saved = {kind: make_model(kind) for kind in CLASSES}
    processors = {kind: make_processor(kind) for kind in CLASSES}
    for kind, model in saved.items():
        export_with_code(model, processors[kind], root / kind)
    return root, saved, processors


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (3, 40, 52, 3), generator=generator, dtype=torch.uint8)
    return [Image.fromarray(each.numpy()) for each in pixels]


@pytest.fixture(scope="module")
def remote(exported, photos, tmp_path_factory) -> dict[str, torch.Tensor]:
    """Outputs of the exports in a process without the package."""
    folder = tmp_path_factory.mktemp("remote")
    pixels = {
        str(i): torch.frombuffer(bytearray(p.tobytes()), dtype=torch.uint8).view(40, 52, 3)
        for i, p in enumerate(photos)
    }
    save_file(pixels, folder / "photos.safetensors")
    (folder / "records.json").write_text(json.dumps(RECORDS))
    root = exported[0]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"HF_MODULES_CACHE": str(folder / "modules"), "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            str(Path(__file__).parents[1] / "fixtures" / "remote_loader.py"),
            str(folder),
            str(folder / "found.safetensors"),
            *(str(root / kind) for kind in CLASSES),
            *map(str, DEMOS),
        ],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return load_file(folder / "found.safetensors")


@pytest.mark.parametrize("name", [*CLASSES, *(folder.name for folder in DEMOS)])
def test_same_outputs_without_the_package(exported, photos, remote, name):
    """Of the exports above and of the folders in `model_cards/`."""
    if name in CLASSES:
        model, processor = exported[1][name], exported[2][name]
    else:
        folder = DEMOS[0].parent / name
        model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    expected = model_inputs(processor, model.config.model_type, photos, RECORDS)
    with torch.no_grad():
        expected |= {k: v for k, v in model(**expected).items() if torch.is_tensor(v)}
    expected["image_processor"] = processor.image_processor(photos, return_tensors="pt")["pixel_values"]
    found = {key.partition("|")[2]: tensor for key, tensor in remote.items() if key.startswith(f"{name}|")}
    assert found.keys() == expected.keys()
    for key in found:
        # The order of summation depends on memory alignment, so the last bits may differ.
        torch.testing.assert_close(found[key], expected[key], atol=1e-5, rtol=0, msg=lambda t, key=key: f"{key}: {t}")


@KINDS
def test_folder_holds_and_names_the_code(exported, kind):
    folder = exported[0] / kind
    family, other = ("tgq_former", "tiger_fg") if kind == "tgq_former" else ("tiger_fg", "tgq_former")
    code = {path.name for path in folder.glob("*.py")}
    entries = (f"configuration_{family}", f"modeling_{family}", f"processing_{family}")
    assert code == needed_code(*entries, "image_processing_pil_tiger_fg")
    assert f"modeling_{other}.py" not in code
    config = json.loads((folder / "config.json").read_text())
    names = CLASSES[kind]
    assert config["auto_map"] == {
        "AutoConfig": f"configuration_{family}.{names[0].__name__}",
        "AutoModel": f"modeling_{family}.{names[1].__name__}",
    }
    text = (folder / "processor_config.json").read_text()
    assert f"processing_{family}.{PROCESSORS[kind].__name__}" in text
    assert "image_processing_pil_tiger_fg.TigerFGImageProcessorPil" in text


@pytest.mark.parametrize("trust", [False, True])
@KINDS
def test_loads_into_installed_classes(exported, kind, trust, tmp_path):
    folder = exported[0] / kind
    assert type(AutoConfig.from_pretrained(folder, trust_remote_code=trust)) is CLASSES[kind][0]
    assert type(AutoModel.from_pretrained(folder, trust_remote_code=trust)) is CLASSES[kind][1]
    assert type(AutoProcessor.from_pretrained(folder, trust_remote_code=trust)) is PROCESSORS[kind]
    assert type(AutoImageProcessor.from_pretrained(folder, trust_remote_code=trust)) is TigerFGImageProcessorPil
    assert type(PROCESSORS[kind].from_pretrained(folder).image_processor) is TigerFGImageProcessorPil
    loaded = CLASSES[kind][1].from_pretrained(folder)
    for name, parameter in exported[1][kind].named_parameters():
        assert torch.equal(loaded.get_parameter(name), parameter), name
    loaded.save_pretrained(tmp_path)
    assert "auto_map" not in (tmp_path / "config.json").read_text()


@KINDS
def test_ordinary_saves_hold_no_code(exported, kind, tmp_path):
    model, processor = exported[1][kind], exported[2][kind]
    model.save_pretrained(tmp_path / "after")
    processor.save_pretrained(tmp_path / "after")
    CLASSES[kind][1](model.config).save_pretrained(tmp_path / "new")
    make_processor(kind).save_pretrained(tmp_path / "new")
    for folder in (tmp_path / "after", tmp_path / "new"):
        assert not list(folder.rglob("*.py"))
        for path in folder.glob("*.json"):
            assert "auto_map" not in path.read_text(), path


def test_a_failed_export_has_no_lasting_effect(tmp_path):
    model, processor = tiny_model(), make_processor()
    (tmp_path / "export" / "processor_config.json").mkdir(parents=True)  # a folder in the place of a file
    with pytest.raises(IsADirectoryError):
        export_with_code(model, processor, tmp_path / "export")
    model.save_pretrained(tmp_path / "ordinary")
    assert "auto_map" not in (tmp_path / "ordinary" / "config.json").read_text()


def test_parts_without_code_are_refused(tmp_path):
    with pytest.raises(ValueError, match="dual_encoder_config is of type 'tiger_fg', whose code would be missing"):
        export_with_code(tiny_tgq_model("tiger_fg"), make_processor("tgq_former"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_refreshing_replaces_code_and_nothing_else(exported, tmp_path):
    source, folder = exported[0] / "item", tmp_path / "folder"
    shutil.copytree(source, folder)
    (folder / "modeling_tiger_fg.py").write_text("stale")
    (folder / "no_longer_needed.py").write_text("stale")
    expected = {path.name: path.read_bytes() for path in source.iterdir() if path.is_file()}
    assert refresh_code(folder) == sorted(name for name in expected if name.endswith(".py"))
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == expected


def test_a_folder_without_code_cannot_be_refreshed(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    make_processor().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="have no auto_map, so the folder holds no code"):
        refresh_code(tmp_path)
