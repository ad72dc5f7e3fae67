"""The connectors that the listing benchmark compares, and the ablations of TGQ-Former's: all else equal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tiger_fg_hf.models.configuration_tgq_former import TGQFormerConfig
from tiger_fg_hf.objectives.tgq_former import TGQFormerLossWeights

Connector = Literal["tgq_former", "q_former", "notellm2", "perceiver_resampler", "mlp"]


@dataclass(frozen=True)
class System:
    """
    Attributes:
        name: of its runs and of its rows in the report.
        sentence: what it is.
        connector: of its model; all but TGQ-Former's own are given as many parameters as that has.
        changes: fields of TGQ-Former's configuration that it changes.
        losses: changes of the loss weights.
    """

    name: str
    sentence: str
    connector: Connector = "tgq_former"
    changes: Callable[[TGQFormerConfig], Mapping[str, Any]] = lambda config: {}
    losses: Mapping[str, Any] = field(default_factory=dict)

    def weights(self, own: TGQFormerLossWeights) -> TGQFormerLossWeights:
        """Its loss weights, `own` being those of TGQ-Former."""
        return replace(own, **self.losses)


def _baseline(connector: Connector, sentence: str) -> System:
    return System(connector, sentence, connector)


def _one_stream(config: TGQFormerConfig) -> dict[str, int]:
    number = config.num_metadata_queries + config.num_exploratory_queries
    return {"num_metadata_queries": 0, "num_exploratory_queries": number}


OURS: Connector = "tgq_former"

SYSTEMS = (
    System(OURS, "TGQ-Former: queries from the title and learned ones, each stream behind its gate, L_rr."),
    _baseline("q_former", "Plain Q-Former: as many queries, all of them learned."),
    _baseline("notellm2", "As in NoteLLM-2: a plain Q-Former, and a gate that fuses its output with the embedding."),
    _baseline("perceiver_resampler", "Perceiver-Resampler: as many learned latents."),
    _baseline("mlp", "Two layers on every image token."),
)

ABLATIONS = (
    System("no_dual_stream", "No queries from the title: as many learned ones instead.", changes=_one_stream),
    System("no_gate", "Both streams as they are, without gates.", changes=lambda config: {"gated": False}),
    System("no_rr", "Without the redundancy loss L_rr.", losses={"rr": 0.0}),
)

BY_NAME = {system.name: system for system in (*SYSTEMS, *ABLATIONS)}
