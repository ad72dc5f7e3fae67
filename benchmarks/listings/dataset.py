"""The listings dataset: two sellers' listings of each product, a query and an item of the pool, at three levels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np

from tiger_fg_hf.catalog.fingerprint import catalog_fingerprint
from tiger_fg_hf.catalog.pairing import PairedCatalog
from tiger_fg_hf.catalog.photos import load_photo
from tiger_fg_hf.catalog.record import to_record
from tiger_fg_hf.data.clutter import ClutterBank
from tiger_fg_hf.data.listings import ListingConfig, ListingSynthesizer
from tiger_fg_hf.data.text_table import text_record
from tiger_fg_hf.evaluation.content import (
    bytes_digest,
    check_pools,
    is_written,
    read_parts,
    write_parts,
)
from tiger_fg_hf.synthetic.jpeg import encode_jpeg
from tiger_fg_hf.synthetic.overlays import LEVELS, FontSet, Level, covered_share, default_fonts, hidden_share

_META = "listings.json"
_JPEG_QUALITY = 92
# A listing depends on the seed, its stream of random numbers, and its row.
_STREAMS = {"queries": 0, "pool": 1, "distractors": 2}
_FEATURES = datasets.Features(
    {
        "item_id": datasets.Value("string"),
        "image": datasets.Image(),
        "title": datasets.Value("string"),
        "category": datasets.Value("string"),
        "product_category": datasets.Value("string"),
        "attributes": datasets.Value("string"),
        "is_distractor": datasets.Value("bool"),
        "elements": datasets.List(datasets.Value("string")),
        "hidden": datasets.Value("float32"),
        "covered": datasets.Value("float32"),
    }
)


@dataclass(frozen=True)
class ListingBenchmarkConfig:
    """How the benchmark is built from a catalog.

    Attributes:
        seed: seed of all random choices.
        listings: how listings are synthesized.
    """

    seed: int = 0
    listings: ListingConfig = field(default_factory=ListingConfig)


class ListingBenchmark(NamedTuple):
    """A built benchmark.

    A row has the same geometry, backdrop, light and title at every level: levels differ only in overlays and
    promotional words, so scores at two levels can be compared product by product.

    Attributes:
        queries: level -> first listing of each product: `item_id`, `image` (undecoded), `title`, `category`,
            `attributes` (JSON), `product_category` (from the catalog; a listing may omit it), `is_distractor`,
            `elements` (names of the overlays), `hidden` and `covered` (shares of the picture that overlays hide, and
            that they hide or tint).
        pool: level -> second listing of each product, then the distractors; the same columns. Row `i` of queries and
            pool show the same product, and no other row of the pool shows it.
        meta: how it was built, the number of products, distractors and rows left out, and a digest of the `content`.
    """

    queries: dict[Level, datasets.Dataset]
    pool: dict[Level, datasets.Dataset]
    meta: dict[str, Any]

    @staticmethod
    def records(rows: datasets.Dataset) -> list[dict[str, Any]]:
        """Return `title`, `category` and `attributes` of rows of `queries` or `pool`, for the processor."""
        texts = rows.select_columns(["title", "category", "attributes"])
        return [{**row, "attributes": json.loads(row["attributes"])} for row in texts]


def build_listing_benchmark(
    catalog: datasets.Dataset | PairedCatalog,
    folder: str | Path,
    config: ListingBenchmarkConfig | None = None,
    *,
    distractors: datasets.Dataset | PairedCatalog | None = None,
    query_clutter: ClutterBank | None = None,
    pool_clutter: ClutterBank | None = None,
    fonts: FontSet | None = None,
) -> ListingBenchmark:
    """Build the benchmark of a catalog in `folder`, or load it if `folder` already holds it.

    Pictures are drawn and compressed once, so every system reads the same bytes. Queries, products in the pool and
    distractors are at the same level. A product is the first listing with a picture of its item id; a distractor is
    the first such listing of an item that is not a product.

    Args:
        catalog: from `load_catalog` or `pair_queries`, with `image`; titles, categories and boxes are optional.
        folder: where to save it; written atomically.
        config: how it is built.
        distractors: catalog of other products; the pool gets one listing of each.
        query_clutter: photos behind the products of queries.
        pool_clutter: photos behind the products of the pool, disjoint from `query_clutter`.
        fonts: fonts of the overlays; default: `default_fonts()`.

    Raises:
        ValueError: if the clutter pools share a photo, no product is left, a picture cannot be read (the message
            names its item), or `folder` holds another benchmark.
        FileExistsError: if `folder` holds something else.
    """
    config = config or ListingBenchmarkConfig()
    folder = Path(folder)
    check_pools(query_clutter, pool_clutter)
    made_of = {
        "catalog": catalog_fingerprint(catalog),
        "distractors": None if distractors is None else catalog_fingerprint(distractors),
        "config": json.loads(json.dumps(asdict(config))),
        "clutter": [None if bank is None else bytes_digest(bank.pixels) for bank in (query_clutter, pool_clutter)],
        "fonts": (fonts or default_fonts()).digest,
    }
    if is_written(folder, _META, made_of):
        return load_listing_benchmark(folder)

    products = _first_listings(catalog)
    if not products:
        raise ValueError("The catalog has no listing with a picture.")
    others = {} if distractors is None else _first_listings(distractors, without=products)
    sellers = {
        "queries": ListingSynthesizer(config.listings, query_clutter, fonts),
        "pool": ListingSynthesizer(config.listings, pool_clutter, fonts),
    }

    def write(partial: Path) -> tuple[dict[str, int], list[datasets.Dataset]]:
        parts = []
        for part, level in _parts():
            rows = list(_draw(catalog, products, sellers[part], level, config.seed, part))
            if part == "pool" and distractors is not None:
                rows += _draw(distractors, others, sellers[part], level, config.seed, "distractors")
            columns = {name: [row[name] for row in rows] for name in _FEATURES}
            path = str(partial / f"{part}-{level}")
            datasets.Dataset.from_dict(columns, features=_FEATURES).save_to_disk(path)
            # Reload from disk, so that only one part has to fit into memory.
            parts.append(datasets.load_from_disk(path))
        left_out = len(catalog) - len(products) + (0 if distractors is None else len(distractors) - len(others))
        return {"products": len(products), "distractor_listings": len(others), "left_out": left_out}, parts

    write_parts(folder, _META, made_of, write)
    return load_listing_benchmark(folder)


def load_listing_benchmark(folder: str | Path) -> ListingBenchmark:
    """Load a benchmark that [`build_listing_benchmark`] wrote; images stay undecoded.

    Raises:
        FileNotFoundError: if there is none in `folder`.
        ValueError: if its content has changed.
    """
    names = {(part, level): f"{part}-{level}" for part, level in _parts()}
    meta, read = read_parts(Path(folder), _META, list(names.values()))
    parts = {key: read[name] for key, name in names.items()}
    queries, pool = ({level: parts[part, level] for level in LEVELS} for part in ("queries", "pool"))
    return ListingBenchmark(queries, pool, meta)


def _parts() -> list[tuple[str, Level]]:
    return [(part, level) for part in ("queries", "pool") for level in LEVELS]


def _first_listings(
    catalog: datasets.Dataset | PairedCatalog, without: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Row of the first listing with a picture of every item id, except those in `without`."""
    rows: dict[str, int] = {}
    for row in range(len(catalog)):
        record = to_record(catalog[row])
        if record["image"] is not None and record["item_id"] not in (without or {}):
            rows.setdefault(record["item_id"], row)
    return rows


def _draw(
    catalog: datasets.Dataset | PairedCatalog,
    rows: Mapping[str, int],
    seller: ListingSynthesizer,
    level: Level,
    seed: int,
    stream: str,
) -> Iterator[dict[str, Any]]:
    """Draw the listings of some rows at a level; the random state of a row is the same at every level."""
    for item_id, row in rows.items():
        record = to_record(catalog[row])
        image, box = load_photo(record["image"], record["box"], name=f"row {row} (item {item_id!r}), image")
        rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAMS[stream], row]))
        listing = seller(image, text_record(record), level=level, rng=rng, box=box)
        yield {
            "item_id": item_id,
            "image": {"bytes": encode_jpeg(listing.image, _JPEG_QUALITY), "path": None},
            "title": listing.text["title"],
            "category": listing.text["category"],
            "product_category": record["category"],
            "attributes": json.dumps(listing.text["attributes"] or {}, ensure_ascii=False),
            "is_distractor": stream == "distractors",
            "elements": list(listing.elements),
            "hidden": hidden_share(listing.alpha),
            "covered": covered_share(listing.alpha),
        }
