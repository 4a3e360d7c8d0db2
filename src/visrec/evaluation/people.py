"""The people on the page: whom to show, and what to say of them."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from visrec.evaluation.protocol import Report


@dataclass(frozen=True)
class Person:
    """A user of the data set, and what the models offer them. Items are indices of the catalogue.

    Attributes:
        user_id: the external id.
        history: what they had taken before, newest first.
        took: the held-out items: what they really took next.
        lists: by model, what it recommends, best first.
        note: a sentence about the outcome; empty: `note_for` writes one.
    """

    user_id: str
    history: Sequence[int]
    took: Sequence[int]
    lists: Mapping[str, Sequence[int]]
    note: str = ""


def choose_people(reports: Mapping[str, Report], *, n: int = 6, k: int = 10) -> list[str | int]:
    """Ids of users worth a look; the same reports give the same ones.

    A third of the n (rounded down) are those about whom the models disagree the most, by the difference between
    the best and the worst reciprocal rank; a fifth, at least one, are users for whom no model has anything among
    its k best; the others are users for whom some model has. Where a group is too small the next fills up.
    Within a group users with fewer than 3 interactions come last. What is left open is drawn by a hash of the id, so
    nobody is chosen for looking good.

    Args:
        reports: of models on the same split.
        n: how many, at most.
        k: the length of the lists that will be shown, so that what counts as found can be seen.
    """
    first = next(iter(reports.values()), None)
    if first is None or n < 1:
        return []
    ids, rr = _reciprocal_ranks(reports, first)
    drawn = np.array([zlib.crc32(str(one).encode()) for one in ids.to_list()])
    short = first.per_user["n_history"].to_numpy() < 3
    found = rr.max(axis=0) >= 1 / k - 1e-9
    spread = rr.max(axis=0) - rr.min(axis=0)
    at_random = np.lexsort((drawn, short))
    by_spread = np.lexsort((drawn, -spread, short))
    n_none, n_apart = (max(1, n // 5) if n > 1 else 0), (n // 3 if len(reports) > 1 else 0)
    apart = by_spread[found[by_spread]][:n_apart]
    some = at_random[found[at_random] & ~np.isin(at_random, apart)]
    none = at_random[~found[at_random]]
    # Each group in turn gives way only as far as the others can fill its place.
    n_none = min(len(none), max(n_none, n - len(apart) - len(some)))
    some = some[: n - len(apart) - n_none]
    chosen = [*some, *apart, *none[:n_none]]
    return ids.gather(np.array(chosen, dtype=np.int64)).to_list()


def worst_people(
    reports: Mapping[str, Report], *, n: int = 2, but: Collection[str | int] = ()
) -> list[str | int]:
    """Ids of the users whom all models served worst: the lowest of each one's best reciprocal rank comes first.

    Users with fewer than 3 interactions come last, since little was known of them; what is left open is drawn by a
    hash of the id.

    Args:
        reports: of models on the same split.
        n: how many, at most.
        but: users who are shown already.
    """
    first = next(iter(reports.values()), None)
    if first is None:
        return []
    ids, rr = _reciprocal_ranks(reports, first)
    drawn = np.array([zlib.crc32(str(one).encode()) for one in ids.to_list()])
    short = first.per_user["n_history"].to_numpy() < 3
    others = [
        one for one in ids.gather(np.lexsort((drawn, rr.max(axis=0), short))).to_list() if one not in but
    ]
    return others[:n]


def note_for(person: Person, reports: Mapping[str, Report] | None = None) -> str:
    """How well the models did for a person, such as "Found by vbpr at rank 3, by bpr at rank 7."

    Args:
        person: with lists.
        reports: where given, they tell how near the best model came when no list has a hit.
    """
    hits = sorted((ranks[0], name) for name in person.lists if (ranks := ranks_in_list(person, name)))
    if hits:
        best = [f"by {name} at rank {rank}" for rank, name in hits[:3]]
        more = f", and by {len(hits) - 3} more" if len(hits) > 3 else ""
        return f"Found {', '.join(best)}{more}."
    nobody = "neither of these two" if len(person.lists) == 2 else "no model"
    nearest = min(
        (
            (round(1 / row["rr"]), row["n_candidates"], name)
            for name, report in (reports or {}).items()
            for row in report.per_user.filter(pl.col("user_id").cast(pl.String) == person.user_id).to_dicts()
        ),
        default=None,
    )
    if nearest is None:
        return f"Found by {nobody} within its list."
    rank, n_candidates, name = nearest
    return f"Found by {nobody} within its list; {name} came nearest, at rank {rank:,} of {n_candidates:,}."


def ranks_in_list(person: Person, name: str) -> list[int]:
    """Ranks, from 1, of the hits in one list."""
    took = set(person.took)
    return [rank for rank, item in enumerate(person.lists[name], start=1) if item in took]


def _reciprocal_ranks(reports: Mapping[str, Report], first: Report) -> tuple[pl.Series, np.ndarray]:
    """The users of the first report, and the reciprocal rank that each model has for each of them `(models, B)`."""
    ids = first.per_user["user_id"]
    rr = np.stack(
        [
            ids.to_frame()
            .join(one.per_user, on="user_id", how="left", maintain_order="left")["rr"]
            .to_numpy()
            for one in reports.values()
        ]
    )
    return ids, np.nan_to_num(rr)
