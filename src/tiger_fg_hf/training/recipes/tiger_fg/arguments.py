"""Arguments of TIGER-FG training."""

from dataclasses import dataclass
from typing import Any, Literal

from ....models.configuration_tiger_fg import TigerFGConfig
from ....objectives.tiger_fg_weights import TigerFGLossWeights
from ...arguments import (
    ArgumentGroup,
    TrainArguments,
    argument,
    check_at_least,
    check_range,
    check_share,
    parse_recipe,
    read_fields,
)
from ..catalogs import CatalogArguments, Layout


@dataclass
class TigerFGModelArguments(ArgumentGroup):
    """Which model is trained, and how its inputs are prepared."""

    _argument_group_name = "Model"

    model: str | None = argument(None, "TIGER-FG checkpoint (Hub id or folder) to train further.")
    vision: str | None = argument(None, "Pretrained vision encoder of a new model.")
    text: str | None = argument(None, "Pretrained text encoder of a new model.")
    model_config: dict[str, Any] | str | None = argument(
        None,
        "TigerFGConfig fields, as a mapping or JSON. Without --vision and --text, the whole model is built from them "
        "and starts from scratch; with them, they set everything but the encoders.",
    )
    tokenizer: str | None = argument(
        None,
        "Tokenizer; the text encoder's by default. 'train' learns one from the catalog's text, which is also the "
        "default without --text.",
    )
    vocab_size: int = argument(4000, "Vocabulary size of a tokenizer that is learned.")
    image_size: int = argument(224, "Height and width in pixels that images are resized to.")
    query_image_size: int | None = argument(None, "Height and width of queries, if not --image_size.")
    resize_mode: Literal["pad", "squash", "crop"] = argument(
        "pad", "'pad' keeps the aspect ratio, 'squash' does not, 'crop' cuts the longer side."
    )
    max_text_length: int = argument(64, "Longest item text in tokens; longer ones are cut.")
    teacher: str | None = argument(
        None,
        "Frozen vision encoder that teaches the losses srd and sdd. Defaults to the encoder of --vision as it was "
        "before training. Without either, srd is left out, and so is sdd unless --sdd_teacher is self.",
    )
    freeze_text: bool = argument(False, "Freeze the text encoder.")
    freeze_stem: int = argument(0, "Freeze the embeddings and this many first layers of the vision encoders.")
    attn_implementation: str | None = argument(
        None, "Attention: 'eager', 'sdpa' or 'flash_attention_2'.", resume="may_change"
    )
    gradient_checkpointing: bool = argument(False, "Save memory by computing activations twice.", resume="may_change")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.model_config = read_fields(self.model_config, TigerFGConfig, "--model_config")
        check_at_least(self, "freeze_stem", 0)

    @property
    def teacher_source(self) -> str | None:
        """Where the teacher is loaded from: `--teacher`, or else `--vision`."""
        return self.teacher or self.vision


@dataclass
class QuerySynthesisArguments(ArgumentGroup):
    """How queries are synthesized from listings that have no query photo."""

    _argument_group_name = "Synthesis"

    query_difficulty: Literal["easy", "default", "hard"] = argument(
        "default", "How far synthesized queries depart from the listing photo."
    )


@dataclass
class MosaicArguments(ArgumentGroup):
    """How several products are shown together in one item picture."""

    _argument_group_name = "Mosaics"

    mosaic_share: float = argument(
        0.0, "Share of the pairs whose item is shown in a mosaic with other products. Needs categories."
    )
    mosaic_items: list[int] = argument([2, 4], "Smallest and largest number of products in a mosaic.")
    mosaic_area: list[float] = argument([0.05, 0.45], "Smallest and largest share of a mosaic that a product covers.")
    mosaic_overlays: float = argument(0.0, "Share of the mosaics with promotional overlays.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self, "mosaic_share")
        check_range(self, "mosaic_items")
        check_range(self, "mosaic_area")


@dataclass
class CloseViewArguments(ArgumentGroup):
    """How items in mosaics are shown once more, close up, to the losses that use it."""

    _argument_group_name = "Close views"

    close_share: float = argument(
        0.0,
        "Share of the pairs in mosaics whose item is shown once more, small and alone, for --close and --sdd_teacher "
        "self.",
    )
    close_size: int = argument(112, "Height and width in pixels that close views are resized to.")
    close_plain_share: float = argument(
        0.5, "Share of the close views that are the plain listing photo; the others are crops of the mosaic."
    )
    close_jitter: float = argument(
        0.15, "Largest shift of each side of such a crop, as a share of the product's width or height."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self, "close_share")
        check_share(self, "close_plain_share")
        check_at_least(self, "close_size", 16)
        if not 0.0 <= self.close_jitter < 0.5:
            raise ValueError(f"--close_jitter must lie in [0, 0.5), got {self.close_jitter}.")


@dataclass
class BatchArguments(ArgumentGroup):
    """Which rows and texts meet in a batch."""

    _argument_group_name = "Batches"

    num_hard_texts: int = argument(1, "Mismatched texts per pair, for the losses that use them.")
    hard_negatives: str | None = argument(
        None,
        "File written by examples/mine_negatives.py: rows share batches with the rows they are mistaken for.",
    )
    group_products: bool = argument(False, "Put rows of one product into the same batch; see --multi_positive.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, "num_hard_texts", 0)


@dataclass
class TigerFGDataArguments(
    BatchArguments, CloseViewArguments, MosaicArguments, QuerySynthesisArguments, CatalogArguments
):
    """Everything that determines the training pairs."""

    _argument_group_name = "Data"

    items: str | None = argument(
        None,
        "Catalog with the listings, if --data holds only query photos with item ids, which join the two.",
        resume="may_change",
    )
    item_columns: str | None = argument(None, "Columns of --items, as in --columns.", resume="may_change")
    drawn_views: int = argument(2, "Listings and query photos of each drawn product.")
    drawn_layout: Layout = argument("mixed", "Layout of the drawn listings.")
    feature_cache: str | None = argument(
        None, "Folder for the teacher's features; inside the run's folder by default.", resume="may_change"
    )

    @property
    def _listing_columns(self) -> str:
        return "columns" if self.items is None else "item_columns"


ARGUMENTS = (TigerFGModelArguments, TigerFGDataArguments, TigerFGLossWeights, TrainArguments)


def parse_tiger_fg_arguments(
    argv: list[str] | None = None,
) -> tuple[TigerFGModelArguments, TigerFGDataArguments, TrainArguments, TigerFGLossWeights]:
    """Parse the command line of TIGER-FG training; see [`parse_recipe`]."""
    model, data, losses, train = parse_recipe(ARGUMENTS, argv, description="Train TIGER-FG on a catalog.")
    return model, data, train, losses
