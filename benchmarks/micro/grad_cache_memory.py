"""
Peak memory of a training step at batch 64, and at batch 4,096 with gradient caching in chunks of 64.

    python -m benchmarks.micro.grad_cache_memory

A ViT-Tiny at 128 px and a BERT of two layers, random weights, the whole loss but for the teacher's terms, and AdamW,
in float32 on the CPU. Each step runs in a process of its own, behind one at the small batch, so that AdamW's moments
are there as in any step but the first. What is told is that process's peak resident memory, Python and libraries
included; glibc is told to give back what is freed, else its fragmentation, which differs from run to run, would count
too. Pictures are random. They are held as uint8 for the whole batch, which counts, and become float32 a chunk at a
time. Exits with 1 where the ratio exceeds `--limit`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import torch
from accelerate import Accelerator

from tiger_fg_hf import TigerFGConfig, TigerFGModel
from tiger_fg_hf.objectives.batch import select_rows
from tiger_fg_hf.objectives.tiger_fg import TigerFGLossWeights, TigerFGTask
from tiger_fg_hf.objectives.tiger_fg_student import TigerFGStudent
from tiger_fg_hf.training.grad_cache import GradCache
from tiger_fg_hf.training.optimizer import build_optimizer

PIXELS, TOKENS, VOCABULARY = 128, 32, 8000


def build_student(weights: TigerFGLossWeights) -> TigerFGStudent:
    config = TigerFGConfig(
        projection_dim=256,
        vision_config={
            "model_type": "vit",
            "image_size": PIXELS,
            "patch_size": 16,
            "hidden_size": 192,
            "num_hidden_layers": 12,
            "num_attention_heads": 3,
            "intermediate_size": 768,
        },
        text_config={
            "model_type": "bert",
            "vocab_size": VOCABULARY,
            "hidden_size": 384,
            "num_hidden_layers": 2,
            "num_attention_heads": 6,
            "intermediate_size": 1536,
        },
    )
    return TigerFGStudent(TigerFGModel(config), weights.student_terms()).train()


def build_batch(pairs: int) -> dict[str, torch.Tensor]:
    """Random pairs, one mismatched text each; pictures `[pairs, 3, H, W]` in uint8."""
    corners = torch.rand(pairs, 2, 2).sort(dim=1).values
    return {
        "query_pixel_values": torch.randint(256, (pairs, 3, PIXELS, PIXELS), dtype=torch.uint8),
        "pixel_values": torch.randint(256, (pairs, 3, PIXELS, PIXELS), dtype=torch.uint8),
        "input_ids": torch.randint(VOCABULARY, (pairs, TOKENS)),
        "attention_mask": torch.ones(pairs, TOKENS, dtype=torch.long),
        "hard_input_ids": torch.randint(VOCABULARY, (pairs, 1, TOKENS)),
        "hard_attention_mask": torch.ones(pairs, 1, TOKENS, dtype=torch.long),
        "item_ids": torch.arange(pairs),
        "category_ids": torch.arange(pairs) % 16,
        "boxes": corners.flatten(1),
        "has_box": torch.ones(pairs, dtype=torch.bool),
    }


def float_rows(batch: dict[str, torch.Tensor], rows: slice) -> dict[str, torch.Tensor]:
    chosen = select_rows(batch, rows)
    return {name: value.float() / 127.5 - 1 if value.dtype == torch.uint8 else value for name, value in chosen.items()}


def measure(pairs: int, chunk: int) -> dict[str, float]:
    """A step at a batch of one chunk, at once, then one of `pairs` in chunks, or at once where that is one chunk."""
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    weights = TigerFGLossWeights()
    student = build_student(weights)
    optimizer = build_optimizer(student, backbone_lr=1e-4, head_lr=1e-3, weight_decay=0.05)
    student, optimizer = accelerator.prepare(student, optimizer)
    task = TigerFGTask(student, weights)
    started = time.perf_counter()
    for size in (chunk, pairs):
        batch = build_batch(size)
        if size > chunk:
            losses = GradCache(accelerator, task, chunk, select=float_rows)(batch)
        else:
            losses = task(float_rows(batch, slice(None)))
            accelerator.backward(losses["loss"])
        optimizer.step()
        optimizer.zero_grad()
        loss = losses.pop("loss").item()  # its graph with it
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "mib": peak / 2**20,
        "pictures_mib": sum(value.nbytes for name, value in batch.items() if "pixel" in name) / 2**20,
        "seconds": time.perf_counter() - started,
        "loss": loss,
    }


def measure_in_process(pairs: int, chunk: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", str(pairs), str(chunk)]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**17)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4096, help="Pairs of the large batch.")
    parser.add_argument("--chunk", type=int, default=64, help="Pairs of a chunk, and of the small batch.")
    parser.add_argument("--limit", type=float, default=1.3, help="Largest ratio of the two peaks.")
    parser.add_argument("--measure", type=int, nargs=2, metavar=("PAIRS", "CHUNK"), help="Measure one step, as JSON.")
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(*args.measure)))
        return
    peaks = []
    for pairs in (args.chunk, args.batch):
        found = measure_in_process(pairs, args.chunk)
        peaks.append(found["mib"])
        print(
            f"batch {pairs:>5} in chunks of {args.chunk}: {found['mib']:6.0f} MiB peak, {found['pictures_mib']:.0f} "
            f"of them pictures; {found['seconds']:.0f} s",
            flush=True,
        )
    ratio = peaks[1] / peaks[0]
    print(f"ratio {ratio:.3f} (limit {args.limit})")
    sys.exit(ratio > args.limit)


if __name__ == "__main__":
    main()
