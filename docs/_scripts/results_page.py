"""Writes the page of results from `benchmarks/results`; `benchmarks/harness/record.py` describes the records."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Figure = Mapping[str, Any]

_INTRODUCTION = """# Results

Every number on this page is read from a JSON record under `benchmarks/results` when the page is built. A record names
the command that prints its figures, the version of the code, and the machine.

Brackets are 95% bootstrap intervals over products: how the number would move with other products of the same kind.
They do not cover another training seed. [Evaluate](evaluate.md) explains the metrics and how to read a difference. The
numbers of the models under `model_cards/` are on their cards.

| name | system |
|---|---|
| `image` | the item's picture alone |
| `late_fusion` | class token and mean text token, joined by an MLP |
| `learned_queries` | slots read the patches alone; then late fusion |
| `tiger_fg` | [TIGER-FG](methods/tiger-fg.md); `tiger_fg-no_…` without a part |
| `…-mosaics` | the same system, trained with mosaics |
| `true_box` | late fusion on true-box crops: what a perfect detector would give |
| `untrained` | the pretrained encoders with fresh heads |
| `tgq_former` | [TGQ-Former](methods/tgq-former.md) |
| `q_former`, `notellm2`, `perceiver_resampler`, `mlp` | other connectors in its place |
"""
_METRICS = {"mrr": "MRR", "map": "MAP", "mass": "mass in the box"}
# More columns than this do not fit beside each other.
_MAX_COLUMNS = 6


def results_page(folder: Path) -> str:
    """Return the page.

    Raises:
        FileNotFoundError: there are no records in `folder`.
        ValueError: a record has another schema.
    """
    paths = sorted(
        folder.glob("*.json"), key=lambda path: re.sub(r"\d+", lambda number: number[0].zfill(9), path.name)
    )
    if not paths:
        raise FileNotFoundError(f"{folder} holds no records (*.json)")
    return "\n\n".join([_INTRODUCTION.strip(), *map(section, paths)]) + "\n"


def section(path: Path) -> str:
    """Return the section of a record: how it was measured, then its tables."""
    record = read_record(path)
    figures = record["figures"]
    plain = [figure for figure in figures if not is_difference(figure) and "view" not in figure]
    viewed = [figure for figure in figures if not is_difference(figure) and "view" in figure]
    differences = [figure for figure in figures if is_difference(figure)]
    parts = [f"## {record['title']}", provenance(record, path)]
    parts += tables(plain, "system", record)
    if viewed:
        parts.append("**With other item texts**")
        parts += tables(viewed, "system, item text", record)
    if differences:
        parts.append("**Paired differences**, in points; an interval that contains 0 means level.")
        parts += tables(differences, "difference", record)
    return "\n\n".join(parts)


def read_record(path: Path) -> dict[str, Any]:
    """Read a record.

    Raises:
        ValueError: it has another schema.
    """
    record = json.loads(path.read_text(encoding="utf-8"))
    if record.get("schema") != 1:
        raise ValueError(f"{path}: expected a record of schema 1, found {record.get('schema')!r}")
    return record


def figure_text(folder: Path, reference: str) -> str:
    """Return one value with its interval, for other pages.

    Args:
        folder: holds the records.
        reference: `RECORD; SYSTEM; PART; METRIC`.

    Raises:
        ValueError: there is no such figure.
    """
    name, *key = (part.strip() for part in reference.split(";"))
    for figure in read_record(folder / f"{name}.json")["figures"]:
        if [figure["system"], figure["part"], figure["metric"]] == key and "view" not in figure:
            return cell(figure)
    raise ValueError(f"{name}.json has no figure {'; '.join(key)}")


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


def tables(figures: Sequence[Figure], head: str, record: Mapping[str, Any]) -> list[str]:
    """Return one table of figures, or one for each part of the benchmark if it would be too wide."""
    parts = [column[0] for column in columns_of(record["figures"])]
    if len(columns_of(figures)) <= _MAX_COLUMNS:
        return [table(figures, head, record)]
    by_part = [[figure for figure in figures if figure["part"] == part] for part in dict.fromkeys(parts)]
    return [table(group, head, record) for group in by_part if group]


def table(figures: Sequence[Figure], head: str, record: Mapping[str, Any]) -> str:
    """Return a table: a row for each system, a column for each part and metric."""
    rows = dict.fromkeys(map(row_name, figures))
    columns = [column for column in columns_of(record["figures"]) if column in columns_of(figures)]
    cells = {(row_name(figure), figure["part"], figure["metric"]): figure for figure in figures}
    chance = {
        (figure["part"], figure["metric"]): f"{figure['chance']:.1f}"
        for figure in figures
        if figure.get("chance") is not None
    }
    titles = [f"{part}<br>{_METRICS.get(metric, metric)} ({record['unit']})" for part, metric in columns]
    lines = [f"| {head} | " + " | ".join(titles) + " |", "|---|" + "---:|" * len(columns)]
    for row in rows:
        lines.append(f"| {row} | " + " | ".join(cell(cells.get((row, *column))) for column in columns) + " |")
    if chance:
        lines.append("| *chance* | " + " | ".join(chance.get(column, "–") for column in columns) + " |")
    return "\n".join(lines)


def columns_of(figures: Sequence[Figure]) -> list[tuple[str, str]]:
    """Return part and metric of all columns: parts, and metrics within a part, in order of appearance."""
    parts = dict.fromkeys(figure["part"] for figure in figures)
    metrics = dict.fromkeys(figure["metric"] for figure in figures)
    used = {(figure["part"], figure["metric"]) for figure in figures}
    return [(part, metric) for part in parts for metric in metrics if (part, metric) in used]


def row_name(figure: Figure) -> str:
    """Return the name of a figure's row."""
    name = " − ".join(f"`{system}`" for system in figure["system"].split(" - "))
    if "view" in figure:
        name += f", {figure['view']}"
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
