"""Damage the files of shards and checkpoints: each damage must be detected, or harmless."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from tiger_fg_hf.catalog.shards import load_embeddings

_BLOCK = b"\0" * 64


def damage(folder: Path, seed: int, pattern: str = "*") -> str:
    """Damage one file of a folder, and return a sentence that says how.

    Args:
        folder: Folder to change.
        seed: Determines file and damage.
        pattern: Which files, as for `Path.rglob`.
    """
    rng = random.Random(f"damage {seed}")
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    path = rng.choice(files)
    kind = rng.choice(list(_KINDS))
    _KINDS[kind](rng, path, files)
    return f"{path.relative_to(folder)}: {kind}"


def _flip_bit(rng: random.Random, path: Path, files: list[Path]) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _flip_last_bits(rng: random.Random, path: Path, files: list[Path]) -> None:
    """Where the tensors are."""
    data = bytearray(path.read_bytes())
    data[-rng.randrange(1, min(len(data), 40) + 1)] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _cut(rng: random.Random, path: Path, files: list[Path]) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def _blank(rng: random.Random, path: Path, files: list[Path]) -> None:
    """Lose one block, as a disk or a power cut may."""
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data))
    size = len(data[start : start + len(_BLOCK)])
    data[start : start + size] = _BLOCK[:size]
    path.write_bytes(data)


def _remove(rng: random.Random, path: Path, files: list[Path]) -> None:
    path.unlink()


def _copy_over(rng: random.Random, path: Path, files: list[Path]) -> None:
    others = [other for other in files if other != path]
    shutil.copyfile(rng.choice(others), path)


def _append(rng: random.Random, path: Path, files: list[Path]) -> None:
    path.write_bytes(path.read_bytes() + rng.randbytes(8))


_KINDS: dict[str, Callable[[random.Random, Path, list[Path]], None]] = {
    "a bit flipped": _flip_bit,
    "a bit near the end flipped": _flip_last_bits,
    "cut": _cut,
    "a block lost": _blank,
    "removed": _remove,
    "another file copied over it": _copy_over,
    "bytes appended": _append,
}


def damage_shards(whole: Path, folder: Path, seed: int) -> str:
    """Damage a copy of an encoded catalog: loading must refuse it, naming a file, or give the same."""
    shutil.copytree(whole, folder)
    done = damage(folder, seed, "shard-*")
    try:
        found = load_embeddings(folder)
    except (ValueError, FileNotFoundError) as error:
        named = "shard-" in str(error) or "manifest.json" in str(error)
        return "detected" if named else f"{done}: unnamed: {error}"
    except Exception as error:
        return f"{done}: unnamed: {type(error).__name__}: {str(error)[:150]}"
    expected = load_embeddings(whole)
    same = found.item_ids == expected.item_ids and torch.equal(found.embeds, expected.embeds)
    return "equal" if same else f"{done}: loads with other embeddings or ids"
