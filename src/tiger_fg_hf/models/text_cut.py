"""Cut long texts before they are tokenized."""

from collections.abc import Mapping, Sequence
from typing import Any

MAX_CHARACTERS = 200_000
"""Most characters of a text that are ever tokenized."""

# Ordinary texts have 4 characters per token and are never cut here.
_CHARACTERS_PER_TOKEN = 64
# Tokens near the cut may differ from those of the whole text, so it has to be far from the last token that is kept.
_MARGIN = 2


def cut_texts(tokenizer: Any, texts: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """Cut each text to a part that still has all the tokens that truncation keeps.

    A tokenizer reads the whole text before it truncates, which takes seconds and gigabytes for texts of megabytes.

    Args:
        tokenizer: Any transformers tokenizer.
        texts: The texts.
        options: Arguments of the tokenizer's call. Without `truncation` and `max_length`, texts stay whole.

    Returns:
        The texts. Those that fill `max_length` tokens with their first 64 characters per token, or four times as many,
        and so on, are cut there, at white space if possible; of any text, at most `MAX_CHARACTERS` are kept. If the
        tokenizer truncates on the left, the end of the text is kept instead.
    """
    max_length = options.get("max_length")
    if not options.get("truncation") or max_length is None:
        return list(texts)
    return [_cut(tokenizer, text, max_length) for text in texts]


def _cut(tokenizer: Any, text: str, max_length: int) -> str:
    from_left = tokenizer.truncation_side == "left"
    length = max_length * _CHARACTERS_PER_TOKEN
    while length < min(len(text), MAX_CHARACTERS):
        part = _end(text, length) if from_left else _start(text, length)
        tokens = tokenizer(part, add_special_tokens=False, truncation=False, padding=False, verbose=False)
        if len(tokens["input_ids"]) >= _MARGIN * max_length:
            return part
        length *= 4
    if len(text) <= MAX_CHARACTERS:
        return text
    return _end(text, MAX_CHARACTERS) if from_left else _start(text, MAX_CHARACTERS)


def _start(text: str, length: int) -> str:
    space = text.rfind(" ", length // 2, length)
    return text[: length if space < 0 else space]


def _end(text: str, length: int) -> str:
    space = text.find(" ", len(text) - length, len(text) - length // 2)
    return text[len(text) - length :] if space < 0 else text[space + 1 :]
