"""MMRec: users and items as numbers from 0 on, parts in a column, vectors in a `.npy` whose row is an item's number.

Described by enoche/MMRec, `preprocessing/*.ipynb` (the tables of ids, `x_label`, the arrays, items that have none),
`src/utils/dataset.py` and `src/configs/dataset/*.yaml` (what is read, and the names of the columns).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from visrec.data.foreign import (
    ForeignData,
    ForeignFeatures,
    file_row,
    places_as_times,
    the_file,
)
from visrec.data.formats.format import Format
from visrec.data.formats.item_arrays import folders_of_arrays, read_item_arrays
from visrec.data.formats.mmrec_arrays import MISSED, by_array, read_rows, write_array
from visrec.data.formats.mmrec_items import ITEMS, read_about, write_about
from visrec.data.formats.moments import numbered_times
from visrec.data.formats.requirements import need_interactions, need_plain_name
from visrec.data.formats.tab_separated import (
    SeparatedTable,
    read_separated,
    refuse_ids,
    write_separated,
)
from visrec.data.tables import PARTS
from visrec.errors import DataError
from visrec.progress import Progress

USERS = "u_id_mapping.csv"


def read_mmrec(
    source: Path,
    *,
    progress: Progress | None = None,  # noqa: ARG001
    name: str | None = None,
    user: str = "userID",
    item: str = "itemID",
    rating: str = "rating",
    time: str = "timestamp",
    label: str = "x_label",
) -> ForeignData:
    """Read a data set of MMRec: interactions, tables of ids, what is known of items, `*_feat.npy`.

    Args:
        source: the folder where they lie, or the `.inter` file in it.
        progress: unused: tables are read at once, vectors when they are written.
        name: of the data set, as the `.inter` file has it; None: the one that is there.
        user: name of the column, MMRec's `USER_ID_FIELD`.
        item: MMRec's `ITEM_ID_FIELD`.
        rating: needs not be there.
        time: MMRec's `TIME_FIELD`; needs not be there.
        label: MMRec's `inter_splitting_label`, 0 train, 1 valid, 2 test; needs not be there.

    Raises:
        DataError: a file is missing or damaged, a number has no id, or an array has another number of rows than there
            are items.
    """
    path = the_file(source, f"{name or '*'}.inter", what="MMRec's interactions")
    folder = path.parent
    table = read_separated(path)
    for option, column in (("user", user), ("item", item)):
        if column not in table.rows.columns:
            found = ", ".join(table.rows.columns)
            raise DataError(
                f"{path}: has no column {column!r}. Found: {found}. Name it: --set {option}=COLUMN"
            )
    users, user_ids = _ids(table, user, folder / USERS)
    items, item_ids = _ids(table, item, folder / ITEMS)
    columns = {"user_id": users, "item_id": items}
    if time in table.rows.columns:
        columns["timestamp"] = table.times(time)
    if rating in table.rows.columns:
        columns["rating"] = table.numbers(rating)
    if label in table.rows.columns:
        labels = table.indices(label)
        if (labels > 2).any():
            raise table.fault(label, labels > 2, "is no part; expected 0 (train), 1 (valid) or 2 (test)")
        columns["evaluation"] = labels.replace_strict(dict(enumerate(PARTS)), return_dtype=pl.String)
    rows, notes = pl.DataFrame(columns), []
    if "timestamp" not in rows.columns:
        rows = places_as_times(rows)
        notes.append(
            f"There is no column {time}: the place of a row among those of its user stands for its time."
        )
    ignored = [name for name in table.rows.columns if name not in (user, item, rating, time, label)]
    if ignored:
        notes.append(f"{path.name}: columns {', '.join(ignored)} are left out.")
    files = [file_row(path.name, f"{rows.height:,} interactions", "interactions")]
    for known, mapping, kind in ((user_ids, USERS, "user"), (item_ids, ITEMS, "item")):
        if (folder / mapping).exists():
            files.append(file_row(mapping, f"ids of {len(known):,} {kind}s", "the ids"))
        else:
            notes.append(f"There is no {mapping}: the numbers of {kind}s are taken as their ids.")
    about, row = read_about(folder, path.stem, item, item_ids)
    features, more, left = _features(
        folder, item_ids, int(table.indices(item).to_numpy().max(initial=-1)) + 1
    )
    return ForeignData(
        interactions=rows,
        items=about,
        features=features,
        files=(*files, *row, *more),
        notes=(*notes, *left),
    )


def write_mmrec(
    data: ForeignData, folder: Path, *, progress: Progress | None = None, name: str = "visrec"
) -> tuple[str, ...]:
    """Write `NAME.inter`, the tables of ids, `meta-NAME.csv`, vectors, and `NAME.yaml` for MMRec's `configs/dataset`.

    Items with interactions are numbered first: MMRec counts items by the largest number in `NAME.inter`, and an array
    has that many rows. Features whose name begins with "text" become `text_feat.npy`, others `image_feat.npy`.

    Args:
        data: what to write.
        folder: an empty one.
        progress: called with (done, in all, a note).
        name: of the data set.

    Raises:
        DataError: there are no interactions, two features for one of the two arrays, or regions.
    """
    need_plain_name(name)
    rows, notes = numbered_times(need_interactions(data, "MMRec"))
    arrays = by_array(data.features)
    if "evaluation" not in rows.columns:
        rows = rows.with_columns(evaluation=_parts())
        notes.append(
            "evaluation: the data set says no parts, and MMRec wants them: each user's newest basket is the test "
            "part, the one before the validation part, as visrec splits."
        )
    users = rows["user_id"].unique(maintain_order=True)
    taken = rows["item_id"].unique(maintain_order=True)
    known = (
        taken if data.items is None else pl.concat([data.items["item_id"], taken]).unique(maintain_order=True)
    )
    order = pl.concat(
        [known.filter(known.is_in(taken.implode())), known.filter(~known.is_in(taken.implode()))]
    )
    refuse_ids(users, kind="user", program="MMRec")
    refuse_ids(order, kind="item", program="MMRec")
    numbers = {
        kind: dict(zip(ids.to_list(), range(len(ids)), strict=True))
        for kind, ids in (("user_id", users), ("item_id", order))
    }
    table = rows.select(
        pl.col("user_id").replace_strict(numbers["user_id"], return_dtype=pl.Int64).alias("userID"),
        pl.col("item_id").replace_strict(numbers["item_id"], return_dtype=pl.Int64).alias("itemID"),
        *(pl.col(one) for one in ("rating", "timestamp") if one in rows.columns),
        pl.col("evaluation")
        .replace_strict({p: n for n, p in enumerate(PARTS)}, return_dtype=pl.Int64)
        .alias("x_label"),
    )
    write_separated(table, folder / f"{name}.inter", header=True)
    for ids, file, column, number in ((users, USERS, "user_id", "userID"), (order, ITEMS, "asin", "itemID")):
        mapping = pl.DataFrame({column: ids, number: np.arange(len(ids))})
        write_separated(mapping, folder / file, header=True)
    if data.items is not None:
        notes += write_about(data.items, order, folder / f"meta-{name}.csv")
    for file, features in arrays.items():
        notes += write_array(features, order[: len(taken)], folder / file, progress=progress)
    (folder / f"{name}.yaml").write_text(_configuration(name), encoding="utf-8")
    if len(order) > len(taken):
        notes.append(
            f"{len(order) - len(taken):,} items without interactions have an id and no vector: MMRec knows only "
            f"items with interactions."
        )
    if "weight" in rows.columns:
        notes.append("Weights are left out: MMRec has no place for them.")
    if data.pictures:
        notes.append(f"{len(data.pictures):,} pictures are left out: MMRec reads vectors.")
    return tuple(notes)


MMREC = Format(
    name="mmrec",
    title="MMRec",
    what="NAME.inter with x_label, tables of ids, image_feat.npy and text_feat.npy by row",
    read=read_mmrec,
    write=write_mmrec,
)


# ---- reading ---------------------------------------------------------------------------------------


def _ids(table: SeparatedTable, column: str, path: Path) -> tuple[pl.Series, list[str]]:
    """The ids of a column of numbers, and all ids by number; the numbers where there is no table of ids."""
    numbers = table.indices(column)
    if not path.exists():
        n = int(numbers.to_numpy().max(initial=-1)) + 1
        return numbers.cast(pl.String), [str(one) for one in range(n)]
    mapping = read_separated(path)
    others = [name for name in mapping.rows.columns if name != column]
    if column not in mapping.rows.columns or len(others) != 1:
        raise DataError(
            f"{path}: has the columns {', '.join(mapping.rows.columns)}; expected an id and {column}, a tab between."
        )
    at, ids = mapping.indices(column), mapping.ids(others[0])
    for name, values in ((column, at), (others[0], ids)):
        if values.is_duplicated().any():
            raise mapping.fault(name, values.is_duplicated(), "occurs twice")
    if len(at) and int(at.to_numpy().max()) != len(at) - 1:
        raise mapping.fault(column, at >= len(at), f"leaves a gap; expected 0 to {len(at) - 1:,}, each once")
    unknown = numbers >= len(at)
    if unknown.any():
        raise table.fault(column, unknown, f"has no id in {path.name}, which has {len(at):,}")
    by_number = ids.gather(at.arg_sort())
    return by_number.gather(numbers).alias(column), by_number.to_list()


def _features(
    folder: Path, ids: list[str], interacted: int
) -> tuple[tuple[ForeignFeatures, ...], list[dict[str, str]], list[str]]:
    """Arrays by row and folders by name, with a row of files each, and notes."""
    features, files, notes = [], [], []
    for path in sorted(folder.glob("*.npy")):
        if not path.name.endswith("_feat.npy"):
            files.append(file_row(path.name, "no features", "nothing: left out"))
            continue
        features.append(read_rows(path, ids, interacted))
        lacking = min(len(ids), interacted) - len(features[-1].ids)
        if lacking > 0:
            notes.append(
                f"{path.name}: the rows of {lacking:,} items in {MISSED} are means of the others: left out."
            )
        files.append(
            file_row(path.name, f"{len(features[-1].ids):,} vectors", f"features/{features[-1].name}")
        )
    for one in folders_of_arrays(folder):
        features.append(read_item_arrays(one, {}, name="-".join(one.relative_to(folder).parts)))
        became = f"features/{features[-1].name}, by the names of the files as ids"
        files.append(file_row(f"{one.relative_to(folder)}/", f"{len(features[-1].ids):,} vectors", became))
    return tuple(features), files, notes


# ---- writing ---------------------------------------------------------------------------------------


def _parts() -> pl.Expr:
    """Each user's newest basket as test, the one before as valid: the rule of `visrec.leave_last_out`."""
    age = pl.col("timestamp").rank("dense", descending=True).over("user_id")
    baskets = pl.col("timestamp").n_unique().over("user_id")
    late = pl.when((age == 1) & (baskets >= 2)).then(pl.lit("test")).when((age == 2) & (baskets >= 3))
    return late.then(pl.lit("valid")).otherwise(pl.lit("train"))


def _configuration(name: str) -> str:
    lines = ["USER_ID_FIELD: userID", "ITEM_ID_FIELD: itemID", "TIME_FIELD: timestamp", ""]
    lines += ["filter_out_cod_start_users: True", "", f"inter_file_name: '{name}.inter'", ""]
    lines += ["vision_feature_file: 'image_feat.npy'", "text_feature_file: 'text_feat.npy'"]
    lines += ["user_graph_dict_file: 'user_graph_dict.npy'", "", 'field_separator: "\\t"']
    return "\n".join(lines) + "\n"
