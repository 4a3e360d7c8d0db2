"""Behance: who appreciated which project, its owners, and Caffe's features of its picture.

The files and their lines are described in the document that comes with them (He, Fang, Wang & McAuley, RecSys 2016).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from visrec.data.datasets.named import NamedDataset, PublishedFile
from visrec.data.datasets.vector_files import read_vectors
from visrec.data.foreign import ForeignData, ForeignFeatures
from visrec.data.formats.lines import line_blocks
from visrec.data.published import Published, PublishedFiles
from visrec.errors import DataError
from visrec.progress import Progress

_APPRECIATIONS = ("Behance_appreciate_1M.gz", "Behance_appreciate_1M", "Behance_appreciate_1M.txt")
_OWNERS = ("Behance_Item_to_Owners.gz", "Behance_Item_to_Owners", "Behance_Item_to_Owners.txt")
_FEATURES = "Behance_Image_Features.b"
_ID_BYTES = 8


def read_behance(source: Path, *, progress: Progress | None = None) -> ForeignData:
    """Read the appreciations, and of owners and features what is there.

    Raises:
        DataError: a file is missing or damaged; the message names the line.
    """
    published = PublishedFiles(source)
    appreciations = published.get(*_APPRECIATIONS, what="user, item and Unix time on each line")
    rows = _lines(appreciations, ("user_id", "item_id", "timestamp"), progress)
    times = rows["timestamp"].cast(pl.Int64, strict=False)
    if times.null_count():
        line = int(times.is_null().arg_true()[0])
        raise DataError(
            f"{appreciations}: line {line + 1:,} has the time {rows['timestamp'][line]!r}; expected Unix seconds."
        )
    rows = rows.with_columns(timestamp=times)
    files = [published.row(appreciations, f"{rows.height:,} appreciations", "interactions")]
    notes: list[str] = []
    items: pl.DataFrame | None = None
    owners = published.find(*_OWNERS)
    if owners is not None:
        pairs = _lines(owners, ("item_id", "artist"), progress)
        items, said = _owners(owners, pairs, rows)
        notes += said
        files.append(published.row(owners, f"{pairs.height:,} owners of items", "column artist of the items"))
    vectors = published.find(_FEATURES)
    features: tuple[ForeignFeatures, ...] = ()
    if vectors is not None:
        found, more = read_vectors(vectors.on_disk, id_bytes=_ID_BYTES)
        features, notes = (found,), [*notes, *more]
        files.append(published.row(vectors, f"{len(found.ids):,} vectors of 4,096", f"features/{found.name}"))
    return ForeignData(
        interactions=rows, items=items, features=features, files=tuple(files), notes=tuple(notes)
    )


def _owners(file: Published, pairs: pl.DataFrame, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The items that were appreciated, with their owners as `artist`; and who is left out."""
    appreciated = rows.select("item_id").unique(maintain_order=True)
    owners = (
        pairs.unique(maintain_order=True)
        .group_by("item_id", maintain_order=True)
        .agg(pl.col("artist").str.join("|"))
    )
    strangers = owners.join(appreciated, on="item_id", how="anti").height
    notes = [f"{file.name}: {strangers:,} items were appreciated by nobody: left out."] if strangers else []
    return appreciated.join(owners, on="item_id", how="left", maintain_order="left"), notes


def _lines(file: Published, names: tuple[str, ...], progress: Progress | None) -> pl.DataFrame:
    """Words with blanks between them."""
    parts = []
    for block in line_blocks(file, progress=progress):
        try:
            lines = pl.Series("line", block.data.removesuffix(b"\n").decode().split("\n"), dtype=pl.String)
        except UnicodeDecodeError:
            raise DataError(
                f"{file}: lines {block.first:,} and following are no UTF-8 text. Get it again."
            ) from None
        words = lines.str.extract_all(r"\S+")
        odd = words.list.len() != len(names)
        if odd.any():
            place = int(odd.arg_true()[0])
            raise DataError(
                f"{file}: line {block.first + place:,} is {lines[place][:80]!r}; expected {len(names)} words: "
                f"{', '.join(names)}."
            )
        parts.append(pl.DataFrame({name: words.list.get(n) for n, name in enumerate(names)}))
    return pl.concat(parts)


BEHANCE = NamedDataset(
    name="behance",
    title="Behance (VISTA)",
    what="who appreciated which project, its owners, Caffe's features",
    size="63,497 users, 178,788 items, 1 million appreciations from 2011-06-09 to 2011-11-14; 2.9 GB of features",
    licence="its authors state none; part of Behance's data, released for research",
    citation=(
        "R. He, C. Fang, Z. Wang, J. McAuley: Vista: A Visually, Socially, and Temporally-aware Model for Artistic "
        "Recommendation. RecSys 2016"
    ),
    home="https://cseweb.ucsd.edu/~jmcauley/datasets.html#behance",
    files=(
        PublishedFile(_APPRECIATIONS[0], "user, item and Unix time on each line"),
        PublishedFile(_OWNERS[0], "item and owner on each line", needed=False),
        PublishedFile(_FEATURES, "an id of 8 letters and 4,096 float32 numbers, for each item", needed=False),
    ),
    read=read_behance,
)
