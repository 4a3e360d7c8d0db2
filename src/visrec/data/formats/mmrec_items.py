"""What MMRec's `meta-NAME.csv` says of items, by their numbers.

Described by enoche/MMRec, `preprocessing/2reindex-feat.ipynb`.
"""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.foreign import file_row, find_file
from visrec.data.tables import read_table
from visrec.errors import DataError

ITEMS = "i_id_mapping.csv"


def read_about(
    folder: Path, name: str, item: str, ids: list[str]
) -> tuple[pl.DataFrame, list[dict[str, str]]]:
    """The table of items: their ids, and what `meta-NAME.csv` says; a row of files.

    Args:
        folder: where the file lies, if there is one.
        name: of the data set.
        item: the column of numbers.
        ids: of all items, by number.

    Raises:
        DataError: a number is none of an item, or has another id there.
    """
    table = pl.DataFrame({"item_id": pl.Series(ids, dtype=pl.String)})
    path = find_file(folder, f"meta-{name}.csv", "meta-*.csv")
    if path is None:
        return table, []
    meta = read_table(path, required=(item,))
    at = meta[item].str.strip_chars().cast(pl.Int64, strict=False)
    bad = (at < 0).fill_null(value=True) | (at >= len(ids)).fill_null(value=True) | at.is_duplicated()
    if bad.any():
        row = int(np.argmax(bad.to_numpy()))
        raise DataError(
            f"{path}: row {row + 1} below the header: {item} {meta[item][row]!r}; expected each of 0 to "
            f"{len(ids) - 1:,} at most once, as in the table of ids."
        )
    if "asin" in meta.columns:
        other = meta["asin"] != table["item_id"].gather(at)
        if other.any() and (folder / ITEMS).exists():
            row = int(np.argmax(other.to_numpy()))
            raise DataError(
                f"{path}: row {row + 1} below the header: item {meta['asin'][row]!r} has the number {at[row]}, which "
                f"{ITEMS} gives to {ids[at[row]]!r}. The two are of different data."
            )
    names = {"imUrl": "image_url"} | ({"categories": "category"} if "category" not in meta.columns else {})
    known = meta.drop(item, "asin", strict=False).rename(names, strict=False)
    if "category" in known.columns:
        flat = [None if cell is None else _flat(cell) for cell in known["category"].to_list()]
        known = known.with_columns(pl.Series("category", flat, dtype=pl.String))
    known = known.with_columns(table["item_id"].gather(at))
    made = table.join(known, on="item_id", how="left", maintain_order="left")
    return made, [file_row(path.name, f"what is known of {meta.height:,} items", "items")]


def write_about(items: pl.DataFrame, order: pl.Series, path: Path) -> list[str]:
    """Write `meta-NAME.csv`; notes on columns that have no place in it.

    Args:
        items: what is known of items.
        order: all ids, by number.
        path: of the file.
    """
    table = pl.DataFrame({"itemID": np.arange(len(order)), "asin": order})
    # These names are MMRec's own; another imUrl would be taken for the address.
    lost = [name for name in ("itemID", "asin", "imUrl") if name in items.columns]
    known = items.drop(lost)
    known = known.rename({"item_id": "asin", "image_url": "imUrl"}, strict=False)
    nested = [name for name, dtype in known.schema.items() if dtype.is_nested()]
    known = known.with_columns(pl.col(nested).cast(pl.List(pl.String)).list.join("|"))
    table.join(known, on="asin", how="left", maintain_order="left").write_csv(path)
    return [f"Columns {', '.join(lost)} of items are left out: MMRec has these names for itself."] * bool(
        lost
    )


def _flat(cell: str) -> str:
    """Amazon's categories, a list of lists as Python writes them, between "|"; other cells as they stand."""
    try:
        lists = ast.literal_eval(cell) if cell.startswith("[") else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return cell
    if not isinstance(lists, list):
        return cell
    names = [name for one in lists for name in (one if isinstance(one, list) else [one])]
    return "|".join(dict.fromkeys(str(name) for name in names))
