"""Imports the package and transformers' Auto classes in every order, each in a process of its own.

Run as a script, it prints the orders after which an Auto class did not know the models.
"""

import multiprocessing
import sys
from contextlib import suppress
from importlib import import_module

AUTO = ("AutoConfig", "AutoModel", "AutoProcessor", "AutoImageProcessor", "AutoTokenizer")
OURS = "import tiger_fg_hf"
ORDERS = [
    *((OURS, f"from transformers import {auto}") for auto in AUTO),
    *((f"from transformers import {auto}", OURS) for auto in AUTO),
    ("import transformers", OURS),
    (OURS, "from transformers import CLIPConfig"),
    (f"from transformers import {', '.join(AUTO)}", OURS),
    (OURS, "import transformers.modeling_layers"),
    ("import transformers.modeling_layers", OURS),
    *((f"import tiger_fg_hf.models.tiger_fg.{name}_tiger_fg",) for name in ("encoders", "grounding", "image_loading")),
    *(
        (f"import tiger_fg_hf.models.tgq_former.{name}_tgq_former",)
        for name in ("connector", "modeling", "processing")
    ),
    ("from tiger_fg_hf import TigerFGModel",),
    ("from tiger_fg_hf import TGQFormerProcessor", "from transformers import AutoModel"),
    ("from tiger_fg_hf import TigerFGProcessor", "from transformers import AutoModel"),
    ("from tiger_fg_hf.models.tiger_fg.configuration_tiger_fg import TigerFGConfig",),
]
REGISTERED = (
    *(f"TigerFG{tower}{kind}" for tower in ("", "Query", "Item") for kind in ("Config", "Model")),
    "TigerFGProcessor",
    "TigerFGImageProcessorPil",
    *("TGQFormerConfig", "TGQFormerModel", "TGQFormerProcessor"),
)


def unregistered(order: tuple[str, ...]) -> list[str]:
    """Runs the statements in a process that has seen neither side, and returns what is not registered then."""
    assert not {"transformers", "tiger_fg_hf"} & sys.modules.keys()
    for statement in order:
        exec(statement, {})

    from transformers import AutoModel
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    found = {}
    for name, model_type in (
        ("TigerFG", "tiger_fg"),
        ("TigerFGQuery", "tiger_fg_query"),
        ("TigerFGItem", "tiger_fg_item"),
        ("TGQFormer", "tgq_former"),
    ):
        if model_type in CONFIG_MAPPING:
            found[f"{name}Config"] = CONFIG_MAPPING[model_type]
            found[f"{name}Model"] = AutoModel._model_mapping.get(CONFIG_MAPPING[model_type], None)
    for name in ("TigerFG", "TGQFormer"):
        if f"{name}Config" in found:
            found[f"{name}Processor"] = PROCESSOR_MAPPING.get(found[f"{name}Config"], None)
    if "TigerFGConfig" in found:
        found["TigerFGImageProcessorPil"] = IMAGE_PROCESSOR_MAPPING.get(found["TigerFGConfig"], {}).get("pil")

    import tiger_fg_hf  # only now, because looking at its names is one way to have them registered

    return [name for name in REGISTERED if found.get(name) is not getattr(tiger_fg_hf, name)]


def dependencies() -> list[str]:
    """Everything that importing the models brings along, but for the package itself and transformers."""
    unregistered((OURS,))
    return [name for name in sys.modules if name.partition(".")[0] not in ("transformers", "tiger_fg_hf")]


def main() -> None:
    fork = multiprocessing.get_context("fork")
    with fork.Pool(1) as pool:
        names = pool.apply(dependencies)
    for name in names:  # once for all processes
        with suppress(ImportError):
            import_module(name)
    with fork.Pool(2, maxtasksperchild=1) as pool:
        for order, missing in zip(ORDERS, pool.map(unregistered, ORDERS, chunksize=1), strict=True):
            if missing:
                print(f"{'; '.join(order)}: {', '.join(missing)}")


if __name__ == "__main__":
    main()
