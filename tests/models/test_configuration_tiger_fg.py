"""Bad configurations are explained."""

import pytest
from tiny import TEXT, VISION

from tiger_fg_hf import TigerFGConfig


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_slots", 0, "num_slots must be at least 1"),
        ("projection_dim", -3, "projection_dim must be at least 1"),
        ("grounding_attention_heads", 5, "does not divide"),
        ("attention_dropout", 1.5, "attention_dropout must lie"),
        ("text_match_scale_init", 0.0, "text_match_scale_init must be positive"),
        ("temperature_init", 0.001, "is below the initial value"),
    ],
)
def test_bad_configurations_are_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        TigerFGConfig(vision_config=VISION["vit"](), text_config=TEXT["bert"](), **{field: value})


def test_wrong_types_are_refused():
    with pytest.raises(Exception, match="num_slots"):
        TigerFGConfig(vision_config=VISION["vit"](), text_config=TEXT["bert"](), num_slots="eight")
