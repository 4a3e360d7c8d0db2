"""Rules for who took what and when: rows, users, items, time. On the rows that can be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from visrec.checks.findings import Finding, finding
from visrec.checks.tables import Tables
from visrec.data.splits import TRAIN
from visrec.data.times import UNITS, as_date, unit_of

BOT_COUNT, BOT_RATIO, BOT_FENCE = 100, 10, 3
"""A bot has more than so many interactions, so many times the median, and lies so many interquartile ranges out."""
HEAVY_HEAD = 0.8
"""Share of the interactions that a tenth of the items may have."""
GAP, GAP_ROWS = 0.1, 100
"""A gap is longer than this share of the whole time, where there are at least so many rows."""
CORES = (2, 3, 5, 10)
_PAIR = ["user_id", "item_id"]
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
    found, rows = _times(tables, rows, datetime.now(UTC).timestamp() if now is None else now)
    more, rows = _copies(tables.written, rows)
    found += more
    if tables.items is not None:
        taken = rows["item_id"].unique()
        stray = taken.filter(~taken.cast(pl.String).is_in(tables.known_items.implode()))
        is_stray = rows["item_id"].is_in(stray.implode())
        unknown, rows = rows.filter(is_stray), rows.filter(~is_stray)
        counts = unknown.group_by(pl.col("item_id").cast(pl.String)).len().sort("item_id")
        examples = [f"{item} ({n:,} rows)" for item, n in counts.head(5).iter_rows()]
        found += finding("unknown-item", counts.height, examples, rows=unknown["row"].to_numpy())
    for name in ("user_id", "item_id"):
        found += _look_alikes(name.removesuffix("_id"), rows[name].unique().cast(pl.String))
    again = rows.filter(_is_repeated(rows))
    older = again.join(newest_of_pairs(again).select("row"), on="row", how="anti")
    if "evaluation" in rows.columns:  # of a pair that is learnt from and held out, a rule of its own tells
        learnt = (pl.col("evaluation") == TRAIN).any() & (pl.col("evaluation") != TRAIN).any()
        older = older.join(again.group_by(_PAIR).agg(learnt).filter("evaluation"), on=_PAIR, how="anti")
    found += finding("repeated-pair", older.height, _pairs(older), rows=older["row"].to_numpy())
    return found, rows


def newest_of_pairs(rows: pl.DataFrame) -> pl.DataFrame:
    """Of each user-item pair the newest row, as `load_dataset` keeps it."""
    repeated = _is_repeated(rows)
    if not repeated.any():
        return rows
    newest = rows.filter(repeated).sort("time", "row").unique(_PAIR, keep="last", maintain_order=True)
    return pl.concat([rows.filter(~repeated), newest])


def _is_repeated(rows: pl.DataFrame) -> pl.Series:
    """`(N,)` whether a row's pair of user and item occurs in another row too."""
    user, item = (pl.col(name).cast(pl.Categorical).to_physical().cast(pl.UInt64) for name in _PAIR)
    return rows.select((user * (1 << 32) + item).is_duplicated()).to_series()


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
    found += finding("single-event-user", one.height, one["user_id"].cast(pl.String).sort().head(5))
    if not constant:
        found += finding("one-basket-user", basket.height, basket["user_id"].cast(pl.String).sort().head(5))
    once = items.filter(pl.col("n") == 1)["item_id"].cast(pl.String).sort()
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


def ratio_to(time: pl.Series, unit: float) -> pl.Series:
    """`(N,)` by what each moment is to be multiplied to be in `unit`, where it looks like another one; else 0.

    Of dates from 1973 on, the units of seconds, milli-, micro- and nanoseconds are told apart by size.
    """
    frame, ratio = pl.DataFrame({"time": time}), pl.lit(0.0)
    for low, high, other in UNITS:
        if other != unit:
            is_it = (pl.col("time") >= low) & (pl.col("time") < high)
            ratio = pl.when(is_it).then(unit / other).otherwise(ratio)
    return frame.select(ratio).to_series()


def folded(ids: pl.Expr) -> pl.Expr:
    """Ids without what tells look-alikes apart: spaces around them, capitals, leading zeros."""
    return ids.str.strip_chars().str.to_lowercase().str.strip_chars_start("0")


def _times(tables: Tables, rows: pl.DataFrame, now: float) -> tuple[list[Finding], pl.DataFrame]:
    """Moments that cannot be."""
    time, unit = rows["time"], unit_of(rows["time"])
    nothing = pl.repeat(value=False, n=rows.height, eager=True)
    negative = (time < 0) if _median(time) >= 0 else nothing
    ratio = ratio_to(time, unit) if unit and tables.has_numbers_for_times else nothing.cast(pl.Float64)
    other = (ratio != 0) & (time * ratio <= (now + _DAY) * unit)
    future = ((time > (now + _DAY) * unit) & ~other) if unit else nothing
    zero = (time == 0) if unit else nothing
    found = []
    for code, bad in (
        ("negative-time", negative),
        ("future-time", future),
        ("other-unit-time", other),
        ("zero-time", zero),
    ):
        at = rows.filter(bad)
        examples = [
            f"user {user}, item {item}: {f'{moment:.0f}' if code == 'other-unit-time' else as_date(moment, unit)}"
            for user, item, moment in at.select("user_id", "item_id", "time").head(5).iter_rows()
        ]
        found += finding(code, at.height, examples, rows=at["row"].to_numpy())
    return found, rows.filter(~(negative | future | zero | other))


def _copies(written: pl.DataFrame, rows: pl.DataFrame) -> tuple[list[Finding], pl.DataFrame]:
    """Rows that repeat another in every column, and the rows without them."""
    # A copy repeats user, item and time: only such rows are compared as a whole.
    alike = rows.filter(_is_repeated(rows))
    alike = alike.filter(alike.select(*_PAIR, "time").is_duplicated())
    if alike.height == 0:
        return [], rows
    place = alike["row"].to_numpy()
    first = written[place].with_columns(pl.Series("__row", place)).unique(written.columns, keep="first")
    later = alike.filter(~pl.col("row").is_in(first["__row"].implode()))
    found = finding("duplicate-row", later.height, _pairs(later), rows=later["row"].to_numpy())
    return found, rows.filter(~pl.col("row").is_in(later["row"].implode()))


def _pairs(rows: pl.DataFrame) -> list[str]:
    some = rows.select("row", "user_id", "item_id").head(5)
    return [f"row {row + 1}: user {user}, item {item}" for row, user, item in some.iter_rows()]


def _look_alikes(kind: str, ids: pl.Series) -> list[Finding]:
    table = pl.DataFrame({"id": ids}).with_columns(folded(pl.col("id")).alias("key"))
    table = table.filter(pl.col("key").is_duplicated())
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
    user, item = (rows[name].cast(pl.Categorical).to_physical().to_numpy() for name in _PAIR)
    found = []
    for k in CORES:  # each core lies within the one before
        while True:
            of_user, of_item = np.bincount(user), np.bincount(item)
            keep = (of_user >= k)[user] & (of_item >= k)[item]
            if keep.all():
                break
            user, item = user[keep], item[keep]
        left = {
            "users": int(np.count_nonzero(of_user)),
            "items": int(np.count_nonzero(of_item)),
            "interactions": len(user),
        }
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
