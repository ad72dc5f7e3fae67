"""What the runs of all methods share: the summary at the start, evaluation, and what is written at the end."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn
from torch.utils.data import Dataset

from ...models.processor_fingerprint import processor_fingerprint
from ...objectives.task import Student
from ..arguments import TrainArguments
from ..disk import explain_full_disk
from ..loop import MakeTask, train
from ..resume import guarded_arguments
from .catalogs import CatalogArguments, TrainingCatalog

Evaluate = Callable[[nn.Module], Mapping[str, float]]


@dataclass(frozen=True)
class RunPlan:
    """What a method contributes to its training run.

    Attributes:
        method: Name of the method, for the summary.
        student: The student.
        processor: Prepares the inputs of the model; a resumed run must compute the same.
        pairs: Training pairs.
        collator: Makes batches of pairs.
        make_task: Builds the task around the student.
        description: Lines about losses and teacher, for the summary.
        save: Writes the trained model and its processor to a folder, and returns the model as saved.
        build_evaluation: Opens the catalog to evaluate, and returns a function from the model to metrics; called on
            the main process if `--eval_every` asks for it.
        frozen: Modules that stay in eval mode.
        sampling: Further arguments of [`EpochBatchSampler`].
    """

    method: str
    student: Student
    processor: Any
    pairs: Dataset
    collator: Callable[[list[dict]], dict[str, Any]]
    make_task: MakeTask
    description: Sequence[str]
    save: Callable[[Path], Any]
    build_evaluation: Callable[[], Evaluate] | None = None
    frozen: Sequence[nn.Module] = ()
    sampling: Mapping[str, Any] | None = None


def run_plan(
    accelerator: Accelerator,
    plan: RunPlan,
    catalog: TrainingCatalog,
    data: CatalogArguments,
    args: TrainArguments,
    others: Sequence[Any],
) -> dict[str, Any]:
    """Print the summary, train, save the model and write `train_summary.json`.

    Args:
        accelerator: From [`build_accelerator`].
        plan: What the method contributes.
        catalog: The checked training catalog.
        data: Arguments of the data.
        args: Arguments of optimization and run.
        others: All other arguments: model, losses.

    Returns:
        The summary: `steps`, `seconds` and `history`, on the main process also `pairs`, `parameters`, `arguments`.
    """
    lines = [f"Training {plan.method} in {args.output_dir}", *catalog.describe(), *plan.description]
    accelerator.print("\n  ".join(lines), flush=True)

    arguments = {name: value for group in (data, args, *others) for name, value in asdict(group).items()}
    evaluate = None
    if args.eval_every and plan.build_evaluation is not None and accelerator.is_main_process:
        measure = plan.build_evaluation()

        def evaluate(model: nn.Module) -> dict[str, float]:
            return {f"eval/{name}": value for name, value in measure(model).items()}

    summary = train(
        accelerator,
        plan.student,
        plan.pairs,
        plan.collator,
        args,
        plan.make_task,
        num_workers=data.num_workers,
        evaluate=evaluate,
        frozen=plan.frozen,
        sampling=plan.sampling,
        fixed={
            **guarded_arguments(data, *others),
            "catalog": catalog.fingerprint,
            "processor": processor_fingerprint(plan.processor),
        },
        facts={"data": catalog.facts(), "arguments": arguments},
    )
    if accelerator.is_main_process:
        folder = Path(args.output_dir)
        with explain_full_disk(folder, "the trained model"):
            model = plan.save(folder)
        pairs_per_step = args.batch_size * args.gradient_accumulation_steps * accelerator.num_processes
        summary["pairs"] = summary["steps"] * pairs_per_step
        summary["parameters"] = model.num_parameters()
        summary["arguments"] = arguments
        with explain_full_disk(folder, "train_summary.json"):
            (folder / "train_summary.json").write_text(json.dumps(summary, indent=2))
        print(f"{summary['steps']} steps in {summary['seconds'] / 60:.1f} minutes; saved to {folder}")
    accelerator.end_training()
    return summary


def describe_losses(weights: Mapping[str, float], left_out: Mapping[str, str]) -> list[str]:
    """Describe which losses a run uses, and which it leaves out and why.

    Args:
        weights: Weight of every loss that is on, by name.
        left_out: Reason for every loss, or part of one, that is asked for but cannot be computed.

    Example:
        >>> describe_losses({"q2i": 1.0, "sdd": 0.1}, {"sdd": "no teacher"})
        ['losses: q2i 1', 'left out: sdd (no teacher)']
    """
    used = ", ".join(f"{name} {weight:g}" for name, weight in weights.items() if name not in left_out)
    return [f"losses: {used or 'none'}", *(f"left out: {name} ({reason})" for name, reason in left_out.items())]
