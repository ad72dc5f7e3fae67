"""Crop a product out of any photo and find it in a catalog of full, cluttered listings.

Public names load on first use, so that `import tiger_fg_hf` costs next to nothing. The transformers `Auto` classes
know the models as soon as they are imported themselves, before or after this package.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from . import _auto

__version__ = version("tiger-fg-hf")

_MODULE_OF = {
    "TGQFormerConfig": "models.configuration_tgq_former",
    "TGQFormerConnector": "models.modeling_tgq_former",
    "TGQFormerModel": "models.modeling_tgq_former",
    "TGQFormerProcessor": "models.processing_tgq_former",
    "TigerFGConfig": "models.configuration_tiger_fg",
    "TigerFGItemConfig": "models.configuration_tiger_fg",
    "TigerFGQueryConfig": "models.configuration_tiger_fg",
    "TigerFGImageProcessor": "models.image_processing_tiger_fg",
    "TigerFGImageProcessorPil": "models.image_processing_pil_tiger_fg",
    "TigerFGItemModel": "models.modeling_tiger_fg",
    "TigerFGModel": "models.modeling_tiger_fg",
    "TigerFGQueryModel": "models.modeling_tiger_fg",
    "TigerFGProcessor": "models.processing_tiger_fg",
    "check_catalog": "catalog.check",
    "drawn_catalog": "synthetic.drawn",
    "encode_items": "catalog.encode",
    "encode_queries": "catalog.encode",
    "evaluate_retrieval": "evaluation.retrieval",
    "load_catalog": "catalog.source",
    "search": "catalog.search",
    "train_sentencepiece_tokenizer": "training.tokenizer",
}
__all__ = ["__version__", *_MODULE_OF]

if TYPE_CHECKING:
    from .catalog.check import check_catalog
    from .catalog.encode import encode_items, encode_queries
    from .catalog.search import search
    from .catalog.source import load_catalog
    from .evaluation.retrieval import evaluate_retrieval
    from .models.configuration_tgq_former import TGQFormerConfig
    from .models.configuration_tiger_fg import TigerFGConfig, TigerFGItemConfig, TigerFGQueryConfig
    from .models.image_processing_pil_tiger_fg import TigerFGImageProcessorPil
    from .models.image_processing_tiger_fg import TigerFGImageProcessor
    from .models.modeling_tgq_former import TGQFormerConnector, TGQFormerModel
    from .models.modeling_tiger_fg import TigerFGItemModel, TigerFGModel, TigerFGQueryModel
    from .models.processing_tgq_former import TGQFormerProcessor
    from .models.processing_tiger_fg import TigerFGProcessor
    from .synthetic.drawn import drawn_catalog
    from .training.tokenizer import train_sentencepiece_tokenizer


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_auto.register_when_imported()
