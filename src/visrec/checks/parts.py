"""Rules for what is held out: the parts that the data assign, or those that `leave_last_out` would make."""

from __future__ import annotations

import numpy as np
import polars as pl

from visrec.checks.findings import Finding, finding
from visrec.data.splits import TEST, TRAIN, VALID

_PAIR = ["user_id", "item_id"]


def with_parts(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with a column `part`: that of the data, or that of leaving each user's last basket out."""
    if "evaluation" in rows.columns:
        return rows.with_columns(pl.col("evaluation").alias("part"))
    # In NumPy over sorted rows: windows over as many groups as there are users take many times as long.
    code = rows["user_id"].cast(pl.Categorical).to_physical()
    order = pl.DataFrame({"user": code, "time": rows["time"]}).with_row_index().sort("user", "time")
    place, user, time = (order[name].to_numpy() for name in ("index", "user", "time"))
    starts = np.r_[True, (user[1:] != user[:-1]) | (time[1:] != time[:-1])][: rows.height]  # of a basket
    basket = np.cumsum(starts) - 1
    per_user = np.bincount(user[starts])
    age = np.cumsum(per_user)[user] - 1 - basket  # 0: the user's newest
    found = np.full(rows.height, TRAIN, dtype=np.int8)
    found[place[(age == 0) & (per_user[user] >= 2)]] = TEST
    found[place[(age == 1) & (per_user[user] >= 3)]] = VALID
    return rows.with_columns(pl.Series("part", found))


def check_given_parts(rows: pl.DataFrame) -> list[Finding]:
    """Leaks between the parts that the data assign. `rows` still holds all rows of a pair."""
    if "evaluation" not in rows.columns or rows.height == 0:
        return []
    part = pl.col("evaluation")
    if not (rows["evaluation"] == TEST).any():
        return finding("no-test-rows", 1, ["the column marks only training and validation rows"])
    learnt, held = rows.filter(part == TRAIN), rows.filter(part != TRAIN)
    both = learnt.join(held.select(_PAIR).unique(), on=_PAIR, how="semi").sort("row")
    found = finding("held-out-in-training", both.height, _examples(both), rows=both["row"].to_numpy())
    learnt = learnt.join(both.select("row"), on="row", how="anti")

    newest = learnt.group_by("user_id").agg(pl.col("time").max().alias("newest"))
    early = held.join(newest, on="user_id").filter(pl.col("time") < pl.col("newest")).sort("row")
    found += finding("training-after-held-out", early.height, _examples(early), rows=early["row"].to_numpy())

    baskets = rows.group_by("user_id", "time").agg(part.n_unique().alias("parts")).filter(pl.col("parts") > 1)
    cut = held.join(baskets, on=["user_id", "time"], how="semi").sort("row")
    where = baskets.sort("user_id", "time").head(5).select("user_id", "time").iter_rows()
    found += finding(
        "split-basket",
        baskets.height,
        [f"user {user} at {time:g}" for user, time in where],
        rows=cut["row"].to_numpy(),
    )

    strangers = held.join(learnt.select("user_id").unique(), on="user_id", how="anti").sort("row")
    users = strangers["user_id"].unique().cast(pl.String).sort()
    return found + finding("untrained-user", len(users), users.head(5), rows=strangers["row"].to_numpy())


def check_untrained_items(rows: pl.DataFrame) -> list[Finding]:
    """Items that are held out and that nobody has in training; of rows with a column `part`."""
    taken = rows.filter(pl.col("part") == TRAIN).select("item_id").unique()
    held = rows.filter(pl.col("part") != TRAIN).join(taken, on="item_id", how="anti")
    items = held["item_id"].unique().cast(pl.String).sort()
    return finding("untrained-item", len(items), items.head(5))


def check_leaked_pictures(rows: pl.DataFrame, alike: pl.DataFrame) -> list[Finding]:
    """Held-out rows whose user has a picture of the same group in training, under another id.

    Args:
        rows: one a user-item pair, with a column `part`.
        alike: `item_id, head` of items whose pictures are alike; those with one head are a group.
    """
    known = rows.join(alike.with_columns(pl.col("item_id").cast(rows["item_id"].dtype)), on="item_id")
    learnt = known.filter(pl.col("part") == TRAIN).select("user_id", "head", pl.col("item_id").alias("twin"))
    held = known.filter(pl.col("part") != TRAIN)
    leaked = (
        held.join(learnt, on=["user_id", "head"])
        .filter(pl.col("item_id") != pl.col("twin"))
        .sort("row", "twin")
    )
    leaked = leaked.unique("row", keep="first", maintain_order=True)
    examples = [
        f"user {user}: {item} held out, {twin} in training"
        for user, item, twin in leaked.select("user_id", "item_id", "twin").head(5).iter_rows()
    ]
    return finding("leaked-duplicate", leaked.height, examples, rows=leaked["row"].to_numpy())


def _examples(rows: pl.DataFrame) -> list[str]:
    some = rows.select("row", *_PAIR).head(5).iter_rows()
    return [f"row {int(np.int64(row)) + 1}: user {user}, item {item}" for row, user, item in some]
