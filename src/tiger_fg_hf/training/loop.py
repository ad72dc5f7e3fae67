"""The training loop: Accelerate, exact data order, logging, evaluation, checkpoints."""

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import ProjectConfiguration, set_seed
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedModel, get_cosine_schedule_with_warmup

from ..objectives.task import RetrievalTask
from .arguments import TrainArguments
from .checkpoint import checkpoint_steps, load_checkpoint, save_checkpoint
from .distributed import gather_with_grad
from .optimizer import build_optimizer
from .sampler import EpochBatchSampler

logger = logging.getLogger(__name__)

_HISTORY = "history.jsonl"


def build_accelerator(args: TrainArguments) -> Accelerator:
    """Accelerator of a run; also sets the seed of weights and dropout, alike on every process."""
    set_seed(args.seed)
    return Accelerator(
        mixed_precision=args.mixed_precision,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        log_with=None if args.tracker == "none" else args.tracker,
        project_config=ProjectConfiguration(project_dir=args.output_dir, logging_dir=f"{args.output_dir}/logs"),
        # Backbones bring weights that retrieval never uses (mask tokens, pooling heads of text encoders).
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def train(
    accelerator: Accelerator,
    model: PreTrainedModel,
    dataset: Dataset,
    collator: Callable[[list[dict]], dict[str, Any]],
    args: TrainArguments,
    *,
    num_workers: int = 0,
    evaluate: Callable[[PreTrainedModel], dict[str, float]] | None = None,
    frozen: tuple[str, ...] = (),
) -> dict[str, Any]:
    """
    Trains `model` in place and returns the history of the run, which `output_dir/history.jsonl` holds too.

    Args:
        dataset: returns a pair for a key `(epoch, row)`; the same key gives the same pair.
        collator: makes the batch of [`RetrievalTask`] of a list of pairs.
        evaluate: called with the bare model every `eval_every` steps, on the main process alone; others may give None.
        frozen: names of children of the model that stay as they are, dropout off.

    The caller ends the accelerator, `accelerator.end_training()`, once it needs the other processes no more.

    Raises:
        ValueError: the batch exceeds the dataset, nothing is trainable, or a checkpoint does not fit.
        FileExistsError: `output_dir` holds checkpoints of another run, and this one is not to resume.
        FloatingPointError: a loss or a gradient is no longer finite; no checkpoint holds what came of it.
    """
    output_dir = Path(args.output_dir)
    for name in frozen:
        getattr(model, name).requires_grad_(False)
    optimizer = build_optimizer(
        model, backbone_lr=args.backbone_lr, head_lr=args.head_lr, weight_decay=args.weight_decay
    )
    # Accelerate steps a prepared schedule once a process; ours counts optimizer steps, so it is only registered.
    schedule = get_cosine_schedule_with_warmup(optimizer, round(args.warmup_ratio * args.max_steps), args.max_steps)
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    accelerator.register_for_checkpointing(schedule)
    task = RetrievalTask(wrapped, gather=gather_with_grad, rank=accelerator.process_index)

    order = {
        "seed": args.seed,
        "rows": len(dataset),
        "global_batch_size": args.batch_size * accelerator.num_processes,
        "num_processes": accelerator.num_processes,
        "gradient_accumulation_steps": args.gradient_accumulation_steps,
        "max_steps": args.max_steps,
        # Optimizer and schedule would restore these from the checkpoint, whatever the arguments say.
        "warmup_ratio": args.warmup_ratio,
        "backbone_lr": args.backbone_lr,
        "head_lr": args.head_lr,
        "weight_decay": args.weight_decay,
    }
    checkpoints = output_dir / "checkpoints"
    step = _resume(accelerator, checkpoints, args.resume, order)
    sampler = EpochBatchSampler(
        order["rows"],
        order["global_batch_size"],
        args.max_steps * args.gradient_accumulation_steps,
        seed=args.seed,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        start=step * args.gradient_accumulation_steps,
    )
    # Not prepared by Accelerate: the sampler hands each process its slice already.
    loader = DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collator,
        num_workers=num_workers,
        pin_memory=accelerator.device.type == "cuda",
        prefetch_factor=4 if num_workers else None,
        # Else the loader draws from dropout's generator as it starts, once more in a resumed run than in another.
        generator=torch.Generator(),
    )
    if args.tracker != "none":
        accelerator.init_trackers("tiger_fg", config={k: v for k, v in asdict(args).items() if v is not None})

    history = _earlier_history(output_dir, step) if accelerator.is_main_process else []
    bar = tqdm(
        total=args.max_steps,
        initial=step,
        desc="train",
        disable=not (args.progress and accelerator.is_local_main_process),
    )
    _set_train_mode(model, frozen)
    started, first_step, logged_step, waited = time.perf_counter(), step, step, 0.0
    sums: dict[str, torch.Tensor] = {}
    batches = iter(loader)
    while step < args.max_steps:
        for _ in range(args.gradient_accumulation_steps):
            fetch = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - fetch
            batch = {
                key: value.to(accelerator.device, non_blocking=True) if torch.is_tensor(value) else value
                for key, value in batch.items()
            }
            with accelerator.accumulate(wrapped):
                losses = task(batch)
                accelerator.backward(losses.pop("loss"))
                if accelerator.sync_gradients:
                    max_norm = args.max_grad_norm or math.inf
                    losses["grad_norm"] = accelerator.clip_grad_norm_(model.parameters(), max_norm)
                optimizer.step()
                if optimizer.step_was_skipped:  # float16 overflows now and then until its scale has settled
                    losses.pop("grad_norm", None)
                optimizer.zero_grad()
            for name, value in losses.items():
                share = value.detach() / (1 if name == "grad_norm" else args.gradient_accumulation_steps)
                sums[name] = sums.get(name, 0.0) + share
        schedule.step()
        step += 1
        bar.update()

        saving = bool(args.save_every) and step % args.save_every == 0 and step < args.max_steps
        # Also before a checkpoint: it must not hold what is not finite, and no mean spans it, resumed there or not.
        if step % args.log_every == 0 or step == args.max_steps or saving:
            means = {
                name: accelerator.reduce(value, reduction="mean").item() / (step - logged_step)
                for name, value in sorted(sums.items())
            }
            sums, logged_step = {}, step
            if not all(map(math.isfinite, means.values())):
                raise FloatingPointError(f"Not finite at step {step}: {means}.")
            elapsed = time.perf_counter() - started
            entry = {
                "step": step,
                **{f"train/{name}": value for name, value in means.items()},
                "train/lr": schedule.get_last_lr()[0],
                "train/pairs_per_second": (step - first_step)
                * order["global_batch_size"]
                * args.gradient_accumulation_steps
                / elapsed,
                "train/waiting_for_data": waited / elapsed,
            }
            bar.set_postfix(loss=f"{means['q2i']:.3f}", wait=f"{entry['train/waiting_for_data']:.0%}")
            _record(accelerator, output_dir, history, entry)
        if args.eval_every and step % args.eval_every == 0:
            # Only the main process needs an `evaluate`; all of them wait.
            if accelerator.is_main_process and evaluate is not None:
                with torch.random.fork_rng(devices=[]):  # loaders draw from dropout's generator
                    metrics = evaluate(model)
                _record(accelerator, output_dir, history, {"step": step, **metrics})
                bar.write(f"step {step}: " + ", ".join(f"{k} {v:.3f}" for k, v in metrics.items()))
            accelerator.wait_for_everyone()
            _set_train_mode(model, frozen)
        if saving:
            save_checkpoint(accelerator, checkpoints, step, order, keep=args.save_total_limit)
    bar.close()
    seconds = time.perf_counter() - started
    accelerator.wait_for_everyone()
    return {"steps": step, "seconds": seconds, "history": history}


def _resume(accelerator: Accelerator, checkpoints: Path, resume: str | None, order: dict) -> int:
    if resume is None:
        if checkpoint_steps(checkpoints):
            raise FileExistsError(
                f"'{checkpoints}' holds checkpoints of an earlier run: continue it with --resume auto, or choose "
                "another --output_dir."
            )
        return 0
    if resume != "auto":
        return load_checkpoint(accelerator, Path(resume), order)
    found = checkpoint_steps(checkpoints)
    if not found:
        logger.info("No checkpoint in '%s': the run starts at step 0.", checkpoints)
        return 0
    return load_checkpoint(accelerator, found[-1][1], order)


def _set_train_mode(model: PreTrainedModel, frozen: tuple[str, ...]) -> None:
    model.train()
    for name in frozen:
        getattr(model, name).eval()


def _earlier_history(output_dir: Path, step: int) -> list[dict[str, float]]:
    """Entries up to `step` of the history in `output_dir`; later ones, which this run makes anew, are dropped."""
    path = output_dir / _HISTORY
    lines = path.read_text().splitlines() if path.is_file() and step else []
    history = [entry for entry in map(json.loads, lines) if entry["step"] <= step]
    output_dir.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in history))
    return history


def _record(accelerator: Accelerator, output_dir: Path, history: list, entry: dict[str, float]) -> None:
    history.append(entry)
    accelerator.log({key: value for key, value in entry.items() if key != "step"}, step=int(entry["step"]))
    if accelerator.is_main_process:
        with (output_dir / _HISTORY).open("a") as file:
            file.write(json.dumps(entry) + "\n")
