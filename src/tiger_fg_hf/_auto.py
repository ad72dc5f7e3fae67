"""Registers the models with transformers' Auto classes, each when transformers itself imports that Auto class."""

import sys
from importlib import import_module

import wrapt

_OURS = f"{__package__}.models"
_AUTO = "transformers.models.auto"
# The modules of the models, of which one may be half imported when transformers imports an Auto class.
_MODULES = (
    "configuration_tgq_former",
    "connector_baselines_tgq_former",
    "connector_tgq_former",
    "dual_encoder_tgq_former",
    "modeling_tgq_former",
    "processing_tgq_former",
    "configuration_tiger_fg",
    "encoders_tiger_fg",
    "grounding_tiger_fg",
    "image_loading_tiger_fg",
    "image_processing_pil_tiger_fg",
    "image_processing_tiger_fg",
    "modeling_tiger_fg",
    "processing_tiger_fg",
)
# Imports the Auto classes while it is itself half imported, and every model needs it whole.
_LAYERS = "transformers.modeling_layers"


_completed: set[str] = set()


def register_when_imported() -> None:
    """
    Registers each of our modules once it is imported, and imports it once transformers has imported its Auto class.

    Two hooks, because either module may be the one that imports the other, and must be complete before registration.
    """
    for auto, ours, register in _PAIRS:
        for name in ours:
            wrapt.register_post_import_hook(register, f"{_OURS}.{name}")
        wrapt.register_post_import_hook(_import_ours, f"{_AUTO}.{auto}")
    for name in (_LAYERS, *(f"{_OURS}.{name}" for name in _MODULES)):
        wrapt.register_post_import_hook(_import_ours, name)


def _import_ours(module) -> None:
    """Imports what transformers is ready for, unless it or one of ours is half imported: its end triggers again."""
    _completed.add(module.__name__)
    if any(name in sys.modules and name not in _completed for name in (_LAYERS, *(f"{_OURS}.{n}" for n in _MODULES))):
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

    # The two backends differ by up to 3 of 255 levels: an index must not depend on whether torchvision is installed.
    # PIL unless `backend="torchvision"` is asked for.
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


# The models that have a configuration of their own.
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
