"""A full disk is named with its folder, and costs a run nothing that it had saved."""

import errno
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors import SafetensorError

from tiger_fg_hf.training.checkpoint import checkpoint_steps, load_checkpoint, save_checkpoint
from tiger_fg_hf.training.disk import explain_full_disk
from tiger_fg_hf.training.run_folder import History

Usage = namedtuple("Usage", "total used free")

# What a full disk made of each writer.
ERRORS = {
    "python": OSError(errno.ENOSPC, "No space left on device"),
    "quota": OSError(errno.EDQUOT, "Disk quota exceeded"),
    "safetensors": SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    "torch": RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598"),
    "torch, closing": RuntimeError("basic_ios::clear: iostream error"),
}


@pytest.fixture
def full(monkeypatch):
    """A disk with no free space."""
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(2**21, 2**21, 0))


@pytest.mark.parametrize("writer", ERRORS)
def test_a_checkpoint_on_a_full_disk(fresh_accelerate, full, tmp_path, monkeypatch, writer):
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(3, 2)
    accelerator.prepare(model, torch.optim.AdamW(model.parameters()))
    saved = save_checkpoint(accelerator, tmp_path, 2, {}, keep=1)

    def fail(folder, **options):
        Path(folder).mkdir()
        (Path(folder) / "model.safetensors").write_bytes(b"half")
        raise ERRORS[writer]

    monkeypatch.setattr(accelerator, "save_state", fail)
    message = r"The disk is full: the checkpoint of step 4 could not be written.* --resume auto"
    with pytest.raises(OSError, match=message) as error:
        save_checkpoint(accelerator, tmp_path, 4, {}, keep=1)
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [saved.name]  # the half checkpoint takes no space
    assert checkpoint_steps(tmp_path) == [(2, saved)]
    assert load_checkpoint(accelerator, saved, {}) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_log_on_a_full_disk(tmp_path):
    history = History(tmp_path, 0)
    history.path.unlink()
    history.path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"The disk is full: history.jsonl could not be written") as error:
        history.append({"step": 2})
    assert error.value.filename == str(tmp_path)


@pytest.mark.parametrize("other", [OSError(errno.EACCES, "Permission denied"), RuntimeError("unexpected pos 4 vs 2")])
def test_other_errors_pass_unchanged(tmp_path, other):
    with pytest.raises(type(other)) as error, explain_full_disk(tmp_path, "the log"):
        raise other
    assert error.value is other
