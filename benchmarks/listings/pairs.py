"""Training pairs, drawn once and stored so that every connector reads the same bytes in the same order."""

import io
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from PIL import Image
from torch.utils.data import DataLoader

from tiger_fg_hf.synthetic.jpeg import encode_jpeg
from tiger_fg_hf.training.sampler import EpochBatchSampler

from .features import ListingFeatures, write_features

# The quality of the benchmark's listings: training must not see better pictures than the test.
JPEG_QUALITY = 92
# Batches per shard; an interruption loses one unfinished shard.
SHARD = 32
_SIDES = ("first", "second")
_FEATURES = datasets.Features(
    {
        "epoch": datasets.Value("int32"),
        "row": datasets.Value("int32"),
        "item_id": datasets.Value("string"),
        "category": datasets.Value("string"),
        **{f"{side}_image": datasets.Value("binary") for side in _SIDES},
        **{f"{side}_text": datasets.Value("string") for side in _SIDES},
        **{f"{side}_level": datasets.Value("string") for side in _SIDES},
    }
)


def write_pairs(
    folder: Path,
    make_pairs: Callable[[], torch.utils.data.Dataset],
    *,
    num_rows: int,
    batch_size: int,
    batches: int,
    seed: int,
    workers: int = 0,
) -> None:
    """Draw the pairs of the first `batches` batches of a run and write them to `folder`, shard by shard.

    Existing shards are kept: an interrupted call resumes, and a longer run extends a shorter one. Shards are written
    atomically.

    Args:
        folder: folder of the shards.
        make_pairs: returns the [`TGQFormerPairDataset`] to draw from; called only if a shard is missing.
        num_rows: rows of its catalog.
        batch_size: pairs per batch of [`EpochBatchSampler`].
        batches: number of batches.
        seed: seed of the order.
        workers: processes that draw; their number does not change the pairs.
    """
    pairs = None
    for start in range(0, batches, SHARD):
        stop = min(start + SHARD, batches)
        shard = folder / _shard_name(start)
        if shard.is_dir():
            if len(datasets.load_from_disk(str(shard))) >= (stop - start) * batch_size:
                continue
            shutil.rmtree(shard)  # the last one of a shorter run
        pairs = pairs or make_pairs()
        order = EpochBatchSampler(num_rows, batch_size, stop, seed=seed, start=start)
        loader = DataLoader(
            pairs, batch_sampler=order, num_workers=workers, collate_fn=_packed, generator=torch.Generator()
        )
        rows = [
            {"epoch": key[0], **row}
            for keys, batch in zip(order, loader, strict=True)
            for key, row in zip(keys, batch, strict=True)
        ]
        columns = {name: [row[name] for row in rows] for name in _FEATURES}
        partial = folder / f".partial-{shard.name}-{os.getpid()}"
        datasets.Dataset.from_dict(columns, features=_FEATURES).save_to_disk(str(partial))
        partial.rename(shard)


class StoredPairs(torch.utils.data.Dataset):
    """Pairs that [`write_pairs`] wrote, with the keys of the dataset they were drawn from.

    Args:
        folder: folder of the shards.
        num_rows: rows of the catalog they were drawn from, which is the length of this dataset.
        features: folder of [`write_pair_features`], to read in place of the pictures.

    Raises:
        FileNotFoundError: if there are no shards.
    """

    def __init__(self, folder: Path, num_rows: int, features: Path | None = None):
        shards = sorted(folder.glob(_shard_name("*")))
        if not shards:
            raise FileNotFoundError(f"'{folder}' holds no pairs.")
        self.folder, self.num_rows = folder, num_rows
        self._rows = datasets.concatenate_datasets([datasets.load_from_disk(str(shard)) for shard in shards])
        keys = zip(self._rows["epoch"][:], self._rows["row"][:], strict=True)
        self._places = {key: place for place, key in enumerate(keys)}
        self._features = None
        if features is not None:
            stored = [ListingFeatures(features / f"{shard.name}.safetensors") for shard in shards]
            self._rows = self._rows.remove_columns([f"{side}_image" for side in _SIDES])
            self._features = [(shard, row) for shard in stored for row in range(0, len(shard), 2)]

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, key: Sequence[int]) -> dict[str, Any]:
        """Return the pair of `(epoch, row)`; see [`TGQFormerPairDataset`].

        Raises:
            KeyError: if it was not drawn.
        """
        epoch, row = key
        place = self._places.get((epoch, row))
        if place is None:
            raise KeyError(f"'{self.folder}' holds no pair of epoch {epoch}, row {row}: draw more steps.")
        stored = self._rows[place]
        pair = {
            "item_id": stored["item_id"],
            "category": stored["category"],
            "row": row,
            "texts": tuple(json.loads(stored[f"{side}_text"]) for side in _SIDES),
            "levels": tuple(stored[f"{side}_level"] for side in _SIDES),
        }
        if self._features is None:
            return pair | {"images": tuple(_picture(stored[f"{side}_image"]) for side in _SIDES)}
        shard, first = self._features[place]
        return pair | {"features": (shard.row(first), shard.row(first + 1))}

    def agreement(self, samples: int, *, of_first: int) -> torch.Tensor:
        """Return cosines of picture and title `[N]` for up to `samples` first listings, evenly spaced.

        Args:
            samples: maximum number of listings.
            of_first: number of pairs that a run reads; pairs drawn for longer runs have no influence.

        Raises:
            ValueError: if the pairs are read without features.
        """
        if self._features is None:
            raise ValueError(f"'{self.folder}' is read without features.")
        drawn = min(of_first, len(self._features))
        number = min(samples, drawn)
        places = [place * drawn // number for place in range(number)]
        return torch.stack([shard.row(row)["agreement"] for shard, row in (self._features[place] for place in places)])


def write_pair_features(folder: Path, features: Path, model: Any, processor: Any, **options: Any) -> None:
    """Write the outputs of the frozen dual encoder for all pairs in `folder`, one file per shard.

    Existing files are kept unless their shard has grown.

    Args:
        folder: folder of the shards.
        features: folder of the files.
        model: a model with the dual encoder.
        processor: its processor.
        **options: options of [`write_features`].
    """
    for shard in sorted(folder.glob(_shard_name("*"))):
        rows = datasets.load_from_disk(str(shard))
        path = features / f"{shard.name}.safetensors"
        if path.is_file() and len(ListingFeatures(path)) == 2 * len(rows):
            continue
        images = [row[f"{side}_image"] for row in rows for side in _SIDES]
        texts = [json.loads(row[f"{side}_text"]) for row in rows for side in _SIDES]
        write_features(path, model, processor, images, texts, **options)


def _packed(pairs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Convert pairs to rows of a shard, in the processes that draw."""
    rows = []
    for pair in pairs:
        row = {name: pair[name] for name in ("row", "item_id", "category")}
        for place, side in enumerate(_SIDES):
            row[f"{side}_image"] = encode_jpeg(pair["images"][place], JPEG_QUALITY)
            row[f"{side}_text"] = json.dumps(pair["texts"][place], ensure_ascii=False)
            row[f"{side}_level"] = pair["levels"][place]
        rows.append(row)
    return rows


def _picture(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.convert("RGB")


def _shard_name(start: int | str) -> str:
    return f"batches-{start:06d}" if isinstance(start, int) else f"batches-{start}"
