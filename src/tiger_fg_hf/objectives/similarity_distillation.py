"""`L_SDD`: queries prefer the batch's items as a frozen teacher does (TIGER-FG)."""

import torch
from torch.nn import functional as F

from .info_nce import Rows


def similarity_distillation_rows(
    query_embeds: torch.Tensor,
    teacher_query: torch.Tensor,
    teacher_item: torch.Tensor,
    valid: torch.Tensor,
    rows: Rows,
    logit_scale: torch.Tensor | float,
    *,
    all_item_embeds: torch.Tensor,
    all_teacher_item: torch.Tensor | None = None,
    all_valid: torch.Tensor | None = None,
    temperature: float = 0.05,
    confidence_weighted: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    `KL(teacher ‖ student)` between the in-batch distributions of each query over items, and the row's weight.

    `L_SDD` is the weighted mean, [`Rows.mean`], for which the weights of all processes must be gathered.

    Args:
        query_embeds (`[b, D]`): the student's queries, L2-normalised.
        teacher_query (`[b, d_t]`): the teacher's features of the queries.
        teacher_item (`[b, d_t]`): its features of the items' target crops.
        valid (`[b]`, boolean): rows that the teacher has seen; the others are neither anchors nor candidates.
        rows: products of the rows; others of the same product are left out, of both distributions.
        logit_scale: the student's inverse temperature, a scalar.
        all_item_embeds (`[B, D]`): the student's items of all processes, L2-normalised.
        all_teacher_item (`[B, d_t]`), all_valid (`[B]`): over all processes, own when absent.
        temperature: the teacher's.
        confidence_weighted: weigh each row by the teacher's probability of the true item, so that a teacher is
            followed where it is right; otherwise valid rows weigh 1.

    Returns:
        Divergences and weights, `[b]` each, float32; rows that are not valid weigh 0. The weights have no gradient.
    """
    all_teacher = teacher_item if all_teacher_item is None else all_teacher_item
    all_valid = valid if all_valid is None else all_valid
    own = torch.arange(len(query_embeds), device=query_embeds.device)
    left_out = rows.same_product() | ~all_valid[None, :]
    left_out[own, rows.targets] = False
    with torch.autocast(query_embeds.device.type, enabled=False):
        student = logit_scale * (query_embeds.float() @ all_item_embeds.float().T)
        teacher = F.normalize(teacher_query.float(), dim=-1) @ F.normalize(all_teacher.float(), dim=-1).T / temperature
        # Finite, so that what is left out has probability 0 and no infinity meets it in the divergence.
        student = student.masked_fill(left_out, -1e4).log_softmax(-1)
        teacher = teacher.detach().masked_fill(left_out, -1e4).log_softmax(-1)
        divergence = (teacher.exp() * (teacher - student)).masked_fill(left_out, 0.0).sum(-1)
        weights = valid.float()
        return divergence, weights * teacher[own, rows.targets].exp() if confidence_weighted else weights
