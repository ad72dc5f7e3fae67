"""Which losses a TIGER-FG run uses, and which it leaves out for lack of data or of a teacher."""

from ....data.tiger_fg_pairs import TigerFGPairDataset
from ....objectives.tiger_fg_weights import TigerFGLossWeights
from ..session import describe_losses
from .arguments import TigerFGModelArguments

_NEED_BOXES = ("v2t", "i2v", "q2v", "srd", "grounding")
_NEED_TEXTS = ("v2t", "grounding")


def describe_training(
    model: TigerFGModelArguments, losses: TigerFGLossWeights, pairs: TigerFGPairDataset
) -> list[str]:
    """Describe what a run learns from: losses, teacher, and what is left out and why.

    Args:
        model: Arguments of the model, which name the teacher.
        losses: Weights of the losses.
        pairs: The training pairs.

    Returns:
        Lines to print.
    """
    counts = count_fields(pairs)
    content = ", ".join(f"{count} with {name}" for name, count in counts.items())
    return [
        f"rows: {content}",
        *describe_losses(losses.active(), left_out_losses(model, losses, pairs, counts)),
        *([_describe_teacher(model)] if losses.needs_teacher else []),
        *(["teacher of sdd: the student itself, from close views"] if _teaches_itself(losses, pairs) else []),
    ]


def count_fields(pairs: TigerFGPairDataset) -> dict[str, int]:
    """Count the rows that have a text, a category and a box."""
    counts = {"text": 0, "category": 0, "box": 0}
    for row in range(len(pairs)):
        record = pairs.texts[row]
        counts["text"] += any(record[name] for name in ("title", "category", "attributes"))
        counts["category"] += bool(record["category"])
        counts["box"] += record["box"] is not None
    return counts


def left_out_losses(
    model: TigerFGModelArguments, losses: TigerFGLossWeights, pairs: TigerFGPairDataset, counts: dict[str, int]
) -> dict[str, str]:
    """Find the losses, or parts of them, that are asked for but cannot be computed, with the reason.

    Args:
        model: Arguments of the model, which name the teacher.
        losses: Weights of the losses.
        pairs: The training pairs.
        counts: From [`count_fields`].
    """
    reasons: dict[str, str] = {}
    active = losses.active()
    # Mosaics record where they place their products.
    if not counts["box"] and pairs.mosaic is None:
        reasons |= dict.fromkeys([name for name in _NEED_BOXES if name in active], "the catalog has no boxes")
    if not counts["text"]:
        reasons |= dict.fromkeys([name for name in _NEED_TEXTS if name in active], "the catalog has no texts")
    if pairs.close_views is None:
        reason = "--mosaic_share 0: close views show items of mosaics" if pairs.mosaic is None else "--close_share 0"
        needing = {"close": True, "sdd": losses.sdd_teacher == "self"}
        reasons |= dict.fromkeys([name for name in active if needing.get(name)], reason)
    if model.teacher_source is None:
        taught = [name for name in active if name not in losses.active(has_teacher=False)]
        reasons |= dict.fromkeys(taught, "no teacher: give --teacher or --vision")
    if losses.student_outputs().mismatched and not pairs.num_hard_texts:
        few = "the catalog has no texts of other categories"
        reasons["mismatched texts"] = "--num_hard_texts 0" if pairs.texts.has_contrast else few
    elif "i2v" in active and losses.i2v_hard and not counts["category"]:
        reasons["mismatched texts of i2v"] = "the catalog has no categories"
    return reasons


def _teaches_itself(losses: TigerFGLossWeights, pairs: TigerFGPairDataset) -> bool:
    return "sdd" in losses.active() and losses.sdd_teacher == "self" and pairs.close_views is not None


def _describe_teacher(model: TigerFGModelArguments) -> str:
    if model.teacher is not None:
        return f"teacher: {model.teacher}"
    if model.vision is not None:
        return f"teacher: {model.vision}, the student's own vision encoder before training (no --teacher given)"
    return "teacher: none"
