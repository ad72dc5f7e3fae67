"""Weights and settings of the losses; also the command line's arguments for them."""

from dataclasses import dataclass, field, fields

from .tiger_fg_student import TigerFGTerms


def _told(default, text: str):
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TigerFGLossWeights:
    """
    Weights of the terms: `L = q2i L_q2i + sdd L_SDD + v2t L_v2t + i2v L_i2v + srd L_SRD + q2v L_q2v`.

    In the paper's grouping `q2i` and `sdd` are λ_dual, and `v2t`, `i2v`, `srd` are λ_item; `q2v` is an addition. A
    weight of 0 removes a term and its computation.

    Raises:
        ValueError: a weight is negative, or a temperature is not positive.
    """

    q2i: float = _told(1.0, "Weight of L_q2i: queries and items find each other.")
    v2t: float = _told(1.0, "Weight of L_v2t: target region and text find each other.")
    i2v: float = _told(1.0, "Weight of L_i2v: the item embedding is that of its target region.")
    srd: float = _told(1.0, "Weight of L_SRD: patches relate to each other as a frozen teacher's do.")
    sdd: float = _told(1.0, "Weight of L_SDD: queries prefer items as a frozen teacher does.")
    q2v: float = _told(0.0, "Weight of L_q2v: queries and target regions find each other.")
    hard: bool = _told(True, "Mismatched texts are negatives of queries in L_q2i.")
    multi_positive: bool = _told(
        False, "Other listings of a product in the batch are positives in L_q2i; otherwise they are left out."
    )
    i2v_hard: float = _told(1.0, "Weight of the mismatched texts within L_i2v.")
    i2v_appearance: bool = _told(
        False,
        "L_i2v compares the region with the visual part of the item embedding alone, so that what the text adds by "
        "itself cannot stand in for looking at the right place.",
    )
    srd_temperature: float = _told(0.1, "Temperature of the patch relations in L_SRD.")
    sdd_temperature: float = _told(0.05, "Temperature of the teacher's similarities in L_SDD.")
    sdd_confidence: bool = _told(True, "L_SDD weighs rows by the teacher's probability of the true item.")

    def __post_init__(self):
        for field_ in fields(self):
            value = getattr(self, field_.name)
            if not value >= 0:
                raise ValueError(f"{field_.name} must not be negative, got {value}.")
            if field_.name.endswith("temperature") and not value:
                raise ValueError(f"{field_.name} must be positive, got {value}.")

    @property
    def needs_teacher(self) -> bool:
        """Whether a term asks for a frozen teacher."""
        return bool(self.srd or self.sdd)

    def student_terms(self) -> TigerFGTerms:
        """What the student must compute for these weights."""
        return TigerFGTerms(
            mismatched=bool((self.hard and self.q2i) or (self.i2v and self.i2v_hard)),
            region=bool(self.i2v or self.q2v),
            text=bool(self.v2t),
            relations=bool(self.srd),
            relation_temperature=self.srd_temperature,
            appearance=bool(self.i2v and self.i2v_appearance),
        )
