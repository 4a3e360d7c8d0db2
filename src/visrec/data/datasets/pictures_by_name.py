"""Pictures of known items in other people's folders and zip archives, told by the names of their files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from visrec.data.foreign import file_row
from visrec.data.published import Published, PublishedFiles, contents
from visrec.errors import DataError

MOST_BYTES = 1 << 26
"""Of one picture in an archive: what is larger is left out, since a few bytes may unpack to any size."""


@dataclass(frozen=True, eq=False)
class FoundPictures:
    """Where the pictures of items are.

    Attributes:
        files: picture files where they lie, by item.
        encoded: as of `ForeignData`, for those in archives; None where there are none.
        rows: as of `ForeignData.files`.
        notes: what was left out.
    """

    files: Mapping[str, Path] = field(default_factory=dict)
    encoded: Callable[[], Iterator[tuple[str, bytes]]] | None = None
    rows: tuple[dict[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def find_pictures(
    files: PublishedFiles,
    items: Collection[str],
    *,
    folders: Sequence[str] = ("*",),
    zips: Sequence[str] = ("*",),
) -> FoundPictures:
    """The pictures of items: the stem of a file's name is the item's id.

    Args:
        files: of a source.
        items: the ids that are known. Files of others are counted and left out.
        folders: patterns (small letters) for the names of folders in the source, however deep, that hold pictures.
        zips: patterns (small letters) for the names of zip archives that do. They are never unpacked. Items that have
            a file already need none of them.

    Raises:
        DataError: two files are of one item.
    """
    known = items if isinstance(items, set | frozenset) else set(items)
    taken: dict[str, Published] = {}
    places: dict[Path, Counter[str]] = {}
    # Files before archives, which they may have come out of.
    for picture in sorted(files.pictures(), key=lambda one: one.member is not None):
        place = _place(files.source, picture, folders, zips)
        if place is None:
            continue
        counts = places.setdefault(place, Counter())
        first = taken.get(picture.stem)
        if picture.stem not in known:
            counts["strangers"] += 1
        elif first is not None and (picture.member is None) != (first.member is None):
            counts["unpacked"] += 1
        elif first is not None:
            raise DataError(
                f"{picture}: is the second picture of item {picture.stem!r}, beside {first}. Keep one."
            )
        elif picture.member is not None and picture.size > MOST_BYTES:
            counts["large"] += 1
        else:
            taken[picture.stem] = picture
            counts["taken"] += 1
    packed = {item: picture for item, picture in taken.items() if picture.member is not None}
    return FoundPictures(
        files={item: picture.path for item, picture in taken.items() if picture.member is None},
        encoded=(lambda: contents(packed)) if packed else None,
        rows=tuple(_row(files, place, counts) for place, counts in places.items()),
        notes=tuple(note for place, counts in places.items() for note in _notes(place, counts)),
    )


def _place(source: Path, picture: Published, folders: Sequence[str], zips: Sequence[str]) -> Path | None:
    """The archive, or the topmost folder whose name fits, that a picture lies in; None where none fits."""
    if picture.member is not None:
        return picture.path if _fits(picture.path.name, zips) else None
    place = source
    for part in picture.path.relative_to(source).parent.parts if source.is_dir() else ():
        place /= part
        if _fits(part, folders):
            return place
    return None


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern) for pattern in patterns)


def _row(files: PublishedFiles, place: Path, counts: Counter[str]) -> dict[str, str]:
    if place.is_dir():
        what, became = "pictures", "images.csv points to them"
    else:
        what, became = "pictures in a zip archive", f"images/ ({counts['taken']:,} pictures)"
    if not counts["taken"]:
        became = "not needed: no item lacks a picture of it"
    return file_row(files.shown(place), what, became)


def _notes(place: Path, counts: Counter[str]) -> Iterator[str]:
    if counts["strangers"]:
        yield f"{place}: {counts['strangers']:,} pictures are of no item of the data set: left out."
    if counts["large"]:
        yield f"{place}: {counts['large']:,} pictures have more than {MOST_BYTES >> 20} MB: left out."
