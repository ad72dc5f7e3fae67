"""The command line answers at once, and each command does what its help says."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from tiger_fg_hf import drawn_catalog
from tiger_fg_hf.cli.main import app, main

CARD = str(Path(__file__).parents[2] / "model_cards" / "tiger-fg-tiny")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop's CSV with image paths and column names of its own, and a crop of its second product."""
    folder = tmp_path_factory.mktemp("shop")
    lines = ["sku,name,photo"]
    for row, product in enumerate(drawn_catalog(num_products=6, split="test", layout="clean", size=96)):
        product["image"].save(folder / f"{row}.png")
        lines.append(f'00{row},"{product["title"]}",{row}.png')
        if row == 1:
            product["query_image"].save(folder / "crop.png")
    (folder / "listings.csv").write_text("\n".join(lines))
    return folder


COLUMNS = ["--columns", "item_id=sku,title=name,image=photo"]


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_help_is_quick():
    """Measured against a program of one empty command, in turns, so that a busy machine slows both."""
    empty = "import typer; app = typer.Typer(); app.command()(lambda: None); app(['--help'], prog_name='empty')"
    commands = {"tiger-fg": "from tiger_fg_hf.cli.main import main; main(['--help'])", "empty": empty}
    seconds = {name: [] for name in commands}
    for _ in range(5):
        for name, code in commands.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - started)
    ours, theirs = (statistics.median(measured) for measured in seconds.values())
    print(f"tiger-fg --help: {ours:.3f} s, an empty typer program: {theirs:.3f} s")
    assert ours < max(0.3, 2 * theirs)


def test_help_imports_nothing_heavy():
    code = "import sys; from tiger_fg_hf.cli.main import app; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "transformers", "datasets", "numpy"} & set(modules)


@pytest.mark.parametrize("command", ["check", "encode", "search", "evaluate"])
def test_every_command_shows_an_example(command):
    assert f"Example: tiger-fg {command}" in " ".join(run(command, "--help").output.split())


def test_a_sound_catalog_passes_the_check(shop):
    result = run("check", shop / "listings.csv", *COLUMNS)
    assert result.exit_code == 0
    assert "all 6 rows are sound" in result.output


def test_faults_are_listed_and_exit_with_1(shop, tmp_path):
    text = (shop / "listings.csv").read_text().replace("4.png", "gone.png").replace(",2.png", f",{shop / '2.png'}")
    for number in (0, 1, 3, 5):
        (tmp_path / f"{number}.png").write_bytes((shop / f"{number}.png").read_bytes())
    (tmp_path / "listings.csv").write_text(text)
    result = run("check", tmp_path / "listings.csv", *COLUMNS, "--allow-outside", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert [fault["item_id"] for fault in report["faults"]] == ["004"]
    assert "gone.png" in report["faults"][0]["reason"]


def test_encode_and_search(shop, tmp_path):
    encode = ["encode", shop / "listings.csv", *COLUMNS, "--model", CARD, "--output", tmp_path / "embeddings"]
    assert "6 encoded" in run(*encode).output
    assert json.loads(run(*encode, "--json").stdout) == {"encoded": 6, "resumed": 6, "skipped": 0, "faults": []}
    search = ["search", tmp_path / "embeddings", "--image", shop / "crop.png", "--model", CARD]
    hits = json.loads(run(*search, "--top-k", 3, "--json").stdout)
    assert len(hits) == 3
    assert hits[0]["item_id"] == "001"
    assert hits[0]["score"] >= hits[1]["score"]
    assert "001" in run(*search).stdout.splitlines()[0]
    with Image.open(shop / "crop.png") as crop:
        whole = f"0,0,{crop.width},{crop.height}"
    assert json.loads(run(*search, "--top-k", 3, "--box", whole, "--json").stdout) == hits
    assert run(*search, "--box", "1,2,3").exit_code == 2
    assert len(json.loads(run(*search, "--top_k", 3, "--json").stdout)) == 3  # underscores work as well


def test_search_refuses_the_embeddings_of_another_model(shop, tmp_path):
    other = CARD.replace("tiger-fg-tiny", "tgq-former-tiny")
    run("encode", shop / "listings.csv", *COLUMNS, "--model", other, "--output", tmp_path)
    result = CliRunner().invoke(app, ["search", str(tmp_path), "--image", str(shop / "crop.png"), "--model", CARD])
    assert "holds embeddings of another model" in str(result.exception)


def test_evaluate_drawn_listings(tmp_path):
    output = tmp_path / "numbers" / "drawn.json"
    result = run("evaluate", "--model", CARD, "--limit", 30, "--output", output, "--json")
    assert json.loads(result.stdout) == json.loads(output.read_text())
    assert json.loads(result.stdout)["num_items"] == 30


def test_train_passes_flags_on(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["train", "tiger-fg", "--help"])
    assert exit.value.code == 0
    assert "--mosaic_share" in capsys.readouterr().out


def test_errors_of_the_input_are_one_line(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["check", "missing.csv"])
    assert exit.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("tiger-fg: ")
    assert "missing.csv" in error
    assert "Traceback" not in error
