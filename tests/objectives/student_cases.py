"""Students, batches with everything in them that a loss can ask for, and counters of what is computed."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from tiny import VOCAB, tiny_inputs, tiny_model
from torch import nn

from tiger_fg_hf.evaluation.baselines import BaselineModel
from tiger_fg_hf.objectives.student import StudentTerms, TrainingStudent
from tiger_fg_hf.objectives.teacher import TeacherFeatures

TEACHER_WIDTH, CATALOG_ROWS = 6, 12


def tiny_student(terms: StudentTerms | None = None, frozen_text=None, model=None, **kwargs) -> TrainingStudent:
    """In training mode; kwargs are those of `tiny_model`, whose dropout is 0."""
    model = tiny_model(**kwargs) if model is None else model
    torch.manual_seed(1)
    student = TrainingStudent(model, terms, frozen_text=frozen_text).train()
    for module in student.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return student


def tiny_baseline(kind: str) -> BaselineModel:
    config = tiny_model().config
    config.baseline = kind
    torch.manual_seed(0)
    model = BaselineModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def task_batch(rows: int = 5, pictures: int | None = None, texts: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
    """
    Pairs of different products, but for the last, which is the first one's.

    Args:
        pictures: distinct item pictures that the pairs share in turns; one each without it.
        texts: mismatched texts of each pair.
    """
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(rows, 2, 2, generator=generator).sort(dim=1).values
    batch = tiny_inputs(batch=rows, seed=seed) | {
        "item_ids": torch.arange(rows) % (rows - 1),
        "category_ids": torch.arange(rows) % 3 - 1,
        "rows": torch.arange(rows) * 5 % CATALOG_ROWS,
        "boxes": corners.flatten(1),
        "has_box": torch.arange(rows) != 1,
        "flipped": torch.arange(rows) % 2 == 1,
        "teacher_region": torch.randn(rows, 3, 3, TEACHER_WIDTH, generator=generator),
    }
    if texts:
        batch["hard_input_ids"] = torch.randint(3, VOCAB, (rows, texts, 5), generator=generator)
        batch["hard_attention_mask"] = torch.ones(rows, texts, 5, dtype=torch.long)
        batch["hard_attention_mask"][:, 0, 3:] = 0
    if pictures is not None:
        batch["pixel_values"] = batch["pixel_values"][:pictures]
        batch["image_index"] = torch.arange(rows) % pictures
    return batch


def without(batch: dict, *names: str) -> dict:
    return {name: value for name, value in batch.items() if name not in names}


def tiny_teacher() -> TeacherFeatures:
    """Of a catalog of `CATALOG_ROWS` rows."""
    rng = np.random.default_rng(0)
    return TeacherFeatures(
        rng.normal(size=(CATALOG_ROWS, TEACHER_WIDTH)).astype(np.float16),
        rng.normal(size=(CATALOG_ROWS, 3, 3, TEACHER_WIDTH)).astype(np.float16),
    )


@contextmanager
def rows_through(module: nn.Module) -> Iterator[list[int]]:
    """Rows of each call of a module, in order."""
    seen: list[int] = []

    def count(module, args, kwargs):
        seen.append(len(next(value for value in (*args, *kwargs.values()) if torch.is_tensor(value))))

    handle = module.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()
