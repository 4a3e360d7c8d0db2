"""Paths in an experiment's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from visrec import registry
from visrec.config import read_toml
from visrec.errors import ConfigError
from visrec.experiment import Experiment, FeaturesConfig, read_experiment


def _write(folder: Path, weights: str) -> Path:
    folder.mkdir()
    path = folder / "e.toml"
    path.write_text(
        f'[data]\npath = "shop"\n[features]\nextractor = "resnet18"\nweights = "{weights}"\n'
        f'[models.dvbpr]\nweights = "{weights}"\n[models.mine]\nmodel = "dvbpr"\nweights = "{weights}"\n'
        "[models.popularity]\n"
    )
    return path


def test_files_of_weights_are_relative_to_the_file_that_names_them(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    _write(tmp_path / "here", "w/net.pt")
    monkeypatch.chdir(tmp_path / "elsewhere")
    values = read_experiment(Path("../here/e.toml"))
    expected = str((tmp_path / "here" / "w" / "net.pt").resolve())
    tables = (values["features"], values["models"]["dvbpr"], values["models"]["mine"])
    assert [str(Path(table["weights"]).resolve()) for table in tables] == [expected] * 3
    found = Experiment(**values).resolved()
    assert found.features.weights == expected
    assert [found.models[name]["weights"] for name in ("dvbpr", "mine")] == [expected] * 2


def test_the_path_of_a_file_elsewhere_stays(tmp_path):
    file = str(tmp_path / "net.pt")
    values = read_experiment(_write(tmp_path / "here", file))
    assert values["models"]["dvbpr"]["weights"] == file


@pytest.mark.parametrize("weights", ["random", "default"])
def test_weights_that_are_no_file_stay(tmp_path, weights):
    values = read_experiment(_write(tmp_path / "here", weights))
    assert values["models"]["dvbpr"]["weights"] == weights
    found = Experiment(**values).resolved()
    assert [found.models[name]["weights"] for name in ("dvbpr", "mine")] == [weights] * 2


def test_a_model_that_does_not_exist_is_left_to_the_check_of_the_settings(tmp_path):
    path = _write(tmp_path / "here", "net.pt")
    path.write_text(path.read_text().replace("models.dvbpr", "models.dvbqr"))
    values = read_experiment(path)
    assert values["models"]["dvbqr"]["weights"] == "net.pt"


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ({"extractor": "resnet18"}, "random"),
        ({"extractor": "resnet18", "weights": "default"}, "default"),
        ({"extractor": "resnet50"}, "default"),
    ],
)
def test_regions_of_the_same_extractor_have_its_weights_unless_they_name_their_own(regions, expected):
    experiment = Experiment(
        data={"path": "shop"},
        features={"extractor": "resnet18", "weights": "random"},
        regions={**regions, "options": {"pool": "regions", "grid": 4}},
        models={"acf": {}},
    )
    found = experiment.content("regions")
    assert (found.weights, found.options) == (expected, {"pool": "regions", "grid": 4})
    assert experiment.resolved().regions == found


@pytest.mark.parametrize("name", registry.names("models"))
@pytest.mark.parametrize("free_name", [False, True])
def test_a_wrong_setting_of_a_model_is_told_by_the_name_that_the_user_gave_it(name, free_name):
    table = {"mine": {"model": name, "dept": 1}} if free_name else {name: {"dept": 1}}
    with pytest.raises(ConfigError, match=rf"^models\.{next(iter(table))}: unknown setting 'dept'\. Known"):
        Experiment(data={"path": "shop"}, models=table).resolved()
    cls = registry.resolve("models", name)
    with pytest.raises(ConfigError, match=rf"^{cls.__name__}: unknown setting 'dept'\. Known"):
        cls(dept=1)


def test_a_folder_of_features_is_taken_as_it_is_or_not_at_all(tmp_path):
    for other in ({"extractor": "color"}, {"pca": 3}, {"standardize": True}, {"weights": "random"}):
        with pytest.raises(
            ConfigError, match=rf"taken as they are; leave out {next(iter(other))}, or leave out path"
        ):
            FeaturesConfig(path="f", **other)
    (tmp_path / "e.toml").write_text(
        '[data]\npath = "shop"\n[features]\npath = "f/resnet50"\n[regions]\npath = "r"\n[models.popularity]\n'
    )
    found = Experiment(**read_experiment(tmp_path / "e.toml")).resolved()
    assert found.content("vector").path == str(tmp_path / "f" / "resnet50")
    assert found.content("regions").path == str(tmp_path / "r")
    assert found.features.name == "resnet50"
    found.to_toml(tmp_path / "again.toml")  # what a run writes can be read again
    assert Experiment.from_toml(tmp_path / "again.toml") == found
    assert read_toml(tmp_path / "again.toml")["features"] == {"path": found.features.path}


def test_features_that_are_there_say_nothing_of_regions():
    experiment = Experiment(data={"path": "shop"}, features={"path": "f"}, models={"acf": {}})
    with pytest.raises(ConfigError, match=r"Add a table \[regions\]"):
        experiment.content("regions")
    own = experiment.replace(regions={"extractor": "color", "options": {"grid": 4}})
    assert own.content("regions").extractor == "color"
    assert "path" not in own.content("regions").model_dump()
