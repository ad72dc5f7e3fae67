"""Arguments of dual-encoder training."""

from dataclasses import dataclass, field
from typing import Any

from ...arguments import TrainArguments, read_mapping


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
