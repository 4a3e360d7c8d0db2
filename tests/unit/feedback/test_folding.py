"""What people liked and did not take back joins the data set, as rows that the data set might have had itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visrec.data.catalog import Catalog
from visrec.data.dataset import Dataset
from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.data.splits import by_evaluation, leave_last_out
from visrec.errors import FeedbackError
from visrec.feedback.events import OPINIONS, Event, opinions
from visrec.feedback.folding import SCHEMA, fold
from visrec.feedback.reading import read_events
from visrec.feedback.store import Store

START = datetime(2024, 6, 1, tzinfo=UTC)
UNIX = int(START.timestamp())


def _data(
    rows: Sequence[tuple[str | int, str, float]],
    *,
    items: Sequence[str] = ("a", "b", "c", "d"),
    evaluation: Sequence[int] | None = None,
    dtype: type = np.int64,
) -> Dataset:
    known = IdMap(list(items), kind="item")
    users = IdMap([user for user, _, _ in rows], kind="user")
    interactions = Interactions(
        user=users.indices([user for user, _, _ in rows]),
        item=known.indices([item for _, item, _ in rows]),
        timestamp=np.array([time for _, _, time in rows], dtype=dtype),
        weight=np.ones(len(rows)),
        users=users,
        items=known,
        evaluation=None if evaluation is None else np.array(evaluation),
    )
    metadata = pl.DataFrame({"item_id": known.values})
    return Dataset(Path("shop"), interactions, Catalog(known, (None,) * len(known), metadata))


def _events(*rows: tuple[str, str, str], weight: float | None = None) -> pl.DataFrame:
    """Rows of (who, kind, item), a minute apart; who is a user, or a session where it begins with "s"."""
    return pl.DataFrame(
        [
            {
                "id": f"e{n}",
                "time": START + timedelta(minutes=n),
                "visitor": f"{who}{'0' * 20}",
                "user_id": None if who.startswith("s") else who,
                "item_id": item,
                "kind": kind,
                "weight": weight,
            }
            for n, (who, kind, item) in enumerate(rows)
        ],
        schema=SCHEMA,
    )


def _rows(data: Dataset) -> set[tuple[str, str, float, float]]:
    one = data.interactions
    who, what = one.users.take(one.user).to_list(), one.items.take(one.item).to_list()
    return set(zip(who, what, one.timestamp.tolist(), one.weight.tolist(), strict=True))


OLD = [("u1", "a", UNIX - 300), ("u1", "b", UNIX - 200), ("u2", "a", UNIX - 100)]
OLD_ROWS = {(user, item, time, 1.0) for user, item, time in OLD}


def test_a_like_is_an_interaction_at_its_time() -> None:
    folded = fold(_data(OLD), _events(("u1", "like", "c")))
    assert _rows(folded.data) == OLD_ROWS | {("u1", "c", UNIX, 1.0)}
    assert folded.facts["interactions"] == 1
    assert folded.facts["new_users"] == 0
    assert folded.facts["last"] == {"id": "e0", "time": "2024-06-01T00:00:00+00:00"}


def test_what_was_taken_back_hidden_or_only_looked_at_is_none() -> None:
    events = _events(
        ("u1", "like", "c"), ("u1", "unlike", "c"),
        ("u1", "like", "d"), ("u1", "hide", "d"),
        ("u2", "hide", "b"),
        ("u2", "click", "c"), ("u2", "view", "d"),
    )  # fmt: skip
    assert _rows(fold(_data(OLD), events).data) == OLD_ROWS


def test_taking_back_what_the_data_set_holds_leaves_it() -> None:
    assert _rows(fold(_data(OLD), _events(("u1", "unlike", "a"))).data) == OLD_ROWS


def test_a_session_without_an_account_is_a_new_user_the_same_each_time() -> None:
    events = _events(("s1", "like", "c"), ("s2", "like", "c"), ("s1", "like", "d"), ("new", "like", "b"))
    folded = fold(_data(OLD), events)
    assert folded.facts["new_users"] == 3
    assert _rows(folded.data) - OLD_ROWS == {
        ("visitor-s100000000000000", "c", UNIX, 1.0),
        ("visitor-s200000000000000", "c", UNIX + 60, 1.0),
        ("visitor-s100000000000000", "d", UNIX + 120, 1.0),
        ("new", "b", UNIX + 180, 1.0),
    }
    again = fold(_data(OLD), events)
    assert again.data.interactions.digest == folded.data.interactions.digest
    assert again.facts == folded.facts


def test_a_visitor_never_has_the_name_of_a_user() -> None:
    taken = "visitor-s100000000000000"
    data = _data([*OLD, (taken, "a", UNIX - 50)])
    folded = fold(data, _events(("s1", "like", "c")))
    assert _rows(folded.data) - _rows(data) == {("visitor--s100000000000000", "c", UNIX, 1.0)}


def test_ids_that_are_numbers_stay_numbers_unless_somebody_has_none() -> None:
    numbered = _data([(12, "a", UNIX - 300), (3, "b", UNIX - 200)])
    kept = fold(numbered, _events(("12", "like", "c"), ("40", "like", "c"))).data.interactions.users
    assert kept.values.to_list() == [3, 12, 40]
    mixed = fold(numbered, _events(("12", "like", "c"), ("s1", "like", "c"))).data.interactions
    assert mixed.users.values.to_list() == ["3", "12", "visitor-s100000000000000"]
    assert len(mixed) == 4
    odd = fold(numbered, _events(("012", "like", "c"))).data.interactions
    assert odd.users.values.to_list() == ["3", "12", "012"]  # another id than 12


def test_items_that_are_not_in_the_catalogue_are_reported_and_left_out() -> None:
    folded = fold(_data(OLD), _events(("u1", "like", "gone"), ("u1", "like", "c"), ("s1", "like", "gone2")))
    assert _rows(folded.data) == OLD_ROWS | {("u1", "c", UNIX + 60, 1.0)}
    assert folded.facts["not_in_catalog"] == 2
    assert folded.facts["new_users"] == 0  # nobody is made of what is left out
    assert any("2 likes" in note and "first 'gone'" in note for note in folded.data.notes)


def test_the_weight_of_a_like_is_that_of_its_interaction_and_must_be_positive() -> None:
    assert ("u1", "c", UNIX, 0.25) in _rows(fold(_data(OLD), _events(("u1", "like", "c"), weight=0.25)).data)
    less = fold(_data(OLD), _events(("u1", "like", "c"), weight=-1.0))
    assert _rows(less.data) == OLD_ROWS
    assert less.facts["without_positive_weight"] == 1


def test_of_a_pair_that_is_there_already_the_newest_row_counts() -> None:
    newer = fold(_data(OLD), _events(("u1", "like", "a"))).data
    assert _rows(newer) == (OLD_ROWS - {("u1", "a", UNIX - 300, 1.0)}) | {("u1", "a", UNIX, 1.0)}
    later = [("u1", "a", UNIX + 9999), ("u2", "b", UNIX - 1)]
    older = fold(_data(later), _events(("u1", "like", "a")))
    assert _rows(older.data) == {(*row, 1.0) for row in later}
    assert older.facts["interactions"] == 0


def test_leave_last_out_holds_out_the_newest_which_is_the_feedback() -> None:
    data = fold(_data(OLD), _events(("u1", "like", "c"), ("s1", "like", "b"))).data
    split = leave_last_out(data.interactions)
    # u1 had b as the newest, now has c; the visitor has one basket and stays in training; u2 too.
    assert _rows(Dataset(data.folder, split.test, data.catalog)) == {("u1", "c", UNIX, 1.0)}
    assert _rows(Dataset(data.folder, split.valid, data.catalog)) == {("u1", "b", UNIX - 200, 1.0)}
    assert ("visitor-s100000000000000", "b", UNIX + 60, 1.0) in _rows(
        Dataset(data.folder, split.train, data.catalog)
    )


def test_parts_that_the_data_assign_stay_and_feedback_is_for_training() -> None:
    data = _data(OLD, evaluation=[0, 2, 0])
    folded = fold(data, _events(("u1", "like", "b"), ("u1", "like", "c"), ("u1", "like", "d"))).data
    split = by_evaluation(folded.interactions)
    assert _rows(Dataset(data.folder, split.test, data.catalog)) == {("u1", "b", UNIX - 200, 1.0)}
    held = _rows(Dataset(data.folder, split.train, data.catalog)) | _rows(
        Dataset(data.folder, split.valid, data.catalog)
    )
    assert {("u1", "c", UNIX + 60, 1.0), ("u1", "d", UNIX + 120, 1.0)} < held
    assert len(folded.interactions) == 5


@pytest.mark.parametrize(
    ("unit", "expected"), [(1, 1), (1_000, 1_000), (1_000_000, 1_000_000), (10**9, 10**9)]
)
def test_moments_are_in_the_unit_of_the_data_set(unit: int, expected: int) -> None:
    data = _data([(user, item, time * unit) for user, item, time in OLD])
    after = fold(data, _events(("u1", "like", "c"))).data.interactions
    assert after.timestamp.dtype == np.int64
    assert after.timestamp.max() == UNIX * expected


def test_moments_of_data_with_fractions_keep_theirs() -> None:
    events = _events(("u1", "like", "c")).with_columns(pl.col("time") + pl.duration(milliseconds=250))
    after = fold(_data(OLD, dtype=np.float64), events).data.interactions
    assert after.timestamp.max() == UNIX + 0.25


def test_where_moments_have_no_unit_feedback_is_newer_than_everything_in_its_order() -> None:
    days = [("u1", "a", 3), ("u1", "b", 7), ("u2", "a", 5)]
    folded = fold(_data(days), _events(("u1", "like", "d"), ("u1", "like", "c")))
    assert _rows(folded.data) - {(*row, 1.0) for row in days} == {("u1", "d", 8, 1.0), ("u1", "c", 9, 1.0)}
    assert any("no Unix times" in note for note in folded.data.notes)


def test_no_events_change_nothing() -> None:
    data = _data(OLD)
    folded = fold(data, _events())
    assert folded.data.interactions.digest == data.interactions.digest
    assert folded.facts["last"] is None


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(OPINIONS), st.sampled_from("abcd")), max_size=25))
def test_what_is_folded_is_what_the_service_shows_as_liked(history: list[tuple[str, str]]) -> None:
    shown = opinions((kind, item, None) for kind, item in history)  # type: ignore[misc]
    folded = fold(_data([("u2", "a", UNIX)]), _events(*(("s1", kind, item) for kind, item in history)))
    assert {item for user, item, *_ in _rows(folded.data) if user != "u2"} == set(shown.liked)


def test_events_read_from_a_database_have_no_session_in_them(store: Store, tmp_path: Path) -> None:
    session = store.start_session()
    first = Event(session=session, item=7, kind="like", weight=0.5)
    store.record_event(first)
    store.record_event(Event(session=session, user=12, item="b", kind="hide"))
    store.record_event(Event(session=session, item="b", kind="view"))
    found = read_events(store._engine.url.render_as_string(hide_password=False))
    assert found.schema == SCHEMA
    assert found.select("user_id", "item_id", "kind", "weight").rows() == [
        (None, "7", "like", 0.5),
        ("12", "b", "hide", None),
    ]
    assert found["id"][0] == first.id
    assert found["time"][0] == first.time
    assert found["visitor"].n_unique() == 1
    found.write_parquet(tmp_path / "events.parquet")
    assert session.encode() not in (tmp_path / "events.parquet").read_bytes()
    assert read_events(tmp_path / "events.parquet").equals(found)


def test_a_copy_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeedbackError, match="no such file"):
        read_events(tmp_path / "events.parquet")
    (tmp_path / "events.parquet").write_bytes(b"nothing")
    with pytest.raises(FeedbackError, match="cannot be read"):
        read_events(tmp_path / "events.parquet")
    pl.DataFrame({"user_id": ["a"]}).write_parquet(tmp_path / "events.parquet")
    with pytest.raises(FeedbackError, match="has the columns user_id; expected id, time"):
        read_events(tmp_path / "events.parquet")


def test_a_run_without_feedback_or_with_its_own_copy_needs_no_database_library(tmp_path: Path) -> None:
    _events(("u1", "like", "c")).write_parquet(tmp_path / "events.parquet")
    code = (
        "import sys, visrec.runs; from visrec.feedback.reading import read_events; "
        "assert read_events(sys.argv[1]).height == 1; assert 'sqlalchemy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "events.parquet"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
