"""Plots of an evaluation, read back from their SVG: counts by hand, and nothing that is too little to draw."""

import re

import numpy as np
import pytest

from data import markup
from data.charts import amounts, regions, success_over_time
from data.charts.regions import MOST_CELLS, grid_of
from data.report import Report


def words(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_a_map_counts_the_failures_of_each_cell():
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    points = np.repeat(corners, [10, 8, 6, 1], axis=0)
    success = np.concatenate([np.arange(10) < 7, np.arange(8) < 8, np.arange(6) < 1, [False]])
    drawn = regions(points, success, "cube_x", "cube_y")
    assert sorted(word for word in words(drawn) if "/" in word) == ["0/8", "1/1", "3/10", "5/6"]
    assert "cube_x" in words(drawn) and "cube_y" in words(drawn)
    deep = [float(a) for a in re.findall(r"fill: var\(--series-6\); fill-opacity: ([\d.]+)", drawn)]
    # The failures by the episodes and three more: 5 of 9 is the deepest, 1 of 4 and 3 of 13 are pale, none has no colour.
    assert sorted(deep) == pytest.approx([0.7 * 3 / 13 * 9 / 5, 0.7 / 4 * 9 / 5, 0.7], abs=1e-5)


@pytest.mark.parametrize("n", [1, 7, 400, 20_000])
def test_maps_of_any_number_of_episodes_stay_small(n):
    rng = np.random.default_rng(0)
    drawn = regions(rng.uniform(size=(n, 2)), rng.random(n) < 0.5, "x", "y")
    assert len(drawn) < 400_000 and grid_of(n) <= MOST_CELLS


def test_equal_places_and_single_values_are_drawn():
    assert "<svg" in regions(np.ones((3, 2)), np.array([True, False, True]), "x", "y")
    assert "median 0.5 s" in words(amounts(np.array([0.5]), np.array([True]), "time", "s"))
    assert [w for w in words(amounts(np.ones(4), np.zeros(4, bool), "steps")) if w in ("success", "failure")] == ["failure"]
    one = np.zeros(1)
    assert "time limit" in words(success_over_time(one, one, (one, one), 5.0))


def test_numbers_with_units_are_numbers():
    assert all(map(markup.is_number, (1, 0.5, None, "", "13 %", "8.2 s", "13 % [8, 21]", "1,000", "-0.5", "12/s")))
    assert not any(map(markup.is_number, ("1, 2, 3", "stop", "s 3", "3 of 4")))


def test_words_among_the_numbers_are_escaped():
    report = Report("x")
    report.finding("<b> `a`")
    report.headword("<b>", "<b>", "<b>")
    report.strip("<b>", [(np.zeros((2, 2, 3), np.uint8), '"<b>')])
    report.plots([("<svg></svg>", "<b>")], "<b>")
    page = report.html()
    assert "<b>" not in page and "<code>a</code>" in page and 'alt="&quot;&lt;b&gt;"' in page
