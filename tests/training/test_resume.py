"""The resume guard: every argument counts unless it is declared harmless."""

import json
from dataclasses import MISSING, fields, replace
from typing import Any

import pytest
from accelerate import Accelerator

from tiger_fg_hf.training.arguments import may_change
from tiger_fg_hf.training.checkpoint import load_checkpoint
from tiger_fg_hf.training.recipes.dual_encoder.arguments import ARGUMENTS as DUAL_ENCODER
from tiger_fg_hf.training.recipes.tgq_former.arguments import ARGUMENTS as TGQ_FORMER
from tiger_fg_hf.training.recipes.tiger_fg.arguments import ARGUMENTS as TIGER_FG
from tiger_fg_hf.training.resume import guard_differences, guarded_arguments

# They change neither data nor weights, or (data, split, items) the catalog's fingerprint is compared instead.
HARMLESS = {
    *("output_dir", "log_every", "eval_every", "save_every", "save_total_limit", "resume", "tracker", "progress"),
    *("data", "split", "items", "item_columns", "on_error", "eval_data", "eval_limit", "num_workers"),
    *("feature_cache", "attn_implementation", "gradient_checkpointing", "allow_outside"),
}
# Other values for the fields that do not take just any value.
OTHERS = {
    "seed": 7,
    "warmup_ratio": 0.2,
    "ema_decay": 0.5,
    "layer_decay": 0.5,
    "mixed_precision": "no",
    "compile": "eager",
    "resize_mode": "crop",
    "query_difficulty": "hard",
    "drawn_layout": "clean",
    "connector": "mlp",
    "model": "elsewhere",
    "columns": "title=name",
    "model_config": {"logit_scale_max": 50.0},
    "mosaic_items": [2, 3],
    "mosaic_area": [0.1, 0.2],
    "mosaic_share": 0.5,
    "level_shares": [1.0, 2.0, 3.0],
    "keep_words": [0.1, 0.2],
    "wrong_titles": 0.5,
    "close_plain_share": 0.25,
    "close_jitter": 0.1,
    "sdd_teacher": "self",
}


def build(kind: type, **changes) -> Any:
    if "DualEncoderArguments" in kind.__name__:
        changes = {"vision": "vision", "text": "text", **changes}
    return kind(**changes)


def changed(kind: type, name: str) -> Any:
    """Build an object of `kind` with another value of the field `name`."""
    if kind.__name__ == "DualEncoderArguments" and name in ("dual_encoder", "dual_encoder_config"):
        value = {"model_type": "clip"} if name == "dual_encoder_config" else "other"
        return kind(**{name: value})
    before = build(kind)
    if name == "freeze_language_model":
        before = replace(before, lora_rank=0)
    value = getattr(before, name)
    if name in OTHERS:
        other = OTHERS[name]
    elif isinstance(value, bool):
        other = not value
    elif isinstance(value, int | float):
        other = value + 1
    else:
        other = f"{value or ''}other"
    return replace(before, **{name: other})


FIELDS = {
    f"{kind.__name__}.{part.name}": (kind, part)
    for kind in dict.fromkeys((*TIGER_FG, *TGQ_FORMER, *DUAL_ENCODER))
    for part in fields(kind)
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_argument_counts_unless_declared_harmless(name):
    """Changing an argument makes the guard differ, in a phrase that names the flag."""
    kind, part = FIELDS[name]
    if part.name in HARMLESS:
        assert may_change(part)
        assert part.name not in guarded_arguments(build(kind))
        return
    assert not may_change(part)
    differences = guard_differences(guarded_arguments(build(kind)), guarded_arguments(changed(kind, part.name)))
    assert any(difference.startswith((f"{part.name}:", f"{part.name}.")) for difference in differences), differences


def test_arguments_survive_being_written():
    """The guard of the same arguments is equal after a round trip through JSON."""
    for kinds in (TIGER_FG, TGQ_FORMER, DUAL_ENCODER):
        guard = guarded_arguments(*(build(kind) for kind in kinds))
        assert len(guard) == sum(not may_change(part) for kind in kinds for part in fields(kind))
        assert guard_differences(json.loads(json.dumps(guard)), guard) == []


def test_nested_differences_are_named_by_their_path():
    saved, now = {"settings": {"model": {"width": 8, "depth": 2}, "empty": {}}}, {"settings": {"model": {"width": 9}}}
    assert guard_differences(saved, now) == [
        "settings.model.width: 8 in the checkpoint, 9 now",
        "settings.model.depth: 2 in the checkpoint, absent now",
        "settings.empty: {} in the checkpoint, absent now",
    ]


def test_every_argument_has_a_help_text_and_a_default():
    for kind, part in FIELDS.values():
        assert part.metadata["help"].endswith("."), (kind, part.name)
        assert part.default is not MISSING or part.default_factory is not MISSING, (kind, part.name)


def test_refusal_names_the_flag(fresh_accelerate, tmp_path):
    (tmp_path / "trainer_state.json").write_text(json.dumps({"step": 1, "guard": {"mosaic_items": [2, 4]}}))
    with pytest.raises(ValueError, match=r"mosaic_items: \[2, 4\] in the checkpoint, \[2, 3\] now"):
        load_checkpoint(Accelerator(cpu=True), tmp_path, {"mosaic_items": [2, 3]})
