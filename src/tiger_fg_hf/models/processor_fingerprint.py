"""The identity of a processor: a hash of everything that determines its outputs, and of nothing else."""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase, ProcessorMixin

# How an object was saved or loaded, not what it computes.
_PROVENANCE = {
    "_name_or_path",
    "_processor_class",
    "auto_map",
    "feature_extractor_type",
    "image_processor_type",
    "is_local",
    "local_files_only",
    "name_or_path",
    "processor_class",
    "tokenizer_class",
    "transformers_version",
}
_TOKENIZER_OPTIONS = (
    "model_input_names",
    "model_max_length",
    "pad_token_id",
    "pad_token_type_id",
    "padding_side",
    "special_tokens_map",
    "split_special_tokens",
    "truncation_side",
)


def processor_fingerprint(processor: Any) -> str:
    """Hash what a processor computes: its options, templates, image options, vocabularies and normalizers.

    Two processors with equal fingerprints give equal outputs for equal inputs. State left by earlier
    calls (tokenizers keep the truncation and padding of the last one), the path, and the code saved with the processor
    do not count, so the fingerprint stays the same after use and after saving and loading.

    Args:
        processor: A transformers processor, such as a [`TigerFGProcessor`], or any other object with
            `save_pretrained`, whose saved files are hashed.

    Returns:
        64 hexadecimal digits.
    """
    name = type(processor).__name__
    if not isinstance(processor, ProcessorMixin):
        return _digest([name, _saved_files(processor.save_pretrained)])
    parts = {attribute: _part(getattr(processor, attribute)) for attribute in processor.get_attributes()}
    options = {key: value for key, value in processor.to_dict().items() if key not in parts}
    return _digest([name, _without_provenance(options), parts])


def _part(part: Any) -> Any:
    name = type(part).__name__
    if not isinstance(part, PreTrainedTokenizerBase):
        return [name, _without_provenance(part.to_dict())]
    options = {option: getattr(part, option, None) for option in _TOKENIZER_OPTIONS}
    if part.is_fast:  # the backend holds the rest; the class may have another name after loading
        backend = json.loads(part.backend_tokenizer.to_str())
        return [options, {key: value for key, value in backend.items() if key not in ("truncation", "padding")}]
    settings = {key: value for key, value in _saved_settings(part).items() if key not in options}
    return [name, options, settings, part.get_vocab(), _saved_files(part.save_vocabulary)]


def _saved_settings(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return what `tokenizer_config.json` would hold, without provenance."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return _without_provenance(json.loads((Path(folder) / "tokenizer_config.json").read_text(encoding="utf-8")))


def _saved_files(save: Any) -> dict[str, str]:
    """Return the hash of each file that `save(folder)` writes."""
    with tempfile.TemporaryDirectory() as folder:
        save(folder)
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in Path(folder).rglob("*")
            if path.is_file()
        }


def _without_provenance(settings: Any) -> Any:
    if not isinstance(settings, dict):
        return settings
    # None means that an option is absent; loading adds some such options.
    kept = {key: value for key, value in settings.items() if value is not None and key not in _PROVENANCE}
    return {key: _without_provenance(value) for key, value in kept.items()}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
