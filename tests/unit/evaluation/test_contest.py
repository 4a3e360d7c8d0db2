"""Models against a baseline: the numbers of each row, and each way of writing them down."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import polars as pl
import pytest

from visrec.errors import ConfigError, RunError
from visrec.evaluation.contest import contest
from visrec.evaluation.paired import compare_paired, holm
from visrec.evaluation.protocol import Report
from visrec.evaluation.seeds import over_seeds
from visrec.evaluation.significance import bootstrap

METRICS = ("auc", "ndcg@5")


def report(name: str, **columns: np.ndarray) -> Report:
    values = {key.replace("_", "@"): column for key, column in columns.items()}
    per_user = pl.DataFrame({"user_id": [f"u{n}" for n in range(len(columns["auc"]))], **values})
    metrics = {key: bootstrap(column) for key, column in values.items()}
    return Report(name, metrics, per_user, {}, {"cutoffs": [5]})


@pytest.fixture
def reports() -> dict[str, Report]:
    rng = np.random.default_rng(0)
    base = rng.random(120)
    seeds = {
        seed: report("b", auc=base - 0.3 + 0.01 * seed, ndcg_5=base / 2 + rng.normal(0, 0.01, 120))
        for seed in (3, 4)
    }
    return {
        "a": report("a", auc=base, ndcg_5=base),
        "b": over_seeds(seeds),
        "c": report("c", auc=base + rng.normal(0, 0.1, 120) - 0.01, ndcg_5=base * 0.99),
    }


def test_each_row_is_the_paired_comparison_with_the_best(reports):
    found = contest(reports)
    assert found.metrics == ["ndcg@5", "auc"]
    assert found.baseline == "a"
    row = next(row for row in found.to_dicts() if row["model"] == "c" and row["metric"] == "auc")
    one, other = (reports[name].per_user["auc"].to_numpy() for name in ("c", "a"))
    (pair,) = compare_paired([one], other)
    assert row["difference"] == pytest.approx(one.mean() - other.mean())
    assert (row["difference_low"], row["difference_high"]) == (pair.difference.low, pair.difference.high)
    assert row["p_wilcoxon"] == pair.p_wilcoxon
    assert row["better"] == pytest.approx(np.mean(one > other))
    baseline = next(row for row in found.to_dicts() if row["model"] == "a")
    assert baseline["difference"] is None
    assert baseline["significant"] is None


def test_the_correction_is_for_all_comparisons_of_the_table(reports):
    rows = [row for row in contest(reports).to_dicts() if row["p"] is not None]
    assert len(rows) == 4  # two models, two metrics
    assert [row["p_holm"] for row in rows] == pytest.approx(holm([row["p"] for row in rows]))
    alone = contest(reports, metrics=["auc"])
    assert [row["p_holm"] for row in alone.to_dicts() if row["p"] is not None] != [
        row["p_holm"] for row in rows if row["metric"] == "auc"
    ]


def test_models_with_seeds_show_how_many_and_how_they_differ(reports):
    row = next(row for row in contest(reports).to_dicts() if row["model"] == "b" and row["metric"] == "auc")
    means = [one["auc"] for one in reports["b"].by_seed.values()]
    assert row["seeds"] == 2
    assert row["seeds_sd"] == pytest.approx(np.std(means, ddof=1))
    assert (row["seeds_min"], row["seeds_max"]) == (min(means), max(means))


def test_a_named_baseline_is_what_others_are_compared_with(reports):
    found = contest(reports, metrics=["auc"], baseline="b")
    better = {row["model"]: row for row in found.to_dicts()}
    assert better["a"]["difference"] > 0.2
    assert better["a"]["significant"]
    assert better["b"]["p"] is None


def test_csv_and_json_hold_the_same_rows_in_full(reports):
    found = contest(reports)
    rows = found.to_dicts()
    content = json.loads(found.to_json())
    assert content["rows"] == rows
    assert content["baseline"] == "a"
    read = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [row["model"] for row in read] == [row["model"] for row in rows]
    assert float(read[1]["p_holm"]) == rows[1]["p_holm"]
    assert read[0]["p_holm"] == ""


def test_markdown_has_one_row_a_model_and_as_many_cells_in_each(reports):
    lines = [
        line for line in contest(reports, metrics=["auc"]).to_markdown().splitlines() if line.startswith("|")
    ]
    assert len(lines) == 2 + 3
    assert {line.count("|") for line in lines} == {12}
    assert "**" in lines[2]
    assert "baseline" in lines[2]


def test_latex_writes_its_own_signs_out(reports):
    text = contest({"item_knn": reports["a"], "b": reports["b"]}, metrics=["auc"]).to_latex()
    assert r"item\_knn" in text
    assert r"$\sigma$" in text
    assert r"\%/" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count(" & ") for line in rows} == {10}


def test_what_the_protocol_warns_of_stands_once_and_before_the_other_notes(reports):
    for one in reports.values():
        one.protocol.update(warning="Sampled: 100% too_high.", cautions=["Few users."])
    found = contest(reports, metrics=["auc"])
    assert found.notes[:2] == ["Sampled: 100% too_high.", "Few users."]
    assert found.notes.count("Few users.") == 1
    assert json.loads(found.to_json())["notes"] == found.notes
    assert "\n\nSampled: 100% too_high.\n\nFew users.\n\n" in found.to_markdown()
    assert found.to_latex().startswith("% Sampled: 100\\% too\\_high.\n% Few users.\n")


def test_what_cannot_be_compared_is_refused_with_what_there_is(reports):
    with pytest.raises(ConfigError, match="two models"):
        contest({"a": reports["a"]})
    with pytest.raises(ConfigError, match=r"no 'map@5' .* auc, ndcg@5"):
        contest(reports, metrics=["map@5"])
    with pytest.raises(ConfigError, match=r"no model 'z'.* a, b, c"):
        contest(reports, baseline="z")
    fewer = report("d", auc=np.ones(3), ndcg_5=np.ones(3))
    with pytest.raises(RunError, match="same users"):
        contest({"a": reports["a"], "d": fewer})
