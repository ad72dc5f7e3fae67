"""Loads exported folders with their own code in a process that cannot import the package, and writes what they say.

python -I remote_loader.py INPUTS OUTPUTS FOLDER...
"""

import json
import sys
from pathlib import Path

PACKAGE = "tiger_fg_hf"


class Blocker:
    """Makes the package as absent as it is where it was never installed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == PACKAGE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main(inputs: Path, outputs: Path, folders: list[Path]) -> None:
    import torch
    from PIL import Image
    from safetensors.torch import load_file, save_file
    from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor

    torch.set_num_threads(1)
    photos = [Image.fromarray(photo.numpy()) for photo in load_file(inputs / "photos.safetensors").values()]
    records = json.loads((inputs / "records.json").read_text())
    found = {}
    for folder in folders:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
        model = AutoModel.from_pretrained(folder, trust_remote_code=True)
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
        image_processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)
        for loaded in (config, model, processor, image_processor, processor.image_processor):
            assert type(loaded).__module__.startswith("transformers_modules."), type(loaded)
        assert type(model.config) is type(config)

        tensors = model_inputs(processor, config.model_type, photos, records)
        with torch.no_grad():
            tensors |= {k: v for k, v in model(**tensors).items() if torch.is_tensor(v)}
        tensors["image_processor"] = image_processor(photos, return_tensors="pt")["pixel_values"]
        found |= {f"{folder.name}|{name}": tensor.contiguous() for name, tensor in tensors.items()}
    assert not [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
    save_file(found, outputs)


def model_inputs(processor, model_type: str, photos: list, records: list) -> dict:
    """What the processor makes of photos and records for one of the models."""
    items = dict(processor(images=photos, text=records, return_tensors="pt"))
    if model_type in ("tiger_fg_item", "tgq_former"):
        return items
    queries = processor(images=photos[::-1], return_tensors="pt")["pixel_values"]
    return {"pixel_values": queries} if model_type == "tiger_fg_query" else {"query_pixel_values": queries, **items}


if __name__ == "__main__":
    sys.meta_path.insert(0, Blocker)
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(folder) for folder in sys.argv[3:]])
