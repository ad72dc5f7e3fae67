"""Only the files of a checkpoint are uploaded, to a repository whose visibility was stated."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi
from tiny_training import load_script

from tiger_fg_hf.hub.upload import list_published_files, upload_checkpoint

ROOT = Path(__file__).parents[2]
OTHERS = [
    ".env",
    ".git/config",
    "optimizer.bin",
    "runs/events.log",
    "secrets.json",
    "setup.py",
    "title_tokenizer/.env",
]
CHECKPOINT = [
    *("README.md", "attention.py", "config.json", "model.safetensors", "processor_config.json"),
    *("title_tokenizer/tokenizer.json", "tokenizer.json"),
]


@pytest.fixture
def folder(tmp_path):
    for name in CHECKPOINT + OTHERS:
        path = tmp_path / "checkpoint" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "checkpoint"


@pytest.fixture
def hub(monkeypatch):
    """A Hub with one public repository, which records uploads."""
    hub = SimpleNamespace(repositories={"me/public": False}, uploads={})

    def create_repo(self, repo_id, *, private, exist_ok, repo_type):
        assert exist_ok
        hub.repositories.setdefault(repo_id, private)

    def create_commit(self, repo_id, operations, *, commit_message, repo_type):
        hub.uploads[repo_id] = {each.path_in_repo: Path(each.path_or_fileobj).read_text() for each in operations}

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "create_commit", create_commit)
    monkeypatch.setattr(HfApi, "model_info", lambda self, repo_id: SimpleNamespace(private=hub.repositories[repo_id]))
    return hub


@pytest.mark.parametrize("private", [True, False])
def test_only_the_checkpoint_is_uploaded(folder, hub, private):
    upload_checkpoint(folder, "me/new", private=private)
    assert hub.uploads == {"me/new": {name: name for name in CHECKPOINT}}
    assert hub.repositories["me/new"] is private


def test_all_other_files_are_named(folder):
    assert list_published_files(folder) == (CHECKPOINT, OTHERS)


@pytest.mark.parametrize("name", ["tiger-fg-tiny", "tgq-former-tiny"])
def test_every_file_of_the_demo_checkpoints_is_published(name):
    assert [path for path in list_published_files(ROOT / "model_cards" / name).left_out if ".pyc" not in path] == []


def test_links_are_not_followed(folder, tmp_path):
    (tmp_path / "secret").write_text("token")
    (folder / "LICENSE").symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(tmp_path, target_is_directory=True)
    published, left_out = list_published_files(folder)
    assert published == CHECKPOINT
    assert {"LICENSE", "linked"} <= set(left_out)


def test_a_repository_of_the_other_visibility_gets_nothing(folder, hub):
    with pytest.raises(ValueError, match="'me/public' is public, but private was asked for; nothing was uploaded"):
        upload_checkpoint(folder, "me/public", private=True)
    assert hub.uploads == {}


def test_visibility_has_no_default(folder, hub, capsys):
    with pytest.raises(TypeError, match="private"):
        upload_checkpoint(folder, "me/new")
    arguments = ["--run", "r", "--folder", "f", "--name", "n", "--results", "a=b", "--description", "d"]
    arguments += ["--training_data", "t", "--hardware", "h", "--commands", "c", "--push_to", "me/new"]
    with pytest.raises(SystemExit):
        load_script(ROOT / "examples" / "publish.py").main(arguments)
    assert "--push_to: state --visibility private or --visibility public" in capsys.readouterr().err


def test_a_folder_without_checkpoint_is_refused(tmp_path, hub):
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        upload_checkpoint(tmp_path, "me/new", private=True)
    assert hub.repositories == {"me/public": False}
