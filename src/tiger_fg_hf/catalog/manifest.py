"""Record what the embeddings in a folder were computed from, so that only a matching run resumes them."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch

from ..models.processor_fingerprint import processor_fingerprint

MANIFEST = "manifest.json"


def claim_folder(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a folder, or check that the existing one is equal.

    Raises:
        ValueError: If the folder was started with another manifest (the message lists the differences), or holds
            shards without a manifest.
    """
    path = folder / MANIFEST
    if not path.exists():
        if any(folder.glob("shard-*.safetensors")):
            raise ValueError(f"{folder} holds shards but no {MANIFEST}: they cannot be trusted; use an empty folder")
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        replace_safely(temporary, path)
        return
    begun = read_manifest(folder)
    names = begun.keys() | manifest.keys()
    differing = sorted(name for name in names if begun.get(name) != manifest.get(name))
    if differing:
        changes = "; ".join(f"{name} was {begun.get(name)!r}, is {manifest.get(name)!r}" for name in differing)
        raise ValueError(f"cannot resume {folder}: {changes}. Use another folder, or the arguments it began with.")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a folder.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no encoded catalog: there is no {MANIFEST}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        is_usable = all(isinstance(manifest[name], int) and manifest[name] > 0 for name in ("num_rows", "shard_size"))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    if not is_usable:
        raise ValueError(f"{path} is damaged: num_rows and shard_size must be positive integers")
    return manifest


def replace_safely(temporary: Path, path: Path) -> None:
    """Rename a finished file to `path`, so that a killed run leaves no partial file there."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())  # without it, a power cut may keep the name and lose the content
    os.replace(temporary, path)


def model_fingerprint(model: torch.nn.Module) -> str:
    """Hash a model's class name, weights and configuration."""
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    config = getattr(model, "config", None)
    if config is not None:
        digest.update(json.dumps(_without_provenance(config.to_dict()), sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _without_provenance(settings: Any) -> Any:
    """Drop the keys that say how a configuration was saved and loaded, at every level."""
    if not isinstance(settings, dict):
        return settings
    dropped = ("_name_or_path", "dtype", "transformers_version")
    return {name: _without_provenance(value) for name, value in settings.items() if name not in dropped}


def processor_identity(processor: Any) -> str:
    """Hash what a processor computes; identify any other callable by its name."""
    if hasattr(processor, "save_pretrained"):
        return processor_fingerprint(processor)
    return getattr(processor, "__qualname__", type(processor).__qualname__)
