"""`tiger-fg check`: list every fault of a catalog at once."""

import json as json_module
from dataclasses import asdict
from typing import Annotated

import typer

from .options import AllowOutside, Catalog, Columns, Json, Split, Workers

EXAMPLE = "Example: tiger-fg check listings.csv --columns title=name,image=photo"


def check(
    catalog: Catalog,
    columns: Columns = None,
    split: Split = None,
    model: Annotated[
        str | None, typer.Option(help="Checkpoint that will encode the catalog; counts the texts it would cut.")
    ] = None,
    images: Annotated[bool, typer.Option(help="Read and decode every picture.")] = True,
    workers: Workers = 0,
    allow_outside: AllowOutside = False,
    json: Json = False,
) -> None:
    """Check a catalog: list every row that cannot be used, with its item id and the reason.

    Exits with 1 if there is such a row.
    """
    from transformers import AutoProcessor

    from ..catalog.check import check_catalog
    from ..catalog.source import load_catalog

    processor = None if model is None else AutoProcessor.from_pretrained(model)
    report = check_catalog(
        load_catalog(
            catalog,
            split=split,
            columns=columns or getattr(processor, "columns", None),
            allow_outside=allow_outside,
        ),
        processor=processor,
        images=images,
        num_workers=workers,
        show_progress=not json,
    )
    typer.echo(json_module.dumps(asdict(report), indent=2) if json else str(report))
    if report.faults:
        raise typer.Exit(1)
