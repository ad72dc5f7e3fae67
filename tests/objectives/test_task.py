"""The shape of a loss: terms of one context, registered under their weights and summed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from tiger_fg_hf.objectives.context import LossContext
from tiger_fg_hf.objectives.task import LossWeights, Student, Term, WeightedTask


def first_term(context: LossContext) -> torch.Tensor:
    return context.gather(context.representations["embeds"]).mean()


def second_term(context: LossContext) -> torch.Tensor | None:
    if "labels" not in context.batch:
        return None
    return (context.gather(context.representations["embeds"]).sum(-1) * context.gather(context.batch["labels"])).sum()


@dataclass(frozen=True)
class ToyWeights(LossWeights):
    terms: ClassVar[Mapping[str, Term]] = {"first": first_term, "second": second_term}

    second: float = 0.5
    first: float = 2.0


class ToyTask(WeightedTask):
    weights_class = ToyWeights


class ToyStudent(Student):
    def __init__(self):
        super().__init__()
        self.model = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor, **labels) -> dict[str, torch.Tensor]:
        return {"embeds": self.model(x), "logit_scale": torch.tensor(7.0)}


def toy_batch() -> dict:
    return {
        "x": torch.arange(6.0).view(2, 3),
        "item_ids": torch.tensor([4, 5]),
        "labels": torch.ones(2),
        "note": "text",
    }


def test_loss_is_the_weighted_sum_of_the_terms():
    task, batch = ToyTask(ToyStudent()), toy_batch()
    losses = task(batch)
    assert list(losses) == ["loss", "first", "second", "logit_scale"]
    assert losses["loss"] == 2.0 * losses["first"] + 0.5 * losses["second"]
    assert losses["loss"].requires_grad
    assert not any(value.requires_grad for name, value in losses.items() if name != "loss")
    losses["loss"].backward()
    assert task.student.model.weight.grad.any()


def test_terms_without_weight_or_inputs_are_skipped():
    batch = toy_batch()
    assert "second" not in ToyTask(ToyStudent(), ToyWeights(second=0.0))(batch)
    del batch["labels"]
    assert "second" not in ToyTask(ToyStudent())(batch)
    with pytest.raises(ValueError, match=r"No loss can be computed: active are {'second': 0.5}, without a teacher"):
        ToyTask(ToyStudent(), ToyWeights(first=0.0))(batch)
    with pytest.raises(ValueError, match="active are none"):
        ToyTask(ToyStudent(), ToyWeights(first=0.0, second=0.0))(batch)


def test_each_column_is_gathered_once_and_in_the_order_of_the_terms():
    batch, gathered = toy_batch(), []

    def gather(tensor: torch.Tensor) -> torch.Tensor:
        gathered.append(tensor)
        return torch.cat([tensor, tensor])

    task = ToyTask(ToyStudent(), gather=gather, rank=1)
    representations = task.represent(batch)
    task.loss(representations, batch)
    expected = [batch["item_ids"], representations["embeds"], batch["labels"]]
    assert [id(tensor) for tensor in gathered] == [id(tensor) for tensor in expected]


def test_rows_are_those_of_the_rank():
    context = LossContext(
        {"logit_scale": torch.tensor(1.0)},
        {"item_ids": torch.tensor([4, 5])},
        gather=lambda tensor: torch.cat([tensor + 1, tensor]),
        rank=1,
    )
    assert context.rows.all_item_ids.tolist() == [5, 6, 4, 5]
    assert context.rows.targets.tolist() == [2, 3]


def test_active_losses_are_those_with_a_weight():
    assert ToyWeights().active() == {"first": 2.0, "second": 0.5}
    assert ToyWeights(first=0.0).active() == {"second": 0.5}


@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_weights_are_not_negative(value):
    with pytest.raises(ValueError, match="second must not be negative"):
        ToyWeights(second=value)
