"""One category of Amazon Reviews 2023, from the files of it that are there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from visrec.data.datasets.amazon_2023.interactions import read_parts, read_ratings, read_reviews
from visrec.data.datasets.amazon_2023.items import Size, read_items
from visrec.data.foreign import ForeignData
from visrec.data.published import Published, PublishedFiles
from visrec.data.tables import PARTS
from visrec.errors import DataError
from visrec.progress import Progress

_NAME = re.compile(
    r"(?P<meta>meta_)?(?P<category>[A-Za-z_]+?)(?:\.(?P<part>train|valid|test))?\.(?P<kind>jsonl|csv)(?:\.gz)?"
)


def read_amazon_2023(
    source: Path,
    *,
    progress: Progress | None = None,
    category: str | None = None,
    picture: Size = "large",
    all_items: bool = False,
) -> ForeignData:
    """Read one category.

    Of what is there, the official parts (`CATEGORY.train.csv`, …) are taken before the ratings (`CATEGORY.csv`), and
    these before the reviews (`CATEGORY.jsonl`).

    Args:
        source: the folder with the files, or a file of interactions.
        progress: called with (done, in all, a note).
        category: such as Musical_Instruments; None: the one that is there.
        picture: which address: "large" (500 pixels) or "hi_res"; the other one where an item lacks it.
        all_items: also items of the metadata that nobody rated here.

    Raises:
        DataError: no such files, or several categories or kinds of parts; a file is cut short or damaged.
    """
    published = PublishedFiles(source)
    found = _files(published, category)
    notes: list[str] = []
    if found.parts:
        interactions, notes = read_parts(found.parts, progress)
        files = [
            published.row(file, f"the official part {part}", f"interactions, evaluation {part}")
            for part, file in found.parts.items()
        ]
    elif found.ratings is not None:
        interactions = read_ratings(found.ratings, progress)
        files = [published.row(found.ratings, "ratings", "interactions")]
    elif found.reviews is not None:
        interactions = read_reviews(found.reviews, progress)
        what = "interactions; texts and pictures of reviews are left out"
        files = [published.row(found.reviews, "reviews", what)]
    else:
        raise DataError(
            f"{source}: holds no interactions of {found.category}. Expected {found.category}.train.csv, .valid.csv "
            f"and .test.csv, or {found.category}.csv, or {found.category}.jsonl."
        )
    files += [
        published.row(file, "the same interactions", "left out: those above say more")
        for file in (
            found.ratings if found.parts else None,
            found.reviews if found.parts or found.ratings else None,
        )
        if file is not None
    ]
    items = None
    if found.meta is None:
        notes.append(
            f"There is no meta_{found.category}.jsonl: items have no titles and no addresses of pictures."
        )
    else:
        rated = interactions["item_id"].unique()
        items, more = read_items(found.meta, None if all_items else rated, picture, progress)
        notes += more
        lacking = rated.len() - rated.is_in(items["item_id"].implode()).sum()
        if lacking:
            notes.append(f"{lacking:,} of {rated.len():,} rated items do not stand in {found.meta.name}.")
        files.append(published.row(found.meta, "the items", "items, with image_url"))
    return ForeignData(interactions=interactions, items=items, files=tuple(files), notes=tuple(notes))


# ---- which files -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Files:
    category: str
    parts: Mapping[str, Published]
    ratings: Published | None
    reviews: Published | None
    meta: Published | None


def _files(published: PublishedFiles, category: str | None) -> _Files:
    source = published.source
    named = [(file, match) for file in published.all if (match := _NAME.fullmatch(file.name))]
    there = sorted({match["category"] for _, match in named if not match["meta"]})
    if category is None and len(there) == 1:
        category = there[0]
    if category not in there:
        listed = (
            f"There are: {', '.join(there)}. Say which one: --set category=NAME."
            if there
            else (
                "Put the files there, under their published names: CATEGORY.train.csv, .valid.csv, .test.csv or "
                "CATEGORY.csv or CATEGORY.jsonl, and meta_CATEGORY.jsonl."
            )
        )
        what = f"no category {category}" if category else "several categories" if there else "no category"
        raise DataError(f"{source}: holds {what}. {listed}")
    kinds: dict[str, Published] = {}
    for file, match in named:
        if match["category"] == category:
            kind = "meta" if match["meta"] else match["part"] or match["kind"]
            if kind in kinds:
                raise DataError(
                    f"{source}: holds several files {kind} of {category}: {kinds[kind]}, {file}. Name the folder of "
                    f"one kind of parts (such as 5core/last_out), with the metadata in it."
                )
            kinds[kind] = file
    parts = {part: kinds[part] for part in PARTS if part in kinds}
    if parts and len(parts) < len(PARTS):
        lacking = ", ".join(f"{category}.{part}.csv" for part in PARTS if part not in parts)
        raise DataError(
            f"{source}: {lacking} is missing beside {', '.join(file.name for file in parts.values())}."
        )
    return _Files(str(category), parts, kinds.get("csv"), kinds.get("jsonl"), kinds.get("meta"))
