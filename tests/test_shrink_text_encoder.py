"""`examples/shrink_text_encoder.py`: the small encoder is the large one, cut."""

from pathlib import Path

import pytest
import torch
from datasets import Dataset
from tiny_training import load_script
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, BertTokenizer

SCRIPT = load_script(Path(__file__).parents[1] / "examples" / "shrink_text_encoder.py")
WORDS = [
    "[PAD]",
    "[unused0]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "r",
    "##e",
    "##d",
    "mug",
    "red",
    "lamp",
    "##s",
    "teapot",
]


@pytest.fixture
def encoder(tmp_path):
    folder = tmp_path / "text"
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    BertTokenizer(vocab=vocabulary).save_pretrained(folder)
    size = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=24, **size)).save_pretrained(folder)
    return folder


@pytest.fixture
def shrink(encoder, tmp_path):
    def run(*flags: str) -> Path:
        data, output = tmp_path / "catalog.parquet", tmp_path / "small"
        Dataset.from_dict({"item_id": ["1"], "title": ["lamps"], "image": [None]}).to_parquet(data)
        SCRIPT.main(["--text", str(encoder), "--data", str(data), "--output", str(output), *flags])
        return output

    return run


def test_outputs_are_those_of_the_first_layers(encoder, shrink):
    folder = shrink("--layers", "2", "--common_tokens", "10", "--positions", "16")
    small, large = AutoModel.from_pretrained(folder).eval(), AutoModel.from_pretrained(encoder).eval()
    tokenizers = AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(encoder)
    texts = ["mug lamps", "lamp"]
    ours, theirs = (tokenizer(texts, padding=True, return_tensors="pt") for tokenizer in tokenizers)
    assert not torch.equal(ours["input_ids"], theirs["input_ids"])
    assert torch.equal(ours["attention_mask"], theirs["attention_mask"])
    with torch.no_grad():
        expected = large(**theirs, output_hidden_states=True).hidden_states[2]
        assert torch.equal(small(**ours).last_hidden_state, expected)
    assert small.config.max_position_embeddings == tokenizers[0].model_max_length == 16


def test_tokens_of_the_catalog_and_common_ones_are_kept(shrink):
    """A word that is left out falls apart into pieces."""
    tokenizer = AutoTokenizer.from_pretrained(shrink("--layers", "1", "--common_tokens", "10"))
    kept = [word for word in WORDS if word not in ("[unused0]", "red", "teapot")]
    assert tokenizer.convert_ids_to_tokens(range(len(tokenizer))) == kept
    assert tokenizer.tokenize("red mug teapot") == ["r", "##e", "##d", "mug", "[UNK]"]


def test_layers_that_are_not_there_are_named(shrink):
    with pytest.raises(ValueError, match=r"--layers must lie in \[1, 3\], got 4"):
        shrink("--layers", "4")
