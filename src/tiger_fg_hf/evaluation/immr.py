"""The IMMR benchmark: crops as queries, and each product's listing as it is (Normal) and in a mosaic (Mosaic)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
from PIL import Image

from ..catalog.fingerprint import catalog_fingerprint
from ..catalog.pairing import PairedCatalog
from ..catalog.record import to_record
from ..data.boxes import scale_box
from ..data.clutter import ClutterBank
from ..data.image_cache import ImageCache
from ..data.mosaic import MosaicComposer, MosaicConfig, Product
from ..data.query_synthesis import QuerySynthesisConfig, QuerySynthesizer
from ..models.image_loading_tiger_fg import load_rgb_image
from .content import bytes_digest, check_pools, content_digest, is_written, read_parts, written_whole

_META = "immr.json"
_PARTS = ("queries", "normal", "mosaic")
_JPEG_QUALITY = 95
_STREAMS = {"query": 0, "mosaic": 1}
_LISTING = {
    "item_id": datasets.Value("string"),
    "title": datasets.Value("string"),
    "category": datasets.Value("string"),
    "attributes": datasets.Value("string"),
    "image": datasets.Image(),
    "box": datasets.List(datasets.Value("float32")),
}


@dataclass(frozen=True)
class IMMRConfig:
    """How the benchmark is made of a catalog.

    Attributes:
        seed: of everything drawn.
        queries: how queries are synthesised, for products without queries of their own.
        mosaics: how mosaics are composed.
        distractors: fewest and most other products in a mosaic.
    """

    seed: int = 0
    queries: QuerySynthesisConfig = field(default_factory=lambda: QuerySynthesisConfig.preset("hard"))
    mosaics: MosaicConfig = field(default_factory=lambda: MosaicConfig(size=256))
    distractors: tuple[int, int] = (1, 3)


class IMMRBenchmark(NamedTuple):
    """
    Attributes:
        queries: `item_id`, `query_image`; in the order of the products.
        normal: the listings, one a product: `item_id`, `image`, `title`, `category`, `attributes` (JSON), `box` or
            None.
        mosaic: the same with each product's picture replaced by a mosaic; also `distractors` (their item ids),
            `target_area` (of the target's box, as a share of the picture).
        meta: how it was made, how many products, queries and rows left out there are, and a digest of its `content`.
    """

    queries: datasets.Dataset
    normal: datasets.Dataset
    mosaic: datasets.Dataset
    meta: dict[str, Any]

    def records(self) -> list[dict[str, Any]]:
        """`title`, `category` and `attributes` of every product, as the processor renders them."""
        texts = self.normal.select_columns(["title", "category", "attributes"])
        return [{**row, "attributes": json.loads(row["attributes"])} for row in texts]


def build_immr(
    catalog: datasets.Dataset | PairedCatalog,
    folder: str | Path,
    config: IMMRConfig | None = None,
    *,
    query_clutter: ClutterBank | None = None,
    item_clutter: ClutterBank | None = None,
) -> IMMRBenchmark:
    """
    Writes the benchmark of a catalog to `folder`, or reads it from there if it is already that of this catalog.

    Every system reads the same bytes: pictures are embedded, and mosaics and synthesised queries are drawn here, once.
    Row `i` of both galleries is product `i`. A product is the first listing of its item id; listings without picture
    or category are left out, as a mosaic's distractors must be of other categories.

    Args:
        catalog: from `load_catalog` or `pair_queries`, with categories. Where it has `query_image`, every one of a
            product's is a query; products without any get one synthesised from their listing. Of `pair_queries`,
            listings that no query shows are left out.
        folder: where `datasets` saves it; written whole or not at all.
        query_clutter, item_clutter: backgrounds of queries and of mosaics, from disjoint pools.

    Raises:
        ValueError: the pools share a photo, no product is left or has too few others of other categories, or `folder`
            holds another benchmark.
        FileExistsError: `folder` holds something else.
    """
    config = config or IMMRConfig()
    folder = Path(folder)
    check_pools(query_clutter, item_clutter)
    made_of = {
        "catalog": catalog_fingerprint(catalog),
        "config": json.loads(json.dumps(asdict(config))),
        "clutter": [None if bank is None else bytes_digest(bank.pixels) for bank in (query_clutter, item_clutter)],
    }
    if is_written(folder, _META, made_of):
        return load_immr(folder)
    records, queries_of, left_out = _products(catalog)
    galleries = _galleries(records, config, item_clutter)
    queries = _queries(records, queries_of, config, query_clutter)
    parts = dict(zip(_PARTS, (queries, *galleries), strict=True))
    meta = made_of | {
        "products": len(records),
        "queries": len(queries),
        "left_out": left_out,
        "content": content_digest(parts.values()),
    }
    with written_whole(folder, _META) as partial:
        for name, rows in parts.items():
            rows.save_to_disk(str(partial / name))
        (partial / _META).write_text(json.dumps(meta, indent=2))
    is_written(folder, _META, made_of)  # or another process was faster, with something else
    return load_immr(folder)


def load_immr(folder: str | Path) -> IMMRBenchmark:
    """Reads a benchmark that [`build_immr`] wrote; images stay undecoded.

    Raises:
        FileNotFoundError: there is none in `folder`.
        ValueError: it is not what was written there.
    """
    meta, parts = read_parts(Path(folder), _META, _PARTS)
    queries, normal, mosaic = parts.values()
    return IMMRBenchmark(queries, normal, mosaic, meta)


def draw_distractors(
    categories: Sequence[str | None], row: int, number: tuple[int, int], rng: np.random.Generator
) -> list[int]:
    """Draws rows of pairwise distinct categories, none of them that of `row`.

    Raises:
        ValueError: `row` has no category, or there are not enough others.
    """
    if categories[row] is None:
        raise ValueError(f"row {row} has no category: a mosaic's distractors must be of other categories.")
    wanted = int(rng.integers(number[0], number[1] + 1))
    chosen: list[int] = []
    taken = {categories[row], None}
    for index in rng.permutation(len(categories)):
        if len(chosen) == wanted:
            break
        if categories[index] not in taken:
            taken.add(categories[index])
            chosen.append(int(index))
    if len(chosen) < wanted:
        raise ValueError(f"row {row}: the catalog has fewer than {wanted + 1} categories for a mosaic.")
    return chosen


def _products(
    catalog: datasets.Dataset | PairedCatalog,
) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]], int]:
    """
    First listing of every product, the products' own queries by item id, and how many rows gave neither, listings that
    no query asks for among them.
    """
    records: dict[str, dict[str, Any]] = {}
    queries_of: dict[str, list[dict[str, Any]]] = {}
    left_out = 0
    for row in range(len(catalog)):
        record = to_record(catalog[row])
        item_id, query = record["item_id"], record["query_image"]
        is_new = item_id not in records and record["image"] is not None and record["category"] is not None
        if is_new:
            records[item_id] = record | {"image": _embedded(record["image"])}
        if query is not None and item_id in records:
            queries_of.setdefault(item_id, []).append(_embedded(query))
        elif not is_new:
            left_out += 1
    if isinstance(catalog, PairedCatalog):
        left_out += len(set(map(str, catalog.items["item_id"])) - set(map(str, catalog.queries["item_id"])))
    if not records:
        raise ValueError("The catalog has no listing with a picture and a category.")
    return list(records.values()), queries_of, left_out


def _galleries(
    records: Sequence[Mapping[str, Any]], config: IMMRConfig, clutter: ClutterBank | None
) -> tuple[datasets.Dataset, datasets.Dataset]:
    ids = [record["item_id"] for record in records]
    texts = {
        "item_id": ids,
        "title": [record["title"] for record in records],
        "category": [record["category"] for record in records],
        "attributes": [json.dumps(record["attributes"] or {}, ensure_ascii=False) for record in records],
    }
    normal = datasets.Dataset.from_dict(
        {**texts, "image": [record["image"] for record in records], "box": [record["box"] for record in records]},
        features=datasets.Features(_LISTING),
    )
    composed = list(_mosaics(records, config, clutter))
    mosaic = datasets.Dataset.from_dict(
        {
            **texts,
            "image": [_encode(row.image) for row in composed],
            "box": [row.box for row in composed],
            "distractors": [[ids[other] for other in row.others] for row in composed],
            "target_area": [row.area for row in composed],
        },
        features=datasets.Features(
            {
                **_LISTING,
                "distractors": datasets.List(datasets.Value("string")),
                "target_area": datasets.Value("float32"),
            }
        ),
    )
    return normal, mosaic


class _Composed(NamedTuple):
    image: Image.Image
    box: list[float]
    area: float
    others: list[int]


def _mosaics(
    records: Sequence[Mapping[str, Any]], config: IMMRConfig, clutter: ClutterBank | None
) -> Iterator[_Composed]:
    compose = MosaicComposer(config.mosaics, clutter)
    # No product fills more than the canvas, so none is kept larger than it.
    photos = ImageCache(
        ((_photo(record), record["box"]) for record in records), config.mosaics.size, total=len(records)
    )

    def product(row: int) -> Product:
        photo, scale = photos.photo(row)
        return Product(photo, photos.matte(row), scale_box(records[row]["box"], scale))

    categories = [record["category"] for record in records]
    for row in range(len(records)):
        rng = np.random.default_rng(np.random.SeedSequence([config.seed, _STREAMS["mosaic"], row]))
        others = draw_distractors(categories, row, config.distractors, rng)
        mosaic = compose([product(index) for index in (row, *others)], rng)
        x0, y0, x1, y1 = mosaic.boxes[0]
        yield _Composed(mosaic.image, mosaic.boxes[0], (x1 - x0) * (y1 - y0) / config.mosaics.size**2, others)


def _queries(
    records: Sequence[Mapping[str, Any]],
    queries_of: Mapping[str, list[dict[str, Any]]],
    config: IMMRConfig,
    clutter: ClutterBank | None,
) -> datasets.Dataset:
    synthesize = QuerySynthesizer(config.queries, clutter)
    ids, images = [], []
    for row, record in enumerate(records):
        own = queries_of.get(record["item_id"])
        if own is None:
            rng = np.random.default_rng(np.random.SeedSequence([config.seed, _STREAMS["query"], row]))
            own = [_encode(synthesize(_photo(record), box=record["box"], rng=rng))]
        ids += [record["item_id"]] * len(own)
        images += own
    return datasets.Dataset.from_dict(
        {"item_id": ids, "query_image": images},
        features=datasets.Features({"item_id": datasets.Value("string"), "query_image": datasets.Image()}),
    )


def _photo(record: Mapping[str, Any]) -> Image.Image:
    return load_rgb_image(record["image"], name=f"item {record['item_id']!r}, image")


def _embedded(image: Mapping[str, Any]) -> dict[str, Any]:
    """An undecoded image with its bytes, wherever they lie: the benchmark must not depend on files elsewhere."""
    data = image["bytes"]
    return {"bytes": Path(image["path"]).read_bytes() if data is None else data, "path": None}


def _encode(image: Image.Image) -> dict[str, Any]:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return {"bytes": buffer.getvalue(), "path": None}
