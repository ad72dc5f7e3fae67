"""Catalogs, benchmarks and training pairs of the IMMR benchmark."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tiger_fg_hf.catalog.source import load_catalog
from tiger_fg_hf.data.boxes import crop_to_box
from tiger_fg_hf.data.clutter import open_clutter
from tiger_fg_hf.data.mosaic import MosaicConfig
from tiger_fg_hf.data.query_synthesis import QuerySynthesisConfig
from tiger_fg_hf.data.scene import SceneConfig
from tiger_fg_hf.data.tiger_fg_pairs import TigerFGPairDataset
from tiger_fg_hf.evaluation.immr import IMMRBenchmark, IMMRConfig, build_immr, load_immr
from tiger_fg_hf.synthetic.drawn import drawn_catalog
from tiger_fg_hf.training.recipes.tiger_fg.arguments import TigerFGDataArguments
from tiger_fg_hf.training.recipes.tiger_fg.build import build_catalog, build_pairs, picture_size

from ..harness.data import BenchmarkData, first_rows


class IMMRData(BenchmarkData[IMMRBenchmark]):
    """Data builder of the IMMR benchmark."""

    def read_training(self) -> Any:
        """Read or draw the training catalog. Drawn listings are clean, like ABO: mosaics add the clutter."""
        data = self.setup.data
        if data.data == "drawn":
            data = replace(data, drawn_layout="clean")
        return build_catalog(data, image_size=self.mosaic_size, seed=0)

    @property
    def drawn_folder(self) -> str:
        """Name of the folder that keeps a drawn training catalog."""
        data = self.setup.data
        return f"train-{data.drawn_products}x{data.drawn_views}-{self.mosaic_size}"

    @property
    def settings(self) -> dict[str, Any]:
        """Everything about the training data that changes the result of a run."""
        data = self.setup.data
        names = (
            *("query_difficulty", "mosaic_share", "mosaic_items", "mosaic_area", "mosaic_overlays"),
            *("num_hard_texts", "close_share", "close_size", "close_plain_share", "close_jitter"),
        )
        return {
            "catalog": self.training_fingerprint,
            "clutter": None if data.clutter is None else Path(data.clutter).name,
            **{name: getattr(data, name) for name in names},
        }

    def request(self, name: str) -> dict[str, Any]:
        """Everything that a benchmark is built from."""
        bench, data = self.setup.bench, self.setup.data
        names = ["columns", "clutter", "query_difficulty", "mosaic_area"]
        if data.items is not None:
            names += ["items", "item_columns"]
        return {
            "source": getattr(bench, name),
            **{key: getattr(data, key) for key in names},
            **{key: getattr(bench, key) for key in ("limit", "benchmark_seed", "mosaic_size")},
        }

    def build(self, name: str, folder: Path) -> IMMRBenchmark:
        """Build a benchmark in `folder`."""
        bench, source = self.setup.bench, getattr(self.setup.bench, name)
        smallest, largest = self.setup.data.mosaic_area
        config = IMMRConfig(
            seed=bench.benchmark_seed,
            queries=QuerySynthesisConfig.preset(self.setup.data.query_difficulty),
            mosaics=MosaicConfig(size=bench.mosaic_size, area=(smallest, largest)),
            scenes=SceneConfig(size=bench.mosaic_size),
        )
        if source == "drawn":
            drawn = drawn_catalog(num_products=bench.limit, split=name, layout="clean", size=bench.mosaic_size)
            catalog = load_catalog(drawn)
        else:
            data = replace(self.setup.data, data=source, split=None)
            catalog = build_catalog(data, image_size=bench.mosaic_size, seed=bench.benchmark_seed)
            if data.items is None:  # with --items, the galleries hold every item that a query shows
                catalog = first_rows(catalog, bench.limit)
        clutter, side = self.setup.data.clutter, max(config.queries.size, config.mosaics.size)
        return build_immr(
            catalog,
            folder,
            config,
            query_clutter=open_clutter(clutter, "query", size=side),
            item_clutter=open_clutter(clutter, "item", size=side),
        )

    def build_benchmark(self, name: str) -> IMMRBenchmark:
        """Build a benchmark unless it exists; add the scenes to one of an earlier version."""
        if super().build_benchmark(name).scene is None:
            self._benchmarks[name] = self.build(name, self.folder / name)
        return self.benchmark(name)

    def load(self, folder: Path) -> IMMRBenchmark:
        """Load a benchmark."""
        return load_immr(folder)

    @property
    def mosaic_size(self) -> int:
        """Side in pixels of the mosaics in training, the same for every system."""
        return picture_size(self.setup.model, self.setup.losses)

    def arguments(self, *, mosaics: bool) -> TigerFGDataArguments:
        """Return the data arguments of systems with or without mosaics."""
        return self.setup.data if mosaics else replace(self.setup.data, mosaic_share=0.0)

    def pairs(
        self, *, seed: int, mosaics: bool, hard_texts: bool, true_boxes: bool, close_views: bool = False
    ) -> torch.utils.data.Dataset:
        """Return training pairs; rows, queries, close views and augmentation are the same for every system."""
        data = self.arguments(mosaics=mosaics)
        if mosaics and not data.mosaic_share:
            raise ValueError("--mosaic_share must be positive: some systems are trained with mosaics.")
        pairs = build_pairs(
            self.training,
            data,
            image_size=self.mosaic_size,
            query_size=self.setup.model.query_image_size,
            seed=seed,
            hard_texts=hard_texts,
            close_views=close_views,
        )
        return TrueBoxPairs(pairs) if true_boxes else pairs


class TrueBoxPairs(torch.utils.data.Dataset):
    """Pairs whose item picture is cropped to the item's true box, in mosaics and in listing photos.

    Close views stay as they are: they already show the item alone.

    Args:
        pairs: the pairs to crop.
    """

    def __init__(self, pairs: TigerFGPairDataset):
        self.pairs = pairs
        self.categories, self.item_numbers = pairs.categories, pairs.item_numbers
        self.close_views = pairs.close_views

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
        # Items of one mosaic no longer share a picture.
        key = (pair["image_key"], pair["row"])
        return pair | {"image": crop, "box": [0.0, 0.0, float(crop.width), float(crop.height)], "image_key": key}
