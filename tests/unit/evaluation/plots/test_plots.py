"""Panels of plots: what is drawn lies where the numbers say, within the panel, and is told by more than colour."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from visrec.evaluation.plots.axis import axis
from visrec.evaluation.plots.curves import curves
from visrec.evaluation.plots.dots import Row, dots
from visrec.evaluation.plots.drawing import (
    Drawing,
    Line,
    Shape,
    Text,
    look_of,
    outline,
    shortened,
    text_width,
)
from visrec.evaluation.plots.figures import figures_of
from visrec.evaluation.plots.files import to_svg, write_figures
from visrec.evaluation.plots.violins import Sample, density, violins
from visrec.evaluation.protocol import Report
from visrec.evaluation.significance import Estimate
from visrec.evaluation.slices import Slice, Slicing


def texts(drawing: Drawing) -> list[str]:
    return [part.text for part in drawing.parts if isinstance(part, Text)]


def shapes(drawing: Drawing, look: str) -> list[Shape]:
    return [part for part in drawing.parts if isinstance(part, Shape) and look in part.look.split()]


def points_of(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)]


def estimate(mean: float) -> Estimate:
    return Estimate(mean, mean - 0.01, mean + 0.02)


def report(seed: int, n: int = 400) -> Report:
    rng = np.random.default_rng(seed)
    per_user = pl.DataFrame(
        {
            "user_id": [f"u{row}" for row in range(n)],
            "n_history": rng.integers(1, 40, n),
            "auc": rng.beta(4, 2, n),
            "ndcg@20": rng.random(n) ** 4,
        }
    )
    metrics = {name: estimate(float(per_user[name].mean())) for name in ("auc", "ndcg@20")}  # type: ignore[arg-type]
    return Report("M", metrics, per_user, {}, {"cutoffs": [20], "part": "test"})


def test_dots_stand_where_their_means_are() -> None:
    rows = [
        Row("few", "n = 40", {"a": estimate(0.1), "b": estimate(0.3)}),
        Row("many", "n = 90", {"a": estimate(0.2)}),
    ]
    drawing = dots("how many", rows, models=["a", "b"], scale=[0.0, 0.4], x_title="nDCG@20")
    to_x, _ = axis([0.0, 0.4], 150, 376)
    marks = shapes(drawing, "mark")
    assert [one.words for one in marks] == [
        "few, a: 0.1000 (0.0900–0.1200)",
        "few, b: 0.3000 (0.2900–0.3200)",
        "many, a: 0.2000 (0.1900–0.2200)",
    ]
    bars = [part for part in drawing.parts if isinstance(part, Line) and part.look.startswith("bar")]
    # One line maps values to pixels: distances between ends are as those between the values.
    pixels = [end for bar in bars for end in (bar.x1, bar.x2)]
    values = [0.09, 0.12, 0.29, 0.32, 0.19, 0.22]
    slope = (pixels[3] - pixels[0]) / (values[3] - values[0])
    assert slope == pytest.approx((to_x(0.32) - to_x(0.09)) / 0.23)
    for pixel, value in zip(pixels, values, strict=True):
        assert pixel - pixels[0] == pytest.approx(slope * (value - values[0]))
    assert len({bar.y1 for bar in bars}) == 3  # no bar hides another


def test_groups_without_means_say_why() -> None:
    drawing = dots("x", [Row("rare", "n = 3, too few to say", {})], models=["a"], scale=[0, 1], x_title="AUC")
    assert "n = 3, too few to say" in texts(drawing)
    assert not shapes(drawing, "mark")
    assert "rare: n = 3, too few to say" in drawing.name


def test_violins_are_as_wide_as_users_are_many() -> None:
    values = np.concatenate([np.full(300, 0.8), np.full(100, 0.3)])
    width = density(values)
    assert width.argmax() == 80
    assert width.max() == 1
    # Both heaps are smoothed alike and do not reach each other.
    assert width[30] == pytest.approx(1 / 3)
    assert width[55] == 0


def test_nothing_of_a_violin_leaks_out_of_the_range_of_the_metric() -> None:
    """Reflected at the end, a heap at 1 keeps all of its area: as much as one in the middle."""
    at_the_end, inside = density(np.full(50, 1.0)), density(np.full(50, 0.5))
    # Both are divided by their most; at the end that is the heap and its mirror image, a step of 1 / 3.5 sigma away.
    assert at_the_end.sum() * (1 + np.exp(-0.5 / 3.5**2)) == pytest.approx(inside.sum(), rel=1e-3)
    assert at_the_end.argmax() == 100


def test_violins_show_quartiles_median_and_mean() -> None:
    values = np.linspace(0, 1, 101) ** 2
    drawing = violins("m", [Sample("1–9", values)], group=1, x_title="x", y_title="AUC", smallest=30)
    (box,) = shapes(drawing, "middle")
    heights = [float(one) for one in re.findall(r"V([\d.]+)", box.path)] + [points_of(box.path)[0][1]]
    ticks = {
        part.text: part.y - 4 for part in drawing.parts if isinstance(part, Text) and part.look == "tick"
    }

    def value(pixel: float) -> float:
        return (ticks["0"] - pixel) / (ticks["0"] - ticks["1"])

    low, high = sorted(value(one) for one in heights)
    assert (low, high) == pytest.approx((0.25**2, 0.75**2), abs=0.002)
    (median,) = [part for part in drawing.parts if isinstance(part, Line) and part.look == "median"]
    assert value(median.y1) == pytest.approx(0.25)
    (mean,) = shapes(drawing, "mean")
    assert mean.words == f"mean {values.mean():.4f}"
    assert "n = 101" in texts(drawing)


def test_few_users_are_drawn_one_by_one() -> None:
    drawing = violins(
        "m", [Sample("1", np.array([0.2, 0.9]))], group=0, x_title="x", y_title="y", smallest=30
    )
    assert len(shapes(drawing, "lone")) == 2
    assert not shapes(drawing, "violin")


def test_curves_mark_the_best_epoch() -> None:
    metric = [0.1, 0.4, 0.3]
    drawing = curves("bpr", [1, 2, 3], group=2, loss=[0.6, 0.4, 0.3], metric=metric, metric_name="nDCG@20")
    assert "best: 0.4000 in epoch 2" in texts(drawing)
    (curve,) = shapes(drawing, "curve")
    points = points_of(curve.path)
    assert min(points, key=lambda point: point[1]) == points[1]  # the highest on the page
    assert points[1][0] - points[0][0] == pytest.approx(points[2][0] - points[1][0], abs=0.11)


def test_a_training_that_was_not_watched_shows_its_loss() -> None:
    drawing = curves("m", [1], group=0, loss=[0.5], metric=None)
    assert not shapes(drawing, "curve")
    assert "training loss" in texts(drawing)
    assert not any(text.startswith("best") for text in texts(drawing))


def test_twelve_models_are_told_apart_without_colour() -> None:
    looks = {(outline(group, 0, 0), "hollow" in look_of(group)) for group in range(12)}
    assert len(looks) == 12


def test_long_labels_are_cut_to_their_room() -> None:
    cut = shortened("a very long name of an artist", 80)
    assert cut.endswith("…")
    assert text_width(cut) <= 80
    assert shortened("short", 80) == "short"


SLICING = Slicing(
    "artist",
    "artist",
    (
        Slice("Ana & <b>Bo</b>", 50, {"a": {"ndcg@20": estimate(0.2)}, "b": {"ndcg@20": estimate(0.1)}}),
        Slice("Cy", 4, {"a": {"ndcg@20": estimate(0.9)}, "b": {"ndcg@20": estimate(0.8)}}),
    ),
)


def all_figures() -> dict[str, object]:
    log = [{"epoch": n, "loss": 1 / n, "valid": 0.1 * n, "seconds": 1.0} for n in (1, 2, 3)]
    found = figures_of(
        {"a": report(0), "b": report(1)},
        slicings=[SLICING],
        seconds={"a": 0.0, "b": 12.5},
        popularity={"a": estimate(0.9), "b": estimate(0.4)},
        logs={"a": [], "b": log},
        valid_metrics={"b": "ndcg@20"},
    )
    return {one.name: one for one in found}


def test_a_run_has_a_plot_for_all_it_has_data_for() -> None:
    assert list(all_figures()) == ["slices", "history", "popularity", "cost", "training"]
    assert [one.name for one in figures_of({"a": report(0)})] == ["history"]


def test_the_data_behind_a_plot_are_what_was_drawn(tmp_path: Path) -> None:
    figures = all_figures()
    write_figures(tmp_path / "plots", list(figures.values()))  # type: ignore[arg-type]
    slices = pl.read_csv(tmp_path / "plots" / "slices.csv")
    assert slices.row(2, named=True) == {
        "slicing": "artist",
        "slice": "Cy",
        "n_users": 4,
        "too_small": True,
        "model": "a",
        "metric": "ndcg@20",
        "mean": 0.9,
        "low": pytest.approx(0.89),
        "high": pytest.approx(0.92),
    }
    history = pl.read_csv(tmp_path / "plots" / "history.csv")
    one = history.row(0, named=True)
    first, last = map(int, one["items in the history"].split("–"))
    of_a = report(0).per_user.filter(pl.col("n_history").is_between(first, last))["auc"]
    assert one["n_users"] == len(of_a)
    assert one["mean"] == pytest.approx(of_a.mean())
    assert one["median"] == pytest.approx(of_a.median())
    assert pl.read_csv(tmp_path / "plots" / "cost.csv")["seconds"].to_list() == [0.0, 12.5]
    assert pl.read_csv(tmp_path / "plots" / "training.csv")["epoch"].to_list() == [1, 2, 3]
    assert pl.read_csv(tmp_path / "plots" / "popularity.csv")["popularity percentile mean"].to_list() == [
        90,
        40,
    ]


def test_leads_say_what_the_intervals_are_over() -> None:
    reports = {"a": report(0), "b": report(1)}
    seconds = {"a": 1.0, "b": 2.0}

    def lead() -> str:
        return next(one.lead for one in figures_of(reports, seconds=seconds) if one.name == "cost")

    assert lead().endswith("intervals over users.")
    reports["a"] = replace(reports["a"], by_seed={0: report(0), 1: report(1)})
    assert lead().endswith("intervals over users and seeds.")
    assert "over users alone" in all_figures()["slices"].lead  # type: ignore[attr-defined]


def test_slices_that_are_too_small_have_no_dots() -> None:
    (panel,) = all_figures()["slices"].drawings  # type: ignore[attr-defined]
    assert [one.words.split(",")[0] for one in shapes(panel, "mark")] == ["Ana & <b>Bo</b>"] * 2
    assert "n = 4, too few to say" in texts(panel)


def test_files_of_plots_are_whole_and_keep_text_as_text(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "old.svg").write_text("of an earlier report")
    write_figures(tmp_path / "plots", list(all_figures().values()))  # type: ignore[arg-type]
    assert not (tmp_path / "plots" / "old.svg").exists()
    files = sorted((tmp_path / "plots").glob("*.svg"))
    assert len(files) == 5
    for file in files:
        root = ET.parse(file).getroot()  # well-formed, whatever the data set says
        width, height = float(root.get("width", "0")), float(root.get("height", "0"))
        assert [float(one) for one in root.get("viewBox", "").split()] == [0, 0, width, height]
        assert len(root.findall(".//{http://www.w3.org/2000/svg}text")) > 5
        for panel in root.findall("{http://www.w3.org/2000/svg}svg"):
            assert float(panel.get("x", "0")) + float(panel.get("width", "0")) <= width
            assert float(panel.get("y", "0")) + float(panel.get("height", "0")) <= height
        text = file.read_text(encoding="utf-8")
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "Ana &amp; &lt;b&gt;" in (tmp_path / "plots" / "slices.svg").read_text(encoding="utf-8")


def test_panels_hold_all_that_is_drawn_in_them() -> None:
    for figure in all_figures().values():
        for drawing in figure.drawings:  # type: ignore[attr-defined]
            for part in drawing.parts:
                if isinstance(part, Line):
                    ends = [(part.x1, part.y1), (part.x2, part.y2)]
                elif isinstance(part, Text):
                    ends = [(part.x, part.y)]
                else:
                    ends = points_of(part.path)[:1]
                for x, y in ends:
                    assert -1 <= x <= drawing.width + 1
                    assert -1 <= y <= drawing.height + 1
        assert "<svg" in to_svg(figure)  # type: ignore[arg-type]
