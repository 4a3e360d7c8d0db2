"""Extractors side by side: what the table says is what the reports say."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from visrec.errors import ConfigError, RunError
from visrec.evaluation.protocol import Report
from visrec.evaluation.significance import Estimate, bootstrap
from visrec.evaluation.transfer import Comparison, FeatureFacts, compare

KEYS = ["recall@20", "precision@20", "rr@20", "ndcg@20"]


def report(ndcg: Sequence[float], *, name: str = "VisRank", users: Sequence[str] | None = None) -> Report:
    """A report whose every metric is, user by user, a multiple of one."""
    values = np.array(ndcg, dtype=float)
    per_user = {key: values / (place + 1) for place, key in enumerate(reversed(KEYS))}
    ids = users or [f"u{row}" for row in range(len(values))]
    metrics = {key: bootstrap(column) for key, column in per_user.items()}
    return Report(name, metrics, pl.DataFrame({"user_id": ids, **per_user}), {}, {"cutoffs": [20]})


def facts(name: str, top1: float | None = None, **more: Any) -> FeatureFacts:
    kind = None if top1 is None else "supervised"
    return FeatureFacts(name, "default", **{"dim": 8, "bytes": 1000, "top1": top1, "top1_kind": kind, **more})


rng = np.random.default_rng(0)
NOISE = rng.random(200) * 0.3
GOOD, LEVEL, BAD = report(NOISE + 0.2), report(NOISE + 0.2 + rng.normal(size=200) / 50 - 5e-4), report(NOISE)
CHANCE = report(NOISE / 50, name="Random")


@pytest.fixture
def comparison() -> Comparison:
    return compare(
        [
            (facts("bad", 70.0, top5=90.0), {"visrank": BAD, "vbpr": GOOD}),
            (facts("good", 60.0, images_per_second=12.5), {"visrank": GOOD}),
            (facts("level"), {"visrank": LEVEL, "vbpr": BAD}),
        ],
        CHANCE,
    )


def test_rows_stand_by_model_and_the_best_first(comparison):
    found = [(row.model, row.extractor) for row in comparison.rows]
    order = ["good", "level"] if GOOD["ndcg@20"] >= LEVEL["ndcg@20"] else ["level", "good"]
    assert found == [
        ("visrank", order[0]), ("visrank", order[1]), ("visrank", "bad"), ("vbpr", "bad"), ("vbpr", "level")
    ]  # fmt: skip
    assert comparison.baseline.model == "Random"
    assert comparison.models == ["visrank", "vbpr"]
    assert [one.extractor for one in comparison.features] == [*order, "bad"]


def test_what_cannot_be_told_from_the_best_is_marked_and_what_can_is_not(comparison):
    first, second, third = comparison.of("visrank")
    assert first.behind is None
    assert second.is_level
    assert not third.is_level
    assert third.behind.mean == pytest.approx(first.metrics["ndcg@20"].mean - third.metrics["ndcg@20"].mean)
    # The difference is the same for all users but noise: its interval is much narrower than theirs.
    assert third.behind.high - third.behind.low < third.metrics["ndcg@20"].high - third.metrics["ndcg@20"].low


def test_a_row_that_differs_from_the_best_for_nobody_is_level_with_it():
    found = compare([(facts("a"), {"m": GOOD}), (facts("b"), {"m": GOOD})])
    assert [row.is_level for row in found.rows] == [False, True]
    assert [row.is_best["ndcg@20"] for row in found.rows] == [True, True]  # they read the same


def test_the_best_of_one_says_nothing():
    found = compare([(facts("a"), {"m": GOOD})])
    assert not any(found.rows[0].is_best.values())


def test_every_number_of_the_csv_is_the_reports(comparison):
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    assert [(row["extractor"], row["model"]) for row in rows][-1] == ("", "Random")
    given = {("bad", "visrank"): BAD, ("bad", "vbpr"): GOOD, ("good", "visrank"): GOOD}
    given |= {("level", "visrank"): LEVEL, ("level", "vbpr"): BAD, ("", "Random"): CHANCE}
    assert len(rows) == len(given)
    for row in rows:
        for key in KEYS:
            found = Estimate(float(row[key]), float(row[f"{key}_low"]), float(row[f"{key}_high"]))
            assert found == given[row["extractor"], row["model"]].estimate(key)
    (row,) = [row for row in rows if row["extractor"] == "good"]
    assert (row["top1"], row["top5"], row["images_per_second"], row["dim"]) == ("60.0", "", "12.5", "8")
    assert {row["top1"] for row in rows if row["extractor"] in ("", "level")} == {""}


def test_json_has_the_same_rows_and_can_be_written(comparison):
    content = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    assert content["rows"] == comparison.to_dicts()
    assert content["n_users"] == 200
    assert "Too few" in content["correlations"]["visrank"]["meaning"]


def test_the_correlation_is_over_the_networks_with_a_known_top1():
    reports = [report(NOISE + step / 10) for step in range(6)]
    found = compare([(facts(f"n{step}", 60.0 + step), {"m": one}) for step, one in enumerate(reports)])
    assert (found.correlations["m"].n, found.correlations["m"].rho) == (6, pytest.approx(1))
    assert "A higher ImageNet top-1 goes with a higher nDCG@20" in found.sentence("m")
    none = compare([(facts(f"n{step}"), {"m": one}) for step, one in enumerate(reports)])
    assert none.correlations["m"].n == 0
    assert "Too few networks to say: 0" in none.sentence("m")


def test_accuracies_of_another_kind_are_marked_and_not_correlated():
    reports = [report(NOISE + step / 10) for step in range(7)]
    kinds = ["supervised"] * 5 + ["linear probe", "zero-shot"]
    tops = [60.0, 61, 62, 63, 64, 50, 51]  # the last two would spoil the order
    entries = [
        (facts(f"n{step}", tops[step], top1_kind=kind), {"m": one})
        for step, (kind, one) in enumerate(zip(kinds, reports, strict=True))
    ]
    found = compare(entries)
    assert (found.correlations["m"].n, found.correlations["m"].rho) == (5, pytest.approx(1))
    assert "Left out: 2 whose top-1 is by linear probe or zero-shot" in found.sentence("m")
    assert "Left out" not in compare(entries[:5]).sentence("m")
    rows = {row["extractor"]: row["top1_kind"] for row in found.to_dicts()}
    assert [rows[f"n{step}"] for step in range(7)] == kinds
    assert found.to_csv().splitlines()[0].count("top1_kind") == 1
    console = Console(width=100, file=io.StringIO())
    console.print(found.to_rich())
    text = console.file.getvalue()
    for shown in ("50.0†", "51.0‡", "60.0 ", "† linear probe", "‡ zero-shot"):
        assert shown in text
    console.print(compare(entries[:5]).to_rich())
    assert console.file.getvalue().removeprefix(text).count("†") == 0


def test_the_terminal_table_marks_best_and_level(comparison):
    console = Console(width=100, file=io.StringIO())
    console.print(comparison.to_rich())
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    assert f"{comparison.of('visrank')[0].metrics['ndcg@20'].mean:.4f}*" in text
    assert f"{comparison.of('visrank')[1].metrics['ndcg@20'].mean:.4f}≈" in text
    for row in comparison.rows:
        for key in KEYS:
            half = (row.metrics[key].high - row.metrics[key].low) / 2
            assert f"±{half:.4f}" in text
    assert "70.0" in text
    assert "random" in text.lower()


def test_reports_of_other_users_are_not_compared():
    other = report([0.1, 0.2], users=["x", "y"])
    with pytest.raises(RunError, match="same users"):
        compare([(facts("a"), {"m": report([0.1, 0.2])}), (facts("b"), {"m": other})])
    with pytest.raises(RunError, match="same users"):
        compare([(facts("a"), {"m": report([0.1, 0.2])})], other)


def test_nothing_to_compare_is_refused():
    with pytest.raises(ConfigError, match="no reports"):
        compare([], CHANCE)
