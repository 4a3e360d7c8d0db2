"""Who agreed is assigned, once, by chance that a seed decides, in equal numbers; and comes out as tables."""

from __future__ import annotations

import csv
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from visrec.errors import FeedbackError
from visrec.feedback.events import Event, Shown, ShownItem
from visrec.feedback.exports import csv_lines, export_study
from visrec.feedback.store import Store
from visrec.feedback.studies import Condition, Studies, Study, crossed

STUDY = Study(id="s", conditions=crossed(["bpr", "vbpr"]), consent="I agree.", consent_version="2", seed=5)


def _take_part(store: Store, session: str) -> str:
    studies = Studies(store)
    studies.consent("s", session, version="2")
    return studies.assign("s", session).condition.name


def test_crossed_conditions_are_every_model_with_and_without_explanation() -> None:
    assert {(one.model, one.explanation) for one in crossed(["a", "b"])} == {
        ("a", True),
        ("a", False),
        ("b", True),
        ("b", False),
    }
    assert len({one.name for one in crossed(["a", "b"])}) == 4


def test_each_block_has_every_condition_once_in_changing_order() -> None:
    blocks = [[STUDY.condition(4 * block + n).name for n in range(4)] for block in range(30)]
    assert all(len(set(block)) == 4 for block in blocks)
    # Of 24 orders, 30 draws show 24 * (1 - (23/24)**30), about 17 different ones.
    assert len({tuple(block) for block in blocks}) >= 10


def test_the_seed_decides_who_gets_what() -> None:
    def order(seed: int) -> list[str]:
        study = Study(id="s", conditions=STUDY.conditions, consent="x", seed=seed)
        return [study.condition(n).name for n in range(40)]

    assert order(5) == order(5) == [STUDY.condition(n).name for n in range(40)]
    assert order(5) != order(6)


def test_a_study_is_kept_as_defined_and_not_changed(store: Store) -> None:
    studies = Studies(store)
    studies.define(STUDY)
    studies.define(STUDY)
    assert studies.get("s") == STUDY
    other = Study(id="s", conditions=STUDY.conditions, consent="Another text.", consent_version="2", seed=5)
    with pytest.raises(FeedbackError, match="give the study another name"):
        studies.define(other)
    with pytest.raises(FeedbackError, match="no study 'x'"):
        studies.get("x")


def test_nobody_is_assigned_before_they_agreed_to_the_text_that_counts(store: Store) -> None:
    studies = Studies(store)
    studies.define(STUDY)
    with pytest.raises(FeedbackError, match="before they have agreed"):
        studies.assign("s", "visitor")
    with pytest.raises(FeedbackError, match="version '1'"):
        studies.consent("s", "visitor", version="1")
    assert studies.participant("s", "visitor") is None
    assert _take_part(store, "visitor") == STUDY.condition(0).name  # the refusals used no place


def test_a_participant_keeps_pseudonym_and_condition(store: Store) -> None:
    studies = Studies(store)
    studies.define(STUDY)
    first = studies.consent("s", "visitor", version="2")
    assert "visitor" not in first.pseudonym
    assigned = studies.assign("s", "visitor")
    assert studies.assign("s", "visitor") == assigned
    again = studies.consent("s", "visitor", version="2")
    assert (again.pseudonym, again.consented, again.assignment) == (
        first.pseudonym,
        first.consented,
        assigned,
    )
    assert _take_part(store, "next") == STUDY.condition(1).name  # asking twice used one place


def test_assignment_at_once_from_two_stores_is_balanced_and_what_the_seed_says(address: str) -> None:
    with Store.open(address) as one, Store.open(address) as other:
        Studies(one).define(STUDY)
        with ThreadPoolExecutor(12) as pool:
            found = list(pool.map(lambda n: _take_part((one, other)[n % 2], f"v{n}"), range(42)))
        assert Counter(found) == Counter(STUDY.condition(n).name for n in range(42))
        sizes = Counter(found).values()
        assert max(sizes) - min(sizes) <= 1


def test_who_withdraws_is_gone_and_others_keep_their_places(store: Store) -> None:
    Studies(store).define(STUDY)
    _take_part(store, "a")
    store.delete_session("a")
    assert Studies(store).participants("s") == []
    assert _take_part(store, "b") == STUDY.condition(1).name


def test_tables_tell_who_saw_and_did_what_and_no_session(store: Store, tmp_path: Path) -> None:
    studies = Studies(store)
    studies.define(STUDY)
    session = store.start_session()
    studies.consent("s", session, version="2")
    mine = studies.assign("s", session)
    studies.consent("s", "undecided", version="2")
    store.record_shown(
        Shown(
            session=session,
            id="r1",
            items=(ShownItem("x,y", 0.5), ShownItem(7)),
            model="bpr",
            assignment=mine.id,
        )
    )
    store.record_event(
        Event(session=session, id="e1", item=7, kind="like", recommendation="r1", assignment=mine.id)
    )
    store.record_event(Event(session=session, id="e2", item=9, kind="click", assignment=mine.id))
    store.record_event(Event(session="outside", item=9, kind="like"))  # not of the study

    paths = export_study(store, "s", tmp_path)
    tables = {path.stem: list(csv.DictReader(path.read_text().splitlines())) for path in paths}
    who = {"participant": mine.participant, "condition": mine.condition.name}
    assert tables["participants"][0]["participant"] == mine.participant
    assert [(one["condition"], one["model"]) for one in tables["participants"]] == [
        (mine.condition.name, mine.condition.model),
        ("", ""),
    ]
    assert tables["participants"][0]["explanation"] == ("yes" if mine.condition.explanation else "no")
    assert [
        (one["recommendation_id"], one["rank"], one["item_id"], one["score"]) for one in tables["shown"]
    ] == [
        ("r1", "1", "x,y", "0.5"),
        ("r1", "2", "7", ""),
    ]
    assert [(one["event_id"], one["kind"], one["item_id"], one["rank"]) for one in tables["events"]] == [
        ("e1", "like", "7", "2"),
        ("e2", "click", "9", ""),
    ]
    assert all(row.items() >= who.items() for name in ("shown", "events") for row in tables[name])
    assert not any(session in path.read_text() for path in paths)


def test_no_answer_is_a_formula_to_a_spreadsheet(store: Store) -> None:
    studies = Studies(store)
    studies.define(STUDY)
    studies.consent("s", "somebody", version=STUDY.consent_version)
    given = {"a": "=1+1", "b": "-1 is what I say", "c": "1 = 1", "d": 7, "e": "@x"}
    studies.answer(studies.assign("s", "somebody"), given)
    rows = list(csv.DictReader(csv_lines(store, "s", "answers")))
    assert [row["answer"] for row in rows] == ["'=1+1", "'-1 is what I say", "1 = 1", "7", "'@x"]


def test_there_is_no_table_of_another_name_or_study(store: Store) -> None:
    Studies(store).define(STUDY)
    with pytest.raises(FeedbackError, match="expected participants, shown, events"):
        csv_lines(store, "s", "sessions")
    with pytest.raises(FeedbackError, match="no study"):
        csv_lines(store, "x", "events")


@pytest.mark.parametrize("conditions", [(), (Condition("a", "bpr", True), Condition("a", "vbpr", True))])
def test_conditions_are_there_and_told_apart(conditions: tuple[Condition, ...]) -> None:
    with pytest.raises(FeedbackError, match="a name of its own"):
        Study(id="s", conditions=conditions, consent="x")


def test_answers_are_kept_once_and_go_with_their_participant(store: Store) -> None:
    studies = Studies(store)
    studies.define(STUDY)
    session = store.start_session()
    studies.consent("s", session, version="2")
    mine = studies.assign("s", session)
    assert not studies.has_answered(mine)
    assert studies.answer(mine, {"fit": 4, "remarks": "fine"})
    assert not studies.answer(mine, {"fit": 1})
    assert studies.has_answered(mine)
    assert dict(studies.answers("s")[mine.id].by_question) == {"fit": 4, "remarks": "fine"}
    lines = list(csv_lines(store, "s", "answers"))
    assert [line.split(",")[-2:] for line in lines[1:]] == [["fit", "4\n"], ["remarks", "fine\n"]]
    assert not studies.withdraw("s", "p-of-nobody")
    assert studies.withdraw("s", mine.participant)
    assert studies.answers("s") == {}
    assert not store.has_session(session)
