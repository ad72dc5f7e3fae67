"""`tiger-fg search`: find the listings of a crop among the embeddings of a catalog."""

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Json, Model, default_device

EXAMPLE = "Example: tiger-fg search embeddings --image photo.jpg --box 40,60,200,220 --model model_cards/tiger-fg-tiny"


def search(
    embeddings: Annotated[Path, typer.Argument(help="Folder written by `tiger-fg encode`.", show_default=False)],
    image: Annotated[Path, typer.Option(help="Picture of the product to find.", show_default=False)],
    model: Model,
    box: Annotated[
        str | None, typer.Option(help="Part of the picture that shows the product, as 'x0,y0,x1,y1' in pixels.")
    ] = None,
    top_k: Annotated[int, typer.Option(help="Number of listings to print.", min=1)] = 10,
    device: Device = None,
    json: Json = False,
) -> None:
    """Find the listings of a cropped product, and print item ids with their cosine similarity, best first."""
    import torch

    from ..catalog.manifest import processor_identity, read_manifest
    from ..catalog.search import search as search_embeddings
    from ..catalog.shards import load_embeddings
    from ..models.modeling_tiger_fg import TigerFGQueryModel
    from ..models.processing_tiger_fg import TigerFGProcessor

    catalog = load_embeddings(embeddings)
    processor = TigerFGProcessor.from_pretrained(model)
    if read_manifest(embeddings)["processor"] != processor_identity(processor):
        raise ValueError(f"{embeddings} holds embeddings of another model than {model}: their processors differ")
    tower = TigerFGQueryModel.from_pretrained(model).to(default_device(device)).eval()
    inputs = processor(images=[str(image)], boxes=[_corners(box)], return_tensors="pt").to(tower.device)
    with torch.no_grad():
        query = tower(**inputs).embeds.float().cpu()
    scores, rows = search_embeddings(query, catalog.embeds, k=min(top_k, len(catalog.item_ids)))
    hits = [
        {"item_id": catalog.item_ids[row], "score": round(score, 4)}
        for row, score in zip(rows[0].tolist(), scores[0].tolist(), strict=True)
    ]
    if json:
        typer.echo(json_module.dumps(hits, indent=2))
        return
    for rank, hit in enumerate(hits, start=1):
        typer.echo(f"{rank:>3}  {hit['score']:.4f}  {hit['item_id']}")


def _corners(box: str | None) -> list[float] | None:
    if box is None:
        return None
    try:
        corners = [float(part) for part in box.split(",")]
    except ValueError:
        corners = []
    if len(corners) != 4:
        raise typer.BadParameter(f"expected four numbers 'x0,y0,x1,y1', found {box!r}", param_hint="--box")
    return corners
