from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from visrec import tuning
from visrec.data.datasets.synthetic import SyntheticConfig, write_synthetic
from visrec.data.splits import Split
from visrec.errors import ConfigError, DataError, DivergedError, RunError
from visrec.evaluation.protocol import mean_metric
from visrec.experiment import Experiment
from visrec.models.bpr import BPR
from visrec.space import Choice, IntRange, LogRange
from visrec.tuning import tune


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tuning") / "data"
    write_synthetic(folder, SyntheticConfig(n_items=60, n_users=30, seed=0))
    return folder


def experiment(data: Path, models: dict | None = None, **settings) -> Experiment:
    given = {"epochs": 3, "dim_gamma": 4, "batch_size": 256}
    return Experiment(data={"path": str(data), **settings}, models=models or {"bpr": given})


def settings_of(found) -> list[dict]:
    return found.trials.drop("seconds").to_dicts()


def test_the_best_trial_is_the_one_whose_settings_are_written(data, tmp_path):
    found = tune(experiment(data), "bpr", tmp_path / "out", trials=4)
    assert found.trials.columns == ["trial", "value", "seconds", "reg", "learning_rate"]
    values = found.trials["value"].to_list()
    assert values == sorted(values, reverse=True)
    assert found.trials.height == 4
    best = Experiment.from_toml(tmp_path / "out" / "best.toml")
    assert best == found.best
    assert best.build("bpr").config.epochs == 3  # what was given stays
    if found.trials["trial"][0] != 0:
        assert best.build("bpr").config.reg == found.trials["reg"][0]
    saved = pl.read_csv(tmp_path / "out" / "trials.csv")
    assert saved["value"].to_list() == pytest.approx(values)


def test_each_value_is_the_metric_on_the_validation_part(data, tmp_path):
    found = tune(experiment(data), "bpr", tmp_path / "out", trials=2, metric="auc")
    split = found.best.split(tuning.load_data(found.best))
    model = found.best.build("bpr").fit(split.train, valid=split.valid)
    assert found.trials["value"][0] == pytest.approx(mean_metric(model, split, "auc", part="valid"), abs=1e-9)


def test_the_test_part_plays_no_role(data, tmp_path, monkeypatch):
    plain = tune(experiment(data), "bpr", tmp_path / "plain", trials=3)
    split_as_it_is = Experiment.split

    def without_test(self, given):
        found = split_as_it_is(self, given)
        nothing = found.test.where(np.zeros(len(found.test), dtype=bool))
        return Split(found.train, found.valid, nothing)

    monkeypatch.setattr(Experiment, "split", without_test)
    blind = tune(experiment(data), "bpr", tmp_path / "blind", trials=3)
    assert settings_of(blind) == settings_of(plain)


def test_an_interrupted_search_goes_on_to_the_same_trials(data, tmp_path, monkeypatch):
    whole = tune(experiment(data), "bpr", tmp_path / "whole", trials=5)
    fit, calls = BPR.fit, []

    def once_interrupted(self, *args, **settings):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fit(self, *args, **settings)

    monkeypatch.setattr(BPR, "fit", once_interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune(experiment(data), "bpr", tmp_path / "out", trials=5)
    assert pl.read_csv(tmp_path / "out" / "trials.csv").height == 2
    assert settings_of(tune(experiment(data), "bpr", tmp_path / "out", trials=5)) == settings_of(whole)
    n_before = len(calls)
    more = tune(experiment(data), "bpr", tmp_path / "out", trials=6)
    assert len(calls) == n_before + 1
    first = [row for row in settings_of(more) if row["trial"] < 5]
    assert first == settings_of(whole)


def test_a_trial_that_diverges_costs_only_itself(data, tmp_path, monkeypatch):
    fit, calls = BPR.fit, []

    def once_diverged(self, *args, **settings):
        calls.append(1)
        if len(calls) == 1:
            raise DivergedError("far too fast")
        return fit(self, *args, **settings)

    monkeypatch.setattr(BPR, "fit", once_diverged)
    found = tune(experiment(data), "bpr", tmp_path / "out", trials=3)
    assert found.trials.filter(trial=0)["value"].to_list() == [None]
    assert found.trials["trial"][-1] == 0


def test_a_search_without_any_result_says_why(data, tmp_path, monkeypatch):
    def diverge(self, *args, **settings):
        raise DivergedError("far too fast")

    monkeypatch.setattr(BPR, "fit", diverge)
    with pytest.raises(DivergedError, match=r"No trial of 'bpr' gave a result.*far too fast"):
        tune(experiment(data), "bpr", tmp_path / "out", trials=2)


def test_what_cannot_be_searched_is_refused_before_anything_is_written(data, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="nothing to search"):
        tune(experiment(data, {"popularity": {}}), "popularity", out)
    with pytest.raises(ConfigError, match="metric is 'beauty'; expected one of auc"):
        tune(experiment(data), "bpr", out, metric="beauty")
    with pytest.raises(DataError, match="validation part is empty"):
        tune(experiment(data, split="by_ratio", test_share=0.2, valid_share=0.0), "bpr", out)


def test_a_folder_of_something_else_is_refused(data, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty and not a search"):
        tune(experiment(data), "bpr", tmp_path / "full", trials=1)
    tune(experiment(data), "bpr", tmp_path / "out", trials=1)
    with pytest.raises(RunError, match="another model, metric"):
        tune(experiment(data), "bpr", tmp_path / "out", trials=1, metric="auc")


def test_every_declared_range_is_of_a_setting_and_holds_valid_values():
    from visrec import registry

    for name in registry.names("models"):
        config = registry.resolve("models", name).Config
        for key, one in config.space.items():
            values = one.values if isinstance(one, Choice) else (one.low, one.high)
            assert isinstance(one, Choice | IntRange | LogRange)
            for value in values:
                assert getattr(config(**{key: value}), key) == value


def test_a_search_does_not_go_on_with_data_that_have_changed(data, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    tune(experiment(folder), "bpr", tmp_path / "out", trials=1)
    rows = pl.read_csv(folder / "interactions.csv", infer_schema=False)
    rows.tail(rows.height * 3 // 4).write_csv(folder / "interactions.csv")
    with pytest.raises(RunError, match="data or pictures that have changed"):
        tune(experiment(folder), "bpr", tmp_path / "out", trials=2)
