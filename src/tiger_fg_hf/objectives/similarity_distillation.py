"""`L_SDD`: queries rank the items of a batch as a teacher does (TIGER-FG)."""

import torch
from torch.nn import functional as F

from .context import LossContext
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
    temperature: torch.Tensor | float = 0.05,
    confidence_weighted: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute `KL(teacher ‖ student)` of each query's distribution over the batch's items, and each row's weight.

    `L_SDD` is the weighted mean of the rows, [`Rows.mean`], with the weights gathered over processes. It complements
    `L_q2i`, for which one item is right and all others are equally wrong.

    The divergence comes from the paper. The teacher's scores are inferred: it compares the query with the clean crop
    of each item's target, since the items of one mosaic share a photo. Weighting by confidence is an addition.

    Args:
        query_embeds (`[b, D]`): the student's queries, L2-normalized.
        teacher_query (`[b, d_t]`): the teacher's features of the queries.
        teacher_item (`[b, d_t]`): the teacher's features of the items' target crops.
        valid (`[b]`, boolean): rows for which the teacher has features. All others are neither anchors nor candidates.
        rows: products of the rows. Other rows of the same product are left out of both distributions.
        logit_scale: the student's inverse temperature, a scalar.
        all_item_embeds (`[B, D]`): the student's items of all processes, L2-normalized.
        all_teacher_item (`[B, d_t]`, *optional*): the same over all processes; defaults to `teacher_item`.
        all_valid (`[B]`, *optional*): the same over all processes; defaults to `valid`.
        temperature: the teacher's temperature.
        confidence_weighted: whether a row's weight is the teacher's probability of the true item, so that the teacher
            is followed where it is right. Otherwise, and in a literal reading of the paper, valid rows weigh 1.

    Returns:
        Divergences and weights, `[b]` each, float32. Rows that are not valid weigh 0. The weights have no gradient.

    Example:
        ```python
        >>> embeds, rows = torch.eye(3), Rows.of_one_process(torch.tensor([7, 8, 9]))
        >>> valid = torch.tensor([True, True, False])
        >>> divergence, weights = similarity_distillation_rows(
        ...     embeds, embeds, embeds, valid, rows, 1 / 0.05, all_item_embeds=embeds
        ... )
        >>> divergence[:2], weights
        (tensor([0., 0.]), tensor([1., 1., 0.]))

        ```
    """
    all_teacher = teacher_item if all_teacher_item is None else all_teacher_item
    all_valid = valid if all_valid is None else all_valid
    own = torch.arange(len(query_embeds), device=query_embeds.device)
    left_out = rows.same_product() | ~all_valid[None, :]
    left_out[own, rows.targets] = False
    with torch.autocast(query_embeds.device.type, enabled=False):
        student = logit_scale * (query_embeds.float() @ all_item_embeds.float().T)
        teacher = F.normalize(teacher_query.float(), dim=-1) @ F.normalize(all_teacher.float(), dim=-1).T / temperature
        # Finite, so that excluded items get probability 0 without an infinity in the divergence.
        student = student.masked_fill(left_out, -1e4).log_softmax(-1)
        teacher = teacher.detach().masked_fill(left_out, -1e4).log_softmax(-1)
        divergence = (teacher.exp() * (teacher - student)).masked_fill(left_out, 0.0).sum(-1)
        weights = valid.float()
        return divergence, weights * teacher[own, rows.targets].exp() if confidence_weighted else weights


def similarity_distillation_term(context: LossContext) -> torch.Tensor | None:
    """Compute `L_SDD` of a training step; `None` without a teacher.

    The frozen teacher needs `rows`. With `sdd_teacher="self"`, an addition to the paper, close views teach instead:
    the student's own similarities of queries and close views, at its own temperature and without a gradient. They
    cost no forward pass, since `L_close` is computed from them too. Items in mosaics, which are harder to recognize,
    then learn from the same items seen close up.
    """
    if context.weights.sdd_teacher == "self":
        return _self_distillation(context)
    if context.teacher is None:
        return None
    teacher_query, teacher_item, valid = context.teacher.similarities(context.batch)
    divergence, confidence = similarity_distillation_rows(
        context.representations["query_embeds"],
        teacher_query,
        teacher_item,
        valid,
        context.rows,
        context.scale,
        all_item_embeds=context.gather(context.representations["item_embeds"]),
        all_teacher_item=context.gather(teacher_item),
        all_valid=context.gather(valid),
        temperature=context.weights.sdd_temperature,
        confidence_weighted=context.weights.sdd_confidence,
    )
    return context.rows.mean(divergence, confidence, context.gather(confidence))


def _self_distillation(context: LossContext) -> torch.Tensor | None:
    if "close_embeds" not in context.representations:
        return None
    queries, close = context.representations["query_embeds"], context.representations["close_embeds"]
    divergence, confidence = similarity_distillation_rows(
        queries,
        queries,
        close,
        torch.ones_like(context.rows.item_ids, dtype=torch.bool),
        context.rows,
        context.scale,
        all_item_embeds=context.gather(context.representations["item_embeds"]),
        all_teacher_item=context.gather(close),
        all_valid=torch.ones_like(context.rows.all_item_ids, dtype=torch.bool),
        temperature=1 / context.scale.detach(),
        confidence_weighted=context.weights.sdd_confidence,
    )
    return context.rows.mean(divergence, confidence, context.gather(confidence))
