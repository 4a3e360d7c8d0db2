"""What is known of each item as a vector, aligned to the items by id, with where it came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.data.ids import IdMap, Ids
from visrec.errors import DataError, FeaturesError
from visrec.features.standardization import Standardization, blocks, standardize_into
from visrec.files import read_json, replacing_folder, write_json

FORMAT, VERSION = "visrec features", 1
VALUES, ITEMS, META, STANDARDIZE = "values.npy", "items.parquet", "meta.json", "standardize.npy"


@dataclass(frozen=True, eq=False)
class Features:
    """One vector an item. Frozen.

    Attributes:
        values: `(I, F)` float32, perhaps memory-mapped; read-only; rows of missing items are exactly 0.
        items: the ids, in row order.
        missing: `(I,)` bool, the items without a vector.
        failures: columns `item_id` and `reason`, one row for each missing item, in row order.
        provenance: JSON-able; from `extract`: extractor, weights and their digest, transform, versions, steps.
        standardization: what `standardize` subtracted and divided by; None before.
    """

    values: np.ndarray
    items: IdMap
    missing: np.ndarray
    failures: pl.DataFrame
    provenance: dict[str, Any] = field(default_factory=dict)
    standardization: Standardization | None = None

    def __post_init__(self) -> None:
        n = len(self.items)
        if self.values.ndim != 2 or len(self.values) != n or self.values.dtype != np.float32:
            raise FeaturesError(
                f"Features: values are {self.values.dtype} {self.values.shape}; expected float32 ({n}, F), "
                f"one row for each of the {n} items. Features.from_array(values, item_ids) converts."
            )
        if self.missing.shape != (n,) or self.missing.dtype != np.bool_:
            raise FeaturesError(
                f"Features: missing is {self.missing.dtype} {self.missing.shape}; expected bool ({n},)."
            )
        ids = self.items.take(np.flatnonzero(self.missing)).cast(pl.String)
        if self.failures.columns != ["item_id", "reason"] or not ids.equals(
            self.failures["item_id"].cast(pl.String)
        ):
            raise FeaturesError(
                f"Features: {len(ids)} items are missing, but failures has the columns {self.failures.columns} "
                f"and {self.failures.height} rows; expected item_id and reason, one row for each missing item."
            )
        if self.values[self.missing].any():
            raise FeaturesError("Features: rows of missing items must be 0.")
        for name in ("values", "missing"):
            view = getattr(self, name).view()
            view.setflags(write=False)
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        source = self.provenance.get("extractor", "own values")
        return f"Features({len(self)} items x {self.dim}, {int(self.missing.sum())} missing, {source})"

    @property
    def dim(self) -> int:
        """F, the length of a vector."""
        return int(self.values.shape[1])

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of ids, values and missing: equal features, equal digest."""
        digest = hashlib.sha256(f"{self.items.digest} {self.values.shape}".encode())
        digest.update(self.missing.tobytes())
        for block in blocks(len(self)):
            digest.update(np.ascontiguousarray(self.values[block], dtype="<f4").tobytes())
        return digest.hexdigest()

    @classmethod
    def from_array(
        cls,
        values: np.ndarray,
        item_ids: Ids,
        *,
        missing: np.ndarray | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> Features:
        """Features from a matrix of your own; rows belong to the ids given, in any order.

        Args:
            values: `(n, F)` numbers; row r is the vector of `item_ids[r]`.
            item_ids: `(n,)` distinct ids.
            missing: `(n,)` bool, rows to be treated as missing whatever they hold.
            provenance: JSON-able notes on where the values came from.

        Raises:
            FeaturesError: shapes do not fit, ids are repeated, or a row that is not missing holds NaN or
                infinity (also: a number too large for float32).
        """
        series = _id_series(item_ids)
        n = len(series)
        matrix = np.asarray(values)
        if matrix.ndim != 2 or len(matrix) != n or not np.issubdtype(matrix.dtype, np.number):
            raise FeaturesError(
                f"Features: {n} item ids but values of type {matrix.dtype} and shape {matrix.shape}; "
                f"expected numbers ({n}, F), one row an id."
            )
        masked = np.zeros(n, dtype=bool) if missing is None else np.asarray(missing, dtype=bool)
        if masked.shape != (n,):
            raise FeaturesError(f"Features: missing has shape {masked.shape}; expected ({n},).")
        items = IdMap(series, kind="item")
        if len(items) < n:
            repeated = series.filter(series.is_duplicated()).to_list()[0]
            raise FeaturesError(
                f"Features: {n} rows for {len(items)} distinct item ids: '{repeated}' comes more than once. "
                f"Give each item one row."
            )
        order = np.empty(n, dtype=np.int64)
        order[items.indices(series.to_list())] = np.arange(n)
        with np.errstate(over="ignore", invalid="ignore"):  # reported below, by item
            rows = matrix[order].astype(np.float32)
        masked = masked[order]
        rows[masked] = 0
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any():
            raise FeaturesError(
                f"Features: {int(bad.sum())} rows hold NaN or infinity, first that of item "
                f"'{items.written[int(np.argmax(bad))]}'. Mend them, or mark them with missing=."
            )
        failures = failures_table(items, masked, ["marked as missing"] * int(masked.sum()))
        return cls(rows, items, masked, failures, {"extractor": "own values", **(provenance or {})})

    def align(self, items: IdMap) -> Features:
        """These features, if `items` are the same set of ids; the rows are then in the order of `items`.

        An `IdMap` has its ids in one order whatever order they came in, so equal sets are equal rows.

        Raises:
            FeaturesError: ids of one side are unknown to the other.
        """
        if items == self.items:
            return self
        parts = []
        for ours, theirs, what in (
            (items, self.items, "items of the catalogue have no features"),
            (self.items, items, "items of the features are not in the catalogue"),
        ):
            absent = ours.written.filter(theirs.lookup(ours.written).is_null())
            if len(absent):
                parts.append(f"{len(absent)} of {len(ours)} {what} (first '{absent[0]}')")
        raise FeaturesError(
            f"These features are of another catalogue: {' and '.join(parts)}. Extract features of this "
            f"one: visrec extract DATA --extractor {self.provenance.get('extractor', 'NAME')} --out NEW."
        )

    def standardize(self) -> Features:
        """Each column minus its mean, divided by its standard deviation, over the items that have a vector.

        Constant columns become 0, missing rows stay 0. Standardized features are returned as they are. The
        result is held in memory (I * F * 4 bytes).
        """
        if self.standardization is not None:
            return self
        values = np.empty(self.values.shape, dtype=np.float32)
        fitted = standardize_into(self.values, self.missing, values)
        provenance = {**self.provenance, "steps": [*self.provenance.get("steps", []), "standardize"]}
        return replace(self, values=values, provenance=provenance, standardization=fitted)

    def save(self, folder: str | Path) -> None:
        """Write `values.npy`, `items.parquet`, `meta.json` (and `standardize.npy`): all of them or nothing.

        A folder of that name is replaced.
        """
        with replacing_folder(folder) as temporary:
            np.save(temporary / VALUES, self.values, allow_pickle=False)
            self.write_about(temporary)

    def write_about(self, folder: Path) -> None:
        """Write everything but the values, which whoever calls has written to `folder / VALUES`."""
        reasons = np.full(len(self), None, dtype=object)
        reasons[self.missing] = self.failures["reason"].to_list()
        pl.DataFrame(
            {
                "item_id": self.items.values,
                "missing": self.missing,
                "reason": pl.Series(reasons.tolist(), dtype=pl.String),
            }
        ).write_parquet(folder / ITEMS)
        about = {"format": FORMAT, "version": VERSION, "n_items": len(self), "dim": self.dim}
        about |= {"digest": self.digest, "provenance": self.provenance}
        if self.standardization is not None:
            both = np.stack([self.standardization.mean, self.standardization.std])  # (2, F)
            np.save(folder / STANDARDIZE, both, allow_pickle=False)
            about["standardize_digest"] = hashlib.sha256(both.astype("<f8").tobytes()).hexdigest()
        write_json(folder / META, about)

    @classmethod
    def load(cls, folder: str | Path, *, mmap: bool = True, verify: bool = True) -> Features:
        """Read features that `save` or `extract` wrote.

        Args:
            folder: The folder.
            mmap: Map the values instead of reading them into memory.
            verify: Compare the digest, which reads all values once; may be left out for very large files.

        Raises:
            FeaturesError: there is no such folder, it is not one of features, or it is damaged.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise FeaturesError(
                f"{folder}: no such folder of features. Make it: visrec extract DATA --extractor NAME --out {folder}"
            )
        if not (folder / META).is_file():
            raise FeaturesError(f"{folder}: holds no {META}; expected a folder that `visrec extract` wrote.")
        try:
            features = _read(folder, mmap=mmap, verify=verify)
        except FeaturesError:
            raise
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            EOFError,
            DataError,
            pl.exceptions.PolarsError,
        ) as error:
            what = " ".join(str(error).split()) or type(error).__name__
            raise FeaturesError(f"{folder}: is damaged ({what}). {_AGAIN}") from error
        return features


_AGAIN = "Remove the folder and extract again."


def _read(folder: Path, *, mmap: bool, verify: bool) -> Features:
    about = read_json(folder / META)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise FeaturesError(f"{folder / META}: does not describe features of visrec. Give another folder.")
    if about["version"] != VERSION:
        raise FeaturesError(
            f"{folder}: is of format version {about['version']}; this visrec reads {VERSION}. {_AGAIN}"
        )
    table = pl.read_parquet(folder / ITEMS, columns=["item_id", "missing", "reason"])
    items = IdMap(table["item_id"], kind="item")
    if not items.values.equals(table["item_id"]):
        raise FeaturesError(f"{folder / ITEMS}: ids are repeated or not in order. {_AGAIN}")
    empty = not (about["n_items"] and about["dim"])  # nothing to map
    values = np.load(folder / VALUES, mmap_mode="r" if mmap and not empty else None, allow_pickle=False)
    standardization = None
    if "standardize_digest" in about:
        both = np.load(folder / STANDARDIZE, allow_pickle=False)
        if hashlib.sha256(both.astype("<f8").tobytes()).hexdigest() != about["standardize_digest"]:
            raise FeaturesError(f"{folder / STANDARDIZE}: is damaged (digest mismatch). {_AGAIN}")
        standardization = Standardization(*both)
    features = Features(
        values=values,
        items=items,
        missing=table["missing"].to_numpy().astype(bool),
        failures=table.filter("missing").select("item_id", "reason"),
        provenance=about["provenance"],
        standardization=standardization,
    )
    if features.dim != about["dim"] or (verify and features.digest != about["digest"]):
        raise FeaturesError(
            f"{folder}: values, ids and {META} do not belong together (digest mismatch): the files were "
            f"changed or damaged. {_AGAIN}"
        )
    return features


def failures_table(items: IdMap, missing: np.ndarray, reasons: list[str]) -> pl.DataFrame:
    """The table of `Features.failures`: one reason for each `missing (I,)` item, in row order."""
    ids = items.take(np.flatnonzero(missing))
    return pl.DataFrame({"item_id": ids, "reason": pl.Series(reasons, dtype=pl.String)})


def _id_series(item_ids: Ids) -> pl.Series:
    try:
        return pl.Series("item_id", item_ids)
    except (TypeError, ValueError, OverflowError):
        raise FeaturesError(
            "Features: item ids are of several types; expected all strings or all whole numbers."
        ) from None
