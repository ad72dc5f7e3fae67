"""The IMMR benchmark: crops as queries; listings as they are (Normal), in scenes (Scene) and in mosaics (Mosaic)."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
from PIL import Image

from ..catalog.fingerprint import catalog_fingerprint
from ..catalog.pairing import PairedCatalog
from ..catalog.photos import load_photo
from ..catalog.record import to_record
from ..data.clutter import ClutterBank
from ..data.image_cache import ImageCache
from ..data.mosaic import MosaicComposer, MosaicConfig, Product
from ..data.query_synthesis import QuerySynthesisConfig, QuerySynthesizer
from ..data.scene import SceneComposer, SceneConfig
from .content import bytes_digest, check_pools, content_digest, is_written, read_parts, undecoded, write_parts

_META = "immr.json"
_PARTS = ("queries", "normal", "mosaic")
_SCENE = "scene"
_JPEG_QUALITY = 95
_STREAMS = {"query": 0, "mosaic": 1, "scene": 2}
# Candidates for the prop of a scene: many products are not fit for one.
_PROP_CANDIDATES = 12
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
    """How the benchmark is built from a catalog.

    Attributes:
        seed: seed of all random choices.
        queries: how queries are synthesized for products without query photos.
        mosaics: how mosaics are composed.
        distractors: minimum and maximum number of other products in a mosaic.
        scenes: how scenes are composed.
    """

    seed: int = 0
    queries: QuerySynthesisConfig = field(default_factory=lambda: QuerySynthesisConfig.preset("hard"))
    mosaics: MosaicConfig = field(default_factory=lambda: MosaicConfig(size=256))
    distractors: tuple[int, int] = (1, 3)
    scenes: SceneConfig = field(default_factory=SceneConfig)


class IMMRBenchmark(NamedTuple):
    """A built benchmark.

    Attributes:
        queries: `item_id` and `query_image`, in the order of the products.
        normal: one listing per product: `item_id`, `image`, `title`, `category`, `attributes` (JSON), and `box` or
            None.
        mosaic: the same with a mosaic in place of each picture, and with `distractors` (their item ids) and
            `target_area` (area of the target's box, as a share of the picture).
        meta: how it was built, the number of products, queries and rows left out, and a digest of the `content` of
            these three parts; below `"scene"` the same of the scenes.
        scene: the listings with a scene in place of each picture, and with `prop` (item id of the other product in it,
            or None), `target_area` (None without a box) and `covered` (share of the product that overlays cover). None
            if an earlier version built the benchmark.
    """

    queries: datasets.Dataset
    normal: datasets.Dataset
    mosaic: datasets.Dataset
    meta: dict[str, Any]
    scene: datasets.Dataset | None = None

    def records(self) -> list[dict[str, Any]]:
        """Return `title`, `category` and `attributes` of every product, for the processor."""
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
    """Build the benchmark of a catalog in `folder`, or load it if `folder` already holds it.

    Pictures are embedded, and mosaics, scenes and synthesized queries are drawn once, so every system reads the same
    bytes. Row `i` of every gallery is product `i`. A product is the first listing of its item id. Listings without
    picture or category are left out, because the distractors of a mosaic must be of other categories. If an earlier
    version built the benchmark in `folder`, its scenes are added; the other parts keep their bytes.

    Args:
        catalog: from `load_catalog` or `pair_queries`, with categories. Every `query_image` of a product is a query;
            for products without one, a query is synthesized from the listing. With `pair_queries`, listings that no
            query shows are left out.
        folder: where to save it; written atomically.
        config: how it is built.
        query_clutter: backgrounds of synthesized queries.
        item_clutter: backgrounds of mosaics and scenes, disjoint from `query_clutter`.

    Raises:
        ValueError: if the pools share a photo, no product is left, there are too few categories for a mosaic, or
            `folder` holds another benchmark.
        FileExistsError: if `folder` holds something else.

    Example:
        >>> import tempfile
        >>> from tiger_fg_hf import drawn_catalog, load_catalog
        >>> from tiger_fg_hf.evaluation.immr import build_immr
        >>> catalog = load_catalog(drawn_catalog(num_products=8, split="test", layout="clean", size=48))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     benchmark = build_immr(catalog, f"{folder}/immr")
        ...     len(benchmark.queries), len(benchmark.mosaic), len(benchmark.scene)
        (8, 8, 8)
    """
    config = config or IMMRConfig()
    folder = Path(folder)
    check_pools(query_clutter, item_clutter)
    settings = json.loads(json.dumps(asdict(config)))
    scenes = settings.pop("scenes")
    made_of = {
        "catalog": catalog_fingerprint(catalog),
        "config": settings,
        "clutter": [None if bank is None else bytes_digest(bank.pixels) for bank in (query_clutter, item_clutter)],
    }
    if is_written(folder, _META, made_of):
        return _with_scenes(folder, config, scenes, item_clutter)
    records, queries_of, left_out = _products(catalog)
    photos = _Photos(records)
    galleries = _galleries(records, photos, config, item_clutter)
    queries = _queries(records, queries_of, config, query_clutter)
    parts = dict(zip(_PARTS, (queries, *galleries), strict=True))
    scene = _scene_gallery(records, photos, config, item_clutter)

    def write(partial: Path) -> tuple[dict[str, Any], Iterable[datasets.Dataset]]:
        for name, rows in {**parts, _SCENE: scene}.items():
            rows.save_to_disk(str(partial / name))
        counts = {"products": len(records), "queries": len(queries), "left_out": left_out}
        return {**counts, _SCENE: _scene_meta(scenes, scene)}, parts.values()

    write_parts(folder, _META, made_of, write)
    return _with_scenes(folder, config, scenes, item_clutter)


def load_immr(folder: str | Path) -> IMMRBenchmark:
    """Load a benchmark that [`build_immr`] wrote; images stay undecoded.

    Benchmarks of earlier versions have no scenes: `scene` is None. [`build_immr`] adds them.

    Raises:
        FileNotFoundError: if there is none in `folder`.
        ValueError: if its content has changed.
    """
    folder = Path(folder)
    meta, parts = read_parts(folder, _META, _PARTS)
    queries, normal, mosaic = parts.values()
    scene = None
    if _SCENE in meta:
        scene = undecoded(datasets.load_from_disk(str(folder / _SCENE)))
        if content_digest([scene]) != meta[_SCENE]["content"]:
            raise ValueError(f"The scenes of '{folder}' have changed: their digest differs from the one in {_META}.")
    return IMMRBenchmark(queries, normal, mosaic, meta, scene)


def draw_distractors(
    categories: Sequence[str | None], row: int, number: tuple[int, int], rng: np.random.Generator
) -> list[int]:
    """Draw rows of pairwise distinct categories, all different from the category of `row`.

    Args:
        categories: category of every row.
        row: row of the target.
        number: minimum and maximum number of rows to draw.
        rng: random numbers.

    Raises:
        ValueError: if `row` has no category, or there are too few categories.
    """
    if categories[row] is None:
        raise ValueError(f"row {row} has no category, but the distractors of a mosaic must be of other categories.")
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
    """First listing of every product, its query photos by item id, and the number of rows that gave neither."""
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


class _Photos:
    """Decoded photos and mattes of the products, kept at the sizes that are asked for."""

    def __init__(self, records: Sequence[Mapping[str, Any]]):
        self.records = records
        self._caches: dict[int, ImageCache] = {}

    def products(self, size: int) -> Callable[[int], Product]:
        """Return a function from row to product, for a canvas of `size` pixels, which no product exceeds."""
        if size not in self._caches:
            self._caches[size] = ImageCache(map(_photo, self.records), size, total=len(self.records))
        cache = self._caches[size]

        def product(row: int) -> Product:
            photo, box = cache.photo(row)
            return Product(photo, cache.matte(row), box)

        return product


def _texts(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {
        "item_id": [record["item_id"] for record in records],
        "title": [record["title"] for record in records],
        "category": [record["category"] for record in records],
        "attributes": [json.dumps(record["attributes"] or {}, ensure_ascii=False) for record in records],
    }


def _galleries(
    records: Sequence[Mapping[str, Any]], photos: _Photos, config: IMMRConfig, clutter: ClutterBank | None
) -> tuple[datasets.Dataset, datasets.Dataset]:
    texts = _texts(records)
    ids = texts["item_id"]
    normal = datasets.Dataset.from_dict(
        {**texts, "image": [record["image"] for record in records], "box": [record["box"] for record in records]},
        features=datasets.Features(_LISTING),
    )
    composed = list(_mosaics(records, photos, config, clutter))
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
    records: Sequence[Mapping[str, Any]], photos: _Photos, config: IMMRConfig, clutter: ClutterBank | None
) -> Iterator[_Composed]:
    compose = MosaicComposer(config.mosaics, clutter)
    product = photos.products(config.mosaics.size)
    categories = [record["category"] for record in records]
    for row in range(len(records)):
        rng = np.random.default_rng(np.random.SeedSequence([config.seed, _STREAMS["mosaic"], row]))
        others = draw_distractors(categories, row, config.distractors, rng)
        mosaic = compose([product(index) for index in (row, *others)], rng)
        yield _Composed(mosaic.image, mosaic.boxes[0], _area(mosaic.boxes[0], config.mosaics.size), others)


def _scene_gallery(
    records: Sequence[Mapping[str, Any]], photos: _Photos, config: IMMRConfig, clutter: ClutterBank | None
) -> datasets.Dataset:
    texts, size = _texts(records), config.scenes.size
    compose = SceneComposer(config.scenes, clutter)
    product = photos.products(size)
    categories = texts["category"]
    columns: dict[str, list[Any]] = {name: [] for name in ("image", "box", "prop", "target_area", "covered")}
    for row in range(len(records)):
        rng = np.random.default_rng(np.random.SeedSequence([config.seed, _STREAMS[_SCENE], row]))
        order = rng.permutation(len(records)).tolist()
        others = [other for other in order if categories[other] != categories[row]][:_PROP_CANDIDATES]
        scene = compose(product(row), rng, [product(other) for other in others])
        columns["image"].append(_encode(scene.image))
        columns["box"].append(scene.box)
        columns["prop"].append(None if scene.prop is None else texts["item_id"][others[scene.prop]])
        columns["target_area"].append(None if scene.box is None else _area(scene.box, size))
        columns["covered"].append(scene.covered)
    kinds = {"prop": datasets.Value("string"), "target_area": datasets.Value("float32")}
    features = datasets.Features({**_LISTING, **kinds, "covered": datasets.Value("float32")})
    return datasets.Dataset.from_dict({**texts, **columns}, features=features)


def _scene_meta(settings: Mapping[str, Any], rows: datasets.Dataset) -> dict[str, Any]:
    return {"config": settings, "content": content_digest([rows])}


def _with_scenes(
    folder: Path, config: IMMRConfig, settings: Mapping[str, Any], clutter: ClutterBank | None
) -> IMMRBenchmark:
    """Load a benchmark; first add the scenes if an earlier version built it, from the pictures of Normal."""
    benchmark = load_immr(folder)
    if benchmark.scene is not None:
        if benchmark.meta[_SCENE]["config"] != settings:
            raise ValueError(f"'{folder}' holds a benchmark that differs in scenes; choose another folder.")
        return benchmark
    records = [{**row, "attributes": json.loads(row["attributes"])} for row in benchmark.normal]
    rows = _scene_gallery(records, _Photos(records), config, clutter)
    partial = folder / f".partial-{_SCENE}-{os.getpid()}"
    rows.save_to_disk(str(partial))
    # An interrupted build may have left scenes that the metadata does not mention.
    shutil.rmtree(folder / _SCENE, ignore_errors=True)
    partial.rename(folder / _SCENE)
    new_meta = folder / f".partial-{_META}-{os.getpid()}"
    new_meta.write_text(json.dumps({**benchmark.meta, _SCENE: _scene_meta(settings, rows)}, indent=2))
    os.replace(new_meta, folder / _META)
    return load_immr(folder)


def _area(box: Sequence[float], size: int) -> float:
    """Return the area of a box as a share of a square picture."""
    x0, y0, x1, y1 = box
    return (x1 - x0) * (y1 - y0) / size**2


def _queries(
    records: Sequence[Mapping[str, Any]],
    queries_of: Mapping[str, list[dict[str, Any]]],
    config: IMMRConfig,
    clutter: ClutterBank | None,
) -> datasets.Dataset:
    synthesize = QuerySynthesizer(config.queries, clutter)
    ids, images = [], []
    for row, record in enumerate(records):
        photos = queries_of.get(record["item_id"])
        if photos is None:
            rng = np.random.default_rng(np.random.SeedSequence([config.seed, _STREAMS["query"], row]))
            photo, box = _photo(record)
            photos = [_encode(synthesize(photo, box=box, rng=rng))]
        ids += [record["item_id"]] * len(photos)
        images += photos
    return datasets.Dataset.from_dict(
        {"item_id": ids, "query_image": images},
        features=datasets.Features({"item_id": datasets.Value("string"), "query_image": datasets.Image()}),
    )


def _photo(record: Mapping[str, Any]) -> tuple[Image.Image, list[float] | None]:
    return load_photo(record["image"], record["box"], name=f"item {record['item_id']!r}, image")


def _embedded(image: Mapping[str, Any]) -> dict[str, Any]:
    """Return an undecoded image with its bytes, because the benchmark must not depend on files elsewhere."""
    data = image["bytes"]
    return {"bytes": Path(image["path"]).read_bytes() if data is None else data, "path": None}


def _encode(image: Image.Image) -> dict[str, Any]:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return {"bytes": buffer.getvalue(), "path": None}
