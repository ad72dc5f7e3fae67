"""The README is short, its code runs as pasted, its numbers are those of the benchmark's record, its links work."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SYSTEMS = ["late_fusion", "late_fusion-mosaics", "tiger_fg-mosaics", "true_box"]


def test_it_is_short():
    assert len(README.encode()) <= 8192


def test_the_snippet_runs_as_pasted():
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", snippet], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    title, score = done.stdout.strip().splitlines()[-1].rsplit(" ", 1)
    assert title
    assert 0 < float(score) <= 1


def test_the_table_is_that_of_the_record():
    path = re.search(r"<!-- results: (\S+) -->", README)[1]
    record = json.loads((ROOT / path).read_text(encoding="utf-8"))
    figures = {(f["system"], f["part"]): f for f in record["figures"] if f["metric"] == "recall@1"}
    rows = re.findall(r"^\| .*? \| \*{0,2}[\d.].*$", README, re.MULTILINE)
    assert len(rows) == len(SYSTEMS)
    for row, system in zip(rows, SYSTEMS, strict=True):
        cells = [cell.replace("*", "").strip() for cell in row.strip("| ").split("|")[1:]]
        for cell, part in zip(cells, ("normal", "mosaic"), strict=True):
            figure = figures[system, part]
            assert cell == f"{figure['mean']} [{figure['low']}, {figure['high']}]"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()
