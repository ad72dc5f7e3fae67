"""Parts of a batch that holds each photo once."""

import pytest
import torch
from student_cases import task_batch, tiny_student

from tiger_fg_hf.objectives.batch import select_rows


def counted_batch(index: list[int] | None) -> dict:
    """A batch of five rows whose photos hold their own number; without an index, one photo per row."""
    pictures = 5 if index is None else max(index) + 1
    batch = {
        "pixel_values": torch.arange(float(pictures)).view(-1, 1, 1, 1).expand(-1, 3, 2, 2),
        "query_pixel_values": torch.arange(5.0)[:, None],
        "item_ids": torch.arange(5) + 10,
        "note": "not a tensor",
    }
    return batch if index is None else batch | {"image_index": torch.tensor(index)}


@pytest.mark.parametrize(
    ("rows", "index", "kept"),
    [
        (slice(0, 2), [0, 0, 1, 1, 2], [0]),
        (slice(1, 3), [0, 0, 1, 1, 2], [0, 1]),
        (slice(3, 5), [2, 0, 1, 2, 0], [0, 2]),
        (slice(4, 9), [2, 0, 1, 2, 0], [0]),
        (slice(0, 5), [2, 0, 1, 2, 0], [0, 1, 2]),
        (slice(1, 4), None, [1, 2, 3]),
    ],
)
def test_rows_keep_their_photos_and_no_others(rows, index, kept):
    batch = counted_batch(index)
    part = select_rows(batch, rows)
    numbers = part["pixel_values"][:, 0, 0, 0]
    assert sorted(numbers.tolist()) == kept
    assert part["item_ids"].tolist() == list(range(10, 15))[rows]
    assert part["query_pixel_values"].flatten().tolist() == list(range(5))[rows]
    assert part["note"] == "not a tensor"
    if index is not None:
        assert numbers[part["image_index"]].tolist() == index[rows]


def test_without_item_photos():
    batch = counted_batch(None)
    del batch["pixel_values"]
    assert select_rows(batch, slice(1, 3)).keys() == batch.keys()


def test_rows_of_selected_rows():
    batch = counted_batch([2, 0, 1, 2, 0])
    part = select_rows(select_rows(batch, slice(1, 5)), slice(2, 4))
    assert part["pixel_values"][part["image_index"], 0, 0, 0].tolist() == [2, 0]


@pytest.mark.parametrize("pictures", [None, 3])
@pytest.mark.parametrize("share", [1, 2, 3])
def test_representations_of_the_parts_are_those_of_the_whole(pictures, share):
    student, batch = tiny_student(), task_batch(pictures=pictures)
    whole = student(**batch)
    rows = len(batch["item_ids"])
    parts = [student(**select_rows(batch, slice(start, start + share))) for start in range(0, rows, share)]
    assert {"mismatched_embeds", "region_embeds", "relation_divergence"} <= whole.keys()
    for name, expected in whole.items():
        found = torch.cat([part[name] for part in parts]) if expected.ndim else parts[-1][name]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5, msg=name)
