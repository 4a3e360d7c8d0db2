"""The leaderboard: which columns, which cells are the best, and how it looks on a terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from visrec.errors import ConfigError
from visrec.evaluation.leaderboard import LEVEL_MARK, Leaderboard, leaderboard
from visrec.evaluation.protocol import Report
from visrec.evaluation.significance import Estimate

AT_K = ("ndcg", "recall", "precision", "hit", "map", "rr")


def report(
    values: Mapping[str, float], *, new_auc: float | None = None, cutoffs: tuple[int, ...] = (20, 100)
) -> Report:
    """A report whose metrics are .5 ± .01, but for some."""
    names = ["auc", "rr", *(f"{name}@{k}" for k in cutoffs for name in AT_K)]
    means = {name: values.get(name, 0.5) for name in names}
    metrics = {name: Estimate(mean, mean - 0.01, mean + 0.01) for name, mean in means.items()}
    new_items = {} if new_auc is None else {"auc": Estimate(new_auc, new_auc - 0.1, new_auc + 0.1)}
    return Report("Model", metrics, pl.DataFrame(), new_items, {"cutoffs": list(cutoffs)})


def best(board: Leaderboard, key: str) -> list[str]:
    place = [column.key for column in board.columns].index(key)
    return [row.name for row in board.rows if row.is_best[place]]


def on_terminal(board: Leaderboard, width: int = 100) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width).print(board.to_rich())
    return file.getvalue().splitlines()


def test_columns_follow_the_cutoffs_of_the_reports() -> None:
    board = leaderboard({"bpr": report({}, cutoffs=(5, 50, 500))})
    assert [column.key for column in board.columns] == [
        "auc", "rr", "ndcg@5", "recall@5", "precision@5", "hit@5", "ndcg@50", "recall@50",
    ]  # fmt: skip


def test_new_items_column_is_there_when_any_report_has_it() -> None:
    board = leaderboard({"bpr": report({}), "vbpr": report({}, new_auc=0.7)})
    assert board.columns[-1].heading == "new items AUC"
    assert board.rows[0].cells[-1] is None
    assert board.rows[1].cells[-1] == Estimate(0.7, 0.7 - 0.1, 0.7 + 0.1)
    assert leaderboard({"bpr": report({})}).columns[-1].key == "recall@100"


def test_best_is_the_largest_mean() -> None:
    board = leaderboard({"bpr": report({"auc": 0.7}), "vbpr": report({"auc": 0.8})})
    assert best(board, "auc") == ["vbpr"]


def test_means_that_are_displayed_alike_are_best_together() -> None:
    reports = {name: report({"auc": auc}) for name, auc in [("a", 0.80001), ("b", 0.80004), ("c", 0.7999)]}
    assert best(leaderboard(reports), "auc") == ["a", "b"]


def test_a_single_model_is_the_best_of_nothing() -> None:
    assert not any(leaderboard({"bpr": report({})}).rows[0].is_best)


def test_chosen_columns_may_be_any_metric_of_the_reports() -> None:
    board = leaderboard({"bpr": report({}, new_auc=0.6)}, columns=["map@20", "new_items:auc"])
    assert [column.heading for column in board.columns] == ["MAP@20", "new items AUC"]


def test_a_column_that_no_report_has_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'ndcg@7'.*ndcg@20"):
        leaderboard({"bpr": report({})}, columns=["ndcg@7"])


def test_no_report_is_refused() -> None:
    with pytest.raises(ConfigError, match="no reports"):
        leaderboard({})


def test_table_fits_a_hundred_columns_with_every_number_whole() -> None:
    names = ["popularity", "visrank-maxsim-resnet50", "vbpr"]
    reports = {name: report({"auc": 0.9}, new_auc=0.5) for name in names}
    lines = on_terminal(leaderboard(reports, seconds=dict.fromkeys(names, 1234.56)))
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    # Nine columns of three tied models, each mean with its mark; ± under AUC and nDCG@20 alone.
    assert text.count("0.9000*") == 3
    assert text.count("0.5000*") == 3 * 8
    assert text.count("±0.0100") == 3 * 2
    assert text.count("1234.6") == 3
    assert "…" not in text


def paired_reports(n_users: int = 200) -> dict[str, Report]:
    """Of the best model, of one that is hardly worse, and of one that is much worse; AUC alone, by user."""
    rng = np.random.default_rng(0)
    best = rng.random(n_users)
    columns = {"best": best, "close": best + rng.normal(0, 0.1, n_users) - 0.001, "far": best - 0.2}
    reports = {}
    for name, values in columns.items():
        made = report({"auc": float(values.mean())})
        rows = pl.DataFrame({"user_id": range(n_users), "auc": values})
        reports[name] = replace(made, per_user=rows)
    return reports


def test_what_users_do_not_tell_from_the_best_is_marked_as_its_equal() -> None:
    board = leaderboard(paired_reports())
    assert board.tested == ("auc",)
    place = [column.key for column in board.columns].index("auc")
    assert [row.is_best[place] for row in board.rows] == [True, False, False]
    assert [row.is_level[place] for row in board.rows] == [False, True, False]
    assert any(line.startswith("close") and f"{LEVEL_MARK} " in line for line in on_terminal(board))
    assert LEVEL_MARK in board.legend


def test_nothing_is_tested_where_reports_are_not_of_the_same_users() -> None:
    reports = paired_reports()
    reports["far"] = replace(reports["far"], per_user=reports["far"].per_user.head(50))
    board = leaderboard(reports)
    assert board.tested == ()
    assert LEVEL_MARK not in board.legend


def test_the_spread_of_seeds_stands_below_the_mean() -> None:
    seeds = {seed: report({"auc": mean}) for seed, mean in enumerate((0.6, 0.7, 0.8))}
    board = leaderboard({"a": replace(report({"auc": 0.7}), by_seed=seeds), "b": report({"auc": 0.2})})
    first, second = board.to_dicts()
    assert first["auc"]["sd"] == pytest.approx(0.1)
    assert "sd" not in second["auc"]
    assert any("σ0.1000" in line for line in on_terminal(board))


def test_best_is_marked_without_colour() -> None:
    lines = on_terminal(leaderboard({"bpr": report({"auc": 0.7}), "vbpr": report({"auc": 0.8})}))
    assert any(line.startswith("vbpr") and "0.8000*" in line for line in lines)
    assert any(line.startswith("bpr") and "0.7000 " in line for line in lines)


def test_missing_seconds_leave_a_dash() -> None:
    lines = on_terminal(leaderboard({"a": report({}), "b": report({})}, seconds={"b": 2.0}))
    assert next(line for line in lines if line.startswith("a ")).rstrip().endswith("-")
    assert next(line for line in lines if line.startswith("b ")).rstrip().endswith("2.0")


def test_names_are_not_read_as_markup() -> None:
    assert any("[red]" in line for line in on_terminal(leaderboard({"[red]": report({})})))


def test_dicts_are_json() -> None:
    board = leaderboard({"a": report({"auc": 0.6}), "b": report({}, new_auc=0.7)}, seconds={"a": 1.0})
    first, second = json.loads(json.dumps(board.to_dicts()))
    assert first["model"] == "a"
    assert first["auc"] == {"mean": 0.6, "low": 0.59, "high": 0.61, "best": True, "level": False}
    assert first["new_items:auc"] is None
    assert first["seconds"] == 1.0
    assert "seconds" not in second
