"""The parts of a converted data set on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from visrec.converting.indices import Indices, translate
from visrec.converting.own import write_features
from visrec.data.foreign import ForeignFeatures
from visrec.data.formats.tutorial import Embedding
from visrec.data.ids import IdMap
from visrec.data.tables import time_column
from visrec.features.features import Features
from visrec.files import file_digest


def write_embedding(target: Path, embedding: Embedding) -> Features:
    """Features on disk, one row at a time: maps of a whole catalogue take gigabytes."""
    features = ForeignFeatures(
        name=target.name,
        ids=pl.Series(embedding.ids, dtype=pl.String),
        shape=embedding.shape,
        blocks=lambda: (embedding.row(n)[None] for n in range(len(embedding.rows))),
        about={"format": "tutorial", "file": embedding.path.name, "sha256": file_digest(embedding.path)},
        dtype="float16" if embedding.rows[0].dtype == np.float16 else "float32",
        grid=embedding.grid,
    )
    write_features(features, IdMap(embedding.ids, kind="item"), target)
    return Features.load(target, verify=False)


def write_triples(target: Path, table: pl.DataFrame, indices: Indices | None) -> None:
    """Columns user_id, history, pos, neg by id; by index, and named so, where nobody can say the ids."""
    if indices is None:
        columns = {"user": "user_index", "profile": "history_index", "pos": "pos_index", "neg": "neg_index"}
        table.rename(columns).write_parquet(target)
        return
    pl.DataFrame(
        {
            "user_id": translate(table["user"], indices.users),
            "history": translate(table["profile"], indices.items),
            "pos": translate(table["pos"], indices.items),
            "neg": translate(table["neg"], indices.items),
        }
    ).write_parquet(target)


def write_indices(folder: Path, indices: Indices) -> None:
    """The id of each of the tutorial's indices, for whoever has more of its files."""
    (folder / "indices").mkdir()
    for kind, ids in (("user", indices.users), ("item", indices.items)):
        table = pl.DataFrame({"index": np.arange(len(ids)), f"{kind}_id": pl.Series(ids, dtype=pl.String)})
        table.write_csv(folder / "indices" / f"{kind}s.csv")


def held_rows(path: Path, table: pl.DataFrame, held: pl.DataFrame, indices: Indices) -> np.ndarray:
    """A mask of the interactions that are held out: each its own row, however many a user has."""
    keys = ["user_id", "item_id"]
    asked = pl.DataFrame(
        {"user_id": translate(held["user"], indices.users), "item_id": translate(held["item"], indices.items)}
    )
    rows = table.select(keys)
    if "timestamp" in held.columns:
        keys = [*keys, "timestamp"]
        asked = asked.with_columns(held["timestamp"])
        time = time_column(path, table, "timestamp").astype(np.float64)
        rows = rows.with_columns(pl.Series("timestamp", time))
    marks = asked.unique().with_columns(held=pl.lit(value=True))
    return (
        rows.join(marks, on=keys, how="left", maintain_order="left")["held"].fill_null(value=False).to_numpy()
    )
