"""Signs behind the numbers: what can be told from the best, what cannot, and signs that another test gives."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from visrec.evaluation.leaderboard import leaderboard
from visrec.evaluation.marks import Mark, Marks, level_marks
from visrec.evaluation.page import render_page
from visrec.evaluation.popularity import mean_popularity, popularity_percentiles
from visrec.evaluation.protocol import Report
from visrec.evaluation.significance import bootstrap

KEYS = ("rr", "ndcg@20", "recall@20", "precision@20", "hit@20")


def reports(**values: np.ndarray) -> dict[str, Report]:
    return {
        name: Report(
            name,
            {"auc": bootstrap(column)},
            pl.DataFrame(
                {"user_id": [f"u{row}" for row in range(len(column))], "n_history": 3, "auc": column}
            ),
            {},
            {"cutoffs": [20], "n_items": 9},
        )
        for name, column in values.items()
    }


def some(n: int = 200) -> dict[str, Report]:
    rng = np.random.default_rng(0)
    best = rng.random(n)
    # "near" is off by noise alone; "apart" is lower by little, but for everyone; intervals of all three overlap.
    return reports(best=best, near=best - rng.normal(0.001, 0.1, n), apart=best - 0.02)


def test_what_is_lower_for_everyone_is_told_from_the_best_though_intervals_overlap() -> None:
    found = some()
    board = leaderboard(found, columns=["auc"])
    low, high = found["best"].metrics["auc"].low, found["apart"].metrics["auc"].high
    assert low < high
    best = max(found, key=lambda name: found[name]["auc"])
    marks = level_marks(found, board)
    level = {"best", "near"} - {best}
    assert set(marks.signs["auc"]) == level
    assert "reaches 0" in marks.note


def test_a_model_alone_is_compared_with_nothing() -> None:
    alone = reports(a=np.array([0.1, 0.2]))
    assert level_marks(alone, leaderboard(alone, columns=["auc"])) == Marks()


def test_users_are_paired_by_their_id_not_by_their_row() -> None:
    found = some()
    shuffled = found["apart"].per_user.sample(fraction=1, shuffle=True, seed=1)
    found["apart"] = Report("apart", found["apart"].metrics, shuffled, {}, found["apart"].protocol)
    marks = level_marks(found, leaderboard(found, columns=["auc"]))
    assert "apart" not in marks.signs["auc"]


def test_the_page_shows_signs_that_it_is_given() -> None:
    marks = Marks({"auc": {"apart": Mark("†", "worse, p < .01")}}, "† worse than the best, by some test.")
    found = some()
    for name, one in found.items():  # a page has more columns
        metrics = one.metrics | dict.fromkeys(KEYS, one.metrics["auc"])
        found[name] = Report(name, metrics, one.per_user, {}, one.protocol)
    html = render_page(title="t", reports=found, marks=marks)
    assert html.count("†") == 2  # in the cell and below the table
    assert "worse, p &lt; .01" in html
    assert "≈" not in html


def test_popularity_percentiles_average_to_a_half_and_ties_share_theirs() -> None:
    assert popularity_percentiles(np.array([5, 0, 0, 9])).tolist() == [0.625, 0.25, 0.25, 0.875]
    assert popularity_percentiles(np.random.default_rng(0).integers(0, 5, 101)).mean() == pytest.approx(0.5)


def test_lists_of_popular_items_have_high_percentiles() -> None:
    counts = np.array([5, 0, 0, 9])
    found = mean_popularity([[3, 0], [1], []], counts)
    np.testing.assert_array_equal(found, [0.75, 0.25, np.nan])
