"""Write the catalog of `examples/photos`: listings and crops of an IMMR benchmark of Amazon Berkeley Objects.

    python examples/make_photos.py --benchmark runs/immr/data/validation --output examples/photos

A third of the listings comes from each gallery: Normal, Scene and Mosaic. Each product is shown once.
"""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from transformers import HfArgumentParser

from tiger_fg_hf.evaluation.immr import load_immr
from tiger_fg_hf.evaluation.immr_scores import GALLERIES

COLUMNS = ("item_id", "title", "category", "attributes", "image", "query_image")


@dataclass
class PhotoArguments:
    """Which photos to write, and where."""

    benchmark: str = field(metadata={"help": "Folder of the benchmark."})
    output: str = field(metadata={"help": "Folder to write."})
    products: int = field(default=60, metadata={"help": "Number of products; a multiple of three."})
    seed: int = field(default=0, metadata={"help": "Seed of the choice."})


def main(argv: list[str] | None = None) -> None:
    """Write the pictures and `catalog.csv`."""
    (args,) = HfArgumentParser(PhotoArguments, description=__doc__).parse_args_into_dataclasses(argv)
    benchmark = load_immr(args.benchmark)
    records = benchmark.records()
    query_of = {item_id: row for row, item_id in enumerate(benchmark.queries["item_id"])}
    known = [row for row, item_id in enumerate(benchmark.normal["item_id"]) if item_id in query_of]
    if args.products % len(GALLERIES) or not 0 < args.products <= len(known):
        raise ValueError(f"--products must be a multiple of {len(GALLERIES)} up to {len(known)}, got {args.products}.")
    output = Path(args.output)
    for folder in ("listings", "crops"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    rows = np.random.default_rng(args.seed).permutation(known)[: args.products].tolist()
    with (output / "catalog.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for place, row in enumerate(rows):
            gallery = getattr(benchmark, GALLERIES[place % len(GALLERIES)])
            item_id = gallery[row]["item_id"]
            pictures = {
                "image": (f"listings/{item_id}.jpg", gallery[row]["image"]),
                "query_image": (f"crops/{item_id}.jpg", benchmark.queries[query_of[item_id]]["query_image"]),
            }
            for name, picture in pictures.values():
                (output / name).write_bytes(picture["bytes"])
            record = records[row]
            table.writerow(
                {
                    "item_id": item_id,
                    "title": record["title"],
                    "category": record["category"],
                    "attributes": json.dumps(record["attributes"]),
                    **{column: name for column, (name, _) in pictures.items()},
                }
            )


if __name__ == "__main__":
    main()
