"""Training pairs drawn once and kept on disk, so that every connector reads the same bytes in the same order."""

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

from tiger_fg_hf.data.listings import encode_jpeg
from tiger_fg_hf.training.sampler import EpochBatchSampler

from .features import ListingFeatures, write_features

# As the benchmark's own listings are compressed: training sees no better pictures than the test.
JPEG_QUALITY = 92
# Batches of a shard: what is lost where drawing is interrupted.
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
    """
    Draws the pairs of the first `batches` batches of a run and writes them to `folder`, a shard at a time.

    Shards that are there are kept, so that an interrupted call goes on where it stopped and a longer run adds to what
    a shorter one left. A shard is written whole or not at all.

    Args:
        make_pairs: gives the dataset to draw from, a [`TGQFormerPairDataset`] of `seed`; called if any is missing.
        num_rows: rows of its catalog.
        batch_size: pairs of a batch, by [`EpochBatchSampler`].
        seed: of the order.
        workers: processes that draw; the pairs are the same for any number.
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
    """
    Pairs that [`write_pairs`] wrote, by key, as the dataset that they were drawn from gives them but for JPEG.

    Args:
        folder: of the shards.
        num_rows: rows of the catalog that they were drawn from, as which this counts.
        features: folder of [`write_pair_features`], to read in place of the pictures.

    Raises:
        FileNotFoundError: there are no shards.
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
        """
        The pair of `(epoch, row)`; see [`TGQFormerPairDataset`].

        Raises:
            KeyError: it was not drawn.
        """
        epoch, row = key
        place = self._places.get((epoch, row))
        if place is None:
            raise KeyError(f"'{self.folder}' holds no pair of epoch {epoch}, row {row}: draw more steps.")
        found = self._rows[place]
        pair = {
            "item_id": found["item_id"],
            "category": found["category"],
            "row": row,
            "texts": tuple(json.loads(found[f"{side}_text"]) for side in _SIDES),
            "levels": tuple(found[f"{side}_level"] for side in _SIDES),
        }
        if self._features is None:
            return pair | {"images": tuple(_picture(found[f"{side}_image"]) for side in _SIDES)}
        shard, first = self._features[place]
        return pair | {"features": (shard.row(first), shard.row(first + 1))}

    def agreement(self, samples: int, *, of_first: int) -> torch.Tensor:
        """
        Cosines of picture and title `[N]` of up to `samples` first listings, evenly spaced over the first pairs.

        Args:
            of_first: how many pairs a run reads: those drawn for longer ones change nothing.

        Raises:
            ValueError: the pairs are read without features.
        """
        if self._features is None:
            raise ValueError(f"'{self.folder}' is read without features.")
        drawn = min(of_first, len(self._features))
        number = min(samples, drawn)
        places = [place * drawn // number for place in range(number)]
        return torch.stack([shard.row(row)["agreement"] for shard, row in (self._features[place] for place in places)])


def write_pair_features(folder: Path, features: Path, model: Any, processor: Any, **options: Any) -> None:
    """
    Writes what the frozen dual encoder says of all listings of the pairs in `folder`, a file a shard.

    Files that are there are kept, but for that of a shard that has grown since.

    Args:
        options: of [`write_features`].
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
    """Pairs as rows of a shard; done by the processes that draw."""
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
