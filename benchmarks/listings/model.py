"""The models of the listing benchmark: alike wherever their parts agree in name and shape."""

import hashlib
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed

from tiger_fg_hf.models.modeling_tgq_former import TGQFormerModel
from tiger_fg_hf.models.processing_tgq_former import TGQFormerProcessor
from tiger_fg_hf.training.recipes.tgq_former.build import build_tgq_former

from .arguments import Setup
from .systems import OURS, System


def start_model(setup: Setup, system: System, seed: int) -> tuple[TGQFormerModel, TGQFormerProcessor]:
    """
    A system's model as its training starts, and its processor.

    Every parameter whose name and shape TGQ-Former's model has too is equal to that of its model of the same seed: the
    dual encoder, the language model, and of the connector what is common.
    """
    set_seed(seed)
    ours, processor = build_tgq_former(setup.model, setup.data)
    config = {**setup.model_config, **system.changes(ours.config)}
    connector = None if system.connector == OURS else system.connector
    set_seed(seed)
    model, _ = build_tgq_former(replace(setup.model, connector=connector, model_config=config), setup.data)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    common = {name: value for name, value in ours.state_dict().items() if shapes.get(name) == value.shape}
    model.load_state_dict(common, strict=False)
    return model, processor


def model_settings(setup: Setup) -> dict[str, Any]:
    """What of the model's arguments changes a run's result; folders of weights by what they hold."""
    told = asdict(setup.model)
    for name in ("model", "connector"):
        del told[name]
    sources = {name: told[name] for name in ("dual_encoder", "language_model") if told[name] is not None}
    return told | {name: _weights_digest(source) for name, source in sources.items()}


@cache
def _weights_digest(source: str) -> str:
    """Hash of a folder's configuration, tokenizer and weights: it may be trained anew. A Hub id stays as it is."""
    folder = Path(source)
    if not folder.is_dir():
        return source
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.iterdir()):
        if path.name in ("config.json", "tokenizer.json") or path.suffix == ".safetensors":
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while part := file.read(1 << 22):
                    digest.update(part)
    return digest.hexdigest()
