"""A run checks its catalog and describes itself before the first step."""

import json

import pytest
from tiny_training import write_recipe

from tiger_fg_hf import drawn_catalog, load_catalog
from tiger_fg_hf.objectives.tgq_former import TGQFormerLossWeights
from tiger_fg_hf.objectives.tiger_fg_student import TigerFGStudent
from tiger_fg_hf.objectives.tiger_fg_weights import TigerFGLossWeights
from tiger_fg_hf.training.recipes.tgq_former.run import left_out_losses
from tiger_fg_hf.training.recipes.tiger_fg.arguments import TigerFGDataArguments, TigerFGModelArguments
from tiger_fg_hf.training.recipes.tiger_fg.build import build_pairs
from tiger_fg_hf.training.recipes.tiger_fg.losses import describe_training
from tiger_fg_hf.training.recipes.tiger_fg.run import main


@pytest.fixture
def train(fresh_accelerate, catalog_folder, tmp_path):
    """`train(**changes of the recipe)` runs the recipe as in a process of its own."""

    def run(**changes):
        fresh_accelerate()
        changes = {"data": str(catalog_folder), "output_dir": str(tmp_path / "run"), "max_steps": 2, **changes}
        return main([str(write_recipe(tmp_path, **changes))])

    return run


@pytest.fixture(scope="module")
def broken_catalog(tmp_path_factory):
    """12 listings as photos and JSON lines; row 3's photo is not an image, and row 7's is missing."""
    folder = tmp_path_factory.mktemp("broken")
    lines = []
    for row, item in enumerate(drawn_catalog(num_products=12, size=48)):
        photo = folder / f"{row}.png"
        item["image"].save(photo)
        record = {name: item[name] for name in ("item_id", "title", "category", "box")}
        lines.append(json.dumps(record | {"image": photo.name}))
    (folder / "3.png").write_bytes(b"<html>not found</html>")
    (folder / "7.png").unlink()
    (folder / "catalog.jsonl").write_text("\n".join(lines))
    return folder / "catalog.jsonl"


def test_all_faulty_rows_are_listed_before_the_first_step(train, broken_catalog, tmp_path):
    with pytest.raises(ValueError, match="2 of 12 rows cannot be used") as error:
        train(data=str(broken_catalog))
    ids = load_catalog(broken_catalog)["item_id"]
    for row in (3, 7):
        assert f"row {row} (item_id {ids[row]!r})" in str(error.value)
        assert f"{row}.png" in str(error.value)
    assert not (tmp_path / "run" / "run.json").exists()


def test_faulty_rows_can_be_left_out(train, broken_catalog, tmp_path, capsys, caplog):
    summary = train(data=str(broken_catalog), on_error="skip")
    assert summary["steps"] == 2
    (session,) = json.loads((tmp_path / "run" / "run.json").read_text())["sessions"]
    assert (session["data"]["rows"], session["data"]["skipped"]) == (10, 2)
    assert "10 rows, 2 unusable rows left out" in capsys.readouterr().out
    assert "left out row 3" in caplog.text
    assert "left out row 7" in caplog.text


def test_the_catalog_to_evaluate_is_checked_too(train, broken_catalog, tmp_path):
    options = {"eval_data": str(broken_catalog), "eval_every": 2}
    with pytest.raises(ValueError, match="2 of 12 rows cannot be used"):
        train(**options)
    train(**options, on_error="skip")
    assert "eval/mrr" in (tmp_path / "run" / "history.jsonl").read_text()


def test_the_column_mapping_is_saved_with_the_processor(train, tmp_path, catalog_folder):
    catalog = load_catalog(catalog_folder).rename_column("title", "name")
    catalog.save_to_disk(tmp_path / "renamed")
    train(data=str(tmp_path / "renamed"), columns="title=name")
    saved = json.loads((tmp_path / "run" / "processor_config.json").read_text())
    assert saved["columns"] == {"title": "name"}
    # A run on this checkpoint reads the same columns when nothing else is said.
    folders = {"model": str(tmp_path / "run"), "data": str(tmp_path / "renamed"), "output_dir": str(tmp_path / "next")}
    train(**folders, model_config=None, vocab_size=None)
    saved = json.loads((tmp_path / "next" / "processor_config.json").read_text())
    assert saved["columns"] == {"title": "name"}


def test_the_columns_of_the_listings_are_saved_with_the_processor(train, tmp_path, catalog_folder):
    """With --items, the texts come from the listings, so their mapping is the one to index with."""
    catalog = load_catalog(catalog_folder)
    catalog.select_columns(["item_id", "query_image"]).rename_columns(
        {"item_id": "code", "query_image": "snap"}
    ).save_to_disk(tmp_path / "queries")
    listings = catalog.remove_columns("query_image").rename_column("title", "name")
    rows = [listings["item_id"].index(item_id) for item_id in dict.fromkeys(listings["item_id"])]
    listings.select(rows).save_to_disk(tmp_path / "listings")
    sources = {"data": str(tmp_path / "queries"), "items": str(tmp_path / "listings")}
    queries = {"columns": "item_id=code,query_image=snap"}
    train(**sources, **queries, item_columns="title=name")
    assert json.loads((tmp_path / "run" / "processor_config.json").read_text())["columns"] == {"title": "name"}
    model = {"model": str(tmp_path / "run"), "model_config": None, "vocab_size": None}
    train(**sources, **queries, **model, output_dir=str(tmp_path / "next"))
    assert json.loads((tmp_path / "next" / "processor_config.json").read_text())["columns"] == {"title": "name"}
    # Drawings have the names of the schema; the mapping of the checkpoint stays.
    train(**model, data="drawn", drawn_products=16, output_dir=str(tmp_path / "drawn"))
    assert json.loads((tmp_path / "drawn" / "processor_config.json").read_text())["columns"] == {"title": "name"}


def test_a_run_describes_what_it_learns_from(train, capsys):
    train()
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("Training TIGER-FG in ")
    assert any(line.startswith("catalog: ") and "48 rows, fingerprint " in line for line in lines)
    assert "rows: 48 with text, 48 with category, 48 with box" in lines
    assert "losses: q2i 1, v2t 1, i2v 1" in lines
    assert "left out: srd (no teacher: give --teacher or --vision)" in lines
    assert "left out: sdd (no teacher: give --teacher or --vision)" in lines
    assert "teacher: none" in lines


def describe(catalog, losses=None, data=None, **model) -> list[str]:
    losses = losses or TigerFGLossWeights()
    data = TigerFGDataArguments(num_workers=0, **(data or {}))
    outputs = losses.student_outputs()
    needed = {"hard_texts": outputs.mismatched, "close_views": outputs.close}
    pairs = build_pairs(catalog, data, image_size=32, seed=0, **needed)
    return describe_training(TigerFGModelArguments(**model), losses, pairs)


def test_the_teacher_is_named(catalog_folder):
    """Without --teacher, it is the student's own vision encoder before training."""
    catalog = load_catalog(catalog_folder).select(range(4))
    assert "teacher: big" in describe(catalog, teacher="big", vision="small", text="text")
    lines = describe(catalog, vision="small", text="text")
    assert "teacher: small, the student's own vision encoder before training (no --teacher given)" in lines
    assert "losses: q2i 1, v2t 1, i2v 1, srd 1, sdd 1" in lines
    assert not any(line.startswith("teacher") for line in describe(catalog, TigerFGLossWeights(srd=0.0, sdd=0.0)))


def test_srd_and_sdd_are_learned_from_the_students_own_encoder(train, tmp_path):
    first = str(tmp_path / "first")
    train(output_dir=first)
    summary = train(vision=first, text=first, model_config=None, log_every=1)
    assert {"train/srd", "train/sdd"} <= summary["history"][0].keys()


def test_losses_that_the_catalog_leaves_out_are_named(catalog_folder):
    catalog = load_catalog(catalog_folder).select(range(4))
    lines = describe(catalog.remove_columns("box"), vision="v", text="t")
    assert "losses: q2i 1, sdd 1" in lines
    for name in ("v2t", "i2v", "srd"):
        assert f"left out: {name} (the catalog has no boxes)" in lines
    lines = describe(catalog.remove_columns("category"), vision="v", text="t")
    assert "left out: mismatched texts of i2v (the catalog has no categories)" in lines
    bare = catalog.select_columns(["item_id", "image", "box"])
    lines = describe(bare, vision="v", text="t")
    assert "left out: v2t (the catalog has no texts)" in lines
    assert "left out: mismatched texts (the catalog has no texts of other categories)" in lines


def test_losses_on_close_views_say_what_they_lack(catalog_folder):
    catalog = load_catalog(catalog_folder).select(range(4))
    losses = TigerFGLossWeights(v2t=0.0, i2v=0.0, srd=0.0, close=0.5, sdd_teacher="self")
    lines = describe(catalog, losses, {"mosaic_share": 0.5, "close_share": 0.5})
    assert lines[1:] == ["losses: q2i 1, sdd 1, close 0.5", "teacher of sdd: the student itself, from close views"]
    for data, reason in (
        ({"mosaic_share": 0.5}, "--close_share 0"),
        ({"close_share": 0.5}, "--mosaic_share 0: close views show items of mosaics"),
    ):
        lines = describe(catalog, losses, data)
        assert lines[1:] == ["losses: q2i 1", f"left out: sdd ({reason})", f"left out: close ({reason})"]
    frozen = TigerFGLossWeights(v2t=0.0, i2v=0.0, srd=0.0, close=0.5)
    lines = describe(catalog, frozen, {"mosaic_share": 0.5}, vision="v", text="t")
    assert "losses: q2i 1, sdd 1" in lines
    assert "left out: close (--close_share 0)" in lines


def test_grounding_needs_boxes_and_texts(catalog_folder):
    catalog = load_catalog(catalog_folder).select(range(4))
    losses = TigerFGLossWeights(v2t=0.0, i2v=0.0, srd=0.0, sdd=0.0, hard=False, grounding=0.5)
    assert "losses: q2i 1, grounding 0.5" in describe(catalog, losses)
    bare = catalog.select_columns(["item_id", "image", "box"])
    assert "left out: grounding (the catalog has no texts)" in describe(bare, losses)
    assert "left out: grounding (the catalog has no boxes)" in describe(catalog.remove_columns("box"), losses)


def test_connectors_without_two_streams_leave_a_loss_out():
    class Config:
        connector, num_metadata_queries = "mlp", 4

    reason = {"rr": "the connector does not have two streams of queries"}
    assert left_out_losses(Config, TGQFormerLossWeights()) == reason
    assert left_out_losses(Config, TGQFormerLossWeights(rr=0.0)) == {}
    Config.connector = "tgq_former"
    assert left_out_losses(Config, TGQFormerLossWeights()) == {}
    Config.num_metadata_queries = 0
    assert left_out_losses(Config, TGQFormerLossWeights()) == reason


@pytest.mark.parametrize("skipped", [False, True])
def test_the_student_is_called_after_every_optimizer_step(train, monkeypatch, skipped):
    """It is not called after a step that float16's scaler skipped."""
    calls = []
    monkeypatch.setattr(TigerFGStudent, "after_step", lambda student: calls.append(type(student.model).__name__))
    if skipped:
        monkeypatch.setattr("accelerate.optimizer.AcceleratedOptimizer.step_was_skipped", True)
    train(max_steps=3, gradient_accumulation_steps=2)
    assert calls == ([] if skipped else ["TigerFGModel"] * 3)
