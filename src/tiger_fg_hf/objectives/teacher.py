"""Features of the frozen teacher, computed once from clean crops of the products and kept on disk."""

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
# Keys of a teacher's configuration that do not change its features.
_IRRELEVANT_KEYS = {
    *("transformers_version", "_name_or_path", "_commit_hash", "architectures", "dtype", "torch_dtype"),
    *("id2label", "label2id", "problem_type", "return_dict", "output_attentions", "output_hidden_states"),
}


class TeacherFeatures:
    """Features of a frozen teacher for every row of a catalog, for `L_SRD` and `L_SDD`.

    The teacher is privileged: it sees each product's crop from the clean listing photo, while the student sees it in a
    mosaic, in other light or in clutter. The features therefore stay the same in all epochs, and even a weak teacher
    gives its best ones.

    Args:
        item_cls (`[rows, d_t]`): class features of the items' target crops.
        item_regions (`[rows, r, r, d_t]`): features of the same crops on a grid of r by r.
        query_cls (`[rows, d_t]`, *optional*): class features of the catalog's own query photos. Defaults to
            `item_cls`, for queries that are synthesized from the item photos.

    Example:
        ```python
        >>> teacher = TeacherFeatures(np.eye(4), np.zeros((4, 2, 2, 4)))
        >>> query, item, valid = teacher.similarities({"rows": torch.tensor([3, 1])})
        >>> item.shape, valid
        (torch.Size([2, 4]), tensor([True, True]))

        ```
    """

    def __init__(self, item_cls: np.ndarray, item_regions: np.ndarray, query_cls: np.ndarray | None = None):
        self.item_cls, self.item_regions, self.query_cls = item_cls, item_regions, query_cls

    def regions(self, rows: torch.Tensor, flipped: torch.Tensor) -> torch.Tensor:
        """Return the region features of items.

        Args:
            rows (`[b]`): catalog rows.
            flipped (`[b]`, boolean): items whose photo the student sees mirrored.

        Returns:
            Tensor `[b, r, r, d_t]`, mirrored where `flipped`.
        """
        regions = self._select(self.item_regions, rows)
        return torch.where(flipped[:, None, None, None], regions.flip(2), regions)

    def similarities(self, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the features from which the teacher's similarities are computed.

        Args:
            batch: a training batch with `rows` `[b]`, the catalog rows.

        Returns:
            Features of queries and of items, `[b, d_t]` each, and a mask `[b]` of the rows that have them.
        """
        items = self._select(self.item_cls, batch["rows"])
        queries = items if self.query_cls is None else self._select(self.query_cls, batch["rows"])
        return queries, items, torch.ones_like(batch["rows"], dtype=torch.bool)

    @staticmethod
    def _select(features: np.ndarray, rows: torch.Tensor) -> torch.Tensor:
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
        """Load the features of a catalog from `folder`; compute and write them first if they are missing.

        Args:
            folder: holds one sub-folder per catalog and teacher.
            teacher: any vision encoder with patch tokens; runs in eval mode, without gradients, in bfloat16.
            crops: the target crop of each catalog row, of any mode and size.
            fingerprint: identifies the catalog and the way its crops were made.
            image_size: side in pixels of the teacher's input, to which crops are squashed.
            image_mean: mean of the teacher's preprocessing, one value per channel for pixels in [0, 1].
            image_std: standard deviation of the teacher's preprocessing, one value per channel.
            region_grid: side r of the grid to which the teacher's patches are averaged or interpolated.
            query_photos: the catalog's own queries, if it has any.
            batch_size: crops per forward pass.
            show_progress: whether to show a progress bar.

        Raises:
            ValueError: the number of query photos differs from the number of crops.
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
            # A folder without this file is left over from an interrupted copy or deletion.
            shutil.rmtree(final, ignore_errors=True)
            prepare = _preprocess(image_size, image_mean, image_std)
            partial = final.with_name(f".partial-{final.name}-{os.getpid()}")
            partial.mkdir(parents=True, exist_ok=True)
            try:
                _write(partial, "item", teacher, crops, prepare, region_grid, batch_size, show_progress)
                if query_photos is not None:
                    _write(partial, "query", teacher, query_photos, prepare, None, batch_size, show_progress)
                (partial / _META).write_text(json.dumps(meta, indent=2))
                # Renamed only when complete, since another process may look for it, or may have written it meanwhile.
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
    config = {key: value for key, value in model.config.to_dict().items() if key not in _IRRELEVANT_KEYS}
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
    """Write `{kind}_cls.npy` and, with a `region_grid`, `{kind}_regions.npy`, one batch at a time."""
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
            if name not in files:  # shapes are known only from the first batch on
                shape = (len(photos), *values.shape[1:])
                path = folder / f"{kind}_{name}.npy"
                files[name] = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
            files[name][start : chosen.stop] = values.to(torch.float16).cpu().numpy()
    for file in files.values():
        file.flush()
