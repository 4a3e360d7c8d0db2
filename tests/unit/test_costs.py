from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np

from visrec import costs
from visrec.costs import Clock, pace_of, timed
from visrec.features.features import Features


def test_the_first_call_starts_the_clock_and_its_pictures_do_not_count():
    clock = Clock()
    for done, now in ((32, 100.0), (232, 101.0), (432, 102.0)):
        clock.tell(done, now)
    assert (clock.images, clock.seconds, clock.pace) == (400, 2.0, 200.0)


def test_work_that_was_done_before_does_not_count():
    clock = Clock()
    for done, now in ((832, 0.0), (1032, 2.0)):  # the first 800 were there already
        clock.tell(done, now)
    assert clock.pace == 100.0


def test_the_pace_is_kept_beside_those_of_others_and_belongs_to_the_features(tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "LEAST", 1)
    features = Features.from_array(np.eye(4), ["a", "b", "c", "d"])
    file = tmp_path / "costs.json"
    file.write_text(json.dumps({"other": {"features": "x", "images_per_second": 3.0}}))
    features.save(tmp_path / "features")
    told = []
    stage = timed(
        lambda title: nullcontext(lambda *one: told.append(one)), "color", tmp_path / "features", file
    )
    with stage("features: color") as progress:
        progress(4, 4, "looking for what is new")  # such a pass does not count
        progress(1, 4, "9.0 images/s")
        progress(4, 4, "9.0 images/s")
    assert told == [(4, 4, "looking for what is new"), (1, 4, "9.0 images/s"), (4, 4, "9.0 images/s")]
    assert json.loads(file.read_text())["color"]["images"] == 3
    assert set(json.loads(file.read_text())) == {"other", "color"}
    assert pace_of(features, "color", file) > 0
    changed = Features.from_array(np.ones((4, 4)), ["a", "b", "c", "d"])
    assert pace_of(changed, "color", file) is None
    assert pace_of(features, "lbp", file) is None


def test_only_vectors_are_timed(tmp_path, monkeypatch):
    """Regions and pixels lie elsewhere: their pace would be taken for that of the features."""
    monkeypatch.setattr(costs, "LEAST", 1)
    Features.from_array(np.eye(4), ["a", "b", "c", "d"]).save(tmp_path / "features")
    stage = timed(
        lambda title: nullcontext(lambda *one: None), "color", tmp_path / "features", tmp_path / "c.json"
    )
    for title in ("regions: color", "images: pixels"):
        with stage(title) as progress:
            progress(1, 4, "9.0 images/s")
            progress(4, 4, "9.0 images/s")
    assert not (tmp_path / "c.json").exists()


def test_other_stages_and_damaged_costs_are_let_through(tmp_path):
    stage = timed(lambda title: nullcontext(None), "color", tmp_path, tmp_path / "costs.json")
    with stage("training: vbpr") as progress:
        assert progress is None
    (tmp_path / "costs.json").write_text("{")
    assert pace_of(Features.from_array(np.eye(2), ["a", "b"]), "color", tmp_path / "costs.json") is None
