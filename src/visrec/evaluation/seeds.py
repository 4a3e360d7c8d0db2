"""Several seeds of a model as one result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from visrec.evaluation.protocol import Report
from visrec.evaluation.significance import Estimate, bootstrap, seed_noise


def over_seeds(reports: Mapping[int, Report]) -> Report:
    """One report of a model that was trained with several seeds, on the same data.

    Each user's values become their means over the seeds, so that comparisons of models stay paired by user. The
    intervals are over users and seeds, see `visrec.evaluation.significance.bootstrap`. Where the values of single
    users are not known (brand-new items) or not all defined (beyond accuracy), the ends of the seeds' intervals are
    averaged instead: over users alone.

    Args:
        reports: by seed. With one of them, it is that one.
    """
    first = next(iter(reports.values()))
    if len(reports) == 1:
        return replace(first, by_seed={})
    found = list(reports.values())
    names = [name for name in first.metrics if name in first.per_user.columns]
    tables = {name: np.stack([one.per_user[name].to_numpy() for one in found]) for name in names}  # (S, B)
    metrics = {
        name: _over_both(tables[name], first) if name in tables else _averaged(name, found)
        for name in first.metrics
    }
    new_items = {
        name: _mean_of([one.new_items[name] for one in found if name in one.new_items])
        for name in first.new_items
    }
    means = [pl.Series(name, table.mean(axis=0)) for name, table in tables.items()]
    means += [_mean_where_defined(name, found) for name in first.beyond if name in first.per_user.columns]
    return replace(
        first,
        metrics=metrics,
        per_user=first.per_user.with_columns(means),
        new_items=new_items,
        beyond={
            name: _mean_of([one.beyond[name] for one in found if name in one.beyond])
            for name in dict.fromkeys(name for one in found for name in one.beyond)
        },
        system={name: float(np.mean([one.system[name] for one in found])) for name in first.system},
        by_seed=dict(reports),
    )


def values_by_seed(report: Report, metric: str) -> np.ndarray:
    """A metric by user: `(B,)`, or `(S, B)` with a row a seed."""
    if not report.by_seed:
        return report.per_user[metric].to_numpy()
    return np.stack([one.per_user[metric].to_numpy() for one in report.by_seed.values()])


def _over_both(table: np.ndarray, first: Report) -> Estimate:
    seed = int(first.protocol.get("intervals", {}).get("seed", 0))
    noise = [seed_noise(table)] if table.shape[1] > 1 else []
    found = bootstrap(table.mean(axis=0), noise=noise, seed=seed)
    # Student's t knows no bounds, but no mean is below what the worst-served user got, nor above the best.
    low, high = np.clip([found.low, found.high], table.min(), table.max())
    return Estimate(found.mean, float(low), float(high))


def _mean_where_defined(name: str, found: Sequence[Report]) -> pl.Series:
    """Of a measure that some users have none of."""
    columns = [one.per_user[name].alias(str(place)) for place, one in enumerate(found)]
    return pl.DataFrame(columns).mean_horizontal().alias(name)


def _averaged(name: str, found: Sequence[Report]) -> Estimate:
    return _mean_of([one.metrics[name] for one in found])


def _mean_of(estimates: Sequence[Estimate]) -> Estimate:
    columns = zip(*((one.mean, one.low, one.high) for one in estimates), strict=True)
    return Estimate(*(float(np.mean(column)) for column in columns))
