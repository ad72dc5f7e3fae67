"""The systems of the IMMR benchmark and the ablations of TIGER-FG."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from tiger_fg_hf.models.modeling_tiger_fg import TigerFGModel
from tiger_fg_hf.objectives.tiger_fg_weights import TigerFGLossWeights

from ..harness.systems import System, SystemList
from .ablations import VisionFirstModel, WithoutAppearanceModel
from .baselines import BaselineModel

# The loss of every baseline: queries against the items of the batch, and against their close views if there are any.
CONTRASTIVE = TigerFGLossWeights(q2v=0.0, v2t=0.0, i2v=0.0, srd=0.0, sdd=0.0, hard=False)


@dataclass(frozen=True)
class IMMRSystem(System):
    """A system of the benchmark.

    Attributes:
        model: class of its model, initialized from TIGER-FG's encoders and equally named layers.
        config: additional fields of its configuration.
        losses: changes to TIGER-FG's loss weights; None for the contrastive loss alone.
        mosaics: whether some training pairs show mosaics.
        true_boxes: whether item pictures are cropped to the true box, in training and in the galleries.
    """

    model: type[TigerFGModel] = TigerFGModel
    config: Mapping[str, Any] = field(default_factory=dict)
    losses: Mapping[str, Any] | None = None
    mosaics: bool = False
    true_boxes: bool = False

    @property
    def reads_text(self) -> bool:
        """Whether the item tower reads the text."""
        return self.config.get("baseline") != "image"

    def weights(self, full: TigerFGLossWeights) -> TigerFGLossWeights:
        """Return its loss weights, given those of TIGER-FG."""
        if self.losses is None:  # a comparison trains every system on the same views
            return replace(CONTRASTIVE, close=full.close)
        return replace(full, **self.losses)

    def start(self, model: TigerFGModel) -> TigerFGModel:
        """Return its model, initialized with the weights of a fresh TIGER-FG model where names agree."""
        if self.model is TigerFGModel and not self.config:
            return model
        config = deepcopy(model.config)
        for name, value in self.config.items():
            setattr(config, name, value)
        started = self.model._from_config(config, attn_implementation=model.config._attn_implementation)
        started.load_state_dict(model.state_dict(), strict=False)
        return started


def _baseline(kind: str, name: str, sentence: str, **changes: Any) -> IMMRSystem:
    return IMMRSystem(name, sentence, BaselineModel, {"baseline": kind, "num_glances": 1}, **changes)


def _ablation(part: str, sentence: str, losses: Mapping[str, Any] | None = None, **changes: Any) -> IMMRSystem:
    return IMMRSystem(f"tiger_fg-{part}", sentence, losses=losses or {}, **{"mosaics": True, **changes})


OURS = "tiger_fg-mosaics"
FULL = "tiger_fg-full"

SYSTEMS = (
    _baseline("image", "untrained", "The pretrained vision encoder: class tokens, no text.", trained=False),
    _baseline("image", "image", "Image-only dual encoder: class tokens, no text."),
    _baseline("image", "image-mosaics", "Image-only dual encoder, trained with mosaics.", mosaics=True),
    _baseline(
        "late_fusion", "late_fusion", "CLIP-style late fusion: class token and mean text token, joined by an MLP."
    ),
    _baseline("late_fusion", "late_fusion-mosaics", "Late fusion, trained with mosaics.", mosaics=True),
    _baseline(
        "learned_queries",
        "learned_queries",
        "Learned-query pooling: TIGER-FG's slots and pooling read the patches alone, then late fusion.",
    ),
    _baseline(
        "learned_queries", "learned_queries-mosaics", "Learned-query pooling, trained with mosaics.", mosaics=True
    ),
    IMMRSystem("tiger_fg", "TIGER-FG with all its losses, trained without mosaics.", losses={}),
    IMMRSystem(OURS, "TIGER-FG with all its losses, trained with mosaics.", losses={}, mosaics=True),
    _baseline(
        "late_fusion",
        "true_box",
        "Late fusion on items cropped to their true boxes, in training and in the galleries: the upper bound of a "
        "pipeline with a detector.",
        mosaics=True,
        true_boxes=True,
    ),
)

ABLATIONS = (
    _ablation("full", "TIGER-FG as above, with the training steps of the ablations."),
    _ablation("no_srd", "Without the distillation of patch relations, L_SRD.", {"srd": 0.0}),
    _ablation("no_sdd", "Without the distillation of similarities, L_SDD.", {"sdd": 0.0}),
    _ablation("no_v2t", "Without the alignment of region and text, L_v2t.", {"v2t": 0.0}),
    _ablation("no_i2v", "Without the alignment of item and region, L_i2v.", {"i2v": 0.0}),
    _ablation("no_grounding", "Without L_grounding, which moves the map into the box.", {"grounding": 0.0}),
    _ablation("no_close", "Without close views.", {"close": 0.0, "sdd_teacher": "frozen"}),
    _ablation(
        "self_teacher",
        "In L_SDD, the student's own close views teach in place of a frozen encoder.",
        {"sdd_teacher": "self"},
    ),
    _ablation("one_glance", "With one glance.", {"extent": 0.0, "glance": 0.0}, config={"num_glances": 1}),
    _ablation(
        "votes",
        "The extent is the mean of boxes that the patches predict, weighted by the map.",
        config={"extent": "votes"},
    ),
    _ablation(
        "quantile",
        "The extent lies between quantiles of the map, and is not trained.",
        {"extent": 0.0},
        config={"extent": "quantile"},
    ),
    _ablation("no_hard_negatives", "Without mismatched texts as negatives.", {"hard": False, "i2v_hard": 0.0}),
    _ablation(
        "no_appearance", "Without f_a: the class token in place of guided pooling.", model=WithoutAppearanceModel
    ),
    _ablation(
        "no_text_match",
        "The pooling does not match patches with the text.",
        config={"text_match_scale_init": None},
    ),
    _ablation(
        "no_gate",
        "No gate mixes the class token into f_a, which is made of the pooled patches alone.",
        config={"appearance_gate_init": None},
    ),
    _ablation("vision_first", "The slots read the patches before the text.", model=VisionFirstModel),
    _ablation("no_mosaics", "Trained without mosaics.", mosaics=False),
)

IMMR_SYSTEMS = SystemList(SYSTEMS, ABLATIONS, OURS, FULL)
BY_NAME = IMMR_SYSTEMS.by_name
