"""Open a catalog from any source and map its columns to the schema."""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
from datasets.exceptions import DatasetGenerationError

from ..models.record_text import check_mapping
from .columns import Columns, check_found, parse_columns, plan_columns
from .record import IMAGE_COLUMNS

_BUILDERS = {
    ".parquet": "parquet",
    ".jsonl": "json",
    ".json": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".arrow": "arrow",
}


def load_catalog(
    source: Dataset | IterableDataset | str | Path,
    *,
    split: str | None = None,
    columns: Columns | str | None = None,
    streaming: bool = False,
    cache_dir: str | Path | None = None,
) -> Dataset | IterableDataset:
    """Open a catalog and map its columns to the schema. Images stay undecoded.

    Args:
        source: A dataset; a `.parquet`, `.jsonl`, `.json`, `.csv`, `.tsv` or `.arrow` file, or a pattern of such
            files; a folder written by `save_to_disk`; any other folder that `datasets.load_dataset` reads, such as an
            image folder with `metadata.csv`; or a Hub id. Relative image paths in a file start at its folder. All
            values of CSV and TSV files are read as text: `007` and `NA` stay as they are.
        split: Split to read, required if the source has several.
        columns: Schema name to source column, where the names differ, or the text form of `parse_columns`, such as
            `"title=name,attributes=color+size"`. `attributes` may name several columns: a column of mappings (or JSON
            objects as text) gives all its entries, any other gives one attribute with its name. Columns that already
            have a schema name need no entry; all others are dropped.
        streaming: Return an `IterableDataset` that never holds the whole source in memory or on disk.
        cache_dir: Folder where `datasets` keeps converted files.

    Returns:
        A dataset with a subset of the columns of `SCHEMA`, where `attributes` may be spread over columns
        `attributes.<name>`. Image columns hold `{"bytes", "path"}` dicts. Use `to_record` to turn rows into records.
        Rows may share an `item_id`: several views or listings of one product.

    Raises:
        FileNotFoundError: If a path does not exist.
        ValueError: If a required or mapped column is missing, a file cannot be read, or the split is ambiguous.

    Example:
        >>> from datasets import Dataset
        >>> source = Dataset.from_dict({"sku": ["7"], "photo": ["mug.jpg"], "name": ["Mug"], "color": ["teal"]})
        >>> catalog = load_catalog(source, columns="item_id=sku,image=photo,title=name,attributes=color")
        >>> catalog[0]
        {'item_id': '7', 'title': 'Mug', 'attributes.color': 'teal', 'image': {'bytes': None, 'path': 'mug.jpg'}}
    """
    columns = parse_columns(columns) if isinstance(columns, str) else dict(columns or {})
    check_mapping(columns)
    dataset, folder = _open(source, split, streaming, cache_dir)
    dataset = dataset.with_format(None)
    if isinstance(dataset, IterableDataset) and dataset.features is None:
        # Streamed JSON lines have no schema; the first rows tell columns and types.
        dataset = dataset._resolve_features()
    mapping = plan_columns(columns, list(dataset.column_names))
    check_found(mapping, columns, list(dataset.column_names), source)

    # Turn decoding off first, so that no step below can decode an image.
    for column in [name for name, feature in dataset.features.items() if isinstance(feature, datasets.Image)]:
        dataset = dataset.cast_column(column, datasets.Image(decode=False))
    renames: dict[str, str] = {}
    for name, column in mapping.items():
        if column not in renames:
            renames[column] = name
        else:  # one source column under two names, such as a category that is also an attribute
            dataset = _set_column(dataset, name, column, lambda value: value, dataset.features[column])
            renames[name] = name
    dataset = dataset.select_columns(list(renames))
    # In two steps, because columns may swap names.
    dataset = dataset.rename_columns({column: f"_{i}" for i, column in enumerate(renames)})
    dataset = dataset.rename_columns({f"_{i}": name for i, name in enumerate(renames.values())})
    return _with_schema_types(dataset, folder)


def _open(
    source: Dataset | IterableDataset | str | Path, split: str | None, streaming: bool, cache_dir: str | Path | None
) -> tuple[Dataset | IterableDataset, Path | None]:
    """Open the source; also return the folder that relative image paths start at."""
    folder = None
    if isinstance(source, Dataset | IterableDataset):
        opened = source
    elif isinstance(source, DatasetDict | IterableDatasetDict):
        opened = _one_split(source, split, "the dataset")
    else:
        path = Path(source).expanduser()
        options: dict[str, Any] = {"streaming": streaming, "cache_dir": str(cache_dir) if cache_dir else None}
        if path.suffix.lower() in _BUILDERS:
            opened = _open_files(path, split or "train", options)
            folder = path.parent.resolve()
        elif (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            opened = _one_split(datasets.load_from_disk(str(path)), split, str(path))
        elif path.exists() and not path.is_dir():
            raise ValueError(f"catalog {path}: expected a folder or a file ending in {', '.join(_BUILDERS)}")
        else:
            name = str(path) if path.is_dir() else str(source)
            opened = _one_split(datasets.load_dataset(name, split=split, **options), split, name)
            folder = path.resolve() if path.is_dir() else None
    if streaming and isinstance(opened, Dataset):
        opened = opened.to_iterable_dataset()
    return opened, folder


def _open_files(path: Path, split: str, options: dict[str, Any]) -> Dataset | IterableDataset:
    """Open one file, or all files of a pattern."""
    files = sorted(glob.glob(str(path), recursive=True)) or ([str(path)] if path.is_file() else [])
    if not files:
        raise FileNotFoundError(f"catalog {path} does not exist")
    builder = _BUILDERS[path.suffix.lower()]
    try:
        if builder == "csv":
            options = {**options, **_csv_as_text(files[0])}
        return datasets.load_dataset(builder, data_files=files, split=split, **options)
    except (ValueError, DatasetGenerationError) as error:
        raise ValueError(f"catalog {path} cannot be read as {builder}: {error.__cause__ or error}") from error


def _csv_as_text(file: str) -> dict[str, Any]:
    """Return the options that read every column of a CSV or TSV file as text."""
    separator = "\t" if file.lower().endswith(".tsv") else ","
    names = pd.read_csv(file, sep=separator, nrows=0).columns
    features = datasets.Features({name: datasets.Value("string") for name in names})
    # Without features, ids such as "007" would become numbers, and a column may change its type halfway.
    # `index_col`: a row with one field too many must not shift all others.
    return {"sep": separator, "features": features, "na_filter": False, "index_col": False}


def _one_split(opened: Any, split: str | None, name: str) -> Dataset | IterableDataset:
    if not isinstance(opened, DatasetDict | IterableDatasetDict):
        return opened
    if split is None and len(opened) == 1:
        return next(iter(opened.values()))
    if split not in opened:
        raise ValueError(f"{name}: expected a split out of {', '.join(opened)}, found {split!r}")
    return opened[split]


def _with_schema_types(dataset: Dataset | IterableDataset, folder: Path | None) -> Dataset | IterableDataset:
    """Turn class labels into their names and image columns of any storage into undecoded images."""
    for name, feature in dict(dataset.features).items():
        if isinstance(feature, datasets.ClassLabel):
            dataset = _set_column(dataset, name, name, _NameOfLabel(feature), datasets.Value("string"))
        elif name in IMAGE_COLUMNS and not isinstance(feature, datasets.Image):
            if getattr(feature, "dtype", None) in ("string", "large_string"):
                dataset = _set_column(dataset, name, name, _ImageAt(folder), datasets.Image(decode=False))
            else:
                dataset = dataset.cast_column(name, datasets.Image(decode=False))
    return dataset


class _NameOfLabel:
    def __init__(self, feature: datasets.ClassLabel):
        self.feature = feature

    def __call__(self, label: int | None) -> str | None:
        # Image folders mark rows without a label by -1.
        return None if label is None or label < 0 else self.feature.int2str(label)


class _ImageAt:
    """An undecoded image from its path; relative paths start at `folder`, by default the working directory."""

    def __init__(self, folder: Path | None):
        self.folder = folder or Path()

    def __call__(self, path: str | None) -> dict[str, Any] | None:
        if not path:
            return None
        return {"bytes": None, "path": path if "://" in path else str(self.folder / path)}


def _set_column(
    dataset: Dataset | IterableDataset, name: str, source: str, function: Callable[[Any], Any], feature: Any
) -> Dataset | IterableDataset:
    """Set a small column from another one, without `Dataset.map`, which would write every image to a new file."""
    if isinstance(dataset, IterableDataset):
        features = datasets.Features({**dataset.features, name: feature})
        return dataset.map(lambda value: {name: function(value)}, input_columns=[source], features=features)
    values = [function(value) for value in dataset[source]]
    if name in dataset.column_names:
        dataset = dataset.remove_columns(name)
    return dataset.add_column(name, values, feature=feature)
