"""Arguments of TIGER-FG training."""

from dataclasses import dataclass, field
from typing import Any, Literal

from ....models.configuration_tiger_fg import TigerFGConfig
from ....objectives.tiger_fg_weights import TigerFGLossWeights
from ...arguments import TrainArguments, parse_recipe, read_fields


@dataclass
class TigerFGModelArguments:
    """Which model is trained."""

    model: str | None = field(default=None, metadata={"help": "TIGER-FG checkpoint (Hub id or folder) to train on."})
    vision: str | None = field(default=None, metadata={"help": "Pretrained vision encoder for fresh heads."})
    text: str | None = field(default=None, metadata={"help": "Pretrained text encoder for fresh heads."})
    model_config: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "TigerFGConfig fields, as a mapping or JSON. Alone: the whole model from scratch. With --vision "
            "and --text: fields beside the backbones' own."
        },
    )
    tokenizer: str | None = field(
        default=None,
        metadata={"help": "Tokenizer; defaults to the text encoder's. 'train' trains one on the catalog's text."},
    )
    vocab_size: int = field(default=4000, metadata={"help": "Vocabulary of a tokenizer that is trained here."})
    image_size: int = field(default=224, metadata={"help": "Height and width in pixels the images are brought to."})
    query_image_size: int | None = field(
        default=None, metadata={"help": "Height and width of queries, where they are not those of items."}
    )
    resize_mode: Literal["pad", "squash", "crop"] = field(
        default="pad", metadata={"help": "'pad' keeps the aspect, 'squash' does not, 'crop' cuts the long side."}
    )
    max_text_length: int = field(default=64, metadata={"help": "Tokens of an item text that are read."})
    teacher: str | None = field(
        default=None,
        metadata={"help": "Frozen vision encoder of the losses srd and sdd; without one both are left out."},
    )
    freeze_text: bool = field(default=False, metadata={"help": "Keep the text encoder as it is."})
    freeze_stem: int = field(
        default=0,
        metadata={"help": "Keep the embeddings and this many first layers of the vision encoders as they are."},
    )
    attn_implementation: str | None = field(default=None, metadata={"help": "'eager', 'sdpa', 'flash_attention_2'."})
    gradient_checkpointing: bool = field(default=False, metadata={"help": "Trade compute for memory."})

    def __post_init__(self):
        self.model_config = read_fields(self.model_config, TigerFGConfig, "--model_config")
        if self.freeze_stem < 0:
            raise ValueError(f"--freeze_stem must not be negative, got {self.freeze_stem}.")


@dataclass
class TigerFGDataArguments:
    """What it is trained and evaluated on."""

    data: str = field(default="drawn", metadata={"help": "Catalog: folder, file or Hub id, or 'drawn' for drawings."})
    split: str | None = field(default=None, metadata={"help": "Split of the catalog, where it has several."})
    columns: str | None = field(
        default=None, metadata={"help": "Column names, as 'title=name,attributes=color+keywords'."}
    )
    items: str | None = field(
        default=None,
        metadata={"help": "Listings for a --data that holds only query photos with item ids (joined by item id)."},
    )
    item_columns: str | None = field(default=None, metadata={"help": "Column names of --items."})
    clutter: str | None = field(default=None, metadata={"help": "Photos that synthesised queries are set on."})
    eval_data: str | None = field(default=None, metadata={"help": "Catalog evaluated during training, as --data."})
    eval_limit: int = field(default=500, metadata={"help": "Listings of it that are used."})
    drawn_products: int = field(default=3000, metadata={"help": "Products of the drawn catalog."})
    drawn_views: int = field(default=2, metadata={"help": "Listings and query views of each drawn product."})
    drawn_layout: Literal["clean", "clutter", "mixed"] = field(
        default="mixed", metadata={"help": "Layout of the drawn listings."}
    )
    query_difficulty: Literal["easy", "default", "hard"] = field(
        default="default", metadata={"help": "How far synthesised queries depart from the listing photo."}
    )
    mosaic_share: float = field(
        default=0.0,
        metadata={"help": "Share of the pairs whose item is shown in a mosaic with others; needs categories."},
    )
    mosaic_items: str = field(default="2,4", metadata={"help": "Fewest and most products of a mosaic."})
    mosaic_area: str = field(
        default="0.05,0.45", metadata={"help": "Smallest and largest share of a mosaic that a product takes up."}
    )
    mosaic_overlays: float = field(default=0.0, metadata={"help": "Share of mosaics with promotional overlays."})
    num_hard_texts: int = field(default=1, metadata={"help": "Mismatched texts of a pair, where the losses use them."})
    hard_negatives: str | None = field(
        default=None,
        metadata={"help": "File of examples/mine_negatives.py: rows come in batches with rows they are mistaken for."},
    )
    group_products: bool = field(
        default=False, metadata={"help": "Rows of one product come in the same batch; see --multi_positive."}
    )
    feature_cache: str | None = field(
        default=None, metadata={"help": "Folder of the teacher's features; in the run's folder by default."}
    )
    num_workers: int = field(default=2, metadata={"help": "Processes that prepare data."})
    cache_decoded: bool = field(default=True, metadata={"help": "Keep decoded images in memory, scaled down."})

    def __post_init__(self):
        if not 0.0 <= self.mosaic_share <= 1.0:
            raise ValueError(f"--mosaic_share must lie in [0, 1], got {self.mosaic_share}.")
        if self.num_hard_texts < 0:
            raise ValueError(f"--num_hard_texts must not be negative, got {self.num_hard_texts}.")
        self.mosaic_range("mosaic_items"), self.mosaic_range("mosaic_area")

    def mosaic_range(self, name: str) -> tuple[float, float]:
        """Both ends of `mosaic_items` or `mosaic_area`."""
        try:
            low, high = (float(part) for part in getattr(self, name).split(","))
        except ValueError:
            raise ValueError(f"--{name} must be 'low,high', got {getattr(self, name)!r}.") from None
        return low, high


Arguments = tuple[TigerFGModelArguments, TigerFGDataArguments, TrainArguments, TigerFGLossWeights]


def parse_tiger_fg_arguments(argv: list[str] | None = None) -> Arguments:
    """Arguments of `examples/train.py`; see [`parse_recipe`]."""
    model, data, train, losses = parse_recipe(
        (TigerFGModelArguments, TigerFGDataArguments, TrainArguments, TigerFGLossWeights), argv
    )
    return model, data, train, losses
