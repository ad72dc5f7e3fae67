"""Which runs a benchmark needs, and how one of them is executed."""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any

from tiger_fg_hf.training.loop import build_accelerator

from .benchmark import Benchmark, Run
from .folder import claim_folder, is_finished

_TRAINED = "trained.json"
# Training arguments that the settings of a run omit: where it is and how it reports. The settings hold seed, steps
# and rates under other names.
_NOT_COMPARED = (
    *("output_dir", "seed", "resume", "tracker", "progress", "eval_every", "max_steps", "backbone_lr", "head_lr"),
    *("log_every", "save_every", "save_total_limit"),
)


def grid_runs(benchmark: Benchmark, names: Iterable[str]) -> Iterator[Run]:
    """Yield the trials of the learning-rate grid: every trained system at every rate; none for a single rate."""
    setup, systems = benchmark.setup, benchmark.systems
    if len(setup.rates) == 1:
        return
    steps = setup.bench.grid_steps or max(1, setup.train.max_steps // 5)
    for name in dict.fromkeys(map(systems.rate_source, names)):
        if systems.by_name[name].trained:
            for rate in setup.rates:
                seed = setup.bench.seed_numbers[0]
                yield Run(systems.by_name[name], seed, rate, steps, "validation", f"grid/{name}-lr{rate:g}")


def final_runs(benchmark: Benchmark, names: Iterable[str]) -> Iterator[Run]:
    """Yield the runs that are scored on the test benchmark: every system with every seed."""
    names = list(names)
    for seed in benchmark.setup.bench.seed_numbers:
        for name in names:
            system = benchmark.systems.by_name[name]
            rate = selected_rate(benchmark, name) if system.trained else None
            yield Run(system, seed, rate, benchmark.final_steps(system), "test", f"{name}-seed{seed}")


def grid_scores(benchmark: Benchmark, name: str) -> dict[float, float]:
    """Return the finished trials of a system: rate -> main metric, averaged over the parts of the benchmark."""
    scores = {}
    main, parts = benchmark.scored_class.main, benchmark.scored_class.parts
    for run in grid_runs(benchmark, [name]):
        folder = benchmark.setup.output / run.name
        if run.rate is not None and is_finished(folder):
            summary = benchmark.result_class.load(folder).summary
            if not summary.keys() >= set(parts):
                continue  # of an earlier version, with fewer parts
            scores[run.rate] = sum(summary[part][main] for part in parts) / len(parts)
    return scores


def selected_rate(benchmark: Benchmark, name: str) -> float | None:
    """Return the learning rate of a system: the only one, or the best of its finished grid."""
    rates = benchmark.setup.rates
    if len(rates) == 1:
        return rates[0]
    scores = grid_scores(benchmark, name)
    return max(scores, key=lambda rate: scores[rate]) if len(scores) == len(rates) else None


def run_settings(benchmark: Benchmark, run: Run) -> dict[str, Any]:
    """Return everything that the result of a run depends on."""
    setup, data = benchmark.setup, benchmark.data
    settings = {
        "system": run.system.name,
        **benchmark.own_settings(run),
        "seed": run.seed,
        "steps": run.steps,
        "rate": run.rate,
        "learning_rates": None if run.rate is None else benchmark.learning_rates(run.rate),
        "training": {name: value for name, value in asdict(setup.train).items() if name not in _NOT_COMPARED},
        "data": data.settings,
        "benchmark": {"name": run.benchmark, "content": data.benchmark(run.benchmark).meta["content"]},
    }
    return json.loads(json.dumps(settings))  # as it is read back


def execute(benchmark: Benchmark, run: Run) -> None:
    """Train and score; resume from a checkpoint if there is one, and do nothing if the run is finished."""
    setup = benchmark.setup
    folder = setup.output / run.name
    if run.system.trained and run.rate is None:
        raise ValueError(f"{run.name} has no learning rate: the trials of the grid come first.")
    settings = run_settings(benchmark, run)
    claim_folder(folder, settings)
    if is_finished(folder):
        return
    args = replace(
        setup.train,
        output_dir=str(folder),
        seed=run.seed,
        max_steps=max(run.steps, 1),
        resume="auto",
        tracker="none",
        progress=False,
        **(settings["learning_rates"] or {}),
    )
    accelerator = build_accelerator(args)  # also sets the seed of the weights
    model, processor = benchmark.start(run)
    model_folder = folder / "model"
    trained = model_folder / _TRAINED
    if run.system.trained and trained.is_file():
        model = load_checkpoint(type(model), model_folder, setup)
    elif run.system.trained:
        model, summary = benchmark.train(run, args, accelerator, model, processor, settings)
        model.save_pretrained(model_folder)
        processor.save_pretrained(model_folder)
        trained.write_text(json.dumps(summary))  # last, because it marks the folder as complete
    model = model.to(accelerator.device).eval()
    training = json.loads(trained.read_text()) if run.system.trained else {}
    scores = benchmark.score(model, processor, run.benchmark, run)
    benchmark.result_class(settings=settings, training=training, **scores).save(folder)
    accelerator.end_training()
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    if not benchmark.keeps_model(run):
        shutil.rmtree(model_folder, ignore_errors=True)


def load_checkpoint(kind: type, path: Any, setup: Any, **options: Any) -> Any:
    """Load a saved model with the attention implementation of the setup."""
    return kind.from_pretrained(path, attn_implementation=setup.model.attn_implementation, **options)


def training_summary(history: list[dict[str, float]], args: Any) -> dict[str, float]:
    """Return steps, seconds and speed of a training.

    A resumed run has several sessions; the speed of the last one stands for all.
    """
    speed = history[-1]["train/pairs_per_second"]
    pairs = args.max_steps * args.batch_size * args.gradient_accumulation_steps
    return {"steps": args.max_steps, "seconds": pairs / speed, "pairs_per_second": speed}
