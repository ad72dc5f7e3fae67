"""Stored outputs of the frozen dual encoder, which every connector reads."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tiger_fg_hf.catalog.encode import split_rows
from tiger_fg_hf.data.stable_id import stable_id
from tiger_fg_hf.models.image_loading_tiger_fg import load_rgb_image
from tiger_fg_hf.models.modeling_tgq_former import TGQFormerModel
from tiger_fg_hf.models.outputs_tgq_former import TGQFormerPair
from tiger_fg_hf.objectives.tgq_former_student import TGQFormerStudent

_COLUMNS = ("image_tokens", "image_embeds", "title_tokens", "title_mask", "agreement")


class ListingFeatures:
    """Rows of a file that [`write_features`] wrote, memory-mapped.

    Args:
        path: the file.
        device: device of the pairs.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu"):
        self.device = device
        self._columns = load_file(path)

    def __len__(self) -> int:
        return len(self._columns["agreement"])

    def row(self, row: int) -> dict[str, torch.Tensor]:
        """Return one row of a [`TGQFormerPair`], without the batch dimension."""
        return {name: column[row] for name, column in self._columns.items()}

    def pair(self, rows: Sequence[int]) -> TGQFormerPair:
        """Return some rows, for the argument `encoded` of [`embed_listings`]."""
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
    """Write the outputs of a model's dual encoder for some listings; the file is written atomically.

    Titles are padded to the maximum length of the processor. Tokens keep the type they are computed in.

    Args:
        path: file to write.
        model: a model with the dual encoder.
        processor: its processor.
        images: pictures, as for [`embed_listings`].
        records: texts, as for [`embed_listings`].
        batch_size: listings per forward pass.
        autocast_dtype: type of autocast; None for no autocast.
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
    """Collate pairs of [`StoredPairs`] with features, like [`TGQFormerCollator`] collates pictures.

    Args:
        processor: a `TGQFormerProcessor`, for the prompts.
    """

    def __init__(self, processor: Any):
        self.processor = processor

    def __call__(self, pairs: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return a batch."""
        batch: dict[str, torch.Tensor] = {"item_ids": torch.tensor([stable_id(pair["item_id"]) for pair in pairs])}
        for place, side in enumerate(("first", "second")):
            prompts = self.processor(text=[pair["texts"][place] for pair in pairs], return_tensors="pt")
            columns = {name: prompts[name] for name in ("input_ids", "attention_mask")}
            for name in _COLUMNS:
                columns[name] = torch.stack([pair["features"][place][name] for pair in pairs])
            batch |= {f"{side}_{name}": value for name, value in columns.items()}
        return batch


class FeatureStudent(TGQFormerStudent):
    """A [`TGQFormerStudent`] for batches of [`FeatureCollator`], which does not run the dual encoder."""

    def embed(self, inputs: dict[str, torch.Tensor]) -> Any:
        """Embed one side of a batch."""
        pair = TGQFormerPair(**{name: inputs.pop(name) for name in _COLUMNS})
        return self.model.embed(pair, **inputs)
