"""Cost of TGQ-Former's connectors and of the models around them."""

from collections.abc import Mapping

import torch

from tiger_fg_hf.models.dual_encoder_tgq_former import encode_images, encode_titles
from tiger_fg_hf.models.modeling_tgq_former import TGQFormerModel

from ..harness.cost import Cost, measure_cost


def item_cost(model: TGQFormerModel, inputs: Mapping[str, torch.Tensor]) -> Cost:
    """Measure the embedding of one item: dual encoder, connector and language model.

    The title encoder counts only if the connector reads the title; otherwise it could be left out.
    """
    reads_title = model.config.connector == "tgq_former" and model.config.num_metadata_queries > 0
    kept = {name: value for name, value in inputs.items() if reads_title or not name.startswith("title_")}
    item = measure_cost(model, lambda: model(**kept).embeds)
    # No gradient reaches the frozen dual encoder, so its parameters are counted separately.
    dual, frozen = model.dual_encoder, 0
    frozen += measure_cost(dual, lambda: encode_images(dual, kept["pixel_values"]).pooler_output).parameters
    if reads_title:
        title = (kept["title_input_ids"], kept["title_attention_mask"])
        frozen += measure_cost(dual, lambda: encode_titles(dual, *title).pooler_output).parameters
    return Cost(item.parameters + frozen, item.gflops)


def connector_cost(model: TGQFormerModel, inputs: Mapping[str, torch.Tensor]) -> Cost:
    """Measure the connector alone for one item, late fusion included."""
    names = ("pixel_values", "title_input_ids", "title_attention_mask")
    pair = model.encode_pair(**{name: inputs[name] for name in names})
    cost = measure_cost(model.connector, lambda: model.connector(**pair).tokens)
    late_fusion = model.late_fusion
    if late_fusion is None:
        return cost
    state = torch.zeros(1, late_fusion.gate.out_features, device=model.device)
    fusion = measure_cost(late_fusion, lambda: late_fusion(state, state))
    return Cost(cost.parameters + fusion.parameters, cost.gflops + fusion.gflops)
