"""Wikimedia Commons, as the ACM IUI 2021 tutorial published it: the tutorial's files, and what is packed of them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import polars as pl

from visrec.converting.conversion import Conversion
from visrec.converting.finding import Found, find_files
from visrec.converting.tutorial import convert_found
from visrec.data.archives import is_tar, is_zip, unpack
from visrec.data.catalog import IMAGE_SUFFIXES
from visrec.data.datasets.named import NamedDataset, PublishedFile
from visrec.data.tables import id_column, read_table, time_column
from visrec.errors import DataError
from visrec.progress import Progress

USERS, INTERACTIONS = 1_079, 96_991
"""As the tutorial counts them."""
_READ = (".npy", ".csv", ".pt", ".pth", ".tar", ".ckpt")
_COURSE = {"train_tarea_recsys_2019.csv": "False", "test_tarea_recsys_2019.csv": "True"}
"""The tables that the tutorial made its own of: which are the evaluation."""


def convert_wikimedia(source: Path, folder: Path, *, progress: Progress | None = None) -> Conversion:
    """Convert the tutorial's files, with what is in zip and tar archives among them.

    Pictures in archives are unpacked into `images/`; tables, features and models in them are read and leave no copy.

    Args:
        source: a folder, or one file.
        folder: an empty one.
        progress: called with (done, in all, a name).

    Raises:
        DataError: a file is damaged, wants to run code, or does not fit the others.
    """
    found = find_files(source)
    with TemporaryDirectory(dir=folder, prefix=".unpacked-") as scratch:
        notes = _unpack(found, Path(scratch), folder / "images", progress)
        notes += _course_tables(found, Path(scratch))
        try:
            made = convert_found(found, folder, progress=progress)
        except DataError as error:
            raise DataError(_in_archives(str(error), found)) from None
    notes += _without_strangers(folder)
    return Conversion(made.files, [*notes, *made.notes, *_beside_published(folder)])


def _unpack(found: Found, scratch: Path, images: Path, progress: Progress | None) -> list[str]:
    """What is in the archives, sorted in with the other files; notes."""
    archives = [path for path, _ in found.other if is_zip(path) or is_tar(path)]
    found.other = [(path, why) for path, why in found.other if path not in archives]
    there = {path.name for path in _paths(found)}
    notes, sources = [], []
    for number, archive in enumerate(archives):
        sorter = _Sorter(scratch / str(number), images, there)
        gone = unpack(archive, sorter.place_of, progress=progress)
        found.labels[sorter.rest] = found.name(archive)
        for path in sorted(gone.values()):
            found.add(path)
        pictures = [path for path in gone.values() if path.parent == images]
        if pictures:
            sources.append(found.name(archive))
            size = sum(path.stat().st_size for path in pictures) / 1e6
            notes.append(
                f"{len(pictures):,} pictures ({size:,.1f} MB) of {archive.name} were unpacked into images/."
            )
        if sorter.beside:
            notes.append(
                f"{sorter.beside:,} files of {archive.name} lie unpacked beside it: those were taken."
            )
        if sorter.others:
            notes.append(
                f"{sorter.others:,} files of {archive.name} are of no kind that is converted: left out."
            )
    if sources:
        found.labels[images] = " and ".join(sources)
    return notes


class _Sorter:
    """Where the files of an archive go: pictures to the data set, what is read to `rest`. Counts what is left out."""

    def __init__(self, rest: Path, images: Path, there: set[str]) -> None:
        self.rest, self.beside, self.others = rest, 0, 0
        self._images, self._there = images, there

    def place_of(self, name: str) -> Path | None:
        path = PurePosixPath(name)
        suffix = path.suffix.lower()
        if path.name in self._there:
            self.beside += 1
        elif suffix in IMAGE_SUFFIXES:
            return self._images / path.name
        elif suffix in _READ:
            return self.rest / path.name
        else:
            self.others += 1
        return None


def _in_archives(message: str, found: Found) -> str:
    """A message about unpacked files, which are gone by then, in the names of their archives."""
    for place, label in found.labels.items():
        message = message.replace(str(place), str(found.root / label))
    return message


def _paths(found: Found) -> list[Path]:
    pictures = [path for paths in found.images.values() for path in paths]
    tables = [*found.interactions, *found.evaluation, *found.triples]
    return [*tables, *found.arrays, *found.checkpoints, *pictures]


def _course_tables(found: Found, scratch: Path) -> list[str]:
    """The two tables `user,image_id,timestamp` as the one that the tutorial made of them, where that is not there."""
    raw = {path.name: path for path, _ in found.other if path.name in _COURSE}
    if found.interactions or len(raw) < len(_COURSE):
        return []
    parts = []
    for name, evaluation in _COURSE.items():
        table = read_table(raw[name], required=("user", "image_id", "timestamp"))
        for column in ("user", "image_id"):
            id_column(raw[name], table, column)
        moment = pl.Series("moment", time_column(raw[name], table, "timestamp"))
        columns = {"user": "user_id", "image_id": "item_id"}
        parts.append(
            table.select("user", "image_id", "timestamp")
            .rename(columns)
            .with_columns(pl.lit(evaluation).alias("evaluation"), moment)
        )
    rows = pl.concat(parts).sort("moment", maintain_order=True)
    # The tutorial keeps the newest of equal pairs, and numbers users by the rows that are left.
    kept = rows.unique(["user_id", "item_id"], keep="last", maintain_order=True).drop("moment")
    place = scratch / "course" / "wikimedia.csv"
    place.parent.mkdir()
    kept.write_csv(place)
    found.other = [(path, why) for path, why in found.other if path.name not in _COURSE]
    found.labels[place] = " and ".join(found.name(raw[name]) for name in _COURSE)
    found.add(place)
    repeated = rows.height - kept.height
    return [
        f"{repeated:,} of {rows.height:,} interactions are repeated: the newest was kept, as the tutorial does."
    ]


def _without_strangers(folder: Path) -> list[str]:
    """Remove unpacked pictures of no item."""
    listing = folder / "images.csv"
    images = folder / "images"
    if not images.is_dir():
        return []
    listed = set(pl.read_csv(listing, infer_schema=False)["path"]) if listing.exists() else set()
    strangers = [path for path in images.iterdir() if f"images/{path.name}" not in listed]
    for path in strangers:
        path.unlink()
    if not any(images.iterdir()):
        images.rmdir()
    return [f"{len(strangers):,} unpacked pictures are of no item: removed."] if strangers else []


def _beside_published(folder: Path) -> list[str]:
    path = folder / "interactions.csv"
    if not path.exists():
        return []
    table = pl.read_csv(path, infer_schema=False)
    users = table["user_id"].n_unique()
    if (users, table.height) == (USERS, INTERACTIONS):
        return []
    return [
        f"Here are {users:,} users and {table.height:,} interactions; published are {USERS:,} and {INTERACTIONS:,}."
    ]


WIKIMEDIA = NamedDataset(
    name="wikimedia",
    title="Wikimedia Commons, of the VisRec tutorial (ACM IUI 2021)",
    what="who liked which picture of Wikimedia Commons; with the tutorial's features and models",
    size="1,079 users, 9,636 interacted of 32,958 pictures, 96,991 interactions",
    licence="the tutorial is MIT; each picture has its own licence, told by its page at Wikimedia Commons",
    citation="Denis Parra, Antonio Ossa-Guerra, Manuel Cartagena, Patricio Cerda-Mardini, Felipe del Río: VisRec: A "
    "Hands-on Tutorial on Deep Learning for Visual Recommender Systems. IUI 2021. doi:10.1145/3397482.3450620",
    home="https://github.com/ialab-puc/VisualRecSys-Tutorial-IUI2021 (its colabnotebooks name "
    "the files, at a file host)",
    files=(
        PublishedFile("wikimedia.csv", "interactions: user_id,item_id,timestamp,evaluation"),
        PublishedFile("iui_wikimedia_images.tar.gz", "the pictures", needed=False),
        PublishedFile("embedding-resnet50.npy", "vectors, a pickle of names and rows", needed=False),
        PublishedFile("embedding-resnet50-layer4.tar.gz", "regions for ACF, packed", needed=False),
        PublishedFile("naive-*-evaluation.csv", "held-out items, by index", needed=False),
        PublishedFile("naive-*-training.csv", "triples, by index", needed=False),
        PublishedFile("*_wikimedia.tar, ACF_wikimedia.pt", "trained models", needed=False),
        PublishedFile(
            "train_tarea_recsys_2019.csv, test_tarea_recsys_2019.csv",
            "what wikimedia.csv was made of; read where that is not there",
            needed=False,
        ),
    ),
    convert=convert_wikimedia,
)
