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
    marks = level_marks(board)
    level = {"best", "near"} - {best}
    assert set(marks.signs["auc"]) == level
    assert "paired randomisation test" in marks.note
    assert marks.note.removeprefix("≈ ") in board.legend  # the page and the terminal say the same


def test_a_model_alone_is_compared_with_nothing() -> None:
    alone = reports(a=np.array([0.1, 0.2]))
    assert level_marks(leaderboard(alone, columns=["auc"])) == Marks()


def test_models_of_other_users_are_not_told_apart_by_a_paired_test() -> None:
    found = some()
    fewer = found["apart"].per_user.head(50)
    found["apart"] = Report("apart", found["apart"].metrics, fewer, {}, found["apart"].protocol)
    assert level_marks(leaderboard(found, columns=["auc"])) == Marks()


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
