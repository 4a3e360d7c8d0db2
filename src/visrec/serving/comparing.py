"""What the comparison is made of: contests, the people behind their numbers, and who is in which slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from visrec.errors import ConfigError
from visrec.evaluation.contest import Contest, contest
from visrec.evaluation.gaps import Gaps, gaps, measures_of
from visrec.evaluation.leaderboard import Leaderboard, leaderboard
from visrec.evaluation.people import Person
from visrec.evaluation.plots.figures import main_metric
from visrec.evaluation.protocol import Report, targets_of, top_items
from visrec.evaluation.slices import Slicing, groups_of_users
from visrec.serving.engine import Engine
from visrec.serving.once import once


@dataclass(frozen=True, eq=False)
class Comparison:
    """The models of a run, as they were judged. What was computed once is kept. Safe in threads.

    Attributes:
        engine: of the run.
    """

    engine: Engine
    _contests: dict[tuple[str, str | None], Contest] = field(default_factory=dict)

    @property
    def reports(self) -> dict[str, Report]:
        """By the name of the model; those without a report are left out."""
        return self.engine.reports

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics of accuracy that all models have by user."""
        return self._shared([list(report.metrics) for report in self.reports.values()])

    @cached_property
    def measures(self) -> list[str]:
        """The metrics, and what is beyond accuracy, that all models have by user."""
        return self._shared([measures_of(report) for report in self.reports.values()])

    @property
    def main(self) -> str:
        """The metric to begin with."""
        return main_metric(self.reports)

    @cached_property
    def board(self) -> Leaderboard:
        """All models by their main metrics."""
        return leaderboard(self.reports)

    @cached_property
    def slicings(self) -> tuple[Slicing, ...]:
        """The results of groups of users."""
        return self.engine.run.slicings

    def contest(self, metric: str, baseline: str | None = None) -> Contest:
        """The models against one of them; see `visrec.evaluation.contest.contest`.

        Raises:
            ConfigError: there are fewer than two models, or there is no such metric or baseline.
        """
        key = metric, baseline
        if (
            key not in self._contests
        ):  # a wrong one raises, so that no more are kept than there are right ones
            self._contests[key] = contest(self.reports, metrics=[metric], baseline=baseline)
        return self._contests[key]

    def rival_of(self, model: str, metric: str, baseline: str) -> str | None:
        """Whom to hold a model against: the baseline, or for the baseline itself the best of the others."""
        if model != baseline:
            return baseline
        others = [name for name in self.reports if name != model]
        return max(others, key=lambda name: self.reports[name][metric], default=None)

    def gaps(self, metric: str, one: str, other: str | None = None, *, piece: str | None = None) -> Gaps:
        """The people behind a number.

        Args:
            metric: from `measures`.
            one: the model.
            other: the model that it is held against, or None.
            piece: only the people of this slice, such as "history:5–9"; None: all.

        Raises:
            ConfigError: there is no such model, metric or slice.
        """
        for name in (one, other):
            if name is not None and name not in self.reports:
                raise ConfigError(
                    f"There is no report of a model '{name}'. There are {', '.join(self.reports) or 'none'}."
                )
        among = None if piece is None else self.members(piece)
        return gaps(self.reports[one], None if other is None else self.reports[other], metric, among=among)

    def members(self, piece: str) -> frozenset[str | int]:
        """Ids of the people in a slice, "name:label"; `ConfigError` if there is none such."""
        if piece not in self.pieces:
            raise ConfigError(
                f"There is no slice '{piece}'. There are {', '.join(self.pieces) or 'none: the run has no slices'}."
            )
        return self._members[piece]

    @cached_property
    def pieces(self) -> dict[str, str]:
        """The slices: "name:label" and what each is, in words."""
        return {
            f"{one.name}:{piece.label}": f"{one.heading}: {piece.label}"
            for one in self.slicings
            for piece in one.slices
        }

    @cached_property
    def _members(self) -> dict[str, frozenset[str | int]]:
        run = self.engine.run
        ids, groupings = groups_of_users(
            self.reports,
            run.split,
            names=[one.name for one in self.slicings],
            catalog=run.data.catalog,
            features=run.content.vector,
        )
        return {
            f"{one.name}:{label}": frozenset(ids.gather(np.flatnonzero(inside)).to_list())
            for one in groupings
            for label, inside in one.groups
        }

    def people(self, users: Sequence[str | int], models: Sequence[str], k: int) -> list[Person]:
        """Some people, with the first k of the lists that the evaluation judged (of each model's first seed)."""
        if not users:
            return []
        engine, run = self.engine, self.engine.run
        rows = run.split.train.users.indices(users)
        protocol = run.reported_protocol
        taken = targets_of(run.split, rows, protocol=protocol, metadata=run.data.catalog.metadata)
        lists = {
            name: top_items(engine.model(name), run.split, rows, k, protocol=protocol, content=run.content)
            for name in models
        }
        return [
            Person(
                user_id=str(user),
                history=engine.person(user).history,
                took=taken.of(place).tolist(),
                lists={name: lists[name][place] for name in models},
            )
            for place, user in enumerate(users)
        ]

    @staticmethod
    def _shared(names: list[list[str]]) -> list[str]:
        return [one for one in names[0] if all(one in others for others in names)] if names else []


@once
def comparison_of(engine: Engine) -> Comparison:
    """The comparison of a run: the same one however often it is asked for."""
    return Comparison(engine)
