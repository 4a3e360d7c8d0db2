"""Rules for a folder of features: does it belong to this data set, and can its numbers be used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from visrec.checks.findings import Finding, finding
from visrec.errors import VisrecError
from visrec.features.features import Features
from visrec.features.finishing import blocks

WIDE = 100
"""A column is too wide whose standard deviation is more than so many times the median of all columns'."""


def check_features(folder: Path, items: list[str], digests: Mapping[str, str]) -> list[Finding]:
    """What is wrong with one folder.

    Args:
        folder: as `visrec extract` writes it.
        items: of the data set, as written.
        digests: SHA-256 of each item's picture file, as far as they are known.
    """
    try:
        features = Features.load(folder)
    except (VisrecError, OSError, ValueError) as error:
        return finding("unreadable-features", 1, [error])
    ids = features.items.written
    known, rows = set(items), set(ids.to_list())
    lacking, extra = sorted(known - rows), sorted(rows - known)
    found = finding("items-without-features", len(lacking), _named(folder, lacking), items=lacking)
    found += finding("features-without-items", len(extra), _named(folder, extra))
    reasons = [f"{folder.name}: {item}: {reason}" for item, reason in features.failures.head(5).iter_rows()]
    found += finding("missing-vector", int(features.missing.sum()), reasons)
    if features.images is not None and digests:
        now = pl.Series([digests.get(item) for item in ids], dtype=pl.String)
        other = (features.images.is_not_null() & now.is_not_null() & (features.images != now)).fill_null(
            value=False
        )
        found += finding("stale-vector", int(other.sum()), _named(folder, ids.filter(other).to_list()))
    return found if features.kind == "image" else found + _numbers(folder, features)


def _named(folder: Path, items: list[str]) -> list[str]:
    return [f"{folder.name}: {item}" for item in items[:5]]


def _numbers(folder: Path, features: Features) -> list[Finding]:
    """NaN, zeros, dead and overly wide columns, in one pass over blocks of rows."""
    n, dim = len(features), features.dim
    finite, zero = np.ones(n, dtype=bool), np.zeros(n, dtype=bool)
    total, squares, count = np.zeros(dim), np.zeros(dim), 0
    low, high = np.full(dim, np.inf), np.full(dim, -np.inf)
    shift: np.ndarray | None = (
        None  # the first row: sums of squares of large numbers would lose the small ones
    )
    for block in blocks(n, int(np.prod(features.values.shape[1:]))):
        values = np.asarray(features.values[block], dtype=np.float64).reshape(
            -1, features.n_regions or 1, dim
        )
        present = ~features.missing[block]
        finite[block] = np.isfinite(values).all(axis=(1, 2)) | ~present
        zero[block] = ~values.any(axis=(1, 2)) & present
        rows = values[present & finite[block] & ~zero[block]].reshape(-1, dim)
        if len(rows) == 0:
            continue
        shift = rows[0] if shift is None else shift
        total += (rows - shift).sum(axis=0)
        squares += ((rows - shift) ** 2).sum(axis=0)
        count += len(rows)
        low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
    written = features.items.written
    found = finding(
        "not-finite-vector", int((~finite).sum()), _named(folder, written.filter(~finite).to_list())
    )
    found += finding("zero-vector", int(zero.sum()), _named(folder, written.filter(zero).to_list()))
    if count < 2:
        return found
    dead = low == high
    found += finding(
        "dead-column", int(dead.sum()), [f"{folder.name}: column {at}" for at in np.flatnonzero(dead)[:5]]
    )
    spread = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0))
    typical = float(np.median(spread[~dead])) if (~dead).any() else 0.0
    wide = (spread > WIDE * typical) & ~dead if typical else np.zeros(dim, dtype=bool)
    examples = [
        f"{folder.name}: column {at}: {spread[at]:.3g}, typical {typical:.3g}"
        for at in np.flatnonzero(wide)[:5]
    ]
    return found + finding("uneven-scale", int(wide.sum()), examples)
