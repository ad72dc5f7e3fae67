"""Learn a SentencePiece vocabulary from a catalog's own text, as a standard transformers tokenizer."""

import io
import logging
import re
from collections.abc import Iterable, Iterator
from itertools import chain

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.normalizers import NFKC, Replace, Sequence, Strip
from transformers import PreTrainedTokenizerFast

logger = logging.getLogger(__name__)

PAD_TOKEN, UNK_TOKEN, BOS_TOKEN, EOS_TOKEN = "<pad>", "<unk>", "<s>", "</s>"  # ids 0, 1, 2, 3
# Applied by the saved tokenizer and to the training text, in place of SentencePiece's own rules, under which the
# tokenizers library loses combining marks. "▁" is how SentencePiece writes a space.
_NORMALIZER = Sequence([NFKC(), Replace(Regex(r"[\s▁]+"), " "), Strip()])
# Models read far fewer characters of one text, and SentencePiece would skip longer texts altogether.
_MAX_CHARACTERS = 1_000
# Beyond this many texts SentencePiece learns from a random sample, which `seed` fixes.
_MAX_TEXTS = 2_000_000
# Where in SentencePiece's own code a check failed; what was wrong follows it.
_SOURCE_LINE = re.compile(r"^INTERNAL: src/\S+\(\d+\) \[.*\] (?=\S)")


def train_sentencepiece_tokenizer(
    texts: Iterable[str],
    *,
    vocab_size: int = 16_000,
    model_max_length: int = 64,
    character_coverage: float = 0.9995,
    seed: int = 0,
) -> PreTrainedTokenizerFast:
    """Train a SentencePiece unigram tokenizer on the text of a catalog.

    The result is a plain transformers tokenizer: it saves with `save_pretrained` and loads with
    `AutoTokenizer.from_pretrained` without this package. It normalizes text to Unicode NFKC, collapses white space,
    adds `<s>` and `</s>` around the text, and spells characters outside the vocabulary as UTF-8 bytes, so that nothing
    is lost. The same texts, arguments and SentencePiece version give the same tokenizer.

    Args:
        texts: The texts, one per product; blank texts are skipped. At most 2 million are used, drawn at random.
        vocab_size: Number of tokens, including 4 special tokens and 256 bytes. A corpus too small for it gives a
            smaller vocabulary and a warning that names both sizes.
        model_max_length: Longest input in tokens, stored with the tokenizer.
        character_coverage: Share of the characters in the texts that get tokens of their own; others become bytes.
        seed: Seed of the random draw.

    Returns:
        The tokenizer, with `pad`, `unk`, `bos` (= `cls`) and `eos` (= `sep`) tokens at ids 0 to 3.

    Raises:
        ValueError: If there is no text, a text is not a string, or `vocab_size` is smaller than the special tokens,
            bytes and characters that the vocabulary must hold.
    """
    model = train_sentencepiece_model(texts, vocab_size=vocab_size, character_coverage=character_coverage, seed=seed)
    tokenizer = tokenizer_from_sentencepiece(model, model_max_length=model_max_length)
    if len(tokenizer) < vocab_size:
        logger.warning("The texts support a vocabulary of %d tokens, not the %d asked for", len(tokenizer), vocab_size)
    return tokenizer


def train_sentencepiece_model(
    texts: Iterable[str], *, vocab_size: int, character_coverage: float = 0.9995, seed: int = 0
) -> bytes:
    """Train the SentencePiece model behind [`train_sentencepiece_tokenizer`] and return its serialized form."""
    failures: list[Exception] = []
    sentences = _keep_failure(_sentences(texts), failures)
    first = next(sentences, None)
    if first is None:
        raise ValueError("texts holds no text to train a tokenizer on")
    model = io.BytesIO()
    sentencepiece.set_random_generator_seed(seed)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=chain([first], sentences),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            normalization_rule_name="identity",
            character_coverage=character_coverage,
            byte_fallback=True,
            input_sentence_size=_MAX_TEXTS,
            shuffle_input_sentence=True,
            num_threads=1,  # sums of several threads may differ in their last bit
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
            pad_piece=PAD_TOKEN,
            unk_piece=UNK_TOKEN,
            bos_piece=BOS_TOKEN,
            eos_piece=EOS_TOKEN,
            minloglevel=2,
        )
    except RuntimeError as error:
        if failures:
            # SentencePiece turned an error of the texts into one of its own, without type and traceback.
            raise failures[0] from None
        reason = _SOURCE_LINE.sub("", str(error).partition("\n")[0])
        raise ValueError(f"cannot train a tokenizer with vocab_size={vocab_size} on these texts: {reason}") from error
    return model.getvalue()


def _keep_failure(sentences: Iterator[str], failures: list[Exception]) -> Iterator[str]:
    """Yield sentences, and add an error that reading them raises to `failures`."""
    try:
        yield from sentences
    except Exception as error:
        failures.append(error)
        raise


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    if isinstance(texts, str):
        raise ValueError("texts must be an iterable of strings, got a single string")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"texts[{index}] must be a string, got {type(text).__name__}")
        text = text[:_MAX_CHARACTERS].encode("utf-8", errors="ignore").decode()  # drops lone surrogates
        text = _NORMALIZER.normalize_str(text)
        if text:
            yield text


def tokenizer_from_sentencepiece(model: bytes, *, model_max_length: int) -> PreTrainedTokenizerFast:
    """Convert a model of [`train_sentencepiece_model`] to a transformers tokenizer.

    It gives the ids that SentencePiece gives to the normalized text, between those of `<s>` and `</s>`.

    Args:
        model: The serialized SentencePiece model.
        model_max_length: Longest input in tokens, stored with the tokenizer.
    """
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)  # type: ignore[attr-defined]  # made at run time
    vocabulary = [(piece.piece, piece.score) for piece in proto.pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=proto.trainer_spec.unk_id, byte_fallback=True))
    tokenizer.normalizer = _NORMALIZER
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", left=1)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS_TOKEN} $A {EOS_TOKEN}",
        pair=f"{BOS_TOKEN} $A {EOS_TOKEN} $B {EOS_TOKEN}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (BOS_TOKEN, EOS_TOKEN)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=model_max_length,
        padding_side="right",
        truncation_side="right",
        clean_up_tokenization_spaces=False,
        pad_token=PAD_TOKEN,
        unk_token=UNK_TOKEN,
        bos_token=BOS_TOKEN,
        cls_token=BOS_TOKEN,
        eos_token=EOS_TOKEN,
        sep_token=EOS_TOKEN,
    )
