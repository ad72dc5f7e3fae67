"""`tiger-fg encode`: embed a catalog into a folder of shards."""

import json as json_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import AllowOutside, Catalog, Columns, Device, Json, Model, Split, Workers, default_device

EXAMPLE = "Example: tiger-fg encode listings.csv --model model_cards/tiger-fg-tiny --output embeddings"


def encode(
    catalog: Catalog,
    model: Model,
    output: Annotated[Path, typer.Option(help="Folder for the embeddings.", show_default=False)],
    columns: Columns = None,
    split: Split = None,
    on_error: Annotated[
        Literal["raise", "skip"], typer.Option(help="Stop at a row that cannot be read, or leave it out and list it.")
    ] = "raise",
    batch_size: Annotated[int, typer.Option(help="Rows per forward pass.", min=1)] = 32,
    workers: Workers = 0,
    device: Device = None,
    allow_outside: AllowOutside = False,
    json: Json = False,
) -> None:
    """Embed every listing of a catalog. Run the command again to continue where it stopped."""
    from transformers import AutoModel, AutoProcessor

    from ..catalog.shards import encode_catalog
    from ..catalog.source import load_catalog

    processor = AutoProcessor.from_pretrained(model)
    encoder = AutoModel.from_pretrained(model)
    report = encode_catalog(
        encoder.towers()[1] if hasattr(encoder, "towers") else encoder,
        processor,
        load_catalog(catalog, split=split, columns=columns or processor.columns, allow_outside=allow_outside),
        output,
        on_error=on_error,
        batch_size=batch_size,
        num_workers=workers,
        device=default_device(device),
        show_progress=not json,
    )
    counts = {"encoded": report.encoded, "resumed": report.resumed, "skipped": len(report.skipped)}
    if json:
        typer.echo(json_module.dumps({**counts, "faults": [str(fault) for fault in report.skipped]}, indent=2))
        return
    typer.echo(f"{output}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
