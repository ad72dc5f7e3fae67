"""Arguments and options that several commands share."""

from typing import Annotated

import typer

Catalog = Annotated[
    str, typer.Argument(help="Catalog: a CSV, JSON lines or parquet file, a folder, or a Hub id.", show_default=False)
]
Columns = Annotated[
    str | None,
    typer.Option(
        help="Names of the catalog's columns, as 'title=name,attributes=color+size'. Default: those that the model "
        "was trained with."
    ),
]
AllowOutside = Annotated[
    bool, typer.Option("--allow-outside/--no-allow-outside", help="Read image paths that leave the catalog's folder.")
]
Split = Annotated[str | None, typer.Option(help="Split to read, if the catalog has several.")]
Model = Annotated[str, typer.Option(help="Checkpoint: a folder or a Hub id.", show_default=False)]
Workers = Annotated[int, typer.Option(help="Worker processes that read and decode pictures; 0 for none.", min=0)]
Device = Annotated[str | None, typer.Option(help="Device to run on, such as 'cuda'. Default: a GPU if there is one.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def default_device(device: str | None) -> str:
    """Return the given device, or else a GPU if there is one, or the CPU."""
    import torch

    return device or ("cuda" if torch.cuda.is_available() else "cpu")
