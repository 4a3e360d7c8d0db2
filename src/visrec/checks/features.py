"""Rules for a folder of features: does it belong to this data set, and can its numbers be used."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from visrec.checks.findings import Finding, finding
from visrec.checks.images import Pictures
from visrec.checks.origin import check_origin, check_recomputed, check_related, commands_of
from visrec.errors import VisrecError
from visrec.features.features import Features
from visrec.features.finishing import blocks

WIDE = 100
"""A column is too wide whose standard deviation is more than so many times the median of all columns'."""
ONE_SIDED = 0.8
"""Vectors point the same way where the typical cosine of two items is above this."""
FAR = (1e-4, 1e2)
"""The scale is far off where the median standard deviation of columns lies outside."""


def check_features(
    folder: Path, items: pl.Series, pictures: Pictures, *, recompute: int = 0
) -> list[Finding]:
    """What is wrong with one folder.

    Args:
        folder: as `visrec extract` writes it.
        items: of the data set, as written.
        pictures: its files, as far as they were looked at.
        recompute: how many vectors to make again.
    """
    about = {"features": shlex.quote(str(folder))}
    try:
        features = Features.load(folder)
    except (VisrecError, OSError, ValueError) as error:
        return finding("unreadable-features", 1, [error], about=about)
    about |= commands_of(features)
    ids = features.items.written
    lacking, extra = items.filter(~items.is_in(ids.implode())), ids.filter(~ids.is_in(items.implode()))
    found = finding(
        "items-without-features", len(lacking), _named(folder, lacking), items=lacking, about=about
    )
    found += finding("features-without-items", len(extra), _named(folder, extra), about=about)
    reasons = [f"{folder.name}: {item}: {reason}" for item, reason in features.failures.head(5).iter_rows()]
    found += finding("missing-vector", int(features.missing.sum()), reasons, about=about)
    found += _stale(folder, features, pictures, about)
    found += check_origin(folder, features, about)
    if features.kind == "image":
        return found
    found += _numbers(folder, features, about)
    found += check_related(folder, features, pictures, about)
    return found + (check_recomputed(folder, features, pictures, recompute, about) if recompute else [])


def _stale(folder: Path, features: Features, pictures: Pictures, about: Mapping[str, str]) -> list[Finding]:
    if features.images is None:
        return []
    made = pl.DataFrame({"item_id": features.items.written, "image": features.images})
    other = made.join(pictures.digests(), on="item_id", maintain_order="left")
    ids = other.filter(pl.col("image") != pl.col("digest"))["item_id"].unique(maintain_order=True)
    return finding("stale-vector", len(ids), _named(folder, ids), items=ids, about=about)


def _named(folder: Path, items: pl.Series) -> list[str]:
    return [f"{folder.name}: {item}" for item in items.head(5)]


def _numbers(folder: Path, features: Features, about: Mapping[str, str]) -> list[Finding]:
    """NaN, zeros, dead and overly wide columns, scale and direction, in one pass over blocks of rows."""
    n, dim = len(features), features.dim
    finite, zero = np.ones(n, dtype=bool), np.zeros(n, dtype=bool)
    total, squares, count = np.zeros(dim), np.zeros(dim), 0
    directions = np.zeros(dim)  # the sum of all vectors at length 1
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
        directions += (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)).sum(axis=0)
        total += (rows - shift).sum(axis=0)
        squares += ((rows - shift) ** 2).sum(axis=0)
        count += len(rows)
        low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
    written = features.items.written
    found = finding(
        "not-finite-vector", int((~finite).sum()), _named(folder, written.filter(~finite)), about=about
    )
    found += finding("zero-vector", int(zero.sum()), _named(folder, written.filter(zero)), about=about)
    if count < 2:
        return found
    dead = low == high
    examples = [f"{folder.name}: column {at}" for at in np.flatnonzero(dead)[:5]]
    rank = {"rank": str(max(1, min(dim - int(dead.sum()), count - 1)))}
    found += finding("dead-column", int(dead.sum()), examples, about={**about, **rank})
    if dead.all():
        return found
    spread = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0))
    typical = float(np.median(spread[~dead]))
    wide = (spread > WIDE * typical) & ~dead
    examples = [
        f"{folder.name}: column {at}: {spread[at]:.3g}, typical {typical:.3g}"
        for at in np.flatnonzero(wide)[:5]
    ]
    found += finding("uneven-scale", int(wide.sum()), examples, about=about)
    # The mean cosine of two different items: of all pairs, without each item and itself.
    cosine = (float(directions @ directions) - count) / (count * (count - 1))
    told = [f"{folder.name}: the typical cosine of two items is {cosine:.2f}"]
    found += finding("one-sided-vectors", int(cosine > ONE_SIDED), told, about=about)
    told = [f"{folder.name}: the typical column has a standard deviation of {typical:.3g}"]
    return found + finding("far-scale", int(not FAR[0] <= typical <= FAR[1]), told, about=about)
