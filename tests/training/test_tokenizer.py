import random
import subprocess
import sys
import unicodedata

import pytest
import sentencepiece
from transformers import AutoTokenizer

from tiger_fg_hf import train_sentencepiece_tokenizer
from tiger_fg_hf.training.recipes.catalogs import catalog_texts
from tiger_fg_hf.training.tokenizer import tokenizer_from_sentencepiece, train_sentencepiece_model

WORDS = ["linen", "cotton", "shirt", "dress", "running", "shoe", "red", "café", "Größe", "42", "color:", "|", "衬衫"]
SAMPLES = [
    "red linen shirt",
    "  Red \t SHIRT\n",
    "café cafe\u0301 ﬁne ½ ＦＵＬＬ ﬁ\u0302x \u1ea5\u0323",
    "日本語 👍🏽 👩‍👩‍👧 नमस्ते مرحبا שָׁלוֹם 각 ก็กิ้",
    "zero\u200bwidth\u200d nb\u00a0sp\u3000ace",
    "▁under ▁ __ {braces} <b>&amp;</b>",
    "x" * 300,
    "",
    "   ",
]


def catalog(count=1000):
    generator = random.Random(0)
    words = WORDS + ["".join(generator.choices("aeioulnrst", k=generator.randint(3, 8))) for _ in range(200)]
    return [" ".join(generator.choices(words, k=generator.randint(2, 8))) for _ in range(count)]


@pytest.fixture(scope="module")
def tokenizer():
    return train_sentencepiece_tokenizer(catalog(), vocab_size=400, model_max_length=32)


def test_ids_equal_those_of_sentencepiece():
    model = train_sentencepiece_model(catalog(), vocab_size=400)
    reference = sentencepiece.SentencePieceProcessor(model_proto=model)
    tokenizer = tokenizer_from_sentencepiece(model, model_max_length=32)
    generator = random.Random(1)
    blocks = [
        range(0x20, 0x7F),
        range(0xA1, 0x250),
        range(0x300, 0x350),
        range(0x4E00, 0x4E40),
        range(0x1F600, 0x1F640),
    ]
    characters = [chr(code) for block in blocks for code in block]
    noise = ["".join(generator.choices(characters, k=15)) for _ in range(300)]
    for text in SAMPLES + catalog()[:200] + noise:
        normalized = " ".join(unicodedata.normalize("NFKC", text).replace("▁", " ").split())
        assert tokenizer(text, add_special_tokens=False).input_ids == reference.encode(normalized), repr(text)
    assert len(tokenizer) == reference.vocab_size()


def test_special_tokens(tokenizer):
    names = ("pad", "unk", "bos", "eos", "cls", "sep")
    assert [getattr(tokenizer, f"{name}_token_id") for name in names] == [0, 1, 2, 3, 2, 3]
    ids = tokenizer("red shirt").input_ids
    assert (ids[0], ids[-1]) == (2, 3)
    padded = tokenizer(["red shirt", "shirt"], padding=True)
    assert padded.input_ids[1][-1] == 0
    assert padded.attention_mask[1][-1] == 0
    assert len(tokenizer("x" * 200, truncation=True).input_ids) == 32


def test_no_text_is_lost(tokenizer):
    for text in ("日本語 👍🏽 नमस्ते", "red shirt, 42 | {x}"):
        ids = tokenizer(text).input_ids
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_training_is_deterministic(tokenizer):
    again = train_sentencepiece_tokenizer(iter(catalog()), vocab_size=400, model_max_length=32)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_loads_without_the_package(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(SAMPLES).input_ids == tokenizer(SAMPLES).input_ids
    assert loaded.model_max_length == 32
    script = """
import sys
sys.modules["tiger_fg_hf"] = sys.modules["sentencepiece"] = None
from transformers import AutoTokenizer
print(*AutoTokenizer.from_pretrained(sys.argv[1])("red linen shirt").input_ids)
"""
    output = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    assert [int(token) for token in output.split()] == tokenizer("red linen shirt").input_ids


def test_small_corpus_lowers_the_vocabulary_with_a_warning(caplog):
    tokenizer = train_sentencepiece_tokenizer(["red shirt", "blue shirt"], vocab_size=5000)
    assert 260 < len(tokenizer) < 5000
    assert f"{len(tokenizer)} tokens, not the 5000 asked for" in caplog.text


def test_blank_long_and_unencodable_texts_are_no_obstacle():
    texts = ["", "  \n", "shirt " * 10_000, "lone \ud800 surrogate", "nul \x00 shirt"]
    assert len(train_sentencepiece_tokenizer(texts, vocab_size=300)) > 260


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "no text"),
        (["", " "], "no text"),
        ("one string", "single string"),
        ([None, "a"], r"texts\[0\] must be a string, got NoneType"),
        (["a", 3], r"texts\[1\] must be a string, got int"),
    ],
)
def test_unusable_texts(texts, message):
    with pytest.raises(ValueError, match=message):
        train_sentencepiece_tokenizer(texts, vocab_size=300)


def test_vocabulary_too_small_for_the_characters():
    with pytest.raises(ValueError, match=r"vocab_size=100 .* 100 vs "):
        train_sentencepiece_tokenizer(catalog(100), vocab_size=100)


@pytest.mark.parametrize("position", [0, 1, 50])
def test_an_error_of_the_texts_stays_what_it_is(position):
    """SentencePiece reads the texts, and made every error in them its own: `INTERNAL`, without the type."""

    def texts():
        yield from ["red shirt"] * position
        raise OSError(f"row {position}: the file is gone")

    with pytest.raises(OSError, match=rf"^row {position}: the file is gone$"):
        train_sentencepiece_tokenizer(texts(), vocab_size=300)


def test_errors_of_sentencepiece_say_what_is_wrong_first():
    with pytest.raises(ValueError, match=r"on these texts: Vocabulary size is smaller than required_chars"):
        train_sentencepiece_tokenizer(catalog(100), vocab_size=100)


def test_unusable_row_is_named():
    rows = [{"item_id": "a", "title": "red shirt"}, {"item_id": "b", "title": "x", "attributes": "{broken"}]
    with pytest.raises(ValueError, match=r"^row 1 of the catalog cannot be read .* item 'b': attributes is not valid"):
        train_sentencepiece_tokenizer(catalog_texts(rows), vocab_size=300)
