"""A data set in numbers: sizes, density, distributions per user and item, popularity, baskets, time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visrec.data.dataset import NO_DATA_SET, Dataset, load_catalog, load_dataset
from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.data.order import order_of
from visrec.data.tables import find_table
from visrec.data.times import as_date, unit_of
from visrec.errors import DataError
from visrec.progress import Progress

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
HEADS = (1, 5, 10, 20)
"""Percent of the items, the most taken first, whose share is told."""
LEGEND = (
    "Five numbers are the least, the quartiles and the most. A basket is what one user took at one moment."
)
_PERIODS = 24  # about as many bars as a plot over time has
_BLOCK = 1 << 14  # moments that are turned into dates at once
_SECONDS = {"day": 86_400, "month": 30.44 * 86_400, "year": 365.25 * 86_400}


@dataclass(frozen=True, eq=False)
class Statistics:
    """What there is to count in a data set. One row of the interactions is one user-item pair.

    Attributes:
        n_users: with any interaction.
        n_items: of the catalogue.
        n_interacted: items that anybody took.
        n_images: items with a picture file.
        n_interactions: pairs.
        user_counts: `(U,)` interactions of each user, falling.
        item_counts: `(I,)` interactions of each item that anybody took, falling.
        basket_sizes: `(B,)` items that one user took at one moment, falling.
        first: the day of the first interaction, or its number where the times are no dates.
        last: the same of the last.
        periods: how many interactions fell into each stretch of time, oldest first: its beginning, and the count.
    """

    n_users: int
    n_items: int
    n_interacted: int
    n_images: int
    n_interactions: int
    user_counts: np.ndarray
    item_counts: np.ndarray
    basket_sizes: np.ndarray
    first: str
    last: str
    periods: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, dataset: Dataset) -> Statistics:
        """Count a data set."""
        rows = dataset.interactions
        n_images = int(dataset.catalog.pictured.sum())
        if len(rows) == 0:
            nothing = np.zeros(0, dtype=np.int64)
            return cls(0, rows.n_items, 0, n_images, 0, nothing, nothing, nothing, "", "", ())
        users, items = rows.user_counts(), rows.item_counts()
        n = len(rows)
        # Rows are in time order: those in the middle have the median of all.
        unit = unit_of(rows.timestamp[(n - 1) // 2 : n // 2 + 1])
        return cls(
            n_users=int((users > 0).sum()),
            n_items=rows.n_items,
            n_interacted=int((items > 0).sum()),
            n_images=n_images,
            n_interactions=len(rows),
            user_counts=_falling(users),
            item_counts=_falling(items),
            basket_sizes=_falling(_basket_sizes(rows)),
            first=as_date(float(rows.timestamp[0]), unit),
            last=as_date(float(rows.timestamp[-1]), unit),
            periods=_periods(rows.timestamp, unit),
        )

    @property
    def density(self) -> float:
        """Pairs that occurred, of all pairs of the users and the items that anybody took; in [0, 1]."""
        return self.n_interactions / max(self.n_users * self.n_interacted, 1)

    @property
    def catalog_density(self) -> float:
        """The same among all items of the catalogue; 1 minus it is the sparsity."""
        return self.n_interactions / max(self.n_users * self.n_items, 1)

    @property
    def gini(self) -> float:
        """Gini coefficient of the interactions over the items that anybody took, in [0, 1): 0 is evenly spread."""
        return gini(self.item_counts)

    @property
    def catalog_gini(self) -> float:
        """The same over all items of the catalogue."""
        return gini(np.concatenate([self.item_counts, np.zeros(self.n_items - self.n_interacted)]))

    def head(self, percent: int) -> float:
        """The share of the interactions that the most taken `percent` of the items taken have; at least one item."""
        n = max(1, self.n_interacted * percent // 100)
        return float(self.item_counts[:n].sum() / max(self.n_interactions, 1))

    def lines(self) -> list[tuple[str, str]]:
        """Everything as (name, value) in words, in the order of reading; of pictures alone, what there is of them."""
        share = self.n_images / max(self.n_items, 1)
        pictured = ("items with a picture", f"{self.n_images:,} ({share:.1%})")
        if self.n_interactions == 0:
            return [("items", f"{self.n_items:,}"), pictured]
        return [
            ("users", f"{self.n_users:,}"),
            ("items", f"{self.n_items:,}"),
            ("items taken by anybody", f"{self.n_interacted:,} ({self.n_interacted / self.n_items:.1%})"),
            pictured,
            ("interactions", f"{self.n_interactions:,}"),
            ("density, among items taken", f"{self.density:.4%}"),
            (
                "density, among all items",
                f"{self.catalog_density:.4%} (sparsity {1 - self.catalog_density:.4%})",
            ),
            ("interactions per user", _spread(self.user_counts)),
            ("interactions per item taken", _spread(self.item_counts)),
            ("items taken once", f"{int((self.item_counts == 1).sum()):,}"),
            ("users with one interaction", f"{int((self.user_counts == 1).sum()):,}"),
            *((f"share of the most taken {percent} %", f"{self.head(percent):.1%}") for percent in HEADS),
            ("Gini, among items taken", f"{self.gini:.3f}"),
            ("Gini, among all items", f"{self.catalog_gini:.3f}"),
            ("baskets (one user, one moment)", f"{len(self.basket_sizes):,}"),
            ("items per basket", _spread(self.basket_sizes)),
            ("time", f"{self.first} to {self.last}"),
        ]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "users": self.n_users,
            "items": self.n_items,
            "items_taken": self.n_interacted,
            "items_with_image": self.n_images,
            "interactions": self.n_interactions,
            "density": self.density,
            "density_all_items": self.catalog_density,
            "sparsity": 1 - self.catalog_density,
            "per_user": _quantiles(self.user_counts),
            "per_item": _quantiles(self.item_counts),
            "head": {f"{percent} %": self.head(percent) for percent in HEADS},
            "gini": self.gini,
            "gini_all_items": self.catalog_gini,
            "baskets": len(self.basket_sizes),
            "per_basket": _quantiles(self.basket_sizes),
            "time": {"first": self.first, "last": self.last},
            "over_time": [{"from": start, "interactions": n} for start, n in self.periods],
        }


def load_counted(
    folder: str | Path, *, min_rating: float | None = None, progress: Progress | None = None
) -> Dataset:
    """The data set of a folder, items without a picture included; of a folder of pictures alone, with no interaction.

    Raises:
        DataError: as `load_dataset`.
    """
    folder = Path(folder)
    if min_rating is not None or not folder.is_dir() or find_table(folder, "interactions") is not None:
        return load_dataset(folder, min_rating=min_rating, missing_images="mask", progress=progress)
    catalog = load_catalog(folder, missing_images="mask")
    if not len(catalog):
        raise DataError(f"{folder}: {NO_DATA_SET}")
    nothing = np.zeros(0, dtype=np.int64)
    nobody = Interactions(nothing, nothing, nothing, nothing, IdMap([], kind="user"), catalog.items)
    return Dataset(folder, nobody, catalog, ("There is no table of interactions: items and pictures alone.",))


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of counts `(n,)`, in [0, 1): half the mean difference of two of them, over their mean."""
    rising = np.sort(counts).astype(np.float64)
    n = len(rising)
    if n == 0 or rising.sum() == 0:
        return 0.0
    return float(2 * (np.arange(1, n + 1) * rising).sum() / (n * rising.sum()) - (n + 1) / n)


def card_of(found: Statistics, *, name: str, notes: tuple[str, ...] = ()) -> str:
    """A card of the data set as Markdown: the numbers, and places for what numbers do not say."""
    rows = "\n".join(f"| {what} | {value} |" for what, value in found.lines())
    periods = "\n".join(f"| {start} | {n:,} |" for start, n in found.periods)
    time = f"## Over time\n\n| from | interactions |\n|---|---|\n{periods}\n\n" if found.periods else ""
    said = "".join(f"- {note}\n" for note in notes)
    legend = f"{LEGEND}\n\n" if found.n_interactions else ""
    return f"""# {name}

## What it is

_Who collected it, from where, and what an interaction means: a purchase, a like, a rating._

## In numbers

| | |
|---|---|
{rows}

{legend}{said and said + chr(10)}{time}## Licence and source

_Under which terms it may be used and passed on; where it can be had; what to cite._

## What to mind

_Who is not in it, what was filtered, what the pictures may not be used for._ `visrec check` says what is wrong in it.
"""


def _falling(counts: np.ndarray) -> np.ndarray:
    return np.sort(counts[counts > 0])[::-1]


def _basket_sizes(rows: Interactions) -> np.ndarray:
    order = order_of([rows.user])  # rows are in time order already
    user, time = rows.user[order], rows.timestamp[order]
    starts = np.flatnonzero(np.r_[True, (user[1:] != user[:-1]) | (time[1:] != time[:-1])])
    return np.diff(np.r_[starts, len(user)])


def _periods(times: np.ndarray, unit: float) -> tuple[tuple[str, int], ...]:
    """Counts by year, month or day, whichever makes a plot; by even stretches where there are no dates."""
    first, last = float(times[0]), float(times[-1])
    span = last - first
    if unit and span > 0:
        kind = next((one for one in ("year", "month") if span / unit / _SECONDS[one] >= _PERIODS / 4), "day")
        if span / unit / _SECONDS[kind] <= 10 * _PERIODS:
            letter = {"year": "Y", "month": "M", "day": "D"}[kind]
            low, high = (int(_stretches(np.array([end]), unit, letter)[0]) for end in (first, last))
            counts = np.zeros(high - low + 1, dtype=np.int64)
            for start in range(0, len(times), _BLOCK):
                block = times[start : start + _BLOCK]
                first_and_last = _stretches(block[[0, -1]], unit, letter) - low
                if first_and_last[0] == first_and_last[1]:  # since times rise, so do all between them
                    counts[first_and_last[0]] += len(block)
                else:
                    counts += np.bincount(_stretches(block, unit, letter) - low, minlength=len(counts))
            starts = np.arange(low, high + 1).astype(f"datetime64[{letter}]")
            return tuple((str(start), int(n)) for start, n in zip(starts, counts, strict=True))
    counts, edges = np.histogram(times.astype(np.float64), bins=_PERIODS if span > 0 else 1)
    return tuple((as_date(float(edge), unit), int(n)) for edge, n in zip(edges, counts, strict=False))


def _stretches(times: np.ndarray, unit: float, letter: str) -> np.ndarray:
    """The years, months or days since 1970 of moments."""
    seconds = (times.astype(np.float64) / unit).astype(np.int64).astype("datetime64[s]")
    return seconds.astype(f"datetime64[{letter}]").astype(np.int64)


def _quantiles(counts: np.ndarray) -> dict[str, float]:
    if len(counts) == 0:
        return {}
    found = {f"{q:.0%}": float(v) for q, v in zip(QUANTILES, np.quantile(counts, QUANTILES), strict=True)}
    return {"mean": float(counts.mean()), **found}


def _spread(counts: np.ndarray) -> str:
    five = " · ".join(f"{v:,.0f}" for v in np.quantile(counts, (0, 0.25, 0.5, 0.75, 1)))
    return f"{five} (mean {counts.mean():,.1f})"
