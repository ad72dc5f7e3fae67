"""Hooks of the mkdocs build: pages and numbers that are generated, so that no result is typed by hand."""

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
# {{ RECORD; SYSTEM; PART; METRIC }}
FIGURE = re.compile(r"\{\{ ([^{}]+) \}\}")
sys.path.insert(0, str(Path(__file__).parent))

from cli_page import cli_page  # noqa: E402
from results_page import figure_text, results_page  # noqa: E402


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the command line's help, the results and the changelog to the site."""
    pages = {
        "cli.md": cli_page(),
        "results.md": results_page(RESULTS),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace references to measured figures by their values."""
    return FIGURE.sub(lambda match: figure_text(RESULTS, match[1]), markdown)
