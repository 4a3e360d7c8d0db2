"""What the page of the map is fed with, and what it says where there is no JavaScript."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visrec.errors import ConfigError
from visrec.features.features import Features
from visrec.features.projection import project
from visrec.serving import atlas as atlases
from visrec.serving.atlas import NOWHERE, Atlas, atlas_of
from visrec.serving.engine import Engine


def test_places_are_two_little_endian_numbers_an_item_with_y_downwards(opened: Any, engine: Engine) -> None:
    packed = opened().get("/map/positions", params={"method": "pca"}).content
    n = len(engine.catalog)
    assert len(packed) == 4 * n
    expected = project(engine.run.mapped, "pca").positions
    for index in (0, 17, n - 1):
        x, y = (int.from_bytes(packed[4 * index + k : 4 * index + k + 2], "little") for k in (0, 2))
        assert x / (NOWHERE - 1) == pytest.approx(expected[index, 0], abs=1e-5)
        assert 1 - y / (NOWHERE - 1) == pytest.approx(expected[index, 1], abs=1e-5)


def test_an_item_without_a_picture_is_nowhere(engine: Engine) -> None:
    found = Atlas(engine)
    whole = engine.run.mapped
    missing = np.arange(len(whole)) == 3
    found.__dict__["features"] = Features.from_array(whole.values, whole.items.values, missing=missing)
    grid = np.frombuffer(found.packed("pca"), dtype="<u2").reshape(-1, 2)
    assert (grid == NOWHERE).all(axis=1).nonzero()[0].tolist() == [3]


def test_classes_are_a_byte_an_item_and_are_not_sent_twice(opened: Any, engine: Engine) -> None:
    client = opened()
    answer = client.get("/map/classes", params={"by": "style"})
    legend = atlas_of(engine).colouring("style").legend
    styles = engine.catalog.metadata["style"].to_list()
    own = [legend[k].name for k in answer.content[:10]]
    assert own == styles[:10]
    again = client.get(
        "/map/classes", params={"by": "style"}, headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


def test_an_unknown_column_is_refused_and_those_that_there_are_named(engine: Engine) -> None:
    with pytest.raises(ConfigError, match=r"no column 'title'.*style"):
        atlas_of(engine).colouring("title")


def test_items_are_told_by_index_and_unknown_ones_left_out(opened: Any, engine: Engine) -> None:
    found = opened().get("/map/items", params={"of": "3,1,999999"}).json()
    assert [one["index"] for one in found] == [3, 1]
    assert found[0]["id"] == engine.item(3).id
    assert opened().get("/map/items", params={"of": "1;2"}).status_code == 422


def test_the_page_lists_every_region_and_lights_up_a_person(opened: Any, engine: Engine) -> None:
    text = opened().get("/map", params={"user": "u0001", "model": "visrank", "method": "pca"}).text
    sizes = [one.n for one in atlas_of(engine).regions("pca", atlas_of(engine).default_column("pca"))]
    assert text.count('class="region"') == len(sizes)
    assert sum(sizes) == len(engine.catalog)
    person = engine.person("u0001")
    assert f'data-history="{" ".join(map(str, person.history))}"' in text
    recommended = re.search(r'data-recommended="([\d ]*)"', text)
    assert recommended is not None
    shown = [int(one) for one in recommended[1].split()]
    assert len(shown) == 20
    assert not set(shown) & set(person.history)


def test_an_unknown_person_is_said_to_be_unknown_and_the_map_is_there(opened: Any) -> None:
    answer = opened().get("/map", params={"user": "nobody"})
    assert answer.status_code == 404
    assert "Unknown user" in answer.text
    assert 'id="map-stage"' in answer.text


def test_a_search_names_its_items_as_links(opened: Any, engine: Engine) -> None:
    title = engine.item(5).title
    text = opened().get("/map", params={"q": title}).text
    assert f'data-fly="{5}"' in text


def test_the_drawing_is_an_image_that_runs_nothing(opened: Any) -> None:
    answer = opened().get(
        "/map/drawing.svg", params={"method": "pca", "by": "style", "user": "u0001", "dark": 1}
    )
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert "<script" not in answer.text
    assert "style=" not in answer.text


def test_the_column_to_begin_with_is_the_one_that_says_most_about_the_places(engine: Engine) -> None:
    """Features are of colour, and the palette decides the colours of the made-up pictures."""
    assert atlas_of(engine).default_column("pca") == "palette"


class _Maker:
    """A process that is said to have been started."""

    pid = os.getpid()
    started: list[list[str]]

    def __init__(self, command: list[str], **_: object) -> None:
        self.started.append(command)

    def poll(self) -> None:
        return None

    def terminate(self) -> None:
        pass

    def wait(self) -> None:
        pass


def test_a_large_catalogue_gets_its_neighbourhoods_from_one_process_of_its_own(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    maker = type("Maker", (_Maker,), {"started": started})
    monkeypatch.setattr(atlases, "_AT_ONCE", 10)
    monkeypatch.setattr(subprocess, "Popen", maker)
    monkeypatch.setattr(os, "setpriority", lambda *_: None)
    found = Atlas(engine)
    assert found.ready == ("pca",)
    assert found.begin()
    assert found.begin()
    assert [command[-2:] for command in started] == [["map", str(engine.run.path)]]


def test_a_small_catalogue_needs_no_process_and_a_huge_one_is_left_to_the_command(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Atlas(engine).ready == ("pca", "tsne")
    assert not Atlas(engine).begin()
    monkeypatch.setattr(atlases, "_AT_ONCE", 10)
    monkeypatch.setattr(atlases, "_MOST", 20)
    assert not Atlas(engine).begin()


def test_a_run_without_features_says_how_to_get_a_map(opened: Any, shop: Path, tmp_path: Path) -> None:
    from visrec.experiment import Experiment
    from visrec.runs import run

    out = tmp_path / "counts"
    run(Experiment(data={"path": str(shop)}, models={"popularity": {}}), out)
    answer = opened(path=out).get("/map")
    assert answer.status_code == 200
    assert "visrec run" in answer.text
    assert opened(path=out).get("/map/positions").status_code == 422
