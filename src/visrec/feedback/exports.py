"""A study as tables for statistics: who took part, what they were shown, what they did."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from visrec.errors import FeedbackError
from visrec.feedback.store import Store
from visrec.feedback.studies import Participant, Studies
from visrec.files import replacing

_Row = tuple[object, ...]
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_OUTCOMES = ("click", "like", "unlike", "hide", "unhide")


def export_study(store: Store, study: str, folder: str | Path) -> list[Path]:
    """Write each of `TABLES` as a CSV file into a folder; the paths.

    Participants stand in them by their pseudonyms; sessions do not. Times are UTC, as ISO 8601. An
    answer that a spreadsheet would take for a formula has an apostrophe before it.
    """
    paths = []
    for name in TABLES:
        path = Path(folder) / f"{name}.csv"
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            file.writelines(csv_lines(store, study, name))
        paths.append(path)
    return paths


def csv_lines(store: Store, study: str, table: str) -> Iterator[str]:
    """One of `TABLES` as lines of CSV, the head first.

    Raises:
        FeedbackError: there is no such study or table.
    """
    if table not in TABLES:
        raise FeedbackError(f"There is no table {table!r} of a study; expected {', '.join(TABLES)}.")
    found = Studies(store).participants(study)
    head, rows = TABLES[table]
    return (_line(row) for part in ([head], rows(store, study, found)) for row in part)


def _participants(_store: Store, _study: str, found: list[Participant]) -> Iterator[_Row]:
    for one in found:
        who = (one.pseudonym, one.consent_version, one.consented.isoformat())
        if one.assignment is None:
            yield (*who, "", "", "", "")
        else:
            condition = one.assignment.condition
            explained = "yes" if condition.explanation else "no"
            yield (*who, condition.name, condition.model, explained, one.assignment.time.isoformat())


def _shown(store: Store, study: str, found: list[Participant]) -> Iterator[_Row]:
    who = _by_assignment(found)
    for one in store.shown(study=study):
        if one.assignment not in who:  # of somebody who came while this was written
            continue
        head = (*who[one.assignment], one.id, one.time.isoformat(), one.model or "")
        for rank, item in enumerate(one.items, start=1):
            yield (*head, rank, item.item, "" if item.score is None else item.score)


def _events(store: Store, study: str, found: list[Participant]) -> Iterator[_Row]:
    who = _by_assignment(found)
    ranks = {
        one.id: {str(item.item): rank for rank, item in enumerate(one.items, start=1)}
        for one in store.shown(study=study)
    }
    for one in store.events(study=study):
        if one.assignment not in who:
            continue
        rank = ranks.get(one.recommendation or "", {}).get(str(one.item), "")
        yield (
            *who[one.assignment],
            one.id,
            one.time.isoformat(),
            one.kind,
            one.item,
            one.recommendation or "",
            rank,
            "" if one.weight is None else one.weight,
            json.dumps(dict(one.extra), ensure_ascii=False) if one.extra else "",
        )


def _items(store: Store, study: str, found: list[Participant]) -> Iterator[_Row]:
    """A row an item of a shown list, with what became of it there."""
    who = {one.assignment.id: one for one in found if one.assignment is not None}
    done: dict[tuple[str, str], dict[str, list[datetime]]] = {}
    for event in store.events(study=study):
        times = done.setdefault((event.recommendation or "", str(event.item)), {})
        times.setdefault(event.kind, []).append(event.time)
    for one in store.shown(study=study):
        participant = who.get(one.assignment or 0)
        if participant is None or participant.assignment is None:
            continue
        condition = participant.assignment.condition
        reasons = one.settings.get("reasons", ())
        for rank, item in enumerate(one.items, start=1):
            times = done.get((one.id, str(item.item)), {})
            yield (
                participant.pseudonym,
                condition.name,
                condition.model,
                "yes" if condition.explanation else "no",
                one.settings.get("round", ""),
                one.id,
                one.time.isoformat(),
                rank,
                item.item,
                "" if item.score is None else item.score,
                reasons[rank - 1] if rank <= len(reasons) else "",
                *(_first(times.get(kind)) for kind in _OUTCOMES),
                *(len(times.get(kind, ())) for kind in _OUTCOMES),
            )


def _answers(store: Store, study: str, found: list[Participant]) -> Iterator[_Row]:
    who = _by_assignment(found)
    for assignment, given in Studies(store).answers(study).items():
        if assignment in who:
            for question, answer in given.by_question.items():
                yield (*who[assignment], given.time.isoformat(), question, _as_text(answer))


def _as_text(answer: str | int) -> str | int:
    """An answer that no spreadsheet takes for a formula: anybody may have written it."""
    return f"'{answer}" if isinstance(answer, str) and answer.startswith(_FORMULAS) else answer


def _first(times: list[datetime] | None) -> str:
    return min(times).isoformat() if times else ""


def _by_assignment(found: list[Participant]) -> dict[int | None, tuple[str, str]]:
    return {
        one.assignment.id: (one.pseudonym, one.assignment.condition.name)
        for one in found
        if one.assignment is not None
    }


def _line(row: _Row) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue()


TABLES: dict[str, tuple[_Row, Callable[[Store, str, list[Participant]], Iterator[_Row]]]] = {
    "participants": (
        ("participant", "consent_version", "consented", "condition", "model", "explanation", "assigned"),
        _participants,
    ),
    "shown": (
        ("participant", "condition", "recommendation_id", "time", "model", "rank", "item_id", "score"),
        _shown,
    ),
    "events": (
        (
            "participant",
            "condition",
            "event_id",
            "time",
            "kind",
            "item_id",
            "recommendation_id",
            "rank",
            "weight",
            "extra",
        ),
        _events,
    ),
    "items": (
        (
            *("participant", "condition", "model", "explanation", "round", "recommendation_id", "time"),
            *("rank", "item_id", "score", "reason"),
            *(f"first_{kind}" for kind in _OUTCOMES),
            *(f"n_{kind}" for kind in _OUTCOMES),
        ),
        _items,
    ),
    "answers": (("participant", "condition", "time", "question", "answer"), _answers),
}
"""The tables by their names: their columns, and what makes their rows."""
