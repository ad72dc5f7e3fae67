"""Encode a small catalog slowly, to be killed, starved of disk and compared.

python -m tests.fuzz.encoding FOLDER
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from encoding_stubs import StubModel, StubProcessor, make_dataset

from tiger_fg_hf.catalog.shards import encode_catalog, load_embeddings

OPTIONS = {"shard_size": 2, "batch_size": 2, "fingerprint": "1"}


class _Slow(StubModel):
    def forward(self, **inputs):
        time.sleep(0.03)
        return super().forward(**inputs)


_Slow.__name__ = "StubModel"  # its name is part of the manifest


def encode(folder: Path, *, slow: bool = False) -> None:
    encode_catalog(_Slow() if slow else StubModel(), StubProcessor(), make_dataset(), folder, **OPTIONS)


def start(folder: Path) -> subprocess.Popen:
    """Encode in another process, slowly."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz.encoding", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def kill_and_resume(folder: Path, seed: int) -> str:
    """Kill the encoding at a random moment of its work, finish it, and compare with an uninterrupted one."""
    rng = random.Random(seed)
    out, process = folder / f"killed-{seed}", start(folder / f"killed-{seed}")
    try:
        deadline = time.monotonic() + 120
        while not (out / "manifest.json").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.4))
        killed = process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
    if not killed:
        return f"the encoding ended before it was killed: {output[-300:]}"
    encode(out)
    return compare(out, folder)


def compare(out: Path, folder: Path) -> str:
    """Return "equal" if `out` holds what an uninterrupted encoding holds."""
    whole = folder / "whole"
    if not (whole / "manifest.json").exists():
        encode(whole)
    found, expected = load_embeddings(out), load_embeddings(whole)
    equal = torch.equal(found.embeds, expected.embeds) and found.item_ids == expected.item_ids
    return "equal" if equal else "other embeddings or ids"


if __name__ == "__main__":
    encode(Path(sys.argv[1]), slow=True)
