"""The folders in which LensKit 2025 saves a data set: `schema.json`, and a Parquet file a class.

Relationships name entities by their row in the entities' file (github.com/lenskit/lkpy, src/lenskit/data/schema.py,
container.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from visrec.data.foreign import ForeignData, ForeignFeatures, file_row
from visrec.data.formats.interaction_tables import interactions_of, sole_table
from visrec.data.formats.moments import with_times
from visrec.data.formats.parquet_columns import (
    blocks_of,
    kind_of,
    plain_columns,
    schema_of,
    vectors_in,
    write_plain_parquet,
)
from visrec.errors import DataError

VERSION = "2025.3"
"""Of the layout that is written."""
WEIGHTS = ("weight", "count")
"""Columns that say how much an interaction weighs: how often it was is as good."""
_NAME = re.compile(r"\w+")


def read_saved(schema_file: Path, asked: str, pictures: Mapping[str, Path]) -> ForeignData:
    """A saved data set.

    Args:
        schema_file: its `schema.json`.
        asked: the class of interactions; "": LensKit's default.
        pictures: of its items.
    """
    folder = schema_file.parent
    schema = _schema(schema_file)
    name = _interaction_class(schema_file, schema, asked)
    entities = {alias: of or alias for alias, of in schema["relationships"][name]["entities"].items()}
    if set(entities) != {"user", "item"}:
        raise DataError(
            f"{schema_file}: {name} is between {', '.join(map(repr, entities))}; expected 'user' and 'item'. "
            f"Choose another class: --set interactions=…"
        )
    path = _file(folder, name)
    table = sole_table(path)
    ids = {}
    for alias, of in entities.items():
        ids[alias] = _entity_ids(folder, of)
        numbers = f"{alias}_num"
        if numbers not in table.columns:
            raise DataError(f"{path}: has no column {numbers}; LensKit writes one. Save the data set anew.")
        table = table.with_columns(pl.col(numbers).cast(pl.Int64, strict=False))
        bad = table[numbers].is_null() | (table[numbers] < 0) | (table[numbers] >= len(ids[alias]))
        if bad.any():
            raise DataError(
                f"{path}: {numbers} is {table[numbers].filter(bad)[0]} somewhere; {of}.parquet has "
                f"{len(ids[alias]):,} rows. The files are of different data sets: save it anew."
            )
        table = table.with_columns(ids[alias].gather(table[numbers]).alias(f"{alias}_id"))
    rows, notes = interactions_of(path, table, weights=WEIGHTS)
    rows, untimed = with_times(rows)
    items, features, more = _item_attributes(folder, entities["item"], ids["item"])
    others = [one for one in schema["relationships"] if one != name]
    if others:
        more.append(f"Other relationships are left out: {', '.join(others)}.")
    return ForeignData(
        interactions=rows,
        items=items,
        pictures=pictures,
        features=features,
        files=(
            file_row(path, "interactions", "interactions"),
            file_row(_file(folder, entities["item"]), "items", "items, features"),
            file_row(_file(folder, entities["user"]), "users", "the ids in interactions"),
        ),
        notes=(*notes, *untimed, *more),
    )


def _schema(path: Path) -> dict[str, Any]:
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
        entities, relationships = schema["entities"], schema["relationships"]
        fits = all(isinstance(one["entities"], dict) for one in relationships.values())
        fits = fits and all(_NAME.fullmatch(one) for one in (*entities, *relationships))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: is no schema of a LensKit data set ({type(error).__name__}: {error}). "
            f"Save it anew with LensKit."
        ) from None
    if not fits:
        raise DataError(f"{path}: names classes as LensKit does not; save the data set anew with LensKit.")
    return schema


def _interaction_class(path: Path, schema: dict[str, Any], asked: str) -> str:
    relationships = schema["relationships"]
    name = asked or schema.get("default_interaction")
    if not name:
        found = [one for one, of in relationships.items() if of.get("interaction")]
        name = found[0] if len(found) == 1 else ""
    if name not in relationships:
        listed = ", ".join(relationships) or "none"
        raise DataError(f"{path}: which interactions? There are: {listed}. Choose: --set interactions=…")
    return str(name)


def _file(folder: Path, name: str) -> Path:
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise DataError(
            f"{path}: is missing, though {folder / 'schema.json'} names it. Copy the whole folder."
        )
    return path


def _entity_ids(folder: Path, name: str) -> pl.Series:
    path, column = _file(folder, name), f"{name}_id"
    if column not in schema_of(path):
        raise DataError(f"{path}: has no column {column}; LensKit writes one. Save the data set anew.")
    ids = [block[column] for block in blocks_of(path, [column], heavy=False)]
    return pl.concat(ids).cast(pl.String) if ids else pl.Series(column, [], dtype=pl.String)


def _item_attributes(
    folder: Path, name: str, ids: pl.Series
) -> tuple[pl.DataFrame, tuple[ForeignFeatures, ...], list[str]]:
    path = _file(folder, name)
    kinds = {column: kind_of(dtype) for column, dtype in schema_of(path).items() if column != f"{name}_id"}
    plain = [column for column, kind in kinds.items() if kind in ("plain", "joined")]
    about = list(blocks_of(path, plain, heavy=False)) if plain else []
    items = pl.DataFrame({"item_id": ids})
    if about:
        items = pl.concat([items, plain_columns(pl.concat(about))], how="horizontal")
    features = tuple(
        vectors_in([path], ids, column, name=column) for column, kind in kinds.items() if kind == "vectors"
    )
    lost = [column for column, kind in kinds.items() if not kind]
    return (
        items,
        features,
        [f"Columns of items that are no values here: {', '.join(lost)}: left out."] * bool(lost),
    )


# ---- writing ------------------------------------------------------------------------------------------


def write_saved(data: ForeignData, rows: pl.DataFrame, folder: Path) -> list[str]:
    """Write a data set whose times are numbers; notes on what has no place in it."""
    notes = []
    name = "rating" if "rating" in rows.columns else "interaction"
    items = pl.DataFrame({"item_id": rows["item_id"].unique().sort()}) if data.items is None else data.items
    items = plain_columns(
        items.select(
            "item_id",
            *(c for c in items.columns if c != "item_id" and kind_of(items.schema[c]) in ("plain", "joined")),
        )
    )
    odd = {column: re.sub(r"\W", "_", column) for column in items.columns}
    items = items.rename(odd)
    users = pl.DataFrame({"user_id": rows["user_id"].unique().sort()})
    vectors = {}
    for one in data.features:
        if len(one.shape) != 1:
            notes.append(
                f"Features {one.name} are vectors of regions, which LensKit has no place for: left out."
            )
            continue
        column = re.sub(r"\W", "_", one.name)
        items = items.join(_vector_table(one, column), on="item_id", how="left", maintain_order="left")
        vectors[column] = one.shape[0]
    for table, key in ((users, "user"), (items, "item")):
        places = table.select(f"{key}_id", pl.int_range(pl.len(), dtype=pl.Int32).alias(f"{key}_num"))
        rows = rows.join(places, on=f"{key}_id", how="left", maintain_order="left")
        write_plain_parquet(table, folder / f"{key}.parquet")
    extra = [column for column in rows.columns if not column.startswith(("user_", "item_"))]
    rows = rows.select("user_num", "item_num", *extra)
    write_plain_parquet(rows, folder / f"{name}.parquet")
    repeated = rows.select(pl.struct("user_num", "item_num").is_duplicated().any()).item()
    if repeated:
        notes.append("Some users took an item more than once: LensKit's repeats are set to present.")
    schema = {
        "version": VERSION,
        "name": None,
        "default_interaction": name,
        "entities": {
            "item": {"id_type": "str", "attributes": {
                column: _column(vectors.get(column)) for column in items.columns if column != "item_id"
            }},
            "user": {"id_type": "str", "attributes": {}},
        },
        "relationships": {
            name: {
                "entities": {"user": None, "item": None},
                "interaction": True,
                "repeats": "present" if repeated else "forbidden",
                "attributes": {column: _column(None) for column in extra},
            }
        },
    }  # fmt: skip
    (folder / "schema.json").write_text(json.dumps(schema) + "\n", encoding="utf-8")
    return notes


def _column(size: int | None) -> dict[str, Any]:
    return {"layout": "scalar" if size is None else "vector", "vector_size": size}


def _vector_table(features: ForeignFeatures, column: str) -> pl.DataFrame:
    """A column of an entity's table is written at once, so this is in memory as a whole."""

    def tables() -> Iterator[pl.DataFrame]:
        done = 0
        for block in features.blocks():
            values = pl.Series(column, block.astype("float32")).cast(pl.List(pl.Float32))
            yield pl.DataFrame([features.ids[done : done + len(block)].alias("item_id"), values])
            done += len(block)

    return pl.concat(tables())
