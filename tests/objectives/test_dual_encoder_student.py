"""The dual-encoder student."""

import pytest
import torch
from tiny_tgq import CLIP_LIKE, DUAL, tiny_pair_batch
from transformers import AutoModel

from tiger_fg_hf.objectives.dual_encoder_student import DualEncoderStudent
from tiger_fg_hf.objectives.tgq_former import TGQFormerLossWeights, TGQFormerTask


@pytest.mark.parametrize("dual", CLIP_LIKE)
def test_loss_is_that_of_the_dual_encoder_itself(dual):
    """transformers' own contrastive loss, except for SigLIP, which has another."""
    torch.manual_seed(0)
    model, batch = AutoModel.from_config(DUAL[dual]()).eval(), tiny_pair_batch()
    task = TGQFormerTask(DualEncoderStudent(model), TGQFormerLossWeights(rr=0.0))
    inputs = {
        "pixel_values": batch["first_pixel_values"],
        "input_ids": batch["first_title_input_ids"],
        "attention_mask": None if dual == "siglip" else batch["first_title_attention_mask"],
    }
    with torch.no_grad():
        output = model(**inputs, return_loss=dual != "siglip")
        losses = task(batch)
        representations = task.represent(batch)
    torch.testing.assert_close(representations["first_embeds"], output.image_embeds)
    torch.testing.assert_close(representations["second_embeds"], output.text_embeds)
    if dual != "siglip":
        torch.testing.assert_close(losses["loss"], output.loss, atol=1e-4, rtol=1e-4)


def test_temperature_learns():
    model, batch = AutoModel.from_config(DUAL["clip"]()), tiny_pair_batch()
    TGQFormerTask(DualEncoderStudent(model), TGQFormerLossWeights(rr=0.0))(batch)["loss"].backward()
    assert model.logit_scale.grad.abs() > 0
