"""Rules for who took what and when: rows, users, items, time. On the rows that can be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from visrec.checks.findings import Finding, finding
from visrec.checks.tables import Tables
from visrec.data.times import as_date, unit_of

BOT_COUNT, BOT_RATIO, BOT_FENCE = 100, 10, 3
"""A bot has more than so many interactions, so many times the median, and lies so many interquartile ranges out."""
HEAVY_HEAD = 0.8
"""Share of the interactions that a tenth of the items may have."""
GAP, GAP_ROWS = 0.1, 100
"""A gap is longer than this share of the whole time, where there are at least so many rows."""
CORES = (2, 3, 5, 10)
_DAY = 86_400  # seconds


def check_rows(tables: Tables, *, now: float | None = None) -> tuple[list[Finding], pl.DataFrame]:
    """Rows at fault, and the rows that are left.

    Args:
        tables: what was read.
        now: seconds since 1970; None: by the clock.
    """
    rows = tables.rows
    if tables.written is None or rows.height == 0:
        return [], rows
    found, rows = _times(rows, datetime.now(UTC).timestamp() if now is None else now)
    copies = ~tables.written.is_unique() if tables.written.width else pl.Series([], dtype=pl.Boolean)
    if copies.any():
        marked = tables.written.with_row_index("__row").filter(copies)
        first = marked.unique(tables.written.columns, keep="first", maintain_order=True)["__row"]
        later = rows.filter(pl.col("row").is_in(np.setdiff1d(marked["__row"].to_numpy(), first.to_numpy())))
        found += finding("duplicate-row", later.height, _pairs(later), rows=later["row"].to_numpy())
        rows = rows.filter(~pl.col("row").is_in(later["row"].implode()))
    if tables.items is not None:
        known = pl.Series(tables.known_items(), dtype=pl.String).implode()
        unknown = rows.filter(~pl.col("item_id").is_in(known))
        items = unknown["item_id"].unique().sort()
        examples = [f"{item} ({(unknown['item_id'] == item).sum():,} rows)" for item in items.head(5)]
        found += finding("unknown-item", len(items), examples, rows=unknown["row"].to_numpy())
        rows = rows.filter(pl.col("item_id").is_in(known))
    for name in ("user_id", "item_id"):
        ids = rows[name].unique()
        found += _look_alikes(name.removesuffix("_id"), ids)
    older = rows.join(newest_of_pairs(rows).select("row"), on="row", how="anti")
    if "evaluation" in rows.columns:  # a pair that is in several parts is a leak, which has a rule of its own
        pair = ["user_id", "item_id"]
        mixed = rows.group_by(pair).agg(pl.col("evaluation").n_unique()).filter(pl.col("evaluation") > 1)
        older = older.join(mixed, on=pair, how="anti")
    found += finding("repeated-pair", older.height, _pairs(older), rows=older["row"].to_numpy())
    return found, rows


def newest_of_pairs(rows: pl.DataFrame) -> pl.DataFrame:
    """Of each user-item pair the newest row, as `load_dataset` keeps it."""
    return rows.sort("time", "row").unique(["user_id", "item_id"], keep="last", maintain_order=True)


def check_crowd(rows: pl.DataFrame, n_items: int) -> tuple[list[Finding], dict[str, Any]]:
    """Users, items and time as a whole, and what they look like in numbers.

    Args:
        rows: one a user-item pair.
        n_items: of the catalogue.
    """
    if rows.height == 0:
        return [], {}
    users = rows.group_by("user_id").agg(pl.len().alias("n"), pl.col("time").n_unique().alias("moments"))
    users = users.sort("n", "user_id", descending=[True, False])
    items = rows.group_by("item_id").agg(pl.len().alias("n")).sort("n", "item_id", descending=[True, False])
    one, basket = users.filter(pl.col("n") == 1), users.filter((pl.col("n") > 1) & (pl.col("moments") == 1))
    moments = rows["time"].unique().sort()
    constant = len(moments) == 1 and rows.height > 1
    found = finding("constant-time", int(constant), [as_date(float(moments[0]), unit_of(rows["time"]))])
    found += finding("single-event-user", one.height, one["user_id"].sort().head(5))
    if not constant:
        found += finding("one-basket-user", basket.height, basket["user_id"].sort().head(5))
    once = items.filter(pl.col("n") == 1)["item_id"].sort()
    found += finding("single-event-item", len(once), once.head(5))
    found += _bots(users, rows)
    shares = _head(items["n"].to_numpy())
    if items.height >= 10 and shares["10 %"] > HEAVY_HEAD:
        head = items.head(max(1, items.height // 10))
        found += finding("heavy-head", head.height, [f"{shares['10 %']:.0%} of the interactions"])
    gap, gap_facts = _gap(moments, rows.height)
    facts = {
        "users": users.height,
        "items": n_items,
        "items_taken": items.height,
        "interactions": rows.height,
        "density": rows.height / (users.height * max(n_items, 1)),
        "k_core": _cores(rows),
        "head": shares,
        "time": gap_facts,
    }
    return found + gap, facts


def _times(rows: pl.DataFrame, now: float) -> tuple[list[Finding], pl.DataFrame]:
    """Moments that cannot be."""
    time, unit = rows["time"], unit_of(rows["time"])
    middle = _median(time)
    negative = (time < 0) if middle >= 0 else pl.Series([False] * rows.height)
    future = (time > (now + _DAY) * unit) if unit else pl.Series([False] * rows.height)
    zero = (time == 0) if unit else pl.Series([False] * rows.height)
    found = []
    for code, bad in (("negative-time", negative), ("future-time", future), ("zero-time", zero)):
        at = rows.filter(bad)
        examples = [
            f"user {user}, item {item}: {as_date(moment, unit)}"
            for user, item, moment in at.select("user_id", "item_id", "time").head(5).iter_rows()
        ]
        found += finding(code, at.height, examples, rows=at["row"].to_numpy())
    return found, rows.filter(~(negative | future | zero))


def _pairs(rows: pl.DataFrame) -> list[str]:
    some = rows.select("row", "user_id", "item_id").head(5)
    return [f"row {row + 1}: user {user}, item {item}" for row, user, item in some.iter_rows()]


def _look_alikes(kind: str, ids: pl.Series) -> list[Finding]:
    folded = ids.str.strip_chars().str.to_lowercase().str.strip_chars_start("0")
    table = pl.DataFrame({"id": ids, "key": folded}).filter(pl.col("key").is_duplicated())
    groups = table.group_by("key").agg(pl.col("id").sort()).sort("key")
    examples = [f"{kind}s " + " and ".join(map(repr, group)) for group in groups["id"].head(5).to_list()]
    return finding("look-alike-id", table.height - groups.height, examples)


def _bots(users: pl.DataFrame, rows: pl.DataFrame) -> list[Finding]:
    counts = users["n"].to_numpy()
    low, middle, high = np.percentile(np.log(counts), [25, 50, 75])
    fence = np.exp(high + BOT_FENCE * (high - low))
    bots = users.filter(
        pl.Series((counts > fence) & (counts > BOT_COUNT) & (counts > BOT_RATIO * np.exp(middle)))
    )
    examples = [
        f"user {user}: {n:,} (median {np.exp(middle):,.0f})" for user, n, _ in bots.head(5).iter_rows()
    ]
    taken = rows.filter(pl.col("user_id").is_in(bots["user_id"].implode()))
    return finding("bot-user", bots.height, examples, rows=taken["row"].to_numpy())


def _cores(rows: pl.DataFrame) -> list[dict[str, int]]:
    """How much is left where each user and item must have k: the same as `k_core`, on one pair of arrays."""
    user = rows["user_id"].to_physical().rank("dense").to_numpy().astype(np.int64) - 1
    item = rows["item_id"].rank("dense").to_numpy().astype(np.int64) - 1
    found = []
    for k in CORES:  # each core lies within the one before
        while len(user):
            keep = (np.bincount(user) >= k)[user] & (np.bincount(item) >= k)[item]
            if keep.all():
                break
            user, item = user[keep], item[keep]
        left = {"users": len(np.unique(user)), "items": len(np.unique(item)), "interactions": len(user)}
        found.append({"k": k, **left})
    return found


def _head(counts: np.ndarray) -> dict[str, float]:
    """The share of the interactions that the most taken items have; `counts` falls."""
    return {
        f"{percent} %": float(counts[: max(1, len(counts) * percent // 100)].sum() / counts.sum())
        for percent in (1, 10)
    }


def _gap(moments: pl.Series, n_rows: int) -> tuple[list[Finding], dict[str, Any]]:
    times, unit = moments.to_numpy().astype(np.float64), unit_of(moments)
    facts: dict[str, Any] = {"first": as_date(times[0], unit), "last": as_date(times[-1], unit)}
    if len(times) < 2:
        return [], facts
    gaps = np.diff(times)
    at, span = int(gaps.argmax()), times[-1] - times[0]
    text = f"{as_date(times[at], unit)} to {as_date(times[at + 1], unit)}"
    facts |= {"longest_gap": text, "longest_gap_share": float(gaps[at] / span)}
    is_long = n_rows >= GAP_ROWS and gaps[at] > GAP * span
    return finding("time-gap", int(is_long), [f"{text}, {gaps[at] / span:.0%} of the whole time"]), facts


def _median(column: pl.Series) -> float:
    return float(np.median(column.to_numpy())) if len(column) else 0.0
