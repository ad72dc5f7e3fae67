r"""The listings benchmark: item-to-item retrieval under promotional overlays, with TGQ-Former's connector and others.

    python -m benchmarks.listings --output runs/listings --test abo/test.parquet --distractors abo/train.parquet \
        --systems all,ablations examples/recipes/abo-tgq-former.yaml --data abo/train.parquet \
        --clutter clutter.parquet --dual_encoder DIR --language_model DIR

Builds the benchmark, draws the training pairs once and stores the outputs of the frozen dual encoder, trains every
connector on the same pairs in the same order, scores it at every level of overlays, and writes
`runs/listings/report/`. See `benchmarks/README.md`.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed

from tiger_fg_hf import TGQFormerModel, TGQFormerProcessor
from tiger_fg_hf.evaluation.tgq_former import EmbeddedListings, embed_listings, item_metrics
from tiger_fg_hf.models.image_loading_tiger_fg import load_rgb_image
from tiger_fg_hf.objectives.tgq_former import TGQFormerTask
from tiger_fg_hf.synthetic.overlays import LEVELS, Level
from tiger_fg_hf.training.loop import train
from tiger_fg_hf.training.lora import add_lora

from ..harness.benchmark import Benchmark, Run
from ..harness.charts import draw_scatter
from ..harness.runs import training_summary
from ..harness.tables import Columns, interval_text, parameters_of, short, table
from .arguments import ListingsSetup, parse_listings_setup
from .cost import connector_cost, item_cost
from .data import ListingsData
from .dataset import ListingBenchmark
from .features import FeatureCollator, FeatureStudent, ListingFeatures
from .gates import Gates, Part, listings_of
from .model import model_settings, start_model
from .results import ListingsResult, Metrics
from .scored import (
    ListingsScored,
    cost_table,
    drop_table,
    gate_numbers,
    gate_table,
    summary_table,
    wrong_title_table,
)
from .systems import LISTINGS_SYSTEMS, OURS


class Listings(Benchmark):
    """The listings benchmark."""

    title = "Listings benchmark"
    chart_title = "Item to item under promotional overlays: H@10 with 95% bootstrap intervals"
    chart_file = "hit_rate.png"
    grid_note = (
        "Mean H@10 over the levels of the validation benchmark, in percent, after a short trial of every system at "
        "every rate."
    )
    script = Path(__file__).parent
    systems = LISTINGS_SYSTEMS
    data_class = ListingsData
    result_class = ListingsResult
    scored_class = ListingsScored
    model_class = TGQFormerModel
    processor_class = TGQFormerProcessor

    setup: ListingsSetup
    data: ListingsData

    @classmethod
    def parse(cls, argv: Sequence[str] | None) -> ListingsSetup:
        """Parse the command line."""
        return parse_listings_setup(argv)

    def sizes(self, benchmark: ListingBenchmark) -> dict[str, int]:
        """Return the number of products, distractors, queries and items."""
        return {
            "products": benchmark.meta["products"],
            "distractors": benchmark.meta["distractor_listings"],
            "queries": len(benchmark.queries["clean"]),
            "items": len(benchmark.pool["clean"]),
        }

    def prepare(self, runs: Sequence[Run], parts: Sequence[str]) -> None:
        """Draw the training pairs, and store the outputs of the dual encoder for pairs and benchmarks."""
        for seed in self.setup.bench.seed_numbers:
            self.data.draw_pairs(seed, max(run.steps for run in runs if run.seed == seed))
            self.data.encode_pairs(seed)
        for part in parts:
            self.data.encode_benchmark(part)

    def learning_rates(self, rate: float) -> dict[str, float]:
        """Return the rates of the language model and of the connector."""
        train_args = self.setup.train
        return {"backbone_lr": rate * train_args.backbone_lr / train_args.head_lr, "head_lr": rate}

    def own_settings(self, run: Run) -> dict[str, Any]:
        """Return model and losses of a run."""
        return {"model": model_settings(self.setup), "losses": asdict(run.system.weights(self.setup.losses))}

    def start(self, run: Run) -> tuple[TGQFormerModel, TGQFormerProcessor]:
        """Return the untrained model and its processor."""
        return start_model(self.setup, run.system, run.seed)

    def train(
        self, run: Run, args: Any, accelerator: Any, model: Any, processor: Any, settings: dict[str, Any]
    ) -> tuple[TGQFormerModel, dict[str, float]]:
        """Train a model; return it without adapters."""
        options = self.setup.model
        pairs = self.data.pairs(run.seed)
        if options.agreement_samples:
            seen = run.steps * args.batch_size * args.gradient_accumulation_steps
            model.calibrate_agreement(pairs.agreement(options.agreement_samples, of_first=seen))
        frozen = [model.dual_encoder, *([model.language_model] if options.freeze_language_model else [])]
        # Connectors consume different amounts of random numbers; adapters and dropout must not depend on that.
        set_seed(run.seed)
        adapted = None
        if options.lora_rank:
            adapted = add_lora(model, rank=options.lora_rank, alpha=options.lora_alpha, dropout=options.lora_dropout)
        student = FeatureStudent(adapted or model)
        trainable = sum(parameter.numel() for parameter in student.parameters() if parameter.requires_grad)
        history = train(
            accelerator,
            student,
            pairs,
            FeatureCollator(processor),
            args,
            partial(TGQFormerTask, weights=run.system.weights(self.setup.losses)),
            num_workers=self.setup.data.num_workers,
            frozen=frozen,
            fixed={"settings": settings},
        )["history"]
        summary = training_summary(history, args) | {"loss": history[-1]["train/loss"], "trainable": trainable}
        return (model if adapted is None else adapted.merge_and_unload()), summary

    def keeps_model(self, run: Run) -> bool:
        """Keep TGQ-Former's model of the first seed, or all of the test benchmark with `--keep_models`."""
        is_ours = run.system.name == OURS and run.seed == self.setup.bench.seed_numbers[0]
        return run.benchmark == "test" and (is_ours or self.setup.bench.keep_models)

    def score(self, model: Any, processor: Any, name: str, run: Run | None = None) -> dict[str, Any]:
        """Score a model at every level; runs read the stored outputs of the dual encoder."""
        benchmark = self.data.benchmark(name)

        def embed(part: Part, level: Level) -> EmbeddedListings:
            stored = None
            if run is not None:
                stored = ListingFeatures(self.data.features(name, part, level), model.device).pair
            listings = listings_of(benchmark, part, level)
            return embed_listings(model, processor, *listings, encoded=stored, **self.setup.evaluation_options)

        metrics: dict[str, Metrics] = {}
        wrong_titles: dict[str, Metrics] = {}
        gates: dict[str, dict[str, Gates]] = {}
        for level in LEVELS:
            own, pool = embed("queries", level), embed("pool", level)
            query_ids, pool_ids = (rows[level]["item_id"][:] for rows in (benchmark.queries, benchmark.pool))
            metrics[level] = item_metrics(own.embeds, query_ids, pool.embeds, pool_ids)
            if len(query_ids) > 1:  # a wrong title needs another product
                wrong = embed("mismatched", level)
                wrong_titles[level] = item_metrics(wrong.embeds, query_ids, pool.embeds, pool_ids)
                if own.metadata_gate is not None:
                    gates[level] = {"own": Gates.of(own), "mismatched": Gates.of(wrong)}
        return {
            "summary": {
                level: {metric: float(values.mean()) for metric, values in each.items()}
                for level, each in metrics.items()
            },
            "cost": _model_cost(model, processor, benchmark),
            "metrics": metrics,
            "wrong_titles": wrong_titles,
            "gates": gates,
            "seconds_per_1k": self._seconds_per_1k(model, processor, benchmark),
        }

    def scored(self, name: str, by_seed: Mapping[int, ListingsResult]) -> ListingsScored:
        """Return the results of a system."""
        benchmark = self.data.benchmark(name)
        return ListingsScored(benchmark.queries["clean"]["item_id"][:], by_seed, benchmark)

    def settings_text(self, results: Mapping[str, ListingsScored]) -> str:
        """Describe benchmark, training data, budget, encoders and losses."""
        setup, model, train_args = self.setup, self.setup.model, self.setup.train
        meta, bench = self.data.benchmark("test").meta, setup.bench
        language = "from scratch" if model.language_model is None else f"`{short(model.language_model)}`"
        if model.lora_rank:
            adapted = f"adapters of rank {model.lora_rank}"
        else:
            adapted = "frozen" if model.freeze_language_model else "fully trained"
        weights = ", ".join(f"{name} {value:g}" for name, value in asdict(setup.losses).items())
        distractors = "" if bench.distractors is None else f" (`{Path(bench.distractors).name}`)"
        levels = ",".join(f"{share:g}" for share in setup.data.level_shares)
        return "\n".join(
            [
                f"- Test benchmark: `{Path(bench.test).name}`, digest `{meta['content']}`: {meta['products']} "
                f"queries, a pool of {self._pool_size()}, {meta['distractor_listings']} of them "
                f"distractors{distractors}, at {setup.data.image_size} px, seed {bench.benchmark_seed}; "
                f"{meta['left_out']} rows left out. Queries and pool are at the same level, and a seller "
                f"keeps {' to '.join(f'{share:.0%}' for share in setup.data.keep_words)} of a title's words.",
                f"- Training catalog: `{Path(setup.data.data).name}`, fingerprint `{self.data.training_fingerprint}`, "
                f"{len(self.data.training)} rows; levels {levels}; "
                f"{setup.data.wrong_titles:.0%} of the titles belong to other products.",
                f"- Every system: {train_args.max_steps} steps of "
                f"{train_args.batch_size * train_args.gradient_accumulation_steps} pairs, the same pairs in the same "
                f"order, AdamW, seeds {bench.seeds}.",
                f"- Dual encoder: `{short(model.dual_encoder or '–')}`, frozen. Language model: {language}, "
                f"{adapted}.",
                f"- Losses: {weights}. Connectors have as many parameters as TGQ-Former's; ablations have fewer.",
            ]
        )

    def chance_text(self) -> str:
        """State what a random order of the pool scores."""
        items = self._pool_size()
        labels = ListingsScored.metrics
        chances = (f"{100 * min(k, items) / items:.3g} for {labels[f'hit_rate@{k}']}" for k in (1, 10, 100))
        return f"Chance is {', '.join(chances)}."

    def before_differences(self, systems: Mapping[str, ListingsScored]) -> list[str]:
        """Return the section about the loss from overlays."""
        return ["## Drop", drop_table(systems)]

    def after_differences(self, systems: Mapping[str, ListingsScored]) -> list[str]:
        """Return the section about wrong titles."""
        if not all(scored.has_wrong_titles for scored in systems.values()):
            return []
        note = "Each query has the title of a product of another category; the pool is unchanged."
        return ["## Wrong titles", note, wrong_title_table(systems)]

    def cost_text(self, systems: Mapping[str, ListingsScored]) -> str:
        """Return the table of parameters, operations and times."""
        return cost_table(systems)

    def ablation_columns(self) -> Columns:
        """Return the size of the connector."""
        return {"connector parameters": parameters_of("connector")}

    def closing_sections(self, ours: ListingsScored, folder: Path) -> list[str]:
        """Return the section about the gates."""
        return ["## Gates", gates_text(ours, folder)] if ours.has_gates else []

    def summary_text(self, systems: Mapping[str, ListingsScored]) -> str:
        """Return the table that the command prints."""
        return summary_table(systems)

    def evaluation_text(self, model: ListingsScored, folder: Path) -> str:
        """Return the tables of one checkpoint; draws `gates.png` if its connector has gates."""
        rows = [[level, *(interval_text(model.interval(level, name)) for name in model.metrics)] for level in LEVELS]
        text = table(["overlays", *model.metrics.values()], rows)
        return f"{text}\n\n{gates_text(model, folder)}" if model.has_gates else text

    def _pool_size(self) -> int:
        return len(self.data.benchmark("test").pool["clean"])

    def _seconds_per_1k(self, model: TGQFormerModel, processor: Any, benchmark: ListingBenchmark) -> float:
        """Seconds to embed 1,000 listings, dual encoder and decoding included: one batch, after a warm-up."""
        images, records = listings_of(benchmark, "queries", "clean")
        rows = range(min(len(records), self.setup.bench.eval_batch_size))
        part = [images[row] for row in rows], [records[row] for row in rows]
        embed_listings(model, processor, *part, **self.setup.evaluation_options)
        started = time.perf_counter()
        embed_listings(model, processor, *part, **self.setup.evaluation_options)
        return 1000 * (time.perf_counter() - started) / len(rows)


def gates_text(scored: ListingsScored, folder: Path) -> str:
    """Return the table of TGQ-Former's gates, and draw `gates.png`."""
    numbers = gate_numbers(scored)
    panels = {
        level: {
            f"{title} titles": (scored.gates(level, title, "agreement"), scored.gates(level, title, "metadata"))
            for title in ("own", "mismatched")
        }
        for level in numbers
    }
    draw_scatter(
        panels,
        title="TGQ-Former's metadata gate: one dot per query, crosses are means",
        x_label="agreement of picture and title",
        y_label="mean beta over channels",
    ).save(folder / "gates.png", optimize=True)
    note = (
        "Every query of the test benchmark with its own title, and with the title of a product of another category. "
        "A gate multiplies its stream by 1 + β; agreement is the frozen dual encoder's cosine of picture and title."
    )
    return f"{note}\n\n![Gates](gates.png)\n\n{gate_table(numbers)}"


def _model_cost(model: TGQFormerModel, processor: Any, benchmark: ListingBenchmark) -> dict[str, dict[str, float]]:
    """Cost of the connector alone, and of embedding one item with a text of median length."""
    rows = benchmark.queries["clean"]
    records = sorted(benchmark.records(rows), key=lambda record: len(processor.render_text(record)))
    inputs = processor(
        images=[load_rgb_image(rows[0]["image"])], text=[records[len(records) // 2]], return_tensors="pt"
    )
    inputs = dict(inputs.to(model.device))
    return {"connector": connector_cost(model, inputs)._asdict(), "item": item_cost(model, inputs)._asdict()}
