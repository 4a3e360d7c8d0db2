"""Behance: who appreciated which project, its owners, and Caffe's features of its picture.

The files and their lines are described in the document that comes with them (He, Fang, Wang & McAuley, RecSys 2016).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from visrec.data.datasets.named import NamedDataset, PublishedFile
from visrec.data.datasets.vector_files import read_vectors
from visrec.data.foreign import ForeignData, ForeignFeatures, file_row, find_file, the_file
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
    path = the_file(source, *_APPRECIATIONS, what="user, item and Unix time on each line")
    rows = _lines(path, ("user_id", "item_id", "timestamp"))
    times = rows["timestamp"].cast(pl.Int64, strict=False)
    if times.null_count():
        line = int(times.is_null().arg_true()[0])
        raise DataError(
            f"{path}: line {line + 1:,} has the time {rows['timestamp'][line]!r}; expected Unix seconds."
        )
    rows = rows.with_columns(timestamp=times)
    if progress is not None:
        progress(1, 3, path.name)
    files = [file_row(path.name, f"{rows.height:,} appreciations", "interactions")]
    notes: list[str] = []
    items = _owners(find_file(source, *_OWNERS), rows, files, notes)
    if progress is not None:
        progress(2, 3, "owners")
    vectors = find_file(source, _FEATURES)
    features: tuple[ForeignFeatures, ...] = ()
    if vectors is not None:
        found, more = read_vectors(vectors, id_bytes=_ID_BYTES)
        features, notes = (found,), [*notes, *more]
        files.append(file_row(vectors.name, f"{len(found.ids):,} vectors of 4,096", f"features/{found.name}"))
    return ForeignData(
        interactions=rows, items=items, features=features, files=tuple(files), notes=tuple(notes)
    )


def _owners(
    path: Path | None, rows: pl.DataFrame, files: list[dict[str, str]], notes: list[str]
) -> pl.DataFrame | None:
    """The items that were appreciated, with their owners as `artist`."""
    if path is None:
        return None
    pairs = _lines(path, ("item_id", "artist"))
    appreciated = rows.select("item_id").unique(maintain_order=True)
    owners = (
        pairs.unique(maintain_order=True)
        .group_by("item_id", maintain_order=True)
        .agg(pl.col("artist").str.join("|"))
    )
    strangers = owners.join(appreciated, on="item_id", how="anti").height
    if strangers:
        notes.append(f"{path.name}: {strangers:,} items were appreciated by nobody: left out.")
    files.append(file_row(path.name, f"{pairs.height:,} owners of items", "column artist of the items"))
    return appreciated.join(owners, on="item_id", how="left", maintain_order="left")


def _lines(path: Path, names: tuple[str, ...]) -> pl.DataFrame:
    """Words with a blank between them."""
    try:
        whole = pl.read_csv(
            path,
            has_header=False,
            separator="\x01",
            new_columns=["line"],
            quote_char=None,
            infer_schema=False,
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        what = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: cannot be read ({what}). Download it again.") from None
    words = whole["line"].fill_null("").str.strip_chars().str.split(" ")
    odd = (words.list.len() != len(names)) | words.list.contains("")
    if odd.any():
        line = int(odd.arg_true()[0])
        raise DataError(
            f"{path}: line {line + 1:,} is {whole['line'][line]!r}; expected {len(names)} words: {', '.join(names)}."
        )
    return pl.DataFrame({name: words.list.get(n) for n, name in enumerate(names)})


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
