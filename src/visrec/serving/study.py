"""A study under way: where a participant stands, which list comes next, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from visrec.errors import ConfigError, FeedbackError
from visrec.feedback.events import Event, Id, Kind, Opinions, Shown, ShownItem, check_text
from visrec.feedback.store import Store
from visrec.feedback.studies import Assignment, Participant, Studies
from visrec.serving.engine import Engine
from visrec.serving.once import once
from visrec.serving.question import Question
from visrec.serving.service import Service
from visrec.serving.study_config import QuestionConfig, StudyConfig

LONGEST = 2000
"""Characters of an answer in free text."""


@dataclass(frozen=True)
class Standing:
    """Where somebody stands in a study.

    Attributes:
        participant: None before they agreed.
        opinions: what they like and have hidden.
        lists: what they were shown, in order.
        is_done: whether they have answered the questions at the end.
    """

    participant: Participant | None = None
    opinions: Opinions = field(default_factory=Opinions)
    lists: tuple[Shown, ...] = ()
    is_done: bool = False

    @property
    def assignment(self) -> Assignment | None:
        """Their condition."""
        return None if self.participant is None else self.participant.assignment


class RunningStudy:
    """A study that the service holds. Everything that is written is on the disk when a method returns."""

    def __init__(self, config: StudyConfig, store: Store) -> None:
        self.config = config
        self.store = store
        self.studies = Studies(store)

    @classmethod
    def open(cls, path: Path, service: Service) -> RunningStudy:
        """Begin a study, or go on with it.

        Raises:
            ConfigError: the file is not valid, its models are not there or do not serve visitors, or the service may
                not write.
            FeedbackError: a study of this name is there with other conditions, another consent or seed.
        """
        config = StudyConfig.from_toml(path)
        if not service.writable or service.store is None:
            raise ConfigError(f"{path}: a study keeps what its participants do; leave read_only out.")
        check_models(config, service.engine)
        running = cls(config, service.store)
        running.studies.define(config.study)
        return running

    # ---- where somebody stands ---------------------------------------------------------------------

    def standing(self, session: str | None, engine: Engine) -> Standing:
        """Where a session stands; items that the run does not have any more are left out."""
        participant = None if session is None else self.studies.participant(self.config.name, session)
        if session is None or participant is None or participant.assignment is None:
            return Standing(participant)
        items, mine = engine.catalog.items, participant.assignment.id
        # What somebody liked on other pages before they agreed is no part of the study.
        found = self.store.session_state(session, assignment=mine)
        lists = [one for one in self.store.shown(session=session) if one.assignment == mine]
        return Standing(
            participant,
            Opinions(
                tuple(one for one in found.liked if one in items),
                tuple(one for one in found.hidden if one in items),
            ),
            tuple(sorted(lists, key=lambda one: one.settings["round"])),
            self.studies.has_answered(participant.assignment),
        )

    def wall(self, engine: Engine, page: int) -> list[int]:
        """The pictures to choose from, by index: a page of them, from 1. The same for every participant."""
        order = np.random.default_rng([abs(self.config.seed), 1]).permutation(_pictured(engine))
        n = self.config.wall
        return [int(one) for one in order[(page - 1) * n : page * n]]

    def wall_pages(self, engine: Engine) -> int:
        """How many pages of the wall there are."""
        return max(1, -(-len(_pictured(engine)) // self.config.wall))

    # ---- what they do ------------------------------------------------------------------------------

    def agree(self, session: str, version: str) -> Assignment:
        """Keep the consent, and give the participant a condition."""
        self.studies.consent(self.config.name, session, version=version)
        return self.studies.assign(self.config.name, session)

    def record(
        self,
        session: str,
        standing: Standing,
        *,
        kind: Kind,
        item: Id,
        shown: str | None,
        engine: Engine,
    ) -> None:
        """Keep that a participant did something to an item of the wall (shown is None), or of a list.

        Raises:
            FeedbackError: they do not take part, or this list was not shown to them.
        """
        assignment = standing.assignment
        if assignment is None:
            raise FeedbackError("Only who takes part in the study can do this. Begin at its first page.")
        of = next((one for one in standing.lists if one.id == shown), None)
        if shown is not None and of is None:
            raise FeedbackError("This list was not shown to this participant.")
        extra = {"phase": "wall"} if of is None else {"phase": "list", "round": of.settings["round"]}
        self.store.record_event(
            Event(
                session=session,
                item=item,
                kind=kind,
                recommendation=shown,
                model=None if of is None else of.model,
                run=engine.digest,
                assignment=assignment.id,
                extra=extra,
            )
        )

    def next_list(self, session: str, standing: Standing, engine: Engine) -> Shown:
        """Make and keep the next list: of what they like by now, without what was shown or hidden before.

        Asked twice for the same round, the list that was kept first counts.

        Raises:
            FeedbackError: too little is liked yet, there were all lists, or they do not take part.
        """
        participant, assignment = standing.participant, standing.assignment
        place = len(standing.lists) + 1
        if participant is None or assignment is None or place > self.config.lists:
            raise FeedbackError("There is no further list for this participant.")
        liked = standing.opinions.liked
        if len(liked) < self.config.likes:
            raise FeedbackError(f"Like at least {self.config.likes} pictures first; there are {len(liked)}.")
        before = tuple(item.item for one in standing.lists for item in one.items)
        question = Question(
            assignment.condition.model,
            k=self.config.items,
            liked=liked,
            exclude=(*standing.opinions.hidden, *before),
        )
        ranked = engine.recommend(question)
        settings: dict[str, object] = {"round": place, "k": self.config.items, "liked": len(liked)}
        if assignment.condition.explanation:
            reasons = engine.reasons(question, [one.index for one in ranked])
            settings["reasons"] = [one.because for one in reasons]
        ids = engine.shelf.ids
        shown = Shown(
            session=session,
            items=tuple(ShownItem(ids[one.index], one.score) for one in ranked),
            id=f"{participant.pseudonym}.{place}",
            model=assignment.condition.model,
            run=engine.digest,
            assignment=assignment.id,
            settings=settings,
        )
        self.store.record_shown(shown)
        return shown

    def finish(self, standing: Standing, answers: Mapping[str, str | int]) -> None:
        """Keep the answers at the end; those that were given first stay."""
        if standing.assignment is None or len(standing.lists) < self.config.lists:
            raise FeedbackError("The questions come after the last list.")
        self.studies.answer(standing.assignment, answers)


@once
def _pictured(engine: Engine) -> np.ndarray:
    """The items with a picture, by index."""
    return np.flatnonzero(engine.catalog.pictured)


def check_models(config: StudyConfig, engine: Engine) -> None:
    """Whether a run has what a study compares.

    Raises:
        ConfigError: a model is not there, or knows only those that it has learnt from; or there are too few pictures.
    """
    for model in config.conditions.models:
        if model not in engine.models:
            raise ConfigError(
                f"The study '{config.name}' compares '{model}', but the run has {', '.join(engine.models)}."
            )
        if model not in engine.visitor_models:
            can = ", ".join(engine.visitor_models) or "none of this run"
            raise ConfigError(
                f"The study '{config.name}' compares '{model}', which cannot make lists of what a participant likes: "
                f"it knows only the people that it has learnt from. These can: {can}."
            )
    there = len(_pictured(engine))
    if there < (needed := config.likes + config.lists * config.items):
        raise ConfigError(
            f"The study '{config.name}' needs {needed} pictures: {config.likes} to like and {config.lists} lists of "
            f"{config.items}. The run has {there}."
        )


def checked_answers(
    questions: tuple[QuestionConfig, ...], given: Mapping[str, str]
) -> tuple[dict[str, str | int], dict[str, str]]:
    """Answers as they are kept, and what is wrong, in words, both by question.

    Args:
        questions: of the study.
        given: as a form sends them, by question; "" is no answer.
    """
    answers: dict[str, str | int] = {}
    wrong: dict[str, str] = {}
    for question in questions:
        text = given.get(question.id, "").strip()
        if not text:
            if question.is_required:
                wrong[question.id] = "Please answer this one."
        elif question.kind == "scale":
            if text in map(str, range(1, question.points + 1)):
                answers[question.id] = int(text)
            else:
                wrong[question.id] = f"Please choose a point from 1 to {question.points}."
        else:
            try:
                check_text("answer", text, longest=LONGEST)
                answers[question.id] = text
            except FeedbackError:
                wrong[question.id] = f"Please write at most {LONGEST:,} characters of plain text."
    return answers, wrong
