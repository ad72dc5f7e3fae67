"""Dual encoders: cosine of image and title, TIGER-FG as one, and those that are refused."""

import pytest
import torch
from tiny import run, tiny_model
from tiny_tgq import CLIP_LIKE, LANGUAGE, tiny_tgq_inputs, tiny_tgq_model
from transformers import BertConfig, BertModel, Siglip2Config

from tiger_fg_hf import TGQFormerConfig, TGQFormerModel


@pytest.mark.parametrize("dual", CLIP_LIKE)
def test_agreement_is_the_dual_encoders_cosine(dual):
    model, inputs = tiny_tgq_model(dual), tiny_tgq_inputs()
    with torch.no_grad():
        output = model.dual_encoder(
            input_ids=inputs["title_input_ids"],
            attention_mask=None if dual == "siglip" else inputs["title_attention_mask"],
            pixel_values=inputs["pixel_values"],
        )
    cosine = torch.nn.functional.cosine_similarity(output.image_embeds, output.text_embeds)
    torch.testing.assert_close(run(model, inputs).agreement, cosine, atol=1e-5, rtol=0)


def test_no_gradient_goes_through_the_dual_encoder():
    model = tiny_tgq_model().train()
    model.dual_encoder.text_model.enable_input_require_grads()
    model(**tiny_tgq_inputs()).embeds.sum().backward()
    assert all(parameter.grad is None for parameter in model.dual_encoder.parameters())


def test_dual_encoders_that_cannot_be_read_are_named():
    tower = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    naflex = Siglip2Config(text_config=dict(tower), vision_config={**tower, "num_patches": 16, "patch_size": 8})
    with pytest.raises(ValueError, match="a 'siglip2', which does not take pictures of any size as pixels"):
        TGQFormerModel(TGQFormerConfig(dual_encoder_config=naflex, text_config=LANGUAGE["bert"]()))


def test_a_kept_pair_gives_the_same_embeddings():
    model, inputs = tiny_tgq_model(), tiny_tgq_inputs()
    with torch.no_grad():
        pair = model.encode_pair(*list(inputs.values())[:3])
        kept = model.embed(pair, inputs["input_ids"], inputs["attention_mask"])
    torch.testing.assert_close(kept.embeds, run(model, inputs).embeds)


def test_a_tiger_fg_as_dual_encoder(tmp_path):
    """The query tower reads images, the item tower reads titles, and their cosine is the agreement."""
    tiger_fg = tiny_model("joint", "deit", share_vision_tower=False)
    tiger_fg.save_pretrained(tmp_path / "dual")
    BertModel(LANGUAGE["bert"]()).save_pretrained(tmp_path / "language")
    sizes = {"connector_hidden_size": 24, "connector_num_layers": 1, "connector_num_attention_heads": 4}
    model = TGQFormerModel.from_backbones(str(tmp_path / "dual"), str(tmp_path / "language"), **sizes)
    inputs = tiny_tgq_inputs()
    with torch.no_grad():
        pair = model.encode_pair(*list(inputs.values())[:3])
        queries = tiger_fg.get_query_features(inputs["pixel_values"])
        titles = tiger_fg.get_item_features(
            input_ids=inputs["title_input_ids"], attention_mask=inputs["title_attention_mask"]
        )
    torch.testing.assert_close(pair.image_embeds, queries)
    torch.testing.assert_close(pair.agreement, (queries * titles).sum(dim=-1))
    assert pair.agreement.unique().numel() == 3
    assert pair.image_tokens.shape == (3, 18, 32)  # class token, distillation token and 4 x 4 patches
    model.save_pretrained(tmp_path / "whole")
    loaded = TGQFormerModel.from_pretrained(tmp_path / "whole")
    assert torch.equal(run(loaded, inputs).embeds, run(model, inputs).embeds)
    tiger_fg.towers()[0].save_pretrained(tmp_path / "query")
    with pytest.raises(ValueError, match=r"holds a 'tiger_fg_query', which is not an .* joint TIGER-FG"):
        TGQFormerModel.from_backbones(str(tmp_path / "query"), str(tmp_path / "language"), **sizes)


def test_a_backbone_that_is_no_dual_encoder_is_refused(tmp_path):
    BertModel(BertConfig(**LANGUAGE["bert"]().to_diff_dict())).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a 'bert', which is not an image-text dual encoder"):
        TGQFormerModel.from_backbones(str(tmp_path), str(tmp_path))
