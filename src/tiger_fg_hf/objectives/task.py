"""What the training loop needs from a method: a student, and a task that turns its outputs into losses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from .context import LossContext
from .teacher import TeacherFeatures

Term = Callable[[LossContext], torch.Tensor | None]


class Student(nn.Module):
    """A model in the form that training needs; subclasses define `forward`.

    Attributes:
        model: the model that is saved and used after training.
    """

    model: nn.Module

    def after_step(self) -> None:
        """Apply constraints on parameters, such as the bound of the temperature, after every optimizer step."""


class Task(Protocol):
    """A student with its losses.

    Attributes:
        student: a [`Student`], plain or wrapped for distributed training.
    """

    student: nn.Module

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Compute the losses of a batch.

        Returns:
            `loss`, the scalar to minimize, and every figure to log by name, detached.
        """
        ...

    def represent(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Compute the student's representations of a batch, or of some of its rows."""
        ...

    def loss(self, representations: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Compute the losses, as `__call__` returns them, from the representations of all rows of `batch`."""
        ...


@dataclass(frozen=True)
class LossWeights:
    """Weights and settings of a method's losses. Subclasses add the fields and register the terms.

    To add a loss, write its file, add a field with its weight to the method's weights, and register its term under
    the field's name.

    Attributes:
        terms: the term of each loss by the name of its weight, in the order of computation.

    Raises:
        ValueError: a number is negative.
    """

    terms: ClassVar[Mapping[str, Term]] = {}
    # Title of these arguments in `--help`.
    _argument_group_name = "Losses"

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str) and not value >= 0:
                raise ValueError(f"{field.name} must not be negative, got {value}.")

    def active(self) -> dict[str, float]:
        """Return the weights of the losses that are on, that is, above 0, in the order of computation."""
        return {name: weight for name in self.terms if (weight := getattr(self, name))}


class WeightedTask:
    """A [`Task`] whose loss is the weighted sum of the terms of its [`LossWeights`].

    Skips every term whose inputs are missing from the batch. Subclasses set `weights_class`.

    Args:
        student: a [`Student`], plain or wrapped for distributed training.
        weights: weights and settings of the losses; the defaults of `weights_class` if absent.
        teacher: features of the frozen teacher, for the losses that distill one.
        gather: differentiable concatenation over processes in the order of their ranks, `[b, ...] -> [B, ...]`; the
            identity for one process.
        rank: index of this process among those that `gather` concatenates.
    """

    weights_class: ClassVar[type[LossWeights]] = LossWeights

    def __init__(
        self,
        student: nn.Module,
        weights: LossWeights | None = None,
        *,
        teacher: TeacherFeatures | None = None,
        gather: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor,
        rank: int = 0,
    ):
        self.student = student
        self.weights = weights or self.weights_class()
        self.teacher = teacher
        self.gather = gather
        self.rank = rank

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Compute the losses of a batch; see `loss`."""
        return self.loss(self.represent(batch), batch)

    def represent(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Compute the student's representations of a batch, or of some of its rows; see the student's `forward`."""
        return self.student(**{name: value for name, value in batch.items() if torch.is_tensor(value)})

    def loss(self, representations: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Compute the weighted sum of the terms.

        Args:
            representations: outputs of the student for all rows of `batch`.
            batch: the columns that the terms need, at least `item_ids` `[b]`.

        Returns:
            `loss`, the scalar to minimize; detached, every term by name and `logit_scale`.

        Raises:
            ValueError: no active loss can be computed from the batch.
        """
        context = LossContext(
            representations, batch, weights=self.weights, teacher=self.teacher, gather=self.gather, rank=self.rank
        )
        active = self.weights.active()
        computed = {name: self.weights.terms[name](context) for name in active}
        terms = {name: value for name, value in computed.items() if value is not None}
        if not terms:
            raise ValueError(
                f"No loss can be computed: active are {active or 'none'}, "
                f"{'with' if self.teacher else 'without'} a teacher, from the columns {sorted(representations)}."
            )
        loss = sum(active[name] * value for name, value in terms.items())
        return {
            "loss": loss,
            **{name: value.detach() for name, value in terms.items()},
            "logit_scale": context.scale.detach(),
        }
