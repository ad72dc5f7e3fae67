"""One training step in each of several processes, whose losses and gradients are written out.

torchrun --nproc_per_node N distributed_steps.py FOLDER
"""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from safetensors.torch import save_file
from tiny_tgq import tiny_pair_batch, tiny_tgq_model
from training_batches import gradients, tiny_student, training_batch

from tiger_fg_hf.objectives.item_pairs import ItemPairStudent, ItemPairTask
from tiger_fg_hf.objectives.task import RetrievalTask
from tiger_fg_hf.training.distributed import gather_with_grad
from tiger_fg_hf.training.grad_cache import GradCache

ROWS = 6
CASES = {
    "distinct": {"ids": [0, 1, 2, 3, 4, 5]},
    "repeated across processes": {"ids": [0, 1, 1, 0, 2, 1]},
    "one product": {"ids": [9] * ROWS},
    "two vision towers": {"ids": [0, 1, 2, 2, 0, 3], "share_vision_tower": False},
    # Its pooled output is computed, and no loss ever looks at it.
    "unused head": {"ids": [0, 1, 2, 3, 4, 5], "text": "siglip"},
    "chunks": {"ids": [0, 1, 1, 0, 2, 1], "chunk": 2},
    "chunks and dropout": {"ids": [0, 1, 2, 2, 0, 3], "chunk": 2, "dropout": 0.3},
    "chunks and an unused head": {"ids": [0, 1, 2, 3, 4, 5], "chunk": 2, "text": "siglip"},
}


def case_student(case: dict):
    """The student of a case. Without chunks there is no dropout: its masks depend on the shape of the batch."""
    return tiny_student(**{name: value for name, value in case.items() if name not in ("ids", "chunk")})


def pair_batch() -> dict[str, torch.Tensor]:
    """Six pairs of listings; two rows, of different processes, show one product."""
    first = tiny_pair_batch()
    second = {name: value.flip(0) for name, value in first.items()}
    second["first_pixel_values"] = second["first_pixel_values"] - 0.2
    batch = {name: torch.cat([value, second[name]]) for name, value in first.items()}
    return batch | {"item_ids": torch.tensor([0, 1, 2, 2, 3, 4])}


def rank_seed(rank: int, step: int) -> int:
    return 100 * step + rank


def sum_of_gathered(tensor: torch.Tensor, gather) -> torch.Tensor:
    """A function of one tensor gathered twice, whose gradient autograd hands to both collectives as one object."""
    weights = torch.arange(1.0, 1 + ROWS)[:, None]
    return ((gather(tensor) + gather(tensor)) * weights).pow(2).sum()


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True, kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])
    rank, share = accelerator.process_index, ROWS // accelerator.num_processes
    own = slice(rank * share, (rank + 1) * share)
    written = {}
    for name, case in CASES.items():
        student = case_student(case)
        task = RetrievalTask(accelerator.prepare(student), gather=gather_with_grad, rank=rank)
        for step in range(2):  # the second would tell of gradients that the first left unfinished
            student.zero_grad()
            torch.manual_seed(rank_seed(rank, step))
            batch = {key: value[own] for key, value in training_batch(case["ids"], seed=step).items()}
            if "chunk" in case:
                losses = GradCache(accelerator, task, case["chunk"])(batch)
            else:
                losses = task(batch)
                accelerator.backward(losses["loss"])
        written |= {f"{name}|{key}": value.detach().clone() for key, value in losses.items()}
        written |= {f"{name}|{key}": value for key, value in gradients(student).items()}
    for chunk in (0, 2):
        student = ItemPairStudent(tiny_tgq_model())
        task = ItemPairTask(accelerator.prepare(student), gather=gather_with_grad, rank=rank)
        batch = {key: value[own] for key, value in pair_batch().items()}
        if chunk:
            losses = GradCache(accelerator, task, chunk)(batch)
        else:
            losses = task(batch)
            accelerator.backward(losses["loss"])
        written |= {f"pairs {chunk}|{key}": value.detach().clone() for key, value in losses.items()}
        written |= {f"pairs {chunk}|{key}": value for key, value in gradients(student).items()}
    rows = torch.linspace(-1, 1, ROWS * 2).view(ROWS, 2)[own].clone().requires_grad_()
    sum_of_gathered(rows, gather_with_grad).backward()
    written["gather"] = rows.grad
    save_file(written, folder / f"rank-{rank}.safetensors")
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
