"""Two writers to one folder: the second is told, and the first goes on."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from encoding_stubs import StubModel, StubProcessor, make_dataset

from tiger_fg_hf.catalog.folder_lock import lock_folder
from tiger_fg_hf.catalog.shards import encode_catalog, load_embeddings


def encode(folder: Path, go_on: threading.Event | None = None) -> str:
    """Encode to a folder; return how it ended."""
    if go_on is not None:
        go_on.wait(60)
    try:
        encode_catalog(StubModel(), StubProcessor(), make_dataset(), folder, shard_size=2, batch_size=2)
    except BlockingIOError as error:
        return str(error)
    return "encoded"


@pytest.mark.parametrize("as_processes", [False, True])
def test_of_many_writers_each_encodes_or_is_told(tmp_path, as_processes):
    out = tmp_path / "out"
    if as_processes:
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        with context.Pool(4) as pool:
            ends = pool.map(encode, [out] * 12, chunksize=1)
    else:
        go_on = threading.Event()
        with ThreadPoolExecutor(12) as pool:
            writers = [pool.submit(encode, out, go_on) for _ in range(12)]
            go_on.set()
            ends = [writer.result() for writer in writers]
    assert "encoded" in ends
    assert set(ends) <= {
        "encoded",
        f"{out} is in use: another process or thread is writing to it; wait for it to end or use another folder",
    }
    encode(tmp_path / "alone")
    assert torch.equal(load_embeddings(out).embeds, load_embeddings(tmp_path / "alone").embeds)
    assert not list(out.glob("*.tmp"))


def test_a_second_writer_is_told_and_changes_nothing(tmp_path):
    with lock_folder(tmp_path), pytest.raises(BlockingIOError, match="is in use: another process"):
        encode_catalog(StubModel(), StubProcessor(), make_dataset(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    assert encode_catalog(StubModel(), StubProcessor(), make_dataset(), tmp_path).resumed == 0


def test_a_killed_writer_leaves_no_lock(tmp_path):
    """Not even if its worker processes outlive it for a moment."""
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[1] / "fixtures")!r})
from encoding_stubs import StubModel, StubProcessor, make_dataset
from tiger_fg_hf.catalog.shards import encode_catalog
class Slow(StubProcessor):
    def __call__(self, *args, **options):
        print("began", flush=True)
        time.sleep(1.5)
        return super().__call__(*args, **options)
Slow.__qualname__ = "StubProcessor"
Slow.__name__ = "StubProcessor"
encode_catalog(StubModel(), Slow(), make_dataset(), {str(tmp_path)!r}, num_workers=1)
"""
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=-1)
    assert process.stdout.readline() == b"began\n"
    assert encode(tmp_path).startswith(f"{tmp_path} is in use")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert encode_catalog(StubModel(), StubProcessor(), make_dataset(), tmp_path).resumed == 0
    process.stdout.close()
