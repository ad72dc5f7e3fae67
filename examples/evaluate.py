"""Evaluate a TIGER-FG checkpoint: Recall@k, MRR, nDCG and MAP with intervals, pointing accuracy, speed.

    python examples/evaluate.py --model runs/mine --items test.parquet --clutter clutter.parquet
    python examples/evaluate.py --model runs/mine --items items.parquet --queries photos.parquet
    python examples/evaluate.py --model model_cards/tiger-fg-tiny --items drawn --layout clutter

Without `--queries`, listings that have no `query_image` get a query synthesized from their photo, with a fixed seed.
`--vision` and `--text` in place of `--model` evaluate pretrained encoders with untrained heads.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from accelerate.utils import set_seed

from tiger_fg_hf import TigerFGProcessor
from tiger_fg_hf.evaluation.evaluate_checkpoint import evaluate_checkpoint, open_items
from tiger_fg_hf.training.arguments import RecipeParser
from tiger_fg_hf.training.recipes.tiger_fg.arguments import TigerFGModelArguments
from tiger_fg_hf.training.recipes.tiger_fg.build import build_model_and_processor


@dataclass
class EvaluationArguments:
    """What to evaluate on."""

    items: str = field(metadata={"help": "Listings: folder, file or Hub id, or 'drawn' for held-out drawings."})
    columns: str | None = field(
        default=None,
        metadata={"help": "Columns of the listings, as 'title=name,attributes=color'. Default: as in training."},
    )
    queries: str | None = field(default=None, metadata={"help": "Query photos with the item_id they show."})
    query_columns: str | None = field(default=None, metadata={"help": "Columns of the query photos."})
    clutter: str | None = field(default=None, metadata={"help": "Background photos of synthesized queries."})
    layout: Literal["clean", "clutter", "mixed"] = field(
        default="mixed", metadata={"help": "Layout of drawn listings."}
    )
    limit: int | None = field(default=None, metadata={"help": "Number of listings; default: all, or 500 if drawn."})
    batch_size: int = field(default=64, metadata={"help": "Pictures per forward pass."})
    num_workers: int = field(default=0, metadata={"help": "Processes that prepare pictures."})
    without_text: bool = field(default=False, metadata={"help": "Leave the text of the listings out."})
    seed: int = field(default=0, metadata={"help": "Seed of synthesized queries, untrained heads and bootstrap."})
    output: str | None = field(default=None, metadata={"help": "JSON file for all numbers."})


def main(argv: list[str] | None = None) -> None:
    """Evaluate, print a table and write the numbers."""
    model_args, args = RecipeParser((TigerFGModelArguments, EvaluationArguments)).parse_args_into_dataclasses(argv)
    set_seed(args.seed)
    columns = args.columns
    if columns is None and model_args.model is not None:
        columns = TigerFGProcessor.from_pretrained(model_args.model).columns
    items = open_items(args.items, columns=columns, layout=args.layout, limit=args.limit)
    model, processor = build_model_and_processor(model_args, items)
    result = evaluate_checkpoint(
        (model, processor),
        items,
        queries=args.queries,
        query_columns=args.query_columns,
        clutter=args.clutter,
        without_text=args.without_text,
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
