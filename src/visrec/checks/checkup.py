"""The doctor: `check` looks at a whole data set and says what is wrong, in one list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from visrec.checks.codes import CODES
from visrec.checks.diagnosis import Diagnosis
from visrec.checks.features import check_features
from visrec.checks.findings import Finding
from visrec.checks.images import Pictures, check_pictures, check_presence
from visrec.checks.interactions import check_crowd, check_rows, newest_of_pairs
from visrec.checks.parts import check_given_parts, check_leaked_pictures, check_untrained_items, with_parts
from visrec.checks.tables import Tables, read_tables
from visrec.errors import DataError

_ORDER = {severity: place for place, severity in enumerate(("error", "warning", "note"))}
_STAGES = ("reading the tables", "rows", "what is held out", "users and items")


def check(
    folder: str | Path,
    *,
    min_rating: float | None = None,
    features: Sequence[str | Path] = (),
    recompute: int = 0,
    images: bool = True,
    allow_missing_images: bool = False,
    n_workers: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    now: float | None = None,
) -> Diagnosis:
    """Say what is wrong with a data set folder. Nothing is changed; faults of the data never end it.

    Args:
        folder: the data set.
        min_rating: look at interactions rated at least this.
        features: folders of features that are meant for it.
        recompute: of each of them, make so many vectors again with the extractor that they name, and compare.
        images: whether to look into the picture files, which takes nearly all of the time.
        allow_missing_images: items without a picture are meant to be so.
        n_workers: processes that decode; 0: threads of this process; None: one a core, at most 8.
        progress: called as `progress(done, total, note)`: stages of the tables, then pictures, then features.
        now: seconds since 1970 after which times lie in the future; None: by the clock.

    Raises:
        DataError: there is no such folder, or `min_rating` is given where there are no ratings.
    """
    folder, told = Path(folder), progress or _quiet
    told(0, len(_STAGES), _STAGES[0])
    tables = read_tables(folder)
    found: list[Finding] = list(tables.findings)
    told(1, len(_STAGES), _STAGES[1])
    more, rows = check_rows(tables, now=now)
    found += more
    found += check_presence(
        tables, tables.rows if tables.items is None else rows, allow_missing=allow_missing_images
    )
    rows = _rated(tables, rows, min_rating)
    told(2, len(_STAGES), _STAGES[2])
    found += check_given_parts(rows)
    parted = with_parts(newest_of_pairs(rows))
    found += check_untrained_items(parted)
    told(3, len(_STAGES), _STAGES[3])
    items = pl.concat(
        [tables.known_items, parted["item_id"].unique().cast(pl.String)]
    )  # taken, or listed, or both
    more, facts = check_crowd(parted, items.n_unique())
    found += more
    pictures = Pictures()
    if images:
        more, pictures, sizes = check_pictures(tables, n_workers=n_workers, progress=progress)
        found += more
        found += check_leaked_pictures(parted, pictures.alike(pictures.exact, pictures.near))
        facts["images"] = sizes
    for place, one in enumerate(features):
        told(place, len(features), "features")
        found += check_features(Path(one), tables.known_items, pictures, recompute=recompute)
    told(1, 1, "")
    return Diagnosis(folder, _in_order(found), _rounded(facts), tables, pictures)


def _quiet(done: int, total: int, note: str) -> None:
    """Where nobody wants to know how far it is."""


def _rated(tables: Tables, rows: pl.DataFrame, min_rating: float | None) -> pl.DataFrame:
    if min_rating is None:
        return rows
    if "rating" not in rows.columns:
        raise DataError(
            f"{tables.folder}: min_rating is {min_rating:g} but the interactions have no column rating. "
            f"Leave min_rating out, or add the column."
        )
    newest = newest_of_pairs(rows).filter(pl.col("rating") >= min_rating)
    return rows.join(newest.select("user_id", "item_id"), on=["user_id", "item_id"], how="semi")


def _in_order(found: list[Finding]) -> tuple[Finding, ...]:
    """Errors first; within a severity in the order in which the codes are listed."""
    codes = list(CODES)
    return tuple(sorted(found, key=lambda one: (_ORDER[one.severity], codes.index(one.code))))


def _rounded(facts: Any) -> Any:
    """Facts without digits that mean nothing."""
    if isinstance(facts, dict):
        return {key: _rounded(value) for key, value in facts.items()}
    return float(f"{facts:.4g}") if isinstance(facts, float) else facts
