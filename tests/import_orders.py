"""Imports the package and transformers' Auto classes in every order, each in a process of its own.

Run as a script, it prints the orders after which an Auto class did not know the models.
"""

import multiprocessing
import sys

AUTO = ("AutoConfig", "AutoModel", "AutoProcessor", "AutoImageProcessor", "AutoTokenizer")
OURS = "import tiger_fg_hf"
ORDERS = [
    *((OURS, f"from transformers import {auto}") for auto in AUTO),
    *((f"from transformers import {auto}", OURS) for auto in AUTO),
    ("import transformers", OURS),
    (f"from transformers import {', '.join(AUTO)}", OURS),
    ("from tiger_fg_hf import TigerFGModel",),
    ("from tiger_fg_hf import TigerFGProcessor", "from transformers import AutoModel"),
    ("from tiger_fg_hf.models.tiger_fg.configuration_tiger_fg import TigerFGConfig",),
]


def unregistered(order: tuple[str, ...]) -> list[str]:
    """Runs the statements in a process that has seen neither side, and returns what is not registered then."""
    assert not {"transformers", "tiger_fg_hf"} & sys.modules.keys()
    for statement in order:
        exec(statement, {})

    from transformers import AutoConfig, AutoModel
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    import tiger_fg_hf as ours

    found = {}
    for name in ("TigerFG", "TigerFGQuery", "TigerFGItem"):
        config_class = getattr(ours, f"{name}Config")
        found[f"{name}Config"] = type(AutoConfig.for_model(config_class.model_type)) is config_class
        found[f"{name}Model"] = AutoModel._model_mapping[config_class] is getattr(ours, f"{name}Model")
    found["TigerFGProcessor"] = PROCESSOR_MAPPING[ours.TigerFGConfig] is ours.TigerFGProcessor
    image_processors = IMAGE_PROCESSOR_MAPPING[ours.TigerFGConfig]
    found["TigerFGImageProcessorPil"] = image_processors["pil"] is ours.TigerFGImageProcessorPil
    return [name for name, registered in found.items() if not registered]


def main() -> None:
    # What transformers would import anew in each process, but none of transformers itself.
    import accelerate  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch.distributed.fsdp
    import torch.distributed.tensor
    import torch.fx.experimental.symbolic_shapes  # noqa: F401

    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        for order, missing in zip(ORDERS, pool.map(unregistered, ORDERS, chunksize=1), strict=True):
            if missing:
                print(f"{'; '.join(order)}: {', '.join(missing)}")


if __name__ == "__main__":
    main()
