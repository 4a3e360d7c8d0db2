"""MicroLens-50k and MicroLens-100k (Ni et al., 2023): who commented on which short video, covers, features."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.datasets.named import NamedDataset, PublishedFile
from visrec.data.datasets.pictures_by_name import find_pictures
from visrec.data.foreign import (
    ForeignData,
    ForeignFeatures,
    places_as_times,
)
from visrec.data.formats.rows import read_rows, whole_numbers_of
from visrec.data.published import Published, PublishedFiles
from visrec.errors import DataError
from visrec.progress import Progress

_BLOCK = 4096  # vectors at a time


def read_microlens(source: Path, *, progress: Progress | None = None) -> ForeignData:
    """Read MicroLens-50k or MicroLens-100k.

    Args:
        source: the folder with the published files of one of them.
        progress: called with (done, in all, a note).

    Raises:
        DataError: there are no pairs, or those of both sets; a file is damaged, or features are of other videos.
    """
    published = PublishedFiles(source)
    pairs = published.find("MicroLens-*_pairs.csv") or published.get(
        "MicroLens-*_pairs.tsv", what="who took which video; or MicroLens-*_pairs.csv, with times"
    )
    timed = pairs.name.endswith(".csv")
    interactions = _timed(pairs, progress) if timed else _ordered(pairs, progress)
    notes = []
    if not timed:
        notes.append(
            f"{pairs.name} has an order and no times: the timestamp is the place of a video among those of its user, "
            f"and says nothing across users. {pairs.stem}.csv has times."
        )
    files = [published.row(pairs, "users and their videos", "interactions")]
    tables = []
    for read, patterns, what in (
        (_titles, ("MicroLens-*_titles.csv", "MicroLens-*_title_en.csv"), "titles"),
        (_tags, ("tags_to_summary.csv",), "kinds of videos"),
        (_counts, ("MicroLens-*_likes_and_views.txt",), "likes and views"),
    ):
        file = published.find(*patterns)
        if file is not None:
            tables.append(read(file.on_disk))
            files.append(published.row(file, what, "items"))
    ids = interactions["item_id"].unique().sort()
    items = pl.DataFrame(
        {"item_id": pl.concat([*(table["item_id"] for table in tables), ids]).unique(maintain_order=True)}
    )
    for table in tables:
        items = items.join(table, on="item_id", how="left", maintain_order="left")
    features = []
    for file in published.matching("MicroLens-*_features_*.npy"):
        one = _features(file.on_disk, items["item_id"])
        features.append(one)
        files.append(published.row(file, f"{one.shape[0]} numbers a video", f"features/{one.name}"))
    pictures = find_pictures(
        published, set(items["item_id"]), folders=("*cover*",), zips=("microlens-*_covers.zip", "covers.zip")
    )
    return ForeignData(
        interactions=interactions,
        items=items,
        pictures=pictures.files,
        encoded=pictures.encoded,
        features=tuple(features),
        files=(*files, *pictures.rows),
        notes=(*notes, *pictures.notes),
    )


# ---- interactions ----------------------------------------------------------------------------------


def _timed(file: Published, progress: Progress | None) -> pl.DataFrame:
    found = []
    for first, text in read_rows(file, ("user", "item", "timestamp"), progress=progress):
        columns = {
            "user_id": text["user"],
            "item_id": text["item"],
            "timestamp": whole_numbers_of(file, first, text, "timestamp"),
        }
        found.append(pl.DataFrame(columns))
    return pl.concat(found)


def _ordered(file: Published, progress: Progress | None) -> pl.DataFrame:
    """One line a user: the user, a tab, and the videos from the first to the last."""
    found = [
        text.select(user_id="user", item_id=pl.col("items").str.extract_all(r"\S+")).explode("item_id")
        for _, text in read_rows(
            file, ("user", "items"), names=("user", "items"), separator="\t", progress=progress
        )
    ]
    return places_as_times(pl.concat(found))


# ---- items -----------------------------------------------------------------------------------------


def _titles(path: Path) -> pl.DataFrame:
    """`item,title`: the 50k file has a line of names, the 100k file none; commas may stand unquoted."""
    rows = [row for row in _records(path, ",") if row != ["item", "title"]]
    return _one_each(path, [(row[0], ",".join(row[1:]).strip() or None) for row in rows], "title")


def _tags(path: Path) -> pl.DataFrame:
    return _one_each(
        path, [(row[0], ",".join(row[1:]).strip() or None) for row in _records(path, ",")], "category"
    )


def _counts(path: Path) -> pl.DataFrame:
    rows = _records(path, "\t")
    try:
        found = [(row[0], int(row[1]), int(row[2])) for row in rows if len(row) == 3 or _refuse(path, row)]
    except ValueError as error:
        raise DataError(
            f"{path}: {error}; expected a video, its likes and its views, with tabs between."
        ) from None
    table = pl.DataFrame(
        found, schema={"item_id": pl.String, "likes": pl.Int64, "views": pl.Int64}, orient="row"
    )
    return _once(path, table)


def _refuse(path: Path, row: list[str]) -> bool:
    raise DataError(
        f"{path}: a line has {len(row)} fields, {row[:4]}; expected a video, its likes and its views."
    )


def _records(path: Path, separator: str) -> Iterator[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.reader(file, delimiter=separator):
                if row:
                    yield [row[0].strip(), *row[1:]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}). Download it again.") from None


def _one_each(path: Path, rows: list[tuple[str, str | None]], name: str) -> pl.DataFrame:
    table = pl.DataFrame(rows, schema={"item_id": pl.String, name: pl.String}, orient="row")
    strange = table.filter(~pl.col("item_id").str.contains(r"^[0-9]+$"))
    if strange.height:
        raise DataError(
            f"{path}: begins a line with {strange['item_id'][0][:80]!r}; expected the number of a video."
        )
    swallowed = table.filter(pl.col(name).str.contains(r"\n[0-9]+,"))
    if swallowed.height:
        raise DataError(
            f"{path}: a quotation mark in the line of video {swallowed['item_id'][0]} is not closed, so that lines "
            f"below would be lost. Double it, or take it out."
        )
    return _once(path, table)


def _once(path: Path, table: pl.DataFrame) -> pl.DataFrame:
    twice = table.filter(pl.col("item_id").is_duplicated())
    if twice.height:
        raise DataError(f"{path}: video {twice['item_id'][0]} stands twice. Download the file again.")
    return table


# ---- features --------------------------------------------------------------------------------------


def _features(path: Path, items: pl.Series) -> ForeignFeatures:
    """Row n of the file is the video n + 1, as the authors' own script counts them."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path}: is no readable .npy file of numbers ({error}). Download it again."
        ) from None
    numbers = items.cast(pl.Int64, strict=False)
    last = numbers.max()
    if numbers.null_count() or not isinstance(last, int):
        raise DataError(f"{path}: rows are told by the numbers of videos, and {items[0]!r} is none.")
    if values.ndim != 2 or values.dtype.kind != "f" or len(values) != last:
        raise DataError(
            f"{path}: holds {values.dtype} {values.shape}; expected a vector for each of the videos 1 to {last:,}. "
            f"Are they of the same release? Take the file out of {path.parent} to go on without it."
        )

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(values), _BLOCK):
            yield np.asarray(values[start : start + _BLOCK])

    return ForeignFeatures(
        name=path.stem.split("_", 1)[1],
        ids=pl.Series("item_id", [str(n) for n in range(1, last + 1)]),
        shape=(int(values.shape[1]),),
        blocks=blocks,
        about={"file": path.name, "extractor": path.stem.rsplit("_", 1)[1]},
        dtype="float16" if values.dtype == np.float16 else "float32",
    )


MICROLENS = NamedDataset(
    name="microlens",
    title="MicroLens-50k and MicroLens-100k",
    what="short videos that people commented on: covers, titles, kinds, extracted features",
    size="50,000 or 100,000 users; the latter with 19,738 videos and 719,405 interactions; covers 0.6 GB (50k)",
    licence="its authors name none; they forbid to offer changed copies for download",
    citation="Y. Ni, Y. Cheng, X. Liu, J. Fu, Y. Li, X. He, Y. Zhang, F. Yuan: A Content-Driven Micro-Video "
    "Recommendation Dataset at Scale. arXiv:2309.15379, 2023",
    home="https://github.com/westlake-repl/MicroLens, which leads to the files of either size",
    files=(
        PublishedFile("MicroLens-100k_pairs.csv", "user,item,timestamp (milliseconds); 50k alike"),
        PublishedFile(
            "MicroLens-100k_pairs.tsv",
            "a user and the videos in their order; read where there is no .csv",
            False,
        ),
        PublishedFile("MicroLens-100k_title_en.csv", "titles (MicroLens-50k_titles.csv)", False),
        PublishedFile("tags_to_summary.csv", "a kind a video (100k)", False),
        PublishedFile("MicroLens-100k_likes_and_views.txt", "likes and views; 50k alike", False),
        PublishedFile("MicroLens-100k_covers.zip", "covers N.jpg, packed or unpacked; 50k alike", False),
        PublishedFile("MicroLens-100k_*_features_*.npy", "vectors of images, videos, titles (100k)", False),
    ),
    read=read_microlens,
)
