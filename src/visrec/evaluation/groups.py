"""Who belongs together: the groups of users that slices are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from visrec.data.interactions import Histories, Interactions
from visrec.errors import ConfigError

if TYPE_CHECKING:
    from visrec.data.catalog import Catalog
    from visrec.features.features import Features

N_BINS = 4
"""Bins of a number: quarters of the users, as far as equal values allow."""

MOST_VALUES = 8
"""Values of a column that have a slice of their own; the others are one slice."""

_MOST_COLUMNS = 4  # of the metadata, where none is named
_MANY_NUMBERS = 12  # a column of more distinct numbers is divided into bins
_FIRST = ("category", "artist")  # columns known by name come first
_NEVER = ("item_id", "title")
_BLOCK = 1024  # users whose vectors are held at once


@dataclass(frozen=True, eq=False)
class Grouping:
    """Groups of users: `groups` has a label and the members `(B,)` bool of each. None is empty."""

    name: str
    heading: str
    groups: tuple[tuple[str, np.ndarray], ...]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """The users that were evaluated.

    Attributes:
        users: `(B,)` indices.
        train: what models learnt from.
        taken: the items of each of the users that were looked for in the lists, one row a user.
    """

    users: np.ndarray
    train: Interactions
    taken: Histories

    @cached_property
    def histories(self) -> Histories:
        """The training items of each of the users."""
        return self.train.histories().take(self.users)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean of `values (I,)` over the held-out items of each user: `(B,)`."""
        sums = np.bincount(self.taken.owner, weights=values[self.taken.items], minlength=len(self.users))
        return sums / self.taken.lengths

    def some(self, mask: np.ndarray) -> np.ndarray:
        """Whether any held-out item of each user is in `mask (I,)`: `(B,)` bool."""
        return np.bincount(self.taken.owner, weights=mask[self.taken.items], minlength=len(self.users)) > 0


def groupings(
    evaluated: Evaluated,
    names: Sequence[str] | None,
    *,
    catalog: Catalog | None,
    features: Features | None,
    enough: int,
) -> list[Grouping]:
    """Groups by each name, or (None) by all names whose groups have at least two of `enough` users.

    Raises:
        ConfigError: a name is unknown, or what it needs is not there.
    """
    columns = _columns(catalog)
    ways: dict[str, Callable[[], Grouping]] = {
        "history": lambda: by_history(evaluated),
        "popularity": lambda: by_popularity(evaluated),
        "new": lambda: by_news(evaluated),
    }
    if features is not None and features.kind != "image":
        vectors = features
        ways["visual"] = lambda: by_visual_diversity(evaluated, vectors)
    if catalog is not None:
        metadata = catalog.metadata
        ways |= {
            column: lambda column=column: by_column(evaluated, column, metadata[column])  # type: ignore[misc]
            for column in columns
            if column not in ways and column != "visual"
        }
    if names is not None:
        check_slices(names, catalog, features=features)
        return [ways[name]() for name in dict.fromkeys(names)]
    found, n_columns = [], 0
    for name in sorted(ways, key=lambda name: (name in columns, name not in _FIRST)):
        if name in columns and n_columns == _MOST_COLUMNS:
            continue
        grouping = ways[name]()
        if sum(int(members.sum()) >= enough for _, members in grouping.groups) >= 2:
            found.append(grouping)
            n_columns += name in columns
    return found


def check_slices(
    names: Sequence[str] | None, catalog: Catalog | None, *, features: Features | bool | None
) -> None:
    """Refuse what cannot be done, before anything slow.

    Args:
        names: as for `groupings`.
        catalog: whose columns there are.
        features: visual features, or whether there will be some.

    Raises:
        ConfigError: a name is unknown, or what it needs is not there.
    """
    columns = _columns(catalog)
    known = list(dict.fromkeys(["history", "popularity", "new", *(["visual"] if features else []), *columns]))
    for name in names or ():
        if name == "visual" and not features:
            raise ConfigError(
                "slices: 'visual' needs visual features, and no model of this run learns from any. Leave it out, or "
                "add a model such as visrank."
            )
        if name not in known:
            raise ConfigError(f"slices: there is no '{name}'. There are {', '.join(known)}.")


def _columns(catalog: Catalog | None) -> list[str]:
    """What can divide items in the catalogue's table."""
    return [] if catalog is None else [one for one in catalog.metadata.columns if one not in _NEVER]


def by_history(evaluated: Evaluated) -> Grouping:
    """By the number of interactions in training."""
    return Grouping("history", "items in the history", _bins(evaluated.histories.lengths))


def by_popularity(evaluated: Evaluated) -> Grouping:
    """By how often the held-out items were taken in training; the mean where a user has several."""
    mean = evaluated.mean(evaluated.train.item_counts().astype(np.float64))
    return Grouping("popularity", "takers that the held-out items had before", _bins(mean))


def by_news(evaluated: Evaluated) -> Grouping:
    """Users with and without brand-new items (nobody took one in training), and users without a history."""
    some_new = evaluated.some(evaluated.train.item_counts() == 0)
    groups = {
        "known items only": ~some_new,
        "a brand-new item": some_new,
        "no history at all": evaluated.histories.lengths == 0,
    }
    return Grouping("new", "brand-new items and users", _there(groups))


def by_visual_diversity(evaluated: Evaluated, features: Features) -> Grouping:
    """By the visual diversity of the history; users with fewer than two pictures in it are in no group."""
    values = visual_diversity(evaluated.histories, features)
    return Grouping("visual", "visual diversity of the history (mean cosine distance)", _bins(values))


def by_column(evaluated: Evaluated, name: str, column: pl.Series) -> Grouping:
    """By what a column of the metadata says of the held-out items; who has several may be in several groups.

    Args:
        evaluated: the users.
        name: of the column.
        column: `(I,)` one value an item; null is in no group. Many numbers are divided into bins; of other values
            the `MOST_VALUES` that most of the users have, then the rest.
    """
    held = np.unique(evaluated.taken.items)
    numbers = column.cast(pl.Float64, strict=False)
    is_number = numbers.null_count() == column.null_count() and column.n_unique() > _MANY_NUMBERS
    if is_number:
        values = np.full(len(column), np.nan)
        values[held] = numbers.to_numpy()[held]
        return Grouping(name, name, _there({label: evaluated.some(mask) for label, mask in _bins(values)}))
    written = column.cast(pl.String).to_numpy()
    known = np.array([one is not None and bool(one.strip()) for one in written])
    said = pl.Series(written[evaluated.taken.items].tolist(), dtype=pl.String)  # also where nothing is said
    pairs = pl.DataFrame({"user": evaluated.taken.owner, "value": said})
    counts = (
        pairs.filter(pl.Series(known[evaluated.taken.items]))
        .unique()
        .group_by("value")
        .len()
        .sort("len", "value", descending=[True, False])
    )
    most = counts["value"].head(MOST_VALUES).to_list()
    groups = {str(value): evaluated.some(written == value) for value in most}
    if counts.height > len(most):
        rest = known & ~np.isin(written.astype(str), most)
        groups[f"{counts.height - len(most):,} others"] = evaluated.some(rest)
    return Grouping(name, name, _there(groups))


def visual_diversity(histories: Histories, features: Features) -> np.ndarray:
    """Mean cosine distance between two pictures of a history: `(B,)`, in [0, 2]; NaN with fewer than two.

    Of n unit vectors f the mean over pairs of 1 - f_a . f_b is 1 - (|sum f|^2 - n) / (n (n - 1)), so no pair is
    looked at (the intra-list distance of Ziegler et al. 2005, of the history). An item counts once; items
    without a vector do not count.
    """
    from scipy import sparse

    vectors, missing = features.vectors, features.missing
    found = np.full(len(histories), np.nan)
    for start in range(0, len(histories), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(histories)))
        block = histories.take(rows)
        items, place = np.unique(block.items, return_inverse=True)
        unit = np.asarray(vectors[items], dtype=np.float64)
        norm = np.linalg.norm(unit, axis=1)
        has = ~missing[items] & (norm > 0)
        unit = np.divide(unit, norm[:, None], out=np.zeros_like(unit), where=has[:, None])
        shape = (len(rows), len(items))
        marks = sparse.csr_array((np.ones(len(place)), (block.owner, place)), shape=shape)
        marks.data[:] = 1.0  # an item taken twice is one picture
        n = marks @ has.astype(np.float64)
        length = ((marks @ unit) ** 2).sum(axis=1)
        pairs = n * (n - 1)
        found[rows] = np.where(pairs > 0, 1 - (length - n) / np.maximum(pairs, 1), np.nan)
    return found


def quantile_bins(values: np.ndarray, n_bins: int = N_BINS) -> np.ndarray:
    """The bin of each value `(B,)`, from 0: quarters, and equal values together; -1 for NaN."""
    known = np.isfinite(values)
    bins = np.full(len(values), -1)
    if not known.any():
        return bins
    shares = np.arange(1, n_bins) / n_bins
    edges = np.unique(np.quantile(values[known], shares, method="inverted_cdf"))
    edges = edges[edges < values[known].max()]
    bins[known] = np.searchsorted(edges, values[known], side="left")
    return bins


def range_labels(values: np.ndarray, bins: np.ndarray) -> list[str]:
    """What the bins of a number `(B,)` hold, by the least and the most in each, such as "5–9"."""
    groups = [values[bins == one] for one in range(bins.max(initial=-1) + 1)]
    digits = _digits(values[np.isfinite(values)])
    return [_range(float(members.min()), float(members.max()), digits) for members in groups]


def _bins(values: np.ndarray) -> tuple[tuple[str, np.ndarray], ...]:
    """The bins of a number with their labels."""
    bins = quantile_bins(values)
    return tuple((label, bins == place) for place, label in enumerate(range_labels(values, bins)))


def _digits(values: np.ndarray) -> int:
    """Decimals that tell the bins of a number apart."""
    if len(values) == 0 or bool((values == np.round(values)).all()):
        return 0
    spread = float(values.max() - values.min())
    return max(0, 2 - int(np.floor(np.log10(spread)))) if spread > 0 else 3


def _range(low: float, high: float, digits: int) -> str:
    ends = [f"{end:.{digits}f}" for end in (low, high)]
    return ends[0] if ends[0] == ends[1] else "–".join(ends)


def _there(groups: dict[str, np.ndarray]) -> tuple[tuple[str, np.ndarray], ...]:
    """The groups that have members."""
    return tuple((label, members) for label, members in groups.items() if members.any())
