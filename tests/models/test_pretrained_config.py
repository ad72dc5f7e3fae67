"""Behavior that the configurations of both families share."""

import json

import pytest
from tiny import tiny_config
from tiny_tgq import tiny_tgq_config
from transformers import AutoConfig

from tiger_fg_hf import TGQFormerConfig, TigerFGConfig, TigerFGItemConfig


def save_as_before(config, folder) -> None:
    """Save a configuration as it was before fields were added."""
    config.save_pretrained(folder)
    path = folder / "config.json"
    saved = json.loads(path.read_text())
    for part in (saved, saved.get("dual_encoder_config", {})):
        for name in ("appearance_fallback", "appearance_value_layer", "connector_pre_norm"):
            part.pop(name, None)
    path.write_text(json.dumps(saved))


@pytest.mark.parametrize("config_class", [TigerFGConfig, TigerFGItemConfig, AutoConfig])
def test_fields_missing_from_older_files_keep_their_meaning(config_class, tmp_path):
    config = tiny_config()
    assert config.appearance_fallback
    config.save_pretrained(tmp_path / "new")
    assert config_class.from_pretrained(tmp_path / "new").appearance_fallback
    save_as_before(config, tmp_path / "old")
    loaded = config_class.from_pretrained(tmp_path / "old")
    assert not loaded.appearance_fallback
    assert loaded.appearance_value_layer


@pytest.mark.parametrize("config_class", [TGQFormerConfig, AutoConfig])
def test_fields_missing_from_older_dual_encoders_keep_their_meaning(config_class, tmp_path):
    save_as_before(tiny_tgq_config("tiger_fg"), tmp_path)
    loaded = config_class.from_pretrained(tmp_path)
    assert not loaded.dual_encoder_config.appearance_fallback
    assert loaded.connector_pre_norm


def test_field_names_are_checked():
    TigerFGConfig.check_field_names(["num_slots", "text_config"])
    with pytest.raises(TypeError, match="TigerFGConfig has no field num_slotz, text_configs"):
        TigerFGConfig.check_field_names(["text_configs", "num_slotz"])
