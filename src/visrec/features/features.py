"""What is known of each item as a vector, as regions, or as pixels, aligned to the items by id, with its origin."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from visrec.data.ids import IdMap, Ids
from visrec.errors import DataError, FeaturesError
from visrec.features.finishing import Finishing, Steps, blocks, present_rows
from visrec.features.rows import RowReader
from visrec.files import file_digest, read_json, replacing, replacing_folder, write_json

FORMAT, VERSION = "visrec features", 2
VALUES, RAW, ITEMS, META = "values.npy", "raw.npy", "items.parquet", "meta.json"
FINISHING, LEARNT = "finishing.safetensors", "extractor.safetensors"
_STANDARDIZE = "standardize.npy"  # of version 1
_DTYPES = (np.dtype(np.float32), np.dtype(np.float16))
_PIXELS = np.dtype(np.uint8)


@dataclass(frozen=True, eq=False)
class Features:
    """One vector an item, or R regions of its picture, or its pixels. Frozen.

    Attributes:
        values: `(I, F)` or `(I, R, F)`, float32 or float16, or `(I, S, S, 3)` uint8 RGB; perhaps memory-mapped;
            read-only; rows of missing items are exactly 0.
        items: the ids, in row order.
        missing: `(I,)` bool, the items without a vector.
        failures: columns `item_id` and `reason`, one row for each missing item, in row order.
        provenance: JSON-able; from `extract`: extractor, weights and their digest, transform, versions, steps.
        finishing: the steps from `raw` to `values`, fitted; they treat new vectors alike.
        raw: what the extractor gave, of the same kind; None: `values` are as it gave them.
        images: SHA-256 (hex) of each item's image file, null where it has none; None: the values are not from images.
        learnt: what the extractor learnt from the catalogue (a codebook), by name; mostly nothing.
        folder: where `load` read them; None: they are in memory alone. What is derived from them may be kept there.
    """

    values: np.ndarray
    items: IdMap
    missing: np.ndarray
    failures: pl.DataFrame
    provenance: dict[str, Any] = field(default_factory=dict)
    finishing: Finishing = field(default_factory=Finishing)
    raw: np.ndarray | None = None
    images: pl.Series | None = None
    learnt: Mapping[str, np.ndarray] = field(default_factory=dict)
    folder: Path | None = None

    def __post_init__(self) -> None:
        n = len(self.items)
        for values in (self.values,) if self.raw is None else (self.values, self.raw):
            fits = values.ndim in (2, 3) and values.dtype in _DTYPES
            if len(values) != n or not (fits or (values.ndim == 4 and values.dtype == _PIXELS)):
                raise FeaturesError(
                    f"Features: values are {values.dtype} {values.shape}; expected float32 or float16, ({n}, F) or "
                    f"({n}, R, F), or pixels uint8 ({n}, S, S, 3), one row for each of the {n} items. "
                    f"Features.from_array(values, item_ids) converts."
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
        for name in ("values", "missing", "raw"):
            if getattr(self, name) is not None:
                view = getattr(self, name).view()
                view.setflags(write=False)
                object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        source = self.provenance.get("extractor", "own values")
        shape = " x ".join(map(str, self.values.shape[1:]))
        return f"Features({len(self)} items x {shape}, {int(self.missing.sum())} missing, {source})"

    @property
    def kind(self) -> Literal["vector", "regions", "image"]:
        """What each item has: one vector, regions, or its pixels."""
        kinds: dict[int, Literal["vector", "regions", "image"]] = {2: "vector", 3: "regions", 4: "image"}
        return kinds[self.values.ndim]

    @property
    def dim(self) -> int:
        """F, the length of a vector."""
        return int(self.values.shape[-1])

    @property
    def n_regions(self) -> int | None:
        """R, or None where each item has one vector."""
        return int(self.values.shape[1]) if self.values.ndim == 3 else None

    @property
    def vectors(self) -> np.ndarray:
        """One vector an item `(I, F)`: the values, or the mean of the regions (float32, in memory).

        Raises:
            FeaturesError: these are pixels.
        """
        if self.kind == "image":
            raise FeaturesError(
                "These are pixels, not vectors. Extract features: `visrec extractors` lists how."
            )
        return self.values if self.n_regions is None else self.values.mean(axis=1, dtype=np.float32)

    @property
    def attributes(self) -> pl.DataFrame | None:
        """What the extractor measured, in its own units: `item_id` and one named column a feature.

        Missing items have nulls. None where the features have no names (only "attractiveness" and the like have).
        """
        columns = self.provenance.get("columns")
        if not columns:
            return None
        raw = self.values if self.raw is None else self.raw
        table = pl.DataFrame({"item_id": self.items.values} | dict(zip(columns, raw.T, strict=True)))
        return table.with_columns(pl.when(~pl.Series(self.missing)).then(pl.col(name)) for name in columns)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of ids, values and missing: equal features, equal digest."""
        digest = digest_of_all_but_values(self.items, self.missing, self.values.shape, self.values.dtype)
        return _rows_digest(self.values, digest)

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
            values: `(n, F)` or `(n, R, F)` numbers, or `(n, S, S, 3)` uint8 pixels; row r belongs to `item_ids[r]`.
                float16 and pixels stay, all else becomes float32.
            item_ids: `(n,)` distinct ids.
            missing: `(n,)` bool, rows to be treated as missing whatever they hold.
            provenance: JSON-able notes on where the values came from.

        Raises:
            FeaturesError: shapes do not fit, ids are repeated, or a row that is not missing holds NaN or
                infinity (also: a number too large for the type).
        """
        series = _id_series(item_ids)
        n = len(series)
        matrix = np.asarray(values)
        is_pixels = matrix.ndim == 4 and matrix.dtype == _PIXELS
        fits = is_pixels or (matrix.ndim in (2, 3) and np.issubdtype(matrix.dtype, np.number))
        if matrix.shape[:1] != (n,) or not fits:
            raise FeaturesError(
                f"Features: {n} item ids but values of type {matrix.dtype} and shape {matrix.shape}; "
                f"expected numbers ({n}, F) or ({n}, R, F), or uint8 ({n}, S, S, 3), one row an id."
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
            keeps = is_pixels or matrix.dtype == np.float16
            rows = matrix[order].astype(matrix.dtype if keeps else np.float32)
        masked = masked[order]
        rows[masked] = 0
        bad = ~np.isfinite(rows.reshape(n, -1)).all(axis=1)
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

    def finish(self, steps: Steps | None = None, **changes: Any) -> Features:
        """Standardised, reduced by PCA, or brought to length 1; see `Steps` for the settings (also as keywords).

        Fitted over the items that have a vector; missing rows stay 0. Finished features start again from their raw
        values. The result is held in memory.

        Raises:
            ConfigError: a setting is not valid.
            FeaturesError: more principal components than there can be.
        """
        steps = (steps or Steps()).replace(**changes)
        raw = self.values if self.raw is None else self.raw
        finishing = Finishing.fit(steps, present_rows(raw, self.missing), raw.shape[-1])
        values = np.zeros((*raw.shape[:-1], finishing.dim(raw.shape[-1])), dtype=raw.dtype)
        for block in blocks(len(self), int(np.prod(raw.shape[1:]))):
            values[block] = stored(finishing, raw[block], self.missing[block])
        provenance = {**self.provenance, "steps": steps.names()}
        return replace(
            self,
            values=values,
            raw=raw if finishing.changes else None,
            provenance=provenance,
            finishing=finishing,
            folder=None,
        )

    def standardize(self) -> Features:
        """Each column minus its mean, divided by its standard deviation; standardized features as they are.

        Constant columns become 0.
        """
        if self.finishing.mean is not None:
            return self
        if self.finishing.changes:
            raise FeaturesError(
                f"These features were finished without it ({', '.join(self.provenance['steps'])}). Say all steps: "
                f"finish(standardize=True, pca=…, l2=…)."
            )
        return self.finish(standardize=True)

    def save(self, folder: str | Path) -> None:
        """Write `values.npy`, `items.parquet`, `meta.json` and what else there is: all of it or nothing.

        A folder of that name is replaced.
        """
        with replacing_folder(folder) as temporary:
            np.save(temporary / VALUES, self.values, allow_pickle=False)
            if self.raw is not None:
                np.save(temporary / RAW, self.raw, allow_pickle=False)
            raw_digest = None if self.raw is None else _rows_digest(self.raw, hashlib.sha256())
            self.write_about(temporary, self.digest, raw_digest)

    def write_about(self, folder: Path, digest: str, raw_digest: str | None) -> None:
        """Write everything but the arrays `VALUES` and `RAW`, which whoever calls has written into `folder`.

        Args:
            folder: an existing one.
            digest: see `digest`.
            raw_digest: SHA-256 (hex) of the rows of `raw`; None where there are none.
        """
        from safetensors.numpy import save_file

        reasons = np.full(len(self), None, dtype=object)
        reasons[self.missing] = self.failures["reason"].to_list()
        table = pl.DataFrame(
            {
                "item_id": self.items.values,
                "missing": self.missing,
                "reason": pl.Series(reasons.tolist(), dtype=pl.String),
            }
        )
        if self.images is not None:
            table = table.with_columns(self.images.alias("image"))
        table.write_parquet(folder / ITEMS)
        files = {ITEMS: file_digest(folder / ITEMS)}
        for name, arrays in ((FINISHING, self.finishing.state()), (LEARNT, dict(self.learnt))):
            if arrays:
                with replacing(folder / name) as temporary:
                    save_file(arrays, temporary)
                files[name] = file_digest(folder / name)
        about = {
            "format": FORMAT,
            "version": VERSION,
            "n_items": len(self),
            "shape": list(self.values.shape[1:]),
            "dtype": self.values.dtype.name,
            "raw": raw_digest,
            "digest": digest,
            "files": files,
            "provenance": self.provenance,
        }
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
    if about["version"] not in (1, VERSION):
        raise FeaturesError(
            f"{folder}: is of format version {about['version']}; this visrec reads up to {VERSION}. {_AGAIN}"
        )
    if about["version"] > 1 and file_digest(folder / ITEMS) != about["files"][ITEMS]:
        raise FeaturesError(f"{folder / ITEMS}: is damaged (digest mismatch). {_AGAIN}")
    table = pl.read_parquet(folder / ITEMS)
    items = IdMap(table["item_id"], kind="item")
    if not items.values.equals(table["item_id"]):
        raise FeaturesError(f"{folder / ITEMS}: ids are repeated or not in order. {_AGAIN}")
    shape = tuple(about["shape"]) if about["version"] > 1 else (about["dim"],)
    empty = not (about["n_items"] and np.prod(shape))  # nothing to map
    mode: Any = "r" if mmap and not empty else None
    features = Features(
        values=np.load(folder / VALUES, mmap_mode=mode, allow_pickle=False),
        items=items,
        missing=table["missing"].to_numpy().astype(bool),
        failures=table.filter("missing").select("item_id", "reason"),
        provenance=about["provenance"],
        finishing=Finishing.restore(_arrays(folder, FINISHING, about)),
        raw=np.load(folder / RAW, mmap_mode=mode, allow_pickle=False) if about.get("raw") else None,
        images=table["image"] if "image" in table.columns else None,
        learnt=_arrays(folder, LEARNT, about),
        folder=folder,
    )
    intact = features.values.shape[1:] == shape and (not verify or _is_intact(folder, features, about))
    if not intact:
        raise FeaturesError(
            f"{folder}: values, ids and {META} do not belong together (digest mismatch): the files were "
            f"changed or damaged. {_AGAIN}"
        )
    features.__dict__["digest"] = about["digest"]  # what the cached property would read all values for
    return features


def _is_intact(folder: Path, features: Features, about: Mapping[str, Any]) -> bool:
    """Whether values and raw values are those that were written; read in blocks, not through the map."""
    values = features.values
    digest = digest_of_all_but_values(features.items, features.missing, values.shape, values.dtype)
    if _file_rows_digest(folder / VALUES, digest) != about["digest"]:
        return False
    raw = about.get("raw")
    return raw is None or _file_rows_digest(folder / RAW, hashlib.sha256()) == raw


def _rows_digest(values: np.ndarray, digest: Any) -> str:
    for block in blocks(len(values), int(np.prod(values.shape[1:]))):
        digest.update(np.ascontiguousarray(values[block]).data)
    return str(digest.hexdigest())


def _file_rows_digest(path: Path, digest: Any) -> str:
    reader = RowReader(path)
    for block in blocks(len(reader), int(np.prod(reader.shape[1:]))):
        digest.update(reader.read(block.start, block.stop).data)
    return str(digest.hexdigest())


def stored(finishing: Finishing, raw: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Finished rows as they are stored: of the type of the raw ones, 0 where an item is missing.

    Raises:
        FeaturesError: a number is too large for the type.
    """
    with np.errstate(over="ignore"):
        rows = finishing.apply(raw).astype(raw.dtype)
    rows[missing] = 0
    if not np.isfinite(rows).all():
        raise FeaturesError(
            f"Finished features hold numbers that {raw.dtype} cannot. Store float32 (leave --float16 out), or "
            f"standardise them."
        )
    return rows


def _arrays(folder: Path, name: str, about: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of one of the small files; none where there is no such file."""
    from safetensors.numpy import load_file

    if about["version"] == 1:
        if name != FINISHING or "standardize_digest" not in about:
            return {}
        both = np.load(folder / _STANDARDIZE, allow_pickle=False)
        intact = hashlib.sha256(both.astype("<f8").tobytes()).hexdigest() == about["standardize_digest"]
        name, found = _STANDARDIZE, {"mean": both[0], "std": both[1]}
    else:
        if name not in about["files"]:
            return {}
        intact = file_digest(folder / name) == about["files"][name]
        found = dict(load_file(folder / name)) if intact else {}
    if not intact:
        raise FeaturesError(f"{folder / name}: is damaged (digest mismatch). {_AGAIN}")
    return found


def digest_of_all_but_values(
    items: IdMap, missing: np.ndarray, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Any:
    """The beginning of `Features.digest`: a hashlib object that goes on with the bytes of the values."""
    kind = "" if dtype == np.float32 else f" {dtype.name}"
    digest = hashlib.sha256(f"{items.digest} {shape}{kind}".encode())
    digest.update(missing.tobytes())
    return digest


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
