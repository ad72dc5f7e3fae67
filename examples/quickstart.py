"""Embed listings and crops with the demo model, find each crop's listing, and draw the results.

    python examples/quickstart.py

Draws its own catalog and downloads nothing. Prints Recall@1 and Recall@10 next to chance and writes `quickstart.png`.
`--catalog examples/photos/catalog.csv` searches real photos instead; any catalog with a `query_image` will do.
"""

import argparse
import time
from pathlib import Path

import torch

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
from tiger_fg_hf.evaluation.figure import Case, Hit, draw_results
from tiger_fg_hf.models.image_loading_tiger_fg import load_rgb_image

MODEL = Path(__file__).parents[1] / "model_cards" / "tiger-fg-tiny"
SHOWN_HITS = 5


def main() -> None:
    """Run the quickstart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(MODEL), help="TIGER-FG checkpoint: a folder or a Hub id.")
    parser.add_argument("--catalog", default="drawn", help="Catalog with listings and a crop of each, or 'drawn'.")
    parser.add_argument("--listings", type=int, default=400, help="Drawn listings, and crops to find.")
    parser.add_argument("--cases", type=int, default=5, help="Crops that the picture shows.")
    parser.add_argument("--output", default="quickstart.png", help="File for the picture.")
    args = parser.parse_args()
    started = time.perf_counter()

    # Both towers come from one folder; each reads only its own weights.
    processor = TigerFGProcessor.from_pretrained(args.model)
    query_tower = TigerFGQueryModel.from_pretrained(args.model)
    item_tower = TigerFGItemModel.from_pretrained(args.model)

    if args.catalog == "drawn":
        print(f"Drawing {args.listings} listings the model has not seen, half of them cluttered, and their crops ...")
        side = processor.item_size["height"]
        catalog = load_catalog(drawn_catalog(num_products=args.listings, split="test", size=side))
    else:
        catalog = load_catalog(args.catalog)

    print(f"Embedding {len(catalog)} listings and crops ...")
    item_embeds, groundings = encode_items(item_tower, processor, catalog, return_grounding=True)
    query_embeds = encode_queries(query_tower, processor, catalog["query_image"])

    scores, hits = search(query_embeds, item_embeds, k=10)
    is_right = hits == torch.arange(len(catalog))[:, None]
    for k in (1, 10):
        recall, chance = is_right[:, :k].any(dim=1).double().mean().item(), k / len(catalog)
        print(f"Recall@{k:<2} {recall:.3f}   (chance {chance:.4f})")

    rows = draw_cases(is_right, args.cases)
    print(f"The picture shows {len(rows)} crops, sampled in proportion to the outcomes of the search:")
    cases = []
    for row in rows:
        place = is_right[row].nonzero()
        outcome = f"found at rank {place.item() + 1}" if len(place) else "not among the first 10"
        print(f"  {catalog[row]['title']}: {outcome}")
        shown = zip(hits[row, :SHOWN_HITS].tolist(), scores[row, :SHOWN_HITS].tolist(), strict=True)
        found = [
            Hit(
                load_rgb_image(catalog[item]["image"]),
                groundings[item],
                score,
                catalog[item]["title"],
                correct=item == row,
            )
            for item, score in shown
        ]
        cases.append(Case(load_rgb_image(catalog[row]["query_image"]), f"{catalog[row]['title']}: {outcome}", found))
    share = is_right[:, 0].double().mean().item()
    title = f"{share:.0%} of {len(catalog)} crops rank their listing first. Shown: {len(cases)} crops, in proportion."
    draw_results(cases, title=title).save(args.output)
    print(f"Wrote {args.output} after {time.perf_counter() - started:.0f} seconds.")


def draw_cases(is_right: torch.Tensor, number: int, seed: int = 0) -> list[int]:
    """Sample queries so that each outcome (first, among the hits, missed) has its rounded share; best first."""
    first, among = is_right[:, 0], is_right.any(dim=1)
    generator = torch.Generator().manual_seed(seed)
    groups = [group.nonzero()[:, 0] for group in (first, among & ~first, ~among)]
    ends = [round(number * sum(map(len, groups[: i + 1])) / len(is_right)) for i in range(len(groups))]
    shares = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    drawn = [
        group[torch.randperm(len(group), generator=generator)[:share]]
        for group, share in zip(groups, shares, strict=True)
    ]
    return torch.cat(drawn).tolist()


if __name__ == "__main__":
    main()
