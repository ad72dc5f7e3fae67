"""Behavior that the models of both families share."""

import pytest
import torch
from tiny import TOWERS, tensors, tiny_inputs, tiny_model
from tiny_tgq import tiny_tgq_inputs, tiny_tgq_model

CASES = {
    **{kind: (lambda kind=kind: (tiny_model(kind), tiny_inputs(kind))) for kind in TOWERS},
    "tgq_former": lambda: (tiny_tgq_model(), tiny_tgq_inputs()),
}
KINDS = pytest.mark.parametrize("kind", list(CASES))


@KINDS
@torch.no_grad()
def test_tuples_by_configuration(kind):
    model, inputs = CASES[kind]()
    expected = model(**inputs)
    model.config.return_dict = False
    output = model(**inputs)
    assert type(output) is tuple
    for one, other in zip(tensors(output).values(), tensors(expected).values(), strict=True):
        assert torch.equal(one, other)
    assert type(model(**inputs, return_dict=True)) is type(expected)


@torch.no_grad()
def test_features_of_a_model_that_returns_tuples():
    model, inputs = tiny_model(), tiny_inputs("item")
    expected = model.get_item_features(**inputs)
    model.config.return_dict = False
    assert torch.equal(model.get_item_features(**inputs), expected)
    assert type(model.get_image_features(inputs["pixel_values"])) is tuple


@KINDS
def test_misspelt_arguments_are_named(kind):
    model, inputs = CASES[kind]()
    with pytest.raises(TypeError, match=f"{type(model).__name__} got an unexpected keyword argument 'imagemask'"):
        model(**inputs, imagemask=torch.ones(3))


@KINDS
@torch.no_grad()
def test_arguments_of_transformers_are_accepted(kind):
    model, inputs = CASES[kind]()
    model(**inputs, output_attentions=False, output_hidden_states=True, return_dict=True, num_items_in_batch=3)


@pytest.mark.parametrize("kind", list(TOWERS))
@torch.no_grad()
def test_interpolation_of_positions_can_be_requested(kind):
    model, inputs = tiny_model(kind), tiny_inputs(kind)
    expected, output = model(**inputs), model(**inputs, interpolate_pos_encoding=True)
    for name, value in tensors(expected).items():
        assert torch.equal(tensors(output)[name], value), name
    with pytest.raises(ValueError, match="doesn't match model"):
        model(**tiny_inputs(kind, height=48), interpolate_pos_encoding=False)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@KINDS
@torch.no_grad()
def test_embeddings_of_half_precision_weights_have_unit_length(kind, dtype):
    model, inputs = CASES[kind]()
    cast = {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}
    output = model.to(dtype)(**cast)
    for name in ("embeds", "query_embeds", "item_embeds"):
        if output.get(name) is not None:
            assert output[name].dtype == torch.float32
            torch.testing.assert_close(output[name].norm(dim=-1), torch.ones(3))
