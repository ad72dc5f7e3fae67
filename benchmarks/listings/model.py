"""Models of the listings benchmark, equal wherever their parameters agree in name and shape."""

import hashlib
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed

from tiger_fg_hf.models.modeling_tgq_former import TGQFormerModel
from tiger_fg_hf.models.processing_tgq_former import TGQFormerProcessor
from tiger_fg_hf.training.recipes.tgq_former.build import build_tgq_former

from .arguments import ListingsSetup
from .systems import OURS, ListingsSystem


def start_model(setup: ListingsSetup, system: ListingsSystem, seed: int) -> tuple[TGQFormerModel, TGQFormerProcessor]:
    """Return the untrained model of a system and its processor.

    Parameters that TGQ-Former's model has under the same name and shape are equal to it with the same seed: the dual
    encoder, the language model, and the common parts of the connector.
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


def model_settings(setup: ListingsSetup) -> dict[str, Any]:
    """Return the model arguments that change the result of a run; local weights are identified by a hash."""
    settings = {name: value for name, value in asdict(setup.model).items() if name not in ("model", "connector")}
    sources = {name: settings[name] for name in ("dual_encoder", "language_model") if settings[name] is not None}
    return settings | {name: _weights_digest(source) for name, source in sources.items()}


@cache
def _weights_digest(source: str) -> str:
    """Hash configuration, tokenizer and weights of a folder, which may be trained again; a Hub id stays unchanged."""
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
