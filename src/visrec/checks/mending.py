"""`fix`: a new folder without the faults that can be mended without guessing. The original stays as it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.checks.checkup import check
from visrec.checks.codes import CODES
from visrec.checks.colours import on_screen, profile_of
from visrec.checks.diagnosis import Diagnosis
from visrec.checks.findings import Finding
from visrec.checks.images import SUFFIXES, Pictures
from visrec.checks.interactions import folded, ratio_to
from visrec.data.images import loaded, opened, orientation_of, to_rgb, upright
from visrec.data.splits import TRAIN
from visrec.data.tables import parse_parts
from visrec.data.times import unit_of
from visrec.errors import ConfigError, DataError
from visrec.files import replacing_folder, sweep_temporaries
from visrec.registry import near_misses

_REENCODED = (
    "cmyk-image",
    "other-colours",
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
    "tiny-image",
    "blank-image",
)
_WHATEVER = (
    "two-images",
    "image-without-item",
    "ignored-file",
    "bad-file-name",
    "duplicate-item",
    "missing-item-id",
)
"""What a new folder, in which each item stands once, cannot have: mended whatever is asked for."""
_MADE = ("features", "triples", "models", "indices")
"""What is made of a data set and need not fit the mended one: not copied."""
_QUALITY = 95  # of a JPEG that is saved again


@dataclass(frozen=True)
class Mended:
    """What `fix` did.

    Attributes:
        out: the new folder.
        done: by code, what was done in words.
        left: what is still wrong there, without looking into the pictures again.
        not_copied: folders of the original with what was made of it, such as features.
    """

    out: Path
    done: dict[str, str]
    left: Diagnosis
    not_copied: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "out": str(self.out),
            "done": self.done,
            "left": self.left.as_dict(),
            "not_copied": [*self.not_copied],
        }


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
        DataError: `out` holds something, a table of the data set cannot be read, or no item would be left.
    """
    folder, out = Path(folder), Path(out)
    codes = _chosen(only, also)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is not empty. Choose a folder that is not there yet.")
    if out.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{out}: lies within {folder}, which is not to be changed. Choose another place.")
    found = check(
        folder, allow_missing_images=allow_missing_images, n_workers=n_workers, progress=progress, now=now
    )
    unreadable = [one for one in found.findings if one.code == "unreadable-file"]
    if unreadable:
        raise DataError(f"{unreadable[0].examples[0]} That cannot be mended for you; then run fix again.")
    plan = _Plan.of(found, [one for one in found.findings if one.code in codes], allow_missing_images)
    if plan.items and plan.items.issuperset(found.tables.known_items):
        raise DataError(
            f"{folder}: nothing would be left, since no item has a picture that can be used. Bring pictures "
            f"(addresses that are listed: visrec fetch-images {folder}), or keep the items: --allow-missing-images."
        )
    if out.parent.is_dir():
        sweep_temporaries(out.parent, of=out.name)
    with replacing_folder(out) as unfinished:
        plan.write(found, unfinished)
    left = check(out, images=False, allow_missing_images=allow_missing_images, now=now)
    return Mended(out, plan.done, left, tuple(name for name in _MADE if (folder / name).is_dir()))


def _chosen(only: Sequence[str] | None, also: Sequence[str]) -> set[str]:
    for code in (*(only or ()), *also):
        if code not in CODES or CODES[code].mend is None:
            what = "is no code of `visrec check`" if code not in CODES else "cannot be mended for you"
            mendable = [name for name, one in CODES.items() if one.mend]
            hint = near_misses(code, mendable) or f" What can be mended: {', '.join(mendable)}."
            raise ConfigError(f"'{code}' {what}.{hint}")
    always = {code for code, one in CODES.items() if one.mend == "always"}
    return (always if only is None else set(only)) | set(also) | set(_WHATEVER)


@dataclass
class _Plan:
    """What is to be done to rows, items and pictures."""

    rows: set[int] = field(default_factory=set)  # of the interactions, to be removed
    times: set[int] = field(default_factory=set)  # whose time is to be brought to the unit of the others
    training: set[int] = field(default_factory=set)  # to be given to the training part
    items: set[str] = field(default_factory=set)  # to be removed, with their interactions
    dropped: set[str] = field(default_factory=set)  # items whose picture file is left out
    merged: dict[str, str] = field(default_factory=dict)  # an item, and the one that takes its place
    users: dict[str, str] = field(default_factory=dict)  # the same of users
    again: set[str] = field(default_factory=set)  # items whose pictures are to be saved again
    without_parts: bool = False  # the column evaluation is left out
    renamed: bool = False
    done: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Diagnosis, chosen: list[Finding], allow_missing: bool) -> _Plan:
        plan, alike = cls(), list[np.ndarray]()
        whole = {item for item, place in _best(found.pictures).items() if found.pictures.seen.whole()[place]}
        for one in chosen:
            does = CODES[one.code].does
            if one.code in _ITEMS_REMOVED:
                broken = set(one.items)
                if one.code not in ("tiny-image", "blank-image"):
                    broken -= whole  # an item may have another picture
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
                alike.append(found.pictures.exact)
            elif one.code == "near-duplicate":
                alike.append(found.pictures.near)
            elif one.code == "look-alike-id":
                plan.users, plan.merged = (_spellings(found, name) for name in ("user_id", "item_id"))
            elif one.code == "no-test-rows":
                plan.without_parts = True
            elif one.code == "other-unit-time":
                plan.times |= set(one.rows.tolist())
            elif one.code == "wrong-extension":
                plan.renamed = True
            else:  # rows of interactions, and what writing each item once mends by itself
                plan.rows |= set(one.rows.tolist())
            plan.done[one.code] = f"{one.what}; {does}"
        if alike:
            plan.merged = _chained(plan.merged, found.pictures.alike(*alike))
        return plan

    def write(self, found: Diagnosis, out: Path) -> None:
        """Write the mended folder."""
        tables = found.tables
        if tables.written is not None and tables.source is not None:
            _write_table(self._interactions(tables.written, tables.rows), out / tables.source.name)
        if tables.items is not None and tables.items_file is not None:
            kept = tables.items.filter(
                pl.col("item_id").is_not_null()
                & pl.col("item_id").is_first_distinct()
                & ~pl.col("item_id").is_in(sorted(self.items | set(self.merged)))
            )
            _write_table(kept, out / tables.items_file.name)
        self._write_images(found, out)
        for path in sorted(tables.folder.iterdir()):  # what the data come with: licences, readmes
            known = path.stem in ("interactions", "items", "images") and path.suffix in (".csv", ".parquet")
            if path.is_file() and not known and not path.name.startswith("."):
                shutil.copyfile(path, out / path.name)

    def _interactions(self, written: pl.DataFrame, readable: pl.DataFrame) -> pl.DataFrame:
        if self.without_parts:
            written = written.drop("evaluation")
        if "evaluation" in written.columns and self.training:
            written = written.with_columns(_to_training(written["evaluation"], self.training))
        if self.times:
            written = written.with_columns(_in_one_unit(written["timestamp"], readable, self.times))
        gone = self.rows | self._repeated_by_merging(readable)
        table = written.filter(~pl.Series(np.isin(np.arange(written.height), sorted(gone))))
        text = pl.col("item_id").cast(pl.String)
        table = table.filter(~text.is_in(sorted(self.items)).fill_null(value=False))
        for name, other in (("item_id", self.merged), ("user_id", self.users)):
            if other:
                renamed = pl.col(name).cast(pl.String).replace(other)
                table = table.with_columns(renamed.cast(written[name].dtype))
        return table

    def _repeated_by_merging(self, readable: pl.DataFrame) -> set[int]:
        """Rows of users who took several of the items that become one: all but the oldest."""
        touched = [*self.merged, *self.merged.values()], [*self.users, *self.users.values()]
        item, user = (pl.col(name).cast(pl.String) for name in ("item_id", "user_id"))
        rows = readable.filter(
            ~pl.col("row").is_in(sorted(self.rows)) & (item.is_in(touched[0]) | user.is_in(touched[1]))
        )
        rows = rows.with_columns(item.replace(self.merged), user.replace(self.users)).sort("time", "row")
        return set(rows.filter(~pl.struct("user_id", "item_id").is_first_distinct())["row"].to_list())

    def _write_images(self, found: Diagnosis, out: Path) -> None:
        pictures = found.pictures
        listed, rows = found.tables.listing is not None, list[dict[str, str]]()
        (out / "images").mkdir()
        for item, place in _best(pictures).items():
            path, facts = pictures.paths[place], pictures.seen.of(place)
            if item in self.items or item in self.merged or item in self.dropped:
                continue
            if facts.problem == "unreadable":  # it cannot be copied either
                continue
            suffix, known = path.suffix, SUFFIXES.get(facts.format, ())
            if self.renamed and known and suffix.lower() not in known:
                suffix = known[0]
            stem = f"{len(rows) + 1:08d}" if listed else item  # ids of a list may be no names for files
            if item in self.again:
                target = _save_again(path, out / "images" / stem)
            else:
                target = out / "images" / f"{stem}{suffix}"
                shutil.copyfile(path, target)
            rows.append({"item_id": item, "path": f"images/{target.name}"})
        if listed:
            assert found.tables.listing is not None
            table = pl.DataFrame(rows, schema={"item_id": pl.String, "path": pl.String})
            _write_table(table, out / found.tables.listing.name)


def _best(pictures: Pictures) -> dict[str, int]:
    """The place of one picture of each item that has any: of several the readable one with most pixels."""
    facts = pictures.seen.facts
    size = facts["width"].astype(np.int64) * facts["height"]
    table = pictures.files.select("item_id").with_row_index("place").with_columns(pl.Series("size", size))
    best = (
        table.sort("size", descending=True, maintain_order=True).unique("item_id", keep="first").sort("place")
    )
    return dict(best.select("item_id", "place").iter_rows())


def _chained(first: dict[str, str], alike: pl.DataFrame) -> dict[str, str]:
    """Items and what takes their place: those of `first`, then those that look alike."""
    second = {item: head for item, head in alike.iter_rows() if item != head}
    chained = {item: second.get(head, head) for item, head in first.items()}
    both = chained | {item: first.get(head, head) for item, head in second.items() if item not in first}
    return {item: head for item, head in both.items() if item != head}


def _spellings(found: Diagnosis, name: str) -> dict[str, str]:
    """Ids that differ from another only in how they are written, and that one: the one that most rows have.

    Of items, one with a picture goes before those without.
    """
    ids = found.tables.rows[name].cast(pl.String)
    counts = ids.value_counts(name="n").select(pl.col(name).alias("id"), "n")
    pictured = found.tables.images["item_id"].unique() if name == "item_id" else ids.head(0)
    groups = counts.with_columns(
        pl.col("id").is_in(pictured.implode()).alias("seen"), folded(pl.col("id")).alias("key")
    )
    groups = groups.filter(pl.col("key").is_duplicated()).sort(
        "key", "seen", "n", "id", descending=[False, True, True, False]
    )
    heads = groups.with_columns(pl.col("id").first().over("key").alias("head"))
    return dict(heads.filter(pl.col("id") != pl.col("head")).select("id", "head").iter_rows())


def _in_one_unit(column: pl.Series, readable: pl.DataFrame, rows: set[int]) -> pl.Series:
    """The column of times with some rows in the unit that the others have."""
    unit = unit_of(readable["time"])
    table = readable.filter(pl.col("row").is_in(sorted(rows))).select("row", "time")
    moments = table["time"] * ratio_to(table["time"], unit)
    whole = column.dtype == pl.String or column.dtype.is_integer()
    moments = (moments.round().cast(pl.Int64) if whole else moments).cast(column.dtype)
    return column.scatter(table["row"].to_numpy(), moments)


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


def _save_again(path: Path, stem: Path) -> Path:
    """The picture upright, in sRGB with 8 bits: as JPEG where it was one, else as PNG, which loses nothing."""
    with opened(path) as file, loaded(path, file) as (found, _):
        image, is_jpeg = to_rgb(found), found.format in ("JPEG", "MPO")
        if profile := profile_of(found):
            image = on_screen(image, profile)
        image = upright(image, orientation_of(found))
    target = stem.with_name(stem.name + (".jpg" if is_jpeg else ".png"))
    if is_jpeg:
        image.save(target, "JPEG", quality=_QUALITY, subsampling=0)
    else:
        image.save(target, "PNG")
    return target


def _write_table(table: pl.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        table.write_parquet(path)
    else:
        table.write_csv(path)
