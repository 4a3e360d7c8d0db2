"""What there is in a folder of the tutorial's files, told by content and columns."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

from visrec.data.catalog import IMAGE_SUFFIXES
from visrec.data.foreign import files_below
from visrec.data.formats.tutorial import kind_of
from visrec.errors import DataError

_CHECKPOINTS = (".tar", ".pt", ".pth", ".ckpt")
_TORCH = (b"PK\x03\x04", b"\x80\x02")  # files of torch.save, new and old


@dataclass
class Found:
    """Files by what they are; `other` are of no kind that is converted.

    Attributes:
        root: the folder, or that of the single file.
        images: the picture files of each folder.
        other: each file with the reason why it is of no kind.
        labels: what files and folders that lie elsewhere are called, such as the archive that they come from.
    """

    root: Path
    interactions: list[Path] = field(default_factory=list)
    evaluation: list[Path] = field(default_factory=list)
    triples: list[Path] = field(default_factory=list)
    arrays: list[Path] = field(default_factory=list)
    checkpoints: list[Path] = field(default_factory=list)
    images: dict[Path, list[Path]] = field(default_factory=dict)
    other: list[tuple[Path, str]] = field(default_factory=list)
    labels: dict[Path, str] = field(default_factory=dict)

    def name(self, path: Path) -> str:
        """A file as seen from the folder."""
        for place in (path, *path.parents):
            if place in self.labels:
                return f"{self.labels[place]}/{path.relative_to(place).as_posix()}".removesuffix("/.")
        return path.relative_to(self.root).as_posix()

    def add(self, path: Path) -> None:
        """One more file, to what it is."""
        _sort_in(self, path)


def find_files(source: Path) -> Found:
    """Look through a folder and all below it (hidden files apart), or at one file.

    Raises:
        DataError: there is no such folder or file.
    """
    if not source.exists():
        raise DataError(
            f"{source}: does not exist; expected a folder with the tutorial's files, or one of them."
        )
    found = Found(source if source.is_dir() else source.parent)
    for path in files_below(source) if source.is_dir() else [source]:
        found.add(path)
    return found


def _sort_in(found: Found, path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        found.images.setdefault(path.parent, []).append(path)
    elif suffix == ".npy":
        found.arrays.append(path)
    elif suffix in _CHECKPOINTS:
        with path.open("rb") as file:
            is_torch = file.read(4).startswith(_TORCH)
        if is_torch:
            found.checkpoints.append(path)
        else:
            found.other.append((path, "was not written by torch.save"))
    elif suffix == ".csv":
        columns = _header(path)
        kind = kind_of(columns)
        if kind is None:
            shown = ",".join(columns)[:80] or "none"
            found.other.append((path, f"columns of no table of the tutorial: {shown}"))
        else:
            getattr(found, kind).append(path)
    else:
        found.other.append((path, "of no kind that is converted"))


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next((row for row in csv.reader(file) if row), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8 ({error}).") from None
