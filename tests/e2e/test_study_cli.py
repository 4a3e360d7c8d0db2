"""`visrec map` and `visrec study` as they are typed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from visrec.features.features import Features
from visrec.features.projection import kept
from visrec.feedback.store import Store
from visrec.feedback.studies import Studies
from visrec.serving.study_config import StudyConfig

EXAMPLE = Path(__file__).parents[2] / "examples" / "study.toml"


def test_map_is_kept_in_the_run(here: Any, finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    here("map", folder)
    assert kept(Features.load(folder / "features"), "tsne") is not None
    told = here("map", folder, "--method", "umap", status=2)
    assert "pca, tsne" in told.stderr


def test_a_study_is_checked_against_a_run(here: Any, finished: Path, tmp_path: Path) -> None:
    told = here("study", "check", EXAMPLE, finished).stdout.splitlines()
    assert told == [
        "visrank, explained",
        "visrank, not explained",
        "item_knn, explained",
        "item_knn, not explained",
    ]
    other = tmp_path / "study.toml"
    other.write_text(EXAMPLE.read_text().replace('"item_knn"', '"bpr"'))
    assert "knows only the people" in here("study", "check", other, finished, status=2).stderr


def test_tables_of_the_only_study_are_written(here: Any, finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    assert "no such database" in here("study", "export", folder, "--out", tmp_path, status=2).stderr
    study = StudyConfig.from_toml(EXAMPLE).study
    with Store.open(folder) as store:
        Studies(store).define(study)
        code = Studies(store).consent(study.id, store.start_session(), version="1").pseudonym
    here("study", "export", folder, "--out", tmp_path / "tables")
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == [
        "answers.csv",
        "events.csv",
        "items.csv",
        "participants.csv",
        "shown.csv",
    ]
    assert code in (tmp_path / "tables" / "participants.csv").read_text()


def test_with_several_studies_one_must_be_named(here: Any, finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    config = StudyConfig.from_toml(EXAMPLE)
    with Store.open(folder) as store:
        for name in ("a", "b"):
            Studies(store).define(config.replace(name=name).study)
    told = here("study", "export", folder, "--out", tmp_path / "tables", status=2).stderr
    assert "a, b" in told
    here("study", "export", folder, "--out", tmp_path / "tables", "--study", "b")
