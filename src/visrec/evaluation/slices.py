"""Results of some of the users: by what they have in their history, by what was held out for them, by any column.

A mean over all users hides for whom a model is good. A slice is a group of users, with the means of each model over
them and their bootstrap intervals. Below `SMALLEST` users a mean says nothing worth reading, and the slice says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from visrec.evaluation.groups import Evaluated, Grouping, groupings
from visrec.evaluation.protocol import targets_of
from visrec.evaluation.significance import FEW_USERS, LEVEL, RESAMPLES, Estimate, bca_ends
from visrec.evaluation.tasks import Protocol

if TYPE_CHECKING:
    import polars as pl

    from visrec.data.catalog import Catalog
    from visrec.data.splits import Split
    from visrec.evaluation.protocol import Report
    from visrec.features.features import Features

SMALLEST = FEW_USERS
"""Users in a slice, below which it is too small to say: a share of 30 has a standard error of up to .09."""

_BLOCK = 1 << 22  # resampled values held at once: 32 MiB


@dataclass(frozen=True)
class Slice:
    """A group of users.

    Attributes:
        label: which ones, such as "5–9" or "portrait".
        n_users: how many.
        models: by model and metric, the mean over these users with its 95 % interval.
    """

    label: str
    n_users: int
    models: Mapping[str, Mapping[str, Estimate]]

    @property
    def is_too_small(self) -> bool:
        """Whether there are too few users to say anything."""
        return self.n_users < SMALLEST


@dataclass(frozen=True)
class Slicing:
    """One way to divide the users.

    Attributes:
        name: "history", "popularity", "new", "visual", or a metadata column.
        heading: what the labels of the slices are about.
        slices: none is empty. By a column, "new": a user may be in several.
    """

    name: str
    heading: str
    slices: tuple[Slice, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; `Slicing.from_dict` reads it."""
        return {
            "heading": self.heading,
            "slices": [
                {
                    "label": one.label,
                    "n_users": one.n_users,
                    "too_small": one.is_too_small,
                    "models": {
                        model: {metric: vars(estimate) for metric, estimate in metrics.items()}
                        for model, metrics in one.models.items()
                    },
                }
                for one in self.slices
            ],
        }

    @classmethod
    def from_dict(cls, name: str, content: Mapping[str, Any]) -> Slicing:
        """What `as_dict` gave."""
        slices = tuple(
            Slice(
                one["label"],
                one["n_users"],
                {
                    model: {metric: Estimate(**estimate) for metric, estimate in metrics.items()}
                    for model, metrics in one["models"].items()
                },
            )
            for one in content["slices"]
        )
        return cls(name, content["heading"], slices)


def slice_reports(
    reports: Mapping[str, Report],
    split: Split,
    *,
    names: Sequence[str] | None = None,
    catalog: Catalog | None = None,
    features: Features | None = None,
    seed: int = 0,
) -> tuple[Slicing, ...]:
    """The means of reports over groups of users.

    Args:
        reports: by the name of the model; of the same split. Users that some report lacks are left out.
        split: what the reports are of.
        names: "history" (interactions in training), "popularity" (how often the held-out items were taken in
            training), "new" (brand-new items, users without a history), "visual" (how unlike each other the
            pictures of the history are), or columns of the metadata (of the held-out items; the most frequent
            values). None: all of these that divide the users, and of the columns at most four.
        catalog: the items' metadata.
        features: for "visual", one vector an item, on the items of the split.
        seed: of the bootstrap.

    Raises:
        ConfigError: a name is unknown, or what it needs is not there.
    """
    if not reports:
        return ()
    ids = _shared_users(reports)
    columns = {
        (model, metric): report.per_user[metric].gather(_places(report, ids)).to_numpy()
        for model, report in reports.items()
        for metric in report.metrics
        if metric in report.per_user.columns
    }
    if not columns or len(ids) == 0:
        return ()
    values = np.stack(list(columns.values()), axis=1).astype(np.float64)  # (B, models x metrics)
    _, found = groups_of_users(reports, split, names=names, catalog=catalog, features=features)
    return tuple(_sliced(one, values, list(columns), seed) for one in found)


def groups_of_users(
    reports: Mapping[str, Report],
    split: Split,
    *,
    names: Sequence[str] | None = None,
    catalog: Catalog | None = None,
    features: Features | None = None,
) -> tuple[pl.Series, list[Grouping]]:
    """Who is in each slice: the users that all reports have, by id, and the groups of them.

    Args:
        reports: one or more, by the name of the model; of the same split.
        split: what the reports are of.
        names: as for `slice_reports`.
        catalog: the items' metadata.
        features: for "visual".

    Raises:
        ConfigError: a name is unknown, or what it needs is not there.
    """
    ids = _shared_users(reports)
    users = split.train.users.indices(ids.to_list())
    protocol = next(iter(reports.values())).protocol
    taken = targets_of(
        split,
        users,
        part=protocol.get("part", "test"),
        protocol=Protocol(**protocol.get("settings", {})),
        metadata=None if catalog is None else catalog.metadata,
        seed=protocol.get("seed", 0),
    )
    evaluated = Evaluated(users, split.train, taken)
    return ids, groupings(evaluated, names, catalog=catalog, features=features, enough=SMALLEST)


def estimates(
    values: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> list[Estimate]:
    """The mean of each column of `values (B, C)` with its interval, the same users drawn for all; NaN is left out.

    The bias-corrected and accelerated bootstrap (BCa; Efron 1987), since most users of a slice have 0 and few have
    much. One matrix product instead of C draws: row r of `counts` says how often resample r has each user.
    """
    n = len(values)
    there = np.isfinite(values)
    sums, whole = np.where(there, values, 0.0), bool(there.all())
    rng = np.random.default_rng(seed)
    blocks = []
    step = max(1, _BLOCK // n)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(0, n, size=(rows, n))
        drawn += n * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
        weight = np.full((rows, 1), float(n)) if whole else counts @ there
        nothing = np.full((rows, values.shape[1]), np.nan)
        blocks.append(np.divide(counts @ sums, weight, out=nothing, where=weight > 0))
    means = np.concatenate(blocks)  # (resamples, C)
    mean = sums.sum(axis=0) / there.sum(axis=0)
    return [
        Estimate(float(m), *bca_ends(column, resampled, level=level))
        for m, column, resampled in zip(mean, values.T, means.T, strict=True)
    ]


def _shared_users(reports: Mapping[str, Report]) -> pl.Series:
    """Ids of the users that all reports have, in the order of the first."""
    ids = next(iter(reports.values())).per_user["user_id"]
    for report in reports.values():
        ids = ids.filter(ids.is_in(report.per_user["user_id"].implode()))
    return ids


def _places(report: Report, ids: Any) -> Any:
    """The rows of some users in a report."""
    import polars as pl

    rows = report.per_user.select("user_id").with_row_index("row")
    return pl.DataFrame({"user_id": ids}).join(rows, on="user_id", how="left", maintain_order="left")["row"]


def _sliced(grouping: Grouping, values: np.ndarray, columns: list[tuple[str, str]], seed: int) -> Slicing:
    slices = []
    for label, members in grouping.groups:
        chosen = values[members]
        there = np.isfinite(chosen).any(axis=0)  # a metric that none of them has is left out
        models: dict[str, dict[str, Estimate]] = {model: {} for model, _ in columns}
        kept = [column for column, has in zip(columns, there, strict=True) if has]
        for (model, metric), estimate in zip(kept, estimates(chosen[:, there], seed=seed), strict=True):
            models[model][metric] = estimate
        slices.append(Slice(label, int(members.sum()), models))
    return Slicing(grouping.name, grouping.heading, tuple(slices))
