"""One training step in each of several processes, whose losses and gradients are written out.

torchrun --nproc_per_node N distributed_steps.py FOLDER
"""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from safetensors.torch import save_file
from tiny import tiny_inputs, tiny_model

from tiger_fg_hf.objectives.task import RetrievalTask
from tiger_fg_hf.training.distributed import gather_with_grad

ROWS = 6
CASES = {
    "distinct": {"ids": [0, 1, 2, 3, 4, 5]},
    "repeated across processes": {"ids": [0, 1, 1, 0, 2, 1]},
    "one product": {"ids": [9] * ROWS},
    "two vision towers": {"ids": [0, 1, 2, 2, 0, 3], "share_vision_tower": False},
    # Its pooled output is computed, and no loss ever looks at it.
    "unused head": {"ids": [0, 1, 2, 3, 4, 5], "text": "siglip"},
}


def case_model(case: dict):
    """The model of a case, dropout off: its masks depend on the shape of the batch."""
    return tiny_model(**{name: value for name, value in case.items() if name != "ids"})


def case_batch(case: dict, step: int = 0) -> dict[str, torch.Tensor]:
    """The global batch of a case."""
    return tiny_inputs(batch=ROWS, seed=step) | {"item_ids": torch.tensor(case["ids"])}


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in model.named_parameters()
    }


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
        model = case_model(case)
        wrapped = accelerator.prepare(model)
        task = RetrievalTask(wrapped, gather=gather_with_grad, rank=rank)
        for step in range(2):  # the second would tell of gradients that the first left unfinished
            model.zero_grad()
            losses = task({key: value[own] for key, value in case_batch(case, step).items()})
            accelerator.backward(losses["loss"])
        written[f"{name}|loss"] = losses["loss"].detach()
        written |= {f"{name}|{key}": value for key, value in gradients(model).items()}
    rows = torch.linspace(-1, 1, ROWS * 2).view(ROWS, 2)[own].clone().requires_grad_()
    sum_of_gathered(rows, gather_with_grad).backward()
    written["gather"] = rows.grad
    save_file(written, folder / f"rank-{rank}.safetensors")
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
