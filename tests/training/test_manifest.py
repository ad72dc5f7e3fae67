"""The manifest of a folder finds every missing, cut, changed or added file."""

import os

import pytest

from tiger_fg_hf.training.manifest import MANIFEST, DamagedCheckpointError, check_manifest, write_manifest


@pytest.fixture
def folder(tmp_path):
    """A folder with two files and their manifest."""
    (tmp_path / "weights").write_bytes(bytes(range(256)))
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "state").write_text("{}")
    write_manifest(tmp_path)
    return tmp_path


def test_an_untouched_folder_passes(folder):
    check_manifest(folder)
    (folder / ".DS_Store").touch()
    check_manifest(folder)


@pytest.mark.parametrize("name", ["weights", "part/state", MANIFEST])
@pytest.mark.parametrize("kept", [0, 1])
def test_cut_files_are_named(folder, name, kept):
    (folder / name).write_bytes((folder / name).read_bytes()[:kept])
    with pytest.raises(DamagedCheckpointError, match=f"{name}' is damaged"):
        check_manifest(folder)


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_is_found(folder, bit):
    data = bytearray((folder / "weights").read_bytes())
    data[100] ^= 1 << bit
    (folder / "weights").write_bytes(data)
    with pytest.raises(DamagedCheckpointError, match="weights' is damaged: its content differs"):
        check_manifest(folder)


def test_missing_and_added_files_are_named(folder):
    (folder / "extra.pkl").touch()
    with pytest.raises(DamagedCheckpointError, match=r"extra.pkl' is not part of the checkpoint"):
        check_manifest(folder)
    (folder / "weights").unlink()
    with pytest.raises(DamagedCheckpointError, match="weights' is missing"):
        check_manifest(folder)


@pytest.mark.parametrize("text", ["[]", "null", '{"files": [1]}', '{"files": {"weights": {}}}', "\x00"])
def test_a_manifest_of_another_form_is_damage(folder, text):
    (folder / MANIFEST).write_text(text)
    with pytest.raises(DamagedCheckpointError, match="is no manifest"):
        check_manifest(folder)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs the names of open files")
def test_everything_is_flushed_and_the_manifest_comes_last(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    (tmp_path / "weights").touch()
    write_manifest(tmp_path)
    assert flushed == [str(path) for path in (tmp_path / "weights", tmp_path / MANIFEST, tmp_path)]
