"""The Task: turns a batch into named losses, whatever wraps the student."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from .info_nce import Rows
from .item_to_region import item_to_region_loss
from .query_to_item import query_to_item_loss
from .query_to_region import query_to_region_loss
from .region_to_text import region_to_text_loss
from .similarity_distillation import similarity_distillation_rows
from .teacher import TeacherFeatures
from .tiger_fg_student import student_inputs
from .tiger_fg_weights import TigerFGLossWeights


class TigerFGTask:
    """
    Student, frozen teacher and weights; gives named losses. Terms whose inputs a batch lacks drop out.

    Args:
        student: [`TigerFGStudent`], plain or wrapped for distributed training.
        weights: of the terms.
        teacher: features of a frozen teacher, for `L_SRD` and `L_SDD`.
        gather: differentiable concatenation over processes in rank order, `[b, ...] -> [B, ...]`; the identity when
            there is one process.
        rank: index of this process among those that `gather` concatenates.
    """

    def __init__(
        self,
        student: torch.nn.Module,
        weights: TigerFGLossWeights | None = None,
        *,
        teacher: TeacherFeatures | None = None,
        gather: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor,
        rank: int = 0,
    ):
        self.student = student
        self.weights = weights or TigerFGLossWeights()
        self.teacher = teacher
        self.gather = gather
        self.rank = rank

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """`loss`, the scalar to minimise, and every term and figure worth logging, detached, by name."""
        return self.loss(self.represent(batch), batch)

    def represent(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The student's representations of a batch or of a part of it; see [`TigerFGStudent.forward`]."""
        inputs = student_inputs(batch)
        if self.teacher is not None and self.weights.srd and "boxes" in batch:
            inputs["teacher_region"] = self.teacher.regions(batch["rows"], batch["flipped"])
        return self.student(**inputs)

    def loss(self, representations: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """
        Args:
            representations: of all rows of `batch`.
            batch: `item_ids` `[b]`, and of `has_box` `[b]`, `category_ids` `[b]`, `attention_mask` `[b, L]`, `rows`
                `[b]` what the terms need.

        Returns:
            As `__call__`.

        Raises:
            ValueError: no term with a weight can be computed of the batch.
        """
        weights, scale, gather = self.weights, representations["logit_scale"], self.gather
        ids = batch["item_ids"]
        # One collective per column, never one for a tuple: a silent mix-up of columns is what others have shipped.
        rows = Rows(ids, gather(ids), self.rank * len(ids))
        queries, items = representations["query_embeds"], representations["item_embeds"]
        all_queries, all_items = gather(queries), gather(items)
        has_box = batch.get("has_box")
        all_has_box = None if has_box is None else gather(has_box)
        terms: dict[str, torch.Tensor] = {}
        if weights.q2i:
            terms["q2i"] = query_to_item_loss(
                queries,
                items,
                rows,
                scale,
                all_query_embeds=all_queries,
                all_item_embeds=all_items,
                mismatched_embeds=representations.get("mismatched_embeds") if weights.hard else None,
                multi_positive=weights.multi_positive,
            )
        # Only retrieval, the terms whose anchors are queries, sets the temperature: v2t and i2v have it detached.
        if weights.v2t and "region_embeds" in representations:
            regions, texts = representations["region_embeds"], representations["text_embeds"]
            valid = has_box & batch["attention_mask"].any(-1)
            terms["v2t"] = region_to_text_loss(
                regions,
                texts,
                valid,
                rows,
                scale.detach(),
                all_box_embeds=gather(regions),
                all_text_embeds=gather(texts),
                all_valid=gather(valid),
            )
        if weights.i2v and "box_embeds" in representations:
            has_category = batch["category_ids"] >= 0
            prefix = "appearance_" if weights.i2v_appearance else ""
            looked = representations["appearance_embeds"] if prefix else items
            terms["i2v"] = item_to_region_loss(
                looked,
                representations["box_embeds"],
                has_box,
                rows,
                scale.detach(),
                all_item_embeds=gather(looked) if prefix else all_items,
                all_has_box=all_has_box,
                mismatched_embeds=representations.get(f"mismatched_{prefix}embeds"),
                has_mismatch=has_category,
                all_has_mismatch=gather(has_category),
                hard_weight=weights.i2v_hard,
            )
        if weights.q2v and "box_embeds" in representations:
            boxes = representations["box_embeds"]
            terms["q2v"] = query_to_region_loss(
                queries,
                boxes,
                has_box,
                rows,
                scale,
                all_query_embeds=all_queries,
                all_box_embeds=gather(boxes),
                all_has_box=all_has_box,
            )
        if weights.srd and "relation_divergence" in representations:
            terms["srd"] = rows.mean(representations["relation_divergence"], has_box, all_has_box)
        if weights.sdd and self.teacher is not None:
            teacher_query, teacher_item, valid = self.teacher.similarities(batch)
            divergence, confidence = similarity_distillation_rows(
                queries,
                teacher_query,
                teacher_item,
                valid,
                rows,
                scale,
                all_item_embeds=all_items,
                all_teacher_item=gather(teacher_item),
                all_valid=gather(valid),
                temperature=weights.sdd_temperature,
                confidence_weighted=weights.sdd_confidence,
            )
            terms["sdd"] = rows.mean(divergence, confidence, gather(confidence))
        if not terms:
            raise ValueError(f"No loss is left: of {weights}, the batch and the teacher allow none.")
        loss = sum(getattr(weights, name) * value for name, value in terms.items())
        return {"loss": loss, **{name: value.detach() for name, value in terms.items()}, "logit_scale": scale.detach()}
