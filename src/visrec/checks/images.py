"""Rules for pictures: which items have one, and what is in the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
import polars as pl

from visrec.checks.duplicates import detailed, groups_of, near_pairs, same_files
from visrec.checks.findings import N_EXAMPLES, Finding, finding
from visrec.checks.inspection import FACTS, ImageFacts, Inspected, inspect_all
from visrec.checks.tables import Tables

TINY = 32
"""Pixels of the shorter side below which a picture is tiny."""
LONG = 5
"""A picture is of an odd shape whose longer side is more than so many times the shorter."""
SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "WEBP": (".webp",), "GIF": (".gif",)}
_PROBLEMS = {
    "empty": "empty-image",
    "unreadable": "unreadable-image",
    "other-type": "not-an-image",
    "damaged": "truncated-image",
    "oversized": "oversized-image",
}
_FILES = {"item_id": pl.String, "path": pl.String}
_NO_PAIRS = np.zeros((0, 2), dtype=np.int64)


class Paths(Sequence[Path]):
    """Files of a folder by their names in it; a path is made when it is asked for: a million take much memory."""

    def __init__(self, folder: Path, names: pl.Series) -> None:
        self._folder, self._names = folder, names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | Sequence[Path]:
        if isinstance(index, slice):
            return [self._folder / name for name in self._names[index]]
        return self._folder / self._names[index]


@dataclass(frozen=True, eq=False)
class Pictures:
    """The files that were looked at.

    Attributes:
        files: `item_id, path` of each.
        paths: where each is, in the same order.
        seen: what is in each.
        exact: `(m, 2)` places of files of two items that are equal: the first of all equal ones, and another.
        near: `(m, 2)` places of files of two items that are nearly the same.
    """

    files: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_FILES))
    paths: Sequence[Path] = ()
    seen: Inspected = field(default_factory=lambda: Inspected(np.zeros(0, dtype=FACTS), {}))
    exact: np.ndarray = field(default_factory=_NO_PAIRS.copy)
    near: np.ndarray = field(default_factory=_NO_PAIRS.copy)

    def alike(self, *pairs: np.ndarray) -> pl.DataFrame:
        """`item_id, head` of items that are paired, directly or by others: the first of them is the head of all."""
        items = self.files.select("item_id").unique(maintain_order=True).with_row_index("code")
        code = self.files.join(items, on="item_id", how="left", maintain_order="left")["code"].to_numpy()
        group = groups_of(items.height, code[np.concatenate([_NO_PAIRS, *pairs])].astype(np.int64))
        table = items.select("item_id", pl.Series("group", group))
        table = table.with_columns(pl.col("item_id").first().over("group").alias("head"))
        return table.filter(pl.col("group").is_duplicated()).select("item_id", "head")

    def digests(self) -> pl.DataFrame:
        """`item_id, digest` (SHA-256, hex) of the files that could be read."""
        digest = self.seen.facts["digest"]
        words = pl.Series("digest", [row.tobytes().hex() for row in digest], dtype=pl.String)
        return self.files.select("item_id", words).filter(pl.Series(digest.any(axis=1)))


def check_presence(tables: Tables, rows: pl.DataFrame, *, allow_missing: bool = False) -> list[Finding]:
    """Items without a picture, with several, and pictures without an item."""
    have = tables.images["item_id"]
    taken = rows["item_id"].unique().cast(pl.String)
    known = pl.concat([tables.known_items, taken]).unique()
    said = [one.items for one in tables.findings if one.code == "listed-image-missing"]
    without = known.filter(~known.is_in(pl.concat([have, *said]).implode())).sort()
    found = finding("item-without-image", len(without), without.head(5), items=without, allowed=allow_missing)
    several = have.filter(have.is_duplicated()).unique().sort()
    examples = []
    for one in several.head(5):
        names = tables.images.filter(pl.col("item_id") == one)["path"]
        examples.append(f"{one}: {', '.join(Path(name).name for name in names)}")
    found += finding("two-images", len(several), examples, items=several)
    extra = tables.images.filter(~pl.col("item_id").is_in(known.implode()))["path"].unique().sort()
    return found + finding("image-without-item", len(extra), [Path(name).name for name in extra.head(5)])


def check_pictures(
    tables: Tables,
    *,
    n_workers: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[list[Finding], Pictures, dict[str, Any]]:
    """Look at the picture of each item, once."""
    known = pl.concat([tables.known_items, tables.rows["item_id"].unique().cast(pl.String)])
    files = tables.images.filter(pl.col("item_id").is_in(known.unique().implode()))
    paths = Paths(tables.folder, files["path"])
    seen = inspect_all(paths, n_workers=n_workers, progress=progress)
    found = _files(Pictures(files, paths, seen))
    if progress and len(files):
        progress(len(files), len(files), "duplicates")
    pictures = Pictures(files, paths, seen, *_pairs(files, paths, seen))
    return found + _duplicates(pictures), pictures, _sizes(seen)


def _files(pictures: Pictures) -> list[Finding]:
    """What can be said of each file by itself."""
    facts, whole, found = pictures.seen.facts, pictures.seen.whole(), list[Finding]()
    for problem, code in _PROBLEMS.items():
        bad = facts["problem"] == problem.encode()
        found += _those(pictures, code, bad, lambda one: one.reason)
    suffix = pictures.files["path"].str.to_lowercase().str.extract(r"(\.[a-z]+)$").to_numpy()
    wrong = whole.copy()
    for name, suffixes in SUFFIXES.items():
        wrong &= ~((facts["format"] == name.encode()) & np.isin(suffix, suffixes))
    found += _those(pictures, "wrong-extension", wrong, lambda one: f"is {one.format}")
    shorter, longer = (
        fold(facts["width"], facts["height"]).astype(np.int64) for fold in (np.minimum, np.maximum)
    )
    mode, kind = facts["mode"], facts["format"]
    rules: list[tuple[str, np.ndarray, Callable[[ImageFacts], str]]] = [
        ("tiny-image", shorter < TINY, _size),
        ("blank-image", facts["blank"], _size),
        ("odd-shape", longer > LONG * shorter, _size),
        ("cmyk-image", mode == b"CMYK", lambda one: one.mode),
        ("other-colours", facts["profile"], lambda one: f"{one.format} with a profile of its own"),
        ("deep-image", facts["deep"], lambda one: f"{one.format}, {one.mode}"),
        ("rotated-image", facts["orientation"] != 1, lambda one: f"orientation {one.orientation}"),
        ("palette-image", (mode == b"P") & (kind != b"GIF"), lambda one: one.mode),
        ("transparent-image", facts["transparent"], lambda one: one.mode),
        ("animated-image", facts["animated"], lambda one: one.format),
    ]
    for code, bad, words in rules:
        found += _those(pictures, code, whole & bad, words)
    return found


def _size(one: ImageFacts) -> str:
    return f"{one.width} x {one.height}"


def _those(
    pictures: Pictures, code: str, bad: np.ndarray, words: Callable[[ImageFacts], str]
) -> list[Finding]:
    places = np.flatnonzero(bad)
    examples = []
    for place in places[:N_EXAMPLES].tolist():
        path, text = pictures.paths[place], words(pictures.seen.of(place))
        examples.append(text if text.startswith(str(path)) else f"{path.name}: {text}")
    return finding(code, len(places), examples, items=pictures.files["item_id"].gather(places))


def _pairs(files: pl.DataFrame, paths: Sequence[Path], seen: Inspected) -> tuple[np.ndarray, np.ndarray]:
    """Places of files of two items that are equal, and that are nearly the same."""
    facts, places = seen.facts, np.flatnonzero(seen.whole())
    if len(places) < 2:
        return _NO_PAIRS, _NO_PAIRS
    same = same_files(facts["digest"][places])
    exact = places[_pairs_of_groups(same)]
    # Of equal files one stands for all; pictures of one colour are alike for another reason, which has a name.
    first = places[np.sort(np.unique(same, return_index=True)[1])]
    first = first[~facts["blank"][first]]
    near = near_pairs(facts["hash"], facts["signature"], first)
    near = near[detailed(paths, near)]
    # Two files of one item are a fault of another name.
    exact, near = (
        pairs[(files["item_id"].gather(pairs[:, 0]) != files["item_id"].gather(pairs[:, 1])).to_numpy()]
        for pairs in (exact, near)
    )
    return exact, near


def _duplicates(pictures: Pictures) -> list[Finding]:
    """Exact and near duplicates among items."""
    items, exact, near = pictures.files["item_id"], pictures.exact, pictures.near
    found = finding(
        "exact-duplicate",
        len(exact),
        _groups_as_text(items, exact),
        items=items.gather(exact[:, 1]),
    )
    return found + finding(
        "near-duplicate",
        len(np.unique(near[:, 1])),
        [f"{items[a]} and {items[b]}" for a, b in near[:N_EXAMPLES].tolist()],
        items=items.gather(np.unique(near)).unique().sort(),
    )


def _pairs_of_groups(group: np.ndarray) -> np.ndarray:
    """`(m, 2)`: each member of a group after its first, with that first one."""
    order = np.argsort(group, kind="stable")
    starts = np.r_[True, group[order][1:] != group[order][:-1]]
    heads = order[np.flatnonzero(starts)][np.cumsum(starts) - 1]
    return np.stack([heads[~starts], order[~starts]], axis=1)


def _groups_as_text(items: pl.Series, pairs: np.ndarray) -> list[str]:
    """The first groups: the items of each."""
    found: dict[int, list[str]] = {}
    for head, member in pairs[:1000].tolist():
        found.setdefault(head, [str(items[head])]).append(str(items[member]))
    return [", ".join(members) for members in found.values()]


def _sizes(seen: Inspected) -> dict[str, Any]:
    """How large pictures are, and of which kinds."""
    facts = seen.facts[seen.whole()]
    if len(facts) == 0:
        return {"files": len(seen.facts)}
    quantiles = (0, 0.05, 0.5, 0.95, 1)

    def spread(numbers: np.ndarray) -> dict[str, int]:
        found = np.quantile(numbers, quantiles)
        return {f"{q:.0%}": round(float(v)) for q, v in zip(quantiles, found, strict=True)}

    def counted(words: np.ndarray) -> dict[str, int]:
        return {one.decode(): int(n) for one, n in zip(*np.unique(words, return_counts=True), strict=True)}

    return {
        "files": len(seen.facts),
        "decoded": len(facts),
        "width": spread(facts["width"]),
        "height": spread(facts["height"]),
        "formats": counted(facts["format"]),
        "modes": counted(facts["mode"]),
    }
