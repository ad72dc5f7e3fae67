import random
import sys
import time
import unicodedata

import pytest

from tiger_fg_hf.models.record_text import clean_text
from tiger_fg_hf.models.unicode_text import _RUN, normalize_nfc

MARKS = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.combining(c)]
# Characters that decompose into marks alone, and letters that compose with marks, Hangul and symbols among them.
OTHERS = ["\u0f73", "\u0f75", "\u0f81", *"aeoéÅạǖ가각각衬й", "Å", "①", "★", "—", "!", " ", "\n", "\u0958", "\ufb1f"]


def test_random_texts_are_normalized_as_by_python():
    rng = random.Random(0)
    for _ in range(500):
        text = "".join(
            "".join(rng.choices(MARKS if rng.random() < 0.6 else OTHERS, k=rng.choice([1, 3, 40, 200])))
            for _ in range(rng.randrange(6))
        )
        assert normalize_nfc(text) == unicodedata.normalize("NFC", text), ascii(text)


def test_every_mark_can_be_in_a_run():
    """Only these can follow a letter in any number before the next letter."""
    for character in map(chr, range(0x80, sys.maxunicode + 1)):
        if unicodedata.combining(unicodedata.normalize("NFD", character)[0]):
            assert _RUN.fullmatch(character * 32), ascii(character)


@pytest.mark.parametrize("marks", ["random", "\u0f73", "\u0316\u0301", "\u0308", "\u0301"])
def test_many_marks_take_linear_time(marks):
    text = "a" + ("".join(random.Random(0).choices(MARKS, k=200_000)) if marks == "random" else marks * 100_000)
    started = time.process_time()
    clean_text(text)
    assert time.process_time() - started < 3
