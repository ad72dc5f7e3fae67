"""Registration of the models with the Auto classes of transformers, each when transformers imports that Auto class."""

import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import wrapt

_OURS = f"{__package__}.models"
_AUTO = "transformers.models.auto"
# transformers may import an Auto class while one of these modules is half imported: our model modules, and the module
# of transformers that imports the Auto classes and that every model imports.
_MAY_BE_HALF_IMPORTED = (
    "transformers.modeling_layers",
    *(f"{_OURS}.{module.name}" for module in iter_modules([str(Path(__file__).with_name("models"))])),
)

_completed: set[str] = set()


def register_when_imported() -> None:
    """Register each of our modules once it is imported; import it once transformers has imported its Auto class.

    This takes two hooks: either module may import the other, and both must be complete before registration.
    """
    for auto, ours, register in _PAIRS:
        for name in ours:
            wrapt.register_post_import_hook(register, f"{_OURS}.{name}")
        wrapt.register_post_import_hook(_import_ours, f"{_AUTO}.{auto}")
    for name in _MAY_BE_HALF_IMPORTED:
        wrapt.register_post_import_hook(_import_ours, name)


def _import_ours(module) -> None:
    """Import modules whose Auto class is ready, unless one is half imported: its completion calls this again."""
    _completed.add(module.__name__)
    if any(name in sys.modules and name not in _completed for name in _MAY_BE_HALF_IMPORTED):
        return
    for auto, ours, _ in _PAIRS:
        if f"{_AUTO}.{auto}" in _completed:
            for name in ours:
                import_module(f"{_OURS}.{name}")


def _register_configs(module) -> None:
    from transformers import AutoConfig

    for name in module.__all__:
        config = getattr(module, name)
        AutoConfig.register(config.model_type, config, exist_ok=True)


def _register_models(module) -> None:
    from transformers import AutoModel

    for model in _MODELS[module.__name__.rpartition(".")[2]]:
        model = getattr(module, model)
        AutoModel.register(model.config_class, model, exist_ok=True)


def _register_image_processor(module) -> None:
    from transformers import AutoImageProcessor
    from transformers.models.auto.image_processing_auto import DEFAULT_TO_PIL_BACKEND_IMAGE_PROCESSORS
    from transformers.utils import is_torchvision_available

    from .models.configuration_tgq_former import TGQFormerConfig
    from .models.configuration_tiger_fg import TigerFGConfig

    # The pixels of the two backends differ by up to 3 of 255 levels, and an index must not depend on whether
    # torchvision is installed: PIL is the default.
    if "TigerFGImageProcessor" not in DEFAULT_TO_PIL_BACKEND_IMAGE_PROCESSORS:
        DEFAULT_TO_PIL_BACKEND_IMAGE_PROCESSORS.append("TigerFGImageProcessor")
    if hasattr(module, "TigerFGImageProcessor"):
        if not is_torchvision_available():
            return
        classes = {"torchvision": module.TigerFGImageProcessor}
    else:
        classes = {"pil": module.TigerFGImageProcessorPil}
    for config in (TigerFGConfig, TGQFormerConfig):
        AutoImageProcessor.register(config, image_processor_classes=classes, exist_ok=True)


def _register_tiger_fg_processor(module) -> None:
    from transformers import AutoProcessor

    from .models.configuration_tiger_fg import TigerFGConfig

    AutoProcessor.register(TigerFGConfig, module.TigerFGProcessor, exist_ok=True)


def _register_tgq_former_processor(module) -> None:
    from transformers import AutoProcessor

    from .models.configuration_tgq_former import TGQFormerConfig

    AutoProcessor.register(TGQFormerConfig, module.TGQFormerProcessor, exist_ok=True)


# Models with a configuration of their own.
_MODELS = {
    "modeling_tgq_former": ("TGQFormerModel",),
    "modeling_tiger_fg": ("TigerFGModel", "TigerFGQueryModel", "TigerFGItemModel"),
}
_PAIRS = (
    (
        "configuration_auto",
        ("configuration_tgq_former", "configuration_tiger_fg"),
        _register_configs,
    ),
    ("modeling_auto", ("modeling_tgq_former", "modeling_tiger_fg"), _register_models),
    (
        "image_processing_auto",
        ("image_processing_pil_tiger_fg", "image_processing_tiger_fg"),
        _register_image_processor,
    ),
    ("processing_auto", ("processing_tgq_former",), _register_tgq_former_processor),
    ("processing_auto", ("processing_tiger_fg",), _register_tiger_fg_processor),
)
