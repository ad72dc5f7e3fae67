"""Connectors with the same number of parameters."""

import pytest
import torch
from tiny_tgq import tiny_tgq_config

from tiger_fg_hf import TGQFormerConfig, TGQFormerConnector, TGQFormerModel
from tiger_fg_hf.models.configuration_tgq_former import CONNECTORS
from tiger_fg_hf.models.connector_budget_tgq_former import match_connector_budget


def test_an_unknown_connector_is_named():
    with pytest.raises(ValueError, match=r"The connector must be one of tgq_former, .*, got 'qformer'"):
        match_connector_budget(tiny_tgq_config(), "qformer")


@pytest.mark.parametrize("connector", [name for name in CONNECTORS if name != "tgq_former"])
def test_baselines_have_the_same_budget(connector):
    config = tiny_tgq_config()
    model = TGQFormerModel(config)
    other = TGQFormerModel(match_connector_budget(config, connector))
    assert config.connector == "tgq_former"

    def count(model):
        return model.num_parameters() - model.dual_encoder.num_parameters() - model.language_model.num_parameters()

    assert count(other) == pytest.approx(count(model), rel=0.1)
    # Also at the paper's scale.
    full = TGQFormerConfig()
    with torch.device("meta"):
        sizes = [
            sum(p.numel() for p in TGQFormerConnector(c).parameters())
            for c in (full, match_connector_budget(full, connector))
        ]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)


def test_an_impossible_budget_is_named():
    smallest = tiny_tgq_config(connector_intermediate_size=1, num_metadata_queries=0, gated=False)
    with pytest.raises(ValueError, match=r"notellm2 connector has at least .* parameters"):
        match_connector_budget(smallest, "notellm2")
