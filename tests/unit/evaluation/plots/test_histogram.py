"""The histogram of differences: no bar says anything of both sides, and all that is left out is said."""

from __future__ import annotations

import re

import numpy as np
import pytest

from visrec.evaluation.plots.drawing import Drawing, Shape
from visrec.evaluation.plots.histogram import histogram

SIDES = ("b better", "a better")


def bars(drawing: Drawing) -> list[tuple[float, float, int, str]]:
    """Ends, people and look of each bar."""
    found = []
    for part in drawing.parts:
        if isinstance(part, Shape):
            low, high, n = re.fullmatch(r"(\S+) to (\S+): ([\d,]+) (?:person|people)", part.words).groups()
            found.append((float(low), float(high), int(n.replace(",", "")), part.look))
    return found


@pytest.fixture
def values() -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.concatenate([np.zeros(40), rng.uniform(-0.4, 0, 25), rng.uniform(0, 1, 35), [-0.2, 0.5, 1.0]])


def test_each_bar_is_on_one_side_and_all_differences_are_drawn(values: np.ndarray):
    found = bars(histogram(values, x_title="nDCG", sides=SIDES))
    assert all(low >= 0 or high <= 0 for low, high, _, _ in found)
    assert sum(n for low, _, n, _ in found if low >= 0) == np.count_nonzero(values > 0)
    assert sum(n for _, high, n, _ in found if high <= 0) == np.count_nonzero(values < 0)
    assert {look for low, _, _, look in found if low >= 0} == {"mark m0"}
    assert {look for _, high, _, look in found if high <= 0} == {"mark m1"}


def test_what_no_bar_shows_is_said_in_words(values: np.ndarray):
    name = histogram(values, x_title="nDCG", sides=SIDES).name
    assert "no difference, not drawn: 40" in name
    assert f"mean {values.mean():.4f}" in name


def test_heights_are_counts():
    values = np.array([0.05] * 4 + [0.95] * 2 + [-0.95])
    drawing = histogram(values, x_title="nDCG", sides=SIDES)
    heights = {}
    for part in drawing.parts:
        if isinstance(part, Shape):
            _, top, _, bottom, _ = map(float, re.findall(r"[-\d.]+", part.path))
            heights[part.words] = bottom - top
    four, two, one = (next(h for words, h in heights.items() if f": {n} " in words) for n in (4, 2, 1))
    assert four == pytest.approx(2 * two, abs=0.2)
    assert two == pytest.approx(2 * one, abs=0.2)


@pytest.mark.parametrize("values", [np.zeros(3), np.array([0.25]), np.ones(2), np.array([5.0, 7.0])])
@pytest.mark.parametrize("sides", [None, SIDES])
def test_few_or_equal_values_can_be_drawn(values: np.ndarray, sides: tuple[str, str] | None):
    found = bars(histogram(values, x_title="nDCG", sides=sides))
    drawn = values[values != 0] if sides else values
    assert sum(n for _, _, n, _ in found) == len(drawn)
