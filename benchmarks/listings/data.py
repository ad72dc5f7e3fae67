"""Catalogs, benchmarks, training pairs and stored features of the listings benchmark."""

import json
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from tiger_fg_hf.catalog.source import load_catalog
from tiger_fg_hf.data.clutter import open_clutter
from tiger_fg_hf.models.modeling_tgq_former import TGQFormerModel
from tiger_fg_hf.models.processing_tgq_former import TGQFormerProcessor
from tiger_fg_hf.synthetic.drawn import drawn_catalog
from tiger_fg_hf.synthetic.overlays import LEVELS, FontSet, Level, default_fonts
from tiger_fg_hf.training.recipes.listings import build_listing_catalog, build_listing_pairs
from tiger_fg_hf.training.recipes.tgq_former.build import build_tgq_former

from ..harness.data import BenchmarkData, first_rows
from ..harness.folder import SETTINGS, claim_folder
from .dataset import ListingBenchmark, ListingBenchmarkConfig, build_listing_benchmark, load_listing_benchmark
from .features import write_features
from .gates import PARTS, Part, listings_of
from .model import model_settings
from .pairs import JPEG_QUALITY, StoredPairs, write_pair_features, write_pairs


class ListingsData(BenchmarkData[ListingBenchmark]):
    """Data builder of the listings benchmark."""

    def read_training(self) -> Any:
        """Read or draw the training catalog."""
        return build_listing_catalog(self.setup.data, seed=0)

    @property
    def drawn_folder(self) -> str:
        """Name of the folder that keeps a drawn training catalog."""
        return f"train-{self.setup.data.drawn_products}-{self.setup.data.image_size}"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Everything that training pairs are made from."""
        data = self.setup.data
        names = ("level_shares", "keep_words", "wrong_titles", "image_size", "cache_decoded")
        return {
            "catalog": self.training_fingerprint,
            "clutter": None if data.clutter is None else Path(data.clutter).name,
            "fonts": (FontSet(data.fonts) if data.fonts else default_fonts()).digest,
            "jpeg_quality": JPEG_QUALITY,
            **{name: getattr(data, name) for name in names},
        }

    def request(self, name: str) -> dict[str, Any]:
        """Everything that a benchmark is built from; only the test benchmark has distractors."""
        bench, data = self.setup.bench, self.setup.data
        names = ["limit", "benchmark_seed", *(["distractors", "distractor_limit"] if name == "test" else [])]
        return {
            "source": getattr(bench, name),
            **{key: getattr(bench, key) for key in names},
            **{key: getattr(data, key) for key in ("columns", "clutter", "keep_words", "image_size", "fonts")},
        }

    def build(self, name: str, folder: Path) -> ListingBenchmark:
        """Build a benchmark in `folder`."""
        bench, data = self.setup.bench, self.setup.data
        distractors = None
        if name == "test" and bench.distractors is not None:
            distractors = self._products(bench.distractors, "distractors", bench.distractor_limit)
        return build_listing_benchmark(
            self._products(getattr(bench, name), name, bench.limit),
            folder,
            ListingBenchmarkConfig(seed=bench.benchmark_seed, listings=data.listing_config),
            distractors=distractors,
            query_clutter=open_clutter(data.clutter, "query", size=data.image_size),
            pool_clutter=open_clutter(data.clutter, "item", size=data.image_size),
            fonts=FontSet(data.fonts) if data.fonts else None,
        )

    def load(self, folder: Path) -> ListingBenchmark:
        """Load a benchmark."""
        return load_listing_benchmark(folder)

    def draw_pairs(self, seed: int, steps: int) -> None:
        """Write the training pairs of `steps` steps with a seed, unless they exist.

        Raises:
            ValueError: if they exist and were drawn with other arguments.
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
        """Return the training pairs of [`draw_pairs`] with the features of [`encode_pairs`]."""
        folder = self._pairs_folder(seed)
        return StoredPairs(folder, len(self.training), features=self._features / folder.name)

    def encode_pairs(self, seed: int) -> None:
        """Store the outputs of the frozen dual encoder for the training pairs, unless they exist."""
        folder = self._pairs_folder(seed)
        features = self._claim_features(folder.name, json.loads((folder / SETTINGS).read_text()))
        write_pair_features(folder, features, *self._model, **self.setup.evaluation_options)

    def encode_benchmark(self, name: str) -> None:
        """Store the outputs of the frozen dual encoder for a benchmark, unless they exist."""
        benchmark = self.benchmark(name)
        self._claim_features(name, {"content": benchmark.meta["content"]})
        for part in PARTS:
            for level in LEVELS:
                path = self.features(name, part, level)
                if not path.is_file():
                    listings = listings_of(benchmark, part, level)
                    write_features(path, *self._model, *listings, **self.setup.evaluation_options)

    def features(self, name: str, part: Part, level: Level) -> Path:
        """Return the file that [`encode_benchmark`] writes for one part at one level."""
        return self._features / name / f"{part}-{level}.safetensors"

    def _pairs_folder(self, seed: int) -> Path:
        return self.folder / f"pairs-seed{seed}"

    @property
    def _features(self) -> Path:
        return self.folder / "features"

    def _claim_features(self, name: str, listings: dict[str, Any]) -> Path:
        """Claim a folder of features.

        Raises:
            ValueError: if it holds features of other listings, another dual encoder or other settings.
        """
        setup, model = self.setup, model_settings(self.setup)
        settings = {key: model[key] for key in ("dual_encoder", "max_title_length")}
        settings |= {"mixed_precision": setup.train.mixed_precision, "image_size": setup.data.image_size}
        settings |= {"attn_implementation": setup.model.attn_implementation, "listings": listings}
        claim_folder(self._features / name, settings)
        return self._features / name

    @cached_property
    def _model(self) -> tuple[TGQFormerModel, TGQFormerProcessor]:
        """A model with the dual encoder that all systems share, and its processor."""
        model, processor = build_tgq_former(self.setup.model, self.setup.data)
        return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), processor

    def _products(self, source: str, name: str, limit: int | None) -> Any:
        """The first rows of a catalog, or drawn products of the split `name`."""
        data = self.setup.data
        if source == "drawn":
            size, products = max(data.image_size, 96), limit or self.setup.bench.limit
            return load_catalog(drawn_catalog(num_products=products, split=name, layout="clean", size=size))
        return first_rows(build_listing_catalog(replace(data, data=source, split=None), seed=0), limit)
