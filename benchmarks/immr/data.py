"""Catalogs, benchmarks and training pairs of the IMMR benchmark, made once and read by every run."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from tiger_fg_hf.catalog.fingerprint import catalog_fingerprint
from tiger_fg_hf.catalog.source import load_catalog
from tiger_fg_hf.data.boxes import crop_to_box
from tiger_fg_hf.data.clutter import ClutterBank
from tiger_fg_hf.data.mosaic import MosaicConfig
from tiger_fg_hf.data.query_synthesis import QuerySynthesisConfig
from tiger_fg_hf.data.tiger_fg_pairs import TigerFGPairDataset
from tiger_fg_hf.evaluation.immr import IMMRBenchmark, IMMRConfig, build_immr, load_immr
from tiger_fg_hf.synthetic.drawn import drawn_catalog
from tiger_fg_hf.training.recipes.catalogs import build_catalog, build_clutter
from tiger_fg_hf.training.recipes.tiger_fg.arguments import TigerFGDataArguments
from tiger_fg_hf.training.recipes.tiger_fg.build import build_pairs

from ..harness.folder import claim_folder
from .arguments import Setup


class BenchmarkData:
    """Everything that is read: made on first use, and kept in `--output/data` where making it takes long."""

    def __init__(self, setup: Setup):
        self.setup = setup
        self._benchmarks: dict[str, IMMRBenchmark] = {}

    @cached_property
    def training(self) -> Any:
        """The training catalog. Drawn listings are clean: whatever clutter there is comes from mosaics, as in ABO."""
        setup = self.setup
        if setup.data.data != "drawn":
            catalog = build_catalog(setup.data, image_size=setup.model.image_size, seed=0)
        else:
            data = replace(setup.data, drawn_layout="clean")
            folder = setup.output / "data" / f"train-{data.drawn_products}x{data.drawn_views}-{setup.model.image_size}"
            if not folder.is_dir():
                drawn = build_catalog(data, image_size=setup.model.image_size, seed=0)
                partial = folder.with_name(f".partial-{folder.name}-{os.getpid()}")
                drawn.save_to_disk(str(partial))
                if folder.is_dir():  # another process was faster
                    shutil.rmtree(partial)
                else:
                    partial.rename(folder)
            catalog = load_catalog(folder)
        limit = setup.bench.train_limit
        return catalog if limit is None else catalog.select(range(min(limit, len(catalog))))

    @cached_property
    def training_fingerprint(self) -> str:
        return catalog_fingerprint(self.training)

    def benchmark(self, name: str) -> IMMRBenchmark:
        """The `"test"` or the `"validation"` benchmark, as [`build_benchmark`] wrote it."""
        if name not in self._benchmarks:
            self._benchmarks[name] = load_immr(self.setup.output / "data" / name)
        return self._benchmarks[name]

    def build_benchmark(self, name: str) -> IMMRBenchmark:
        """
        Writes a benchmark unless it is there.

        Raises:
            ValueError: one of other arguments is there.
        """
        bench = self.setup.bench
        folder, source = self.setup.output / "data" / name, getattr(bench, name)
        asked = ("limit", "benchmark_seed", "mosaic_size")
        told = ["columns", "clutter", "query_difficulty", "mosaic_area"]
        if self.setup.data.items is not None:
            told += ["items", "item_columns"]
        request = {"source": source, **{key: getattr(self.setup.data, key) for key in told}}
        claim_folder(folder.with_name(f"{name}-request"), request | {key: getattr(bench, key) for key in asked})
        if folder.is_dir():
            return load_immr(folder)
        config = IMMRConfig(
            seed=bench.benchmark_seed,
            queries=QuerySynthesisConfig.preset(self.setup.data.query_difficulty),
            mosaics=MosaicConfig(size=bench.mosaic_size, area=self.setup.data.mosaic_range("mosaic_area")),
        )
        if source == "drawn":
            drawn = drawn_catalog(num_products=bench.limit, split=name, layout="clean", size=bench.mosaic_size)
            catalog = load_catalog(drawn)
        else:
            data = replace(self.setup.data, data=source, split=None)
            catalog = build_catalog(data, image_size=bench.mosaic_size, seed=bench.benchmark_seed)
            if data.items is None:  # else all of `--items` that a query shows is in the galleries
                catalog = catalog.select(range(min(bench.limit, len(catalog))))
        side = max(config.queries.size, config.mosaics.size)
        pools = {"query_clutter": self.clutter("query", side), "item_clutter": self.clutter("item", side)}
        return build_immr(catalog, folder, config, **pools)

    def clutter(self, pool: Literal["query", "item"], side: int) -> ClutterBank | None:
        return build_clutter(self.setup.data.clutter, pool, size=side)

    def arguments(self, *, mosaics: bool) -> TigerFGDataArguments:
        """How training pairs are made for systems with or without mosaics."""
        return self.setup.data if mosaics else replace(self.setup.data, mosaic_share=0.0)

    def pairs(self, *, seed: int, mosaics: bool, hard_texts: bool, true_boxes: bool) -> torch.utils.data.Dataset:
        """Training pairs; the same rows, queries and augmentation for every system."""
        data = self.arguments(mosaics=mosaics)
        if mosaics and not data.mosaic_share:
            raise ValueError("--mosaic_share must be positive: some systems are trained with mosaics.")
        pairs = build_pairs(
            self.training,
            data,
            image_size=self.setup.model.image_size,
            query_size=self.setup.model.query_image_size,
            seed=seed,
            hard_texts=hard_texts,
        )
        return TrueBoxPairs(pairs) if true_boxes else pairs


class TrueBoxPairs(torch.utils.data.Dataset):
    """Pairs whose item picture is cropped to the item's true box, in a mosaic as in a listing photo."""

    def __init__(self, pairs: TigerFGPairDataset):
        self.pairs = pairs
        self.categories, self.item_numbers = pairs.categories, pairs.item_numbers

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitems__(self, keys: Sequence[Any]) -> list[dict[str, Any]]:
        return [self._cropped(pair) for pair in self.pairs.__getitems__(keys)]

    def __getitem__(self, key: Any) -> dict[str, Any]:
        return self.__getitems__([key])[0]

    @staticmethod
    def _cropped(pair: dict[str, Any]) -> dict[str, Any]:
        if pair["box"] is None:
            return pair
        crop = crop_to_box(pair["image"], pair["box"])
        # Siblings of one mosaic no longer share a picture.
        key = (pair["image_key"], pair["row"])
        return pair | {"image": crop, "box": [0.0, 0.0, float(crop.width), float(crop.height)], "image_key": key}


def data_settings(setup: Setup, data: BenchmarkData) -> dict[str, Any]:
    """What of the data changes a run's result."""
    told = ("query_difficulty", "mosaic_share", "mosaic_items", "mosaic_area", "mosaic_overlays", "num_hard_texts")
    return {
        "catalog": data.training_fingerprint,
        "clutter": None if setup.data.clutter is None else Path(setup.data.clutter).name,
        **{name: getattr(setup.data, name) for name in told},
    }
