"""Runs the Python examples of the documentation as a reader would paste them: `python docs/_scripts/run_examples.py`.

The examples of a page share one namespace. They run in a folder with the files that the pages mention.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

from tiger_fg_hf import drawn_catalog

ROOT = Path(__file__).parents[2]
PAGES = ("quickstart.md", "your-catalog.md", "grounding.md", "evaluate.md")
_EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CSV = re.compile(r'^```text title="listings.csv"\n(.*?)^```', re.MULTILINE | re.DOTALL)


def main() -> None:
    """Run the examples of every page, or of those whose names are given."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare(Path(folder))
        for page in sys.argv[1:] or PAGES:
            namespace: dict[str, object] = {}
            for number, code in enumerate(_EXAMPLE.findall((ROOT / "docs" / page).read_text(encoding="utf-8")), 1):
                print(f"--- {page}, example {number}", flush=True)
                exec(compile(code, f"{page}, example {number}", "exec"), namespace)


def prepare(folder: Path) -> None:
    """Write the files that the pages mention: checkpoints, a catalog with photos, and a crop."""
    (folder / "model_cards").symlink_to(ROOT / "model_cards")
    (csv,) = _CSV.findall((ROOT / "docs" / "your-catalog.md").read_text(encoding="utf-8"))
    (folder / "listings.csv").write_text(csv, encoding="utf-8")
    (folder / "photos").mkdir()
    drawn = drawn_catalog(num_products=2, split="test")
    for row, line in zip(drawn, csv.splitlines()[1:], strict=True):
        row["image"].save(folder / line.split(",")[1])
    drawn[0]["query_image"].save(folder / "crop.jpg")


if __name__ == "__main__":
    main()
