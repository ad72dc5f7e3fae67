"""The training loop: Accelerate, exact data order, logging, evaluation, checkpoints."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import ProjectConfiguration, is_wandb_available, send_to_device, set_seed
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedModel, get_cosine_schedule_with_warmup

from ..objectives.tiger_fg import TigerFGTask
from ..objectives.tiger_fg_student import TigerFGStudent
from .arguments import TrainArguments
from .checkpoint import checkpoint_steps, load_checkpoint, save_checkpoint
from .distributed import gather_with_grad
from .grad_cache import GradCache
from .meter import Meter
from .optimizer import build_optimizer
from .run_folder import History, describe_device, record_session
from .sampler import EpochBatchSampler

logger = logging.getLogger(__name__)

# Arguments that optimizer, schedule and average would restore from a checkpoint, or that its numbers depend on.
_FIXED = (
    "seed",
    "max_steps",
    "gradient_accumulation_steps",
    "warmup_ratio",
    "backbone_lr",
    "head_lr",
    "layer_decay",
    "weight_decay",
    "max_grad_norm",
    "ema_decay",
    "grad_cache_chunk",
    "mixed_precision",
    "compile",
)


class MakeTask(Protocol):
    """Builds the task around the student as it is wrapped for this run; see [`TigerFGTask`] for the arguments."""

    def __call__(
        self, student: nn.Module, *, gather: Callable[[torch.Tensor], torch.Tensor], rank: int
    ) -> TigerFGTask: ...


def build_accelerator(args: TrainArguments) -> Accelerator:
    """
    Accelerator of a run; also sets the seed of weights and dropout, alike on every process.

    Raises:
        ImportError: the package of `--tracker` is missing.
    """
    if args.tracker == "wandb" and not is_wandb_available():
        raise ImportError("--tracker wandb needs the package 'wandb': pip install 'tiger-fg-hf[wandb]'.")
    set_seed(args.seed)
    return Accelerator(
        mixed_precision=args.mixed_precision,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        log_with=None if args.tracker == "none" else args.tracker,
        project_config=ProjectConfiguration(project_dir=args.output_dir, logging_dir=f"{args.output_dir}/logs"),
        # None leaves it to `accelerate launch --dynamo_backend`.
        dynamo_backend=None if args.compile == "no" else args.compile,
        # Backbones bring weights that retrieval never uses (mask tokens, pooling heads of text encoders).
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def train(
    accelerator: Accelerator,
    student: TigerFGStudent,
    dataset: Dataset,
    collator: Callable[[list[dict]], dict[str, Any]],
    args: TrainArguments,
    make_task: MakeTask,
    *,
    num_workers: int = 0,
    evaluate: Callable[[PreTrainedModel], dict[str, float]] | None = None,
    frozen: Sequence[nn.Module] = (),
    sampling: Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    Trains `student.model` in place and returns the history of the run, which `output_dir/history.jsonl` holds too.

    With `--ema_decay`, the moving average of the weights is what is evaluated and what `student.model` holds in the
    end; checkpoints hold both.

    Args:
        dataset: returns a pair for a key of [`EpochBatchSampler`]; the same key gives the same pair.
        collator: makes the batch of [`TigerFGTask`] of a list of pairs.
        make_task: builds the task around the student as this run wraps it.
        evaluate: called with the bare model every `eval_every` steps, on the main process alone; others may give None.
        frozen: modules that stay in eval mode, as [`freeze`] returns them.
        sampling: further arguments of [`EpochBatchSampler`].
        fixed: what else, by name, must be the same when the run is resumed, as it changes the data or the loss; JSON.
        facts: what else `output_dir/run.json` tells of this session; JSON.

    The caller ends the accelerator, `accelerator.end_training()`, once it needs the other processes no more.

    Raises:
        ValueError: the batch exceeds the dataset, nothing is trainable, or a checkpoint does not fit.
        FileExistsError: `output_dir` holds checkpoints of another run, and this one is not to resume.
        FloatingPointError: a loss or a gradient is no longer finite; no checkpoint holds what came of it.
    """
    output_dir = Path(args.output_dir)
    optimizer = build_optimizer(
        student,
        backbone_lr=args.backbone_lr,
        head_lr=args.head_lr,
        weight_decay=args.weight_decay,
        layer_decay=args.layer_decay,
    )
    # Accelerate steps a prepared schedule once a process; ours counts optimizer steps, so it is only registered.
    schedule = get_cosine_schedule_with_warmup(optimizer, round(args.warmup_ratio * args.max_steps), args.max_steps)
    average = _average_of(student.model, args.ema_decay, accelerator.device) if args.ema_decay else None
    wrapped, optimizer = accelerator.prepare(student, optimizer)
    accelerator.register_for_checkpointing(schedule, *([] if average is None else [average]))
    task = make_task(wrapped, gather=gather_with_grad, rank=accelerator.process_index)
    chunked = 0 < args.grad_cache_chunk < args.batch_size
    backward: Callable[[dict[str, Any]], dict[str, torch.Tensor]] = (
        GradCache(accelerator, task, args.grad_cache_chunk) if chunked else partial(_backward, accelerator, task)
    )

    order = {
        "rows": len(dataset),
        "global_batch_size": args.batch_size * accelerator.num_processes,
        "num_processes": accelerator.num_processes,
        **{name: getattr(args, name) for name in _FIXED},
        **(fixed or {}),
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
        **(sampling or {}),
    )
    # Not prepared by Accelerate: the sampler hands each process its slice already.
    loader = DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collator,
        num_workers=num_workers,
        pin_memory=accelerator.device.type == "cuda",
        # Batches that need chunks are large ones: fewer of them wait in memory.
        prefetch_factor=(1 if chunked else 4) if num_workers else None,
        # Else the loader draws from dropout's generator as it starts, once more in a resumed run than in another.
        generator=torch.Generator(),
    )
    if args.tracker != "none":
        accelerator.init_trackers("tiger_fg", config={k: v for k, v in asdict(args).items() if v is not None})
    history = None
    if accelerator.is_main_process:
        record_session(
            output_dir,
            {
                "first_step": step,
                "num_processes": accelerator.num_processes,
                "device": describe_device(accelerator.device),
                "parameters": _count_parameters(student),
                **(facts or {}),
            },
            resumed=args.resume is not None,
        )
        history = History(output_dir, step)

    bar = tqdm(
        total=args.max_steps,
        initial=step,
        desc="train",
        disable=not (args.progress and accelerator.is_local_main_process),
    )
    _set_train_mode(student, frozen)
    meter = Meter(accelerator, order["global_batch_size"] * args.gradient_accumulation_steps)
    batches = iter(loader)
    while step < args.max_steps:
        for _ in range(args.gradient_accumulation_steps):
            batch = meter.next_of(batches)
            with accelerator.accumulate(wrapped):
                meter.add(backward(batch), share=1 / args.gradient_accumulation_steps)
                if accelerator.sync_gradients:
                    norm = accelerator.clip_grad_norm_(student.parameters(), args.max_grad_norm or math.inf)
                optimizer.step()
                optimizer.zero_grad()
        if not optimizer.step_was_skipped:  # float16 overflows now and then until its scale has settled
            meter.add({"grad_norm": norm})
            if average is not None:
                average.update_parameters(student.model)
        schedule.step()
        step += 1
        meter.end_step()
        bar.update()

        saving = bool(args.save_every) and step % args.save_every == 0 and step < args.max_steps
        # Also before a checkpoint: it must not hold what is not finite, and no mean spans it, resumed there or not.
        if step % args.log_every == 0 or step == args.max_steps or saving:
            means = meter.means()
            if not all(map(math.isfinite, means.values())):
                raise FloatingPointError(f"Not finite at step {step}: {means}.")
            means |= {"lr": schedule.get_last_lr()[0], **meter.pace()}
            bar.set_postfix(loss=f"{means['loss']:.3f}", wait=f"{means['waiting_for_data']:.0%}")
            _record(accelerator, history, {"step": step, **{f"train/{name}": value for name, value in means.items()}})
        if args.eval_every and step % args.eval_every == 0:
            # Only the main process needs an `evaluate`; all of them wait.
            if accelerator.is_main_process and evaluate is not None:
                with torch.random.fork_rng(devices=[]):  # loaders draw from dropout's generator
                    metrics = evaluate(student.model if average is None else average.module)
                _record(accelerator, history, {"step": step, **metrics})
                bar.write(f"step {step}: " + ", ".join(f"{k} {v:.3f}" for k, v in metrics.items()))
            accelerator.wait_for_everyone()
            _set_train_mode(student, frozen)
        if saving:
            save_checkpoint(accelerator, checkpoints, step, order, keep=args.save_total_limit)
    bar.close()
    seconds = meter.seconds
    if average is not None:
        student.model.load_state_dict(average.module.state_dict())
    accelerator.wait_for_everyone()
    return {"steps": step, "seconds": seconds, "history": [] if history is None else history.entries}


def _average_of(model: PreTrainedModel, decay: float, device: torch.device) -> AveragedModel:
    """Moving average of a model's weights, which begins at those after the first step."""
    average = AveragedModel(model, device=device, multi_avg_fn=get_ema_multi_avg_fn(decay))
    average.requires_grad_(False).eval()
    return average


def _backward(accelerator: Accelerator, task: TigerFGTask, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Loss and gradients of a batch at once; see [`GradCache`] for the other way."""
    losses = task(send_to_device(batch, accelerator.device, non_blocking=True))
    accelerator.backward(losses["loss"])
    return losses


def _count_parameters(student: TigerFGStudent) -> dict[str, int]:
    parameters = list(student.parameters())
    return {
        "total": sum(parameter.numel() for parameter in parameters),
        "trainable": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
    }


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


def _set_train_mode(student: nn.Module, frozen: Sequence[nn.Module]) -> None:
    student.train()
    for module in frozen:
        module.eval()


def _record(accelerator: Accelerator, history: History | None, entry: dict[str, float]) -> None:
    accelerator.log({key: value for key, value in entry.items() if key != "step"}, step=int(entry["step"]))
    if history is not None:
        history.append(entry)
