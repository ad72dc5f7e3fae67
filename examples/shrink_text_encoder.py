"""Make a small text encoder from a BERT-like one: its first layers, and the words that a catalog uses.

    python examples/shrink_text_encoder.py --text sentence-transformers/all-MiniLM-L6-v2 --data abo/train.parquet \
        --columns attributes=color+keywords --layers 4 --common_tokens 10000 --output runs/text-small

Keeps every token of the catalog's texts and the first `--common_tokens` of the vocabulary, which BERT sorts by
frequency. Words that are left out fall apart into pieces that are kept. Train TIGER-FG with `--text runs/text-small`.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer, HfArgumentParser

from tiger_fg_hf.training.recipes.catalogs import catalog_texts, read_catalog


@dataclass
class ShrinkArguments:
    """What to keep of which text encoder."""

    text: str = field(metadata={"help": "Text encoder with WordPiece tokens, such as BERT or MiniLM."})
    output: str = field(metadata={"help": "Folder to write."})
    data: str = field(metadata={"help": "Catalog whose tokens are kept."})
    split: str | None = field(default=None, metadata={"help": "Split of the catalog, if it has several."})
    columns: str | None = field(default=None, metadata={"help": "Columns of --data, as in training."})
    layers: int = field(default=4, metadata={"help": "Number of layers to keep, from the first."})
    common_tokens: int = field(default=10_000, metadata={"help": "Tokens kept whether the catalog uses them or not."})
    positions: int = field(default=128, metadata={"help": "Longest text in tokens."})


def main(argv: list[str] | None = None) -> None:
    """Write the small encoder with its tokenizer."""
    (args,) = HfArgumentParser(ShrinkArguments, description=__doc__).parse_args_into_dataclasses(argv)
    tokenizer = AutoTokenizer.from_pretrained(args.text)
    model = AutoModel.from_pretrained(args.text, add_pooling_layer=False)
    if not 1 <= args.layers <= len(model.encoder.layer):
        raise ValueError(f"--layers must lie in [1, {len(model.encoder.layer)}], got {args.layers}.")
    kept = kept_tokens(tokenizer, catalog_texts(read_catalog(args.data, split=args.split, columns=args.columns)), args)

    embeddings = model.embeddings
    for name, rows in (
        ("word_embeddings", torch.tensor(kept)),
        ("position_embeddings", torch.arange(min(args.positions, model.config.max_position_embeddings))),
    ):
        weights = getattr(embeddings, name).weight[rows].detach()
        small = torch.nn.Embedding(*weights.shape, padding_idx=getattr(embeddings, name).padding_idx)
        small.weight.data.copy_(weights)
        setattr(embeddings, name, small)
    model.encoder.layer = model.encoder.layer[: args.layers]
    model.config.update(
        {
            "vocab_size": len(kept),
            "num_hidden_layers": args.layers,
            "max_position_embeddings": embeddings.position_embeddings.num_embeddings,
        }
    )
    model.save_pretrained(args.output)
    shrink_tokenizer(tokenizer, kept, args.positions).save_pretrained(args.output)
    # Load what was written: positions and token types are buffers of the old size in the old model.
    small = AutoModel.from_pretrained(args.output, add_pooling_layer=False)
    print(f"{args.output}: {len(kept)} tokens, {args.layers} layers, {small.num_parameters() / 1e6:.1f} M weights")


def kept_tokens(tokenizer: Any, texts: list[str], args: ShrinkArguments) -> list[int]:
    """Return the old ids of the tokens to keep, in their old order, which starts with the special tokens."""
    vocabulary = tokenizer.get_vocab()
    single = {index for token, index in vocabulary.items() if len(token.removeprefix("##")) == 1}
    used = {index for text in texts for index in tokenizer(text, add_special_tokens=False)["input_ids"]}
    special = set(tokenizer.all_special_ids)
    common = {index for index in range(args.common_tokens) if not is_unused(tokenizer.convert_ids_to_tokens(index))}
    return sorted((single | used | special | common) & set(vocabulary.values()))


def is_unused(token: str) -> bool:
    """Return whether a token is one of BERT's reserved places."""
    return token.startswith("[unused")


def shrink_tokenizer(tokenizer: Any, kept: list[int], positions: int) -> Any:
    """Return the tokenizer with the kept tokens, numbered anew."""
    tokens = tokenizer.convert_ids_to_tokens(kept)
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        path = Path(folder, "tokenizer.json")
        data = json.loads(path.read_text())
        number = {token: index for index, token in enumerate(tokens)}
        data["model"]["vocab"] = number
        for added in data["added_tokens"]:
            added["id"] = number[added["content"]]
        for token in (data["post_processor"] or {}).get("special_tokens", {}).values():
            token["ids"] = [number[name] for name in token["tokens"]]
        data["truncation"] = data["padding"] = None
        path.write_text(json.dumps(data))
        return AutoTokenizer.from_pretrained(folder, model_max_length=positions)


if __name__ == "__main__":
    main()
