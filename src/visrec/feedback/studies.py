"""Studies: who agreed, who is shown what, by chance and in equal numbers."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from visrec.errors import FeedbackError
from visrec.feedback import schema
from visrec.feedback.events import check_json, check_text, now
from visrec.feedback.store import Store

_LONGEST_CONSENT = 50_000  # characters
_LARGEST_ANSWERS = 1 << 20  # bytes of JSON of one participant


@dataclass(frozen=True)
class Condition:
    """What a participant sees: lists of a model, with or without explanations."""

    name: str
    model: str
    explanation: bool


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study: its conditions, and what its participants agree to.

    Attributes:
        id: its name.
        conditions: at least one, each with a name of its own; `crossed` makes them of models.
        consent: the text that is agreed to.
        consent_version: which of its versions.
        seed: decides who gets which condition.
    """

    id: str
    conditions: tuple[Condition, ...]
    consent: str
    consent_version: str = "1"
    seed: int = 0

    def __post_init__(self) -> None:
        check_text("study", self.id)
        check_text("consent text", self.consent, longest=_LONGEST_CONSENT)
        check_text("version of the consent text", self.consent_version)
        if not -(2**63) <= self.seed < 2**63:
            raise FeedbackError(
                f"The seed of study {self.id!r} is {self.seed}; expected a number of 64 bits."
            )
        names = [one.name for one in self.conditions]
        if not names or len(set(names)) < len(names):
            raise FeedbackError(
                f"Study {self.id!r} has the conditions {', '.join(names) or '(none)'}; expected one or more, each "
                f"with a name of its own."
            )
        for one in self.conditions:
            check_text("condition", one.name)
            check_text("model", one.model)

    def condition(self, place: int) -> Condition:
        """That of the participant at a place, counted from 0.

        Permuted blocks: of each n participants that come one after the other, n the number of conditions, every
        condition gets one, in an order that the seed decides. So groups never differ by more than one.
        """
        n = len(self.conditions)
        block = place // n

        def drawn(
            index: int,
        ) -> bytes:  # a hash, so that the order is the same with every version of everything
            return hashlib.sha256(f"{self.seed}\n{self.id}\n{block}\n{index}".encode()).digest()

        return self.conditions[sorted(range(n), key=drawn)[place % n]]


@dataclass(frozen=True)
class Assignment:
    """Which condition a participant has, since when."""

    id: int
    study: str
    participant: str
    condition: Condition
    time: datetime


@dataclass(frozen=True)
class Participant:
    """Somebody who agreed, by a pseudonym that says nothing of the session."""

    pseudonym: str
    consent_version: str
    consented: datetime
    assignment: Assignment | None = field(default=None)


@dataclass(frozen=True)
class Answers:
    """What a participant answered at the end, by question, and when."""

    by_question: Mapping[str, str | int]
    time: datetime


def crossed(models: Sequence[str], explanations: Sequence[bool] = (True, False)) -> tuple[Condition, ...]:
    """Each model with and without explanations, or with one of the two."""
    return tuple(
        Condition(f"{model}, {'explained' if explained else 'not explained'}", model, explained)
        for model in models
        for explained in explanations
    )


class Studies:
    """The studies of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def define(self, study: Study) -> None:
        """Make a study; nothing happens where it is there as it is.

        Raises:
            FeedbackError: it is there with other conditions, another consent text or seed.
        """

        def define(connection: sa.Connection) -> bool:
            made = {"id": study.id, "created": now(), "seed": study.seed, "assigned": 0}
            made |= {"consent_version": study.consent_version, "consent_text": study.consent}
            if not self._store.insert(connection, schema.studies, made):
                return _find(connection, study.id) == study
            rows = [
                {
                    "study_id": study.id,
                    "place": place,
                    "name": one.name,
                    "model": one.model,
                    "explanation": one.explanation,
                }
                for place, one in enumerate(study.conditions)
            ]
            connection.execute(sa.insert(schema.conditions), rows)
            return True

        if not self._store.write(define):
            raise FeedbackError(
                f"The study {study.id!r} is there already, with other conditions, another consent text or another "
                f"seed. What began with one cannot go on with another: give the study another name."
            )

    def get(self, study: str) -> Study:
        """A study by its name; `FeedbackError` if there is none."""
        found = self._store.read(lambda connection: _find(connection, study))
        if found is None:
            raise _unknown(study)
        return found

    def only(self) -> str:
        """The name of the only study that there is; `FeedbackError` if there is none, or there are several."""
        query = sa.select(schema.studies.c.id).order_by(schema.studies.c.id)
        names = self._store.read(lambda connection: connection.scalars(query).all())
        if len(names) != 1:
            there = f"There are the studies {', '.join(names)}; say which." if names else "There is no study"
            raise FeedbackError(f"{there}{'' if names else ' in this database.'}")
        return names[0]

    def consent(self, study: str, session: str, *, version: str) -> Participant:
        """Keep that somebody agreed to a version of the consent text. Done again, it is the first time that counts.

        Raises:
            FeedbackError: there is no such study, or its text has another version.
        """
        current = self.get(study).consent_version
        if version != current:
            raise FeedbackError(
                f"The consent is to version {version!r} of the text, but version {current!r} is the one of study "
                f"{study!r}. Show that one."
            )

        def agree(connection: sa.Connection) -> None:
            self._store.know(connection, session)
            row: dict[str, Any] = {
                "participant": f"p-{secrets.token_hex(6)}",
                "version": version,
                "time": now(),
            }
            row |= {"study_id": study, "session_id": session}
            self._store.insert(connection, schema.consents, row, by=("study_id", "session_id"))

        self._store.write(agree)
        found = self.participant(study, session)
        if found is None:
            raise FeedbackError(f"The session has been deleted while it agreed to take part in {study!r}.")
        return found

    def assign(self, study: str, session: str) -> Assignment:
        """Give a participant a condition; asked again, it is the one that they have.

        Raises:
            FeedbackError: there is no such study, or they have not agreed.
        """
        plan = self.get(study)

        def assign(connection: sa.Connection) -> Assignment | None:
            c = schema.studies.c
            # Counting up comes first: it makes others who assign wait, on both databases.
            count_up = sa.update(schema.studies).where(c.id == study).values(assigned=c.assigned + 1)
            place = connection.execute(count_up.returning(c.assigned)).scalar_one() - 1
            participant = _participant(connection, plan, session)
            if participant is None or participant.assignment is not None:
                undo = sa.update(schema.studies).where(c.id == study).values(assigned=place)
                connection.execute(undo)
                return None if participant is None else participant.assignment
            new = sa.insert(schema.assignments).values(
                study_id=study,
                participant=participant.pseudonym,
                session_id=session,
                place=place,
                condition=plan.condition(place).name,
                time=now(),
            )
            connection.execute(new)
            assigned = _participant(connection, plan, session)
            return None if assigned is None else assigned.assignment

        found = self._store.write(assign)
        if found is None:
            raise FeedbackError(
                f"Nobody is assigned before they have agreed to the consent text of {study!r}."
            )
        return found

    def participant(self, study: str, session: str) -> Participant | None:
        """The participant that a session is; None before they agreed."""
        plan = self.get(study)
        return self._store.read(lambda connection: _participant(connection, plan, session))

    def participants(self, study: str) -> list[Participant]:
        """All who agreed, in the order of their consents."""
        plan = self.get(study)

        def find(connection: sa.Connection) -> list[Participant]:
            rows = connection.execute(_query(study).order_by(schema.consents.c.time)).all()
            return [_as_participant(plan, row) for row in rows]

        return self._store.read(find)

    def answer(self, assignment: Assignment, answers: Mapping[str, str | int]) -> bool:
        """Keep the answers at the end, by question; there may be none. Who has answered is done.

        Returns:
            False if there were answers already: they stay.
        """
        check_json("answers", answers, largest=_LARGEST_ANSWERS)
        row = {"assignment_id": assignment.id, "time": now(), "answers": dict(answers)}
        return self._store.write(
            lambda connection: self._store.insert(connection, schema.answers, row, by=("assignment_id",))
        )

    def answers(self, study: str) -> dict[int, Answers]:
        """The answers of all who are done, by the ids of their assignments, in the order in which they came."""
        mine, theirs = schema.answers, schema.assignments
        query = (
            sa.select(mine)
            .join(theirs, theirs.c.id == mine.c.assignment_id)
            .where(theirs.c.study_id == study)
            .order_by(mine.c.time, mine.c.assignment_id)
        )
        rows = self._store.read(lambda connection: connection.execute(query).all())
        return {row.assignment_id: Answers(dict(row.answers), row.time) for row in rows}

    def has_answered(self, assignment: Assignment) -> bool:
        """Whether a participant is done."""
        query = sa.select(sa.literal(1)).where(schema.answers.c.assignment_id == assignment.id)
        return self._store.read(lambda connection: connection.scalar(query)) is not None

    def withdraw(self, study: str, participant: str) -> bool:
        """Remove everything that is kept of a participant, by their pseudonym; False if there is no such."""
        c = schema.consents.c
        query = sa.select(c.session_id).where(c.study_id == study, c.participant == participant)
        session = self._store.read(lambda connection: connection.scalar(query))
        return session is not None and self._store.delete_session(session)


def _find(connection: sa.Connection, study: str) -> Study | None:
    found = connection.execute(sa.select(schema.studies).where(schema.studies.c.id == study)).one_or_none()
    if found is None:
        return None
    c = schema.conditions.c
    rows = connection.execute(sa.select(schema.conditions).where(c.study_id == study).order_by(c.place)).all()
    return Study(
        id=study,
        conditions=tuple(Condition(row.name, row.model, row.explanation) for row in rows),
        consent=found.consent_text,
        consent_version=found.consent_version,
        seed=found.seed,
    )


def _query(study: str) -> sa.Select[Any]:
    mine, theirs = schema.consents, schema.assignments
    both = (mine.c.study_id == theirs.c.study_id) & (mine.c.participant == theirs.c.participant)
    return (
        sa.select(
            mine.c.participant,
            mine.c.version,
            mine.c.time.label("consented"),
            theirs.c.id,
            theirs.c.condition,
            theirs.c.time.label("assigned"),
        )
        .select_from(mine.outerjoin(theirs, both))
        .where(mine.c.study_id == study)
    )


def _participant(connection: sa.Connection, study: Study, session: str) -> Participant | None:
    query = _query(study.id).where(schema.consents.c.session_id == session)
    row = connection.execute(query).one_or_none()
    return None if row is None else _as_participant(study, row)


def _as_participant(study: Study, row: sa.Row[Any]) -> Participant:
    assignment = None
    if row.id is not None:
        condition = next(one for one in study.conditions if one.name == row.condition)
        assignment = Assignment(row.id, study.id, row.participant, condition, row.assigned)
    return Participant(row.participant, row.version, row.consented, assignment)


def _unknown(study: str) -> FeedbackError:
    return FeedbackError(f"There is no study {study!r} in this database.")
