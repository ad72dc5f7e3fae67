r"""Mine hard negatives with a trained model: for each row, other rows that its query is easily mistaken for.

    python examples/mine_negatives.py --model runs/abo --data abo/train.parquet --clutter clutter.parquet \
        --output runs/negatives.npy
    accelerate launch examples/train.py ... --hard_negatives runs/negatives.npy

The file holds `[rows, negatives]` row numbers, hardest first, padded with -1. Rows of the same product are never
negatives, nor are rows that score about as high as the query's own item: they may be the product under another id.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from transformers import HfArgumentParser

from tiger_fg_hf import TigerFGItemModel, TigerFGProcessor, TigerFGQueryModel, encode_items, encode_queries
from tiger_fg_hf.catalog.records import CatalogRecords, has_every_query
from tiger_fg_hf.data.catalog_queries import synthesize_queries
from tiger_fg_hf.data.text_table import TextTable
from tiger_fg_hf.training.mining import mine_hard_negatives
from tiger_fg_hf.training.recipes.catalogs import read_catalog
from tiger_fg_hf.training.recipes.tiger_fg.build import build_synthesizer, query_side


@dataclass
class MiningArguments:
    """What to mine, and from where."""

    model: str = field(metadata={"help": "TIGER-FG checkpoint."})
    data: str = field(metadata={"help": "Training catalog."})
    output: str = field(metadata={"help": "File to write, .npy."})
    split: str | None = field(default=None, metadata={"help": "Split of the catalog, if it has several."})
    columns: str | None = field(
        default=None, metadata={"help": "Columns of --data, as 'title=name,attributes=color'."}
    )
    items: str | None = field(
        default=None,
        metadata={"help": "Catalog with the listings, if --data holds only query photos, as in training."},
    )
    item_columns: str | None = field(default=None, metadata={"help": "Columns of --items, as in --columns."})
    clutter: str | None = field(default=None, metadata={"help": "Background photos of synthesized queries."})
    negatives: int = field(default=8, metadata={"help": "Negatives per row."})
    top_k: int = field(default=50, metadata={"help": "Number of best items to draw negatives from."})
    relative_margin: float = field(
        default=0.05, metadata={"help": "Negatives score at least this share below the query's own item."}
    )
    batch_size: int = field(default=64, metadata={"help": "Images per forward pass."})
    num_workers: int = field(default=0, metadata={"help": "Processes that prepare batches."})
    seed: int = field(default=0, metadata={"help": "Seed of synthesized queries and of the draw."})

    def __post_init__(self):
        # Fail before the slow encoding.
        if Path(self.output).suffix != ".npy":
            raise ValueError(f"--output: expected a file ending in .npy, found {self.output!r}.")
        if not 1 <= self.negatives <= self.top_k:
            raise ValueError(f"--negatives must lie in [1, top_k = {self.top_k}], got {self.negatives}.")


def main(argv: list[str] | None = None) -> None:
    """Encode the catalog, mine negatives and write them."""
    (args,) = HfArgumentParser(MiningArguments).parse_args_into_dataclasses(argv)
    Path(args.output).parent.mkdir(parents=True, exist_ok=True)
    processor = TigerFGProcessor.from_pretrained(args.model)
    columns, item_columns = args.columns, args.item_columns
    if args.items is None:
        columns = columns or processor.columns
    else:
        item_columns = item_columns or processor.columns
    catalog = read_catalog(args.data, split=args.split, columns=columns, items=args.items, item_columns=item_columns)
    items = CatalogRecords(catalog)
    queries = items
    if not has_every_query(catalog):
        synthesizer = build_synthesizer(args.clutter, size=query_side(processor))
        queries = synthesize_queries(catalog, synthesizer, seed=args.seed)
    options = {
        "batch_size": args.batch_size,
        "num_workers": args.num_workers,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "show_progress": True,
    }
    photos = [query["query_image"] for query in queries]
    query_embeds = encode_queries(TigerFGQueryModel.from_pretrained(args.model), processor, photos, **options)
    item_embeds = encode_items(TigerFGItemModel.from_pretrained(args.model), processor, items, **options)
    item_ids = torch.from_numpy(TextTable(catalog).items)
    negatives = mine_hard_negatives(
        query_embeds,
        item_embeds,
        item_ids,
        item_ids,
        num_negatives=args.negatives,
        top_k=args.top_k,
        relative_margin=args.relative_margin,
        seed=args.seed,
    )
    np.save(args.output, negatives.numpy())
    print(f"{args.output}: {(negatives >= 0).sum(1).float().mean():.1f} negatives a row, for {len(negatives)} rows")


if __name__ == "__main__":
    main()
