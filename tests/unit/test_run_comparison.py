"""Runs with several seeds, and models of several runs side by side."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from visrec import registry
from visrec.data.dataset import load_dataset
from visrec.data.datasets.synthetic import SyntheticConfig, write_synthetic
from visrec.errors import ConfigError, RunError
from visrec.experiment import Experiment
from visrec.models.bpr import BPR
from visrec.run_comparison import compare
from visrec.run_folder import Run
from visrec.run_report import evaluate_run
from visrec.runs import run

BPR_SETTINGS = {"epochs": 2, "dim_gamma": 4, "batch_size": 256}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("seeds") / "data"
    write_synthetic(folder, SyntheticConfig(n_items=60, n_users=30, seed=0))
    return folder


def experiment(data: Path, *names: str, **settings) -> Experiment:
    models = {name: BPR_SETTINGS if name == "bpr" else {} for name in names or ("popularity", "bpr")}
    return Experiment(data={"path": str(data)}, models=models, **settings)


@pytest.fixture(scope="module")
def seeded(data, tmp_path_factory) -> Run:
    """A run of three seeds, from 5."""
    return run(experiment(data, seeds=3, seed=5), tmp_path_factory.mktemp("runs") / "seeded")


def stored(found: Run) -> dict:
    return json.loads((found.path / "report.json").read_text())


def test_only_what_depends_on_a_seed_is_trained_with_several(seeded):
    names = {path.name for path in (seeded.path / "models").iterdir()}
    assert names == {"popularity", "bpr", "bpr@6", "bpr@7"}
    digests = [seeded.model("bpr", seed=seed).digest for seed in (5, 6, 7)]
    assert len(set(digests)) == 3
    assert seeded.model("bpr").digest == digests[0]


@pytest.mark.parametrize("name", registry.names("models"))
def test_a_model_has_a_seed_exactly_if_it_learns_by_chance_or_is_chance(data, name):
    cls = registry.resolve("models", name)
    by_chance = cls.learns in ("pairs", "least squares") or name == "random"
    seeds = Experiment(data={"path": str(data)}, models={name: {}}, seeds=2, seed=3).seeds_of(name)
    assert seeds == ([3, 4] if by_chance else [None])


def test_reading_is_a_stage_of_a_run_and_is_done_once(data, tmp_path, monkeypatch):
    titles, words, folders = [], [], []

    @contextmanager
    def stage(title):
        titles.append(title)
        yield (lambda *word: words.append(word)) if title.startswith("reading") else None

    def counted(folder, **settings):
        folders.append(folder)
        return load_dataset(folder, **settings)

    monkeypatch.setattr("visrec.run_folder.load_dataset", counted)
    found = run(experiment(data, "popularity"), tmp_path / "run", stage=stage)

    assert titles[0] == f"reading {data}"
    assert words[-1][2] == f"{len(found.data.interactions):,} interactions"
    assert folders == [str(data)]


def test_a_report_of_several_seeds_is_their_mean_by_user_with_the_spread(seeded):
    found = seeded.reports["bpr"]
    rows = pl.read_parquet(seeded.path / "per_seed.parquet")
    assert rows["seed"].unique().sort().to_list() == [5, 6, 7]
    by_user = rows.group_by("user_id").agg(pl.col("auc").mean()).sort("user_id")
    assert by_user["auc"].to_list() == pytest.approx(found.per_user.sort("user_id")["auc"].to_list())
    means = rows.group_by("seed").agg(pl.col("auc").mean())["auc"].to_numpy()
    spread = stored(seeded)["models"]["bpr"]["spread"]["auc"]
    assert spread == pytest.approx({"sd": np.std(means, ddof=1), "min": means.min(), "max": means.max()})
    assert "spread" not in stored(seeded)["models"]["popularity"]
    assert list(stored(seeded)["provenance"]["models"]["bpr"]["seeds"]) == ["5", "6", "7"]


def test_more_seeds_extend_a_run_to_what_it_would_have_been_at_once(data, seeded, tmp_path):
    first = run(experiment(data, seed=5), tmp_path / "run")
    stamp = (first.path / "models" / "bpr" / "model.safetensors").stat().st_mtime_ns
    more = run(experiment(data, seeds=3, seed=5), tmp_path / "run")
    assert stored(more)["models"] == stored(seeded)["models"]
    assert (first.path / "models" / "bpr" / "model.safetensors").stat().st_mtime_ns == stamp


def test_a_run_named_again_without_seeds_keeps_them_and_fewer_are_a_part_of_them(data, seeded, tmp_path):
    folder = shutil.copytree(seeded.path, tmp_path / "run")
    assert stored(run(experiment(data, seed=5), folder))["models"] == stored(seeded)["models"]
    fewer = run(experiment(data, seeds=1, seed=5), folder)
    assert "spread" not in stored(fewer)["models"]["bpr"]
    assert not (folder / "per_seed.parquet").exists()
    assert fewer.reports["bpr"]["auc"] == pytest.approx(seeded.reports["bpr"].by_seed[5]["auc"])


def test_a_run_that_was_stopped_between_seeds_goes_on_to_the_same_result(data, seeded, tmp_path, monkeypatch):
    fit = BPR._fit

    def stops(self, fitting):
        if self.config.seed == 6:
            raise KeyboardInterrupt
        fit(self, fitting)

    monkeypatch.setattr(BPR, "_fit", stops)
    with pytest.raises(KeyboardInterrupt):
        run(experiment(data, seeds=3, seed=5), tmp_path / "run")
    half = Run.load(tmp_path / "run")
    assert half.trained_seeds("bpr") == [5]
    evaluate_run(half)  # what is there can be looked at
    monkeypatch.undo()
    assert stored(run(half.experiment, half.path))["models"] == stored(seeded)["models"]


def test_seeds_of_other_settings_are_not_mixed_in(data, seeded, tmp_path):
    folder = shutil.copytree(seeded.path, tmp_path / "run")
    other = experiment(data, seeds=1, seed=5).replace(models={"bpr": {**BPR_SETTINGS, "dim_gamma": 5}})
    found = run(other, folder)
    found = Run(folder, found.experiment.replace(seeds=3))
    assert found.trained_seeds("bpr") == [5]  # bpr@6 and bpr@7 have four factors still


def test_models_of_one_run_are_compared_by_name(seeded):
    found = compare([seeded.path], metrics=["auc"], baseline="popularity")
    assert set(found.models) == {"popularity", "bpr"}
    row = next(row for row in found.to_dicts() if row["model"] == "bpr")
    assert row["seeds"] == 3
    assert row["mean"] == seeded.reports["bpr"]["auc"]


def test_models_of_several_runs_carry_the_name_of_their_run(data, seeded, tmp_path):
    other = run(
        experiment(data, "popularity", "random", evaluation={"cutoffs": (20, 30)}), tmp_path / "other"
    )
    found = compare([seeded, other.path], metrics=["ndcg@20"], baseline="random")
    assert set(found.models) == {"seeded/popularity", "seeded/bpr", "other/popularity", "other/random"}
    assert found.baseline == "other/random"
    with pytest.raises(ConfigError, match="seeded/popularity, other/popularity"):
        compare([seeded, other], baseline="popularity")
    with pytest.raises(ConfigError, match="ndcg@30"):
        compare([seeded, other], metrics=["ndcg@30"])  # one of them alone has it


def test_runs_of_other_data_or_split_are_refused_and_told_apart(data, seeded, tmp_path):
    split = run(
        Experiment(data={"path": str(data), "split": "by_ratio"}, models={"popularity": {}}),
        tmp_path / "ratio",
    )
    with pytest.raises(RunError, match=r"same split.*by_ratio in ratio"):
        compare([seeded, split])
    write_synthetic(tmp_path / "data", SyntheticConfig(n_items=60, n_users=30, seed=1))
    world = run(experiment(tmp_path / "data", "popularity"), tmp_path / "world")
    with pytest.raises(RunError, match=r"same data.*digest is \w+… in seeded and \w+… in world"):
        compare([seeded, world])


def test_runs_of_another_protocol_are_refused(seeded, tmp_path):
    folder = shutil.copytree(seeded.path, tmp_path / "older")
    content = json.loads((folder / "report.json").read_text())
    content["provenance"]["protocol"]["version"] = 1
    (folder / "report.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"version is \d+ in seeded and 1 in older.*visrec evaluate RUN"):
        compare([seeded, folder])


def test_a_run_named_twice_and_one_without_reports_are_refused(data, seeded, tmp_path):
    with pytest.raises(ConfigError, match="twice"):
        compare([seeded, seeded.path])
    folder = shutil.copytree(seeded.path, tmp_path / "run")
    (folder / "report.json").unlink()
    with pytest.raises(RunError, match="visrec evaluate"):
        compare([folder])
    with pytest.raises(RunError, match="not a run folder"):
        compare([tmp_path])
