"""Random streams keyed by plain values, the same in every process and on every run."""

from __future__ import annotations

import zlib

import numpy as np


def random_stream(*keys: int | str) -> np.random.Generator:
    """Return a generator that depends on nothing but ``keys``.

    Strings are keyed by their CRC-32, never by Python's salted ``hash``; each is preceded by its length and a type
    tag, so ``("a", 1)`` and ``(1, "a")`` are different streams.

    Args:
        *keys: Non-negative integers and strings, at least one.

    Raises:
        ValueError: A key is a negative integer.
    """
    words: list[int] = []
    for key in keys:
        if isinstance(key, str):
            data = key.encode()
            words += [1, len(data), zlib.crc32(data)]
        else:
            if key < 0:
                raise ValueError(f"a random stream needs non-negative keys, got {key}")
            words += [0, int(key) & 0xFFFFFFFF, int(key) >> 32]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def pick(rng: np.random.Generator, options):
    """Return one of ``options`` (a non-empty sequence), uniformly."""
    return options[int(rng.integers(len(options)))]
