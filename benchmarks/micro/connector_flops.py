"""Count parameters and operations of TGQ-Former with each connector at the paper's sizes, without weights or data.

    python -m benchmarks.micro.connector_flops

Runs one item of 224 px with a full title and a full prompt through Chinese-CLIP ViT-B/16, the connector, and a
language model of the size of Qwen3-Embedding-0.6B, on tensors without values. The paper reports 35.43 GFLOPs without
saying which modules that covers or how it counts. The table therefore lists GFLOPs (multiplication and addition count
as two) and GMAC (count as one), for the connector and for the full model. The title encoder counts only for connectors
that read the title.
"""

import argparse
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tiger_fg_hf.models.configuration_tgq_former import CONNECTORS, TGQFormerConfig
from tiger_fg_hf.models.connector_budget_tgq_former import match_connector_budget
from tiger_fg_hf.models.dual_encoder_tgq_former import encode_images, encode_titles
from tiger_fg_hf.models.modeling_tgq_former import TGQFormerModel

from ..harness.cost import Cost, measure_cost
from ..harness.tables import table
from ..listings.cost import connector_cost, item_cost

PAPER_GFLOPS = 35.43


def measure(
    config: TGQFormerConfig, connector: str, *, image_size: int, title_tokens: int, prompt_tokens: int
) -> dict[str, Cost]:
    """Measure the image encoder, the title encoder, the connector and the full model for one item.

    Args:
        config: configuration of TGQ-Former.
        connector: connector to measure, with as many parameters as TGQ-Former's.
        image_size: side of the picture in pixels.
        title_tokens: length of the title.
        prompt_tokens: length of the prompt.

    Returns:
        Costs of `"image"`, `"title"`, `"connector"` and `"item"`.
    """
    # Fake tensors instead of the meta device, where transformers fails because it reads values of masks.
    with FakeTensorMode():
        model = TGQFormerModel._from_config(match_connector_budget(config, connector), attn_implementation="eager")
        model.eval()
        inputs = {"pixel_values": torch.zeros(1, 3, image_size, image_size)}
        for name, length in (("title_", title_tokens), ("", prompt_tokens)):
            inputs[f"{name}input_ids"] = torch.zeros(1, length, dtype=torch.long)
            inputs[f"{name}attention_mask"] = torch.ones(1, length, dtype=torch.long)
        dual = model.dual_encoder
        title = (inputs["title_input_ids"], inputs["title_attention_mask"])
        return {
            "image": measure_cost(dual, lambda: encode_images(dual, inputs["pixel_values"]).pooler_output),
            "title": measure_cost(dual, lambda: encode_titles(dual, *title).pooler_output),
            "connector": connector_cost(model, inputs),
            "item": item_cost(model, inputs),
        }


def main(argv: list[str] | None = None, config: TGQFormerConfig | None = None) -> dict[str, dict[str, Any]]:
    """Print a table and return its numbers by connector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image_size", type=int, default=224, help="Side of the picture in pixels.")
    parser.add_argument("--title_tokens", type=int, default=52, help="Tokens of the title.")
    parser.add_argument("--prompt_tokens", type=int, default=64, help="Tokens of the prompt.")
    args = parser.parse_args(argv)
    costs = {connector: measure(config or TGQFormerConfig(), connector, **vars(args)) for connector in CONNECTORS}
    rows = [
        [
            f"`{connector}`",
            f"{cost['connector'].parameters / 1e6:.2f} M",
            *(f"{cost['connector'].gflops / share:.2f}" for share in (1, 2)),
            f"{cost['item'].parameters / 1e6:.1f} M",
            *(f"{cost['item'].gflops / share:.2f}" for share in (1, 2)),
        ]
        for connector, cost in costs.items()
    ]
    head = ["connector", "its parameters", "its GFLOPs", "its GMAC"]
    print(table([*head, "parameters of an item", "GFLOPs of an item", "GMAC of an item"], rows))
    parts = costs["tgq_former"]
    rest = parts["item"].gflops - sum(parts[name].gflops for name in ("image", "title", "connector"))
    print(
        f"\nTGQ-Former takes {parts['item'].gflops:.2f} GFLOPs: image encoder {parts['image'].gflops:.2f}, "
        f"title encoder {parts['title'].gflops:.2f}, connector {parts['connector'].gflops:.2f}, language model "
        f"{rest:.2f}. The paper reports {PAPER_GFLOPS}."
    )
    return {connector: {name: part._asdict() for name, part in cost.items()} for connector, cost in costs.items()}


if __name__ == "__main__":
    main()
