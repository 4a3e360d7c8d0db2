"""A data set as a folder that `datasets.load_dataset` reads: pictures within Parquet files, and a card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from visrec.data.foreign import ForeignData, ForeignFeatures
from visrec.data.formats.parquet_columns import kind_of, plain_columns, write_plain_parquet
from visrec.data.images import suffix_of
from visrec.errors import ConfigError, DataError
from visrec.progress import Progress

_GROUP = 100  # rows of pictures that a reader has to take at once
_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
_PICTURE = pl.Struct({"bytes": pl.Binary, "path": pl.String})
_TYPES = {
    pl.String: "string", pl.Boolean: "bool", pl.Int64: "int64", pl.Int32: "int32", pl.Float64: "float64",
    pl.Float32: "float32",
}  # fmt: skip
"""Types whose names in a data set's features are certain; others become text."""


def write(
    data: ForeignData,
    folder: Path,
    *,
    progress: Progress | None = None,
    shard_mb: int = 128,
) -> tuple[str, ...]:
    """Write `data/items-….parquet` with the pictures in it, `interactions/`, `features/`, and the card `README.md`.

    Args:
        data: what to write.
        folder: an empty one.
        progress: called with (done, in all, a note).
        shard_mb: megabytes of pictures in a file, about; some five times as much is in memory at once.

    Raises:
        ConfigError: `shard_mb` is below 1.
        DataError: a picture cannot be read.
    """
    if shard_mb < 1:
        raise ConfigError(f"--set shard_mb={shard_mb}: expected megabytes, at least 1.")
    ids = _ids(data)
    items = pl.DataFrame({"item_id": ids}) if data.items is None else _simple(data.items)
    lost = [] if data.items is None else [c for c in data.items.columns if c not in items.columns]
    pictures = _pictures(data)
    n = _write_items(items, pictures, folder / "data", limit=shard_mb << 20, progress=progress)
    configs: list[dict[str, Any]] = [{"name": "items", "files": {"train": "data/items-*.parquet"}}]
    if data.interactions is not None:
        configs.append({"name": "interactions", "files": _write_interactions(data.interactions, folder)})
    for one in data.features:
        _write_vectors(one, folder / "features", shard_mb << 20)
        configs.append({"name": f"features_{one.name}", "files": {"train": f"features/{one.name}-*.parquet"}})
    card = _card(configs, len(ids), n, data.interactions)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return (f"Columns of items that are no values: {', '.join(lost)}: left out.",) if lost else ()


def _ids(data: ForeignData) -> pl.Series:
    if data.items is not None:
        return data.items["item_id"]
    taken = [] if data.interactions is None else data.interactions["item_id"].unique().to_list()
    encoded = [] if data.encoded is None else [item for item, _ in data.encoded()]
    return pl.Series(sorted({*taken, *data.pictures, *encoded}), dtype=pl.String)


def _simple(items: pl.DataFrame) -> pl.DataFrame:
    items = plain_columns(
        items.select(n for n, dtype in items.schema.items() if kind_of(dtype) in ("plain", "joined"))
    )
    return items.with_columns(
        pl.col(name).cast(pl.String) for name, dtype in items.schema.items() if dtype not in _TYPES
    )


def _pictures(data: ForeignData) -> Iterator[tuple[str, str, bytes]]:
    """(item, name of its file, bytes), one at a time."""

    def files() -> Iterator[tuple[str, str, bytes]]:
        for item, path in data.pictures.items():
            try:
                yield item, path.name, path.read_bytes()
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror}).") from None

    within = () if data.encoded is None else data.encoded()
    return chain(files(), ((item, f"{item}{suffix_of(content)}", content) for item, content in within))


# ---- items -----------------------------------------------------------------------------------------


def _write_items(
    items: pl.DataFrame,
    pictures: Iterator[tuple[str, str, bytes]],
    folder: Path,
    *,
    limit: int,
    progress: Progress | None,
) -> int:
    """Files of about `limit` bytes; the number of pictures."""
    folder.mkdir()
    features = {
        name: {"dtype": _TYPES[type(dtype)], "_type": "Value"} for name, dtype in items.schema.items()
    }
    features = {"item_id": features["item_id"], "image": {"_type": "Image"}, **features}
    columns = list(features)
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    parts: list[Path] = []

    def write_part(table: pl.DataFrame) -> None:
        parts.append(folder / f"part-{len(parts)}.parquet")
        write_plain_parquet(table.select(columns), parts[-1], about=about, rows=_GROUP)

    seen: list[str] = []
    rows: list[tuple[str, dict[str, str | bytes]]] = []
    size = 0
    for item, name, content in pictures:
        rows.append((item, {"bytes": content, "path": name}))
        seen.append(item)
        size += len(content)
        if size >= limit:
            write_part(_joined(rows, items))
            rows, size = [], 0
        if progress is not None and len(seen) % 100 == 0:
            progress(len(seen), items.height, "pictures")
    without = items.filter(~pl.col("item_id").is_in(pl.Series(seen, dtype=pl.String).implode()))
    rest = without.with_columns(pl.lit(None, dtype=_PICTURE).alias("image"))
    last = pl.concat([_joined(rows, items).select(columns), rest.select(columns)])
    if last.height or not parts:
        write_part(last)
    for n, path in enumerate(parts):
        path.replace(folder / f"items-{n:05d}-of-{len(parts):05d}.parquet")
    return len(seen)


def _joined(rows: list[tuple[str, dict[str, str | bytes]]], items: pl.DataFrame) -> pl.DataFrame:
    table = pl.DataFrame(
        {"item_id": [item for item, _ in rows], "image": [picture for _, picture in rows]},
        schema={"item_id": pl.String, "image": _PICTURE},
    )
    return table.join(items, on="item_id", how="left", maintain_order="left")


# ---- interactions, vectors -------------------------------------------------------------------------


def _write_interactions(rows: pl.DataFrame, folder: Path) -> dict[str, str]:
    """A file for each part that the data assign, or one; split to pattern."""
    (folder / "interactions").mkdir()
    splits = {"train": rows}
    if "evaluation" in rows.columns:
        splits = {
            split: rows.filter(pl.col("evaluation") == part).drop("evaluation")
            for part, split in _SPLITS.items()
            if (rows["evaluation"] == part).any()
        }
        if len(splits) == 1:  # one split alone would say nothing
            splits = dict.fromkeys(splits, rows)
    for split, some in splits.items():
        write_plain_parquet(some, folder / "interactions" / f"{split}-00000-of-00001.parquet")
    return {split: f"interactions/{split}-*.parquet" for split in splits}


def _write_vectors(features: ForeignFeatures, folder: Path, limit: int) -> None:
    folder.mkdir(exist_ok=True)
    dtype: pl.DataType = pl.Float32()
    for _ in features.shape:
        dtype = pl.List(dtype)
    parts: list[Path] = []
    waiting: list[pl.DataFrame] = []
    done = size = 0

    def write_part() -> None:
        parts.append(folder / f"part-{len(parts)}.parquet")
        write_plain_parquet(pl.concat(waiting), parts[-1])

    for block in features.blocks():
        values = pl.Series("vector", block.astype("float32")).cast(dtype)
        waiting.append(pl.DataFrame([features.ids[done : done + len(block)].alias("item_id"), values]))
        done += len(block)
        size += block.nbytes
        if size >= limit:
            write_part()
            waiting, size = [], 0
    if waiting:
        write_part()
    for n, path in enumerate(parts):
        path.replace(folder / f"{features.name}-{n:05d}-of-{len(parts):05d}.parquet")


# ---- the card --------------------------------------------------------------------------------------


def _card(configs: list[dict[str, Any]], n_items: int, n_pictures: int, rows: pl.DataFrame | None) -> str:
    lines = ["---", "configs:"]
    for config in configs:
        lines += [f"- config_name: {json.dumps(config['name'])}", "  data_files:"]
        for split, pattern in config["files"].items():
            lines += [f"  - split: {split}", f"    path: {json.dumps(pattern)}"]
        if config["name"] == "items":
            lines.append("  default: true")
    lines += ["---", "", "# A data set for visual recommendation", ""]
    lines.append(f"{n_items:,} items, {n_pictures:,} of them with a picture.")
    if rows is not None:
        lines.append(f"{rows.height:,} interactions of {rows['user_id'].n_unique():,} users.")
    lines += ["", "| configuration | splits |", "|---|---|"]
    lines += [f"| `{config['name']}` | {', '.join(config['files'])} |" for config in configs]
    lines += ["", "```python", "from datasets import load_dataset", ""]
    for config in configs:
        variable = config["name"].partition("_")[0]
        lines.append(f"{variable} = load_dataset(FOLDER, {json.dumps(config['name'])})")
    lines += ["```", "", "Add where the data are from, whose they are, and under which licence."]
    return "\n".join([*lines, ""])
