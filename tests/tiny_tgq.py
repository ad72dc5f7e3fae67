"""TGQ-Former models of some ten thousand parameters, one for each supported family, and inputs for them."""

import torch
from transformers import (
    AlbertConfig,
    BertConfig,
    ChineseCLIPConfig,
    CLIPConfig,
    DeiTConfig,
    ModernBertConfig,
    MPNetConfig,
    OPTConfig,
    Qwen3Config,
    SiglipConfig,
    VisionTextDualEncoderConfig,
    XLMRobertaConfig,
)

from tiger_fg_hf import TGQFormerConfig, TGQFormerModel, TigerFGConfig
from tiger_fg_hf.models.tgq_former.modeling_tgq_former import match_connector_budget

VOCAB = 99
_SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
_GRID = {"image_size": 32, "patch_size": 8}
_WORDS = {"vocab_size": VOCAB, "max_position_embeddings": 60, **_SIZE}
_ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}

DUAL = {
    "clip": lambda: CLIPConfig(
        text_config={**_WORDS, **_ENDS}, vision_config={**_SIZE, **_GRID}, projection_dim=16, **_ENDS
    ),
    "chinese_clip": lambda: ChineseCLIPConfig(text_config=_WORDS, vision_config={**_SIZE, **_GRID}, projection_dim=16),
    "siglip": lambda: SiglipConfig(text_config={**_WORDS, **_ENDS}, vision_config={**_SIZE, **_GRID}),
    "vision_text": lambda: VisionTextDualEncoderConfig.from_vision_text_configs(
        DeiTConfig(**_SIZE, **_GRID), BertConfig(**_WORDS), projection_dim=16
    ),
    "tiger_fg": lambda: TigerFGConfig(
        vision_config=DeiTConfig(**_SIZE, **_GRID),
        text_config=BertConfig(**_WORDS),
        share_vision_tower=False,
        num_slots=3,
        projection_dim=16,
    ),
}
# Those that transformers knows, and compares image with text in one call.
CLIP_LIKE = [name for name in DUAL if name != "tiger_fg"]
# The last two have word embeddings of another width than what they make of them.
LANGUAGE = {
    "qwen3": lambda: Qwen3Config(head_dim=8, num_key_value_heads=2, **_WORDS),
    "bert": lambda: BertConfig(**_WORDS),
    "xlm_roberta": lambda: XLMRobertaConfig(**_WORDS),
    "mpnet": lambda: MPNetConfig(**_WORDS),
    "modernbert": lambda: ModernBertConfig(cls_token_id=1, sep_token_id=2, **_ENDS, **_WORDS),
    "albert": lambda: AlbertConfig(embedding_size=16, **_WORDS),
    "opt": lambda: OPTConfig(word_embed_proj_dim=16, ffn_dim=48, **_ENDS, **_WORDS),
}


def tiny_tgq_config(dual="clip", language="qwen3", connector=None, **changes) -> TGQFormerConfig:
    """With the smaller number of queries for each stream, so that a mix-up of streams shows in shapes."""
    config = TGQFormerConfig(
        dual_encoder_config=DUAL[dual](),
        text_config=LANGUAGE[language](),
        **{
            "num_metadata_queries": 3,
            "num_exploratory_queries": 2,
            "connector_hidden_size": 24,
            "connector_num_layers": 2,
            "connector_num_attention_heads": 4,
            "connector_intermediate_size": 48,
            **changes,
        },
    )
    return config if connector in (None, config.connector) else match_connector_budget(config, connector)


def tiny_tgq_model(*args, **kwargs) -> TGQFormerModel:
    """In eval mode, all parameters drawn, so that nothing hides behind a zero."""
    torch.manual_seed(0)
    model = TGQFormerModel(tiny_tgq_config(*args, **kwargs)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "gate." in name or name.endswith("queries"):
                parameter.normal_(std=0.3)
    return model


def tiny_tgq_inputs() -> dict[str, torch.Tensor]:
    """Three items; titles and prompts of different lengths, padded on the right."""
    generator = torch.Generator().manual_seed(1)

    def words(lengths):
        mask = (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long()
        return torch.randint(3, VOCAB, mask.shape, generator=generator) * mask, mask

    inputs = {"pixel_values": torch.randn(3, 3, 32, 32, generator=generator)}
    inputs["title_input_ids"], inputs["title_attention_mask"] = words([6, 4, 1])
    inputs["input_ids"], inputs["attention_mask"] = words([5, 2, 4])
    return inputs


def tiny_pair_batch() -> dict[str, torch.Tensor]:
    """Three products: one listing of each, and another with other pixels and, padded less, other texts."""
    first, second = tiny_tgq_inputs(), tiny_tgq_inputs()
    second["pixel_values"] = second["pixel_values"].flip(0) + 0.1
    second = {name: value.flip(0) for name, value in second.items()}
    for name in ("input_ids", "attention_mask"):
        second[name] = second[name][:, :4]
    second["attention_mask"][0] = torch.tensor([1, 1, 0, 0])
    batch = {f"first_{name}": value for name, value in first.items()}
    batch |= {f"second_{name}": value for name, value in second.items()}
    return batch | {"item_ids": torch.tensor([3, 1, 2]), "rows": torch.arange(3)}
