"""UGallery: sales of an online gallery of physical art (CuratorNet, 2020; the VisRec tutorial, 2021)."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.datasets.named import NamedDataset, PublishedFile
from visrec.data.datasets.pictures_by_name import find_pictures
from visrec.data.foreign import ForeignData, ForeignFeatures
from visrec.data.formats.pickled import PlainArrayError
from visrec.data.formats.tutorial import Embedding, read_embedding
from visrec.data.published import Published, PublishedFiles
from visrec.data.tables import id_column, read_table, row_name, time_column
from visrec.errors import DataError
from visrec.progress import Progress

_BLOCK = 1024  # vectors
_YES, _NO = ("t", "true", "1"), ("f", "false", "0")


@dataclass(frozen=True)
class _Release:
    """The two tables of a release, and what their columns are called there."""

    sales: str
    artworks: str
    user: str
    bought: str
    when: str
    item: str
    artist: str
    uploaded: str


# CuratorNet: a row is a basket, its items a list as Python writes it; ids are hashes.
_CURATORNET = _Release(
    "purchases.csv", "inventory.csv", "user_id_hash", "purchased_artwork_ids_hash", "purchase_timestamp",
    "artwork_id_hash", "artist_id_hash", "upload_timestamp",
)  # fmt: skip
# The tutorial's notebook: a row is an item of a basket, told by its time.
_TUTORIAL = _Release(
    "valid_sales.csv", "valid_artworks.csv", "customer_id", "artwork_id", "order_date", "id", "artist_id",
    "upload_date",
)  # fmt: skip


def read_ugallery(source: Path, *, progress: Progress | None = None) -> ForeignData:
    """Read either release, with the features, the clusters and the pictures that are beside it.

    Args:
        source: the folder.
        progress: not called: it is small.

    Raises:
        DataError: a file is missing, damaged, or does not fit the others.
    """
    del progress
    files = PublishedFiles(source)
    there = [one for one in (_CURATORNET, _TUTORIAL) if files.find(one.sales) is not None]
    if len(there) != 1:
        found = "holds the sales of both releases" if there else "holds no purchases.csv or valid_sales.csv"
        raise DataError(
            f"{source}: {found}. Expected purchases.csv and inventory.csv (CuratorNet), or valid_sales.csv and "
            f"valid_artworks.csv (the tutorial)."
        )
    names = there[0]
    sales_file = files.get(names.sales, what="the sales")
    sales = _sales(sales_file.on_disk, names)
    works_file = files.get(names.artworks, what="the artworks")
    works = _artworks(works_file.on_disk, names)
    baskets = sales.select("user_id", "timestamp").unique().height
    rows = [
        files.row(sales_file, f"{sales.height:,} purchases in {baskets:,} baskets", "interactions"),
        files.row(works_file, f"{works.height:,} artworks", "items"),
    ]
    notes = ["The items of a basket have one timestamp, so that they stay together when parts are held out."]
    if "one_of_a_kind" not in works.columns:
        counts = sales["item_id"].value_counts().filter(pl.col("count") == 1)["item_id"]
        works = works.with_columns(one_of_a_kind=pl.col("item_id").is_in(counts.implode()))
        notes.append(
            "one_of_a_kind: this release does not say it; as in CuratorNet's code, it is what was sold exactly once."
        )
    array = _array(files)
    embedding = None if array is None else _embedding(array)
    known = set(works["item_id"])
    if array is not None and embedding is not None:
        what = f"vectors of {len(embedding.ids):,} artworks"
        rows.append(files.row(array, what, f"features/{_name(embedding)}"))
        strangers = [item for item in embedding.ids if item not in known]
        if strangers:
            works = pl.concat([works, pl.DataFrame({"item_id": strangers})], how="diagonal")
            notes.append(
                f"{len(strangers):,} artworks with a vector are not in {works_file.name}: items without facts."
            )
    clusters = files.find("clusters.json")
    if clusters is not None:
        works = works.join(_clusters(clusters.on_disk), on="item_id", how="left", maintain_order="left")
        rows.append(files.row(clusters, "the visual cluster of each artwork", "column cluster of items"))
    lost = sales.filter(~pl.col("item_id").is_in(works["item_id"].implode()))["item_id"].n_unique()
    if lost:
        notes.append(f"{lost:,} artworks that were sold are not in {works_file.name}: items without facts.")
    pictures = find_pictures(files, {*works["item_id"], *sales["item_id"]})
    return ForeignData(
        interactions=sales,
        items=works,
        pictures=pictures.files,
        encoded=pictures.encoded,
        features=() if embedding is None else (_features(embedding),),
        files=(*rows, *pictures.rows),
        notes=(*notes, *pictures.notes),
    )


def _sales(path: Path, names: _Release) -> pl.DataFrame:
    """user_id, item_id, timestamp: a row an item of a basket."""
    table = read_table(path, required=(names.user, names.bought, names.when))
    for name in (names.user, names.bought):
        id_column(path, table, name)
    time_column(path, table, names.when)
    made = table.select(
        user_id=pl.col(names.user).str.strip_chars(),
        item_id=pl.col(names.bought),
        timestamp=pl.col(names.when).str.strip_chars(),
    )
    if names is _CURATORNET:
        lists = [_basket(path, number, text) for number, text in enumerate(made["item_id"], start=1)]
        made = made.with_columns(pl.Series("item_id", lists, dtype=pl.List(pl.String))).explode("item_id")
    return made.with_columns(pl.col("item_id").str.strip_chars())


def _basket(path: Path, row: int, text: str) -> list[str]:
    """The ids of a list as Python writes it."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(one, str | int) for one in found):
        raise DataError(
            f"{path}: column {_CURATORNET.bought}, {row_name(path, row)}: {text[:80]!r} is no list of ids; expected "
            f"such as \"['9a0f…', '51cc…']\"."
        )
    return [str(one) for one in found]


def _artworks(path: Path, names: _Release) -> pl.DataFrame:
    """item_id, artist, available_from, one_of_a_kind where it is said, and the other columns under their names."""
    table = read_table(path, required=(names.item, names.artist, names.uploaded))
    id_column(path, table, names.item)
    time_column(path, table, names.uploaded)
    ours = {names.item: "item_id", names.artist: "artist", names.uploaded: "available_from"}
    works = table.rename(ours).with_columns(pl.col("item_id", "available_from").str.strip_chars())
    if works["item_id"].is_duplicated().any():
        twice = works.filter(pl.col("item_id").is_duplicated())["item_id"][0]
        raise DataError(f"{path}: artwork {twice!r} stands twice; expected one row an artwork.")
    if "original" in works.columns:
        words = works["original"].str.strip_chars().str.to_lowercase()
        known = words.is_in([*_YES, *_NO])
        if not known.fill_null(value=False).all():
            row = int(np.flatnonzero(~known.fill_null(value=False).to_numpy())[0]) + 1
            raise DataError(
                f"{path}: column original, {row_name(path, row)}: {works['original'][row - 1]!r}; expected t or f."
            )
        works = works.with_columns(words.is_in(_YES).alias("original")).rename({"original": "one_of_a_kind"})
    unnamed = [
        name for name in works.columns if name == "" or name.startswith("Unnamed:")
    ]  # pandas' own numbers
    return works.drop(unnamed).select("item_id", pl.exclude("item_id"))


def _clusters(path: Path) -> pl.DataFrame:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no JSON ({error!s:.120}). Get it again.") from None
    if not isinstance(found, dict) or not all(type(value) is int for value in found.values()):
        raise DataError(f"{path}: expected an object, a whole number for each artwork.")
    return pl.DataFrame(
        {"item_id": list(found), "cluster": list(found.values())},
        schema={"item_id": pl.String, "cluster": pl.Int64},
    )


# ---- features --------------------------------------------------------------------------------------


def _array(files: PublishedFiles) -> Published | None:
    arrays = files.matching("*.npy")
    if len(arrays) > 1:
        names = ", ".join(file.name for file in arrays)
        raise DataError(f"{files.source}: holds several files of features: {names}. Convert them one by one.")
    return arrays[0] if arrays else None


def _embedding(array: Published) -> Embedding:
    try:
        return read_embedding(array.on_disk)
    except PlainArrayError as error:
        raise DataError(
            f"{error} Which row is which artwork is not said in it; expected rows of an id and a vector."
        ) from None


def _name(embedding: Embedding) -> str:
    """resnet_embeddings.npy, embedding-resnet50.npy: what is in it, without the word for it."""
    return embedding.path.stem.removesuffix("_embeddings").removeprefix("embedding-") or embedding.path.stem


def _features(embedding: Embedding) -> ForeignFeatures:
    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(embedding.ids), _BLOCK):
            stop = min(start + _BLOCK, len(embedding.ids))
            yield np.stack([embedding.row(n) for n in range(start, stop)])

    return ForeignFeatures(
        name=_name(embedding),
        ids=pl.Series(embedding.ids, dtype=pl.String),
        shape=embedding.shape,
        blocks=blocks,
        about={"file": embedding.path.name},
        dtype="float16" if embedding.rows[0].dtype == np.float16 else "float32",
    )


UGALLERY = NamedDataset(
    name="ugallery",
    title="UGallery",
    what="sales of physical art, most of it one of a kind, with artists and baskets",
    size="2,919 users, 6,030 sold of 13,297 artworks, 6,535 purchases in 4,897 baskets (the tutorial's figures)",
    licence="the repository says nothing of the data; the pictures are not published",
    citation="Manuel Cartagena, Patricio Cerda, Pablo Messina, Felipe del Río, Denis Parra: CuratorNet: "
    "Visually-aware Recommendation of Art Images. ComplexRec 2020. arXiv:2009.04426",
    home="https://github.com/ialab-puc/CuratorNet (experiments/main.ipynb names the files at their file host)",
    files=(
        PublishedFile("purchases.csv", "CuratorNet: baskets of users", needed=False),
        PublishedFile(
            "inventory.csv", "CuratorNet: artworks, artists, when they were uploaded", needed=False
        ),
        PublishedFile(
            "resnet_embeddings.npy", "CuratorNet: ids and vectors of ResNet50, a pickle", needed=False
        ),
        PublishedFile("clusters.json", "CuratorNet: the visual cluster of each artwork", needed=False),
        PublishedFile("valid_sales.csv", "tutorial: a row an item that was bought", needed=False),
        PublishedFile(
            "valid_artworks.csv", "tutorial: artworks, with `original` (one of a kind)", needed=False
        ),
        PublishedFile("embedding-*.npy", "tutorial: ids and vectors, a pickle", needed=False),
    ),
    read=read_ugallery,
)
