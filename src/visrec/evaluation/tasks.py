"""What is asked of a model: which users, which items are their targets, and which are candidates beside them.

A protocol is a rule for these three. Each makes a `Task`; ranking, metrics and reports know nothing else of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import polars as pl
import torch
from pydantic import Field, model_validator
from torch import Tensor

from visrec.compiled import compiled, in_parallel
from visrec.config import Config
from visrec.data.interactions import Histories, Interactions
from visrec.data.splits import Part, Split
from visrec.errors import ConfigError, DataError
from visrec.evaluation.availability import Availability, first_moment
from visrec.ranking import flat_to_write

TUTORIAL_MASKED = 10
"""How many of the items that a user took the tutorial leaves out of the ranking: the newest ones."""

Name = Literal["full", "tutorial", "sampled", "temporal"]
Close = Callable[[Tensor, np.ndarray], None]
"""Makes what is no candidate -inf, in place, in the scores `(b, I)` of some rows `(b,)` of a task."""


class Protocol(Config):
    """How a model is asked. `docs/evaluation.md` says what each protocol answers."""

    name: Name = "full"
    """"full": all items that the user had not taken. "temporal": of these, the ones that were there at the
    moment of the user's held-out event. "sampled": the held-out items and a few drawn ones. "tutorial": as
    published at ACM IUI 2021, errors included."""
    targets: Literal["all", "basket"] = "all"
    """"all": all held-out items of a user. "basket": only those of the first held-out moment, the next basket."""
    negatives: int | None = Field(default=None, ge=1)
    """For "sampled": how many items are drawn for each user; left out: 100."""
    one_of_a_kind: bool | str = False
    """For "temporal": whether an item that somebody took is gone for all others; or the name of a column of
    the items' table that says of which items this is true."""
    users: int | None = Field(default=None, ge=1)
    """Ask only so many users, drawn at random: a quick look, with wider intervals."""

    @model_validator(mode="before")
    @classmethod
    def _negatives_are_told(cls, values: Any) -> Any:
        """So that what is stored with a result says how many there were."""
        is_sampled = isinstance(values, dict) and values.get("name") == "sampled"
        return {**values, "negatives": values.get("negatives") or 100} if is_sampled else values

    @model_validator(mode="after")
    def _options_belong_to_the_name(self) -> Self:
        if self.negatives is not None and self.name != "sampled":
            raise ValueError(f"negatives belong to the protocol 'sampled', not '{self.name}'")
        if self.one_of_a_kind is not False and self.name != "temporal":
            raise ValueError(f"one_of_a_kind belongs to the protocol 'temporal', not '{self.name}'")
        if self.targets != "all" and self.name == "tutorial":
            raise ValueError("the protocol 'tutorial' has its own targets; leave targets out")
        return self


@dataclass(frozen=True, eq=False)
class Task:
    """What is asked of a model.

    Attributes:
        users: `(B,)` user indices.
        targets: B rows: the distinct items to find, sorted; at least one each.
        close: makes what is no candidate -inf in the scores of some rows, in place.
        facts: what was left out, for the record: JSON-able.
    """

    users: np.ndarray
    targets: Histories
    close: Close
    facts: dict[str, Any]

    def only(self, rows: np.ndarray) -> Task:
        """The same of some of its users, by row `(b,)`."""
        return replace(
            self,
            users=self.users[rows],
            targets=self.targets.take(rows),
            close=lambda scores, asked: self.close(scores, rows[asked]),
        )


def task_of(
    split: Split,
    part: Part,
    protocol: Protocol,
    *,
    candidates: np.ndarray | None = None,
    metadata: pl.DataFrame | None = None,
    seed: int = 0,
    may_be_empty: bool = False,
) -> Task:
    """What a protocol asks about a part of a split.

    Args:
        split: its `part` is held out.
        part: "test" or "valid".
        protocol: how.
        candidates: `(I,)` bool, the only items to rank (held-out ones among the rest are left out); None: all.
        metadata: the items' table, in any order; "temporal" looks there.
        seed: of what is drawn: users and "sampled" items.
        may_be_empty: whether a task for nobody is an answer.

    Raises:
        DataError: nothing is held out, or a held-out item was seen before.
    """
    if part not in ("valid", "test"):
        raise ConfigError(f"part is '{part}'; expected 'test' or 'valid'.")
    held, seen = split.part(part), split.seen(part)
    before = _by_user(seen)
    _refuse_seen(held, before, part)
    if protocol.targets == "basket":
        held = next_basket(held)
    if protocol.name == "tutorial":
        task = _tutorial(held, seen)
    elif protocol.name == "temporal":
        task = _temporal(split, held, before, protocol, metadata)
    else:
        task = _full(held, before)
    if candidates is not None:
        task = _among(task, candidates)
    asked = np.flatnonzero(task.targets.lengths > 0)
    if len(asked) == 0 and not may_be_empty:
        why = f" under the protocol '{protocol.name}' ({task.facts})" if len(held) else ""
        raise DataError(f"No user has held-out items in the part '{part}'{why}; nothing can be evaluated.")
    task = task.only(asked)
    if protocol.users is not None and protocol.users < len(asked):
        drawn = np.random.default_rng([seed, 1]).permutation(len(asked))[: protocol.users]
        task = replace(task.only(np.sort(drawn)), facts={**task.facts, "drawn_from_users": len(asked)})
    if protocol.name == "sampled" and len(task.users):  # after the users are known, for it looks at each
        is_open = np.ones(held.n_items, dtype=bool) if candidates is None else candidates
        task = _sampled(task, before, protocol.negatives or 0, seed, is_open)
    return task


def unseen(split: Split, part: Part) -> Task:
    """All users, also those with nothing held out: candidates are all items but those of the parts before."""
    return _full(split.part(part), _by_user(split.seen(part)))


def next_basket(held: Interactions) -> Interactions:
    """Of each user's interactions, those of the earliest moment."""
    return held.where(held.timestamp == first_moment(held, "user")[held.user])


CANDIDATES: dict[Name, str] = {
    "full": "all items but those of the user in the parts before (rows that filters left out are not known)",
    "tutorial": f"all items but the newest {TUTORIAL_MASKED} that the user took before",
    "sampled": "the held-out items and {negatives} drawn at random from those that the user had not taken",
    "temporal": "the items that were there at the user's held-out moment and that the user had not taken before",
}
"""What is ranked, in words; for "sampled" with a place for how many."""

WARNINGS: dict[Name, str] = {
    "tutorial": (
        'Protocol "tutorial": numbers as published at ACM IUI 2021, with its errors, to be set beside old tables and '
        "nothing else. Only the newest ten items of a user are left out of the ranking, nDCG is divided by the ideal "
        "of the hits, several held-out items of a user are merged into the one whose index is their sum, and AUC "
        "counts the whole catalogue."
    ),
    "sampled": (
        'Protocol "sampled": a held-out item competes with a few drawn items, not with the catalogue. Metrics '
        "at k are far too high and may order models otherwise than the full ranking does (Krichene & Rendle 2020); "
        "AUC alone is unbiased. Never set them beside numbers of another protocol."
    ),
}
"""What a reader must know before the numbers."""


def warning_of(protocol: Protocol, n_users: int, of: int | None) -> str:
    """What a reader must know before the numbers; empty where there is nothing."""
    parts = [WARNINGS.get(protocol.name, "")]
    if of is not None:
        parts.append(
            f"A quick look: {n_users:,} of {of:,} users, drawn at random; the intervals are that much wider."
        )
    return " ".join(part for part in parts if part)


# ---- the protocols ---------------------------------------------------------------------------------------


def _full(held: Interactions, closed: Histories) -> Task:
    return Task(np.arange(held.n_users), _by_user(held), _closing(closed), {})


def _tutorial(held: Interactions, seen: Interactions) -> Task:
    """Candidates are all items but the newest ten; several targets become the item whose index is their sum.

    Where there is no such item, or it is among those ten, the user cannot be asked and is left out.
    """
    newest = seen.histories().newest(TUTORIAL_MASKED)
    task = _full(held, newest)
    merged = np.bincount(task.targets.owner, task.targets.items, len(task.users)).astype(np.int64)  # (U,)
    several = task.targets.lengths > 1
    masked = np.zeros(len(merged), dtype=bool)
    masked[newest.owner[newest.items == merged[newest.owner]]] = True
    asked = (task.targets.lengths > 0) & (merged < held.n_items) & ~masked
    indptr = np.concatenate([[0], np.cumsum(asked)]).astype(np.int64)
    facts = {
        "users_with_merged_targets": int((several & asked).sum()),
        "users_without_a_target_after_merging": int((several & ~asked).sum()),
    }
    return replace(task, targets=Histories(indptr, merged[asked]), facts=facts)


def _temporal(
    split: Split, held: Interactions, before: Histories, protocol: Protocol, metadata: pl.DataFrame | None
) -> Task:
    """Candidates are, of the unseen items, those that are there at the moment of the user's first held-out event.

    An item is there from its first interaction in all data, or from the moment that the items' table names,
    if that is earlier. One of a kind is gone once somebody has taken it: the replay of Messina et al.
    (CuratorNet, 2020).
    """
    there = Availability.of(
        split.train.union(split.valid).union(split.test), metadata, protocol.one_of_a_kind
    )
    task, moment = _full(held, before), first_moment(held, "user")

    def close(scores: Tensor, rows: np.ndarray) -> None:
        task.close(scores, rows)
        args = *flat_to_write(scores), there.start, there.gone, moment[rows]
        in_parallel(_close_absent, len(rows), *args, least=1)

    found = there.at(task.targets.items, moment[task.targets.owner])
    facts = {
        "available_from": there.column or "the first interaction",
        "items_never_there": int(np.isinf(there.start).sum()),
        "targets_not_there": int((~found).sum()),
    }
    return Task(task.users, task.targets.where(found), close, facts)


def _sampled(task: Task, before: Histories, n: int, seed: int, is_open: np.ndarray) -> Task:
    """Candidates are the targets and n items that the user has not taken, drawn without replacement.

    All that there are, where they are fewer. What a user gets depends on the seed and the user alone.
    """
    pool = np.flatnonzero(is_open)
    drawn = []
    for row, user in enumerate(task.users.tolist()):
        taken = np.union1d(before.of(user), task.targets.of(row))
        closed = np.searchsorted(pool, taken[is_open[taken]])  # places in the pool
        free = len(pool) - len(closed)
        rank = np.random.default_rng([seed, 2, user]).choice(free, min(n, free), replace=False, shuffle=False)
        # The r-th of the pool that is not closed: r, and one more for each closed place that is not beyond it.
        drawn.append(pool[rank + np.searchsorted(closed - np.arange(len(closed)), rank, side="right")])
    indptr = np.concatenate([[0], np.cumsum([len(one) for one in drawn])]).astype(np.int64)
    others = Histories(indptr, np.concatenate(drawn))

    def close(scores: Tensor, rows: np.ndarray) -> None:
        open_ = [
            (torch.from_numpy(one.owner), torch.from_numpy(one.items))
            for one in (others.take(rows), task.targets.take(rows))
        ]
        values = [scores[place] for place in open_]
        scores.fill_(-torch.inf)
        for place, value in zip(open_, values, strict=True):
            scores[place] = value

    return replace(task, close=close)


def _among(task: Task, candidates: np.ndarray) -> Task:
    """Only some items `(I,)` are candidates."""
    closed = torch.from_numpy(~candidates)

    def close(scores: Tensor, rows: np.ndarray) -> None:
        task.close(scores, rows)
        scores.masked_fill_(closed, -torch.inf)

    return replace(task, targets=task.targets.where(candidates[task.targets.items]), close=close)


# ---- parts of them ---------------------------------------------------------------------------------------


def _closing(items: Histories) -> Close:
    """Closes each row's own items."""

    def close(scores: Tensor, rows: np.ndarray) -> None:
        found = items.take(rows)
        scores.numpy()[found.owner, found.items] = -np.inf

    return close


@compiled
def _close_absent(begin, end, scores, apart, start, gone, now):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Closes what is not there at the moment of each row."""
    for b in range(begin, end):
        line, moment = scores[b * apart : b * apart + len(start)], now[b]
        for i in range(len(line)):
            line[i] = np.float32(-np.inf) if start[i] > moment or gone[i] < moment else line[i]


def _by_user(part: Interactions) -> Histories:
    """The distinct items of each user, sorted."""
    matrix = part.matrix()
    return Histories(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64))


def _refuse_seen(held: Interactions, before: Histories, part: Part) -> None:
    taken = before.owner * held.n_items + before.items  # of each user and item one number, in rising order
    asked = held.user.astype(np.int64) * held.n_items + held.item
    place = np.searchsorted(taken, asked)
    if (taken[place[place < len(taken)]] == asked[place < len(taken)]).any():
        raise DataError(
            f"A held-out item of the part '{part}' was taken before; the parts of a split must differ."
        )
