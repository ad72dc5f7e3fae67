"""Pairs of listings: what TGQ-Former and its dual encoder are trained on."""

import logging
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import (
    PreTrainedConfig,
)

from ...data.listings import ListingConfig, ListingSynthesizer
from ...data.tgq_former_pairs import TGQFormerPairDataset
from ...models.dual_encoder_tgq_former import pads_titles
from ...models.image_processing_pil_tiger_fg import TigerFGImageProcessorPil
from ...synthetic.overlays import LEVELS, FontSet, Level
from .catalogs import build_catalog, build_clutter, build_eval_catalog
from .tiger_fg.arguments import TigerFGDataArguments

logger = logging.getLogger(__name__)


@dataclass
class ListingArguments:
    """Which catalog is trained on, and how two listings of each of its products are made."""

    data: str = field(default="drawn", metadata={"help": "Catalog: folder, file or Hub id, or 'drawn' for drawings."})
    split: str | None = field(default=None, metadata={"help": "Split of the catalog, where it has several."})
    columns: str | None = field(
        default=None, metadata={"help": "Column names, as 'title=name,attributes=color+keywords'."}
    )
    clutter: str | None = field(default=None, metadata={"help": "Photos that products are set on."})
    drawn_products: int = field(default=3000, metadata={"help": "Products of the drawn catalog."})
    level_shares: str = field(
        default="1,1,1", metadata={"help": f"How often a listing is {', '.join(LEVELS)}, against the others."}
    )
    keep_words: str = field(
        default="0.4,0.9", metadata={"help": "Fewest and most of a title's words that a listing keeps, as shares."}
    )
    wrong_titles: float = field(
        default=0.0,
        metadata={
            "help": "Share of the listings that are trained on with the title of a product of another category, or, "
            "where a product has no category, of any other product."
        },
    )
    eval_data: str | None = field(default=None, metadata={"help": "Catalog evaluated during training, as --data."})
    eval_limit: int = field(default=500, metadata={"help": "Listings of it that are used."})
    image_size: int = field(default=224, metadata={"help": "Height and width in pixels of the pictures."})
    fonts: str | None = field(
        default=None, metadata={"help": "Folder of fonts for the overlays, besides those carried."}
    )
    num_workers: int = field(default=2, metadata={"help": "Processes that prepare data."})
    cache_decoded: bool = field(default=True, metadata={"help": "Keep decoded images in memory, scaled down."})

    def __post_init__(self):
        self.shares(), self.kept_words()
        if not 0 <= self.wrong_titles <= 1:
            raise ValueError(f"--wrong_titles must be in [0, 1], got {self.wrong_titles}.")

    def kept_words(self) -> tuple[float, float]:
        """Both ends of `keep_words`."""
        try:
            low, high = (float(part) for part in self.keep_words.split(","))
        except ValueError:
            raise ValueError(f"--keep_words must be 'low,high', got {self.keep_words!r}.") from None
        return low, high

    def shares(self) -> dict[Level, float]:
        """`level_shares` by level."""
        try:
            parts = [float(part) for part in self.level_shares.split(",")]
        except ValueError:
            parts = []
        if len(parts) != len(LEVELS) or min(parts) < 0 or not sum(parts):
            raise ValueError(
                f"--level_shares must be {len(LEVELS)} numbers with commas, for {', '.join(LEVELS)}, got "
                f"{self.level_shares!r}."
            )
        return dict(zip(LEVELS, parts, strict=True))


# Chinese-CLIP's.
_TITLE_LENGTH = 52


def build_listing_catalog(data: ListingArguments, *, seed: int) -> Any:
    """
    The catalog whose products get two listings each: `--data`, or drawings of one product each.

    Raises:
        ValueError: no row has a title.
    """
    catalog = build_catalog(_catalog_arguments(data), image_size=data.image_size, seed=seed)
    if not any(map(_is_title, catalog["title"] if "title" in catalog.column_names else [])):
        raise ValueError(
            f"No row of the catalog has a title, of {catalog.column_names}; --columns title=NAME tells which column "
            "of --data holds it."
        )
    return catalog


def _catalog_arguments(data: ListingArguments) -> TigerFGDataArguments:
    told = ("data", "split", "columns", "eval_data", "eval_limit", "drawn_products", "num_workers")
    return TigerFGDataArguments(drawn_views=1, drawn_layout="clean", **{name: getattr(data, name) for name in told})


def with_titles(catalog: Any) -> Any:
    """The rows of a listing catalog that have a title, which a dual encoder is trained on."""
    rows = [row for row, title in enumerate(catalog["title"]) if _is_title(title)]
    if len(rows) < len(catalog):
        logger.warning("%d of %d rows have no title and are left out.", len(catalog) - len(rows), len(catalog))
    return catalog.select(rows)


def _is_title(title: str | None) -> bool:
    return bool(title and title.strip())


def build_eval_listings(data: ListingArguments) -> TGQFormerPairDataset:
    """
    Held-out pairs for evaluation during training: of `--eval_data`, or of drawn products of another split.

    Raises:
        ValueError: the training catalog is not drawn and `--eval_data` is missing.
    """
    catalog = build_eval_catalog(_catalog_arguments(data), image_size=data.image_size)
    return build_listing_pairs(catalog, replace(data, wrong_titles=0.0), seed=0)


def listing_settings(data: ListingArguments) -> dict[str, Any]:
    """What of the arguments changes the listings that a catalog gives; the same when a run is resumed."""
    told = ("level_shares", "keep_words", "wrong_titles", "image_size", "cache_decoded", "clutter", "fonts")
    return {name: getattr(data, name) for name in told}


def build_listing_pairs(
    catalog: Any, data: ListingArguments, *, seed: int, first_alone: bool = False
) -> TGQFormerPairDataset:
    """Two listings of every product of `catalog`, or the first alone, at the levels of `--level_shares`."""
    synthesizer = ListingSynthesizer(
        ListingConfig(size=data.image_size, keep_words=data.kept_words()),
        build_clutter(data.clutter, "item", size=data.image_size),
        FontSet(data.fonts) if data.fonts else None,
    )
    return TGQFormerPairDataset(
        catalog,
        synthesizer,
        seed=seed,
        level_shares=data.shares(),
        cache_decoded=data.cache_decoded,
        cache_max_side=max(data.image_size * 3 // 2, 96),
        first_alone=first_alone,
        wrong_titles=data.wrong_titles,
    )


def title_form(dual_encoder: PreTrainedConfig, max_title_length: int | None) -> dict[str, Any]:
    """How long titles are, and how they are padded."""
    if not pads_titles(dual_encoder):
        return {"max_title_length": max_title_length or _TITLE_LENGTH, "title_padding": "longest"}
    positions = dual_encoder.text_config.max_position_embeddings
    if max_title_length not in (None, positions):
        raise ValueError(
            f"--max_title_length must be {positions}, as SigLIP reads a title off its last position, got "
            f"{max_title_length}."
        )
    return {"max_title_length": positions, "title_padding": "max_length"}


def listing_image_processor(data: ListingArguments, statistics: dict[str, list[float]]) -> TigerFGImageProcessorPil:
    return TigerFGImageProcessorPil(
        size={"height": data.image_size, "width": data.image_size}, resize_mode="pad", **statistics
    )
