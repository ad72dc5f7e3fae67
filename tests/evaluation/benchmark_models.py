"""A benchmark of a few drawn products, and a model with a processor that reads it."""

import torch
from tiny_training import MODEL

from tiger_fg_hf import TigerFGConfig, TigerFGModel, drawn_catalog, load_catalog
from tiger_fg_hf.training.arguments import ModelArguments
from tiger_fg_hf.training.setup import build_model_and_processor


def drawn_products(count: int, **options):
    """A loaded catalog of `count` drawn products on white."""
    drawn = drawn_catalog(num_products=count, split="test", layout="clean", size=48, **options)
    return load_catalog(drawn)


def random_model(catalog, seed: int = 0, **config):
    """A model of 50,000 weights, each of them at work, and its processor."""
    torch.manual_seed(seed)
    arguments = ModelArguments(model_config={**MODEL, **config}, vocab_size=420, image_size=32, max_text_length=24)
    model, processor = build_model_and_processor(arguments, catalog)
    shake(model)
    return model.eval(), processor


def shake(model: torch.nn.Module) -> None:
    """Moves every weight, so that gates open and layers that start at zero take part."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))


def same_start(model: TigerFGModel, kind: type[TigerFGModel], **config) -> TigerFGModel:
    """A model of another class with the weights of `model` wherever names agree."""
    other = kind(TigerFGConfig(**model.config.to_dict(), **config))
    other.load_state_dict(model.state_dict(), strict=False)
    return other.eval()
