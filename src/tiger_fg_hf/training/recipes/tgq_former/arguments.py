"""Arguments of TGQ-Former training."""

from dataclasses import dataclass
from typing import Any, Literal

from ....models.configuration_tgq_former import TGQFormerConfig
from ....objectives.tgq_former import TGQFormerLossWeights
from ...arguments import ArgumentGroup, TrainArguments, argument, check_at_least, read_fields
from ..listings import ListingArguments


@dataclass
class TGQFormerArguments(ArgumentGroup):
    """Which TGQ-Former is trained, and how its inputs are prepared."""

    _argument_group_name = "Model"

    model: str | None = argument(None, "TGQ-Former checkpoint (Hub id or folder) to train further.")
    dual_encoder: str | None = argument(None, "Trained image-text dual encoder, which stays frozen.")
    language_model: str | None = argument(None, "Pretrained language model.")
    model_config: dict[str, Any] | str | None = argument(
        None,
        "TGQFormerConfig fields, as a mapping or JSON. A text_config among them builds a language model from scratch, "
        "with the dual encoder's tokenizer.",
    )
    connector: Literal["tgq_former", "q_former", "notellm2", "perceiver_resampler", "mlp"] | None = argument(
        None,
        "Another connector, widened or narrowed to as many parameters as --model_config gives TGQ-Former's.",
    )
    max_text_length: int | None = argument(None, "Longest prompt in tokens; 64 by default.")
    max_title_length: int | None = argument(
        None, "Longest title in tokens; 52 by default. SigLIP always reads as many as it can."
    )
    instruction: str | None = argument(None, "Text that precedes every prompt.")
    agreement_samples: int = argument(
        512,
        "Listings on which the gate of a new model is calibrated: the spread of their cosines of picture and title "
        "sets its unit. 0 leaves the cosines as they are.",
    )
    lora_rank: int = argument(16, "Rank of the language model's adapters; 0 trains the language model itself.")
    lora_alpha: int = argument(32, "Alpha of the adapters.")
    lora_dropout: float = argument(0.0, "Dropout of the adapters.")
    freeze_language_model: bool = argument(False, "Freeze the language model; only with --lora_rank 0.")
    attn_implementation: str | None = argument(
        None, "Attention: 'eager', 'sdpa' or 'flash_attention_2'.", resume="may_change"
    )
    gradient_checkpointing: bool = argument(False, "Save memory by computing activations twice.", resume="may_change")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.model_config = read_fields(self.model_config, TGQFormerConfig, "--model_config")
        if self.freeze_language_model and self.lora_rank:
            raise ValueError("--freeze_language_model needs --lora_rank 0: adapters would train it.")
        check_at_least(self, "agreement_samples", 0)
        config = self.model_config or {}
        if "dual_encoder_config" in config:
            raise ValueError("--model_config has a dual_encoder_config: give a trained one with --dual_encoder.")
        if "text_config" in config and "model_type" not in config["text_config"]:
            raise ValueError("The text_config of --model_config needs a model_type, such as 'qwen3'.")
        if "connector" in config and self.connector is not None:
            raise ValueError("--connector and a connector in --model_config: give one of them.")
        if "text_config" in config and self.lora_rank:
            raise ValueError(
                "A language model from scratch (text_config) needs --lora_rank 0: there is nothing to adapt."
            )
        if self.model is not None:
            names = ("dual_encoder", "language_model", "model_config", "connector", "instruction")
            given = [n for n in (*names, "max_text_length", "max_title_length") if getattr(self, n) is not None]
            if given:
                flags = ", ".join(f"--{name}" for name in given)
                raise ValueError(f"--model already determines {flags}: leave them out.")


@dataclass
class TGQFormerTrainArguments(TrainArguments):
    """Arguments of optimization and run, with TGQ-Former's defaults."""

    output_dir: str = argument("runs/tgq-former", "Folder of the run and of the final model.", resume="may_change")
    weight_decay: float = argument(1e-3, "Decoupled weight decay of matrices.")


ARGUMENTS = (TGQFormerArguments, ListingArguments, TGQFormerLossWeights, TGQFormerTrainArguments)
