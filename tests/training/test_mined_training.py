"""Negatives mined with a first model share batches in the next run."""

import numpy as np
import pytest
from tiny_training import TRAIN_SCRIPT, load_script, read_history, write_recipe

from tiger_fg_hf import load_catalog
from tiger_fg_hf.synthetic.drawn import drawn_catalog

MINE_SCRIPT = TRAIN_SCRIPT.with_name("mine_negatives.py")

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


def test_mined_negatives_share_batches(tmp_path, fresh_accelerate, capsys):
    folder, negatives = tmp_path / "catalog", tmp_path / "negatives.npy"
    drawn_catalog(num_products=12, views=2, size=40).save_to_disk(str(folder))
    recipe = write_recipe(tmp_path, data=str(folder), tokenizer="train", max_steps=2, v2t=0.0, srd=0.0, sdd=0.0)
    train = load_script(TRAIN_SCRIPT)
    train.main([str(recipe), "--output_dir", str(tmp_path / "first")])

    flags = ["--negatives", "3", "--relative_margin", "0"]
    files = ["--model", str(tmp_path / "first"), "--data", str(folder), "--output", str(negatives)]
    load_script(MINE_SCRIPT).main([*files, *flags])
    found = np.load(negatives)
    assert found.shape == (24, 3)
    items = load_catalog(folder)["item_id"]
    for row, others in enumerate(found):
        assert all(items[other] != items[row] for other in others if other >= 0)
    assert "negatives a row" in capsys.readouterr().out

    fresh_accelerate()
    flags = ["--hard_negatives", str(negatives), "--group_products", "--multi_positive", "--mosaic_share", "0.5"]
    train.main([str(recipe), "--output_dir", str(tmp_path / "second"), *flags])
    assert read_history(tmp_path / "second")[-1]["step"] == 2

    np.save(negatives, found[:5])
    fresh_accelerate()
    with pytest.raises(ValueError, match="neighbours: expected one for each of 24 rows, found 5"):
        train.main([str(recipe), "--output_dir", str(tmp_path / "third"), *flags])


def test_negatives_of_queries_that_are_joined_to_listings(tmp_path, fresh_accelerate):
    drawn = drawn_catalog(num_products=8, views=2, size=40)
    folders = {name: str(tmp_path / name) for name in ("photos", "listings")}
    drawn.select_columns(["item_id", "query_image"]).save_to_disk(folders["photos"])
    drawn.remove_columns("query_image").save_to_disk(folders["listings"])
    catalog = {"data": folders["photos"], "items": folders["listings"]}
    recipe = write_recipe(tmp_path, **catalog, tokenizer="train", max_steps=2, v2t=0.0, srd=0.0, sdd=0.0)
    train = load_script(TRAIN_SCRIPT)
    train.main([str(recipe), "--output_dir", str(tmp_path / "first")])

    negatives = tmp_path / "new" / "negatives.npy"
    files = ["--model", str(tmp_path / "first"), "--output", str(negatives), "--negatives", "2", "--top_k", "9"]
    mine = load_script(MINE_SCRIPT)
    mine.main([*files, *(part for name, value in catalog.items() for part in (f"--{name}", value))])
    found = np.load(negatives)
    assert found.shape == (16, 2)
    for row, others in enumerate(found):
        assert all(drawn["item_id"][other] != drawn["item_id"][row] for other in others if other >= 0)

    fresh_accelerate()
    train.main([str(recipe), "--output_dir", str(tmp_path / "second"), "--hard_negatives", str(negatives)])
    assert read_history(tmp_path / "second")[-1]["step"] == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "negatives"], "--output: expected a file ending in .npy, found 'negatives'"),
        (["--output", "n.npy", "--negatives", "0"], r"--negatives must lie in \[1, top_k = 50\], got 0"),
    ],
)
def test_mining_checks_its_arguments_first(flags, message):
    with pytest.raises(ValueError, match=message):
        load_script(MINE_SCRIPT).main(["--model", "nowhere", "--data", "nowhere", *flags])
