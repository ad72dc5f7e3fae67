"""A student and batches for it with everything in them that a loss can ask for."""

import torch
from tiny import VOCAB, tiny_inputs, tiny_model

from tiger_fg_hf.objectives.batch import select_rows
from tiger_fg_hf.objectives.student import TrainingStudent

HARD_TEXTS = 2


def tiny_student(dropout: float = 0.0, **kwargs) -> TrainingStudent:
    """A student in training mode; kwargs are those of `tiny_model`."""
    torch.manual_seed(1)
    student = TrainingStudent(tiny_model(**kwargs)).train()
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    return student


def training_batch(item_ids: list[int], pictures: int | None = None, seed: int = 0) -> dict[str, torch.Tensor]:
    """
    Pairs of products `item_ids`, most with a box, all with mismatched texts.

    Args:
        pictures: distinct item pictures that the pairs share in turns; one each without it.
    """
    rows = len(item_ids)
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(rows, 2, 2, generator=generator).sort(dim=1).values
    batch = tiny_inputs(batch=rows, seed=seed) | {
        "hard_input_ids": torch.randint(3, VOCAB, (rows, HARD_TEXTS, 5), generator=generator),
        "hard_attention_mask": torch.ones(rows, HARD_TEXTS, 5, dtype=torch.long),
        "item_ids": torch.tensor(item_ids),
        "category_ids": torch.arange(rows) % 3 - 1,
        "boxes": corners.flatten(1),
        "has_box": torch.arange(rows) * 7 % 5 > 1,
    }
    if pictures is not None:
        batch["pixel_values"] = batch["pixel_values"][:pictures]
        batch["image_index"] = torch.arange(rows) % pictures
    return batch


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Of all parameters, zeros where there are none."""
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in module.named_parameters()
    }


def chunks(size: int, rows: int, start: int = 0) -> list[slice]:
    """Rows `start` to `start + size` in chunks of `rows`."""
    stop = start + size
    return [slice(first, min(first + rows, stop)) for first in range(start, stop, rows)]


def in_one_graph(
    task, batch: dict, parts: list[slice], seeds: dict[int, int] | None = None
) -> dict[str, torch.Tensor]:
    """
    What gradient caching must equal: a step over the same chunks, all of them kept in one graph.

    Args:
        seeds: seeds to set before chunks, by the row at which they start.
    """
    forward = []
    for part in parts:
        if seeds and part.start in seeds:
            torch.manual_seed(seeds[part.start])
        forward.append(task.represent(select_rows(batch, part)))
    representations = {
        name: torch.cat([part[name] for part in forward]) if value.ndim else value
        for name, value in forward[0].items()
    }
    losses = task.loss(representations, batch)
    losses["loss"].backward()
    return losses
