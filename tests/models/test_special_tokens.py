"""Special tokens in titles are text for both processors and every kind of tokenizer."""

import pytest
from processor_cases import make_siglip_tokenizer, make_tgq_former, make_tiger_fg, make_word_tokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tiger_fg_hf.models.special_tokens import special_tokens_of, spell_special_tokens


def word_tokenizer() -> PreTrainedTokenizerFast:
    return make_word_tokenizer("red mug", sep_token="[SEP]", eos_token="<|endoftext|>")


def bert_tokenizer() -> PreTrainedTokenizerFast:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "<|endoftext|>", "red", "mug", "sep", "[", "]", "<", "|", "/", ">"]
    tokenizer = Tokenizer(models.WordPiece({word: id for id, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", **names)


def unigram_tokenizer() -> PreTrainedTokenizerFast:
    """Finds its special tokens in its vocabulary, even if none is split off, and after normalization."""
    special = [("<pad>", 0.0), ("<unk>", 0.0), ("[SEP]", 0.0), ("<|endoftext|>", 0.0)]
    tokenizer = Tokenizer(models.Unigram([*special, *((char, -3.0) for char in "▁redmug[]<|>SEP/noftx")], unk_id=1))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "sep_token": "[SEP]", "eos_token": "<|endoftext|>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


SPECIAL = ["[SEP]", "<|endoftext|>", "<pad>", "[CLS]", "[PAD]", "[[SEP]SEP]", "［ＳＥＰ］", "[S\u200bEP]", "[sep]"]
TOKENIZERS = {"word": word_tokenizer, "bert": bert_tokenizer, "unigram": unigram_tokenizer}


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("make", [make_tiger_fg, make_tgq_former])
def test_special_tokens_in_titles_are_text(name, special, make):
    tokenizer = TOKENIZERS[name]()
    processor = make(tokenizer) if make is make_tiger_fg else make(tokenizer, TOKENIZERS[name]())
    # The instruction and the tokenizer's own frame hold special tokens; the record adds none.
    plain = processor(text=[{"title": "red mug"}])
    inputs = processor(text=[{"title": f"red {special} mug"}])
    ids = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    for key in [key for key in inputs if key.endswith("input_ids")]:
        expected = sorted(id for id in plain[key][0] if id in ids)
        assert sorted(id for id in inputs[key][0] if id in ids) == expected, (key, inputs[key])
        assert len(inputs[key][0]) > len(plain[key][0])


def test_special_tokens_of_a_python_tokenizer_are_text(tmp_path):
    tokenizer = make_siglip_tokenizer(tmp_path)
    (ids,) = make_tiger_fg(tokenizer)(text=["red </s> mug"])["input_ids"]
    assert ids.count(tokenizer.eos_token_id) == 1


def test_special_tokens_of_the_instruction_and_the_template_stay():
    tokenizer = word_tokenizer()
    processor = make_tgq_former(
        tokenizer, word_tokenizer(), instruction="<|endoftext|> ", text_template=["{title} [SEP]"]
    )
    (ids,) = processor(text=[{"title": "red [SEP] <|endoftext|>"}])["input_ids"]
    assert (ids.count(tokenizer.eos_token_id), ids.count(tokenizer.sep_token_id)) == (1, 1)


def test_other_texts_stay_as_they_are():
    texts = ["red mug", "a < b", "Café ＡＢＣ", "SEP", "", "a [ b ] c", "हिन्दी"]
    for make in TOKENIZERS.values():
        tokens = special_tokens_of(make())
        assert [spell_special_tokens(text, tokens) for text in texts] == texts


def test_special_tokens_of_one_character_are_ordinary_text():
    """Some CLIP tokenizers pad with an exclamation mark."""
    tokens = special_tokens_of(make_word_tokenizer("red !", eos_token="!"))
    assert "!" in tokens
    assert spell_special_tokens("red!", tokens) == "red!"


def test_every_token_is_broken_up_in_one_pass():
    assert spell_special_tokens("abc ABC", ("ab", "bc")) == "a b c A B C"
