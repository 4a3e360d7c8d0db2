"""The items of a category: what they are called, and where their pictures are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import polars as pl

from visrec.data.formats.json_lines import Schema, read_objects
from visrec.data.published import Published
from visrec.errors import DataError
from visrec.progress import Progress

Size = Literal["large", "hi_res"]
"""Of a picture: about 500 pixels, or as large as there is."""

_IMAGE = pl.Struct({"hi_res": pl.String, "large": pl.String, "variant": pl.String})
_META: Schema = {
    "parent_asin": pl.String,
    "title": pl.String,
    "main_category": pl.String,
    "categories": pl.List(pl.String),
    "store": pl.String,
    "price": pl.String,
    "average_rating": pl.Float64,
    "rating_number": pl.Int64,
    "images": pl.List(_IMAGE),
}


def read_items(
    file: Published, only: pl.Series | None, picture: Size, progress: Progress | None
) -> tuple[pl.DataFrame, list[str]]:
    """One row an item, the first where one stands twice; what is left out."""
    found, in_all = [], 0
    for block in _described(file, picture, progress):
        in_all += block.height
        found.append(block if only is None else block.filter(pl.col("item_id").is_in(only.implode())))
    table = pl.concat(found)
    kept = table.unique("item_id", keep="first", maintain_order=True)
    notes = []
    if kept.height < table.height:
        notes.append(
            f"{file.name}: {table.height - kept.height:,} items stand twice; the first row of each is taken."
        )
    if table.height < in_all:
        notes.append(
            f"{file.name}: {in_all - table.height:,} of {in_all:,} items were rated by nobody here: left out "
            f"(--set all_items=true keeps them)."
        )
    without = kept["image_url"].null_count()
    if without:
        notes.append(f"{without:,} of {kept.height:,} items have no address of a picture.")
    return kept, notes


def _described(file: Published, picture: Size, progress: Progress | None) -> Iterator[pl.DataFrame]:
    for first, table in read_objects(file, _META, progress=progress):
        if table["parent_asin"].null_count():
            number = first + int(table["parent_asin"].is_null().arg_max() or 0)
            raise DataError(f"{file}: line {number:,} has no parent_asin; expected the metadata of an item.")
        yield table.select(
            pl.col("parent_asin").alias("item_id"),
            _text("title"),
            _text("main_category").alias("category"),
            pl.col("categories").list.join("|", ignore_nulls=True).replace("", None),
            _text("store"),
            _text("price").replace("None", None),
            "average_rating",
            "rating_number",
            _address(picture).alias("image_url"),
        )


def _text(name: str) -> pl.Expr:
    return pl.col(name).str.strip_chars().replace("", None)


def _address(picture: Size) -> pl.Expr:
    """The address of an item's picture: of its main one, else of its first."""
    other = "large" if picture == "hi_res" else "hi_res"

    def address(images: pl.Expr) -> pl.Expr:
        first = images.list.first()
        return pl.coalesce(first.struct.field(picture), first.struct.field(other))

    main = pl.col("images").list.eval(pl.element().filter(pl.element().struct.field("variant") == "MAIN"))
    return pl.coalesce(address(main), address(pl.col("images")))
