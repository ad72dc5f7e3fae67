import random
import unicodedata

import pytest
from processor_cases import make_siglip_tokenizer, make_tgq_former, make_tiger_fg, make_word_tokenizer

from tiger_fg_hf.models.record_text import clean_text, exceeds_length, tokenize_texts
from tiger_fg_hf.models.text_cut import MAX_CHARACTERS, cut_texts

WORDS = ["red", "mug", "lamp", "衬衫", "Cafe\u0301", "a\u0316\u0301\u0308", "x" * 30, "&amp;", "<b>", "7", "👍🏽", "-"]


def random_text(rng: random.Random) -> str:
    """Words, runs of marks and words without spaces, up to some thousand characters."""
    parts = []
    for _ in range(rng.randrange(1, 8)):
        words = rng.choices(WORDS, k=rng.choice([1, 20, 400]))
        parts.append(rng.choice(["", " ", "  "]).join(words))
        if rng.random() < 0.3:
            parts.append("".join(chr(rng.randrange(0x300, 0x370)) for _ in range(rng.choice([1, 40, 2000]))))
    return rng.choice(["", " "]).join(parts)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kind", ["words", "pieces"])
def test_cut_texts_have_the_same_tokens(kind, side, tmp_path):
    tokenizer = make_word_tokenizer() if kind == "words" else make_siglip_tokenizer(tmp_path)
    tokenizer.truncation_side = side
    rng = random.Random(0)
    cut = 0
    for _ in range(150):
        text = clean_text(random_text(rng)) or "-"
        max_length = rng.choice([2, 8, 32])
        options = {"padding": True, "truncation": True, "max_length": max_length}
        part, short = cut_texts(tokenizer, [text, "red mug"], options)
        cut += part != text
        assert (part in text, short) == (True, "red mug")
        expected = tokenizer([text], **options)["input_ids"]
        assert tokenize_texts(tokenizer, [text], options)["input_ids"] == expected, ascii(text[:200])
        whole = len(tokenizer(text)["input_ids"])
        assert exceeds_length(tokenizer, [text], max_length) == [whole > max_length]
    assert cut > 20


def test_texts_stay_whole_without_truncation():
    tokenizer = make_word_tokenizer()
    text = "red mug " * 9_000
    for options in ({}, {"truncation": False, "max_length": 4}, {"truncation": True}):
        assert cut_texts(tokenizer, [text], options) == [text]


@pytest.mark.parametrize("make", [make_tiger_fg, make_tgq_former])
@pytest.mark.parametrize("text", ["red mug lamp " * 800_000, "x" * 10_000_000, "e\u0301\u0316" * 3_000_000])
def test_titles_of_ten_megabytes_are_never_tokenized_whole(make, text, monkeypatch):
    processor = make()
    lengths = []
    tokenize = type(processor.tokenizer).__call__

    def counted(self, text, *args, **kwargs):
        lengths.append(sum(map(len, [text] if isinstance(text, str) else text)))
        return tokenize(self, text, *args, **kwargs)

    monkeypatch.setattr(type(processor.tokenizer), "__call__", counted)
    ids = processor(text=[{"title": text}])["input_ids"][0]
    assert 1 <= len(ids) <= 64
    assert max(lengths) <= MAX_CHARACTERS
    if text.startswith("red"):
        assert ids == [2, 3, 4] * 21 + [2]
        assert max(lengths) < 10_000


def test_rendered_text_is_not_cut():
    title = "Cafe\u0301 " * 100_000
    assert make_tiger_fg().render_text({"title": title}) == unicodedata.normalize("NFC", title.strip())
