"""The model card says what the files say."""

import json

import pytest
from huggingface_hub import ModelCard
from tiny import tiny_model
from tiny_tgq import tiny_tgq_model

from tiger_fg_hf.hub.card import _KINDS, results_table, write_card
from tiger_fg_hf.models.configuration_tgq_former import CONNECTORS

RESULT = {
    "metrics": {
        name: {"mean": value, "low": value - 0.1, "high": value + 0.1}
        for name, value in {"recall@1": 0.5, "recall@5": 0.7, "recall@10": 0.8, "mrr": 0.6}.items()
    },
    "chance": {"recall@1": 0.01},
    "num_queries": 100,
    "num_items": 200,
    "pointing": {"mean": 0.4, "low": 0.3, "high": 0.5},
    "pointing_chance": 0.25,
    "confidence": 0.95,
    "seed": 0,
}
FACTS = {
    "name": "tiny",
    "description": "A model.",
    "summary": {"steps": 12, "seconds": 120.0, "pairs": 768, "parameters": 54_321},
    "training_data": "Drawings.",
    "hardware": "2 cores",
    "commands": "python examples/evaluate.py --items drawn",
}


def test_card_holds_every_number_and_a_model_index(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    write_card(tmp_path, results={"Drawn, clutter": RESULT}, **FACTS)
    card = ModelCard.load(tmp_path / "README.md")
    assert {result.dataset_type for result in card.data.eval_results} == {"drawn-clutter"}
    found = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert found == {"recall@1": 0.5, "recall@5": 0.7, "recall@10": 0.8, "mrr": 0.6}
    assert card.data.license == "apache-2.0"
    for fact in ("0.500 [0.400, 0.600]", "0.400 [0.300, 0.500] (0.250)", "100 → 200", "12 steps on 768 pairs"):
        assert fact in card.text
    assert "2 minutes, on 2 cores" in card.text.replace("\n", " ")
    assert "{{" not in card.text


def test_a_benchmark_without_boxes_shows_no_pointing():
    photos = RESULT | {"pointing": None}
    assert "| – |" in results_table({"Photos": photos, "Drawn": RESULT})
    assert "pointing" not in results_table({"Photos": photos})


def test_card_of_a_tgq_former(tmp_path):
    tiny_tgq_model().save_pretrained(tmp_path)
    names = ("hit_rate@1", "hit_rate@10", "hit_rate@100", "mrr")
    metrics = {name: {"mean": 0.1 * place, "low": 0.0, "high": 1.0} for place, name in enumerate(names, 1)}
    result = {**RESULT, "metrics": metrics, "chance": {"hit_rate@1": 0.005}, "pointing": None}
    write_card(tmp_path, results={"Heavy overlay": result}, **FACTS)
    card = ModelCard.load(tmp_path / "README.md")
    assert {found.metric_type: found.metric_value for found in card.data.eval_results} == {
        "hit_rate@1": 0.1,
        "hit_rate@10": 0.2,
        "hit_rate@100": 0.3,
        "mrr": 0.4,
    }
    text = " ".join(card.text.split())
    for fact in (
        "TGQFormerModel",
        "3 queries compressed from the title and 2 learned ones",
        "32 dimensions",
        "clip dual encoder, tgq_former connector, qwen3 language model",
        "0.0050",
    ):
        assert fact in text, fact
    assert "{{" not in text


@pytest.mark.parametrize("connector", [name for name in CONNECTORS if name != "tgq_former"])
def test_card_of_another_connector_does_not_speak_of_gates(tmp_path, connector):
    tiny_tgq_model(connector=connector).save_pretrained(tmp_path)
    result = {**RESULT, "metrics": dict.fromkeys(_KINDS["tgq_former"].shown, RESULT["metrics"]["mrr"])}
    result |= {"chance": {"hit_rate@1": 0.005}, "pointing": None}
    text = " ".join(write_card(tmp_path, results={"Heavy overlay": result}, **FACTS).text.split())
    assert f"{connector} connector" in text
    assert "compressed from the title" not in text
    assert "gates modulate" not in text


def test_other_checkpoints_have_no_card(tmp_path):
    tiny_model("query").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a 'tiger_fg_query'; cards are for tiger_fg, tgq_former"):
        write_card(tmp_path, results={"Drawn clutter": RESULT}, **FACTS)


def test_a_folder_without_checkpoint_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_card(tmp_path, results={"Drawn clutter": json.loads(json.dumps(RESULT))}, **FACTS)


def test_results_of_another_evaluation_are_refused_by_name(tmp_path):
    tiny_tgq_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"results of 'Drawn clutter' lack hit_rate@1.* of a 'tgq_former' evaluation"):
        write_card(tmp_path, results={"Drawn clutter": RESULT}, **FACTS)
    assert not (tmp_path / "README.md").exists()
