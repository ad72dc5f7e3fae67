"""Special tokens written in a record, such as `[SEP]` in a title, are text and not tokens."""

import re
import unicodedata
from functools import lru_cache
from typing import Any


def special_tokens_of(*tokenizers: Any) -> tuple[str, ...]:
    """Return the special tokens of transformers tokenizers, each once and in order."""
    names: set[str] = set()
    for tokenizer in tokenizers:
        names.update(map(str, tokenizer.all_special_tokens))
        names.update(str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    return tuple(sorted(names))


def spell_special_tokens(text: str, tokens: tuple[str, ...]) -> str:
    """Break up the special tokens in a text, so that every tokenizer reads them as text.

    Puts a space after their first character. Unlike the option `split_special_tokens`, this works for every kind of
    tokenizer, also for one that finds `</s>` among its word pieces, and leaves the tokenizer as it is. Upper and lower
    case count as the same. Special tokens of one character, such as the `!` that pads some CLIP models, are ordinary
    text too and stay. A text that spells a token in full-width or invisible characters, which tokenizers may
    normalize, is normalized to Unicode NFKC.

    Args:
        text: The text of one value of a record.
        tokens: The special tokens; see `special_tokens_of`.

    Example:
        >>> spell_special_tokens("mug [SEP] lamp", ("[PAD]", "[SEP]"))
        'mug [ SEP] lamp'
    """
    pattern = _pattern(tokens)
    if pattern is None:
        return text
    text = pattern.sub(r"\1 ", text)
    if text.isascii():
        return text
    folded = unicodedata.normalize("NFKC", text).translate(_VISIBLE)
    return pattern.sub(r"\1 ", folded) if pattern.search(folded) else text


class _Visible(dict[int, int | None]):
    """Leave out format characters and marks."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code)) in ("Cf", "Mn") else code
        return self[code]


_VISIBLE = _Visible()


@lru_cache
def _pattern(tokens: tuple[str, ...]) -> re.Pattern[str] | None:
    """Match the first character of each token in a text, also of tokens that overlap."""
    # Some tokens have a space of their own around them.
    names = [re.escape(name) for token in tokens if len(name := token.strip()) > 1]
    return re.compile(f"(?=(?:{'|'.join(names)}))(.)", re.IGNORECASE | re.DOTALL) if names else None
