"""Models of a few thousand parameters, one for each supported backbone family, and inputs for them."""

import torch
from transformers import (
    BertConfig,
    CLIPTextConfig,
    CLIPVisionConfig,
    DeiTConfig,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    DINOv3ViTConfig,
    ModernBertConfig,
    Siglip2VisionConfig,
    SiglipTextConfig,
    SiglipVisionConfig,
    ViTConfig,
    XLMRobertaConfig,
)

from tiger_fg_hf import (
    TigerFGConfig,
    TigerFGItemConfig,
    TigerFGItemModel,
    TigerFGModel,
    TigerFGQueryConfig,
    TigerFGQueryModel,
)

IMAGE, PATCH, VOCAB = 32, 8, 99
_SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
_GRID = {"image_size": IMAGE, "patch_size": PATCH}
_DINO = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "mlp_ratio": 2, **_GRID}
_WORDS = {"vocab_size": VOCAB, "max_position_embeddings": 40, **_SIZE}

VISION = {
    "vit": lambda: ViTConfig(**_SIZE, **_GRID),
    "deit": lambda: DeiTConfig(**_SIZE, **_GRID),
    "dinov2": lambda: Dinov2Config(**_DINO),
    "dinov2_with_registers": lambda: Dinov2WithRegistersConfig(num_register_tokens=3, **_DINO),
    "dinov3": lambda: DINOv3ViTConfig(num_register_tokens=4, **_SIZE, **_GRID),
    "clip": lambda: CLIPVisionConfig(**_SIZE, **_GRID),
    "siglip": lambda: SiglipVisionConfig(**_SIZE, **_GRID),
    "siglip_no_head": lambda: SiglipVisionConfig(vision_use_head=False, **_SIZE, **_GRID),
    "siglip2": lambda: Siglip2VisionConfig(num_patches=16, patch_size=PATCH, **_SIZE),
}
TEXT = {
    "bert": lambda: BertConfig(**_WORDS),
    "xlm_roberta": lambda: XLMRobertaConfig(**_WORDS),
    "modernbert": lambda: ModernBertConfig(
        pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, **_WORDS
    ),
    "clip": lambda: CLIPTextConfig(bos_token_id=1, eos_token_id=2, **_WORDS),
    "siglip": lambda: SiglipTextConfig(bos_token_id=1, eos_token_id=2, **_WORDS),
}
TOWERS = {
    "query": (TigerFGQueryConfig, TigerFGQueryModel),
    "item": (TigerFGItemConfig, TigerFGItemModel),
    "joint": (TigerFGConfig, TigerFGModel),
}


def tiny_config(kind: str = "joint", vision: str = "vit", text: str = "bert", **kwargs):
    """Configuration of the query tower, the item tower or both."""
    if kind != "query":
        kwargs.setdefault("num_slots", 3)
        kwargs["text_config"] = TEXT[text]()
    return TOWERS[kind][0](vision_config=VISION[vision](), projection_dim=16, **kwargs)


def tiny_model(kind: str = "joint", vision: str = "vit", text: str = "bert", seed: int = 0, **kwargs):
    """Model with random weights, every one of them at work: gates open, zero-initialised layers filled."""
    torch.manual_seed(seed)
    model = TOWERS[kind][1](tiny_config(kind, vision, text, **kwargs))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def tiny_inputs(kind: str = "joint", batch: int = 3, height: int = IMAGE, width: int = IMAGE, seed: int = 1) -> dict:
    """Random pixels and token ids; the texts have different lengths."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(batch, 3, height, width, generator=generator)
    if kind == "query":
        return {"pixel_values": pixels}
    lengths = torch.arange(batch) % 4 + 3
    mask = (torch.arange(7)[None] < lengths[:, None]).long()
    ids = torch.randint(3, VOCAB, (batch, 7), generator=generator) * mask
    items = {"pixel_values": pixels, "input_ids": ids, "attention_mask": mask}
    if kind == "item":
        return items
    return {"query_pixel_values": torch.randn(batch, 3, height, width, generator=generator), **items}


def tensors(output, prefix: str = "") -> dict[str, torch.Tensor]:
    """All tensors of a nested model output, by path."""
    found = {}
    for name, value in output.items() if hasattr(output, "items") else enumerate(output):
        if torch.is_tensor(value):
            found[f"{prefix}{name}"] = value
        elif isinstance(value, (tuple, dict)):
            found |= tensors(value, f"{prefix}{name}.")
    return found
