"""Random streams keyed by plain values: equal keys give equal numbers in every process and on every run."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def random_stream(*keys: int | str) -> np.random.Generator:
    """Return a generator that depends on nothing but its keys.

    Strings enter by their CRC-32, never by Python's salted `hash`. Each key is preceded by a type tag, and each string
    by its length, so `("a", 1)` and `(1, "a")` are different streams.

    Args:
        *keys: Non-negative integers and strings, at least one.

    Raises:
        ValueError: If a key is a negative integer.
    """
    words: list[int] = []
    for key in keys:
        if isinstance(key, str):
            data = key.encode()
            words += [1, len(data), zlib.crc32(data)]
        else:
            if key < 0:
                raise ValueError(f"random_stream: expected non-negative keys, found {key}")
            words += [0, int(key) & 0xFFFFFFFF, int(key) >> 32]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Draw one of several options, all equally likely."""
    return options[int(rng.integers(len(options)))]
