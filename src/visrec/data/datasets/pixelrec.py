"""PixelRec (Cheng et al., 2023): who commented on which video, known by its cover; 50,000 users and more."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from visrec.data.datasets.named import NamedDataset, PublishedFile
from visrec.data.datasets.pictures_by_name import find_pictures
from visrec.data.foreign import ForeignData
from visrec.data.formats.json_vectors import read_json_vectors
from visrec.data.formats.rows import read_rows, whole_numbers_of
from visrec.data.published import Published, PublishedFiles, first_line
from visrec.data.tables import first_row, read_table, row_name
from visrec.errors import DataError
from visrec.progress import Progress

INTERACTIONS = ("item_id", "user_id", "timestamp")
FEATURES = ("image_feature.json", "text_feature.json")


def read_pixelrec(
    source: Path, *, progress: Progress | None = None, subset: str | None = None, all_items: bool = False
) -> ForeignData:
    """Read one of its subsets.

    The interactions and the facts of items have the same file name for the larger subsets (`Pixel200K.csv` in two
    folders); what a file is, its first line tells.

    Args:
        source: the folder with the published files.
        progress: called with (done, in all, a note).
        subset: such as Pixel200K, where files of several lie in the folder.
        all_items: also items that nobody took here.

    Raises:
        DataError: there are no interactions, or those of several subsets; a file is damaged.
    """
    published = PublishedFiles(source)
    tables = _tables(published, subset)
    interactions = _interactions(tables["interactions"], progress)
    files = [published.row(tables["interactions"], "users and their videos", "interactions")]
    notes: list[str] = []
    taken = interactions["item_id"].unique()
    items = None
    known = set(taken)
    if "items" in tables:
        items, notes = _items(tables["items"].on_disk, None if all_items else taken)
        files.append(published.row(tables["items"], "facts of the videos", "items"))
        known |= set(items["item_id"])
    features = []
    for name in FEATURES:
        file = published.find(name)
        if file is not None:
            one, strangers = read_json_vectors(file.on_disk, known, name=file.stem, progress=progress)
            features.append(one)
            files.append(published.row(file, f"{one.shape[0]} numbers an item", f"features/{one.name}"))
            if strangers:
                notes.append(f"{name}: {strangers:,} vectors are of no item of this subset: left out.")
    for packed in published.matching("cover*.7z"):
        became = f"nothing; unpack it first: 7z x {packed.name}"
        files.append(published.row(packed, "covers in a 7z file", became))
    pictures = find_pictures(
        published, known, folders=("*cover*", "image*"), zips=("*cover*.zip", "image*.zip")
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


def _tables(files: PublishedFiles, subset: str | None) -> dict[str, Published]:
    """The file of interactions and that of items, told by their first lines."""
    source = files.source
    found: dict[str, list[Published]] = {"interactions": [], "items": []}
    for file in files.matching("*.csv"):
        kind = _kind(file)
        if kind is not None and (subset is None or file.stem == subset):
            found[kind].append(file)
    for kind, several in found.items():
        if len(several) > 1:
            listed = ", ".join(str(file) for file in several[:4])
            raise DataError(
                f"{source}: holds several files of {kind}: {listed}. Say which: --set subset=Pixel200K."
            )
    if not found["interactions"]:
        raise DataError(
            f"{source}: holds no file {'' if subset is None else f'{subset}.csv '}that begins with "
            f"{','.join(INTERACTIONS)}. "
            f"Put it there, under its published name (interaction.csv, Pixel200K.csv, …)."
        )
    return {kind: several[0] for kind, several in found.items() if several}


def _kind(file: Published) -> str | None:
    names = [name.strip('"') for name in first_line(file).split(",")]
    if set(INTERACTIONS) <= set(names):
        return "interactions"
    return "items" if {"item_id", "title", "tag"} <= set(names) else None


def _interactions(file: Published, progress: Progress | None) -> pl.DataFrame:
    found = []
    for first, text in read_rows(file, INTERACTIONS, progress=progress):
        columns = {
            "user_id": text["user_id"],
            "item_id": text["item_id"],
            "timestamp": whole_numbers_of(file, first, text, "timestamp"),
        }
        found.append(pl.DataFrame(columns))
    return pl.concat(found, rechunk=False)


def _items(path: Path, only: pl.Series | None) -> tuple[pl.DataFrame, list[str]]:
    table = read_table(path, required=("item_id", "title", "tag"))
    doubled = table["item_id"].is_duplicated() | table["item_id"].is_null()
    if doubled.any():
        row = first_row(doubled)
        raise DataError(
            f"{path}: {row_name(path, row)}: item {table['item_id'][row - 1]!r} stands twice, or has no id. "
            f"Download it again."
        )
    table = table.rename({"tag": "category"})
    if only is None:
        return table, []
    kept = table.filter(pl.col("item_id").is_in(only.implode()))
    left_out = table.height - kept.height
    note = (
        f"{path.name}: {left_out:,} of {table.height:,} items were taken by nobody here: left out "
        f"(--set all_items=true keeps them)."
    )
    return kept, [note] if left_out else []


PIXELREC = NamedDataset(
    name="pixelrec",
    title="PixelRec (PixelRec50K, Pixel200K, Pixel1M, Pixel8M, PixelRec)",
    what="videos that people commented on, known by their covers",
    size="PixelRec50K: 50,000 users, 82,865 items, 989,494 interactions, 53 MB of tables; all: 408,374 covers",
    licence="for non-commercial research and education only; no right to copy, change or publish it",
    citation="Y. Cheng, Y. Pan, J. Zhang, Y. Ni, A. Sun, F. Yuan: An Image Dataset for Benchmarking Recommender "
    "Systems with Raw Pixels. SDM 2024 (arXiv:2309.06789)",
    home="https://github.com/westlake-repl/PixelRec (links to the folders of files)",
    files=(
        PublishedFile(
            "interaction.csv", "item_id,user_id,timestamp; Pixel200K.csv, … of the folder Interaction"
        ),
        PublishedFile(
            "item_info.csv", "facts of items; Pixel200K.csv, … of the folder Item Information", False
        ),
        PublishedFile("cover/ITEM.jpg", "covers; unpack cover.7z", False),
        PublishedFile("image_feature.json", "1,024 numbers an item, of all 408,374; 9.2 GB", False),
        PublishedFile("text_feature.json", "the same of texts; 9.3 GB", False),
    ),
    read=read_pixelrec,
)
