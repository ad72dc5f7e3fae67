"""Arguments of training on pairs of listings: TGQ-Former, and the dual encoder that it keeps frozen."""

from dataclasses import dataclass, field
from typing import Any, Literal

from ....models.configuration_tgq_former import TGQFormerConfig
from ...arguments import TrainArguments, read_fields


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
