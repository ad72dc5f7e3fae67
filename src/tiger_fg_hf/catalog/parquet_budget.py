"""A budget for parquet files, whose compression can hide hundreds of megabytes in a few kilobytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MIN_UNPACKED = 256 * 2**20
"""Bytes that any parquet file may unpack to."""
MAX_RATIO = 100
"""How many times its own size a parquet file may unpack to, if that is more. Catalogs have ratios below 20."""

# Repeated values are only measured in files of up to this size, because it means to read them.
_MEASURED = 2**30


def check_unpacked_size(files: Sequence[str]) -> None:
    """Check that local parquet files stay within their budgets, before they are read.

    The sizes of pages come from the footer. A value that is stored once and repeated in many rows is counted as often
    as it is repeated, in files of up to 1 GiB.

    Args:
        files: Paths; URLs are skipped.

    Raises:
        ValueError: If a file unpacks to more than `MIN_UNPACKED` bytes and `MAX_RATIO` times its size.
    """
    for file in files:
        if "://" not in file and Path(file).is_file():
            _check_file(file)


def _check_file(file: str) -> None:
    size = os.path.getsize(file)
    budget = max(MIN_UNPACKED, MAX_RATIO * size)
    metadata = pq.read_metadata(file)
    chunks = [
        (group, metadata.row_group(group).column(column))
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    ]
    # Each value takes at least 4 bytes in memory, also where run lengths store a million of them in one page.
    least = [max(chunk.total_uncompressed_size, 4 * chunk.num_values) for _, chunk in chunks]
    unpacked = sum(least)
    for (group, chunk), counted in zip(chunks, least, strict=True):
        _check_size(file, size, unpacked, budget)
        longest = counted * chunk.num_values  # if every row held the whole dictionary
        repeats = any("DICTIONARY" in encoding for encoding in chunk.encodings) and chunk.physical_type == "BYTE_ARRAY"
        if repeats and size <= _MEASURED and unpacked + longest > budget:
            path = chunk.path_in_schema
            with pq.ParquetFile(file, read_dictionary=[path]) as parquet:
                column = parquet.read_row_group(group, columns=[path]).column(0)
            unpacked += max(sum(map(_expanded_size, column.chunks)) - counted, 0)
    _check_size(file, size, unpacked, budget)


def _check_size(file: str, size: int, unpacked: int, budget: int) -> None:
    if unpacked > budget:
        raise ValueError(
            f"{file} has {size:,} bytes and unpacks to {unpacked:,} or more; {budget:,} are allowed, the larger of "
            f"{MIN_UNPACKED:,} and {MAX_RATIO} times its size"
        )


def _expanded_size(array: pa.Array) -> int:
    """Return the bytes of an array, with every value of a dictionary counted as often as it is used."""
    if pa.types.is_dictionary(array.type):
        lengths = pc.binary_length(array.dictionary).take(array.indices.drop_null())
        return pc.sum(lengths).as_py() or 0
    if pa.types.is_struct(array.type):
        return sum(_expanded_size(field) for field in array.flatten())
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return _expanded_size(array.flatten())
    return array.nbytes
