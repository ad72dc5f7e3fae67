"""Catalogs, benchmarks and training pairs of the listing benchmark, made once and read by every run."""

import json
import os
import shutil
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from tiger_fg_hf.catalog.fingerprint import catalog_fingerprint
from tiger_fg_hf.catalog.source import load_catalog
from tiger_fg_hf.data.listings import ListingConfig
from tiger_fg_hf.models.modeling_tgq_former import TGQFormerModel
from tiger_fg_hf.models.processing_tgq_former import TGQFormerProcessor
from tiger_fg_hf.synthetic.drawn import drawn_catalog
from tiger_fg_hf.synthetic.overlays import LEVELS, FontSet, Level, default_fonts
from tiger_fg_hf.training.recipes.catalogs import build_clutter
from tiger_fg_hf.training.recipes.listings import build_listing_catalog, build_listing_pairs
from tiger_fg_hf.training.recipes.tgq_former.build import build_tgq_former

from ..harness.folder import SETTINGS, claim_folder
from .arguments import AUTOCAST_TYPES, Setup
from .benchmark import ListingBenchmark, ListingBenchmarkConfig, build_listing_benchmark, load_listing_benchmark
from .features import write_features
from .gates import PARTS, Part, listings_of
from .model import model_settings
from .pairs import JPEG_QUALITY, StoredPairs, write_pair_features, write_pairs


class BenchmarkData:
    """Everything that is read: made on first use, and kept in `--output/data` where making it takes long."""

    def __init__(self, setup: Setup):
        self.setup = setup
        self._benchmarks: dict[str, ListingBenchmark] = {}

    @cached_property
    def training(self) -> Any:
        """The training catalog."""
        data, limit = self.setup.data, self.setup.bench.train_limit
        if data.data != "drawn":
            catalog = build_listing_catalog(data, seed=0)
        else:
            folder = self.setup.output / "data" / f"train-{data.drawn_products}-{data.image_size}"
            if not folder.is_dir():
                partial = folder.with_name(f".partial-{folder.name}-{os.getpid()}")
                build_listing_catalog(data, seed=0).save_to_disk(str(partial))
                if folder.is_dir():  # another process was faster
                    shutil.rmtree(partial)
                else:
                    partial.rename(folder)
            catalog = load_catalog(folder)
        return catalog if limit is None else catalog.select(range(min(limit, len(catalog))))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What training pairs are made of."""
        data = self.setup.data
        told = ("level_shares", "keep_words", "wrong_titles", "image_size", "cache_decoded")
        return {
            "catalog": catalog_fingerprint(self.training),
            "clutter": None if data.clutter is None else Path(data.clutter).name,
            "fonts": (FontSet(data.fonts) if data.fonts else default_fonts()).digest,
            "jpeg_quality": JPEG_QUALITY,
            **{name: getattr(data, name) for name in told},
        }

    def draw_pairs(self, seed: int, steps: int) -> None:
        """
        Writes the training pairs of `steps` steps with a seed, unless they are there.

        Raises:
            ValueError: those of other arguments are there.
        """
        setup, folder = self.setup, self._pairs_folder(seed)
        size = setup.train.batch_size
        claim_folder(folder, {**self.settings, "seed": seed, "batch_size": size})
        write_pairs(
            folder,
            lambda: build_listing_pairs(self.training, setup.data, seed=seed),
            num_rows=len(self.training),
            batch_size=size,
            batches=steps * setup.train.gradient_accumulation_steps,
            seed=seed,
            workers=setup.bench.draw_workers,
        )

    def pairs(self, seed: int) -> StoredPairs:
        """The training pairs that [`draw_pairs`] wrote, with the features that [`encode_pairs`] did."""
        folder = self._pairs_folder(seed)
        return StoredPairs(folder, len(self.training), features=self._features / folder.name)

    def _pairs_folder(self, seed: int) -> Path:
        return self.setup.output / "data" / f"pairs-seed{seed}"

    def encode_pairs(self, seed: int) -> None:
        """Writes what the frozen dual encoder says of the training pairs, unless it is there."""
        folder = self._pairs_folder(seed)
        features = self._claimed_features(folder.name, json.loads((folder / SETTINGS).read_text()))
        write_pair_features(folder, features, *self._model, **self._encoding)

    def encode_benchmark(self, name: str) -> None:
        """Writes what the frozen dual encoder says of a benchmark's listings, unless it is there."""
        benchmark = self.benchmark(name)
        self._claimed_features(name, {"content": benchmark.meta["content"]})
        for part in PARTS:
            for level in LEVELS:
                path = self.features(name, part, level)
                if not path.is_file():
                    write_features(path, *self._model, *listings_of(benchmark, part, level), **self._encoding)

    def features(self, name: str, part: Part, level: Level) -> Path:
        """File that [`encode_benchmark`] writes of one part at one level."""
        return self._features / name / f"{part}-{level}.safetensors"

    @property
    def _features(self) -> Path:
        return self.setup.output / "data" / "features"

    def _claimed_features(self, name: str, listings: dict[str, Any]) -> Path:
        """
        Raises:
            ValueError: the features there are of other `listings` or another dual encoder, or computed in another way.
        """
        model, data = self.setup.model, self.setup.data
        told = {name: model_settings(self.setup)[name] for name in ("dual_encoder", "max_title_length")}
        told |= {"mixed_precision": self.setup.train.mixed_precision, "image_size": data.image_size}
        told |= {"attn_implementation": model.attn_implementation, "listings": listings}
        claim_folder(self._features / name, told)
        return self._features / name

    @cached_property
    def _model(self) -> tuple[TGQFormerModel, TGQFormerProcessor]:
        """Any model around the dual encoder, and the processor of all."""
        model, processor = build_tgq_former(self.setup.model, self.setup.data)
        return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), processor

    @property
    def _encoding(self) -> dict[str, Any]:
        dtype = AUTOCAST_TYPES.get(self.setup.train.mixed_precision)
        return {"batch_size": self.setup.bench.eval_batch_size, "autocast_dtype": dtype}

    def benchmark(self, name: str) -> ListingBenchmark:
        """The `"test"` or the `"validation"` benchmark, as [`build_benchmark`] wrote it."""
        if name not in self._benchmarks:
            self._benchmarks[name] = load_listing_benchmark(self.setup.output / "data" / name)
        return self._benchmarks[name]

    def build_benchmark(self, name: str) -> ListingBenchmark:
        """
        Writes a benchmark unless it is there.

        Raises:
            ValueError: one of other arguments is there.
        """
        bench, data = self.setup.bench, self.setup.data
        folder = self.setup.output / "data" / name
        request = {
            "source": getattr(bench, name),
            **{key: getattr(bench, key) for key in ("limit", "benchmark_seed")},
            **{key: getattr(data, key) for key in ("columns", "clutter", "keep_words", "image_size", "fonts")},
        }
        if name == "test":
            request |= {key: getattr(bench, key) for key in ("distractors", "distractor_limit")}
        claim_folder(folder.with_name(f"{name}-request"), request)
        if folder.is_dir():
            return self.benchmark(name)
        distractors = None
        if name == "test" and bench.distractors is not None:
            distractors = self._listings(bench.distractors, "distractors", bench.distractor_limit)
        listings = ListingConfig(size=data.image_size, keep_words=data.kept_words())
        self._benchmarks[name] = build_listing_benchmark(
            self._listings(getattr(bench, name), name, bench.limit),
            folder,
            ListingBenchmarkConfig(seed=bench.benchmark_seed, listings=listings),
            distractors=distractors,
            query_clutter=build_clutter(data.clutter, "query", size=data.image_size),
            pool_clutter=build_clutter(data.clutter, "item", size=data.image_size),
            fonts=FontSet(data.fonts) if data.fonts else None,
        )
        return self._benchmarks[name]

    def _listings(self, source: str, name: str, limit: int | None) -> Any:
        """The first rows of a catalog, or drawn products of the split `name`."""
        data = self.setup.data
        if source == "drawn":
            size = max(data.image_size, 96)
            products = limit or self.setup.bench.limit
            return load_catalog(drawn_catalog(num_products=products, split=name, layout="clean", size=size))
        catalog = build_listing_catalog(replace(data, data=source, split=None), seed=0)
        return catalog if limit is None else catalog.select(range(min(limit, len(catalog))))
