from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest

from visrec.evaluation.plots.drawing import outline
from visrec.evaluation.plots.scatter import Point, scatter
from visrec.evaluation.significance import Estimate


def _points(n: int, *, groups: int = 2, spread: float = 1.0, seed: int = 0, apart: int = 0) -> list[Point]:
    """n networks, and some without an x, each in every group; a small spread puts all in one place."""
    rng = np.random.default_rng(seed)
    xs = [*(75 + spread * rng.normal(size=n)), *([None] * apart)]
    points = []
    for place, x in enumerate(xs):
        for group in range(groups):
            y = 0.1 + 0.02 * group + 0.01 * spread * rng.normal()
            points.append(Point(f"network_{place}_name", f"m{group}", x, Estimate(y, y - 0.01, y + 0.01)))
    return points


def _plot(points, **more):
    return scatter(points, x_title="x", y_title="y", **more)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("n", "spread", "apart"), [(4, 1, 1), (12, 1, 4), (12, 0.01, 0), (30, 0.3, 6), (0, 0, 9)]
)
def test_labels_cover_neither_each_other_nor_a_mark(n, spread, apart, seed):
    plot = _plot(_points(n, spread=spread, seed=seed, apart=apart), level=0.01)
    assert {label.text for label in plot.labels} == {f"network_{place}_name" for place in range(n + apart)}
    assert not any(one.box.meets(other.box) for one, other in combinations(plot.labels, 2))
    for label in plot.labels:
        assert 0 <= label.box.top < label.box.bottom <= plot.area.top  # marks are below
        assert label.box.left >= 0
        assert label.box.right <= plot.width


@pytest.mark.parametrize("spread", [1, 0.01])
def test_no_pole_goes_through_another_label(spread):
    plot = _plot(_points(15, spread=spread))
    for label, other in permutations(plot.labels, 2):
        if label.row > other.row:
            assert not other.box.left < label.x < other.box.right


def test_a_pole_stands_in_the_column_of_its_marks_and_reaches_the_lowest():
    points = _points(6)
    plot = _plot(points)
    for label in plot.labels:
        mine = [mark for one, mark in zip(points, plot.marks, strict=True) if one.label == label.text]
        assert sum(mark.x for mark in mine) / len(mine) == pytest.approx(label.x)
        assert label.foot == max(mark.y for mark in mine)


def test_columns_of_one_value_stand_beside_each_other_around_it():
    one = [Point(name, "m", 70.0, Estimate(0.1, 0, 0.2)) for name in ("a", "b", "c")]
    far = [Point("d", "m", 60.0, Estimate(0.1, 0, 0.2)), Point("e", "m", 80.0, Estimate(0.1, 0, 0.2))]
    a, b, c, d, e = (mark.x for mark in _plot([*one, *far]).marks)
    assert a < b < c
    assert b == pytest.approx((d + e) / 2)
    assert c - b == pytest.approx(b - a)
    assert b - a >= 8


def test_heights_and_places_are_those_of_the_values():
    points = [Point(str(x), "m", x, Estimate(y, y / 2, y * 2)) for x, y in ((10, 0.1), (20, 0.2), (40, 0.3))]
    plot = _plot(points, level=0.05)
    a, b, c = plot.marks
    assert (c.x - b.x) == pytest.approx(2 * (b.x - a.x))
    assert (a.y - b.y) == pytest.approx(b.y - c.y)
    assert a.low > a.y > a.high  # pixels grow downwards
    assert a.low == pytest.approx(plot.level)
    for mark in plot.marks:
        assert plot.area.left < mark.x < plot.area.right
        assert plot.area.top < mark.high < mark.low < plot.area.bottom


def test_equal_ratios_are_equal_distances_where_x_is_logarithmic():
    points = [Point(str(x), "m", x, Estimate(0.1, 0, 0.2)) for x in (1.0, 10.0, 100.0)]
    plot = _plot(points, log=True)
    a, b, c = (mark.x for mark in plot.marks)
    assert c - b == pytest.approx(b - a)
    assert {"1", "10", "100"} <= {text for _, text in plot.x_ticks}


def test_those_without_an_x_stand_in_a_strip_at_the_left():
    plot = _plot(_points(3, apart=2))
    inside = [plot.strip.left < mark.x < plot.strip.right for mark in plot.marks]
    assert inside == [False] * 6 + [True] * 4
    assert all(place > plot.strip.right for place, _ in plot.x_ticks)
    assert _plot(_points(3)).strip is None
    only = _plot(_points(0, apart=3))
    assert not only.x_ticks
    assert len({mark.x for mark in only.marks}) == 6


def test_groups_have_shapes_and_places_of_their_own():
    plot = _plot(_points(1, groups=6))
    assert [mark.group for mark in plot.marks] == list(range(6))
    assert len({outline(group, 0, 0) for group in range(6)}) == 6
    assert len({mark.x for mark in plot.marks}) == 6


@pytest.mark.parametrize("y", [0.0, 0.1])
def test_a_single_value_is_no_trouble(y):
    plot = _plot([Point("a", "m", 70.0, Estimate(y, y, y))])
    assert np.isfinite([plot.marks[0].x, plot.marks[0].y]).all()
    assert plot.y_ticks
