"""Every parameter learns at the right rate."""

import pytest
import torch
from tiny import tiny_model
from tiny_tgq import tiny_tgq_model

from tiger_fg_hf.objectives.tgq_former_student import TGQFormerStudent
from tiger_fg_hf.objectives.tiger_fg_student import TigerFGStudent
from tiger_fg_hf.training.optimizer import build_optimizer, parameter_groups

RATES = {"backbone_lr": 1e-4, "head_lr": 1e-3, "weight_decay": 0.1}


def groups_by_name(model) -> dict[str, dict]:
    return {group["name"]: group for group in parameter_groups(model, **RATES)}


def names_in(model, group) -> set[str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)] for parameter in group["params"]}


@pytest.mark.parametrize("share", [True, False])
def test_every_parameter_is_in_its_group_once(share):
    model = tiny_model(share_vision_tower=share)
    groups = groups_by_name(model)
    assert {name: (group["lr"], group["weight_decay"]) for name, group in groups.items()} == {
        "backbone": (1e-4, 0.1),
        "backbone_no_decay": (1e-4, 0.0),
        "head": (1e-3, 0.1),
        "head_no_decay": (1e-3, 0.0),
    }
    shapes = {name: parameter.ndim for name, parameter in model.named_parameters()}
    backbones = ("vision_model.", "query_vision_model.", "text_model.")
    found = {name: names_in(model, group) for name, group in groups.items()}
    assert sum(map(len, found.values())) == len(shapes)
    assert set.union(*found.values()) == set(shapes)
    for group, names in found.items():
        for name in names:
            assert name.startswith(backbones) == group.startswith("backbone"), name
            assert (shapes[name] > 1) == (not group.endswith("no_decay")), name
    assert {"logit_scale", "grounding_model.guided_pooling.gate.bias"} <= found["head_no_decay"]
    assert "visual_projection.weight" in found["head"]
    if not share:
        assert "query_visual_projection.weight" in found["head"]


@pytest.mark.parametrize("wrapped", [False, True])
def test_rates_decay_from_layer_to_layer(wrapped):
    """Embeddings learn slowest, and whatever follows the layers at the full rate; new layers are unaffected."""
    model = tiny_model(share_vision_tower=False, vision="clip", text="siglip")
    student = TigerFGStudent(model) if wrapped else model
    groups = parameter_groups(student, **RATES, layer_decay=0.5)
    names = {id(parameter): name for name, parameter in student.named_parameters()}
    rates = {names[id(parameter)]: group["lr"] for group in groups for parameter in group["params"]}
    assert rates.keys() == dict(student.named_parameters()).keys()
    expected = {
        "vision_model.embeddings.position_embedding.weight": 1e-4 / 8,
        "vision_model.pre_layrnorm.bias": 1e-4 / 8,
        "query_vision_model.encoder.layers.0.mlp.fc1.weight": 1e-4 / 4,
        "vision_model.encoder.layers.1.layer_norm2.weight": 1e-4 / 2,
        "vision_model.post_layernorm.weight": 1e-4,
        "text_model.embeddings.token_embedding.weight": 1e-4 / 8,
        "text_model.head.weight": 1e-4,
        "visual_projection.weight": 1e-3,
        "grounding_model.slots": 1e-3,
        "logit_scale": 1e-3,
    }
    for name, rate in expected.items():
        matches = [found for found in rates if found.removeprefix("model.") == name]
        assert [rates[found] for found in matches] == [pytest.approx(rate)], name
    assert len({group["name"] for group in groups}) == len(groups)
    for group in groups:
        assert (group["weight_decay"] == 0) == group["name"].endswith("_no_decay")
        assert all((parameter.ndim > 1) != group["name"].endswith("_no_decay") for parameter in group["params"])


def test_student_without_layer_decay_has_the_groups_of_its_model():
    model = tiny_model()
    plain, wrapped = groups_by_name(model), groups_by_name(TigerFGStudent(model))
    assert list(plain) == list(wrapped)
    for name in plain:
        assert [id(parameter) for parameter in plain[name]["params"]] == [
            id(parameter) for parameter in wrapped[name]["params"]
        ]


def test_layer_decay_of_an_unknown_backbone_is_an_error():
    model = tiny_model()
    model.vision_model.config.num_hidden_layers = 7
    with pytest.raises(ValueError, match="layers of ViTModel cannot be found"):
        parameter_groups(model, **RATES, layer_decay=0.9)
    assert parameter_groups(model, **RATES, layer_decay=1.0)


def test_frozen_parameters_are_left_out():
    model = tiny_model()
    model.text_model.requires_grad_(False)
    found = set.union(*(names_in(model, group) for group in groups_by_name(model).values()))
    assert found == {name for name, _ in model.named_parameters() if not name.startswith("text_model.")}
    model.vision_model.requires_grad_(False)
    assert set(groups_by_name(model)) == {"head", "head_no_decay"}


def test_nothing_to_train_is_an_error():
    with pytest.raises(ValueError, match="all are frozen"):
        parameter_groups(tiny_model().requires_grad_(False), **RATES)


def test_optimizer_decays_only_what_it_should():
    """With zero gradients, a step applies weight decay only."""
    model = tiny_model()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = build_optimizer(model, **RATES)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        rate = 1e-4 if name.startswith(("vision_model.", "text_model.")) else 1e-3
        factor = 1 - rate * 0.1 if parameter.ndim > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor, msg=name)


def test_layers_of_a_frozen_backbone_are_not_asked_for():
    """A dual encoder has two stacks of layers, both frozen."""
    model = tiny_tgq_model()
    model.dual_encoder.requires_grad_(False)
    groups = parameter_groups(TGQFormerStudent(model), **RATES, layer_decay=0.5)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    layers = model.language_model.layers
    assert rates[id(layers[0].mlp.up_proj.weight)] == pytest.approx(1e-4 / 4)
    assert rates[id(layers[1].mlp.up_proj.weight)] == pytest.approx(1e-4 / 2)
    assert not any(id(parameter) in rates for parameter in model.dual_encoder.parameters())
