from __future__ import annotations

import re

import numpy as np
import pytest

from visrec.data.dataset import load_dataset
from visrec.data.datasets.synthetic import SyntheticConfig, write_synthetic
from visrec.data.statistics import Statistics, load_counted
from visrec.evaluation.charts import bars, concentration, histogram
from visrec.evaluation.statistics_page import render_statistics_page


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shop"
    write_synthetic(folder, SyntheticConfig(n_items=60, n_users=20, image_size=48), n_workers=1)
    data = load_dataset(folder)
    statistics = Statistics.of(data)
    return statistics, render_statistics_page(statistics, data, title="<shop>")


def test_the_page_needs_nothing_else_and_holds_every_number(page):
    statistics, text = page
    assert "<script" not in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "&lt;shop&gt;" in text
    for name, value in statistics.lines():
        assert f'<th scope="row">{name}</th><td>{value}</td>' in text
    assert text.count("data:image/webp;base64,") > 20


def test_pictures_alone_have_a_page_with_a_contact_sheet_and_no_plot(tmp_path):
    write_synthetic(tmp_path / "shop", SyntheticConfig(n_items=40, n_users=12, image_size=48), n_workers=1)
    (tmp_path / "shop" / "interactions.csv").unlink()
    data = load_counted(tmp_path / "shop")
    text = render_statistics_page(Statistics.of(data), data, title="pictures")
    assert text.count("data:image/webp;base64,") == 28  # evenly spread over the catalogue
    assert "<svg" not in text
    assert '<th scope="row">items</th><td>40</td>' in text


def test_bars_are_as_high_as_their_counts():
    chart = bars([("a", 2), ("b", 4), ("c", 0)], x_title="x", y_title="y")
    low, high, none = (bar.height for bar in chart.bars)
    assert high == pytest.approx(2 * low)
    assert none == 0
    assert chart.rows == [("a", "2"), ("b", "4"), ("c", "0")]


def test_a_histogram_doubles_its_bounds_and_counts_everything():
    chart = histogram(np.array([1, 1, 2, 3, 4, 5, 9]), x_title="x", y_title="y")
    assert chart.rows == [("1", "2"), ("2", "1"), ("3–4", "2"), ("5–8", "1"), ("9–16", "1")]


def test_the_curve_rises_from_nothing_to_all():
    chart = concentration(np.array([6, 3, 1]), x_title="x", y_title="y")
    points = [tuple(map(float, point.split(","))) for point in chart.curve.split()]
    ys = [chart.area.bottom - y for _, y in points]
    height = chart.area.bottom - chart.area.top
    assert ys == pytest.approx([0, 0.6 * height, 0.9 * height, height], abs=0.1)
