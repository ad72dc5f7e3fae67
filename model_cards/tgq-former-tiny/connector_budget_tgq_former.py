"""All connectors by name, and a way to give each the same number of parameters."""

import copy

import torch
from torch import nn

from .configuration_tgq_former import TGQFormerConfig
from .connector_baselines_tgq_former import (
    TGQFormerLateFusion,
    TGQFormerLearnedQueryConnector,
    TGQFormerMLPConnector,
    TGQFormerPerceiverResampler,
)
from .connector_tgq_former import TGQFormerHybridQueryConnector

CONNECTOR_CLASSES: dict[str, type[nn.Module]] = {
    "tgq_former": TGQFormerHybridQueryConnector,
    "q_former": TGQFormerLearnedQueryConnector,
    "notellm2": TGQFormerLearnedQueryConnector,
    "perceiver_resampler": TGQFormerPerceiverResampler,
    "mlp": TGQFormerMLPConnector,
}


def match_connector_budget(config: TGQFormerConfig, connector: str) -> TGQFormerConfig:
    """Copy `config` for another connector, with the same number of parameters as nearly as its width allows.

    Sets `connector_intermediate_size`; the number of parameters is linear in it.

    Args:
        config: Configuration whose number of parameters to match.
        connector: One of [`CONNECTOR_CLASSES`].

    Raises:
        ValueError: The connector is unknown, or has more parameters at every size.

    Example:
        >>> from tiger_fg_hf import TGQFormerConfig
        >>> match_connector_budget(TGQFormerConfig(), "mlp").connector_intermediate_size > 3072
        True
    """
    if connector not in CONNECTOR_CLASSES:
        raise ValueError(f"The connector must be one of {', '.join(CONNECTOR_CLASSES)}, got {connector!r}.")
    budget = _num_parameters(config)
    matched = copy.deepcopy(config)
    matched.connector = connector
    counts = []
    for size in (1, 2):
        matched.connector_intermediate_size = size
        counts.append(_num_parameters(matched))
    size = 1 + round((budget - counts[0]) / (counts[1] - counts[0]))
    if size < 1:
        raise ValueError(f"A {connector} connector has at least {counts[0]:,} parameters, more than {budget:,}.")
    matched.connector_intermediate_size = size
    return matched


def _num_parameters(config: TGQFormerConfig) -> int:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in CONNECTOR_CLASSES[config.connector](config).parameters())
        if config.connector == "notellm2":
            count += sum(parameter.numel() for parameter in TGQFormerLateFusion(config).parameters())
    return count
