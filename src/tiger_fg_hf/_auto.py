"""Registers the models with transformers' Auto classes, each when transformers itself imports that Auto class."""

from importlib import import_module

import wrapt

_AUTO = "transformers.models.auto"


def register_when_imported() -> None:
    """Registers at once what transformers has imported already, and the rest as soon as it is imported."""
    wrapt.register_post_import_hook(_register_configs, f"{_AUTO}.configuration_auto")
    wrapt.register_post_import_hook(_register_models, f"{_AUTO}.modeling_auto")
    wrapt.register_post_import_hook(_register_image_processors, f"{_AUTO}.image_processing_auto")
    wrapt.register_post_import_hook(_register_processors, f"{_AUTO}.processing_auto")


def _ours(name: str):
    return import_module(f".models.tiger_fg.{name}_tiger_fg", __package__)


def _register_configs(auto) -> None:
    module = _ours("configuration")
    for config in (module.TigerFGConfig, module.TigerFGQueryConfig, module.TigerFGItemConfig):
        auto.AutoConfig.register(config.model_type, config, exist_ok=True)


def _register_models(auto) -> None:
    configs, models = _ours("configuration"), _ours("modeling")
    auto.AutoModel.register(configs.TigerFGConfig, models.TigerFGModel, exist_ok=True)
    auto.AutoModel.register(configs.TigerFGQueryConfig, models.TigerFGQueryModel, exist_ok=True)
    auto.AutoModel.register(configs.TigerFGItemConfig, models.TigerFGItemModel, exist_ok=True)


def _register_image_processors(auto) -> None:
    from transformers.utils import is_torchvision_available

    classes = {"pil": _ours("image_processing_pil").TigerFGImageProcessorPil}
    if is_torchvision_available():
        classes["torchvision"] = _ours("image_processing").TigerFGImageProcessor
    auto.AutoImageProcessor.register(_ours("configuration").TigerFGConfig, image_processor_classes=classes)


def _register_processors(auto) -> None:
    auto.AutoProcessor.register(_ours("configuration").TigerFGConfig, _ours("processing").TigerFGProcessor)
