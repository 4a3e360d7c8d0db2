"""`visrec run … --events`: what a service collected is in the next run, which keeps what it was made with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from visrec.data.dataset import load_dataset
from visrec.feedback.events import Event
from visrec.feedback.store import Store
from visrec.run_folder import Run

MODELS = ("--models", "popularity,item_knn", "--out")


@pytest.fixture
def served(here, shop, tmp_path) -> Path:
    """A folder with feedback as a service leaves it: of a known user, of a visitor, of an unknown item."""
    folder = tmp_path / "served"
    folder.mkdir()
    user, items = _user_and_unseen(shop)
    with Store.open(folder) as store:
        for item in items[:2]:
            store.record_event(Event(session="a", user=user, item=item, kind="like"))
        store.record_event(Event(session="a", user=user, item=items[0], kind="unlike"))
        for item in items[1:4]:
            store.record_event(Event(session="b", item=item, kind="like"))
        store.record_event(Event(session="b", item="no-such-item", kind="like"))
    return folder


def _user_and_unseen(shop: Path) -> tuple[str, list[str]]:
    data = load_dataset(shop, missing_images="mask")
    user = data.interactions.users.values[0]
    seen = data.interactions.histories().of(0).tolist()
    return user, [item for n, item in enumerate(data.catalog.items.values.to_list()) if n not in seen]


def test_feedback_is_in_the_next_run_with_its_provenance(here, shop, served, tmp_path) -> None:
    out = tmp_path / "next"
    before = load_dataset(shop).interactions
    here("run", shop, "--events", served, *MODELS, out)
    facts = json.loads((out / "data.json").read_text())
    assert facts["interactions"] == len(before) + 1 + 3
    assert facts["users"] == before.n_users + 1
    assert {
        key: facts["events"][key] for key in ("events", "interactions", "new_users", "not_in_catalog")
    } == {
        "events": 7,
        "interactions": 4,
        "new_users": 1,
        "not_in_catalog": 1,
    }
    assert any("not in the catalogue (first 'no-such-item')" in note for note in facts["notes"])
    assert json.loads((out / "report.json").read_text())["provenance"]["data"]["events"] == facts["events"]
    found = Run.load(out)
    (visitor,) = set(found.data.interactions.users.values) - set(before.users.values)
    _, items = _user_and_unseen(shop)
    table = found.model("item_knn").recommend([visitor], k=5)
    assert table.height == 5
    assert not set(table["item_id"]) & set(found.split.train.items.take(_history(found, visitor)))
    assert {items[1], items[2]} & set(found.split.train.items.take(_history(found, visitor)))


def _history(found: Run, user: str):
    train = found.split.train
    return train.histories().of(train.users.index(user))


def test_a_rerun_takes_its_own_copy_whatever_has_come_since(here, shop, served, tmp_path) -> None:
    out = tmp_path / "next"
    here("run", shop, "--events", served, *MODELS, out)
    before = (out / "data.json").read_bytes()
    with Store.open(served) as store:
        store.record_event(Event(session="c", item=_user_and_unseen(shop)[1][0], kind="like"))
    here("run", shop, "--events", served, "--models", "random", "--out", out)
    assert (out / "data.json").read_bytes() == before
    assert set(Run.load(out).reports) == {"popularity", "item_knn", "random"}
    (served / "feedback.db").unlink()  # the run describes itself
    here("evaluate", out)
    other = tmp_path / "same"
    here("run", shop, "--events", out / "events.parquet", *MODELS, other)
    assert json.loads((other / "data.json").read_text())["digest"] == json.loads(before)["digest"]
    assert json.loads((other / "data.json").read_text())["split_digest"] == json.loads(before)["split_digest"]


def test_a_run_with_feedback_is_not_one_without(here, shop, served, tmp_path) -> None:
    out = tmp_path / "next"
    here("run", shop, "--events", served, *MODELS, out)
    said = here("run", shop, *MODELS, out, status=2).stderr
    assert "events = " in said
    assert "Choose another --out" in said


def test_a_run_whose_copy_is_lost_says_so(here, shop, served, tmp_path) -> None:
    out = tmp_path / "next"
    here("run", shop, "--events", served, *MODELS, out)
    (out / "events.parquet").unlink()
    said = here("evaluate", out, status=2).stderr
    assert "events.parquet: is missing" in said


def test_wrong_addresses_are_said_and_leave_nothing(here, shop, tmp_path) -> None:
    out = tmp_path / "next"
    assert "no such database" in here("run", shop, "--events", tmp_path / "x", *MODELS, out, status=2).stderr
    said = here("run", shop, "--events", "postgresql://me:secret@host/db", *MODELS, out, status=2).stderr
    assert "says a password" in said
    assert "PGPASSWORD" in said
    assert "secret" not in said
    assert not out.exists()


def test_events_in_a_file_are_relative_to_it_and_a_comparison_wants_them_fixed(
    here, shop, served, tmp_path
) -> None:
    file = tmp_path / "e.toml"
    file.write_text(f'[data]\npath = "{shop}"\nevents = "served"\n[models.popularity]\n')
    (tmp_path / "elsewhere").mkdir()
    here("run", file, "--out", tmp_path / "next", cwd=tmp_path / "elsewhere")
    assert Run.load(tmp_path / "next").experiment.data.events == str(served)
    words = ("--extractors", "color", "--models", "visrank", "--out", tmp_path / "compared")
    said = here("compare-features", file, *words, status=2).stderr
    assert "must have the same feedback" in said
