"""Measure peak memory of a training step at batch 64, and at batch 4,096 with gradient caching in chunks of 64.

    python -m benchmarks.micro.grad_cache_memory

Trains a ViT-Tiny at 128 px and a two-layer BERT with random weights and pictures, all losses except the teacher's,
and AdamW, in float32 on the CPU. Each measured step runs in its own process, after a step at the small batch that
allocates AdamW's moments. The result is the peak resident memory of the process, including Python and libraries.
glibc returns freed memory at once, because its fragmentation varies from run to run. The pictures of the full batch
are held as uint8 and converted to float32 chunk by chunk. Exits with 1 if the ratio exceeds `--limit`.
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
    """Return a student with random weights."""
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
    return TigerFGStudent(TigerFGModel(config), weights.student_outputs()).train()


def build_batch(pairs: int) -> dict[str, torch.Tensor]:
    """Return random pairs with one mismatched text each; pictures are uint8 `[pairs, 3, H, W]`."""
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
    """Select rows of a batch and convert pictures to float32."""
    chosen = select_rows(batch, rows)
    return {name: value.float() / 127.5 - 1 if value.dtype == torch.uint8 else value for name, value in chosen.items()}


def measure(pairs: int, chunk: int) -> dict[str, float]:
    """Run a step on one chunk, then a step on `pairs` pairs, in chunks if there are several."""
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
        loss = losses.pop("loss").item()  # frees the graph
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "mib": peak / 2**20,
        "pictures_mib": sum(value.nbytes for name, value in batch.items() if "pixel" in name) / 2**20,
        "seconds": time.perf_counter() - started,
        "loss": loss,
    }


def measure_in_process(pairs: int, chunk: int) -> dict[str, float]:
    """Run [`measure`] in a new process."""
    command = [sys.executable, __file__, "--measure", str(pairs), str(chunk)]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**17)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def main() -> None:
    """Print the peaks and their ratio."""
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
        step = measure_in_process(pairs, args.chunk)
        peaks.append(step["mib"])
        print(
            f"batch {pairs:>5} in chunks of {args.chunk}: {step['mib']:6.0f} MiB peak, {step['pictures_mib']:.0f} "
            f"of them for pictures; {step['seconds']:.0f} s",
            flush=True,
        )
    ratio = peaks[1] / peaks[0]
    print(f"ratio {ratio:.3f} (limit {args.limit})")
    sys.exit(ratio > args.limit)


if __name__ == "__main__":
    main()
