"""Feedback as interactions: what people liked and did not take back joins a data set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from visrec.config import digest_of
from visrec.data.dataset import Dataset
from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.data.splits import TRAIN
from visrec.data.times import unit_of

SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "time": pl.Datetime("us", "UTC"),
        "visitor": pl.String(),
        "user_id": pl.String(),
        "item_id": pl.String(),
        "kind": pl.String(),
        "weight": pl.Float64(),
    }
)
"""The columns of a table of events. `visitor` is a digest of the session; ids are as they are written."""

_DIGITS = 16  # of the digest of a session, in the id of a visitor


@dataclass(frozen=True, eq=False)
class Folded:
    """A data set with feedback in it.

    Attributes:
        data: the data set.
        facts: what became of the events, for `data.json`.
    """

    data: Dataset
    facts: dict[str, Any]


def fold(data: Dataset, events: pl.DataFrame) -> Folded:
    """Add to a data set what people like after everything they took back.

    A like that was neither taken back (unlike) nor followed by a hide is an interaction, at the time of the newest
    like, with its weight (1 where it has none). Nothing else is one: a hide says what somebody does not want, and
    interactions are what somebody wants. What the data set itself holds stays, also where somebody took it back.

    An event of an account is its user's, known or new. Each session without an account is a new user of its own,
    `visitor-` and a digest of the session, the same in every run.

    Of a user-item pair that is there already the newest row counts, as within a data set. Only where the data say
    themselves which rows are held out, their rows stay as they are, and new ones are for training.

    Args:
        data: the data set.
        events: in the order in which they came, with the columns of `SCHEMA`.
    """
    before = data.interactions
    rows = _liked(events, before.users)
    known = before.items.lookup(rows["item_id"])
    absent = rows.filter(known.is_null())
    rows = rows.with_columns(known.alias("item")).filter(known.is_not_null())
    useless = rows.filter(~(pl.col("weight") > 0))
    rows = rows.filter(pl.col("weight") > 0)
    users = _users(before.users, rows["user_id"])
    new = len(users) - len(before.users)
    after, added = _joined(before, users, rows)
    notes = [
        f"{added:,} likes of the feedback are folded in, of {events.height:,} events; {new:,} users are new."
    ]
    if absent.height:
        notes.append(
            f"{absent.height:,} likes of the feedback are of items that are not in the catalogue "
            f"(first {absent['item_id'][0]!r}): left out."
        )
    if useless.height:
        notes.append(f"{useless.height:,} likes of the feedback have no positive weight: left out.")
    if added and not unit_of(before.timestamp):
        notes.append(
            "The timestamps of the data set are no Unix times: the feedback is taken to be newer than all of it."
        )
    facts = {
        "events": events.height,
        "digest": digest_of(events.with_columns(pl.col("time").cast(pl.Int64)).rows()),
        "last": None if events.is_empty() else _last(events),
        "interactions": added,
        "new_users": new,
        "not_in_catalog": absent.height,
        "without_positive_weight": useless.height,
    }
    return Folded(replace(data, interactions=after, notes=(*data.notes, *notes)), facts)


def _last(events: pl.DataFrame) -> dict[str, str]:
    last = events.row(-1, named=True)
    return {"id": last["id"], "time": last["time"].isoformat()}


def _liked(events: pl.DataFrame, users: IdMap) -> pl.DataFrame:
    """What is liked in the end: user_id, item_id, time, weight; oldest like first."""
    visitors = _visitors(events, users)
    opinions = events.filter(pl.col("kind").is_in(["like", "unlike", "hide"])).with_row_index("place")
    return (
        opinions.join(visitors, on="visitor", how="left")
        .with_columns(pl.col("user_id").fill_null(pl.col("name")), pl.col("weight").fill_null(1.0))
        .sort("place")
        .unique(["user_id", "item_id"], keep="last", maintain_order=True)
        .filter(pl.col("kind") == "like")
        .select("user_id", "item_id", "time", "weight")
    )


def _visitors(events: pl.DataFrame, users: IdMap) -> pl.DataFrame:
    """A name for each visitor that no user has, of the data set or of the events."""
    visitors = events.select(pl.col("visitor").unique().sort())
    taken = set(users.written.to_list()) | set(events["user_id"].drop_nulls().to_list())
    prefix = "visitor-"
    while True:
        names = [prefix + one[:_DIGITS] for one in visitors["visitor"].to_list()]
        if taken.isdisjoint(names):
            return visitors.with_columns(pl.Series("name", names, dtype=pl.String))
        prefix += "-"


def _users(known: IdMap, mine: pl.Series) -> IdMap:
    """The users of both; numbers stay numbers if all are."""
    new = mine.filter(known.lookup(mine).is_null()).unique()
    if new.is_empty():
        return known
    if known.values.dtype.is_integer():
        numbers = new.cast(pl.Int64, strict=False)
        if numbers.cast(pl.String).equals(new):
            return IdMap(pl.concat([known.values, numbers.rename("id")]), kind=known.kind)
    return IdMap(pl.concat([known.written.rename("id"), new.rename("id")]), kind=known.kind)


def _joined(before: Interactions, users: IdMap, rows: pl.DataFrame) -> tuple[Interactions, int]:
    """The interactions of both on these users, one a pair, and how many are of `rows`."""
    old = pl.DataFrame(
        {
            "user": users.lookup(before.users.written).to_numpy()[before.user],
            "item": before.item.astype(np.int64),
            "timestamp": before.timestamp,
            "weight": before.weight,
            "evaluation": np.zeros(len(before), np.int8) if before.evaluation is None else before.evaluation,
            "is_new": np.zeros(len(before), dtype=bool),
        }
    )
    new = pl.DataFrame(
        {
            "user": users.lookup(rows["user_id"]).to_numpy(),
            "item": rows["item"].to_numpy(),
            "timestamp": _timestamps(rows["time"], before.timestamp),
            "weight": rows["weight"].to_numpy().astype(np.float32),
            "evaluation": np.full(rows.height, TRAIN, np.int8),
            "is_new": np.ones(rows.height, dtype=bool),
        }
    )
    assigned = before.evaluation is not None
    both = pl.concat([old, new]).with_columns((pl.col("is_new") != assigned).alias("counts_more"))
    order = ["counts_more"] if assigned else ["timestamp", "counts_more"]
    both = both.sort(order, maintain_order=True).unique(["user", "item"], keep="last", maintain_order=True)
    joined = Interactions(
        user=both["user"].to_numpy(),
        item=both["item"].to_numpy(),
        timestamp=both["timestamp"].to_numpy(),
        weight=both["weight"].to_numpy(),
        users=users,
        items=before.items,
        evaluation=both["evaluation"].to_numpy() if assigned else None,
    )
    return joined, int(both["is_new"].sum())


def _timestamps(times: pl.Series, like: np.ndarray) -> np.ndarray:
    """Moments `(N,)` in the unit of a data set; where that is not known, after everything, in their order."""
    unit = unit_of(like)
    moments = times.cast(pl.Int64).to_numpy()  # microseconds
    if unit:
        if like.dtype.kind == "i":  # whole microseconds to whole units, without rounding through a float
            exact = moments * int(unit // 1e6) if unit >= 1e6 else moments // int(1e6 // unit)
            return exact.astype(like.dtype)
        return moments / 1e6 * unit
    newest = like.max() if len(like) else 0
    return (newest + 1 + np.unique(moments, return_inverse=True)[1]).astype(like.dtype)
