"""From a first model to mined negatives to a run whose batches hold them."""

import numpy as np
import pytest
from tiny_training import TRAIN_SCRIPT, load_script, read_history, write_recipe

from tiger_fg_hf import load_catalog
from tiger_fg_hf.data.drawn import drawn_catalog

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
