"""What a benchmark supplies: a list of systems, a data builder and a scorer. The harness does the rest."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from .arguments import Setup
from .charts import draw_bars
from .data import BenchmarkData
from .results import Result
from .scored import Scored
from .systems import System, SystemList
from .tables import Columns


@dataclass(frozen=True)
class Run:
    """One training with one seed at one learning rate, and its evaluation.

    Attributes:
        system: what is trained.
        seed: seed of weights, data order and augmentation.
        rate: learning rate; None if the grid has not selected it yet, or nothing is trained.
        steps: training steps.
        benchmark: `"validation"` for trials of the grid, else `"test"`.
        name: folder below `--output`.
    """

    system: System
    seed: int
    rate: float | None
    steps: int
    benchmark: str
    name: str


class Benchmark(ABC):
    """A benchmark. Subclasses set the class attributes and implement the abstract methods.

    Attributes:
        title: heading of the report.
        chart_title: heading of its bar chart.
        chart_file: file name of the bar chart.
        grid_note: what the learning-rate grid maximizes.
        script: folder or file that runs the benchmark, for runs in processes of their own.
        systems: all systems.
        data_class, result_class, scored_class: see the base classes.
        model_class, processor_class: classes of the checkpoints that `--evaluate` scores.
    """

    title: ClassVar[str]
    chart_title: ClassVar[str]
    chart_file: ClassVar[str]
    grid_note: ClassVar[str]
    script: ClassVar[Path]
    systems: ClassVar[SystemList]
    data_class: ClassVar[type[BenchmarkData]]
    result_class: ClassVar[type[Result]]
    scored_class: ClassVar[type[Scored]]
    model_class: ClassVar[type]
    processor_class: ClassVar[type]

    def __init__(self, setup: Setup):
        self.setup = setup
        self.data = self.data_class(setup)

    @classmethod
    @abstractmethod
    def parse(cls, argv: Sequence[str] | None) -> Setup:
        """Parse the command line."""

    @abstractmethod
    def sizes(self, benchmark: Any) -> dict[str, int]:
        """Return the number of products, queries and items of a built benchmark."""

    def prepare(self, runs: Sequence[Run], parts: Sequence[str]) -> None:  # noqa: B027 - optional
        """Compute what several runs share, before they start in parallel.

        Args:
            runs: all runs, trials included.
            parts: names of the benchmarks that they are scored on.
        """

    def final_steps(self, system: System) -> int:
        """Return the training steps of a run on the test benchmark."""
        return self.setup.train.max_steps if system.trained else 0

    @abstractmethod
    def learning_rates(self, rate: float) -> dict[str, float]:
        """Return `backbone_lr` and `head_lr` for a rate of the grid, in the ratio of the recipe."""

    @abstractmethod
    def own_settings(self, run: Run) -> dict[str, Any]:
        """Return what the result of a run depends on apart from training arguments, data, seed and rate."""

    @abstractmethod
    def start(self, run: Run) -> tuple[Any, Any]:
        """Return the untrained model and the processor of a run."""

    @abstractmethod
    def train(
        self, run: Run, args: Any, accelerator: Any, model: Any, processor: Any, settings: dict[str, Any]
    ) -> tuple[Any, dict[str, float]]:
        """Train a model; return it with the `training` of its [`Result`]."""

    def keeps_model(self, run: Run) -> bool:
        """Return whether the trained model stays in the run folder."""
        return run.benchmark == "test"

    @abstractmethod
    def score(self, model: Any, processor: Any, name: str, run: Run | None = None) -> dict[str, Any]:
        """Score a model on a benchmark.

        Args:
            model: model in eval mode on its device.
            processor: its processor.
            name: `"test"` or `"validation"`.
            run: the run of the model; None for a checkpoint that `--evaluate` names.

        Returns:
            The fields of [`Result`] except `settings` and `training`.
        """

    @abstractmethod
    def scored(self, name: str, by_seed: Mapping[int, Result]) -> Scored:
        """Return the results of a system on a benchmark."""

    # The report.

    @abstractmethod
    def settings_text(self, results: Mapping[str, Scored]) -> str:
        """Describe what all systems share."""

    @abstractmethod
    def chance_text(self) -> str:
        """State what a random order of the items scores."""

    def before_differences(self, systems: Mapping[str, Any]) -> list[str]:
        """Return the sections between the metrics and the paired differences."""
        return []

    def after_differences(self, systems: Mapping[str, Any]) -> list[str]:
        """Return the sections after the paired differences."""
        return []

    @abstractmethod
    def cost_text(self, systems: Mapping[str, Any]) -> str:
        """Return the table of parameters, operations and times."""

    def ablation_columns(self) -> Columns:
        """Return further columns of the ablation table."""
        return {}

    def closing_sections(self, ours: Any, folder: Path) -> list[str]:
        """Return the last sections, about the main system; draw their pictures in `folder`."""
        return []

    def summary_text(self, systems: Mapping[str, Any]) -> str:
        """Return what the command prints in the end."""
        return ""

    def chart(self, systems: Mapping[str, Scored]) -> Image.Image:
        """Draw the bar chart of the report."""
        rows = {name: [scored.interval(part) for part in scored.parts] for name, scored in systems.items()}
        return draw_bars(rows, [part.capitalize() for part in self.scored_class.parts], title=self.chart_title)

    # One checkpoint.

    @abstractmethod
    def evaluation_text(self, model: Any, folder: Path) -> str:
        """Return the tables of one checkpoint; draw their pictures in `folder`."""

    def card_extras(self, scored: Any, part: str) -> dict[str, Any]:
        """Return `pointing` and `pointing_chance` for a model card, in shares of 1."""
        return {"pointing": None}
