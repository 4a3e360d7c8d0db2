"""`fix`: a new folder without the faults that can be mended without guessing. The original stays as it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.checks.checkup import Checkup, check, check_up
from visrec.checks.codes import CODES
from visrec.checks.findings import Diagnosis, Finding
from visrec.checks.images import SUFFIXES
from visrec.checks.inspection import ImageFacts
from visrec.data.images import decode
from visrec.data.splits import TRAIN
from visrec.data.tables import parse_parts
from visrec.errors import ConfigError, DataError
from visrec.files import replacing_folder, sweep_temporaries

_REENCODED = (
    "cmyk-image",
    "deep-image",
    "rotated-image",
    "palette-image",
    "transparent-image",
    "animated-image",
)
_TO_TRAINING = ("training-after-held-out", "split-basket", "untrained-user")
_ITEMS_REMOVED = (
    "item-without-image",
    "listed-image-missing",
    "empty-image",
    "unreadable-image",
    "not-an-image",
    "truncated-image",
    "oversized-image",
)
_WHATEVER = ("two-images", "image-without-item", "bad-file-name", "duplicate-item", "missing-item-id")
"""What a new folder, in which each item stands once, cannot have: mended whatever is asked for."""
_QUALITY = 95  # of a JPEG that is saved again


@dataclass(frozen=True)
class Mended:
    """What `fix` did.

    Attributes:
        out: the new folder.
        done: by code, what was done in words.
        left: what is still wrong there, without looking into the pictures again.
    """

    out: Path
    done: dict[str, str]
    left: Diagnosis

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"out": str(self.out), "done": self.done, "left": self.left.as_dict()}


def fix(
    folder: str | Path,
    out: str | Path,
    *,
    only: Sequence[str] | None = None,
    also: Sequence[str] = (),
    allow_missing_images: bool = False,
    n_workers: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    now: float | None = None,
) -> Mended:
    """Write a mended copy of a data set. It appears whole or not at all.

    Args:
        folder: the data set, which is not changed.
        out: a folder that is not there yet, or is empty.
        only: mend these codes alone (and what a folder in which each item stands once cannot have); None: all
            that are mended always.
        also: codes besides, which change what the data say and so are mended when asked only.
        allow_missing_images: keep items without a picture that can be decoded.
        n_workers: processes that decode; see `check`.
        progress: see `check`.
        now: see `check`.

    Raises:
        ConfigError: a code is unknown or cannot be mended.
        DataError: `out` holds something, or a table of the data set cannot be read.
    """
    folder, out = Path(folder), Path(out)
    codes = _chosen(only, also)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is not empty. Choose a folder that is not there yet.")
    if out.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{out}: lies within {folder}, which is not to be changed. Choose another place.")
    found = check_up(
        folder, allow_missing_images=allow_missing_images, n_workers=n_workers, progress=progress, now=now
    )
    unreadable = [one for one in found.diagnosis.findings if one.code == "unreadable-file"]
    if unreadable:
        raise DataError(f"{unreadable[0].examples[0]} That cannot be mended for you; then run fix again.")
    plan = _Plan.of(
        found, [one for one in found.diagnosis.findings if one.code in codes], allow_missing_images
    )
    if out.parent.is_dir():
        sweep_temporaries(out.parent, of=out.name)
    with replacing_folder(out) as unfinished:
        plan.write(found, unfinished)
    left = check(out, images=False, allow_missing_images=allow_missing_images, now=now)
    return Mended(out, plan.done, left)


def _chosen(only: Sequence[str] | None, also: Sequence[str]) -> set[str]:
    for code in (*(only or ()), *also):
        if code not in CODES or CODES[code].mend is None:
            what = "is no code of `visrec check`" if code not in CODES else "cannot be mended for you"
            mendable = ", ".join(name for name, one in CODES.items() if one.mend)
            raise ConfigError(f"'{code}' {what}. What can be mended: {mendable}.")
    always = {code for code, one in CODES.items() if one.mend == "always"}
    return (always if only is None else set(only)) | set(also) | set(_WHATEVER)


@dataclass
class _Plan:
    """What is to be done to rows, items and pictures."""

    rows: set[int] = field(default_factory=set)  # of the interactions, to be removed
    training: set[int] = field(default_factory=set)  # to be given to the training part
    items: set[str] = field(default_factory=set)  # to be removed, with their interactions
    dropped: set[str] = field(default_factory=set)  # items whose picture file is left out
    merged: dict[str, str] = field(default_factory=dict)  # an item, and the one that takes its place
    again: set[str] = field(default_factory=set)  # items whose pictures are to be saved again
    renamed: bool = False
    done: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Checkup, chosen: list[Finding], allow_missing: bool) -> _Plan:
        plan = cls()
        facts = dict(zip(found.pictures.paths, found.pictures.facts, strict=True))
        whole = {item for item, path in _best(found, facts).items() if not facts[path].problem}
        for one in chosen:
            does = CODES[one.code].does
            if one.code in _ITEMS_REMOVED:
                broken = set(one.items) - whole  # an item may have another picture
                if not allow_missing:
                    plan.items |= broken
                elif one.code in ("item-without-image", "listed-image-missing"):
                    continue
                else:
                    plan.dropped |= broken
                    does = "leaves the files out"
            elif one.code in _REENCODED:
                plan.again |= set(one.items)
            elif one.code in _TO_TRAINING:
                plan.training |= set(one.rows.tolist())
            elif one.code == "exact-duplicate":
                plan.merged = _heads(found)
            elif one.code == "wrong-extension":
                plan.renamed = True
            else:  # rows of interactions, and what writing each item once mends by itself
                plan.rows |= set(one.rows.tolist())
            plan.done[one.code] = f"{one.what}; {does}"
        return plan

    def write(self, found: Checkup, out: Path) -> None:
        """Write the mended folder."""
        tables = found.tables
        if tables.written is not None and tables.source is not None:
            _write_table(self._interactions(tables.written, tables.rows), out / tables.source.name)
        if tables.items is not None and tables.items_file is not None:
            kept = tables.items.filter(
                pl.col("item_id").is_not_null()
                & pl.col("item_id").is_first_distinct()
                & ~self._gone("item_id")
            )
            _write_table(kept, out / tables.items_file.name)
        self._write_images(found, out)
        for path in sorted(tables.folder.iterdir()):  # what the data come with: licences, readmes
            known = path.stem in ("interactions", "items", "images") and path.suffix in (".csv", ".parquet")
            if path.is_file() and not known and not path.name.startswith("."):
                shutil.copyfile(path, out / path.name)

    def _gone(self, name: str) -> pl.Expr:
        return pl.col(name).is_in(sorted(self.items | set(self.merged)))

    def _interactions(self, written: pl.DataFrame, readable: pl.DataFrame) -> pl.DataFrame:
        if "evaluation" in written.columns and self.training:
            written = written.with_columns(_to_training(written["evaluation"], self.training))
        gone = self.rows | self._repeated_by_merging(readable)
        text = pl.col("item_id").cast(pl.String)
        keep = ~pl.Series(np.isin(np.arange(written.height), sorted(gone)))
        table = written.filter(keep).filter(~text.is_in(sorted(self.items)).fill_null(value=False))
        if self.merged:
            table = table.with_columns(text.replace(self.merged).cast(written["item_id"].dtype))
        return table

    def _repeated_by_merging(self, readable: pl.DataFrame) -> set[int]:
        """Rows of users who took several of the items that become one: all but the oldest."""
        touched = set(self.merged) | set(self.merged.values())
        rows = readable.filter(
            ~pl.col("row").is_in(sorted(self.rows)) & pl.col("item_id").is_in(sorted(touched))
        )
        rows = rows.with_columns(pl.col("item_id").replace(self.merged)).sort("time", "row")
        return set(rows.filter(~pl.struct("user_id", "item_id").is_first_distinct())["row"].to_list())

    def _write_images(self, found: Checkup, out: Path) -> None:
        facts = dict(zip(found.pictures.paths, found.pictures.facts, strict=True))
        listed, rows = found.tables.listing is not None, list[dict[str, str]]()
        (out / "images").mkdir()
        for item, path in _best(found, facts).items():
            if item in self.items or item in self.merged or item in self.dropped:
                continue
            if facts[path].problem == "unreadable":  # it cannot be copied either
                continue
            suffix, known = path.suffix, SUFFIXES.get(facts[path].format, ())
            if self.renamed and known and suffix.lower() not in known:
                suffix = known[0]
            stem = f"{len(rows) + 1:08d}" if listed else item  # ids of a list may be no names for files
            if item in self.again:
                target = _save_again(path, out / "images" / stem, facts[path])
            else:
                target = out / "images" / f"{stem}{suffix}"
                shutil.copyfile(path, target)
            rows.append({"item_id": item, "path": f"images/{target.name}"})
        if listed:
            assert found.tables.listing is not None
            table = pl.DataFrame(rows, schema={"item_id": pl.String, "path": pl.String})
            _write_table(table, out / found.tables.listing.name)


def _best(found: Checkup, facts: dict[Path, ImageFacts]) -> dict[str, Path]:
    """One picture of each item that has any: of several the readable one with most pixels."""
    best: dict[str, Path] = {}
    for item, path in zip(found.pictures.items, found.pictures.paths, strict=True):
        one, before = facts[path], facts.get(best.get(item, path))
        if item not in best or before is None or one.width * one.height > before.width * before.height:
            best[item] = path
    return best


def _heads(found: Checkup) -> dict[str, str]:
    """Of items with one file content: each but the first, and the first."""
    first: dict[str, str] = {}
    merged: dict[str, str] = {}
    for item, one in zip(found.pictures.items, found.pictures.facts, strict=True):
        if not one.problem and first.setdefault(one.digest, item) != item:
            merged[item] = first[one.digest]
    return merged


def _to_training(column: pl.Series, rows: set[int]) -> pl.Series:
    """The column evaluation with some rows in the training part, in the words that it has."""
    parts = parse_parts(column)
    words = column.filter((parts == TRAIN).fill_null(value=False)).cast(pl.String)
    word = words[0] if len(words) else "false" if column.dtype == pl.Boolean else "0"
    at = pl.Series(np.isin(np.arange(len(column)), sorted(rows)))
    mended = pl.select(
        pl.when(at).then(pl.lit(word)).otherwise(column.cast(pl.String)).alias(column.name)
    ).to_series()
    if column.dtype == pl.Boolean:
        return mended == "true"
    return mended.cast(column.dtype)


def _save_again(path: Path, stem: Path, facts: ImageFacts) -> Path:
    """The picture upright, in RGB with 8 bits: as JPEG where it was one, else as PNG, which loses nothing."""
    image = decode(path)
    target = stem.with_name(stem.name + (".jpg" if facts.format == "JPEG" else ".png"))
    if facts.format == "JPEG":
        image.save(target, "JPEG", quality=_QUALITY, subsampling=0)
    else:
        image.save(target, "PNG")
    return target


def _write_table(table: pl.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        table.write_parquet(path)
    else:
        table.write_csv(path)
