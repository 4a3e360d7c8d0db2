"""Picture files that lie in folders, and what the items are called whose pictures they are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from visrec.data.catalog import IMAGE_SUFFIXES
from visrec.data.file_names import is_utf8
from visrec.errors import DataError


def pictures_in(folder: Path) -> tuple[list[str], list[str]]:
    """Pictures and other files below a folder, as sorted paths relative to it, with "/" on every system.

    Files and folders whose names begin with a dot, and what macOS adds to archives (`__MACOSX`), are passed over.
    Folders that are links are not entered.

    Raises:
        DataError: there is no such folder, or a name is not UTF-8.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder}: {what}; expected a folder of pictures.")
    pictures: list[str] = []
    others: list[str] = []
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        for name in names:
            path = Path(place, name)
            if name.startswith(".") or not path.is_file():
                continue
            relative = path.relative_to(folder).as_posix()
            if not is_utf8(relative):
                raise DataError(f"{folder}: the file name {os.fsencode(relative)!r} is not UTF-8; rename it.")
            (pictures if path.suffix.lower() in IMAGE_SUFFIXES else others).append(relative)
    return sorted(pictures), sorted(others)


def ids_of_files(names: Sequence[str], *, stems: bool = False) -> list[str]:
    """An id for each of some paths `a/b.jpg`, all different: the path without its suffix.

    Where that would name two files (`a.jpg` and `a.png`), both keep their suffix.

    Args:
        names: paths, all different.
        stems: the name without folders, `b`, is enough where no other file has it.
    """
    paths = [PurePosixPath(name) for name in names]
    forms = [[path.stem, path.with_suffix("").as_posix(), path.as_posix()][not stems :] for path in paths]
    place = [0] * len(paths)
    while True:
        ids = [form[n] for form, n in zip(forms, place, strict=True)]
        count = Counter(ids)
        # Whole paths are all different; so this ends.
        longer = [n for n, one in enumerate(ids) if count[one] > 1 and place[n] < len(forms[n]) - 1]
        if not longer:
            return ids
        for n in longer:
            place[n] += 1


def pictures_by_item(folder: Path) -> dict[str, Path]:
    """The pictures `<item_id>.jpg` that lie directly in a folder, by item.

    Raises:
        DataError: there is no such folder, or an item has two pictures.
    """
    found: dict[str, Path] = {}
    for name in pictures_in(folder)[0]:
        path = folder / name
        if "/" in name:
            continue
        if path.stem in found:
            raise DataError(
                f"{folder}: item {path.stem!r} has two images, {found[path.stem].name} and {path.name}; keep one."
            )
        found[path.stem] = path
    return found


def inside(folder: Path, name: str) -> Path | None:
    """A file that a table names relative to its folder; None where it would lie elsewhere.

    A table from a stranger must not make pictures of files that are none of its own.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if not name or path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in name:
        return None
    return folder / path


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read ({error.strerror}).") from None
