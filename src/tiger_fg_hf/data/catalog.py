"""The catalog at the door: opens any source of items and maps its columns once to the record that all code shares."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import datasets
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
from datasets.exceptions import DatasetGenerationError

Columns: TypeAlias = Mapping[str, str | Sequence[str]]

SCHEMA = ("item_id", "image", "title", "category", "attributes", "box", "query_image")
"""The columns of a catalog, in order. `item_id` and one of `image`, `query_image` are required."""

IMAGE_COLUMNS = ("image", "query_image")

# Columns that become attributes stay separate under this prefix, and `to_record` folds them into one dict: no row has
# to be rewritten, and a catalog saved to disk or streamed carries its own mapping.
_ATTRIBUTE_PREFIX = "attributes."

_BUILDERS = {
    ".parquet": "parquet",
    ".jsonl": "json",
    ".json": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".arrow": "arrow",
}

_FINGERPRINT_IMAGES = 64


def parse_columns(text: str) -> dict[str, str | list[str]]:
    """Parse the command-line form of a column mapping.

    `"attributes=color+keywords,title=name"` → `{"attributes": ["color", "keywords"], "title": "name"}`. Several source
    columns, joined by `+`, are for `attributes` only. An empty string is an empty mapping.

    Raises:
        ValueError: for an entry that is not `name=column`, a name outside the schema, or one given twice.
    """
    columns: dict[str, str | list[str]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, source = (part.strip() for part in entry.partition("="))
        sources = [part.strip() for part in source.split("+")]
        if not equals or not name or not all(sources):
            raise ValueError(f"columns: expected 'name=column' or 'attributes=column+column', found {entry!r}")
        if name in columns:
            raise ValueError(f"columns: {name!r} is given twice in {text!r}")
        columns[name] = sources if len(sources) > 1 else sources[0]
    _check_mapping(columns)
    return columns


def load_catalog(
    source: Dataset | IterableDataset | str | Path,
    *,
    split: str | None = None,
    columns: Columns | str | None = None,
    streaming: bool = False,
    cache_dir: str | Path | None = None,
) -> Dataset | IterableDataset:
    """Open a catalog and map its columns to the schema; images stay undecoded.

    Args:
        source: a dataset; a `.parquet`, `.jsonl`, `.json`, `.csv`, `.tsv` or `.arrow` file or a pattern of such files;
            a folder written by `save_to_disk`; any other folder that `datasets.load_dataset` reads, such as an
            image folder with `metadata.csv`; or a Hub id. Relative image paths in a file are relative to that file.
        split: the split to read. Needed when the source has several.
        columns: schema name → source column, for columns whose names differ, or the form that `parse_columns` takes,
            such as `"title=name,attributes=color+size"`. `attributes` may name a list of columns: one of mappings (or
            of JSON objects as text) gives all its entries, any other gives one attribute of its own name. Columns that
            already carry a schema name need no entry, and all others are dropped.
        streaming: return an `IterableDataset` that never holds the source in memory or on disk.
        cache_dir: where `datasets` keeps what it converts.

    Returns:
        A dataset with a subset of the columns `SCHEMA`, where `attributes` may be spread over columns
        `attributes.<name>`. Image columns hold `{"bytes", "path"}` dicts. `to_record` turns its rows into records.
        Rows may share an `item_id`: several views or listings of one product.

    Raises:
        FileNotFoundError: if a path does not exist.
        ValueError: if a required or mapped column is missing, or the split is ambiguous.
    """
    columns = parse_columns(columns) if isinstance(columns, str) else dict(columns or {})
    _check_mapping(columns)
    dataset, folder = _open(source, split, columns, streaming, cache_dir)
    dataset = dataset.with_format(None)
    if isinstance(dataset, IterableDataset) and dataset.features is None:
        # Streamed JSON lines and CSV have no schema: the first rows tell their columns and types.
        dataset = dataset._resolve_features()
    mapping = _plan(columns, list(dataset.column_names))
    _check_found(mapping, columns, list(dataset.column_names), source)

    # Undecoded before anything else, so that no step below can decode an image.
    for column in [name for name, feature in dataset.features.items() if isinstance(feature, datasets.Image)]:
        dataset = dataset.cast_column(column, datasets.Image(decode=False))
    renames: dict[str, str] = {}
    for name, column in mapping.items():
        if column not in renames:
            renames[column] = name
        else:  # one source column under two names, such as a category that is an attribute as well
            dataset = _set_column(dataset, name, column, lambda value: value, dataset.features[column])
            renames[name] = name
    dataset = dataset.select_columns(list(renames))
    # In two steps, because columns may swap names.
    dataset = dataset.rename_columns({column: f"_{i}" for i, column in enumerate(renames)})
    dataset = dataset.rename_columns({f"_{i}": name for i, name in enumerate(renames.values())})
    return _with_schema_types(dataset, folder)


def to_record(row: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a row of a loaded catalog into the one record.

    Returns:
        A dict with all names of `SCHEMA`: `item_id` and `title` str (no title is `""`), `category` str or None,
        `attributes` dict of str to str or None (lists joined by `", "`, empty values dropped), `box` four floats
        `[x0, y0, x1, y1]` in pixels of `image` or None, and the two image columns as they are in the row or None.

    Raises:
        ValueError: for an empty `item_id`, or a box or attributes that cannot be read, naming the item.
    """
    item_id = _text(row.get("item_id"))
    if not item_id:
        raise ValueError(f"catalog row has an empty item_id (title {row.get('title')!r})")
    return {
        "item_id": item_id,
        "image": row.get("image"),
        "title": _text(row.get("title")),
        "category": _text(row.get("category")) or None,
        "attributes": _attributes(row, item_id),
        "box": _box(row.get("box"), item_id),
        "query_image": row.get("query_image"),
    }


def catalog_fingerprint(dataset: Dataset | IterableDataset | PairedCatalog) -> str:
    """Hash what a catalog holds, not where it lies: equal on every process and machine that reads the same rows.

    All text is hashed, and the encoded images (or file names) of up to 64 rows spread evenly; of a streamed catalog,
    the first 64 rows only.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)

    def add(value: Any) -> None:
        digest.update(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str).encode())

    if isinstance(dataset, PairedCatalog):
        add([catalog_fingerprint(dataset.queries), catalog_fingerprint(dataset.items)])
        return digest.hexdigest()
    names = list(dataset.column_names)
    images = [name for name in names if name in IMAGE_COLUMNS]
    if isinstance(dataset, IterableDataset):
        add(names)
        for row in dataset.take(_FINGERPRINT_IMAGES):
            add({name: value for name, value in row.items() if name not in images})
            add([_image_identity(row[name]) for name in images])
        return digest.hexdigest()
    add([names, len(dataset)])
    for batch in dataset.select_columns([name for name in names if name not in images]).iter(batch_size=1000):
        add(batch)
    for index in sorted({i * len(dataset) // _FINGERPRINT_IMAGES for i in range(_FINGERPRINT_IMAGES)}):
        if index < len(dataset):
            row = dataset[index]
            add([_image_identity(row[name]) for name in images])
    return digest.hexdigest()


class PairedCatalog:
    """Real queries joined to the listings of their items: reads like a `datasets.Dataset`, copies no image.

    Row `i` is the listing of query `i`, with the query's photo as `query_image`. Where an item has several listings,
    its queries take them in turn. Made by `pair_queries`.
    """

    def __init__(self, queries: Dataset, items: Dataset, listing_rows: Sequence[int]):
        self.queries = queries
        self.items = items
        self.listing_rows = list(listing_rows)
        self._photo = "query_image" if "query_image" in queries.column_names else "image"

    @property
    def column_names(self) -> list[str]:
        return [name for name in self.items.column_names if name != "query_image"] + ["query_image"]

    def __len__(self) -> int:
        return len(self.listing_rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        photo = self.queries[index][self._photo]
        return {**self.items[self.listing_rows[index]], "query_image": photo}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def select(self, rows: Sequence[int]) -> PairedCatalog:
        """Some of the queries, with the listings that they have here."""
        return PairedCatalog(self.queries.select(rows), self.items, [self.listing_rows[row] for row in rows])


def pair_queries(queries: Dataset, items: Dataset) -> PairedCatalog:
    """Join a catalog of query photos to a catalog of listings by `item_id`.

    Args:
        queries: loaded by `load_catalog`; its `query_image`, or else `image`, is the user's photo.
        items: loaded by `load_catalog`, with `image`.

    Raises:
        ValueError: if `items` has no images, or lacks items that `queries` asks for (the ids are named).
    """
    if "image" not in items.column_names:
        raise ValueError(f"items: a listing needs the column 'image', found {items.column_names}")
    rows_of: dict[str, list[int]] = {}
    for row, item_id in enumerate(items["item_id"]):
        rows_of.setdefault(_text(item_id), []).append(row)
    wanted = [_text(item_id) for item_id in queries["item_id"]]
    missing = sorted({item_id for item_id in wanted if item_id not in rows_of})
    if missing:
        shown = ", ".join(map(repr, missing[:10])) + (", …" if len(missing) > 10 else "")
        raise ValueError(f"queries: {len(missing)} item_id(s) have no listing in items: {shown}")
    turns: dict[str, int] = {}
    listing_rows = []
    for item_id in wanted:
        turn = turns.get(item_id, 0)
        turns[item_id] = turn + 1
        listing_rows.append(rows_of[item_id][turn % len(rows_of[item_id])])
    return PairedCatalog(queries, items, listing_rows)


def _check_mapping(columns: Columns) -> None:
    for name, source in columns.items():
        if name not in SCHEMA:
            raise ValueError(f"columns: {name!r} is no schema name, expected one of {', '.join(SCHEMA)}")
        if name != "attributes" and not isinstance(source, str):
            raise ValueError(f"columns: {name!r} takes one source column, found {source!r}")


def _open(
    source: Dataset | IterableDataset | str | Path,
    split: str | None,
    columns: Columns,
    streaming: bool,
    cache_dir: str | Path | None,
) -> tuple[Dataset | IterableDataset, Path | None]:
    """Open the source; also return the folder that relative image paths refer to."""
    folder = None
    if isinstance(source, Dataset | IterableDataset):
        opened = source
    elif isinstance(source, DatasetDict | IterableDatasetDict):
        opened = _one_split(source, split, "the dataset")
    else:
        path = Path(source).expanduser()
        is_pattern = any(sign in str(source) for sign in "*?[")
        options: dict[str, Any] = {"streaming": streaming, "cache_dir": str(cache_dir) if cache_dir else None}
        if path.suffix.lower() in _BUILDERS:
            if not is_pattern and not path.is_file():
                raise FileNotFoundError(f"catalog {path} does not exist")
            if path.suffix.lower() in (".csv", ".tsv"):
                # Ids stay text: "007" must not become 7.
                options["converters"] = {columns.get("item_id", "item_id"): str}
            if path.suffix.lower() == ".tsv":
                options["sep"] = "\t"
            builder = _BUILDERS[path.suffix.lower()]
            try:
                opened = datasets.load_dataset(builder, data_files=str(path), split=split or "train", **options)
            except (ValueError, DatasetGenerationError) as error:
                raise ValueError(f"catalog {path} cannot be read as {builder}: {error.__cause__ or error}") from error
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


def _one_split(opened: Any, split: str | None, name: str) -> Dataset | IterableDataset:
    if not isinstance(opened, DatasetDict | IterableDatasetDict):
        return opened
    if split is None and len(opened) == 1:
        return next(iter(opened.values()))
    if split not in opened:
        raise ValueError(f"{name}: expected a split out of {', '.join(opened)}, found {split!r}")
    return opened[split]


def _plan(columns: Columns, found: list[str]) -> dict[str, str]:
    """Map names of the loaded catalog to source columns."""
    mapping: dict[str, str] = {}
    for name in SCHEMA:
        wanted = columns.get(name)
        if wanted is None:
            if name in found:
                mapping[name] = name
            if name == "attributes":
                mapping |= {column: column for column in found if column.startswith(_ATTRIBUTE_PREFIX)}
        elif name == "attributes":
            sources = [wanted] if isinstance(wanted, str) else wanted
            mapping |= {_ATTRIBUTE_PREFIX + column: column for column in sources}
        else:
            mapping[name] = str(wanted)
    return mapping


def _check_found(mapping: Mapping[str, str], columns: Columns, found: list[str], source: Any) -> None:
    label = f"catalog {source}" if isinstance(source, str | Path) else "catalog"
    for name, column in mapping.items():
        if column not in found:
            raise ValueError(f"{label}: no column {column!r} for {name!r}, found {', '.join(found)}")
    for name, alternatives in (("item_id", ["item_id"]), ("image", ["image", "query_image"])):
        if not any(alternative in mapping for alternative in alternatives):
            wanted = " or ".join(map(repr, alternatives))
            raise ValueError(
                f"{label}: no column {wanted}, found {', '.join(found)}; "
                f"name the column with columns={{{name!r}: ...}} or '{name}=...'"
            )


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
    """An undecoded image from its path; `folder` is what a relative path starts from, None the working directory."""

    def __init__(self, folder: Path | None):
        self.folder = folder or Path()

    def __call__(self, path: str | None) -> dict[str, Any] | None:
        if not path:
            return None
        return {"bytes": None, "path": path if "://" in path else str(self.folder / path)}


def _set_column(
    dataset: Dataset | IterableDataset, name: str, source: str, function: Callable[[Any], Any], feature: Any
) -> Dataset | IterableDataset:
    """Set one small column from another. `Dataset.map` would do it too, but writes every image to a new file."""
    if isinstance(dataset, IterableDataset):
        features = datasets.Features({**dataset.features, name: feature})
        return dataset.map(lambda value: {name: function(value)}, input_columns=[source], features=features)
    values = [function(value) for value in dataset[source]]
    if name in dataset.column_names:
        dataset = dataset.remove_columns(name)
    return dataset.add_column(name, values, feature=feature)


def _text(value: Any) -> str:
    """Render an attribute value: lists joined, mappings as JSON, None and NaN empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | tuple | set):
        return ", ".join(filter(None, map(_text, value)))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value).strip()


def _attributes(row: Mapping[str, Any], item_id: str) -> dict[str, str] | None:
    attributes: dict[str, str] = {}
    for column, value in row.items():
        if column != "attributes" and not column.startswith(_ATTRIBUTE_PREFIX):
            continue
        if isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                value = json.loads(value)
            except json.JSONDecodeError as error:
                raise ValueError(f"item {item_id!r}: {column} is no valid JSON ({error}): {value[:80]!r}") from None
        pairs = value if isinstance(value, Mapping) else {column.removeprefix(_ATTRIBUTE_PREFIX): value}
        attributes |= {str(name): text for name, item in pairs.items() if (text := _text(item))}
    return attributes or None


def _box(value: Any, item_id: str) -> list[float] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except json.JSONDecodeError:
            raise ValueError(f"item {item_id!r}: expected box [x0, y0, x1, y1], found {value!r}") from None
    if value is None:
        return None
    try:
        box = [float(side) for side in value]
    except (TypeError, ValueError):
        box = []
    if len(box) != 4 or not all(map(math.isfinite, box)) or box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError(f"item {item_id!r}: expected box [x0, y0, x1, y1] with x0 < x1 and y0 < y1, found {value!r}")
    return box


def _image_identity(image: Any) -> Any:
    """What names an undecoded image wherever it lies: a hash of its bytes, else its file name."""
    if image is None:
        return None
    # Streams hand on columns of plain bytes as they are.
    data, path = (image, None) if isinstance(image, bytes) else (image["bytes"], image["path"])
    if data is not None:
        return hashlib.blake2b(data, digest_size=16).hexdigest()
    return Path(path).name if path else None
