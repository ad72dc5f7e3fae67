"""
The main job in a minute: load the demo model, embed listings and crops, find each crop's listing, draw the results.

    python examples/quickstart.py

Everything is drawn here, nothing is downloaded. Prints Recall@1 and @10 with chance and writes `quickstart.png`.
"""

import argparse
import time
from pathlib import Path

from tiger_fg_hf import (
    TigerFGItemModel,
    TigerFGProcessor,
    TigerFGQueryModel,
    drawn_catalog,
    encode_items,
    encode_queries,
    load_catalog,
    search,
)
from tiger_fg_hf.catalog.records import CatalogRecords
from tiger_fg_hf.evaluation.figure import Hit, draw_results
from tiger_fg_hf.models.image_loading_tiger_fg import load_rgb_image

MODEL = Path(__file__).parents[1] / "model_cards" / "tiger-fg-tiny"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(MODEL), help="TIGER-FG checkpoint: folder or Hub id.")
    parser.add_argument("--listings", type=int, default=400, help="Listings in the catalog, and crops to find.")
    parser.add_argument("--output", default="quickstart.png", help="Where the picture goes.")
    args = parser.parse_args()
    started = time.perf_counter()

    # Both towers come from the one folder; each reads only its own weights.
    processor = TigerFGProcessor.from_pretrained(args.model)
    query_tower = TigerFGQueryModel.from_pretrained(args.model)
    item_tower = TigerFGItemModel.from_pretrained(args.model)

    print(f"Drawing {args.listings} held-out listings, half of them cluttered, and a crop of each product ...")
    catalog = CatalogRecords(load_catalog(drawn_catalog(num_products=args.listings, split="test", size=160)))
    records = [catalog[row] for row in range(len(catalog))]

    print("Embedding ...")
    item_embeds, groundings = encode_items(item_tower, processor, records, return_grounding=True)
    query_embeds = encode_queries(query_tower, processor, [record["query_image"] for record in records])

    scores, found = search(query_embeds, item_embeds, k=10)
    right = found == found.new_tensor(range(len(records)))[:, None]
    for k in (1, 10):
        recall, chance = right[:, :k].any(1).double().mean().item(), k / len(records)
        print(f"Recall@{k:<2} {recall:.3f}   chance {chance:.4f}   {recall / chance:.0f} times chance")

    rows = []
    for query in range(0, len(records), max(1, len(records) // 5))[:5]:
        hits = [
            Hit(
                load_rgb_image(records[item]["image"]),
                groundings[item],
                score,
                records[item]["title"],
                correct=item == query,
            )
            for item, score in zip(found[query, :5].tolist(), scores[query, :5].tolist(), strict=True)
        ]
        rows.append((load_rgb_image(records[query]["query_image"]), hits))
    draw_results(rows, title=f"Crops and the listings they found among {len(records)}").save(args.output)
    print(f"Wrote {args.output} after {time.perf_counter() - started:.0f} seconds.")


if __name__ == "__main__":
    main()
