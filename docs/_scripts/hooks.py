"""Hooks of the mkdocs build: pages that are generated, so that nothing in them is typed by hand."""

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from cli_page import cli_page  # noqa: E402
from results_page import results_page  # noqa: E402


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the command line's help, the results and the changelog to the site."""
    pages = {
        "cli.md": cli_page(),
        "results.md": results_page(ROOT / "benchmarks" / "results"),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files
