"""Other protocols and quick looks, from the command line to the page."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest


@pytest.fixture
def run(finished, tmp_path):
    """A copy, for its reports are written anew."""
    return shutil.copytree(finished, tmp_path / "run")


def _report(run):
    return json.loads((run / "report.json").read_text())


def test_a_report_holds_what_lists_are_like_and_what_could_not_be_measured(finished):
    report = _report(finished)
    shown = report["models"]["visrank"]
    assert {"novelty@20", "popularity_bias@20", "visual_diversity@20", "visual_distance@20"} <= shown[
        "beyond"
    ].keys()
    assert {"coverage@20", "gini@20"} <= shown["system"].keys()
    assert shown["lens"]["extractor"] == "color"
    table = pl.read_parquet(finished / "per_user.parquet").filter(pl.col("model") == "visrank")
    assert table["novelty@20"].mean() == pytest.approx(shown["beyond"]["novelty@20"]["mean"])
    # A popular list is less novel than a random one, and the same for everyone, hence of few items.
    popular, chance = (report["models"][name] for name in ("popularity", "random"))
    assert popular["beyond"]["novelty@20"]["mean"] < chance["beyond"]["novelty@20"]["mean"]
    assert popular["system"]["gini@20"] > chance["system"]["gini@20"]


def test_the_tutorials_numbers_are_loudly_labelled_everywhere(run, here):
    before = _report(run)["models"]["bpr"]["metrics"]["auc"]["mean"]
    done = here("evaluate", run, "--protocol", "tutorial")
    warning = "with its errors, to be set beside old tables and nothing else"
    assert warning in " ".join(done.stdout.split())
    assert warning in " ".join((run / "report.html").read_text().split())
    assert warning in here("evaluate", run, "--protocol", "tutorial", "--format", "md").stdout
    assert warning in here("compare", run, "--format", "md").stdout
    report = _report(run)
    protocol = report["provenance"]["protocol"]
    assert protocol["name"] == "tutorial"
    assert warning in protocol["warning"]
    assert report["models"]["bpr"]["metrics"]["auc"]["mean"] != before
    # The experiment says what it always said: without the option the numbers are the old ones again.
    here("evaluate", run)
    assert _report(run)["models"]["bpr"]["metrics"]["auc"]["mean"] == before


def test_a_quick_look_says_so_and_has_wider_intervals(run, here):
    def width():
        auc = _report(run)["models"]["vbpr"]["metrics"]["auc"]
        return auc["high"] - auc["low"]

    wide = width()
    done = here("evaluate", run, "--users", "8")
    n = _report(run)["provenance"]["protocol"]["left_out"]["drawn_from_users"]
    assert f"A quick look: 8 of {n} users" in " ".join(done.stdout.split())
    assert {model["n_users"] for model in _report(run)["models"].values()} == {8}
    assert width() > 1.3 * wide


def test_a_run_keeps_its_protocol_and_evaluates_again_where_it_changes(shop, tmp_path, here):
    out = tmp_path / "run"
    words = ("run", shop, "--models", "popularity", "--out", out)
    here(*words, "--protocol", "temporal")
    assert _report(out)["provenance"]["protocol"]["name"] == "temporal"
    assert 'name = "temporal"' in (out / "experiment.toml").read_text()
    here(*words)
    assert _report(out)["provenance"]["protocol"]["name"] == "temporal"  # what is not named stays
    here(*words, "--protocol", "full")
    assert _report(out)["provenance"]["protocol"]["name"] == "full"


def test_settings_of_a_protocol_stand_in_the_experiment(shop, tmp_path, here):
    file = tmp_path / "e.toml"
    file.write_text(
        '[evaluation]\ncutoffs = [5]\nprotocol = { name = "sampled", negatives = 7, targets = "basket" }\n'
        "[models.popularity]\n"
    )
    here("run", file, "--data", shop, "--out", tmp_path / "run")
    protocol = _report(tmp_path / "run")["provenance"]["protocol"]
    assert protocol["settings"] == {
        "name": "sampled", "negatives": 7, "targets": "basket", "one_of_a_kind": False, "users": None
    }  # fmt: skip
    table = pl.read_parquet(tmp_path / "run" / "per_user.parquet")
    assert (table["n_candidates"] == table["n_relevant"] + 7).all()


def test_an_unknown_protocol_is_refused_with_those_there_are(run, here):
    done = here("evaluate", run, "--protocol", "fast", status=2)
    assert "'full', 'tutorial', 'sampled' or 'temporal'" in done.stderr
