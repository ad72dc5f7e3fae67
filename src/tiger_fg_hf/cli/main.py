"""The `tiger-fg` program: its commands, and how it reports errors."""

import sys

import typer

from . import check, encode, evaluate, search, train

app = typer.Typer(
    name="tiger-fg",
    help="Crop a product out of any photo, and find it in a catalog of cluttered listings.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    # The flags of `train` are written with underscores; both spellings work everywhere.
    context_settings={"token_normalize_func": lambda name: name.replace("_", "-")},
)

app.command(epilog=check.EXAMPLE)(check.check)
app.command(epilog=encode.EXAMPLE)(encode.encode)
app.command(epilog=search.EXAMPLE)(search.search)
app.command(epilog=evaluate.EXAMPLE)(evaluate.evaluate)
app.add_typer(train.app, name="train")


def main(argv: list[str] | None = None) -> None:
    """Run the program; exit with 0 on success, 1 on an error in the input, or 2 on wrong usage.

    Args:
        argv: Arguments without the program's name; by default, those of the process.
    """
    try:
        app(args=argv)
    except (ValueError, OSError) as error:
        print(f"tiger-fg: {error}", file=sys.stderr)
        sys.exit(1)
