"""Grounding metrics on cases worked out by hand."""

import numpy as np
import pytest
import torch

from tiger_fg_hf.evaluation.grounding import box_mass, pointing_accuracy


def test_box_mass_is_what_lies_in_the_box():
    grounding = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    boxes = [
        (0.0, 0.0, 1.0, 1.0),
        (0.5, 0.0, 1.0, 0.5),  # the upper right cell
        (0.0, 0.0, 0.5, 1.0),  # the left column
        (0.25, 0.25, 0.75, 0.75),  # a quarter of each cell
        (0.1, 0.2, 0.2, 0.3),  # 0.01 of the picture within the first cell, which is a quarter of it
    ]
    mass, chance = box_mass([grounding] * 5, boxes)
    assert mass == pytest.approx([1.0, 0.2, 0.4, 0.25, 0.1 * 0.04])
    assert chance == pytest.approx([1.0, 0.25, 0.5, 0.25, 0.01])


def test_a_uniform_map_scores_chance():
    rng = np.random.default_rng(0)
    corners = rng.random((20, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1).tolist()
    maps = [torch.full((4, 6), 0.3)] * 20  # any scale
    for measure in (box_mass, pointing_accuracy):
        values, chance = measure(maps, boxes)
        assert values == pytest.approx(chance)


def test_rows_are_height_and_columns_width():
    grounding = torch.zeros(2, 4)
    grounding[1, 0] = 1.0
    low_left = (0.0, 0.5, 0.25, 1.0)
    assert box_mass([grounding], [low_left])[0] == [1.0]
    assert pointing_accuracy([grounding], [low_left])[0] == [1.0]
