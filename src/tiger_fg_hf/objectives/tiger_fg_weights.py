"""The losses of TIGER-FG: their registry, weights and settings, which are also command-line arguments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .item_to_region import item_to_region_term
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
}
_NEED_TEACHER = ("srd", "sdd")


def _argument(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TigerFGLossWeights(LossWeights):
    """Weights and settings of `L = q2i L_q2i + sdd L_SDD + v2t L_v2t + i2v L_i2v + srd L_SRD + q2v L_q2v`.

    The paper groups `q2i` and `sdd` under λ_dual, and `v2t`, `i2v` and `srd` under λ_item; `q2v` is an addition. A
    weight of 0 turns a loss off and saves its computation.

    Three defaults depart from a literal reading of the paper:

    | setting              | paper   | default | why                                                            |
    |----------------------|---------|---------|----------------------------------------------------------------|
    | `detach_temperature` | `False` | `True`  | The temperature should fit retrieval, not regions and texts.   |
    | `srd_self_relations` | `True`  | `False` | They always equal 1 and leave the softmax little to distill.   |
    | `sdd_confidence`     | `False` | `True`  | The teacher should be followed where it is right.              |

    Raises:
        ValueError: a weight is negative, or a temperature is not positive.

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
    hard: bool = _argument(
        True, "Use item photos fused with mismatched texts as further negatives of the queries in L_q2i."
    )
    multi_positive: bool = _argument(
        False,
        "Use other listings of the same product in a batch as further positives in L_q2i. By default they are "
        "ignored.",
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
    sdd_temperature: float = _argument(0.05, "Temperature of the teacher's similarities in L_SDD.")
    sdd_confidence: bool = _argument(
        True, "Weight each row of L_SDD by the teacher's probability of the true item. Paper, read literally: false."
    )

    def __post_init__(self):
        super().__post_init__()
        for name in ("srd_temperature", "sdd_temperature"):
            if not getattr(self, name):
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")

    def active(self, *, has_teacher: bool = True) -> dict[str, float]:
        """Return the weights of the losses that are on, in the order of computation.

        Args:
            has_teacher: whether a frozen teacher is given; without one, `srd` and `sdd` are left out.
        """
        return {name: weight for name, weight in super().active().items() if has_teacher or name not in _NEED_TEACHER}

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
        )
