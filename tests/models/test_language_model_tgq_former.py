"""Language models: read like any text, and refused if they cannot read visual tokens."""

import pytest
import torch
from tiny import run
from tiny_tgq import DUAL, LANGUAGE, tiny_tgq_config, tiny_tgq_inputs, tiny_tgq_model
from transformers import BloomConfig

from tiger_fg_hf import TGQFormerConfig, TGQFormerModel

LANGUAGES = pytest.mark.parametrize("language", LANGUAGE)


@LANGUAGES
def test_padding_may_be_on_the_left(language):
    model, inputs = tiny_tgq_model(language=language), tiny_tgq_inputs()
    left = dict(inputs)
    for row in range(3):
        length = int(inputs["attention_mask"][row].sum())
        for name in ("input_ids", "attention_mask"):
            left[name] = left[name].clone()
            left[name][row] = inputs[name][row].roll(5 - length)
    torch.testing.assert_close(run(model, left).embeds, run(model, inputs).embeds, atol=5e-5, rtol=0)


@LANGUAGES
def test_a_text_alone_is_read_as_by_the_language_model(language):
    """Positions and masks are those of the language model by itself."""
    model, inputs = tiny_tgq_model(language=language), tiny_tgq_inputs()
    texts = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        hidden = model.language_model(**texts).last_hidden_state
    output = run(model, texts).last_hidden_state
    real = texts["attention_mask"].bool()
    torch.testing.assert_close(output[real], hidden[real], atol=1e-5, rtol=0)


def test_a_language_model_without_position_ids_is_named():
    config = TGQFormerConfig(
        dual_encoder_config=DUAL["clip"](), text_config=BloomConfig(vocab_size=99, hidden_size=32)
    )
    with pytest.raises(ValueError, match="BloomModel cannot read visual tokens: its forward takes no position_ids"):
        TGQFormerModel(config)


def test_a_language_model_with_an_unknown_word_width_is_named(monkeypatch):
    monkeypatch.setattr(TGQFormerConfig, "token_width", 24)
    with pytest.raises(
        ValueError, match="BertModel cannot read visual tokens: its word embeddings are 32 wide, not 24"
    ):
        TGQFormerModel(tiny_tgq_config(language="bert"))


def test_a_model_without_language_is_named():
    config = TGQFormerConfig(dual_encoder_config=DUAL["clip"](), text_config=DUAL["clip"]())
    with pytest.raises(ValueError, match="A 'clip' is not a language model: it has no hidden_size"):
        TGQFormerModel(config)
