"""A run folder records sessions and code revision, and its history survives a killed writer."""

import json
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from tiger_fg_hf.training.run_folder import History, code_revision, record_session


def sessions(folder: Path) -> list[dict]:
    return json.loads((folder / "run.json").read_text())["sessions"]


def test_sessions_are_added_when_a_run_is_resumed(tmp_path):
    folder = tmp_path / "runs" / "new"
    record_session(folder, {"first_step": 0}, resumed=False)
    record_session(folder, {"first_step": 4}, resumed=True)
    first, second = sessions(folder)
    assert (first["first_step"], second["first_step"]) == (0, 4)
    for name in ("torch", "transformers", "accelerate", "datasets", "numpy", "tiger_fg_hf"):
        assert first["versions"][name] == version(name)
    assert first["started"] <= second["started"]
    assert {"versions", "platform", "code"} <= first.keys()
    record_session(folder, {"first_step": 0}, resumed=False)
    assert len(sessions(folder)) == 1
    record_session(tmp_path / "other", {}, resumed=True)  # a run that starts from another run's checkpoint
    assert len(sessions(tmp_path / "other")) == 1
    assert [path.name for path in folder.iterdir()] == ["run.json"]


def test_dying_while_writing_leaves_the_earlier_sessions(tmp_path, monkeypatch):
    record_session(tmp_path, {"first_step": 0}, resumed=False)

    def die(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", die)
        with pytest.raises(KeyboardInterrupt):
            record_session(tmp_path, {"first_step": 2}, resumed=True)
    assert len(sessions(tmp_path)) == 1


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A git checkout with one commit of a package."""
    package = tmp_path / "src" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for command in (["init"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True, capture_output=True)
    return package


def test_code_revision(checkout):
    clean = code_revision(checkout)
    assert len(clean["revision"]) == 40
    assert not clean["dirty"]
    (checkout / "notes.txt").touch()
    assert code_revision(checkout) == clean
    (checkout / "__init__.py").write_text("changed = True\n")
    assert code_revision(checkout) == {"revision": clean["revision"], "dirty": True}


def test_code_that_is_in_no_checkout_has_no_revision(checkout, tmp_path, monkeypatch):
    """A package installed into an environment inside a checkout is not part of the checkout."""
    installed = tmp_path / ".venv" / "package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    assert code_revision(installed) is None
    assert code_revision(Path("/")) is None
    monkeypatch.setenv("PATH", "")
    assert code_revision(checkout) is None


def test_history_goes_on_at_a_step(tmp_path):
    history = History(tmp_path / "run", 0)
    for step in (2, 4, 6):
        history.append({"step": step, "train/loss": 1.5})
    assert History(tmp_path / "run", 4).entries == [{"step": 2, "train/loss": 1.5}, {"step": 4, "train/loss": 1.5}]
    assert [json.loads(line)["step"] for line in history.path.read_text().splitlines()] == [2, 4]
    assert History(tmp_path / "run", 0).entries == []


@pytest.mark.parametrize("kept", range(1, 12))
def test_history_of_a_run_that_was_killed_while_it_wrote(tmp_path, kept):
    history = History(tmp_path, 0)
    history.append({"step": 2})
    line = json.dumps({"step": 4}) + "\n"
    with history.path.open("a") as file:
        file.write(line[:kept])
    again = History(tmp_path, 6)
    assert [entry["step"] for entry in again.entries] == ([2, 4] if kept == len(line) else [2])
    again.append({"step": 6})
    assert [entry["step"] for entry in History(tmp_path, 9).entries][-1] == 6
