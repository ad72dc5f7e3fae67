"""The TGQ-Former student and task."""

import pytest
import torch
from tiny_tgq import tiny_pair_batch, tiny_tgq_model

from tiger_fg_hf.objectives.batch import select_rows
from tiger_fg_hf.objectives.info_nce import Rows
from tiger_fg_hf.objectives.query_to_item import query_to_item_loss
from tiger_fg_hf.objectives.redundancy import redundancy_loss
from tiger_fg_hf.objectives.tgq_former import TGQFormerLossWeights, TGQFormerTask
from tiger_fg_hf.objectives.tgq_former_student import TGQFormerStudent


def side(batch, name):
    return {key.removeprefix(f"{name}_"): value for key, value in batch.items() if key.startswith(f"{name}_")}


def test_both_listings_are_embedded_as_if_alone():
    student, batch = TGQFormerStudent(tiny_tgq_model()), tiny_pair_batch()
    found = student(**batch)
    for name in ("first", "second"):
        output = student.model(**side(batch, name))
        torch.testing.assert_close(found[f"{name}_embeds"], output.embeds, atol=2e-5, rtol=0)
        for stream in ("metadata", "exploratory"):
            pooled = output.connector_output[stream].mean(1)
            torch.testing.assert_close(found[f"{name}_{stream}"], pooled, atol=2e-5, rtol=0)


def test_loss_is_the_weighted_sum_of_its_terms():
    task, batch = (
        TGQFormerTask(TGQFormerStudent(tiny_tgq_model()), TGQFormerLossWeights(i2i=2.0, rr=0.5)),
        tiny_pair_batch(),
    )
    found = task(batch)
    alone = [task.student.model(**side(batch, name)) for name in ("first", "second")]
    i2i = query_to_item_loss(
        alone[0].embeds, alone[1].embeds, Rows.of_one_process(batch["item_ids"]), alone[0].logit_scale
    )
    streams = [
        torch.cat([each.connector_output[name].mean(1) for each in alone]) for name in ("metadata", "exploratory")
    ]
    rr = redundancy_loss(*streams)
    torch.testing.assert_close(found["i2i"], i2i, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found["rr"], rr, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found["loss"], 2 * i2i + 0.5 * rr, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("connector", ["q_former", "notellm2", "perceiver_resampler", "mlp"])
def test_without_two_streams_the_redundancy_term_is_skipped(connector):
    task = TGQFormerTask(TGQFormerStudent(tiny_tgq_model(connector=connector)))
    found = task(tiny_pair_batch())
    assert "rr" not in found
    torch.testing.assert_close(found["loss"], found["i2i"], check_stride=False)
    with pytest.raises(ValueError, match="No loss can be computed"):
        TGQFormerTask(task.student, TGQFormerLossWeights(i2i=0.0))(tiny_pair_batch())


def test_listings_of_one_product_are_not_negatives():
    task, batch = TGQFormerTask(TGQFormerStudent(tiny_tgq_model()), TGQFormerLossWeights(rr=0.0)), tiny_pair_batch()
    same = batch | {"item_ids": torch.tensor([3, 3, 3])}
    assert task(same)["loss"].item() == 0.0
    assert task(batch)["loss"].item() > 0.1


def test_rows_of_a_batch():
    """Parts of a batch give the parts of its representations, as gradient caching relies on."""
    student, batch = TGQFormerStudent(tiny_tgq_model()), tiny_pair_batch()
    whole = student(**batch)
    for rows in (slice(0, 1), slice(1, 3)):
        part = student(**select_rows(batch, rows))
        for name, value in whole.items():
            expected = value[rows] if value.ndim else value
            torch.testing.assert_close(part[name], expected, atol=2e-5, rtol=0, msg=name)


def test_split_over_processes():
    """With gathered columns, the mean of the processes' losses is the loss of the whole batch."""
    student, batch = TGQFormerStudent(tiny_tgq_model()), tiny_pair_batch()
    representations = student(**batch)
    expected = TGQFormerTask(student).loss(representations, batch)
    parts = []
    for rank in range(3):
        rows = slice(rank, rank + 1)
        own = {name: value[rows] if value.ndim else value for name, value in representations.items()}
        gathered = {value.data_ptr(): representations[name] for name, value in own.items() if value.ndim}
        ids = batch["item_ids"][rows]
        gathered[ids.data_ptr()] = batch["item_ids"]
        task = TGQFormerTask(student, gather=lambda part, gathered=gathered: gathered[part.data_ptr()], rank=rank)
        parts.append(task.loss(own, {"item_ids": ids}))
    for name in ("i2i", "rr", "loss"):
        mean = torch.stack([part[name] for part in parts]).mean()
        torch.testing.assert_close(mean, expected[name], msg=name)


def test_photos_may_be_missing_on_one_side():
    student, batch = TGQFormerStudent(tiny_tgq_model()), tiny_pair_batch()
    missing = batch | {"second_image_mask": torch.tensor([1, 0, 1])}
    found, whole = student(**missing), student(**batch)
    torch.testing.assert_close(found["first_embeds"], whole["first_embeds"])
    alone = student.model(**side(missing, "second"))
    torch.testing.assert_close(found["second_embeds"], alone.embeds, atol=2e-5, rtol=0)
    assert not torch.allclose(found["second_embeds"][1], whole["second_embeds"][1], atol=1e-3)
    del batch["second_title_input_ids"]
    with pytest.raises(ValueError, match="The batch lacks 'second_title_input_ids'"):
        student(**batch)


def test_weights_are_not_negative():
    with pytest.raises(ValueError, match="rr must not be negative"):
        TGQFormerLossWeights(rr=-1.0)
