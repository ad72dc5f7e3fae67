"""Writes the page of the command line from the program's own help."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from unittest import mock

_INTRODUCTION = """# Command line

`tiger-fg` is installed with the package. Every command is a thin call into the Python API. This page is the output of
`--help`; [Train](train.md) and [Evaluate](evaluate.md) explain the flags.

Commands exit with 0 on success, 1 on a fault of the input, and 2 on wrong usage.
"""


def cli_page() -> str:
    """Return the page: the program's help, then that of each command."""
    parts = [_INTRODUCTION]
    for command in (), *commands():
        title = " ".join(["tiger-fg", *command])
        parts.append(f"## `{title}`\n\n```text\n{command_help(command)}\n```\n")
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, ...]]:
    """Yield every command and sub-command, in the order of the program's help."""
    import typer

    from tiger_fg_hf.cli.main import app

    def walk(group, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, command in group.commands.items():
            yield (*path, name)
            if hasattr(command, "commands"):
                yield from walk(command, (*path, name))

    yield from walk(typer.main.get_command(app), ())


def command_help(command: tuple[str, ...]) -> str:
    """Return what `tiger-fg COMMAND --help` prints, at most 100 columns wide.

    Raises:
        RuntimeError: the command did not print its help.
    """
    from tiger_fg_hf.cli.main import main

    printed, code = io.StringIO(), None
    environment = {"COLUMNS": "100", "NO_COLOR": "1"}
    with mock.patch.object(sys, "argv", ["tiger-fg"]), mock.patch.dict(os.environ, environment):
        try:
            with redirect_stdout(printed):
                main([*command, "--help"])
        except SystemExit as stop:
            code = stop.code
    if code:
        raise RuntimeError(f"`tiger-fg {' '.join(command)} --help` exited with {code}")
    return printed.getvalue().strip()
