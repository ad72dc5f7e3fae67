"""Contrastive batches of any size in the memory of one chunk (GradCache, Gao et al., arXiv 2101.06983)."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch.utils.checkpoint import get_device_states, set_device_states

from ..objectives.batch import select_rows
from ..objectives.task import Task


class GradCache:
    """Computes the loss of a whole batch and its gradients, with the graph of only one chunk of rows in memory.

    Each chunk runs twice. The first pass computes its representations without a graph; the loss is taken over those
    of the whole batch and differentiated with respect to them. The second pass repeats the chunk with a graph, from
    the same random state, and propagates its share of that gradient to the parameters. Loss and gradients equal those
    of one graph over the same chunks. Dropout masks are drawn per chunk, so another chunk size gives another, equally
    random, step.

    Pictures stay where the batch has them and move to the device one chunk at a time; everything else moves at once.

    Args:
        accelerator: The accelerator of the run. Gradients are scaled and divided as its `backward` does, and reduced
            over processes once, with the last chunk.
        task: Provides `represent` and `loss`; its student may be wrapped.
        rows: Pairs per chunk.
        select: Takes rows of a batch, as [`select_rows`] does.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        task: Task,
        rows: int,
        *,
        select: Callable[[Mapping[str, Any], slice], dict[str, Any]] = select_rows,
    ):
        self.accelerator, self.task, self.rows, self.select = accelerator, task, rows, select

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Add the gradients of the loss of `batch` to those of the parameters.

        Args:
            batch: A batch of the task, on any device, with the same number of rows on every process.

        Returns:
            The task's losses, detached.
        """
        size = len(batch["item_ids"])
        chunks = [slice(start, min(start + self.rows, size)) for start in range(0, size, self.rows)]
        states, parts = [], []
        with torch.no_grad():
            for chunk in chunks:
                states.append(self._random_state())
                parts.append(self._represent(batch, chunk))
        representations = {
            # A scalar, such as the temperature, is the same in every chunk.
            name: torch.cat([part[name] for part in parts]) if value.ndim else value.detach()
            for name, value in parts[0].items()
        }
        del parts
        for value in representations.values():
            value.requires_grad_(value.is_floating_point())
        labels = {name: value for name, value in batch.items() if not name.endswith("pixel_values")}
        losses = self.task.loss(representations, send_to_device(labels, self.accelerator.device, non_blocking=True))
        self.accelerator.backward(losses["loss"])
        gradients = {name: value.grad for name, value in representations.items() if value.grad is not None}

        after_one_pass = self._random_state()
        for chunk, state in zip(chunks, states, strict=True):
            is_last = chunk is chunks[-1]
            with nullcontext() if is_last else self.accelerator.no_sync(self.task.student):
                self._set_random_state(state)
                self._backward(batch, chunk, gradients if is_last else _with_rows(gradients))
        self._set_random_state(after_one_pass)
        return {name: value.detach() for name, value in losses.items()}

    def _backward(self, batch: Mapping[str, Any], chunk: slice, gradients: Mapping[str, torch.Tensor]) -> None:
        """Backpropagate one chunk; a separate function, so that nothing of the chunk's graph outlives it."""
        outputs = self._represent(batch, chunk)
        reached = [
            (outputs[name], gradient[chunk] if gradient.ndim else gradient)
            for name, gradient in gradients.items()
            if outputs[name].requires_grad
        ]
        if reached:
            # Not `accelerator.backward`: the gradients of the representations are already scaled.
            torch.autograd.backward(*zip(*reached, strict=True))

    def _represent(self, batch: Mapping[str, Any], chunk: slice) -> dict[str, torch.Tensor]:
        rows = send_to_device(self.select(batch, chunk), self.accelerator.device, non_blocking=True)
        return self.task.represent(rows)

    def _random_state(self) -> tuple[torch.Tensor, tuple[list[int], list[torch.Tensor]]]:
        """Return the state of torch's generators on the CPU and on the run's device."""
        return torch.get_rng_state(), get_device_states(torch.empty(0, device=self.accelerator.device))

    def _set_random_state(self, state: tuple[torch.Tensor, tuple[list[int], list[torch.Tensor]]]) -> None:
        torch.set_rng_state(state[0])
        set_device_states(*state[1], device_type=self.accelerator.device.type)


def _with_rows(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in tensors.items() if value.ndim}
