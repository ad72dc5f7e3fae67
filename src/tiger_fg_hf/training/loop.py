"""The training loop: Accelerate, an exact data order, logging, evaluation, checkpoints."""

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
from transformers import get_cosine_schedule_with_warmup

from ..objectives.task import Student, Task
from .arguments import TrainArguments
from .checkpoint import checkpoint_steps, load_checkpoint, load_latest_checkpoint, save_checkpoint
from .distributed import gather_with_grad
from .grad_cache import GradCache
from .meter import Meter
from .optimizer import build_optimizer
from .resume import guarded_arguments
from .run_folder import History, describe_device, record_session
from .sampler import EpochBatchSampler

logger = logging.getLogger(__name__)


class MakeTask(Protocol):
    """Builds the task of a run around its student, which may be wrapped for distributed training."""

    def __call__(self, student: nn.Module, *, gather: Callable[[torch.Tensor], torch.Tensor], rank: int) -> Task:
        """Build the task.

        Args:
            student: The student, plain or wrapped.
            gather: Differentiable concatenation over processes in rank order, `[b, ...] -> [B, ...]`.
            rank: Index of this process.
        """
        ...


def build_accelerator(args: TrainArguments) -> Accelerator:
    """Build the accelerator of a run, and seed initial weights and dropout equally on every process.

    Raises:
        ImportError: If the package of `--tracker` is missing.
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
        # Backbones have weights that retrieval never uses (mask tokens, pooling heads of text encoders).
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def train(
    accelerator: Accelerator,
    student: Student,
    dataset: Dataset,
    collator: Callable[[list[dict]], dict[str, Any]],
    args: TrainArguments,
    make_task: MakeTask,
    *,
    num_workers: int = 0,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    frozen: Sequence[nn.Module] = (),
    sampling: Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train `student.model` in place.

    With `--ema_decay`, the moving average of the weights is evaluated, and `student.model` holds it at the end;
    checkpoints hold both. The caller ends the accelerator (`accelerator.end_training()`) once it no longer needs
    the other processes.

    Args:
        accelerator: From [`build_accelerator`].
        student: The student to train.
        dataset: Returns a pair for a key of [`EpochBatchSampler`], the same pair for the same key.
        collator: Makes the task's batch of a list of pairs.
        args: Arguments of the run.
        make_task: Builds the task around the student as this run wraps it.
        num_workers: Processes that prepare batches.
        evaluate: Called with the bare model every `eval_every` steps, on the main process only; other processes may
            pass None.
        frozen: Modules that stay in eval mode, as [`freeze`] returns them.
        sampling: Further arguments of [`EpochBatchSampler`].
        fixed: What else must be equal when the run is resumed, by name, in addition to `args`, the number of rows
            and the number of processes; values are JSON.
        facts: What else `output_dir/run.json` records of this session; values are JSON.

    Returns:
        `steps`, `seconds`, and `history`, the entries of `output_dir/history.jsonl`.

    Raises:
        ValueError: If the batch exceeds the dataset, nothing is trainable, or a checkpoint does not fit.
        FileExistsError: If `output_dir` holds checkpoints of another run, and this run does not resume.
        FloatingPointError: If a loss or a gradient is no longer finite; no checkpoint is saved after that.
        OSError: If the disk is full; the message names the folder.
    """
    output_dir = Path(args.output_dir)
    optimizer = build_optimizer(
        student,
        backbone_lr=args.backbone_lr,
        head_lr=args.head_lr,
        weight_decay=args.weight_decay,
        layer_decay=args.layer_decay,
    )
    # Not prepared: Accelerate would step it once per process.
    schedule = get_cosine_schedule_with_warmup(optimizer, round(args.warmup_ratio * args.max_steps), args.max_steps)
    average = _average_of(student.model, args.ema_decay, accelerator.device) if args.ema_decay else None
    wrapped, optimizer = accelerator.prepare(student, optimizer)
    task = make_task(wrapped, gather=gather_with_grad, rank=accelerator.process_index)
    chunked = 0 < args.grad_cache_chunk < args.batch_size
    backward: Callable[[dict[str, Any]], dict[str, torch.Tensor]] = (
        GradCache(accelerator, task, args.grad_cache_chunk) if chunked else partial(_backward, accelerator, task)
    )

    guard = {
        "rows": len(dataset),  # type: ignore[arg-type]
        "num_processes": accelerator.num_processes,
        **guarded_arguments(args),
        **(fixed or {}),
    }
    checkpoints = output_dir / "checkpoints"
    step = _resume(accelerator, checkpoints, args.resume, guard, schedule=schedule, average=average)
    global_batch_size = args.batch_size * accelerator.num_processes
    sampler = EpochBatchSampler(
        guard["rows"],
        global_batch_size,
        args.max_steps * args.gradient_accumulation_steps,
        seed=args.seed,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        start=step * args.gradient_accumulation_steps,
        **(sampling or {}),
    )
    # Not prepared by Accelerate: the sampler already gives each process its slice.
    loader = DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collator,
        num_workers=num_workers,
        pin_memory=accelerator.device.type == "cuda",
        # Batches that need chunks are large, so fewer of them wait in memory.
        prefetch_factor=(1 if chunked else 4) if num_workers else None,
        # Without this, the loader would draw from dropout's generator at every start, so once more in a resumed run.
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
    meter = Meter(accelerator, global_batch_size * args.gradient_accumulation_steps)
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
            student.after_step()
            meter.add({"grad_norm": norm})
            if average is not None:
                average.update_parameters(student.model)
        schedule.step()
        step += 1
        meter.end_step()
        bar.update()

        saving = bool(args.save_every) and step % args.save_every == 0 and step < args.max_steps
        # Also before a checkpoint: it must hold only finite weights, and no logged mean may span it.
        if step % args.log_every == 0 or step == args.max_steps or saving:
            means = meter.means()
            if not all(map(math.isfinite, means.values())):
                raise FloatingPointError(f"Not finite at step {step}: {means}.")
            means |= {"lr": schedule.get_last_lr()[0], **meter.pace()}
            bar.set_postfix(loss=f"{means['loss']:.3f}", wait=f"{means['waiting_for_data']:.0%}")
            _record(accelerator, history, {"step": step, **{f"train/{name}": value for name, value in means.items()}})
        if args.eval_every and step % args.eval_every == 0:
            if accelerator.is_main_process and evaluate is not None:
                with torch.random.fork_rng(devices=[]):  # loaders draw from dropout's generator
                    metrics = evaluate(student.model if average is None else average.module)
                _record(accelerator, history, {"step": step, **metrics})
                bar.write(f"step {step}: " + ", ".join(f"{k} {v:.3f}" for k, v in metrics.items()))
            accelerator.wait_for_everyone()
            _set_train_mode(student, frozen)
        if saving:
            save_checkpoint(
                accelerator,
                checkpoints,
                step,
                guard,
                keep=args.save_total_limit,
                schedule=schedule,
                average=average,
            )
    bar.close()
    seconds = meter.seconds
    if average is not None:
        student.model.load_state_dict(average.module.state_dict())
    accelerator.wait_for_everyone()
    return {"steps": step, "seconds": seconds, "history": [] if history is None else history.entries}


def _average_of(model: nn.Module, decay: float, device: torch.device) -> AveragedModel:
    """Return a moving average of a model's weights, which begins at those after the first step."""
    average = AveragedModel(model, device=device, multi_avg_fn=get_ema_multi_avg_fn(decay))
    average.requires_grad_(False).eval()
    return average


def _backward(accelerator: Accelerator, task: Task, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Compute loss and gradients of a batch in one graph; [`GradCache`] does it in chunks."""
    losses = task(send_to_device(batch, accelerator.device, non_blocking=True))
    accelerator.backward(losses["loss"])
    return losses


def _count_parameters(student: nn.Module) -> dict[str, int]:
    parameters = list(student.parameters())
    return {
        "total": sum(parameter.numel() for parameter in parameters),
        "trainable": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
    }


def _resume(
    accelerator: Accelerator, checkpoints: Path, resume: str | None, guard: Mapping[str, Any], **states: Any
) -> int:
    """Load the checkpoint that `--resume` asks for; return the steps done, 0 in a new run."""
    if resume is None:
        if checkpoint_steps(checkpoints):
            raise FileExistsError(
                f"'{checkpoints}' holds checkpoints of an earlier run: continue it with --resume auto, or choose "
                "another --output_dir."
            )
        return 0
    if resume != "auto":
        return load_checkpoint(accelerator, Path(resume), guard, **states)
    step = load_latest_checkpoint(accelerator, checkpoints, guard, **states)
    if step is None:
        logger.info("No checkpoint in '%s': the run starts at step 0.", checkpoints)
        return 0
    return step


def _set_train_mode(student: nn.Module, frozen: Sequence[nn.Module]) -> None:
    student.train()
    for module in frozen:
        module.eval()


def _record(accelerator: Accelerator, history: History | None, entry: dict[str, float]) -> None:
    accelerator.log({key: value for key, value in entry.items() if key != "step"}, step=int(entry["step"]))
    if history is not None:
        history.append(entry)
