"""Catalogs and benchmarks that all runs read, built once and kept below `--output/data`."""

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from tiger_fg_hf.catalog.fingerprint import catalog_fingerprint
from tiger_fg_hf.catalog.source import load_catalog

from .arguments import Setup
from .folder import claim_folder, write_folder

BuiltBenchmark = TypeVar("BuiltBenchmark")
"""A named tuple with `meta`, which has the digest of its `content`."""


class BenchmarkData(ABC, Generic[BuiltBenchmark]):
    """Data builder of a benchmark.

    Args:
        setup: arguments of the benchmark.
    """

    def __init__(self, setup: Setup):
        self.setup = setup
        self.folder = setup.output / "data"
        self._benchmarks: dict[str, BuiltBenchmark] = {}

    @abstractmethod
    def read_training(self) -> Any:
        """Read or draw the training catalog."""

    @property
    @abstractmethod
    def drawn_folder(self) -> str:
        """Name of the folder that keeps a drawn training catalog."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything about the training data that changes the result of a run."""

    @abstractmethod
    def request(self, name: str) -> dict[str, Any]:
        """Everything that the `"test"` or `"validation"` benchmark is built from."""

    @abstractmethod
    def build(self, name: str, folder: Path) -> BuiltBenchmark:
        """Build a benchmark in `folder`."""

    @abstractmethod
    def load(self, folder: Path) -> BuiltBenchmark:
        """Load a benchmark that [`build`] wrote."""

    @cached_property
    def training(self) -> Any:
        """The training catalog, up to `--train_limit` rows."""
        if self.setup.data.data == "drawn":
            folder = self.folder / self.drawn_folder
            write_folder(folder, lambda partial: self.read_training().save_to_disk(str(partial)))
            catalog = load_catalog(folder)
        else:
            catalog = self.read_training()
        return first_rows(catalog, self.setup.bench.train_limit)

    @cached_property
    def training_fingerprint(self) -> str:
        """Fingerprint of the training catalog."""
        return catalog_fingerprint(self.training)

    def benchmark(self, name: str) -> BuiltBenchmark:
        """Return the `"test"` or the `"validation"` benchmark that [`build_benchmark`] wrote."""
        if name not in self._benchmarks:
            self._benchmarks[name] = self.load(self.folder / name)
        return self._benchmarks[name]

    def build_benchmark(self, name: str) -> BuiltBenchmark:
        """Build a benchmark unless it exists.

        Raises:
            ValueError: if it exists and was built from other arguments.
        """
        folder = self.folder / name
        claim_folder(folder.with_name(f"{name}-request"), self.request(name))
        if not folder.is_dir():
            self._benchmarks[name] = self.build(name, folder)
        return self.benchmark(name)


def first_rows(catalog: Any, limit: int | None) -> Any:
    """Return the first `limit` rows of a catalog; all of them for None."""
    return catalog if limit is None else catalog.select(range(min(limit, len(catalog))))
