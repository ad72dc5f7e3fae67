"""Arguments of dual-encoder training."""

from dataclasses import dataclass
from typing import Any

from ...arguments import ArgumentGroup, TrainArguments, argument, read_mapping
from ..listings import ListingArguments


@dataclass
class DualEncoderArguments(ArgumentGroup):
    """Which image-text dual encoder is trained, and how its inputs are prepared."""

    _argument_group_name = "Model"

    dual_encoder: str | None = argument(None, "Dual encoder (CLIP, Chinese-CLIP, SigLIP) to train further.")
    vision: str | None = argument(
        None, "Pretrained vision encoder of a new dual encoder, or a TIGER-FG checkpoint to take it from."
    )
    text: str | None = argument(None, "Pretrained text encoder of a new dual encoder.")
    dual_encoder_config: dict[str, Any] | str | None = argument(
        None, "Configuration of a dual encoder from scratch, with its model_type, as a mapping or JSON."
    )
    projection_dim: int = argument(256, "Width of the shared space of a new dual encoder of --vision and --text.")
    vocab_size: int = argument(4000, "Vocabulary size of the tokenizer learned for a dual encoder from scratch.")
    max_title_length: int | None = argument(
        None, "Longest title in tokens; 52 by default. SigLIP always reads as many as it can."
    )
    freeze_text: bool = argument(False, "Freeze the text encoder, except for its projection.")
    freeze_vision: bool = argument(
        False, "Freeze the vision encoder, except for its pooler and projection (locked-image tuning)."
    )
    attn_implementation: str | None = argument(
        None, "Attention: 'eager', 'sdpa' or 'flash_attention_2'.", resume="may_change"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.dual_encoder_config = read_mapping(self.dual_encoder_config, "--dual_encoder_config")
        names = ("dual_encoder", "vision", "text", "dual_encoder_config")
        given = [name for name in names if getattr(self, name) is not None]
        if given not in (["dual_encoder"], ["vision", "text"], ["dual_encoder_config"]):
            raise ValueError(
                "Give either --dual_encoder, or --vision and --text (pretrained encoders), or --dual_encoder_config "
                f"(from scratch); got {given or 'none of them'}."
            )
        if self.dual_encoder_config is not None and "model_type" not in self.dual_encoder_config:
            raise ValueError("--dual_encoder_config needs a model_type, such as 'clip'.")


@dataclass
class DualEncoderTrainArguments(TrainArguments):
    """Arguments of optimization and run, with the dual encoder's defaults."""

    output_dir: str = argument("runs/dual-encoder", "Folder of the run and of the final model.", resume="may_change")


ARGUMENTS = (DualEncoderArguments, ListingArguments, DualEncoderTrainArguments)
