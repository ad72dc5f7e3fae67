"""`L_SRD`: patches of the target's region relate to one another as a frozen teacher's do (TIGER-FG)."""

import torch
from torch.nn import functional as F

from .context import LossContext


def relation_distillation_rows(
    student_patches: torch.Tensor,
    teacher_patches: torch.Tensor,
    inside: torch.Tensor,
    *,
    temperature: float = 0.1,
    self_relations: bool = False,
) -> torch.Tensor:
    """Compute `KL(softmax(A_teacher / τ) ‖ softmax(A_student / τ))` of each item.

    `A` holds the cosines among the patches in the target's box. Each patch has a softmax over its relations to the
    other patches of the region; the divergences of all patches in the box are averaged. Without self-relations, a
    region of one patch has none, and in a region of two each patch has only one: both give exactly 0. `L_SRD` is the
    mean over the items with a box. The student computes these rows, so that patches need not be kept until the loss.

    The divergence comes from the paper; cosines as relations and the temperature are inferred.

    Args:
        student_patches (`[B, N, d]`): patch tokens of the item photo.
        teacher_patches (`[B, N, d_t]`): the teacher's features at the same places, see [`sample_region`].
        inside (`[B, N]`, boolean): patches in the target's box.
        temperature: τ.
        self_relations: whether to include each patch's relation to itself, as in a literal reading of the paper.

    Returns:
        Tensor `[B]`, float32.

    Example:
        ```python
        >>> patches, inside = torch.eye(4)[None], torch.tensor([[True, True, True, False]])
        >>> relation_distillation_rows(patches, 2 * patches, inside)
        tensor([0.])

        ```
    """
    related = inside[:, :, None] & inside[:, None, :]
    if not self_relations:
        # Self-relations are 1 in both models, dominate the softmax at τ = 0.1, and leave hardly any divergence.
        related = related & ~torch.eye(inside.shape[1], dtype=torch.bool, device=inside.device)
    with torch.autocast(student_patches.device.type, enabled=False):

        def log_relations(patches: torch.Tensor) -> torch.Tensor:
            unit = F.normalize(patches.float(), dim=-1)
            logits = unit @ unit.transpose(1, 2) / temperature
            # Finite, so that no row is a softmax over nothing; exp(-1e4) is exactly 0 in float32.
            return logits.masked_fill(~related, -1e4).log_softmax(dim=-1)

        student, teacher = log_relations(student_patches), log_relations(teacher_patches.detach())
        divergence = (teacher.exp() * (teacher - student)).masked_fill(~related, 0.0).sum((1, 2))
        return divergence / inside.sum(-1).clamp(min=1)


def relation_distillation_term(context: LossContext) -> torch.Tensor | None:
    """Compute `L_SRD` of a training step, which needs `boxes`, `has_box`, `rows` and `flipped`.

    Returns `None` without boxes or a teacher.
    """
    if "relation_divergence" not in context.representations:
        return None
    has_box = context.batch["has_box"]
    return context.rows.mean(context.representations["relation_divergence"], has_box, context.gather(has_box))
