"""Backbones: pretrained ones, those taken from image-text models, and those that are refused."""

import pytest
import torch
from tiny import TEXT, VISION, assert_same, run, tiny_inputs, tiny_model
from transformers import (
    AutoModel,
    BertModel,
    CLIPConfig,
    CLIPModel,
    ConvNextConfig,
    ResNetConfig,
    Siglip2Config,
    Siglip2Model,
    SiglipConfig,
    SiglipModel,
    SwinConfig,
    ViTModel,
)

from tiger_fg_hf import TigerFGConfig, TigerFGItemModel, TigerFGModel, TigerFGQueryConfig
from tiger_fg_hf.models.encoders_tiger_fg import encode_image

TEXTS = pytest.mark.parametrize("text", list(TEXT))

CLIP_LIKE = pytest.mark.parametrize("family", ["clip", "siglip", "siglip2"])


@TEXTS
def test_text_families_ignore_padding(text):
    model, inputs = tiny_model("item", text=text), tiny_inputs("item")
    batch = run(model, inputs)
    for row in range(3):
        length = int(inputs["attention_mask"][row].sum())
        alone = run(
            model,
            {
                "pixel_values": inputs["pixel_values"][row : row + 1],
                "input_ids": inputs["input_ids"][row : row + 1, :length],
                "attention_mask": inputs["attention_mask"][row : row + 1, :length],
            },
        )
        torch.testing.assert_close(alone.embeds[0], batch.embeds[row], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.grounding[0], batch.grounding[row], atol=1e-5, rtol=0)


@TEXTS
def test_text_families_save_and_load(text, tmp_path):
    model = tiny_model("item", text=text)
    model.save_pretrained(tmp_path)
    loaded = TigerFGItemModel.from_pretrained(tmp_path)
    assert_same(run(model, tiny_inputs("item")), run(loaded, tiny_inputs("item")), atol=1e-6)


def test_a_misspelt_field_is_refused():
    with pytest.raises(TypeError, match="TigerFGConfig has no field num_slotz"):
        TigerFGModel.from_backbones("vision", "text", num_slotz=3)


def test_dinov3_base_query_backbone_has_the_papers_parameter_count():
    with torch.device("meta"):
        model = TigerFGModel(TigerFGConfig())
    assert sum(p.numel() for p in model.vision_model.parameters()) == 85_660_416
    assert model.config.projection_dim == 256


@CLIP_LIKE
def test_backbones_taken_out_of_image_text_models(family, tmp_path):
    """`from_backbones` takes both encoders out of CLIP and SigLIP checkpoints."""
    vision, text = VISION[family](), TEXT["siglip" if family == "siglip2" else family]()
    config_class, model_class = {
        "clip": (CLIPConfig, CLIPModel),
        "siglip": (SiglipConfig, SiglipModel),
        "siglip2": (Siglip2Config, Siglip2Model),
    }[family]
    image_text_model = model_class(config_class(vision_config=vision.to_dict(), text_config=text.to_dict())).eval()
    image_text_model.save_pretrained(tmp_path)
    model = TigerFGModel.from_backbones(str(tmp_path), str(tmp_path), projection_dim=16, num_slots=3)
    assert not model.training
    assert model.config.vision_config._name_or_path == ""
    for half in ("vision_model", "text_model"):
        taken, source = getattr(model, half).state_dict(), getattr(image_text_model, half).state_dict()
        assert taken.keys() == source.keys()
        for name, value in source.items():
            torch.testing.assert_close(taken[name], value)
    assert torch.isfinite(run(model, tiny_inputs()).logits_per_query).all()


@pytest.mark.parametrize("share", [True, False])
def test_from_backbones(share, tmp_path):
    torch.manual_seed(0)
    vision, text = ViTModel(VISION["vit"](), add_pooling_layer=True), BertModel(TEXT["bert"]())
    vision.half().save_pretrained(tmp_path / "vision")
    text.save_pretrained(tmp_path / "text")
    model = TigerFGModel.from_backbones(
        str(tmp_path / "vision"), str(tmp_path / "text"), projection_dim=16, share_vision_tower=share
    )
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not any("pooler" in name for name, _ in model.named_parameters())
    inputs = tiny_inputs()
    inputs["query_pixel_values"] = inputs["pixel_values"]
    output = run(model, inputs)
    # Queries and items start in the same space, with a shared tower and without.
    assert ((output.query_embeds * output.item_embeds).sum(-1) > 0.9).all()
    if not share:
        assert model.query_vision_model is not model.vision_model


HIERARCHICAL = {
    "resnet": lambda: ResNetConfig(hidden_sizes=[8, 16], depths=[1, 1], embedding_size=8),
    "convnext": lambda: ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2),
    "swin": lambda: SwinConfig(image_size=32, embed_dim=8, depths=[1, 1], num_heads=[2, 2]),
}


@pytest.mark.parametrize("config_class", [TigerFGConfig, TigerFGQueryConfig])
@pytest.mark.parametrize("name", list(HIERARCHICAL))
def test_vision_encoders_without_a_patch_grid_are_named(name, config_class):
    with pytest.raises(ValueError, match=f"type '{name}' does not keep one token per patch"):
        config_class(vision_config=HIERARCHICAL[name]())


@pytest.mark.parametrize("name", list(HIERARCHICAL))
def test_backbones_without_a_patch_grid_are_named(name, tmp_path):
    encoder = AutoModel.from_config(HIERARCHICAL[name]())
    encoder.save_pretrained(tmp_path / "vision")
    BertModel(TEXT["bert"]()).save_pretrained(tmp_path / "text")
    with pytest.raises(ValueError, match=f"type '{name}' does not keep one token per patch"):
        TigerFGModel.from_backbones(str(tmp_path / "vision"), str(tmp_path / "text"))
    with pytest.raises(ValueError, match=f"type '{name}' does not keep one token per patch"):
        encode_image(encoder, torch.zeros(1, 3, 32, 32))
