"""Contrastive batches of any size at the memory of a chunk (GradCache, Gao et al., arXiv 2101.06983)."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch.utils.checkpoint import get_device_states, set_device_states

from ..objectives.batch import select_rows
from ..objectives.tiger_fg import TigerFGTask


class GradCache:
    """
    Computes a loss over a whole batch and its gradients, with the graph of one chunk of rows at a time.

    Each chunk runs twice: first without graph, for its representations, of which the loss is taken over the whole
    batch and differentiated; then again, from the same random state and with graph, for the parameters' share of that
    gradient. Loss and gradients are those of one graph over the same chunks. With dropout its masks are those of
    chunks, so a chunk of another size gives another, equally random, step.

    Pictures stay where the batch has them and go to the device a chunk at a time; everything else goes as a whole.

    Args:
        accelerator: that of the run. Gradients are scaled and divided as its `backward` does, and reduced over
            processes once, with the last chunk.
        task: gives `represent` and `loss`; its student may be wrapped.
        rows: pairs of a chunk.
        select: takes rows of a batch, as [`select_rows`] does.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        task: TigerFGTask,
        rows: int,
        *,
        select: Callable[[Mapping[str, Any], slice], dict[str, Any]] = select_rows,
    ):
        self.accelerator, self.task, self.rows, self.select = accelerator, task, rows, select

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """
        Adds the gradients of the loss of `batch` to those of the parameters.

        Args:
            batch: as [`TigerFGTask`] takes it, on any device; every process holds as many rows.

        Returns:
            What `task.loss` returns, detached.
        """
        size = len(batch["item_ids"])
        chunks = [slice(start, min(start + self.rows, size)) for start in range(0, size, self.rows)]
        states, parts = [], []
        with torch.no_grad():
            for chunk in chunks:
                states.append(self._random_state())
                parts.append(self._represent(batch, chunk))
        representations = {
            # What has no rows, a temperature, is the same in every chunk.
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
        """In a function of its own, so that nothing of a chunk's graph outlives it."""
        outputs = self._represent(batch, chunk)
        reached = [
            (outputs[name], gradient[chunk] if gradient.ndim else gradient)
            for name, gradient in gradients.items()
            if outputs[name].requires_grad
        ]
        if reached:
            # Not `accelerator.backward`: the gradients of the representations are scaled already.
            torch.autograd.backward(*zip(*reached, strict=True))

    def _represent(self, batch: Mapping[str, Any], chunk: slice) -> dict[str, torch.Tensor]:
        rows = send_to_device(self.select(batch, chunk), self.accelerator.device, non_blocking=True)
        return self.task.represent(rows)

    def _random_state(self) -> tuple[torch.Tensor, tuple[list[int], list[torch.Tensor]]]:
        """State of torch's generators: the CPU's, and that of the run's device."""
        return torch.get_rng_state(), get_device_states(torch.empty(0, device=self.accelerator.device))

    def _set_random_state(self, state: tuple[torch.Tensor, tuple[list[int], list[torch.Tensor]]]) -> None:
        torch.set_rng_state(state[0])
        set_device_states(*state[1], device_type=self.accelerator.device.type)


def _with_rows(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in tensors.items() if value.ndim}
