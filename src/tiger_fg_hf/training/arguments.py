"""Arguments of training: three dataclasses, read from flags, from YAML or JSON, or from both."""

import json
import re
import sys
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

import yaml
from transformers import HfArgumentParser


@dataclass
class ModelArguments:
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
    resize_mode: Literal["pad", "squash", "crop"] = field(
        default="pad", metadata={"help": "'pad' keeps the aspect, 'squash' does not, 'crop' cuts the long side."}
    )
    max_text_length: int = field(default=64, metadata={"help": "Tokens of an item text that are read."})
    freeze_text: bool = field(default=False, metadata={"help": "Keep the text encoder as it is."})
    attn_implementation: str | None = field(default=None, metadata={"help": "'eager', 'sdpa', 'flash_attention_2'."})
    gradient_checkpointing: bool = field(default=False, metadata={"help": "Trade compute for memory."})

    def __post_init__(self):
        if isinstance(self.model_config, str):
            self.model_config = json.loads(self.model_config)


@dataclass
class DataArguments:
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
    num_workers: int = field(default=2, metadata={"help": "Processes that prepare data."})
    cache_decoded: bool = field(default=True, metadata={"help": "Keep decoded images in memory, scaled down."})


@dataclass
class TrainArguments:
    """How it is trained."""

    output_dir: str = field(default="runs/tiger-fg", metadata={"help": "Folder of the run and of the final model."})
    seed: int = field(default=0, metadata={"help": "Seed of weights, order and augmentation."})
    max_steps: int = field(default=1000, metadata={"help": "Optimizer steps."})
    batch_size: int = field(default=64, metadata={"help": "Pairs per process and forward pass."})
    gradient_accumulation_steps: int = field(default=1, metadata={"help": "Forward passes per optimizer step."})
    backbone_lr: float = field(default=5e-5, metadata={"help": "Peak learning rate of pretrained encoders."})
    head_lr: float = field(default=5e-4, metadata={"help": "Peak learning rate of new layers."})
    weight_decay: float = field(default=0.05, metadata={"help": "Decoupled weight decay of matrices."})
    warmup_ratio: float = field(default=0.1, metadata={"help": "Share of the steps that warm up."})
    max_grad_norm: float = field(default=1.0, metadata={"help": "Norm to which gradients are clipped; 0 for none."})
    mixed_precision: Literal["no", "bf16", "fp16"] = field(default="bf16", metadata={"help": "Autocast type."})
    log_every: int = field(default=10, metadata={"help": "Steps between log entries."})
    eval_every: int = field(default=0, metadata={"help": "Steps between evaluations; 0 for none."})
    save_every: int = field(default=500, metadata={"help": "Steps between checkpoints; 0 for none."})
    save_total_limit: int = field(default=2, metadata={"help": "Checkpoints that are kept."})
    resume: str | None = field(
        default=None, metadata={"help": "'auto' for the run's last checkpoint if it has one, or a checkpoint folder."}
    )
    tracker: Literal["tensorboard", "none"] = field(default="tensorboard", metadata={"help": "Where logs go."})
    progress: bool = field(default=True, metadata={"help": "Show a progress bar."})

    def __post_init__(self):
        for name in ("max_steps", "batch_size", "gradient_accumulation_steps", "log_every", "save_total_limit"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}.")
        if not 0.0 <= self.warmup_ratio < 1.0:
            raise ValueError(f"--warmup_ratio must lie in [0, 1), got {self.warmup_ratio}.")


class _RecipeLoader(yaml.SafeLoader):
    """YAML that reads 5e-5 as a number, as JSON and YAML 1.2 do; YAML 1.1 wants a dot in it."""


_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
)


def parse_arguments(argv: list[str] | None = None) -> tuple[ModelArguments, DataArguments, TrainArguments]:
    """
    Reads `[recipe.yaml | recipe.json] [--flag value ...]`; a flag overrides the recipe.

    Raises:
        ValueError: the recipe is no mapping or has a key that no argument has, or a value is out of range.
        SystemExit: a value, of a flag or of the recipe, is not of its argument's type; the usage is printed.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = HfArgumentParser((ModelArguments, DataArguments, TrainArguments))
    if argv and argv[0].endswith((".yaml", ".yml", ".json")):
        argv[:1] = _recipe_flags(Path(argv[0]))
    model, data, train = parser.parse_args_into_dataclasses(argv, look_for_args_file=False)
    return model, data, train


def _recipe_flags(path: Path) -> list[str]:
    """A recipe as flags, so that its values pass the same checks as those of the command line."""
    read = json.loads if path.suffix == ".json" else partial(yaml.load, Loader=_RecipeLoader)
    recipe = read(path.read_text(encoding="utf-8"))
    if not isinstance(recipe, dict):
        raise ValueError(f"{path} must hold a mapping of arguments to values, found {type(recipe).__name__}.")
    known = {f.name: f.type for kind in (ModelArguments, DataArguments, TrainArguments) for f in fields(kind)}
    unknown = sorted(set(recipe) - set(known))
    if unknown:
        raise ValueError(f"{path} has unknown keys {unknown}; known are {sorted(known)}.")
    flags = []
    for name, value in recipe.items():
        if value is False and known[name] is not bool:
            value = "no"  # which YAML reads as false
        if value is not None:
            flags.append(f"--{name}={json.dumps(value) if isinstance(value, dict) else value}")
    return flags
