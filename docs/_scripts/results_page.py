"""Writes the page of results from `benchmarks/results`; `benchmarks/harness/record.py` describes the records."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Figure = Mapping[str, Any]

_INTRODUCTION = """# Results

Every number on this page is read from a JSON record under `benchmarks/results` when the page is built. A record names
the command that prints its figures, the version of the code, and the machine.

Brackets are 95% bootstrap intervals over products: how the number would move with other products of the same kind.
They do not cover another training seed. [Evaluate](evaluate.md) explains the metrics and how to read a difference.
"""
_METRICS = {"mrr": "MRR", "map": "MAP", "pointing": "pointing", "mass": "mass in the box"}
_VIEWS = {
    "own": "its own text",
    "missing": "no text",
    "category": "its category alone",
    "swapped": "the text of another item",
}


def results_page(folder: Path) -> str:
    """Return the page.

    Raises:
        FileNotFoundError: there are no records in `folder`.
        ValueError: a record has another schema.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no records (*.json)")
    return "\n\n".join([_INTRODUCTION.strip(), *map(section, paths)]) + "\n"


def section(path: Path) -> str:
    """Return the section of a record: how it was measured, then its tables."""
    record = json.loads(path.read_text(encoding="utf-8"))
    if record.get("schema") != 1:
        raise ValueError(f"{path}: expected a record of schema 1, found {record.get('schema')!r}")
    figures = record["figures"]
    plain = [figure for figure in figures if not is_difference(figure) and figure.get("view", "own") == "own"]
    viewed = [figure for figure in figures if not is_difference(figure) and figure.get("view", "own") != "own"]
    differences = [figure for figure in figures if is_difference(figure)]
    parts = [f"## {record['title']}", provenance(record, path)]
    parts += tables(plain, "system", record["unit"])
    if viewed:
        parts.append("**With other item texts**")
        parts += tables(viewed, "system, item text", record["unit"])
    if differences:
        parts.append("**Paired differences**, in points; an interval that contains 0 means level.")
        parts += tables(differences, "difference", record["unit"])
    return "\n\n".join(parts)


def provenance(record: Mapping[str, Any], path: Path) -> str:
    """Return where the figures of a record come from."""
    seeds = ", ".join(map(str, record["seeds"]))
    facts = [
        ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in record["sizes"].items()),
        f"training seeds {seeds}" if len(record["seeds"]) > 1 else f"training seed {seeds}" if seeds else "",
        record["machine"],
        record["date"],
        f"commit `{record['commit'][:12]}`" if record.get("commit") else "",
    ]
    lines = ["; ".join(filter(None, facts)) + f". Record: `{path.name}`."]
    if record.get("note"):
        lines.append(record["note"])
    if record.get("source"):
        lines.append(f"Transcribed from: {record['source']}.")
    command = record["command"].replace(" --", " \\\n    --")
    return "\n\n".join([" ".join(lines), f'??? note "Command"\n    ```bash\n    {indent(command)}\n    ```'])


def tables(figures: Sequence[Figure], head: str, unit: str) -> list[str]:
    """Return one table for each part of a benchmark: a row for each system, a column for each metric."""
    return [
        table([figure for figure in figures if figure["part"] == part], f"{part}: {head}", unit)
        for part in dict.fromkeys(figure["part"] for figure in figures)
    ]


def table(figures: Sequence[Figure], head: str, unit: str) -> str:
    """Return the table of one part."""
    rows = dict.fromkeys(map(row_name, figures))
    metrics = dict.fromkeys(figure["metric"] for figure in figures)
    cells = {(row_name(figure), figure["metric"]): figure for figure in figures}
    chance = {figure["metric"]: figure["chance"] for figure in figures if figure.get("chance") is not None}
    lines = [
        f"| {head} | " + " | ".join(f"{_METRICS.get(name, name)} ({unit})" for name in metrics) + " |",
        "|---|" + "---:|" * len(metrics),
    ]
    for row in rows:
        lines.append(f"| {row} | " + " | ".join(cell(cells.get((row, metric))) for metric in metrics) + " |")
    if chance:
        lines.append(
            "| *chance* | " + " | ".join(f"{chance[name]:.1f}" if name in chance else "–" for name in metrics) + " |"
        )
    return "\n".join(lines)


def row_name(figure: Figure) -> str:
    """Return the name of a figure's row."""
    name = " − ".join(f"`{system}`" for system in figure["system"].split(" - "))
    if figure.get("view", "own") != "own":
        name += f", {_VIEWS.get(figure['view'], figure['view'])}"
    if figure.get("seeds"):
        name += f" (seeds {', '.join(map(str, figure['seeds']))})"
    return name


def cell(figure: Figure | None) -> str:
    """Return a value with its interval."""
    if figure is None:
        return "–"
    sign = "+" if is_difference(figure) and figure["mean"] > 0 else ""
    text = f"{sign}{figure['mean']:.1f}".replace("-", "−")
    if figure.get("low") is not None:
        text += f" <small>[{figure['low']:.1f}, {figure['high']:.1f}]</small>".replace("-", "−")
    return text


def is_difference(figure: Figure) -> bool:
    """Return whether a figure compares two systems, `a - b`."""
    return " - " in figure["system"]


def indent(text: str) -> str:
    """Indent all lines but the first by four spaces."""
    return text.replace("\n", "\n    ")
