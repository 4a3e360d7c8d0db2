"""Elliot: tables `user item rating timestamp` without a header, and a folder of vectors, one `.npy` file an item.

Described by sisinflab/elliot, `elliot/dataset/dataset.py` (the strategies `dataset` and `fixed`) and its loader
`VisualAttribute`, which takes the number of an item from the name of its file; the folders of sisinflab/Ducho are of
the same kind.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from visrec.data.foreign import (
    ForeignData,
    ForeignFeatures,
    file_row,
    find_file,
    places_as_times,
    the_file,
)
from visrec.data.formats.format import Format
from visrec.data.formats.item_arrays import folders_of_arrays, read_item_arrays, write_item_arrays
from visrec.data.formats.moments import PLACES, numbered_times
from visrec.data.formats.requirements import need_interactions, need_plain_name
from visrec.data.formats.tab_separated import (
    SeparatedTable,
    read_separated,
    refuse_ids,
    write_separated,
)
from visrec.errors import DataError
from visrec.progress import Progress

COLUMNS = ["user_id", "item_id", "rating", "timestamp"]
_NAMES = {
    "train": ("train.tsv", "trainingset.tsv"),
    "valid": ("validation.tsv", "val.tsv", "validationset.tsv"),
    "test": ("test.tsv", "testset.tsv"),
}
_WRITTEN = {"train": "train.tsv", "valid": "validation.tsv", "test": "test.tsv"}
_PATHS = {"train": "train_path", "valid": "validation_path", "test": "test_path"}
_IDS = {"user": "user_ids.tsv", "item": "item_ids.tsv"}


def read_elliot(
    source: Path,
    *,
    progress: Progress | None = None,  # noqa: ARG001
    dataset: str | None = None,
    train: str | None = None,
    validation: str | None = None,
    test: str | None = None,
) -> ForeignData:
    """Read the tables, and all folders of vectors, of an experiment with Elliot.

    Args:
        source: the folder where they lie, or the one table.
        progress: unused: the tables are read at once, vectors when they are written.
        dataset: name of the one table of the strategy `dataset`; None: `dataset.tsv`.
        train: name of the training table of the strategy `fixed`; None: `train.tsv` or `trainingset.tsv`.
        validation: of its validation table; None: `validation.tsv`, `val.tsv` or `validationset.tsv`, if there.
        test: of its test table; None: `test.tsv` or `testset.tsv`.

    Raises:
        DataError: a table is missing, cut short or damaged.
    """
    given = {"train": train, "valid": validation, "test": test}
    tables = {} if dataset else _parts(source, given)
    if not tables:
        names = (dataset,) if dataset else ("*",) if source.is_file() else ("dataset.tsv",)
        what = "the interactions; or train.tsv and test.tsv. A file of another name: --set dataset=NAME"
        tables = {"": the_file(source, *names, what=what)}
    read = {part: read_separated(path, names=COLUMNS) for part, path in tables.items()}
    known = {kind: _known_ids(source, kind) for kind in _IDS}
    frames = [_interactions(table, part, known) for part, table in read.items()]
    if len({tuple(frame.columns) for frame in frames}) > 1:
        raise DataError(
            f"{source}: the parts differ in what they hold ({'; '.join(', '.join(one.columns) for one in frames)}); "
            f"expected the same columns, filled in all or in none."
        )
    rows, notes = pl.concat(frames, how="vertical_relaxed"), []
    if "timestamp" not in rows.columns:
        rows = places_as_times(rows)
        notes.append(PLACES)
    files = [
        file_row(
            table.path.name, f"{table.rows.height:,} interactions", f"part {part}" if part else "interactions"
        )
        for part, table in read.items()
    ]
    files += [file_row(name, f"ids of {kind}s", "the ids") for kind, name in _IDS.items() if known[kind]]
    folders = folders_of_arrays(source) if source.is_dir() else []
    features = tuple(read_item_arrays(one, known["item"], name=_plain(source, one)) for one in folders)
    files += [
        file_row(f"{folder.relative_to(source)}/", f"{len(one.ids):,} vectors", f"features/{one.name}")
        for folder, one in zip(folders, features, strict=True)
    ]
    items = pl.DataFrame({"item_id": list(known["item"].values())}) if known["item"] else None
    return ForeignData(
        interactions=rows, items=items, features=features, files=tuple(files), notes=tuple(notes)
    )


def write_elliot(
    data: ForeignData, folder: Path, *, progress: Progress | None = None, name: str = "visrec"
) -> tuple[str, ...]:
    """Write `dataset.tsv`, or `train.tsv`, `validation.tsv` and `test.tsv`, vectors, and `NAME.yml` to begin with.

    Elliot reads users and items as numbers: `007` would be 7 there, and a vector is found by the number of its item.
    Where an id is no such number, all of its kind are numbered; `user_ids.tsv` or `item_ids.tsv` says which is which.

    Args:
        data: what to write.
        folder: an empty one.
        progress: called with (done, in all, a note).
        name: of the data set in the configuration.

    Raises:
        DataError: there are no interactions, or an id cannot stand in such a table.
    """
    need_plain_name(name)
    taken, notes = numbered_times(need_interactions(data, "Elliot"))
    items = pl.Series("item_id", [], dtype=pl.String) if data.items is None else data.items["item_id"]
    given = {
        "user": taken["user_id"].unique(maintain_order=True),
        "item": pl.concat([items, taken["item_id"]]).unique(maintain_order=True),
    }
    numbers: dict[str, dict[str, str]] = {}
    for kind, ids in given.items():
        numbers[kind], more = _numbers(ids, folder, kind)
        notes += more
    rated = "rating" in taken.columns
    none = pl.lit(None, dtype=pl.Float64)
    rows = taken.with_columns(
        pl.col("user_id").replace_strict(numbers["user"], return_dtype=pl.String),
        pl.col("item_id").replace_strict(numbers["item"], return_dtype=pl.String),
        (pl.col("rating") if rated else none).alias("rating"),
    )
    if "evaluation" in rows.columns:
        parts = {part: rows.filter(pl.col("evaluation") == part) for part in _WRITTEN}
        written = {part: _WRITTEN[part] for part, one in parts.items() if one.height or part != "valid"}
    else:
        parts, written = {"": rows}, {"": "dataset.tsv"}
    for part, file in written.items():
        write_separated(parts[part].select(COLUMNS), folder / file, header=False)
    for one in data.features:
        write_item_arrays(one, folder / one.name, numbers["item"], progress=progress)
        lacking = given["item"].len() - one.ids.is_in(given["item"].implode()).sum()
        if lacking:
            notes.append(
                f"{one.name}: {lacking:,} items have no vector; Elliot leaves them out of an experiment with it."
            )
    regions = [one.name for one in data.features if len(one.shape) != 1]
    if regions:
        notes.append(f"{', '.join(regions)}: vectors of regions, which {name}.yml does not name.")
    (folder / f"{name}.yml").write_text(
        _configuration(name, written, data.features, rated=rated), encoding="utf-8"
    )
    return (*notes, *_left_out(data, given["item"].len()))


ELLIOT = Format(
    name="elliot",
    title="Elliot",
    what="tables user, item, rating, time between tabs, without a header; folders with one .npy an item",
    read=read_elliot,
    write=write_elliot,
)


# ---- helpers ---------------------------------------------------------------------------------------


def _parts(source: Path, given: dict[str, str | None]) -> dict[str, Path]:
    """The tables of the strategy `fixed`, by part; empty where neither a training nor a test table is there."""
    if source.is_file():
        return {}
    found = {}
    for part, names in _NAMES.items():
        chosen = given[part]
        path = the_file(source, chosen, what=f"the part {part}") if chosen else find_file(source, *names)
        if path is not None:
            found[part] = path
    for part in ("train", "test"):
        if found and part not in found:
            there = ", ".join(path.name for path in found.values())
            raise DataError(
                f"{source}: holds {there}, but no {' or '.join(_NAMES[part])}. Put it there, or name it: "
                f"--set {part}=NAME"
            )
    return found


def _interactions(table: SeparatedTable, part: str, known: dict[str, dict[str, str]]) -> pl.DataFrame:
    if table.rows.width < 2:
        raise DataError(f"{table.path}: has one column; expected user, item, rating and time between tabs.")
    columns = {}
    for kind, ids in known.items():
        written = table.ids(f"{kind}_id")
        columns[f"{kind}_id"] = written.replace_strict(ids, default=None) if ids else written
        strange = columns[f"{kind}_id"].is_null()
        if strange.any():
            raise table.fault(f"{kind}_id", strange, f"is not in {_IDS[kind]}")
    rows = pl.DataFrame(columns)
    for name, numbers in (("rating", table.numbers), ("timestamp", table.times)):
        if name in table.rows.columns and table.rows[name].null_count() < table.rows.height:
            rows = rows.with_columns(numbers(name))
    order = ["user_id", "item_id", "timestamp", "rating"]
    rows = rows.select([name for name in order if name in rows.columns])
    return rows.with_columns(evaluation=pl.lit(part)) if part else rows


def _known_ids(source: Path, kind: str) -> dict[str, str]:
    """From Elliot's number to the id, where `visrec export` wrote them."""
    path = None if source.is_file() else find_file(source, _IDS[kind])
    if path is None:
        return {}
    table = read_separated(path, names=["number", "id"])
    if table.rows.width < 2:
        raise DataError(f"{path}: has one column; expected a number and an id between tabs.")
    numbers, ids = table.ids("number"), table.ids("id")
    for column, values in (("number", numbers), ("id", ids)):
        if values.is_duplicated().any():
            raise table.fault(column, values.is_duplicated(), "occurs twice")
    return dict(zip(numbers.to_list(), ids.to_list(), strict=True))


def _numbers(ids: pl.Series, folder: Path, kind: str) -> tuple[dict[str, str], list[str]]:
    """From id to what Elliot is given for it; where that is another, a file says so."""
    refuse_ids(ids, kind=kind, program="Elliot")
    listed = ids.to_list()
    if ids.str.contains(r"^(0|[1-9][0-9]{0,17})$").all():
        return dict(zip(listed, listed, strict=True)), []
    numbers = pl.Series(range(len(ids))).cast(pl.String)
    write_separated(pl.DataFrame({"number": numbers, "id": ids}), folder / _IDS[kind], header=False)
    note = f"The {kind}s are numbered from 0 on, since their ids are no plain numbers: see {_IDS[kind]}."
    return dict(zip(listed, numbers.to_list(), strict=True)), [note]


def _left_out(data: ForeignData, n_items: int) -> list[str]:
    assert data.interactions is not None
    notes = []
    idle = n_items - data.interactions["item_id"].n_unique()
    if idle:
        notes.append(f"{idle:,} items without interactions: Elliot does not know of them.")
    if data.items is not None and data.items.width > 1:
        columns = ", ".join(name for name in data.items.columns if name != "item_id")
        notes.append(f"What is known of items ({columns}) is left out: Elliot's tables have no place for it.")
    if "weight" in data.interactions.columns:
        notes.append("Weights are left out: Elliot's tables have no place for them.")
    if data.pictures:
        notes.append(f"{len(data.pictures):,} pictures are left out: these are tables and vectors.")
    return notes


def _plain(source: Path, folder: Path) -> str:
    return "-".join(folder.relative_to(source).parts)


def _configuration(
    name: str, written: dict[str, str], features: tuple[ForeignFeatures, ...], *, rated: bool
) -> str:
    place = "../data/{0}"
    lines = ["experiment:", "  data_config:"]
    if "" in written:
        lines += ["    strategy: dataset", f"    dataset_path: {place}/{written['']}"]
    else:
        lines += [
            "    strategy: fixed",
            *(f"    {_PATHS[part]}: {place}/{file}" for part, file in written.items()),
        ]
    vectors = [one.name for one in features if len(one.shape) == 1]
    if vectors:
        lines += ["    side_information:", "      - dataloader: VisualAttribute"]
        lines += [f"        visual_features: {place}/{vectors[0]}"]
    if "" in written:
        lines += [
            "  splitting:",
            "    test_splitting:",
            "      strategy: temporal_hold_out",
            "      leave_n_out: 1",
        ]
    # Without ratings, Elliot 0.3 takes 1 for those of the training and the test table, and none for the validation's.
    lines += [] if rated else ["  binarize: True"]
    lines += [
        *(f"  dataset: {name}", "  top_k: 20", "  evaluation:", "    cutoffs: [20]"),
        *("    simple_metrics: [nDCG, Recall]", "  gpu: -1", "  models:", "    MostPop:", "      meta:"),
        "        save_recs: True",
    ]
    return "\n".join(lines) + "\n"
