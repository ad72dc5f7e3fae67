"""The layers of every backbone family are found, and a frozen stem stays out of the graph."""

import pytest
import torch
from tiny import TEXT, VISION, tiny_inputs, tiny_model
from torch import nn

from tiger_fg_hf.training.layers import encoder_layers, freeze

BACKBONES = [("vision", name) for name in VISION] + [("text", name) for name in TEXT]


def backbone_of(kind: str, name: str):
    return getattr(tiny_model(**{kind: name}), f"{kind}_model")


@pytest.mark.parametrize(("kind", "name"), BACKBONES)
def test_every_parameter_has_its_depth(kind, name):
    """Embeddings lie below the layers, the final norm and pooling heads above them."""
    backbone = backbone_of(kind, name)
    found = encoder_layers(backbone)
    assert len(found.layers) == backbone.config.num_hidden_layers == 2
    assert list(found.depth) == [parameter for parameter, _ in backbone.named_parameters()]
    for parameter, depth in found.depth.items():
        if "embed" in parameter or "pre_layrnorm" in parameter:
            assert depth == 0, parameter
        elif any(part in parameter for part in ("layer.0.", "layers.0.")):
            assert depth == 1, parameter
        elif any(part in parameter for part in ("layer.1.", "layers.1.")):
            assert depth == 2, parameter
        else:
            assert parameter.split(".")[0] in (
                "layernorm", "norm", "post_layernorm", "final_layer_norm", "final_norm", "head"
            ), parameter  # fmt: skip
            assert depth == 3, parameter
    assert set(found.depth.values()) >= {0, 1, 2}


class Block(nn.Module):
    def __init__(self, parts: int):
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(2, 2) for _ in range(parts))


class Unknown(nn.Module):
    """A backbone with parameters before its layers, and module lists of the given lengths."""

    def __init__(self, *lengths: int):
        super().__init__()
        self.config = type("Config", (), {"num_hidden_layers": 3})()
        self.cls_token = nn.Parameter(torch.zeros(2))
        self.patches = nn.Linear(2, 2)
        for number, length in enumerate(lengths):
            self.add_module(f"blocks_{number}", nn.ModuleList(Block(3) for _ in range(length)))


def test_nested_module_lists_are_not_taken_for_layers():
    found = encoder_layers(Unknown(3))
    assert found.depth["cls_token"] == found.depth["patches.weight"] == 0
    assert found.depth["blocks_0.1.parts.2.bias"] == 2
    assert found.stem == [found.stem[0]]
    assert isinstance(found.stem[0], nn.Linear)


@pytest.mark.parametrize(("lengths", "told"), [((4,), r"found \['blocks_0.0.parts', .*"), ((3, 3), r"\['blocks_0', ")])
def test_layers_that_cannot_be_found_are_an_error(lengths, told):
    with pytest.raises(ValueError, match=rf"layers of Unknown cannot be found: .*num_hidden_layers = 3 .*{told}"):
        encoder_layers(Unknown(*lengths))
    bare = Unknown()
    with pytest.raises(ValueError, match="found none"):
        encoder_layers(bare)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("share", [True, False])
def test_frozen_stem(vision, share):
    """Embeddings and the first layer get no gradient, keep no graph and apply no dropout."""
    model = tiny_model(vision=vision, share_vision_tower=share).train()
    frozen = freeze(model, stem=1)
    for module in frozen:
        module.eval()
    towers = [model.vision_model] if share else [model.vision_model, model.query_vision_model]
    outputs = []
    for tower in towers:
        found = encoder_layers(tower)
        assert frozen.count(found.layers[0]) == 1
        assert not any(module.training for module in found.layers[0].modules())
        for index, layer in enumerate(found.layers):
            layer.register_forward_hook(lambda module, inputs, output, index=index: outputs.append((index, output)))
    output = model(**tiny_inputs())
    (output.query_embeds * output.item_embeds.detach().flip(0)).sum().backward()
    (model(**tiny_inputs()).item_embeds[:, 0]).sum().backward()
    assert {(index, value.requires_grad) for index, value in outputs} == {(0, False), (1, True)}
    for tower in towers:
        for name, parameter in tower.named_parameters():
            depth = encoder_layers(tower).depth[name]
            assert parameter.requires_grad == (depth > 1), name
            if depth == 2:
                assert parameter.grad is not None, name
            assert depth > 1 or parameter.grad is None, name
    assert all(parameter.requires_grad for parameter in model.text_model.parameters())


def test_frozen_text_encoder():
    model = tiny_model()
    assert freeze(model) == []
    assert freeze(model, text=True) == [model.text_model]
    trainable = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trainable == {name.split(".")[0] for name, _ in model.named_parameters()} - {"text_model"}


def test_stem_that_exceeds_the_layers_is_an_error():
    with pytest.raises(ValueError, match="--freeze_stem 3 exceeds the 2 layers of ViTModel"):
        freeze(tiny_model(), stem=3)
