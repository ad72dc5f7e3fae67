"""The connectors of the listings benchmark and the ablations of TGQ-Former."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tiger_fg_hf.models.configuration_tgq_former import TGQFormerConfig
from tiger_fg_hf.objectives.tgq_former import TGQFormerLossWeights

from ..harness.systems import System, SystemList

Connector = Literal["tgq_former", "q_former", "notellm2", "perceiver_resampler", "mlp"]


@dataclass(frozen=True)
class ListingsSystem(System):
    """A system of the benchmark.

    Attributes:
        connector: its connector; all others have as many parameters as TGQ-Former's.
        changes: changes to the fields of TGQ-Former's configuration.
        losses: changes to the loss weights.
    """

    connector: Connector = "tgq_former"
    changes: Callable[[TGQFormerConfig], Mapping[str, Any]] = lambda config: {}
    losses: Mapping[str, Any] = field(default_factory=dict)

    def weights(self, full: TGQFormerLossWeights) -> TGQFormerLossWeights:
        """Return its loss weights, given those of TGQ-Former."""
        return replace(full, **self.losses)


def _baseline(connector: Connector, sentence: str) -> ListingsSystem:
    return ListingsSystem(connector, sentence, connector)


def _one_stream(config: TGQFormerConfig) -> dict[str, int]:
    number = config.num_metadata_queries + config.num_exploratory_queries
    return {"num_metadata_queries": 0, "num_exploratory_queries": number}


OURS: Connector = "tgq_former"

SYSTEMS = (
    ListingsSystem(OURS, "TGQ-Former: queries from the title and learned queries, a gate for each stream, L_rr."),
    _baseline("q_former", "Q-Former: the same number of queries, all learned."),
    _baseline("notellm2", "NoteLLM-2: a Q-Former, and a gate that fuses its output with the embedding."),
    _baseline("perceiver_resampler", "Perceiver Resampler: the same number of learned latents."),
    _baseline("mlp", "Two layers on every image token."),
)

ABLATIONS = (
    ListingsSystem("no_dual_stream", "Learned queries in place of those from the title.", changes=_one_stream),
    ListingsSystem("no_gate", "Both streams without gates.", changes=lambda config: {"gated": False}),
    ListingsSystem("no_rr", "Without the redundancy loss L_rr.", losses={"rr": 0.0}),
)

LISTINGS_SYSTEMS = SystemList(SYSTEMS, ABLATIONS, OURS, OURS)
BY_NAME = LISTINGS_SYSTEMS.by_name
