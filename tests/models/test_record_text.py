"""The one file that the models' folders share."""

from pathlib import Path

import tiger_fg_hf


def test_every_folder_has_the_same_file():
    """A folder exports as Hub code alone, so that each needs the file; a change is made in all of them."""
    folder = Path(tiger_fg_hf.__file__).parent / "models"
    copies = {path.parent.name: path.read_text() for path in folder.glob("*/record_text.py")}
    assert copies.keys() == {"tgq_former", "tiger_fg"}
    assert len(set(copies.values())) == 1
