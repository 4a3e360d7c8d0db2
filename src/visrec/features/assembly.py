"""From shards to finished features on disk, in blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.data.ids import IdMap
from visrec.features.contents import Contents
from visrec.features.extractor import Extractor
from visrec.features.features import (
    RAW,
    VALUES,
    Features,
    digest_of_all_but_values,
    failures_table,
    stored,
)
from visrec.features.finishing import Finishing, Steps, blocks
from visrec.features.rows import RowReader, RowWriter
from visrec.features.shards import Shards
from visrec.files import replacing_folder


@dataclass(frozen=True)
class Recipe:
    """How features are made of images.

    Attributes:
        extractor: what turns pictures into vectors.
        steps: what is done to the vectors.
        dtype: of the stored values.
        settings: what `create_extractor` needs to make the extractor again; empty where it has no name.
    """

    extractor: Extractor
    steps: Steps
    dtype: np.dtype[Any]
    settings: dict[str, Any] = field(default_factory=dict)

    def provenance(self) -> dict[str, Any]:
        """What makes the values, but for the images (JSON-able)."""
        about = {
            **self.extractor.provenance(),
            "shape": list(self.extractor.shape),
            "dtype": self.dtype.name,
            "steps": self.steps.names(),
        }
        if self.extractor.columns is not None:
            about["columns"] = list(self.extractor.columns)
        if self.extractor.grid is not None:
            about["grid"] = list(self.extractor.grid)
        if self.settings:
            about["settings"] = self.settings
        return about


def assemble(
    out: Path,
    items: IdMap,
    recipe: Recipe,
    *,
    contents: Contents,
    reasons: dict[int, str],
    shards: Shards,
    old: Features | None,
) -> Features:
    """All vectors in the order of the items, and what the steps make of them, into the folder `out`.

    Args:
        out: takes the place of `old`, whole or not at all.
        items: the ids.
        recipe: how the features are made.
        contents: of the items' images.
        reasons: why an item has no vector, by index.
        shards: vectors by content.
        old: features in `out` that have others.
    """
    missing = np.zeros(len(items), dtype=bool)
    missing[list(reasons)] = True
    has_steps = bool(recipe.steps.names())
    with replacing_folder(out) as folder:
        raw = folder / (RAW if has_steps else VALUES)
        where = _where(contents, missing, known_vectors(shards, old))
        raw_digest = _gather(raw, where, recipe, _readers(out, shards, old))
        finishing, digest = _finish(RowReader(raw), folder / VALUES, items, missing, recipe)
        provenance = {**recipe.provenance(), "images": contents.digest(items)}
        if others := _other_versions(shards, old, provenance):
            provenance["partly_made_with"] = others
        Features(
            values=np.load(folder / VALUES, mmap_mode="r", allow_pickle=False),
            items=items,
            missing=missing,
            failures=failures_table(items, missing, [reasons[index] for index in sorted(reasons)]),
            provenance=provenance,
            finishing=finishing,
            raw=np.load(raw, mmap_mode="r", allow_pickle=False) if has_steps else None,
            images=pl.Series("image", contents.digests, dtype=pl.String),
            learnt=recipe.extractor.state(),
        ).write_about(folder, digest, raw_digest if has_steps else None)
    return Features.load(out, verify=False)


def _readers(out: Path, shards: Shards, old: Features | None) -> list[RowReader]:
    """The sources that `known_vectors` numbers."""
    raw = out / RAW if (out / RAW).is_file() else out / VALUES
    return [RowReader(path) for path in [*shards.paths, *([] if old is None else [raw])]]


def _where(contents: Contents, missing: np.ndarray, known: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The source and the row of each item's vector; source -1 where it has none."""
    asked = pl.DataFrame({"image": contents.digests}, schema={"image": pl.String})
    at = asked.join(known, on="image", how="left", maintain_order="left")
    source = at["source"].fill_null(-1).to_numpy()
    return np.where(missing, -1, source), at["row"].fill_null(0).to_numpy()


def _gather(
    path: Path, where: tuple[np.ndarray, np.ndarray], recipe: Recipe, readers: list[RowReader]
) -> str:
    """Write what the extractor gave, in the order of the items, 0 where one has no vector; gives its digest."""
    source, row = where
    shape = recipe.extractor.shape
    with RowWriter(path, recipe.dtype, (len(source), *shape)) as writer:
        for block in blocks(len(source), int(np.prod(shape))):
            rows = np.zeros((block.stop - block.start, *shape), dtype=recipe.dtype)
            for one in np.unique(source[block]):
                here = np.flatnonzero(source[block] == one)
                if one >= 0:
                    rows[here] = readers[one].take(row[block][here])
            writer.write(rows)
    return writer.digest


def _finish(
    raw: RowReader, path: Path, items: IdMap, missing: np.ndarray, recipe: Recipe
) -> tuple[Finishing, str]:
    """Fit the steps and write the finished values, unless they are the raw ones; gives the values' digest."""
    shape = recipe.extractor.shape
    width = int(np.prod(shape))
    finishing = Finishing.fit(recipe.steps, lambda: _there(raw, missing, width), shape[-1])
    final = (len(items), *shape[:-1], finishing.dim(shape[-1]))
    digest = digest_of_all_but_values(items, missing, final, recipe.dtype)
    writer = RowWriter(path, recipe.dtype, final) if path != raw.path else None
    with writer or nullcontext():
        for block in blocks(len(items), width):
            rows = raw.read(block.start, block.stop)
            if writer is not None:
                rows = stored(finishing, rows, missing[block])
                writer.write(rows)
            digest.update(rows.data)
    return finishing, digest.hexdigest()


def known_vectors(shards: Shards, old: Features | None) -> pl.DataFrame:
    """Which image's vector is in which row of which source: the shards, and after them features that are there."""
    known = shards.table()
    if old is not None and old.images is not None:
        rows = np.flatnonzero(~old.missing)
        source = np.full(len(rows), len(shards.paths), dtype=np.int32)
        earlier = {"image": old.images.gather(rows), "source": source, "row": rows.astype(np.int64)}
        known = pl.concat([known, pl.DataFrame(earlier)])
    return known.unique("image", keep="first", maintain_order=True)


def _there(reader: RowReader, missing: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """The vectors of the items that have one, in blocks; regions one after the other."""
    for block in blocks(len(reader), width):
        rows = reader.read(block.start, block.stop)[~missing[block]]
        if len(rows):
            yield rows.reshape(-1, rows.shape[-1]).astype(np.float32, copy=False)


def _other_versions(shards: Shards, old: Features | None, provenance: dict[str, Any]) -> list[Any]:
    """Versions of libraries that older rows were made with, where they are others than now."""
    found = list(shards.earlier_versions)
    if old is not None:
        found += [*old.provenance.get("partly_made_with", []), old.provenance.get("versions")]
    return [
        one for index, one in enumerate(found) if one != provenance["versions"] and one not in found[:index]
    ]
