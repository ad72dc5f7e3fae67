"""Adapters on TGQ-Former's language model: what is trained, what is saved, what merging returns."""

import copy

import pytest
import torch
from tiny_tgq import LANGUAGE, tiny_tgq_inputs, tiny_tgq_model

from tiger_fg_hf import TGQFormerModel
from tiger_fg_hf.models.configuration_tgq_former import CONNECTORS
from tiger_fg_hf.objectives.tgq_former_student import TGQFormerStudent
from tiger_fg_hf.training.lora import add_lora
from tiger_fg_hf.training.optimizer import parameter_groups

peft = pytest.importorskip("peft", reason="adapters need the extra 'lora'")


@torch.no_grad()
def embeds(model):
    return model(**tiny_tgq_inputs()).embeds


def stirred(model):
    """Move everything trainable, as training would."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize(
    ("language", "connector"), [*((t, "tgq_former") for t in LANGUAGE), *(("qwen3", c) for c in CONNECTORS[1:])]
)
def test_save_reload_and_merge(language, connector, tmp_path):
    base = tiny_tgq_model(language=language, connector=connector)
    before = embeds(base)
    adapted = add_lora(copy.deepcopy(base), rank=4, alpha=8)
    torch.testing.assert_close(embeds(adapted), before)
    expected = embeds(stirred(adapted))
    assert not torch.allclose(expected, before, atol=1e-2)

    adapted.save_pretrained(tmp_path / "adapters")
    reloaded = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path / "adapters")
    torch.testing.assert_close(embeds(reloaded), expected)

    merged = reloaded.merge_and_unload()
    assert type(merged) is TGQFormerModel
    assert merged.state_dict().keys() == base.state_dict().keys()
    torch.testing.assert_close(embeds(merged), expected, atol=1e-5, rtol=0)
    merged.save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(
        embeds(TGQFormerModel.from_pretrained(tmp_path / "merged")), expected, atol=1e-5, rtol=0
    )


def test_what_learns():
    adapted = add_lora(tiny_tgq_model(), rank=4)
    learning = {name.removeprefix("base_model.model.") for name, p in adapted.named_parameters() if p.requires_grad}
    assert all(name.startswith(("connector.", "temperature.")) or ".lora_" in name for name in learning)
    blocks = {name.split(".lora_")[0] for name in learning if ".lora_" in name}
    kinds = {name.rpartition(".")[2] for name in blocks}
    assert kinds == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert len(blocks) == 2 * len(kinds)
    assert not any("dual_encoder" in name for name in learning)


def test_adapters_learn_at_the_backbones_rate():
    student = TGQFormerStudent(add_lora(tiny_tgq_model(), rank=4))
    names = {id(parameter): name for name, parameter in student.named_parameters()}
    for group in parameter_groups(student, backbone_lr=1e-4, head_lr=1e-3, weight_decay=0.1):
        for parameter in group["params"]:
            assert (group["lr"] == 1e-4) == (".lora_" in names[id(parameter)]), names[id(parameter)]


def test_bad_rank():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        add_lora(tiny_tgq_model(), rank=0)
