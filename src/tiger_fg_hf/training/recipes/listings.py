"""Pairs of listings, which TGQ-Former and its dual encoder are trained on."""

import logging
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedConfig

from ...data.clutter import open_clutter
from ...data.listings import ListingConfig, ListingSynthesizer
from ...data.tgq_former_pairs import TGQFormerPairDataset
from ...models.dual_encoder_tgq_former import pads_titles
from ...models.image_processing_pil_tiger_fg import TigerFGImageProcessorPil
from ...synthetic.overlays import LEVELS, FontSet, Level
from ..arguments import ArgumentGroup, argument, check_range, check_share
from .catalogs import CatalogArguments, draw_catalog, read_catalog

logger = logging.getLogger(__name__)

# Longest title of Chinese-CLIP, in tokens.
_TITLE_LENGTH = 52


@dataclass
class ListingSynthesisArguments(ArgumentGroup):
    """How two listings are made of each product."""

    _argument_group_name = "Synthesis"

    image_size: int = argument(224, "Height and width of the pictures in pixels.")
    level_shares: list[float] = argument(
        [1.0, 1.0, 1.0],
        f"Relative frequencies of the levels of promotional overlays on a listing: {', '.join(LEVELS)}.",
    )
    keep_words: list[float] = argument(
        [0.4, 0.9], "Smallest and largest share of a title's words that a listing keeps."
    )
    wrong_titles: float = argument(
        0.0,
        "Share of the training listings that carry the title of a product of another category or, for a product "
        "without category, of any other product.",
    )
    fonts: str | None = argument(None, "Folder of further fonts for the overlays.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "keep_words")
        check_share(self, "wrong_titles")
        if len(self.level_shares) != len(LEVELS) or min(self.level_shares) < 0 or not sum(self.level_shares):
            raise ValueError(
                f"--level_shares takes {len(LEVELS)} numbers that are not negative and not all 0, for "
                f"{', '.join(LEVELS)}, got {self.level_shares}."
            )

    @property
    def shares_by_level(self) -> dict[Level, float]:
        """`--level_shares` by level."""
        return dict(zip(LEVELS, self.level_shares, strict=True))

    @property
    def listing_config(self) -> ListingConfig:
        """Settings of the listings."""
        fewest, most = self.keep_words
        return ListingConfig(size=self.image_size, keep_words=(fewest, most))


@dataclass
class ListingArguments(ListingSynthesisArguments, CatalogArguments):
    """Everything that determines the training pairs."""


def build_listing_catalog(data: ListingArguments, *, seed: int) -> Any:
    """Open the catalog whose products get two listings each: `--data`, or drawings.

    Raises:
        ValueError: If no row has a title.
    """
    if data.data == "drawn":
        return draw_catalog(data, image_size=data.image_size, num_products=data.drawn_products, seed=seed)
    catalog = read_catalog(data.data, split=data.split, columns=data.columns, allow_outside=data.allow_outside)
    if not any(map(_is_title, catalog["title"] if "title" in catalog.column_names else [])):
        raise ValueError(
            f"No row of the catalog has a title; its columns are {catalog.column_names}. Name the column of --data "
            "that holds the titles with --columns title=NAME."
        )
    return catalog


def with_titles(catalog: Any) -> Any:
    """Select the rows that have a title, which a dual encoder is trained on."""
    rows = [row for row, title in enumerate(catalog["title"]) if _is_title(title)]
    if len(rows) < len(catalog):
        logger.warning("%d of %d rows have no title and are left out.", len(catalog) - len(rows), len(catalog))
    return catalog.select(rows)


def _is_title(title: str | None) -> bool:
    return bool(title and title.strip())


def build_eval_listings(catalog: Any, data: ListingArguments) -> TGQFormerPairDataset:
    """Build held-out pairs for evaluation during training, all with their true titles."""
    return build_listing_pairs(catalog, replace(data, wrong_titles=0.0), seed=0)


def build_listing_pairs(
    catalog: Any, data: ListingArguments, *, seed: int, first_alone: bool = False
) -> TGQFormerPairDataset:
    """Build pairs of two listings of each product.

    Args:
        catalog: Rows of the catalog.
        data: Arguments of the data.
        seed: Seed of the listings.
        first_alone: Make only the first listing of each pair.
    """
    synthesizer = ListingSynthesizer(
        data.listing_config,
        open_clutter(data.clutter, "item", size=data.image_size),
        FontSet(data.fonts) if data.fonts else None,
    )
    return TGQFormerPairDataset(
        catalog,
        synthesizer,
        seed=seed,
        level_shares=data.shares_by_level,
        cache_decoded=data.cache_decoded,
        cache_max_side=max(data.image_size * 3 // 2, 96),
        first_alone=first_alone,
        wrong_titles=data.wrong_titles,
    )


def title_form(dual_encoder: PreTrainedConfig, max_title_length: int | None) -> dict[str, Any]:
    """Return how a processor pads and cuts titles for a dual encoder.

    Raises:
        ValueError: If the dual encoder needs another length than `max_title_length`.
    """
    if not pads_titles(dual_encoder):
        return {"max_title_length": max_title_length or _TITLE_LENGTH, "title_padding": "longest"}
    positions = dual_encoder.text_config.max_position_embeddings
    if max_title_length not in (None, positions):
        raise ValueError(
            f"--max_title_length must be {positions}, as SigLIP reads a title from its last position, got "
            f"{max_title_length}."
        )
    return {"max_title_length": positions, "title_padding": "max_length"}


def listing_image_processor(data: ListingArguments, statistics: dict[str, list[float]]) -> TigerFGImageProcessorPil:
    """Build the image processor of listings, normalizing with `statistics`."""
    return TigerFGImageProcessorPil(
        size={"height": data.image_size, "width": data.image_size}, resize_mode="pad", **statistics
    )
