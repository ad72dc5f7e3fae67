"""Pictures of results."""

import numpy as np
import torch
from PIL import Image

from tiger_fg_hf.evaluation.figure import Case, Hit, draw_results, overlay_grounding


def test_overlay_is_reddest_where_the_map_is_highest():
    grounding = torch.zeros(4, 4)
    grounding[1, 2] = 1.0
    pixels = np.asarray(overlay_grounding(Image.new("RGB", (80, 80), "gray"), grounding)).astype(int)
    redness = pixels[..., 0] - pixels[..., 2]
    row, column = np.unravel_index(redness.argmax(), redness.shape)
    assert (row // 20, column // 20) == (1, 2)
    assert redness[70, 10] == 0


def test_sheet_frames_right_and_wrong_hits():
    hits = [
        Hit(Image.new("RGB", (40, 20), "blue"), torch.ones(2, 2), 0.9, "a very long title of a listing", correct)
        for correct in (True, False)
    ]
    sheet = draw_results(
        [Case(Image.new("RGB", (30, 30), "yellow"), "a mug: found", hits)] * 2, title="Results", side=60
    )
    colours = {colour for _, colour in sheet.getcolors(maxcolors=1_000_000)}
    assert {(34, 139, 34), (190, 40, 40), (255, 255, 0), (0, 0, 255)} <= colours
