"""`tiger-fg evaluate`: measure how well crops find their listings."""

from pathlib import Path
from typing import Annotated

import typer

from .options import AllowOutside, Columns, Json, Model, Workers

EXAMPLE = "Example: tiger-fg evaluate listings.csv --queries photos.csv --model runs/mine"


def evaluate(
    model: Model,
    items: Annotated[
        str, typer.Argument(help="Listings: a file, a folder, a Hub id, or 'drawn' for drawn listings.")
    ] = "drawn",
    columns: Columns = None,
    queries: Annotated[
        str | None,
        typer.Option(help="Query photos with item_ids. Default: the listings' query_image, or synthesized crops."),
    ] = None,
    query_columns: Annotated[str | None, typer.Option(help="Names of the query photos' columns.")] = None,
    clutter: Annotated[
        str | None, typer.Option(help="Background photos for synthesized queries. Default: drawn backgrounds.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Number of listings. Default: all, or 500 if drawn.")] = None,
    workers: Workers = 0,
    seed: Annotated[int, typer.Option(help="Seed of synthesized queries and of the intervals.")] = 0,
    allow_outside: AllowOutside = False,
    output: Annotated[Path | None, typer.Option(help="JSON file for all numbers.")] = None,
    json: Json = False,
) -> None:
    """Measure Recall@k, MRR, nDCG and MAP with intervals, next to chance."""
    from ..evaluation.evaluate_checkpoint import evaluate_checkpoint

    result = evaluate_checkpoint(
        model,
        items,
        columns=columns,
        queries=queries,
        query_columns=query_columns,
        clutter=clutter,
        limit=limit,
        allow_outside=allow_outside,
        num_workers=workers,
        show_progress=not json,
        seed=seed,
    )
    typer.echo(result.to_json() if json else result.to_markdown())
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(result.to_json(), encoding="utf-8")
