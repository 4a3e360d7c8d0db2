"""What is recorded is there, once, for those who may have it; the same on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from visrec.errors import ConflictingEventError, FeedbackError, UnavailableError
from visrec.feedback.events import Event, Opinions, Shown, ShownItem
from visrec.feedback.store import Store


def _everything() -> Event:
    return Event(
        session="s1",
        item=7,
        kind="like",
        id="e-1",
        time=datetime(2024, 5, 1, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2))),
        user="ünser 1",
        recommendation="r-1",
        model="vbpr",
        weight=0.25,
        run="abc",
        extra={"place": [1, {"a": None}], "word": "木"},
    )


def test_an_event_comes_back_as_it_was_given_its_time_in_utc(store: Store) -> None:
    event = _everything()
    assert store.record_event(event)
    (found,) = store.events()
    assert found == event
    assert found.time == datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert found.time.tzinfo == UTC


def test_ids_are_given_back_as_text_or_number_as_they_came(store: Store) -> None:
    for item in (7, "7", "007"):
        store.record_event(Event(session="s", item=item, kind="view"))
    assert [one.item for one in store.events()] == [7, "7", "007"]
    assert [type(one.item) for one in store.events()] == [int, str, str]


def test_a_shown_list_comes_back_with_its_ranks_and_scores(store: Store) -> None:
    shown = Shown(
        session="s",
        items=(ShownItem("b", 0.1 + 0.2), ShownItem(3), ShownItem("a", -1e300)),
        model="bpr",
        settings={"k": 3, "filter": "artist!=x"},
    )
    assert store.record_shown(shown)
    assert not store.record_shown(shown)
    assert list(store.shown()) == [shown]


def test_the_newest_events_of_a_session_are_its_last_ones_in_their_order(store: Store) -> None:
    for n in range(5):
        store.record_event(Event(session="s", item=n, kind="view"))
        store.record_event(Event(session="other", item=n, kind="view"))
    assert [(one.session, one.item) for one in store.newest_events("s", 2)] == [("s", 3), ("s", 4)]
    assert len(store.newest_events("s", 100)) == 5
    assert store.newest_events("nobody", 3) == []


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_a_time_that_utc_has_not_is_refused(time: str) -> None:
    with pytest.raises(FeedbackError, match="in no year"):
        Event(session="s", item="a", kind="like", time=datetime.fromisoformat(time))


def test_the_same_id_twice_is_one_event_the_first(store: Store) -> None:
    first = Event(session="s", item="a", kind="like", id="one")
    assert store.record_event(first)
    assert not store.record_event(Event(session="s", item="a", kind="like", id="one"))
    assert list(store.events()) == [first]


@pytest.mark.parametrize("other", [{"session": "s2"}, {"item": "b"}, {"kind": "unlike"}])
def test_an_id_that_another_event_has_is_refused(store: Store, other: dict[str, str]) -> None:
    store.record_event(Event(session="s", item="a", kind="like", id="one"))
    with pytest.raises(ConflictingEventError, match="'one' was given before"):
        store.record_event(Event(**({"session": "s", "item": "a", "kind": "like", "id": "one"} | other)))  # type: ignore[arg-type]
    assert store.counts()["events"] == 1


def test_state_is_what_remains_after_everything_taken_back(store: Store) -> None:
    for kind, item, weight in [
        ("like", "a", None),
        ("like", "b", 2.0),
        ("hide", "c", None),
        ("like", "d", -0.5),
        ("unlike", "a", None),
        ("view", "z", None),  # says nothing of liking
        ("hide", "d", None),  # takes back its like
        ("like", "c", None),  # takes back its hide
        ("unlike", "d", None),  # is hidden, not liked: nothing changes
    ]:
        store.record_event(Event(session="s", item=item, kind=kind, weight=weight))  # type: ignore[arg-type]
    store.record_event(Event(session="another", item="x", kind="like"))
    assert store.session_state("s") == Opinions(liked=("b", "c"), hidden=("d",), weights={"b": 2.0})
    assert store.session_state("nobody") == Opinions()


def test_to_like_again_moves_to_the_newest_place(store: Store) -> None:
    for item in ("a", "b", "a"):
        store.record_event(Event(session="s", item=item, kind="like"))
    assert store.session_state("s").liked == ("b", "a")


def test_events_are_read_in_pages_and_by_time_kind_and_session(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visrec.feedback.store._PAGE", 3)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    for n in range(9):  # three full pages, so that the fourth is empty
        store.record_event(
            Event(
                session=f"s{n % 2}", item=n, kind="like" if n % 3 else "view", time=start + timedelta(hours=n)
            )
        )
    assert [one.item for one in store.events()] == list(range(9))
    assert [one.item for one in store.events(since=start + timedelta(hours=6))] == [6, 7, 8]
    assert [one.item for one in store.events(kinds=["view"])] == [0, 3, 6]
    assert [one.item for one in store.events(session="s1")] == [1, 3, 5, 7]


def test_counts_are_of_sessions_lists_events_and_kinds(store: Store) -> None:
    assert store.counts() == {"sessions": 0, "shown": 0, "events": 0}
    session = store.start_session()
    store.record_event(Event(session=session, item="a", kind="like"))
    store.record_event(Event(session=session, item="a", kind="click"))
    store.record_event(Event(session="other", item="a", kind="like"))
    store.record_shown(Shown(session=session, items=(ShownItem("a"),)))
    assert store.counts() == {"sessions": 2, "shown": 1, "events": 3, "click": 1, "like": 2}


def test_a_deleted_session_leaves_nothing_and_takes_nothing_of_others(store: Store) -> None:
    mine, other = store.start_session(), store.start_session()
    for session in (mine, other):
        store.record_event(Event(session=session, item="secret-of-mine", kind="like"))
        store.record_shown(Shown(session=session, items=(ShownItem("a"),)))
    assert store.delete_session(mine)
    assert not store.delete_session(mine)
    assert not store.has_session(mine)
    assert store.session_state(mine) == Opinions()
    assert [one.session for one in store.events()] == [other]
    assert [one.session for one in store.shown()] == [other]


def test_a_deleted_session_is_not_in_the_bytes_of_the_files(tmp_path: Path) -> None:
    with Store.open(tmp_path / "feedback.db") as store:
        session = store.start_session()
        store.record_event(Event(session=session, item="a-rare-word", kind="like"))
        held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"a-rare-word" in held  # so the search would find it
        store.delete_session(session)
        left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"a-rare-word" not in left
    assert session.encode() not in left


def test_threads_record_at_once_and_nothing_is_lost_or_doubled(store: Store) -> None:
    def record(n: int) -> bool:  # every id is given twice
        return store.record_event(
            Event(session=f"s{n % 7}", item=n // 2, kind="like", id=f"e{n // 2}-{n % 7}")
        )

    repeated = [n for n in range(150) for _ in range(2)]
    with ThreadPoolExecutor(16) as pool:
        new = list(pool.map(record, repeated))
    assert sum(new) == 150
    assert store.counts() == {"sessions": 7, "shown": 0, "events": 150, "like": 150}


def test_a_conflict_among_many_hurts_only_itself(store: Store) -> None:
    store.record_event(Event(session="s", item="a", kind="like", id="taken"))

    def record(n: int) -> bool:
        ident = "taken" if n % 5 == 0 else f"e{n}"
        try:
            return store.record_event(Event(session="s", item=n, kind="like", id=ident))
        except ConflictingEventError:
            return False

    with ThreadPoolExecutor(8) as pool:
        new = list(pool.map(record, range(100)))
    assert sum(new) == 80
    assert store.counts()["events"] == 81


def test_two_stores_on_one_database_see_each_other(address: str) -> None:
    with Store.open(address) as one, Store.open(address) as other:
        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(
                    lambda n: (one, other)[n % 2].record_event(Event(session="s", item=n, kind="like")),
                    range(60),
                )
            )
        assert set(one.session_state("s").liked) == set(range(60))
        assert one.counts() == other.counts()


def test_health_names_the_database_and_its_schema(store: Store) -> None:
    health = store.health()
    assert health.database in store.address
    assert health.revision.isdigit()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": "a\0b"}, "NUL"),
        ({"item": "\ud800"}, "valid Unicode"),
        ({"item": ""}, "1 to 512 characters"),
        ({"item": "x" * 513}, "1 to 512 characters"),
        ({"item": True}, "text or a whole number"),
        ({"item": 2**63}, "beyond 64 bits"),
        ({"kind": "love"}, "expected one of like"),
        ({"weight": float("nan")}, "finite"),
        ({"weight": 10**400}, "finite"),
        ({"session": "a b"}, "letters, digits"),
        ({"id": "x" * 65}, "1 to 64"),
        ({"user": "a\0"}, "NUL"),
        ({"recommendation": ""}, "recommendation"),
        ({"time": datetime(2024, 1, 1)}, "time zone"),
        ({"extra": {"a": "\0"}}, "NUL"),
        ({"extra": {"a": float("inf")}}, "JSON"),
        ({"extra": {"a": object()}}, "JSON"),
        ({"extra": {"a": "x" * 20_000}}, "at most 16,384"),
        ({"extra": {"a": "\udc00"}}, "JSON"),
    ],
)
def test_what_a_database_cannot_keep_is_refused_in_words(change: dict[str, object], message: str) -> None:
    with pytest.raises(FeedbackError, match=message):
        Event(**({"session": "s", "item": "a", "kind": "like"} | change))  # type: ignore[arg-type]


def test_odd_text_that_is_text_is_kept(store: Store) -> None:
    odd = ["'; DROP TABLE visrec_events; --", "a\nb", "\x7f", "😀", "..", "=1+1", "\\u0000"]
    for item in odd:
        store.record_event(Event(session="s", item=item, kind="like", extra={"a": item.replace("\\", "")}))
    assert [one.item for one in store.events()] == odd


def test_a_server_that_is_not_there_is_said_without_the_password() -> None:
    with pytest.raises(UnavailableError, match="does not answer") as found:
        Store.open("postgresql://me:secret@127.0.0.1:1/db")
    assert "secret" not in str(found.value)
    assert "me:***@127.0.0.1" in str(found.value)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("mysql://me:secret@host/db", "mysql is not supported"),
        ("sqlite://", "in memory alone"),
        ("://x", "not a valid URL"),
    ],
)
def test_an_address_that_is_none_is_refused(address: str, message: str) -> None:
    with pytest.raises(FeedbackError, match=message) as found:
        Store.open(address)
    assert "secret" not in str(found.value)


def test_a_file_that_is_no_database_is_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    path.write_text("a letter to my aunt, long enough to be more than the head of a database file" * 5)
    before = path.read_bytes()
    with pytest.raises(FeedbackError, match="cannot be used as a database of feedback"):
        Store.open(path)
    assert path.read_bytes() == before


def test_a_run_folder_means_its_feedback_db(tmp_path: Path) -> None:
    with pytest.raises(FeedbackError, match="no such database"):
        Store.open(tmp_path, create=False)
    Store.open(tmp_path).close()
    assert (tmp_path / "feedback.db").is_file()


def test_sessions_deleted_while_others_record_in_them_hurt_nobody(address: str) -> None:
    with Store.open(address) as one, Store.open(address) as other:

        def act(n: int) -> None:
            if n % 6 == 0:
                other.delete_session(f"s{n % 4}")
            else:
                one.record_event(Event(session=f"s{n % 4}", item=n, kind="like"))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(act, range(120)))
        events = list(one.events())
        assert len({event.id for event in events}) == len(events)
        assert one.has_session("s1")  # 6, 12, 18 … are even: only s0 and s2 are ever deleted
        assert {event.item for event in events if event.session in ("s1", "s3")} == {
            n for n in range(120) if n % 2
        }
