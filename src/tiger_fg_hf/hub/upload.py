"""Upload a checkpoint to the Hub: only the files that make up a checkpoint, to a repository of stated visibility."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi

_MODELS = Path(__file__).parents[1] / "models"
_FILES = {
    *("README.md", "LICENSE", "config.json", "generation_config.json"),
    *("model.safetensors", "model.safetensors.index.json"),
    *("processor_config.json", "preprocessor_config.json", "chat_template.jinja"),
}
_TOKENIZER_FILES = {
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model"),
}
_WEIGHT_PART = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
# Folders of a processor's further tokenizers.
_TOKENIZER_FOLDERS = ("title_tokenizer",)


class FolderFiles(NamedTuple):
    """The files of a folder, as sorted paths relative to it.

    Attributes:
        published: Files of a checkpoint, which are uploaded.
        left_out: All other files, such as `.env`, optimizer states and logs.
    """

    published: list[str]
    left_out: list[str]


def list_published_files(folder: str | Path) -> FolderFiles:
    """Split the files of a folder into those of a checkpoint and all others.

    Published are the model card, the license, weights in safetensors, configurations, tokenizers and this package's
    model code, by their exact names. A link is never published, because it may lead out of the folder.

    Args:
        folder: A folder that `export_with_code` and `write_card` have written.

    Raises:
        FileNotFoundError: The folder holds no checkpoint.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"'{folder}' holds no checkpoint: it has no config.json.")
    found = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    published = [path for path in found if _is_published(path, folder)]
    left_out = [path for path in found if path not in set(published)]
    return FolderFiles(*([path.relative_to(folder).as_posix() for path in paths] for paths in (published, left_out)))


def upload_checkpoint(
    folder: str | Path, repo_id: str, *, private: bool, message: str = "Upload checkpoint"
) -> CommitInfo:
    """Upload the files of a checkpoint to a model repository, which is created if it does not exist.

    Files that do not belong to a checkpoint stay; see `list_published_files`.

    Args:
        folder: Folder of the checkpoint.
        repo_id: Repository, as in `"user/name"`.
        private: Whether the repository is private. There is no default.
        message: Message of the commit.

    Returns:
        The commit.

    Raises:
        FileNotFoundError: The folder holds no checkpoint.
        ValueError: The repository exists with the other visibility. Nothing is uploaded then.
    """
    files = list_published_files(folder).published
    api = HfApi()
    api.create_repo(repo_id, repo_type="model", private=private, exist_ok=True)
    if api.model_info(repo_id).private != private:
        wanted, actual = ("private", "public") if private else ("public", "private")
        raise ValueError(f"The repository '{repo_id}' is {actual}, but {wanted} was asked for; nothing was uploaded.")
    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=Path(folder, name)) for name in files]
    return api.create_commit(repo_id, operations, commit_message=message, repo_type="model")


def _is_published(path: Path, folder: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    parent, name = path.parent.relative_to(folder), path.name
    if parent.as_posix() in _TOKENIZER_FOLDERS:
        return name in _TOKENIZER_FILES and not path.parent.is_symlink()
    if parent != Path("."):
        return False
    is_code = path.suffix == ".py" and (_MODELS / name).is_file()
    return is_code or name in _FILES | _TOKENIZER_FILES or bool(_WEIGHT_PART.fullmatch(name))
