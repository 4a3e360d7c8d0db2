"""Rules for pictures: which items have one, and what is in the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.checks.duplicates import detailed, groups_of, near_pairs, same_files
from visrec.checks.findings import Finding, finding
from visrec.checks.inspection import ImageFacts, inspect_all
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
_NO_GROUPS = {"item_id": pl.String, "group": pl.Int64}


@dataclass(frozen=True)
class Pictures:
    """The files that were looked at.

    Attributes:
        items: the item of each.
        paths: where each is.
        facts: what is in each.
        groups: `item_id, group` of the items whose pictures are alike.
    """

    items: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    facts: tuple[ImageFacts, ...] = ()
    groups: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_NO_GROUPS))


def check_presence(tables: Tables, rows: pl.DataFrame, *, allow_missing: bool = False) -> list[Finding]:
    """Items without a picture, with several, and pictures without an item."""
    have = pl.Series([item for item, _ in tables.images], dtype=pl.String)
    known = set(tables.known_items()) | set(rows["item_id"].unique().to_list())
    said = {item for one in tables.findings if one.code == "listed-image-missing" for item in one.items}
    without = sorted(known - set(have.to_list()) - said)
    found = finding("item-without-image", len(without), without, items=without, allowed=allow_missing)
    several = have.filter(have.is_duplicated()).unique().sort().to_list()
    examples = [
        f"{one}: {', '.join(path.name for item, path in tables.images if item == one)}" for one in several[:5]
    ]
    found += finding("two-images", len(several), examples, items=several)
    extra = sorted({path.name for item, path in tables.images if item not in known})
    return found + finding("image-without-item", len(extra), extra)


def check_pictures(
    tables: Tables,
    *,
    n_workers: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[list[Finding], Pictures, dict[str, Any]]:
    """Look at the picture of each item, once."""
    known = set(tables.known_items()) | set(tables.rows["item_id"].unique().to_list())
    chosen = [(item, path) for item, path in tables.images if item in known]
    paths = [path for _, path in chosen]
    facts = tuple(inspect_all(paths, n_workers=n_workers, progress=progress))
    seen = Pictures(tuple(item for item, _ in chosen), tuple(paths), facts)
    found = _files(seen)
    duplicates, groups = _duplicates(seen)
    return found + duplicates, Pictures(seen.items, seen.paths, facts, groups), _sizes(facts)


def _files(seen: Pictures) -> list[Finding]:
    """What can be said of each file by itself."""
    found = []
    for problem, code in _PROBLEMS.items():
        found += _those(seen, code, [one.problem == problem for one in seen.facts], lambda one: one.reason)
    whole = [not one.problem for one in seen.facts]
    suffixes = [path.suffix.lower() for path in seen.paths]
    wrong = [
        fine and suffix not in SUFFIXES[one.format]
        for fine, suffix, one in zip(whole, suffixes, seen.facts, strict=True)
    ]
    found += _those(seen, "wrong-extension", wrong, lambda one: f"is {one.format}")
    rules: list[tuple[str, Callable[[ImageFacts], bool], Callable[[ImageFacts], str]]] = [
        ("tiny-image", lambda one: min(one.width, one.height) < TINY, _size),
        ("blank-image", lambda one: one.blank, _size),
        ("odd-shape", lambda one: max(one.width, one.height) > LONG * min(one.width, one.height), _size),
        ("cmyk-image", lambda one: one.mode == "CMYK", lambda one: one.mode),
        ("deep-image", lambda one: one.deep, lambda one: f"{one.format}, {one.mode}"),
        ("rotated-image", lambda one: one.orientation != 1, lambda one: f"orientation {one.orientation}"),
        ("palette-image", lambda one: one.mode == "P" and one.format != "GIF", lambda one: one.mode),
        ("transparent-image", lambda one: one.transparent, lambda one: one.mode),
        ("animated-image", lambda one: one.animated, lambda one: one.format),
    ]
    for code, rule, words in rules:
        found += _those(
            seen, code, [fine and rule(one) for fine, one in zip(whole, seen.facts, strict=True)], words
        )
    return found


def _size(one: ImageFacts) -> str:
    return f"{one.width} x {one.height}"


def _those(
    seen: Pictures, code: str, at: Sequence[bool], words: Callable[[ImageFacts], str]
) -> list[Finding]:
    places = np.flatnonzero(at)
    examples = []
    for place in places[:5]:
        path, text = seen.paths[place], words(seen.facts[place])
        examples.append(text if text.startswith(str(path)) else f"{path.name}: {text}")
    return finding(code, len(places), examples, items=[seen.items[place] for place in places])


def _duplicates(seen: Pictures) -> tuple[list[Finding], pl.DataFrame]:
    """Exact and near duplicates among items, and the groups that they make."""
    places = np.array([n for n, one in enumerate(seen.facts) if not one.problem], dtype=np.int64)
    if len(places) < 2:
        return [], Pictures().groups
    facts = [seen.facts[place] for place in places]
    items = np.array([seen.items[place] for place in places])
    same = same_files(np.array([one.digest for one in facts]))
    exact = _pairs_of_groups(same)
    # Of equal files one stands for all; pictures of one colour are alike for another reason, which has a name.
    first = np.sort(np.unique(same, return_index=True)[1])
    first = first[[not facts[place].blank for place in first]]
    hashes = np.array([facts[place].hash for place in first], dtype=np.uint64)
    signatures = np.array([np.frombuffer(bytes.fromhex(facts[place].signature), np.uint8) for place in first])
    near = first[near_pairs(hashes, signatures)] if len(first) > 1 else np.zeros((0, 2), dtype=np.int64)
    near = near[detailed([seen.paths[place] for place in places], near)]
    # Two files of one item are a fault of another name.
    exact, near = (pairs[items[pairs[:, 0]] != items[pairs[:, 1]]] for pairs in (exact, near))
    groups = groups_of(len(places), np.concatenate([exact, near]))
    alike = pl.DataFrame({"item_id": items, "group": groups.astype(np.int64)}).unique("item_id", keep="first")
    alike = alike.filter(pl.col("group").is_duplicated()).sort("item_id")
    found = finding(
        "exact-duplicate",
        len(exact),
        _groups_as_text(items, exact),
        items=[str(item) for item in items[exact[:, 1]]],
    )
    found += finding(
        "near-duplicate",
        len(np.unique(near[:, 1])),
        [f"{items[a]} and {items[b]}" for a, b in near],
        items=sorted({str(item) for item in items[near].ravel()}),
    )
    return found, alike


def _pairs_of_groups(group: np.ndarray) -> np.ndarray:
    """`(m, 2)`: each member of a group after its first, with that first one."""
    order = np.argsort(group, kind="stable")
    starts = np.r_[True, group[order][1:] != group[order][:-1]]
    heads = order[np.flatnonzero(starts)][np.cumsum(starts) - 1]
    return np.stack([heads[~starts], order[~starts]], axis=1)


def _groups_as_text(items: np.ndarray, pairs: np.ndarray) -> list[str]:
    found: dict[int, list[str]] = {}
    for head, member in pairs.tolist():
        found.setdefault(head, [str(items[head])]).append(str(items[member]))
    return [", ".join(members) for members in found.values()]


def _sizes(facts: Sequence[ImageFacts]) -> dict[str, Any]:
    """How large pictures are, and of which kinds."""
    whole = [one for one in facts if not one.problem]
    if not whole:
        return {"files": len(facts)}
    quantiles = (0, 0.05, 0.5, 0.95, 1)

    def spread(numbers: list[int]) -> dict[str, int]:
        return {
            f"{q:.0%}": round(float(v))
            for q, v in zip(quantiles, np.quantile(numbers, quantiles), strict=True)
        }

    def counted(words: list[str]) -> dict[str, int]:
        return {str(word): int(n) for word, n in zip(*np.unique(words, return_counts=True), strict=True)}

    return {
        "files": len(facts),
        "decoded": len(whole),
        "width": spread([one.width for one in whole]),
        "height": spread([one.height for one in whole]),
        "formats": counted([one.format for one in whole]),
        "modes": counted([one.mode for one in whole]),
    }
