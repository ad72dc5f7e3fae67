"""Open a catalog from any source and map its columns to the schema."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
from datasets.exceptions import DatasetGenerationError

from ..models.image_loading_tiger_fg import is_url
from ..models.record_text import check_mapping
from .columns import Columns, check_found, check_image_types, parse_columns, plan_columns
from .csv_text import PathFrom, csv_options, image_column_of, metadata_of
from .image_files import image_path, image_paths
from .inside import check_inside
from .parquet_budget import check_unpacked_size
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
    allow_outside: bool = False,
) -> Dataset | IterableDataset:
    """Open a catalog and map its columns to the schema. Images stay undecoded.

    Args:
        source: A dataset; a `.parquet`, `.jsonl`, `.json`, `.csv`, `.tsv` or `.arrow` file, or a pattern of such
            files; a folder written by `save_to_disk`; any other folder that `datasets.load_dataset` reads, such as an
            image folder with `metadata.csv`; or a Hub id. Relative image paths in a file start at its folder. All
            values of CSV and TSV files, also in folders, are read as text: `007` and `NA` stay as they are.
        split: Split to read, required if the source has several.
        columns: Schema name to source column, where the names differ, or the text form of `parse_columns`, such as
            `"title=name,attributes=color+size"`. `attributes` may name several columns: a column of mappings (or JSON
            objects as text) gives all its entries, any other gives one attribute with its name. Columns that already
            have a schema name need no entry; all others are dropped.
        streaming: Return an `IterableDataset` that never holds the whole source in memory or on disk.
        cache_dir: Folder where `datasets` keeps converted files.
        allow_outside: Allow image paths that leave the folder of a file or the folder given as `source`: absolute
            paths, `../`, symbolic links.

    Returns:
        A dataset with a subset of the columns of `SCHEMA`, where `attributes` may be spread over columns
        `attributes.<name>`. Image columns hold `{"bytes", "path"}` dicts. Use `to_record` to turn rows into records.
        Rows may share an `item_id`: several views or listings of one product.

    Raises:
        FileNotFoundError: If a path does not exist.
        ValueError: If a required or mapped column is missing, a file cannot be read, the split is ambiguous, `source`
            is a URL, or an image path leaves the folder.

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
    check_image_types(mapping, dataset.features)

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
    return _with_schema_types(dataset, folder, allow_outside)


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
        if is_url(str(source)):
            raise ValueError(f"catalog {source}: it is a URL; download it first and pass the path of the file")
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
            opened = _open_folder(name, split, options)
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
            options = {**options, **csv_options(files)}
        if builder == "parquet":
            check_unpacked_size(files)
        return datasets.load_dataset(builder, data_files=files, split=split, **options)
    except (ValueError, DatasetGenerationError) as error:
        raise ValueError(f"catalog {path} cannot be read as {builder}: {error.__cause__ or error}") from error


def _open_folder(name: str, split: str | None, options: dict[str, Any]) -> Dataset | IterableDataset:
    """Open a folder or a Hub id; read its CSV files as text."""
    builder = datasets.load_dataset_builder(name, cache_dir=options["cache_dir"])
    metadata = metadata_of(builder)
    try:
        if metadata:
            files = metadata[_split_name(split, metadata, name)]
            parts = [_open_metadata(file, options) for file in files]
            return parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)
        if builder.name == "csv":
            files = [file for each in builder.config.data_files.values() for file in each]
            options = {**options, **csv_options(files, builder.config.sep)}
        if builder.name == "parquet":
            check_unpacked_size([file for each in builder.config.data_files.values() for file in each])
        opened = datasets.load_dataset(name, split=split, **options)
    except DatasetGenerationError as error:
        raise ValueError(f"catalog {name} cannot be read: {error.__cause__ or error}") from error
    return _one_split(opened, split, name)


def _open_metadata(file: str, options: dict[str, Any]) -> Dataset | IterableDataset:
    """Open the `metadata.csv` of an image folder."""
    opened = datasets.load_dataset("csv", data_files=[file], split="train", **options, **csv_options([file]))
    for name in [name for name in opened.column_names if image_column_of(name) != name]:
        opened = _set_column(opened, name, name, PathFrom(Path(file).parent), datasets.Value("string"))
        opened = opened.rename_column(name, image_column_of(name))
    return opened


def _one_split(opened: Any, split: str | None, name: str) -> Dataset | IterableDataset:
    if not isinstance(opened, DatasetDict | IterableDatasetDict):
        return opened
    return opened[_split_name(split, opened, name)]


def _split_name(split: str | None, splits: Mapping[str, Any], name: str) -> str:
    """Return the name of the split to read: the only one, or the one that was asked for."""
    if split is None and len(splits) == 1:
        return next(iter(splits))
    if split is None or split not in splits:
        raise ValueError(f"{name}: expected a split out of {', '.join(splits)}, found {split!r}")
    return split


def _with_schema_types(
    dataset: Dataset | IterableDataset, folder: Path | None, allow_outside: bool
) -> Dataset | IterableDataset:
    """Turn class labels into their names and image columns of any storage into undecoded images."""
    inside = None if allow_outside else folder
    for name, feature in dict(dataset.features).items():
        if isinstance(feature, datasets.ClassLabel):
            dataset = _set_column(dataset, name, name, _NameOfLabel(feature), datasets.Value("string"))
        elif name in IMAGE_COLUMNS and not isinstance(feature, datasets.Image):
            if getattr(feature, "dtype", None) in ("string", "large_string"):
                dataset = _set_column(dataset, name, name, _ImageAt(folder, inside), datasets.Image(decode=False))
            else:
                dataset = _check_paths(dataset.cast_column(name, datasets.Image(decode=False)), name, inside)
        elif name in IMAGE_COLUMNS:
            dataset = _check_paths(dataset, name, inside)
    return dataset


def _check_paths(dataset: Dataset | IterableDataset, name: str, folder: Path | None) -> Dataset | IterableDataset:
    """Check the paths of an image column that holds images already; a stream is checked as it is read."""
    if folder is None:
        return dataset
    if isinstance(dataset, IterableDataset):
        return _set_column(dataset, name, name, _CheckedImage(folder), datasets.Image(decode=False))
    for path in image_paths(dataset, name, range(len(dataset))):
        if path is not None and not is_url(path):
            check_inside(path, folder)
    return dataset


class _CheckedImage:
    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(self, image: Any) -> Any:
        path = image_path(image)
        if path is not None and not is_url(path):
            check_inside(path, self.folder)
        return image


class _NameOfLabel:
    def __init__(self, feature: datasets.ClassLabel):
        self.feature = feature

    def __call__(self, label: int | None) -> str | None:
        # Image folders mark rows without a label by -1.
        return None if label is None or label < 0 else self.feature.int2str(label)


class _ImageAt:
    """An undecoded image from its path; relative paths start at `folder`, by default the working directory.

    Local paths must stay inside `inside`, if it is given.
    """

    def __init__(self, folder: Path | None, inside: Path | None):
        self.folder, self.inside = folder or Path(), inside

    def __call__(self, path: str | None) -> dict[str, Any] | None:
        if not path:
            return None
        if is_url(path):
            return {"bytes": None, "path": path}
        local = str(self.folder / path)
        if self.inside is not None:
            check_inside(local, self.inside)
        return {"bytes": None, "path": local}


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
