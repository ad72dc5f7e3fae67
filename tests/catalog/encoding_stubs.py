"""A processor, a model and a catalog that cost nothing to run."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import torch
from PIL import Image

ROWS = 23


class StubProcessor:
    """Decodes undecoded images; text becomes its length."""

    def __init__(self, template: str = "{title}"):
        self.template = template

    def __call__(self, images, text=None, return_tensors="pt"):
        decoded = [Image.open(io.BytesIO(image["bytes"])).convert("RGB") for image in images]
        inputs = {"pixel_values": torch.stack([torch.from_numpy(np.array(x)).float() / 255 for x in decoded])}
        if text is not None:
            inputs["input_ids"] = torch.tensor([[len(self.template.format(**record))] for record in text])
        return inputs

    def save_pretrained(self, folder):
        (Path(folder) / "processor_config.json").write_text(json.dumps({"template": self.template}))


class StubModel(torch.nn.Module):
    """Projects the mean colour and the text's length; dropout tells train mode from eval mode."""

    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.linear = torch.nn.Linear(4, 5)
        self.frozen = torch.nn.Dropout(0.9).eval()
        self.batch_sizes: list[int] = []

    def forward(self, pixel_values, input_ids=None):
        self.batch_sizes.append(len(pixel_values))
        length = torch.zeros(len(pixel_values), 1) if input_ids is None else input_ids.float()
        states = self.linear(torch.cat([pixel_values.mean(dim=(1, 2)), length], dim=1))
        grounding = pixel_values.mean(-1) / pixel_values.mean(-1).sum(dim=(1, 2), keepdim=True)
        return SimpleNamespace(
            embeds=torch.nn.functional.normalize(torch.nn.functional.dropout(states, 0.5, self.training), dim=1),
            grounding=grounding,
        )


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def make_dataset(broken: tuple[int, ...] = (), count: int = ROWS) -> datasets.Dataset:
    features = datasets.Features(
        {
            "item_id": datasets.Value("string"),
            "image": datasets.Image(decode=False),
            "title": datasets.Value("string"),
            "query_image": datasets.Image(decode=False),
        }
    )
    rows = [
        {
            "item_id": f"sku-{i}",
            "image": {"bytes": b"not an image" if i in broken else png(i), "path": None},
            "title": "x" * i,
            "query_image": {"bytes": png(1000 + i), "path": None},
        }
        for i in range(count)
    ]
    return datasets.Dataset.from_list(rows, features=features)
