"""
Measures how well crops find their listings: Recall@k, MRR, nDCG, MAP with intervals, pointing, speed.

    python examples/evaluate.py --model runs/mine --items test.parquet --clutter clutter.parquet
    python examples/evaluate.py --model runs/mine --items items.parquet --queries photos.parquet
    python examples/evaluate.py --model model_cards/tiger-fg-tiny --items drawn --layout clutter

Without `--queries`, and where a listing has no `query_image`, it is synthesised from the listing,
from a fixed seed. `--vision` with `--text` in place of `--model` measures untrained heads on pretrained encoders.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from accelerate.utils import set_seed
from transformers import HfArgumentParser

from tiger_fg_hf import drawn_catalog, evaluate_retrieval, load_catalog
from tiger_fg_hf.catalog.columns import parse_columns
from tiger_fg_hf.catalog.records import CatalogRecords, has_every_query
from tiger_fg_hf.data.catalog_queries import synthesize_queries
from tiger_fg_hf.training.recipes.tiger_fg.arguments import TigerFGModelArguments
from tiger_fg_hf.training.recipes.tiger_fg.build import build_model_and_processor, build_synthesizer, query_side


@dataclass
class EvaluationArguments:
    """What is measured."""

    items: str = field(metadata={"help": "Listings: folder, file or Hub id, or 'drawn' for held-out drawings."})
    columns: str | None = field(default=None, metadata={"help": "Their columns, as 'title=name,attributes=color'."})
    queries: str | None = field(default=None, metadata={"help": "Query photos with the item_id they show."})
    query_columns: str | None = field(default=None, metadata={"help": "Their columns."})
    clutter: str | None = field(default=None, metadata={"help": "Photos that synthesised queries are set on."})
    layout: Literal["clean", "clutter", "mixed"] = field(default="mixed", metadata={"help": "Of drawn listings."})
    limit: int | None = field(default=None, metadata={"help": "Listings that are used; all by default, 500 if drawn."})
    batch_size: int = field(default=64, metadata={"help": "Images per forward pass."})
    num_workers: int = field(default=0, metadata={"help": "Processes that prepare data."})
    without_text: bool = field(default=False, metadata={"help": "Leave the text of the listings out."})
    seed: int = field(default=0, metadata={"help": "Seed of synthesised queries, heads and bootstrap."})
    output: str | None = field(default=None, metadata={"help": "JSON file for all numbers."})


def main(argv: list[str] | None = None) -> None:
    parser = HfArgumentParser((TigerFGModelArguments, EvaluationArguments))
    model_args, args = parser.parse_args_into_dataclasses(argv)
    set_seed(args.seed)

    if args.items == "drawn":
        drawn = drawn_catalog(num_products=args.limit or 500, split="test", layout=args.layout, size=160)
        catalog = load_catalog(drawn)
    else:
        catalog = load_catalog(args.items, columns=parse_columns(args.columns) if args.columns else None)
        catalog = catalog if args.limit is None else catalog.select(range(min(args.limit, len(catalog))))
    model, processor = build_model_and_processor(model_args, catalog)

    if args.queries:
        columns = parse_columns(args.query_columns) if args.query_columns else None
        queries = CatalogRecords(load_catalog(args.queries, columns=columns))
    elif has_every_query(catalog):
        queries = CatalogRecords(catalog)
    else:
        queries = synthesize_queries(
            catalog, build_synthesizer(args.clutter, size=query_side(processor)), seed=args.seed
        )
    items = CatalogRecords(catalog)
    if args.without_text:
        items = [{k: v for k, v in record.items() if k in ("item_id", "image", "box")} for record in items]

    query_model, item_model = model.eval().to("cuda" if torch.cuda.is_available() else "cpu").towers()
    result = evaluate_retrieval(
        query_model,
        item_model,
        processor,
        queries,
        items,
        batch_size=args.batch_size,
        num_workers=args.num_workers,
        show_progress=True,
        seed=args.seed,
    )
    print(result.to_markdown())
    if args.output:
        Path(args.output).parent.mkdir(parents=True, exist_ok=True)
        Path(args.output).write_text(result.to_json())


if __name__ == "__main__":
    main()
