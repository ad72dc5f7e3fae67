"""CSV files as text: no value is read as a number or as missing, and no field is dropped."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
from datasets import DatasetBuilder

_METADATA = "metadata.csv"


def separator_of(file: str) -> str:
    """Return the separator of the fields: a tab in `.tsv` files, a comma in others."""
    return "\t" if file.lower().endswith(".tsv") else ","


def csv_options(files: Sequence[str], separator: str | None = None) -> dict[str, Any]:
    """Return the options of `datasets` that read every column of CSV files as text.

    Args:
        files: Paths or URLs of files with the same columns.
        separator: Text between two fields, by default that of the first file's ending.

    Raises:
        ValueError: If a local file has a row with more fields than its header.
    """
    separator = separator or separator_of(files[0])
    for file in files:
        if "://" not in file:
            check_fields(file, separator)
    names = pd.read_csv(files[0], sep=separator, nrows=0).columns
    features = datasets.Features({name: datasets.Value("string") for name in names})
    # Without features, ids such as "007" would become numbers, and a column may change its type halfway.
    # `index_col`: empty fields at the end of all rows must not shift the columns.
    return {"sep": separator, "features": features, "na_filter": False, "index_col": False}


def check_fields(file: str | Path, separator: str = ",") -> None:
    """Check that no row of a CSV file has more fields than the header.

    The reader of `datasets` drops such fields if the first row has them. Empty fields beyond the header are no fault.

    Raises:
        ValueError: If a row has; the message gives its line.
    """
    csv.field_size_limit(2**31 - 1)  # of the whole process; the default refuses titles beyond 131,072 characters
    with open(file, encoding="utf-8-sig", errors="replace", newline="") as lines:
        rows = csv.reader(lines, delimiter=separator)
        try:
            header = next(filter(None, rows), [])
            for row in rows:
                if len(row) > len(header) and any(row[len(header) :]):
                    raise ValueError(
                        f"line {rows.line_num} of {file} has {len(row)} fields, but the header has {len(header)}; "
                        "put fields that contain the separator in double quotes"
                    )
        except csv.Error as error:
            raise ValueError(f"line {rows.line_num} of {file}: {error}") from None


def metadata_of(builder: DatasetBuilder) -> Mapping[str, list[str]]:
    """Return the `metadata.csv` files of each split of an image folder; empty for other sources.

    Files in archives do not count.
    """
    if builder.name != "imagefolder":
        return {}
    splits = {
        str(split): [file for file in map(str, files) if Path(file).name == _METADATA and "://" not in file]
        for split, files in builder.config.data_files.items()
    }
    return splits if all(splits.values()) else {}


def image_column_of(name: str) -> str:
    """Return the name that an image folder gives to a column of `metadata.csv`.

    Example:
        >>> [image_column_of(name) for name in ("file_name", "query_image_file_name", "title")]
        ['image', 'query_image', 'title']
    """
    return "image" if name == "file_name" else name.removesuffix("_file_name")


class PathFrom:
    """Turns paths that start at `folder` into absolute ones; leaves URLs and empty paths."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()

    def __call__(self, path: str) -> str:
        """Return the absolute path."""
        return path if not path or "://" in path else str(self.folder / path)
