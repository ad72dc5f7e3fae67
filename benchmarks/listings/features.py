"""What the frozen dual encoder says of listings that are kept on disk, computed once: every connector reads it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tiger_fg_hf.catalog.encode import split_rows
from tiger_fg_hf.data.stable_id import stable_id
from tiger_fg_hf.models.image_loading_tiger_fg import load_rgb_image
from tiger_fg_hf.models.modeling_tgq_former import TGQFormerModel, TGQFormerPair
from tiger_fg_hf.objectives.tgq_former_student import TGQFormerStudent

_COLUMNS = ("image_tokens", "image_embeds", "title_tokens", "title_mask", "agreement")


class ListingFeatures:
    """
    The rows of a file that [`write_features`] wrote, mapped into memory.

    Args:
        path: the file.
        device: where pairs are wanted.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu"):
        self.device = device
        self._columns = load_file(path)

    def __len__(self) -> int:
        return len(self._columns["agreement"])

    def row(self, row: int) -> dict[str, torch.Tensor]:
        """Columns of a [`TGQFormerPair`], without the batch dimension."""
        return {name: column[row] for name, column in self._columns.items()}

    def pair(self, rows: Sequence[int]) -> TGQFormerPair:
        """Of some rows, for [`embed_listings`]."""
        return TGQFormerPair(**{name: column[list(rows)].to(self.device) for name, column in self._columns.items()})


@torch.no_grad()
def write_features(
    path: Path,
    model: TGQFormerModel,
    processor: Any,
    images: Sequence[Any],
    records: Sequence[dict[str, Any]],
    *,
    batch_size: int,
    autocast_dtype: torch.dtype | None,
) -> None:
    """
    Writes what a model's dual encoder says of listings, tokens in the type that they are computed in.

    The file is written whole or not at all. Titles are as long as the longest that the processor lets through.

    Args:
        images, records: as [`embed_listings`] takes them.
    """
    autocast = torch.autocast(model.device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None)
    length = processor.max_title_length
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in _COLUMNS}
    for rows in split_rows(range(len(images)), batch_size, "batch_size"):
        pictures = [load_rgb_image(images[row], name=f"listing {row}") for row in rows]
        inputs = processor(images=pictures, text=[records[row] for row in rows], return_tensors="pt")
        with autocast:
            pair = model.encode_pair(
                **{
                    name: inputs[name].to(model.device)
                    for name in ("pixel_values", "title_input_ids", "title_attention_mask")
                }
            )
        for name in _COLUMNS:
            value = pair[name].cpu()
            if name.startswith("title_"):
                value = torch.cat([value, value.new_zeros(len(value), length - value.shape[1], *value.shape[2:])], 1)
            parts[name].append(value.to(autocast_dtype) if autocast_dtype and name.endswith("_tokens") else value)
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    save_file({name: torch.cat(values) for name, values in parts.items()}, partial)
    partial.replace(path)


class FeatureCollator:
    """
    Pairs of [`StoredPairs`] with features as one batch, as [`TGQFormerCollator`] makes it of pictures.

    Args:
        processor: a `TGQFormerProcessor`, for the prompts.
    """

    def __init__(self, processor: Any):
        self.processor = processor

    def __call__(self, pairs: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch: dict[str, torch.Tensor] = {"item_ids": torch.tensor([stable_id(pair["item_id"]) for pair in pairs])}
        for place, side in enumerate(("first", "second")):
            prompts = self.processor(text=[pair["texts"][place] for pair in pairs], return_tensors="pt")
            columns = {name: prompts[name] for name in ("input_ids", "attention_mask")}
            for name in _COLUMNS:
                columns[name] = torch.stack([pair["features"][place][name] for pair in pairs])
            batch |= {f"{side}_{name}": value for name, value in columns.items()}
        return batch


class FeatureStudent(TGQFormerStudent):
    """[`TGQFormerStudent`] for batches of [`FeatureCollator`]: the dual encoder does not run."""

    def embed(self, inputs: dict[str, torch.Tensor]) -> Any:
        pair = TGQFormerPair(**{name: inputs.pop(name) for name in _COLUMNS})
        return self.model.embed(pair, **inputs)
