"""Columns as classes to draw by, and the regions of a map."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import visrec.serving
from visrec.features.projection import Projection
from visrec.serving.colouring import MOST_CLASSES, NO_CLASS, RAMP, colouring, telling_columns
from visrec.serving.pages.map_drawing import COLOURS, QUIET, RAMPS, SHAPES, draw
from visrec.serving.regions import regions

STATIC = Path(visrec.serving.__file__).parent / "static"


def test_the_most_common_value_is_the_first_class_and_ties_go_by_name() -> None:
    found = colouring(pl.DataFrame({"style": ["b", "a", "c", "c", None, " ", "a "]}), "style")
    assert [(one.name, one.n) for one in found.legend] == [("a", 2), ("c", 2), ("b", 1)]
    assert found.of.tolist() == [2, 0, 1, 1, NO_CLASS, NO_CLASS, 0]
    assert (found.kind, found.others) == ("classes", None)


def test_values_beyond_the_dozen_share_the_last_class() -> None:
    values = [f"v{k:02d}" for k in range(15) for _ in range(20 - k)]
    found = colouring(pl.DataFrame({"x": values}), "x")
    assert len(found.legend) == MOST_CLASSES + 1
    assert found.others == MOST_CLASSES
    assert (found.legend[-1].name, found.legend[-1].n) == ("3 others", 8 + 7 + 6)
    assert (found.of == MOST_CLASSES).sum() == 21


def test_one_value_beyond_the_dozen_keeps_its_name() -> None:
    values = [f"v{k:02d}" for k in range(13) for _ in range(20 - k)]
    assert colouring(pl.DataFrame({"x": values}), "x").legend[-1].name == "v12"


def test_numbers_become_steps_of_about_equally_many() -> None:
    years = [str(1900 + k) for k in range(120)]
    found = colouring(pl.DataFrame({"year": [*years, ""]}), "year")
    assert found.kind == "ramp"
    assert [one.n for one in found.legend] == [20] * RAMP
    assert found.legend[0].name == "1900 – 1919"
    assert found.of.tolist() == [k // 20 for k in range(120)] + [NO_CLASS]


def test_many_equal_numbers_make_fewer_steps() -> None:
    numbers = [0.0] * 100 + [float(k) for k in range(1, 20)]
    found = colouring(pl.DataFrame({"price": numbers}), "price")
    assert 2 <= len(found.legend) < RAMP
    assert sorted(set(found.of.tolist())) == list(range(len(found.legend)))
    assert sum(one.n for one in found.legend) == 119


def test_columns_that_tell_nothing_are_left_out() -> None:
    n = 100
    table = pl.DataFrame(
        {
            "item_id": [f"i{k}" for k in range(n)],
            "title": ["t"] * n,
            "style": ["a", "b"] * 50,
            "same": ["x"] * n,
            "note": [f"a note of its own {k}" for k in range(n)],
            "year": list(range(n)),
            "empty": [None] * n,
        }
    )
    assert telling_columns(table) == ("style", "year")


def _two_clumps() -> Projection:
    rng = np.random.default_rng(0)
    left, right = rng.normal(0.2, 0.02, (30, 2)), rng.normal(0.8, 0.02, (18, 2))
    positions = np.concatenate([left, right, [[np.nan, np.nan]]]).astype(np.float32)
    return Projection("pca", positions)


def test_columns_that_cannot_be_written_are_left_out() -> None:
    table = pl.DataFrame(
        {
            "item_id": ["a", "b"],
            "bytes": [b"x", b"y"],
            "sizes": [[1], [2, 3]],
            "tags": [["x"], ["y"]],
            "size": [{"w": 1}, {"w": 2}],
        }
    )
    assert telling_columns(table) == ("tags",)


def test_regions_cover_all_items_with_a_place_and_are_named_by_their_most_common_value() -> None:
    values = pl.Series(["red"] * 30 + ["blue"] * 18 + ["red"])
    found = regions(_two_clumps(), values, shown=3)
    assert sum(one.n for one in found) == 48
    assert [one.n for one in found] == sorted((one.n for one in found), reverse=True)
    for one in found:
        expected = "red" if one.place[0] < 0.5 else "blue"
        assert (one.name, one.share) == (expected, 1.0)
        assert all((index < 30) == (expected == "red") for index in one.nearest)
        assert len(one.nearest) == 3


def test_without_a_column_regions_have_no_names() -> None:
    assert {one.name for one in regions(_two_clumps(), None)} == {None}


def test_no_two_of_the_dozen_signs_are_the_same() -> None:
    signs = {(SHAPES[k % len(SHAPES)], COLOURS[False][k % len(COLOURS[False])]) for k in range(MOST_CLASSES)}
    assert len(signs) == MOST_CLASSES


@pytest.mark.parametrize("dark", [False, True])
def test_the_drawing_and_the_style_sheet_have_the_same_colours(dark: bool) -> None:
    sheet = (STATIC / "map.css").read_text()
    part = sheet.split("@media")[1] if dark else sheet.split("@media")[0]
    named = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", part))
    assert [named[f"c{k}"] for k in range(8)] == list(COLOURS[dark])
    assert [named[f"r{k}"] for k in range(6)] == list(RAMPS[dark])
    assert named["rest"] == QUIET[dark]


@pytest.mark.parametrize("dark", [False, True])
def test_every_colour_stands_out_from_the_page(dark: bool) -> None:
    def light(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    wall = light("#161513" if dark else "#faf9f6")
    for colour in (*COLOURS[dark], *RAMPS[dark], QUIET[dark]):
        high, low = sorted((light(colour), wall), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 3, colour  # WCAG 2.2, 1.4.11


def test_the_drawing_has_a_mark_for_each_lit_item_and_none_for_items_without_a_place() -> None:
    positions = np.array([[0.1, 0.1], [0.5, 0.5], [0.9, 0.9], [np.nan, np.nan]], dtype=np.float32)
    text = draw(positions, None, history=[0, 3], recommended=[1, 2, 3], hits={2})
    assert text.count("<text") == 2
    assert ">1</text>" in text
    assert ">✓</text>" in text
    assert text.count('stroke-width="2" d=') == 1  # the heart
    assert "nan" not in text
