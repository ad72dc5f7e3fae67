r"""The IMMR benchmark: TIGER-FG and baselines with the same backbones and the same training budget.

    python -m benchmarks.immr --output runs/immr --test abo/test.parquet --validation abo/validation.parquet \
        examples/recipes/abo-deit-tiny.yaml --data abo/train.parquet --clutter clutter.parquet \
        --vision VISION --text TEXT

Builds the benchmarks, tries every system at the same learning rates on the validation benchmark, trains it at the best
rate, scores it on the test benchmark, and writes `runs/immr/report/`. See `benchmarks/README.md`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tiger_fg_hf import TigerFGModel, TigerFGProcessor
from tiger_fg_hf.evaluation.immr import IMMRBenchmark
from tiger_fg_hf.evaluation.immr_scores import IMMRScores, query_metrics, score_immr
from tiger_fg_hf.objectives.teacher import TeacherFeatures
from tiger_fg_hf.objectives.tiger_fg import TigerFGTask
from tiger_fg_hf.training.layers import freeze
from tiger_fg_hf.training.loop import train
from tiger_fg_hf.training.recipes.tiger_fg.build import (
    build_collator,
    build_model_and_processor,
    build_sampling,
    build_student,
    build_teacher,
)

from ..harness.benchmark import Benchmark, Run
from ..harness.cost import measure_cost
from ..harness.evaluate import shares
from ..harness.report import metric_sections
from ..harness.runs import training_summary
from ..harness.tables import Columns, short
from .arguments import IMMRSetup, parse_immr_setup
from .cases import draw_mosaic_cases
from .data import IMMRData
from .results import IMMRResult
from .scored import (
    MEASURES,
    IMMRScored,
    cost_section,
    glance_section,
    grounding_cell,
    grounding_section,
    robustness_section,
)
from .systems import ABLATIONS, IMMR_SYSTEMS, OURS, IMMRSystem


class IMMR(Benchmark):
    """The IMMR benchmark."""

    title = "IMMR benchmark"
    chart_title = "IMMR: Recall@1 with 95% bootstrap intervals"
    chart_file = "recall.png"
    grid_note = (
        "Mean Recall@1 of all galleries of the validation benchmark, in percent, after a short trial of every system "
        "at every rate."
    )
    script = Path(__file__).parent
    systems = IMMR_SYSTEMS
    data_class = IMMRData
    result_class = IMMRResult
    scored_class = IMMRScored
    model_class = TigerFGModel
    processor_class = TigerFGProcessor

    setup: IMMRSetup
    data: IMMRData

    @classmethod
    def parse(cls, argv: Sequence[str] | None) -> IMMRSetup:
        """Parse the command line."""
        return parse_immr_setup(argv)

    def sizes(self, benchmark: IMMRBenchmark) -> dict[str, int]:
        """Return the number of products, queries and items."""
        return {
            "products": benchmark.meta["products"],
            "queries": len(benchmark.queries),
            "items": len(benchmark.normal),
        }

    def prepare(self, runs: Sequence[Run], parts: Sequence[str]) -> None:
        """Compute the fingerprint of the training catalog and the features of the teacher."""
        self.data.training_fingerprint  # noqa: B018
        if any(self._weights(run).needs_teacher for run in runs):
            self._teacher()

    def final_steps(self, system: IMMRSystem) -> int:
        """Return the training steps of a final run; ablations get fewer."""
        steps = super().final_steps(system)
        if system in ABLATIONS:
            return self.setup.bench.ablation_steps or max(1, steps // 2)
        return steps

    def learning_rates(self, rate: float) -> dict[str, float]:
        """Return the rates of the encoders and of the other parts."""
        train_args = self.setup.train
        return {"backbone_lr": rate, "head_lr": rate * train_args.head_lr / train_args.backbone_lr}

    def own_settings(self, run: Run) -> dict[str, Any]:
        """Return model, losses, teacher and pictures of a run."""
        system, model, weights = run.system, self.setup.model, self._weights(run)
        return {
            "model": {"class": system.model.__name__, "config": dict(system.config), **asdict(model)},
            "losses": asdict(weights),
            "teacher": (model.teacher or model.vision) if weights.needs_teacher else None,
            "mosaics": system.mosaics,
            "true_boxes": system.true_boxes,
            "mosaic_size": self.data.mosaic_size,
            "scenes": self.data.benchmark(run.benchmark).meta["scene"]["content"],
        }

    def start(self, run: Run) -> tuple[TigerFGModel, TigerFGProcessor]:
        """Return the untrained model and its processor."""
        model, processor = build_model_and_processor(self.setup.model, self.data.training)
        model = run.system.start(model)
        if model.config.num_glances == 1:
            processor.glance_scale = None
        return model, processor

    def train(
        self, run: Run, args: Any, accelerator: Any, model: Any, processor: Any, settings: dict[str, Any]
    ) -> tuple[TigerFGModel, dict[str, float]]:
        """Train a model in place."""
        setup, system, weights = self.setup, run.system, self._weights(run)
        frozen = freeze(model, text=setup.model.freeze_text or not system.reads_text, stem=setup.model.freeze_stem)
        student = build_student(model, weights, freeze_text=setup.model.freeze_text and system.reads_text)
        encoder = _weights_digest(model.text_model)
        tokens = self.data.folder / f"text-tokens-{setup.train.mixed_precision}-{encoder}.safetensors"
        if student.frozen_text is not None and tokens.is_file():
            student.frozen_text.load(tokens)
        pairs = self.data.pairs(
            seed=run.seed,
            mosaics=system.mosaics,
            hard_texts=weights.student_outputs().mismatched,
            true_boxes=system.true_boxes,
            close_views=weights.student_outputs().close,
        )
        data = self.data.arguments(mosaics=system.mosaics)
        summary = train(
            accelerator,
            student,
            pairs,
            build_collator(processor, pairs, full_size=bool(weights.glance)),
            args,
            partial(TigerFGTask, weights=weights, teacher=self._teacher() if weights.needs_teacher else None),
            num_workers=setup.data.num_workers,
            frozen=frozen,
            sampling=build_sampling(pairs, data, batch_size=args.batch_size, seed=run.seed),
            fixed={"settings": settings},
        )
        if student.frozen_text is not None and not tokens.is_file():
            student.frozen_text.save(tokens)
        return model, training_summary(summary["history"], args)

    def score(self, model: Any, processor: Any, name: str, run: Run | None = None) -> dict[str, Any]:
        """Score a model on all galleries."""
        system = None if run is None else run.system
        benchmark = self.data.benchmark(name)
        true_boxes = system is not None and system.true_boxes
        scores = score_immr(model, processor, benchmark, true_boxes=true_boxes, **self.setup.evaluation_options)
        reads_text = system is None or system.reads_text
        return {
            "summary": summarize(benchmark, scores),
            "cost": _tower_costs(model, processor, benchmark, reads_text=reads_text),
            "scores": scores,
        }

    def scored(self, name: str, by_seed: Mapping[int, IMMRResult]) -> IMMRScored:
        """Return the results of a system."""
        benchmark = self.data.benchmark(name)
        return IMMRScored(benchmark.queries["item_id"], by_seed, benchmark)

    def settings_text(self, results: Mapping[str, IMMRScored]) -> str:
        """Describe benchmark, training data, budget, encoders and losses."""
        setup, train_args = self.setup, self.setup.train
        weights = ", ".join(
            f"{name} {value:g}" for name, value in asdict(setup.losses).items() if isinstance(value, float)
        )
        teacher = (
            next((result.settings["teacher"] for result in results[OURS].results), None) if OURS in results else None
        )
        teacher = f"`{short(teacher)}`" if teacher else "none, so neither SRD nor SDD"
        return "\n".join(
            [
                f"- Test benchmark: `{Path(setup.bench.test).name}`, {self._benchmark_text()}",
                f"- Training catalog: `{Path(setup.data.data).name}`, fingerprint `{self.data.training_fingerprint}`, "
                f"{len(self.data.training)} rows.",
                f"- Every system: {train_args.max_steps} steps of "
                f"{train_args.batch_size * train_args.gradient_accumulation_steps} pairs at "
                f"{setup.model.image_size} px (queries: {setup.model.query_image_size or setup.model.image_size} px), "
                f"the same pairs in the same order, AdamW, seeds {setup.bench.seeds}. Systems with mosaics see "
                f"{setup.data.mosaic_share:.0%} of their pairs in mosaics{self._close_views_text()}.",
                f"- Encoders: {self._encoders_text()}.",
                f"- Losses of TIGER-FG: {weights}; teacher: {teacher}.",
            ]
        )

    def chance_text(self) -> str:
        """State what a random order of the items scores."""
        items = len(self.data.benchmark("test").normal)
        return f"Chance is {100 / items:.2g} for Recall@1 and {100 * min(10, items) / items:.2g} for Recall@10."

    def after_differences(self, systems: Mapping[str, IMMRScored]) -> list[str]:
        """Return the sections about grounding, glances and robustness."""
        return [*grounding_section(systems), *glance_section(systems), *robustness_section(systems)]

    def cost_text(self, systems: Mapping[str, IMMRScored]) -> str:
        """Return the table of parameters, operations and times."""
        return cost_section(systems)

    def ablation_columns(self) -> Columns:
        """Return grounding in mosaics."""
        return {
            f"{label}, Mosaic": partial(grounding_cell, gallery="mosaic", measure=measure)
            for measure, label in MEASURES.items()
        }

    def closing_sections(self, ours: IMMRScored, folder: Path) -> list[str]:
        """Return the section with grounding maps of good and bad cases."""
        if not draw_mosaic_cases(folder, ours.benchmark, ours.results[0].scores.galleries["mosaic"]):
            return []
        return ["## Grounding maps", "[Good and bad cases](grounding.html)", "![Grounding maps](grounding.png)"]

    def evaluation_text(self, model: IMMRScored, folder: Path) -> str:
        """Return the tables of one checkpoint."""
        systems = {"model": model}
        parts = [f"Benchmark {self._benchmark_text()}", *metric_sections(self, systems)]
        return "\n\n".join([*parts, *self.after_differences(systems), "## Cost", self.cost_text(systems)])

    def card_extras(self, scored: IMMRScored, part: str) -> dict[str, Any]:
        """Return the pointing accuracy of a gallery in shares of 1."""
        pointing = scored.grounding(part, "pointing")
        if pointing is None:
            return {"pointing": None, "pointing_chance": None}
        return {"pointing": shares(pointing[0]._asdict()), "pointing_chance": pointing[1] / 100}

    def _weights(self, run: Run) -> Any:
        return run.system.weights(self.setup.losses)

    def _teacher(self) -> TeacherFeatures | None:
        """Features of the frozen teacher, computed once for all runs."""
        return build_teacher(
            self.data.training,
            self.setup.model,
            self.setup.losses,
            self.data.folder / "teacher",
            fingerprint=self.data.training_fingerprint,
        )

    def _benchmark_text(self) -> str:
        meta = self.data.benchmark("test").meta
        return (
            f"`{meta['content']}`: {meta['queries']} queries of {meta['products']} products, galleries of "
            f"{meta['products']}, seed {meta['config']['seed']}; {meta['left_out']} rows of the catalog left out; "
            f"scenes `{meta['scene']['content']}`."
        )

    def _close_views_text(self) -> str:
        data = self.setup.data
        if not (data.close_share and self.setup.losses.student_outputs().close):
            return ""
        return f", and close views of {data.close_share:.0%} of those at {data.close_size} px"

    def _encoders_text(self) -> str:
        model = self.setup.model
        if model.vision and model.text:
            frozen = ", frozen" if model.freeze_text else ""
            return f"`{short(model.vision)}` and `{short(model.text)}`{frozen}"
        return f"those of `{short(model.model)}`" if model.model else "from scratch"


def summarize(benchmark: IMMRBenchmark, scores: IMMRScores) -> dict[str, dict[str, float]]:
    """Return the mean metrics of each gallery."""
    return {
        gallery: {name: float(values.mean()) for name, values in query_metrics(benchmark, part).items()}
        for gallery, part in scores.galleries.items()
    }


def _tower_costs(
    model: TigerFGModel, processor: Any, benchmark: IMMRBenchmark, *, reads_text: bool
) -> dict[str, dict[str, float]]:
    """Cost of embedding one query, and one item with a text of median length."""
    texts = sorted((processor.render_text(record) for record in benchmark.records()), key=len)
    inputs = processor(images=benchmark.normal[0]["image"], text=[texts[len(texts) // 2]], return_tensors="pt")
    crop = processor(images=benchmark.queries[0]["query_image"], return_tensors="pt")["pixel_values"].to(model.device)
    inputs = inputs.to(model.device)
    pixels = inputs.pop("pixel_values")
    text_inputs = dict(inputs) if reads_text else {}
    forwards = {
        "query": lambda: model.get_query_features(crop),
        "item": lambda: model.get_item_features(pixels, **text_inputs),
    }
    return {name: measure_cost(model, forward)._asdict() for name, forward in forwards.items()}


def _weights_digest(module: torch.nn.Module) -> str:
    """Hash of all weights, because cached tokens belong to one text encoder."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()
