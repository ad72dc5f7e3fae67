"""Item-to-item evaluation of TGQ-Former."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tgq import tiny_tgq_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tiger_fg_hf import TGQFormerProcessor, TigerFGImageProcessorPil
from tiger_fg_hf.evaluation.tgq_former import embed_listings, item_metrics, pair_metrics


def make_processor() -> TGQFormerProcessor:
    words = ["<pad>", "<unk>", "red", "blue", "mug", "lamp", "|"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")
    return TGQFormerProcessor(TigerFGImageProcessorPil(size=32), fast, fast)


def photos(count: int, seed: int = 0) -> list[Image.Image]:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 40, 40, 3), dtype=np.uint8)
    return [Image.fromarray(picture) for picture in pixels]


RECORDS = [{"title": "red mug"}, {"title": None}, {"title": "blue lamp", "category": "lamp"}, {"title": "lamp"}, {}]


def test_listings_are_embedded_as_by_the_model_whatever_the_batch():
    model, processor, pictures = tiny_tgq_model().train(), make_processor(), photos(5)
    found = embed_listings(model, processor, pictures, RECORDS, batch_size=2)
    assert model.training
    with torch.no_grad():
        expected = model.eval()(**processor(images=pictures, text=RECORDS, return_tensors="pt"))
    torch.testing.assert_close(found.embeds, expected.embeds, atol=2e-5, rtol=0)
    torch.testing.assert_close(found.agreement, expected.agreement, atol=2e-5, rtol=0)
    for gate in ("metadata_gate", "exploratory_gate"):
        torch.testing.assert_close(getattr(found, gate), expected.connector_output[gate].mean(1), atol=2e-5, rtol=0)
    assert embed_listings(tiny_tgq_model(connector="mlp"), processor, pictures, RECORDS).metadata_gate is None


def test_metrics_are_those_of_a_full_sort():
    generator = torch.Generator().manual_seed(0)
    pool = torch.nn.functional.normalize(torch.randn(300, 8, generator=generator), dim=-1)
    queries = torch.nn.functional.normalize(pool[:20] + 0.5 * torch.randn(20, 8, generator=generator), dim=-1)
    ids = [f"item {row}" for row in range(300)]
    found = item_metrics(queries, ids[:20], pool, ids)
    order = (queries.double() @ pool.double().T).argsort(1, descending=True)
    ranks = (order == torch.arange(20)[:, None]).int().argmax(1).numpy() + 1
    assert 1 < ranks.mean() < 100
    for k in (1, 10, 100):
        np.testing.assert_array_equal(found[f"hit_rate@{k}"], ranks <= k)
    np.testing.assert_allclose(found["mrr"], 1 / ranks)


def test_pairs_of_listings():
    """Equal listings of different products find each other."""
    pictures = photos(5)
    pairs = [
        {"item_id": str(row), "images": (pictures[row], pictures[row]), "texts": (RECORDS[row], RECORDS[row])}
        for row in range(5)
    ]
    found = pair_metrics(tiny_tgq_model(), make_processor(), pairs, batch_size=3)
    assert found == pytest.approx({"hit_rate@1": 1.0, "hit_rate@10": 1.0, "hit_rate@100": 1.0, "mrr": 1.0})


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="5 images were given with 4 records"):
        embed_listings(tiny_tgq_model(), make_processor(), photos(5), RECORDS[:4])
    with pytest.raises(ValueError, match="listing 1"):
        embed_listings(tiny_tgq_model(), make_processor(), [photos(1)[0], b"no picture"], RECORDS[:2])
