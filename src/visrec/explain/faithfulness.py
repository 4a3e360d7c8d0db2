"""Do explanations hold? Deleting what one points at must change the score more than deleting as much at random.

A test by deletion (Samek et al. 2017, "Evaluating the visualization of what a deep neural network has learned"). It
asks whether the explanation is true of the model, not whether the model is right about the person, nor whether people
find it convincing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from visrec.content import Content
from visrec.errors import ConfigError
from visrec.evaluation.significance import Estimate, bootstrap
from visrec.explain.deletions import Deletion, deletions_of
from visrec.explain.question import Question
from visrec.features.features import Features
from visrec.progress import Progress
from visrec.recommender import Recommender

N_USERS = 100
"""Users who are asked."""
N_DRAWS = 5
"""Random deletions a user, whose mean is compared."""
_LEAST_HISTORY = 4  # of fewer items a random part is too often the very part that is named


@dataclass(frozen=True)
class Check:
    """One kind of explanation of one model, over users.

    All changes are in standard deviations of the user's own scores over the catalogue, so that models compare.

    Attributes:
        kind: the part of the explanation: "nearest", "contributions", "attention", "regions", "activation", "visual",
            "attributes".
        deleted: what is deleted, in words.
        signed: True: how far the score falls. False: how far it moves, up or down.
        named: the mean change where what the explanation points at is deleted.
        random: the mean change where as much is deleted at random.
        difference: of the two on the same users, with its interval.
        n: users.
    """

    kind: str
    deleted: str
    signed: bool
    named: float
    random: float
    difference: Estimate
    n: int

    @property
    def holds(self) -> bool:
        """Whether the interval of the difference lies above 0."""
        return self.difference.low > 0

    @property
    def verdict(self) -> str:
        """Of the difference: "yes", "no" (random deletion changes more), or "not shown"."""
        return "yes" if self.holds else "no" if self.difference.high < 0 else "not shown"

    def as_dict(self) -> dict[str, Any]:
        """All of it in what JSON knows."""
        return {**vars(self), "difference": dict(vars(self.difference))}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Check:
        """What `as_dict` gave."""
        return cls(**{**found, "difference": Estimate(**found["difference"])})


def check_explanations(
    model: Recommender,
    content: Features | Content | None = None,
    *,
    attributes: Features | None = None,
    n_users: int = N_USERS,
    n_draws: int = N_DRAWS,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Check, ...]:
    """Delete what a model's explanations point at, for the item that it recommends first to each of some users.

    Args:
        model: a fitted one; models loaded without their features have fewer explanations.
        content: features by which pictures are compared; see `explain`.
        attributes: of `attribute_table`; None: these are not checked.
        n_users: so many users are drawn from those who took at least 4 items.
        n_draws: random deletions a user.
        seed: of users and deletions.
        progress: called with (users done, users, note).

    Returns:
        One check a kind of explanation that the model has; () where it has none, or fewer than two users took enough.

    Raises:
        ConfigError: n_users is below 2, or n_draws below 1.
    """
    if n_users < 2 or n_draws < 1:
        raise ConfigError(f"n_users is {n_users} and n_draws {n_draws}; expected at least 2 and at least 1.")
    deletions = deletions_of(model, content, attributes)
    if not deletions:
        return ()
    rng = np.random.default_rng(seed)
    users = np.flatnonzero(model.histories.lengths >= _LEAST_HISTORY)
    users = np.sort(rng.permutation(users)[:n_users])
    rows: dict[str, list[tuple[float, float]]] = {one.kind: [] for one in deletions}
    for done, (question, spread) in enumerate(_asked(model, users), start=1):
        for one in deletions:
            found = _changes(one, question, n_draws, rng)
            if found is not None:
                rows[one.kind].append((found[0] / spread, found[1] / spread))
        if progress is not None:
            progress(done, len(users), "")
    return tuple(_check(one, rows[one.kind]) for one in deletions if len(rows[one.kind]) > 1)


def _asked(model: Recommender, users: np.ndarray) -> Iterator[tuple[Question, float]]:
    """For each user the question of what is recommended first, and the spread of their scores."""
    for block, _, scores in model.score_blocks(users):
        for user, line in zip(block.tolist(), scores, strict=True):
            row = line.double().numpy()  # (I,)
            history = model.histories.of(user)
            spread = float(row.std())
            row[history] = -np.inf
            if spread > 0 and len(set(history.tolist())) < len(row):
                yield Question(model, user, history, int(np.argmax(row))), spread


def _changes(
    deletion: Deletion, question: Question, n_draws: int, rng: np.random.Generator
) -> tuple[float, float] | None:
    """The change without what is named, and the mean without as much at random; None: there is nothing to delete."""
    with torch.no_grad():
        found = deletion.changes(question, n_draws, rng)
    if found is None:
        return None
    named, random = (np.asarray(one, dtype=np.float64) for one in found)
    if not deletion.signed:
        named, random = np.abs(named), np.abs(random)
    return float(named), float(random.mean())


def _check(deletion: Deletion, rows: list[tuple[float, float]]) -> Check:
    named, random = np.array(rows).T  # (n,) each
    return Check(
        kind=deletion.kind,
        deleted=deletion.deleted,
        signed=deletion.signed,
        named=float(named.mean()),
        random=float(random.mean()),
        difference=bootstrap(named - random),
        n=len(rows),
    )


HEADINGS = ("model", "deleted", "the score", "as explained", "at random", "difference", "people", "holds?")
"""Of the columns of `written`."""


def written(checks: Mapping[str, Sequence[Check]]) -> list[tuple[str, ...]]:
    """Checks of several models as the rows of a table, see `HEADINGS`."""
    return [
        (
            name,
            one.deleted,
            "falls by" if one.signed else "moves by",
            f"{one.named:.3f}".replace("-", "−"),
            f"{one.random:.3f}".replace("-", "−"),
            "{:+.3f} [{:+.3f}, {:+.3f}]".format(*vars(one.difference).values()).replace("-", "−"),
            str(one.n),
            one.verdict,
        )
        for name, found in checks.items()
        for one in found
    ]
