"""RecBole's atomic files: tables whose header says the type of each field, `name:type`.

Described by RUCAIBox/RecBole, `docs/source/user_guide/data/atomic_files.rst`, `…/config/data_settings.rst` (names
of fields, `benchmark_filename`) and `…/usage/load_pretrained_embedding.rst` (files of vectors).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from visrec.data.foreign import ForeignData, ForeignFeatures, file_row, places_as_times
from visrec.data.formats.atomic_files import (
    AtomicFile,
    item_columns,
    read_atomic,
    read_vectors,
    write_items,
    write_vectors,
)
from visrec.data.formats.format import Format
from visrec.data.formats.moments import numbered_times
from visrec.data.formats.requirements import need_interactions, need_plain_name
from visrec.data.formats.tab_separated import refuse_ids, write_separated
from visrec.data.tables import PARTS
from visrec.errors import ConfigError, DataError
from visrec.progress import Progress

_OTHER = {
    "user": "what is known of users: visrec has no table of users",
    "kg": "a knowledge graph",
    "link": "links from items to a knowledge graph",
    "net": "a social network",
}


def read_recbole(
    source: Path,
    *,
    progress: Progress | None = None,  # noqa: ARG001
    name: str | None = None,
    user: str = "user_id",
    item: str = "item_id",
    rating: str = "rating",
    time: str = "timestamp",
    parts: str = "train,valid,test",
    vectors: str = "itememb",
    text: str = "",
    separator: str = " ",
) -> ForeignData:
    """Read a data set in atomic files.

    Args:
        source: the folder where they lie, or the `.inter` file.
        progress: unused: tables are read at once, vectors when they are written.
        name: of the data set, as the files have it; None: the one that is there.
        user: name of the field, RecBole's `USER_ID_FIELD`.
        item: RecBole's `ITEM_ID_FIELD`.
        rating: RecBole's `RATING_FIELD`; needs not be there.
        time: RecBole's `TIME_FIELD`; needs not be there.
        parts: RecBole's `benchmark_filename`: the training, validation and test part, between commas.
        vectors: suffixes of files with vectors of items, between commas; also those that begin so.
        text: names of `token_seq` fields of items that are running text, between commas; the title is anyway.
        separator: RecBole's `seq_separator`.

    Raises:
        DataError: a file is missing, cut short, damaged, or has other fields than its header may have.
    """
    folder = source if source.is_dir() else source.parent
    suffixes = [one.strip() for one in parts.split(",")]
    if len(suffixes) != 3:
        raise ConfigError(
            f"--set parts={parts}: expected three, the training, validation and test part: train,valid,test"
        )
    name = _name(source, suffixes) if name is None else name
    tables = _interaction_files(folder, name, suffixes)
    fields = {"user_id": user, "item_id": item, "timestamp": time, "rating": rating, "weight": "weight"}
    rows = pl.concat(
        [_interactions(one, part, fields) for part, one in tables.items()], how="vertical_relaxed"
    )
    notes = []
    if "timestamp" not in rows.columns:
        rows = places_as_times(rows)
        notes.append(
            f"There is no field {time}: the place of a row among those of its user stands for its time."
        )
    files = [
        file_row(
            one.path.name,
            f"{one.table.rows.height:,} interactions",
            f"part {part}" if part else "interactions",
        )
        for part, one in tables.items()
    ]
    for one in tables.values():
        ignored = [field for field in one.types if field not in fields.values()]
        if ignored:
            notes.append(f"{one.path.name}: fields {', '.join(ignored)} are left out.")
    whole = folder / f"{name}.inter"
    if "" not in tables and whole.exists():
        files.append(file_row(whole.name, "all interactions", "nothing: the parts hold them"))
    items, features = None, []
    about = folder / f"{name}.item"
    if about.exists():
        found = read_atomic(about, required=(item,))
        running = tuple(one.strip() for one in text.split(",") if one.strip())
        items, more = item_columns(found, item, running=running, separator=separator)
        notes += more
        vectors_of = [field for field, kind in found.types.items() if kind == "float_seq"]
        became = ", ".join(["items", *(f"features/{field}" for field in vectors_of)])
        files.append(file_row(about.name, f"{items.height:,} items", became))
        features += [
            read_vectors(found, item, field, name=field, separator=separator) for field in vectors_of
        ]
    beginnings = tuple(one.strip() for one in vectors.split(",") if one.strip())
    for path in sorted(path for path in folder.iterdir() if path.name.startswith(f"{name}.")):
        suffix = path.name.removeprefix(f"{name}.")
        if suffix in _OTHER:
            files.append(file_row(path.name, _OTHER[suffix], "nothing: left out"))
        elif suffix != "item" and not suffix.endswith("inter") and suffix.startswith(beginnings):
            made = _vectors(path, suffix, separator)
            features.append(made)
            files.append(file_row(path.name, f"{len(made.ids):,} vectors", f"features/{made.name}"))
        elif suffix != "item" and not suffix.endswith(("inter", "yaml")):
            files.append(file_row(path.name, "unknown", f"nothing; vectors of items: --set vectors={suffix}"))
    return ForeignData(
        interactions=rows, items=items, features=tuple(features), files=tuple(files), notes=tuple(notes)
    )


def write_recbole(
    data: ForeignData,
    folder: Path,
    *,
    progress: Progress | None = None,
    name: str = "visrec",
    separator: str = " ",
) -> tuple[str, ...]:
    """Write `NAME.inter`, its parts where there are some, `NAME.item`, vectors, and `NAME.yaml` that loads them.

    Args:
        data: what to write.
        folder: an empty one.
        progress: called with (done, in all, a note).
        name: of the data set.
        separator: between the values of a sequence; RecBole's `seq_separator`.

    Raises:
        DataError: there are no interactions, an id cannot stand in such a table, or features are regions.
    """
    need_plain_name(name)
    rows, notes = numbered_times(need_interactions(data, "RecBole"))
    for kind in ("user", "item"):
        refuse_ids(rows[f"{kind}_id"].unique(), kind=kind, program="RecBole")
    types = {
        "user_id": "token",
        "item_id": "token",
        "timestamp": "float",
        "rating": "float",
        "weight": "float",
    }
    header = {field: f"{field}:{kind}" for field, kind in types.items() if field in rows.columns}
    write_separated(rows.select(*header).rename(header), folder / f"{name}.inter", header=True)
    there = [] if "evaluation" not in rows.columns else [p for p in PARTS if (rows["evaluation"] == p).any()]
    for part in there:
        one = rows.filter(pl.col("evaluation") == part).select(*header).rename(header)
        write_separated(one, folder / f"{name}.{part}.inter", header=True)
    if there and there != [*PARTS]:
        lacking = " and ".join(part for part in PARTS if part not in there)
        notes.append(
            f"There is no part {lacking}, and RecBole's benchmark_filename takes three: {name}.yaml has RecBole "
            f"split {name}.inter itself."
        )
    lines = [f"dataset: {name}", 'field_separator: "\\t"', f'seq_separator: "{separator}"']
    lines += ["load_col:", f"  inter: [{', '.join(header)}]"]
    if data.items is not None:
        refuse_ids(data.items["item_id"], kind="item", program="RecBole")
        fields, more = write_items(data.items, folder / f"{name}.item", separator=separator)
        notes += more
        lines.append(f"  item: [{', '.join(fields)}]")
    aliases: dict[str, str] = {}
    for n, features in enumerate(data.features, start=1):
        suffix, number = ("itememb", "") if n == 1 else (f"itememb{n}", str(n))
        id_field, field = f"iid{number}", f"item_emb{number}"
        path = folder / f"{name}.{suffix}"
        write_vectors(features, path, (id_field, field), separator=separator, progress=progress)
        lines.append(f"  {suffix}: [{id_field}, {field}]")
        aliases[id_field] = field
    if aliases:
        suffixes = ["itememb" if n == 1 else f"itememb{n}" for n in range(1, len(aliases) + 1)]
        lines += [
            f"additional_feat_suffix: [{', '.join(suffixes)}]",
            f"alias_of_item_id: [{', '.join(aliases)}]",
        ]
        lines += ["preload_weight:", *(f"  {one}: {field}" for one, field in aliases.items())]
    if there == [*PARTS]:
        lines.append(f"benchmark_filename: [{', '.join(PARTS)}]")
    (folder / f"{name}.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return (*notes, *_left_out(data))


RECBOLE = Format(
    name="recbole",
    title="RecBole",
    what="atomic files: NAME.inter, its parts, NAME.item, vectors in NAME.itememb",
    read=read_recbole,
    write=write_recbole,
)


# ---- helpers ---------------------------------------------------------------------------------------


def _name(source: Path, parts: list[str]) -> str:
    if not source.exists():
        raise DataError(f"{source}: does not exist; expected a folder with NAME.inter, or such a file.")
    there = [source] if source.is_file() else sorted(source.glob("*.inter"))
    names = set()
    for path in there:
        stem = path.name.removesuffix(".inter")
        names.add(next((stem.removesuffix(f".{part}") for part in parts if stem.endswith(f".{part}")), stem))
    if not names or (source.is_file() and source.suffix != ".inter"):
        raise DataError(
            f"{source}: holds no .inter file (RecBole's interactions). Name the folder where it lies."
        )
    if len(names) > 1:
        listed = ", ".join(sorted(names)[:5])
        raise DataError(f"{source}: holds several data sets: {listed}. Choose one: --set name={min(names)}")
    return names.pop()


def _interaction_files(folder: Path, name: str, parts: list[str]) -> dict[str, AtomicFile]:
    """The files to read, by part ("train", …), or the one of all under ""."""
    paths = {part: folder / f"{name}.{suffix}.inter" for part, suffix in zip(PARTS, parts, strict=True)}
    there = {part: path for part, path in paths.items() if path.exists()}
    if there and {"train", "test"} - there.keys():
        found = ", ".join(path.name for path in there.values())
        lacking = " and ".join(paths[part].name for part in ("train", "test") if part not in there)
        raise DataError(
            f"{folder}: holds {found}, but no {lacking}. Put it there, or move the others elsewhere."
        )
    if not there:
        there = {"": folder / f"{name}.inter"}
        if not there[""].exists():
            raise DataError(f"{there['']}: does not exist; expected RecBole's interactions there.")
    return {part: read_atomic(path) for part, path in there.items()}


def _interactions(file: AtomicFile, part: str, fields: Mapping[str, str]) -> pl.DataFrame:
    for field in (fields["user_id"], fields["item_id"]):
        if field not in file.types:
            option = "user" if field == fields["user_id"] else "item"
            raise DataError(
                f"{file.path}: has no field {field!r}. Found: {', '.join(file.types)}. Name it: --set {option}=FIELD"
            )
    rows = {name: file.table.ids(file.column(fields[name])) for name in ("user_id", "item_id")}
    for name in ("timestamp", "rating", "weight"):
        if fields[name] in file.types:
            column = file.column(fields[name])
            rows[name] = file.table.times(column) if name == "timestamp" else file.table.numbers(column)
    made = pl.DataFrame(rows)
    return made.with_columns(evaluation=pl.lit(part)) if part else made


def _vectors(path: Path, suffix: str, separator: str) -> ForeignFeatures:
    found = read_atomic(path, lazily=True)
    tokens = [field for field, kind in found.types.items() if kind == "token"]
    values = [field for field, kind in found.types.items() if kind == "float_seq"]
    if len(tokens) != 1 or len(values) != 1:
        raise DataError(
            f"{path}: has the fields {', '.join(f'{field}:{kind}' for field, kind in found.types.items())}; expected "
            f"one of the type token, the item, and one of the type float_seq, its vector."
        )
    return read_vectors(found, tokens[0], values[0], name=suffix, separator=separator)


def _left_out(data: ForeignData) -> list[str]:
    notes = []
    if data.items is not None and data.features:
        for one in data.features:
            lacking = data.items.height - int(one.ids.is_in(data.items["item_id"].implode()).sum())
            if lacking:
                notes.append(f"{one.name}: {lacking:,} items have no vector; RecBole gives them zeros.")
    if data.pictures:
        notes.append(f"{len(data.pictures):,} pictures are left out: atomic files have no place for them.")
    return notes
