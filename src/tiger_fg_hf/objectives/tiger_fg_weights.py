"""The losses of TIGER-FG: their registry, weights and settings, which are also command-line arguments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from .extent import extent_term
from .grounding_mass import grounding_mass_term
from .item_to_region import item_to_region_term
from .query_to_close_view import query_to_close_view_term
from .query_to_glances import query_to_glances_term
from .query_to_item import query_to_item_term
from .query_to_region import query_to_region_term
from .region_to_text import region_to_text_term
from .relation_distillation import relation_distillation_term
from .similarity_distillation import similarity_distillation_term
from .task import LossWeights, Term
from .tiger_fg_student import TigerFGStudentOutputs

TERMS: Mapping[str, Term] = {
    "q2i": query_to_item_term,
    "v2t": region_to_text_term,
    "i2v": item_to_region_term,
    "q2v": query_to_region_term,
    "srd": relation_distillation_term,
    "sdd": similarity_distillation_term,
    "extent": extent_term,
    "close": query_to_close_view_term,
    "grounding": grounding_mass_term,
    "glance": query_to_glances_term,
}


def _argument(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TigerFGLossWeights(LossWeights):
    """Weights and settings of the losses, which add up to the training loss.

    `L = q2i L_q2i + sdd L_SDD + v2t L_v2t + i2v L_i2v + srd L_SRD + q2v L_q2v + close L_close + grounding L_grounding
    + extent L_extent + glance L_glance`

    The paper groups `q2i` and `sdd` under λ_dual, and `v2t`, `i2v` and `srd` under λ_item; `q2v`, `close`,
    `grounding`, `extent` and `glance` are additions. A weight of 0 turns a loss off and saves its computation.

    Three defaults depart from a literal reading of the paper:

    | setting              | paper   | default | why                                                            |
    |----------------------|---------|---------|----------------------------------------------------------------|
    | `detach_temperature` | `False` | `True`  | The temperature should fit retrieval, not regions and texts.   |
    | `srd_self_relations` | `True`  | `False` | They always equal 1 and leave the softmax little to distill.   |
    | `sdd_confidence`     | `False` | `True`  | The teacher should be followed where it is right.              |

    Raises:
        ValueError: a weight is negative, a temperature is not positive, or the teacher of L_SDD is unknown.

    Example:
        ```python
        >>> TigerFGLossWeights(v2t=0.5, i2v=0.0).active(has_teacher=False)
        {'q2i': 1.0, 'v2t': 0.5}

        ```
    """

    terms: ClassVar[Mapping[str, Term]] = TERMS

    q2i: float = _argument(1.0, "Weight of L_q2i, the contrastive loss between queries and items.")
    v2t: float = _argument(1.0, "Weight of L_v2t, the contrastive loss between target regions and texts. Needs boxes.")
    i2v: float = _argument(1.0, "Weight of L_i2v, which pulls each item to its target region. Needs boxes.")
    srd: float = _argument(
        1.0,
        "Weight of L_SRD, which distills a teacher's relations among the patches of the target region. Needs boxes "
        "and a teacher.",
    )
    sdd: float = _argument(
        1.0, "Weight of L_SDD, which distills a teacher's similarities of queries and items. Needs a teacher."
    )
    q2v: float = _argument(
        0.0,
        "Weight of L_q2v, the contrastive loss between queries and target regions. Needs boxes. Not in the paper.",
    )
    extent: float = _argument(
        0.0,
        "Weight of L_extent, which trains the extent head of a model with two glances. Needs boxes. Not in the paper.",
    )
    close: float = _argument(
        0.0,
        "Weight of L_close, the contrastive loss between queries and close views of the items. Needs --close_share. "
        "Not in the paper.",
    )
    grounding: float = _argument(
        0.0,
        "Weight of L_grounding, which moves the grounding map into the target's box. Needs boxes and texts. Not in "
        "the paper.",
    )
    glance: float = _argument(
        0.0,
        "Weight of L_glance, which is L_q2i with the embeddings of both glances, for a model with two glances. Items "
        "are then prepared at full resolution. Not in the paper.",
    )
    hard: bool = _argument(
        True, "Use item photos fused with mismatched texts as further negatives of the queries in L_q2i."
    )
    multi_positive: bool = _argument(
        False,
        "Use other listings of the same product in a batch as further positives in L_q2i and L_close. By "
        "default they are ignored.",
    )
    i2v_hard: float = _argument(1.0, "Weight of the mismatched texts within L_i2v, the paper's lambda_h.")
    i2v_appearance: bool = _argument(
        False,
        "Compare the region in L_i2v with the visual part of the item embedding alone, so that the text's own share "
        "cannot make up for looking at the wrong place.",
    )
    detach_temperature: bool = _argument(
        True,
        "Keep L_v2t and L_i2v from training the temperature, which then fits retrieval alone. Paper, read literally: "
        "false.",
    )
    srd_temperature: float = _argument(0.1, "Temperature of the patch relations in L_SRD.")
    srd_self_relations: bool = _argument(
        False, "Include each patch's relation to itself in L_SRD. Paper, read literally: true."
    )
    sdd_teacher: Literal["frozen", "self"] = _argument(
        "frozen",
        "Teacher of L_SDD: a frozen vision encoder, or the student itself, which knows the items from their close "
        "views. 'self' needs --close_share and is not in the paper.",
    )
    sdd_temperature: float = _argument(0.05, "Temperature of the frozen teacher's similarities in L_SDD.")
    sdd_confidence: bool = _argument(
        True, "Weight each row of L_SDD by the teacher's probability of the true item. Paper, read literally: false."
    )

    def __post_init__(self):
        super().__post_init__()
        for name in ("srd_temperature", "sdd_temperature"):
            if not getattr(self, name):
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")
        if self.sdd_teacher not in ("frozen", "self"):
            raise ValueError(f"sdd_teacher must be 'frozen' or 'self', got {self.sdd_teacher!r}.")

    def active(self, *, has_teacher: bool = True) -> dict[str, float]:
        """Return the weights of the losses that are on, in the order of computation.

        Args:
            has_teacher: whether a frozen teacher is given; without one, `srd` is left out, and so is `sdd` unless the
                student teaches itself.
        """
        need_teacher = ("srd",) if self.sdd_teacher == "self" else ("srd", "sdd")
        return {name: weight for name, weight in super().active().items() if has_teacher or name not in need_teacher}

    @property
    def needs_teacher(self) -> bool:
        """Whether a loss that is on needs a frozen teacher."""
        return self.active() != self.active(has_teacher=False)

    def student_outputs(self) -> TigerFGStudentOutputs:
        """Return the outputs that the student must compute for these losses."""
        return TigerFGStudentOutputs(
            mismatched=bool((self.hard and self.q2i) or (self.i2v and self.i2v_hard)),
            region=bool(self.i2v or self.q2v),
            text=bool(self.v2t),
            relations=bool(self.srd),
            relation_temperature=self.srd_temperature,
            self_relations=self.srd_self_relations,
            appearance=bool(self.i2v and self.i2v_appearance),
            extents=bool(self.extent),
            close=bool(self.close or (self.sdd and self.sdd_teacher == "self")),
            grounding=bool(self.grounding),
            joined=bool(self.glance),
        )
