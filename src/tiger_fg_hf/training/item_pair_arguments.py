"""Arguments of training on pairs of listings: TGQ-Former, and the dual encoder that it keeps frozen."""

from dataclasses import dataclass, field
from typing import Any, Literal

from ..data.promotions import LEVELS, Level
from ..models.tgq_former.configuration_tgq_former import TGQFormerConfig
from .arguments import TrainArguments, read_fields, read_mapping


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


@dataclass
class DualEncoderArguments:
    """Which image-text dual encoder is trained."""

    dual_encoder: str | None = field(default=None, metadata={"help": "Dual encoder (CLIP, ...) to train on."})
    vision: str | None = field(
        default=None, metadata={"help": "Pretrained vision encoder of a fresh dual encoder, or a TIGER-FG."}
    )
    text: str | None = field(default=None, metadata={"help": "Pretrained text encoder of it."})
    dual_encoder_config: dict[str, Any] | str | None = field(
        default=None,
        metadata={"help": "Configuration, with its model_type, as a mapping or JSON: a dual encoder from scratch."},
    )
    projection_dim: int = field(
        default=256, metadata={"help": "Width of the shared space of a fresh dual encoder on --vision and --text."}
    )
    vocab_size: int = field(
        default=4000, metadata={"help": "Vocabulary of the tokenizer that one from scratch is trained with."}
    )
    max_title_length: int | None = field(
        default=None, metadata={"help": "Tokens of a title that are read; 52 by default, and SigLIP reads all it can."}
    )
    freeze_text: bool = field(
        default=False, metadata={"help": "Keep the text encoder as it is, but for its projection."}
    )
    freeze_vision: bool = field(
        default=False,
        metadata={"help": "Keep the vision encoder as it is, but for pooler and projection: locked-image tuning."},
    )
    attn_implementation: str | None = field(default=None, metadata={"help": "'eager', 'sdpa', 'flash_attention_2'."})

    def __post_init__(self):
        self.dual_encoder_config = read_mapping(self.dual_encoder_config, "--dual_encoder_config")
        names = ("dual_encoder", "vision", "text", "dual_encoder_config")
        given = [name for name in names if getattr(self, name) is not None]
        if given not in (["dual_encoder"], ["vision", "text"], ["dual_encoder_config"]):
            raise ValueError(
                "Give either --dual_encoder, or --vision and --text (pretrained encoders), or --dual_encoder_config "
                f"(one from scratch); got {given or 'none of them'}."
            )
        if self.dual_encoder_config is not None and "model_type" not in self.dual_encoder_config:
            raise ValueError("--dual_encoder_config needs a model_type, such as 'clip'.")


@dataclass
class DualEncoderTrainArguments(TrainArguments):
    """How a dual encoder is trained."""

    output_dir: str = field(
        default="runs/dual-encoder", metadata={"help": "Folder of the run and of the final model."}
    )


@dataclass
class TGQFormerTrainArguments(TrainArguments):
    """How TGQ-Former is trained."""

    output_dir: str = field(default="runs/tgq-former", metadata={"help": "Folder of the run and of the final model."})
    weight_decay: float = field(default=1e-3, metadata={"help": "Decoupled weight decay of matrices."})


@dataclass
class TGQFormerArguments:
    """Which TGQ-Former is trained."""

    model: str | None = field(default=None, metadata={"help": "TGQ-Former checkpoint (Hub id or folder) to train on."})
    dual_encoder: str | None = field(
        default=None, metadata={"help": "Trained image-text dual encoder, which stays frozen."}
    )
    language_model: str | None = field(default=None, metadata={"help": "Pretrained language model."})
    model_config: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "TGQFormerConfig fields, as a mapping or JSON. A text_config among them: a language model from "
            "scratch, with the dual encoder's tokenizer."
        },
    )
    connector: Literal["tgq_former", "q_former", "notellm2", "perceiver_resampler", "mlp"] | None = field(
        default=None,
        metadata={"help": "Another connector than TGQ-Former's, of as many parameters as that of --model_config has."},
    )
    max_text_length: int | None = field(default=None, metadata={"help": "Tokens of a prompt; 64 by default."})
    max_title_length: int | None = field(
        default=None, metadata={"help": "Tokens of a title; 52 by default, and SigLIP reads all it can."}
    )
    instruction: str | None = field(default=None, metadata={"help": "What stands before every prompt."})
    agreement_samples: int = field(
        default=512,
        metadata={
            "help": "Listings whose cosines of picture and title tell a fresh model's gate in what unit to read them; "
            "0: as they are."
        },
    )
    lora_rank: int = field(default=16, metadata={"help": "Rank of the language model's adapters; 0 trains it whole."})
    lora_alpha: int = field(default=32, metadata={"help": "Alpha of the adapters."})
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout of the adapters."})
    freeze_language_model: bool = field(
        default=False, metadata={"help": "Keep the language model as it is; only with --lora_rank 0."}
    )
    attn_implementation: str | None = field(default=None, metadata={"help": "'eager', 'sdpa', 'flash_attention_2'."})
    gradient_checkpointing: bool = field(default=False, metadata={"help": "Trade compute for memory."})

    def __post_init__(self):
        self.model_config = read_fields(self.model_config, TGQFormerConfig, "--model_config")
        if self.freeze_language_model and self.lora_rank:
            raise ValueError("--freeze_language_model needs --lora_rank 0: adapters would train it.")
        if self.agreement_samples < 0:
            raise ValueError(f"--agreement_samples must not be negative, got {self.agreement_samples}.")
        own = self.model_config or {}
        if "dual_encoder_config" in own:
            raise ValueError("--model_config has a dual_encoder_config: give a trained one, with --dual_encoder.")
        if "text_config" in own and "model_type" not in own["text_config"]:
            raise ValueError("The text_config of --model_config needs a model_type, such as 'qwen3'.")
        if "connector" in own and self.connector is not None:
            raise ValueError("--connector and a connector in --model_config: give one of them.")
        if "text_config" in own and self.lora_rank:
            raise ValueError(
                "A language model from scratch (text_config) needs --lora_rank 0, as it has nothing to adapt."
            )
        if self.model is not None:
            names = ("dual_encoder", "language_model", "model_config", "connector", "instruction")
            given = [n for n in (*names, "max_text_length", "max_title_length") if getattr(self, n) is not None]
            if given:
                told = ", ".join(f"--{name}" for name in given)
                raise ValueError(f"--model brings its own: give nothing of {told} beside it.")
