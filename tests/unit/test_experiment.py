"""Paths in an experiment's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from visrec import registry
from visrec.errors import ConfigError
from visrec.experiment import Experiment, read_experiment


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
