"""`L_SRD`: patches of the target's region relate to one another as a frozen teacher's do (TIGER-FG)."""

import torch
from torch.nn import functional as F


def relation_distillation_rows(
    student_patches: torch.Tensor, teacher_patches: torch.Tensor, inside: torch.Tensor, *, temperature: float = 0.1
) -> torch.Tensor:
    """
    `KL(softmax(A_teacher / τ) ‖ softmax(A_student / τ))` of each item, `A` the cosines among patches in the box.

    `L_SRD` is the mean over the items with a box. A softmax runs over each patch's relations to all other patches of
    the region; the divergences of a region's patches are averaged. A region of one patch has no relations and one of
    two leaves no choice among them: both give exactly 0.

    Args:
        student_patches (`[B, N, d]`): patch tokens of the item picture.
        teacher_patches (`[B, N, d_t]`): the teacher's features at the same places, see [`sample_region`].
        inside (`[B, N]`, boolean): patches in the target's box.
        temperature: τ.

    Returns:
        `[B]`, float32.
    """
    # A patch's relation to itself is 1 in student and teacher alike. It would take nearly all of a softmax at τ = 0.1,
    # and the divergence, of what is left, would vanish.
    itself = torch.eye(inside.shape[1], dtype=torch.bool, device=inside.device)
    related = inside[:, :, None] & inside[:, None, :] & ~itself
    with torch.autocast(student_patches.device.type, enabled=False):

        def log_relations(patches: torch.Tensor) -> torch.Tensor:
            unit = F.normalize(patches.float(), dim=-1)
            logits = unit @ unit.transpose(1, 2) / temperature
            # Finite, so that no row is a softmax over nothing; what it leaves outside is 0 in float32.
            return logits.masked_fill(~related, -1e4).log_softmax(dim=-1)

        student, teacher = log_relations(student_patches), log_relations(teacher_patches.detach())
        divergence = (teacher.exp() * (teacher - student)).masked_fill(~related, 0.0).sum((1, 2))
        return divergence / inside.sum(-1).clamp(min=1)
