"""The frozen teacher: what a vision encoder says of each product's clean crop, computed once and kept on disk."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from ..models.encoders_tiger_fg import encode_image

_META = "teacher.json"
# Of a teacher's configuration, what says nothing of its function: who wrote it, from where, and how it is called.
_FORMALITIES = {
    *("transformers_version", "_name_or_path", "_commit_hash", "architectures", "dtype", "torch_dtype"),
    *("id2label", "label2id", "problem_type", "return_dict", "output_attentions", "output_hidden_states"),
}


class TeacherFeatures:
    """
    Features of a frozen teacher, row by row of a catalog.

    The teacher is privileged: it sees each product's crop out of the clean listing photo, whatever mosaic, light or
    clutter the student sees it in. So the features do not change from epoch to epoch, and a weak teacher is at its
    best.

    Args:
        item_cls (`[rows, d_t]`): class features of the items' target crops.
        item_regions (`[rows, r, r, d_t]`): features of the same crops on a grid of r by r.
        query_cls (`[rows, d_t]`, *optional*): class features of the catalog's own query photos; the items' where
            queries are synthesised from them.
    """

    def __init__(self, item_cls: np.ndarray, item_regions: np.ndarray, query_cls: np.ndarray | None = None):
        self.item_cls, self.item_regions, self.query_cls = item_cls, item_regions, query_cls

    def regions(self, rows: torch.Tensor, flipped: torch.Tensor) -> torch.Tensor:
        """Region features `[b, r, r, d_t]` of catalog rows `[b]`, mirrored where the student's picture is, `[b]`."""
        found = self._of(self.item_regions, rows)
        return torch.where(flipped[:, None, None, None], found.flip(2), found)

    def similarities(self, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Query features and item features `[b, d_t]` of a batch's rows, and which of them there are, `[b]`."""
        items = self._of(self.item_cls, batch["rows"])
        queries = items if self.query_cls is None else self._of(self.query_cls, batch["rows"])
        return queries, items, torch.ones_like(batch["rows"], dtype=torch.bool)

    @staticmethod
    def _of(features: np.ndarray, rows: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.asarray(features[rows.cpu().numpy()])).to(rows.device, torch.float32)

    @classmethod
    def cached(
        cls,
        folder: str | Path,
        teacher: PreTrainedModel,
        crops: Sequence[Image.Image],
        *,
        fingerprint: str,
        image_size: int,
        image_mean: Sequence[float],
        image_std: Sequence[float],
        region_grid: int = 8,
        query_photos: Sequence[Image.Image] | None = None,
        batch_size: int = 64,
        show_progress: bool = False,
    ) -> "TeacherFeatures":
        """
        Features of a catalog from `folder`, computed and written there first where they are missing.

        Args:
            folder: holds one sub-folder per catalog and teacher.
            teacher: any vision encoder with patch tokens; runs in eval mode, without gradients, in bfloat16.
            crops: the target crop of each catalog row, RGB, of any size.
            fingerprint: of the catalog and of how it was cropped.
            image_size: side in pixels of the teacher's input, to which crops are squashed.
            image_mean, image_std: of the teacher's preprocessing.
            region_grid: r; the teacher's patch grid is averaged or interpolated to it.
            query_photos: the catalog's own queries, where it has some.

        Raises:
            ValueError: there are not as many query photos as crops.
        """
        if query_photos is not None and len(query_photos) != len(crops):
            raise ValueError(f"{len(query_photos)} query photos were given for {len(crops)} crops.")
        meta = {
            "catalog": fingerprint,
            "teacher": _weights_digest(teacher),
            "image_size": image_size,
            "image_mean": list(image_mean),
            "image_std": list(image_std),
            "region_grid": region_grid,
            "queries": query_photos is not None,
        }
        key = hashlib.blake2b(json.dumps(meta, sort_keys=True).encode(), digest_size=12).hexdigest()
        final = Path(folder) / f"teacher-{key}"
        if not (final / _META).is_file():
            # Where there is something without it, someone's copy or deletion was interrupted.
            shutil.rmtree(final, ignore_errors=True)
            prepare = _preprocess(image_size, image_mean, image_std)
            partial = final.with_name(f".partial-{final.name}-{os.getpid()}")
            partial.mkdir(parents=True, exist_ok=True)
            try:
                _write(partial, "item", teacher, crops, prepare, region_grid, batch_size, show_progress)
                if query_photos is not None:
                    _write(partial, "query", teacher, query_photos, prepare, None, batch_size, show_progress)
                (partial / _META).write_text(json.dumps(meta, indent=2))
                # Whole or not at all: another process may look for it, or have written it meanwhile.
                try:
                    partial.rename(final)
                except OSError:
                    if not (final / _META).is_file():
                        raise
            finally:
                shutil.rmtree(partial, ignore_errors=True)

        def load(name: str) -> np.ndarray:
            return np.load(final / f"{name}.npy", mmap_mode="r")

        return cls(load("item_cls"), load("item_regions"), None if query_photos is None else load("query_cls"))


def _weights_digest(model: PreTrainedModel) -> str:
    config = {key: value for key, value in model.config.to_dict().items() if key not in _FORMALITIES}
    digest = hashlib.blake2b(json.dumps(config, sort_keys=True, default=str).encode(), digest_size=12)
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _preprocess(size: int, mean: Sequence[float], std: Sequence[float]) -> Callable[[Image.Image], torch.Tensor]:
    centre, spread = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)

    def prepare(photo: Image.Image) -> torch.Tensor:
        photo = photo.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, reducing_gap=2.0)
        pixels = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1).float() / 255
        return (pixels - centre) / spread

    return prepare


@torch.no_grad()
def _write(
    folder: Path,
    kind: str,
    teacher: PreTrainedModel,
    photos: Sequence[Image.Image],
    prepare: Callable[[Image.Image], torch.Tensor],
    region_grid: int | None,
    batch_size: int,
    show_progress: bool,
) -> None:
    """Writes `{kind}_cls.npy` and, with a `region_grid`, `{kind}_regions.npy`, of which memory holds one batch."""
    teacher.eval()
    files: dict[str, np.memmap] = {}
    for start in tqdm(range(0, len(photos), batch_size), desc="teacher", disable=not show_progress):
        chosen = range(start, min(start + batch_size, len(photos)))
        pixels = torch.stack([prepare(photos[index]) for index in chosen]).to(teacher.device)
        with torch.autocast(teacher.device.type, dtype=torch.bfloat16):
            tokens: Any = encode_image(teacher, pixels)
        features = {"cls": tokens.cls.float()}
        if region_grid is not None:
            grid = tokens.patches.float().unflatten(1, tokens.grid).permute(0, 3, 1, 2)
            mode = "area" if min(tokens.grid) >= region_grid else "bilinear"
            grid = F.interpolate(grid, size=(region_grid, region_grid), mode=mode)
            features["regions"] = grid.permute(0, 2, 3, 1)
        for name, values in features.items():
            if name not in files:  # the first batch tells the widths
                shape = (len(photos), *values.shape[1:])
                path = folder / f"{kind}_{name}.npy"
                files[name] = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
            files[name][start : chosen.stop] = values.to(torch.float16).cpu().numpy()
    for file in files.values():
        file.flush()
