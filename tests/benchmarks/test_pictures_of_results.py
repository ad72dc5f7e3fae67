"""Bar charts, scatter plots, and the sheet and page of cases."""

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.harness.charts import draw_bars, draw_scatter
from benchmarks.immr.cases import Case, cases_page, draw_cases
from tiger_fg_hf.evaluation.bootstrap import BootstrapInterval

BLUE, ORANGE = (52, 101, 164), (230, 126, 34)


def longest_run(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((pixels == colour).all(-1).sum(1).max())


def test_bars_are_as_long_as_their_values():
    rows = {"first": [BootstrapInterval(40, 39, 41), None], "second": [None, BootstrapInterval(20, 19, 21)]}
    chart = np.asarray(draw_bars(rows, ["Normal", "Mosaic"], title="Recall@1"))
    assert longest_run(chart, BLUE) == pytest.approx(2 * longest_run(chart, ORANGE), rel=0.03)


@pytest.mark.parametrize("top", [0.0, 0.4, 3.0, 99.9])
def test_any_range_has_an_axis(top):
    chart = draw_bars({"only": [BootstrapInterval(top, top, top)]}, ["x"], title="")
    assert chart.width == 1800


def test_bars_want_a_value_for_each_series():
    with pytest.raises(ValueError, match="expected 2 values, found 1"):
        draw_bars({"a": [None]}, ["x", "y"], title="")
    with pytest.raises(ValueError, match="found 0 and 1"):
        draw_bars({}, ["x"], title="")


def case(rank: int) -> Case:
    grounding = torch.zeros(4, 4)
    grounding[0, 0] = 1.0
    return Case(
        query=Image.new("RGB", (30, 30), "yellow"),
        item=Image.new("RGB", (40, 20), (90, 90, 90)),
        top=Image.new("RGB", (20, 20), "magenta"),
        grounding=grounding,
        box=[10, 5, 30, 15],
        title="a <b>bold</b> title that is far too long for the width that a case has on the sheet",
        top_title="another",
        rank=rank,
        mass=0.25,
    )


def test_boxes_lie_where_they_are_in_the_padded_square():
    _, item, mapped, _ = case(1).pictures(80)
    for picture in (item, mapped):
        rows, columns = np.nonzero((np.asarray(picture) == (0, 120, 255)).all(-1))
        # 40 x 20 becomes 80 x 40 with 20 above.
        assert (columns.min(), rows.min(), columns.max(), rows.max()) == (20, 30, 59, 49)
    pixels = np.asarray(mapped).astype(int)
    assert pixels[25, 5, 0] - pixels[25, 5, 2] > pixels[45, 75, 0] - pixels[45, 75, 2]


def test_sheet_and_page_tell_right_from_wrong():
    groups = {"Good": [case(1)], "Bad": [case(3), case(7), case(9)]}
    sheet = draw_cases(groups, title="Cases", side=60)
    colours = {colour for _, colour in sheet.getcolors(maxcolors=1_000_000)}
    assert {(255, 255, 0), (255, 0, 255), (34, 139, 34), (190, 40, 40)} <= colours
    page = cases_page(groups, title="Cases", note="A & B")
    assert page.count("<article>") == 4
    assert page.count("data:image/jpeg;base64,") == 16
    assert "a &lt;b&gt;bold&lt;/b&gt; title" in page
    assert "rank 7, 25% of the map in the box" in page
    assert page.count("top result: another") == 3


def test_scatter_of_one_value_and_of_many():
    rng = np.random.default_rng(0)
    cloud = (rng.normal(size=30), rng.normal(size=30))
    one = (np.zeros(4), np.zeros(4))
    picture = draw_scatter({"a": {"own": cloud, "other": one}}, title="t", x_label="x", y_label="y")
    colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert {(52, 101, 164), (230, 126, 34)} <= colours
    assert draw_scatter({"a": {"own": one}}, title="t", x_label="x", y_label="y").width < picture.width * 2
    with pytest.raises(ValueError, match="expected panels of 1 to 2 series, found 0"):
        draw_scatter({}, title="t", x_label="x", y_label="y")
