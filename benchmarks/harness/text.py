"""Cells and tables of the benchmarks' reports."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tiger_fg_hf.evaluation.bootstrap import BootstrapInterval


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    lines.insert(1, "|---" + "|---:" * (len(head) - 1) + "|")
    return "\n".join(lines)


def interval_text(interval: BootstrapInterval | None) -> str:
    """A mean and its interval."""
    return "–" if interval is None else f"{interval.mean:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def difference_text(cell: Mapping[str, float]) -> str:
    """A paired difference, with its interval and p."""
    return f"{cell['difference']:+.1f} [{cell['low']:+.1f}, {cell['high']:+.1f}], p = {cell['p']:.3f}"


def short(source: str) -> str:
    """A Hub id as it is, of a path the end that tells."""
    return "/".join(Path(source).parts[-2:])
