"""The files of the ACM IUI 2021 tutorial on visual recommendation made into a data set, features, models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from visrec.converting.checkpoints import model_of, read_checkpoint
from visrec.converting.conversion import Conversion
from visrec.converting.finding import Found, find_files
from visrec.converting.indices import RULES, Indices, find_indices
from visrec.converting.items import find_pictures, with_metadata, write_pictures
from visrec.converting.training_data import fitting_features, pixels, train_part
from visrec.converting.writing import held_rows, write_embedding, write_indices, write_triples
from visrec.data.dataset import Dataset, load_dataset
from visrec.data.formats.format import Format
from visrec.data.formats.pickled import PlainArrayError
from visrec.data.formats.tutorial import (
    KNOWN,
    read_embedding,
    read_held_out,
    read_interactions,
    read_triples,
)
from visrec.errors import DataError
from visrec.features.features import Features
from visrec.files import file_digest
from visrec.progress import Progress

_SHOWN = 12  # files that were left out and are named one by one


def convert_files(source: Path, folder: Path, *, progress: Progress | None = None) -> Conversion:
    """Convert the tutorial's files.

    Args:
        source: a folder with any of its files: the table of interactions, `.npy` features, evaluation and triples
            tables, checkpoints, images. Or one such file.
        folder: an empty one.
        progress: called with (files done, files in all, name).

    Raises:
        DataError: a file is damaged, wants to run code, or does not fit the others.
    """
    return convert_found(find_files(source), folder, progress=progress)


def convert_found(found: Found, folder: Path, *, progress: Progress | None = None) -> Conversion:
    """`convert_files` of files that were found already."""
    work = _Conversion(found, progress)
    work.run(folder)
    return Conversion(work.rows, work.notes)


TUTORIAL = Format(
    name="tutorial",
    title="VisRec tutorial, ACM IUI 2021",
    what="its interactions, features, triples, trained models, images",
    convert=convert_files,
)


class _Conversion:
    """The work on one folder, in the order in which one file explains the next."""

    def __init__(self, found: Found, progress: Progress | None) -> None:
        self.found, self.progress = found, progress
        self.rows: list[dict[str, str]] = []
        self.notes: list[str] = []
        self.n_files = sum(
            len(paths)
            for paths in (
                found.interactions,
                found.evaluation,
                found.triples,
                found.arrays,
                found.checkpoints,
            )
        )

    def run(self, folder: Path) -> None:
        found = self.found
        if len(found.interactions) > 1:
            names = ", ".join(found.name(path) for path in found.interactions)
            raise DataError(
                f"{found.root}: holds several tables of interactions: {names}. Bring one data set."
            )
        features = self._features(folder)
        items = next(iter(features.values()))[0] if features else None
        table = self._interactions(items)
        held = {path: read_held_out(path) for path in found.evaluation}
        triples = {path: read_triples(path) for path in found.triples}
        indices = self._indices(table, items, held, triples)
        if table is not None:
            self._table(folder, table, indices, held)
        self._items(folder, table, items)
        for path, triple in triples.items():
            self._triples(folder, path, triple, indices)
        if indices is not None:
            write_indices(folder, indices)
        self._models(folder, features, indices)
        if not self.rows:
            raise DataError(
                f"{found.root}: holds none of the tutorial's files. Expected a table user_id,item_id,timestamp, "
                f".npy features, checkpoints (.tar, .pt, .pth) or a folder of images."
            )
        self._left_out()

    def _add(self, path: Path, what: str, became: str) -> None:
        self.rows.append({"file": self.found.name(path), "what": what, "became": became})
        if self.progress is not None:
            self.progress(min(len(self.rows), self.n_files), self.n_files, self.found.name(path))

    # ---- features ----------------------------------------------------------------------------------

    def _features(self, folder: Path) -> dict[str, tuple[list[str], Features]]:
        """Each file of features written to `features/`: its ids in file order, and what was written."""
        made: dict[str, tuple[list[str], Features]] = {}
        first: tuple[Path, list[str]] | None = None
        for path in self.found.arrays:
            try:
                embedding = read_embedding(path)
            except PlainArrayError:
                self.found.other.append((path, "an array without names of items"))
                continue
            ids = list(embedding.ids)
            if first is None:
                first = path, ids
            elif first[1] != ids:
                raise DataError(_differing(path, ids, *first))
            name = path.stem.removeprefix("embedding-") or path.stem
            if name in made:
                raise DataError(f"{path}: is the second file of features of that name; rename it.")
            made[name] = ids, write_embedding(folder / "features" / name, embedding)
            shape = " x ".join(map(str, embedding.rows[0].shape))
            self._add(path, f"features of {len(ids):,} items, {shape}", f"features/{name}")
        return made

    # ---- interactions ------------------------------------------------------------------------------

    def _interactions(self, items: list[str] | None) -> pl.DataFrame | None:
        """The table of interactions with the items that have features: those that have indices."""
        if not self.found.interactions:
            return None
        path = self.found.interactions[0]
        table = read_interactions(path)
        if items is None:
            return table
        known = table.filter(pl.col("item_id").is_in(items))
        if known.height == 0:
            raise DataError(
                f"{path}: none of its items (first {table['item_id'][0]!r}) is in the features (first {items[0]!r}). "
                f"The item ids must be the stems of the image files."
            )
        if known.height < table.height:
            self.notes.append(
                f"{table.height - known.height:,} of {table.height:,} interactions are with items that have no "
                f"features: left out, as the tutorial does."
            )
        return known

    def _indices(
        self,
        table: pl.DataFrame | None,
        items: list[str] | None,
        held: dict[Path, pl.DataFrame],
        triples: dict[Path, pl.DataFrame],
    ) -> Indices | None:
        """What the indices mean; None where the files do not tell."""
        if table is None or items is None:
            return None
        pairs = {path: one.select("user", "item").unique() for path, one in held.items()}
        for path, one in triples.items():
            real = one.filter(pl.col("user") >= 0)
            pairs[path] = real.select("user", item="pos").unique()
            highest = max(
                int(one["neg"].to_numpy().max(initial=-1)),
                int(one["profile"].explode().drop_nulls().to_numpy().max(initial=-1)),
            )
            if highest >= len(items):
                raise DataError(
                    f"{path}: has the item index {highest:,}, but the features are of {len(items):,} items. The "
                    f"files are of different data; bring those of one."
                )
        found = find_indices(self.found.interactions[0], table, items, pairs)
        rule = f"Users are numbered {RULES[found.rule]}, items in the order of the features"
        if found.checked:
            self.notes.append(
                f"{rule}: checked, all {found.checked:,} pairs of the other tables are interactions."
            )
        elif held or triples or self.found.checkpoints:
            self.notes.append(f"{rule}: not checked, there is no evaluation or triples table to check it by.")
        return found

    def _table(
        self, folder: Path, table: pl.DataFrame, indices: Indices | None, held: dict[Path, pl.DataFrame]
    ) -> None:
        path = self.found.interactions[0]
        for file, rows in held.items():
            if indices is None:
                self._add(file, f"{rows.height:,} held-out rows", "nothing: its indices need the features")
            elif "evaluation" in table.columns:
                marked = held_rows(path, table, rows, indices) & (table["evaluation"] == "test").to_numpy()
                known = f"{int(marked.sum()):,} of them are marked in {path.name} too"
                self._add(file, f"{rows.height:,} held-out rows", f"a check: {known}")
        if indices is not None and held and "evaluation" not in table.columns:
            marks = np.zeros(table.height, dtype=bool)
            for file, rows in held.items():
                marks |= held_rows(path, table, rows, indices)
                self._add(file, f"{rows.height:,} held-out rows", "column evaluation of interactions.csv")
            parts = np.where(marks, "test", "train")
            table = table.with_columns(pl.Series("evaluation", parts.tolist()))
        keep = [name for name in table.columns if name in KNOWN]
        table.select(keep).write_csv(folder / "interactions.csv")
        users = table["user_id"].n_unique()
        self._add(path, f"{table.height:,} interactions of {users:,} users", "interactions.csv")
        if "evaluation" not in keep:
            self.notes.append(
                "Nothing says which interactions were held out: a run holds out each user's newest basket."
            )

    # ---- items -------------------------------------------------------------------------------------

    def _items(self, folder: Path, table: pl.DataFrame | None, items: list[str] | None) -> None:
        """`items.csv`, and `images.csv` with the pictures where they lie."""
        taken = [] if table is None else table["item_id"].unique(maintain_order=True).to_list()
        pictures = find_pictures(self.found, taken, items)
        ids = list(dict.fromkeys([*taken, *pictures.paths])) if items is None else items
        self.notes += pictures.notes
        self.found.other += pictures.strangers
        if not ids:
            return
        about = pl.DataFrame({"item_id": pl.Series(ids, dtype=pl.String)})
        if table is not None:
            about, notes = with_metadata(about, table)
            self.notes += notes
        about.write_csv(folder / "items.csv")
        if pictures.paths:
            write_pictures(folder / "images.csv", pictures)
        for place, n in pictures.places().items():
            inside = place.is_relative_to(folder)
            became = "images/, listed in images.csv" if inside else "images.csv, which points to them"
            self._add(place, f"{n:,} images", became)
        lacking = len(ids) - len(pictures.paths)
        if lacking:
            self.notes.append(
                f"{lacking:,} of {len(ids):,} items have no image: use the data set with --allow-missing-images."
            )

    # ---- triples -----------------------------------------------------------------------------------

    def _triples(self, folder: Path, path: Path, table: pl.DataFrame, indices: Indices | None) -> None:
        """`triples/NAME.parquet`: user_id, history, pos, neg by id, or by index where nobody can say the ids."""
        (folder / "triples").mkdir(exist_ok=True)
        target = folder / "triples" / f"{path.stem}.parquet"
        if target.exists():
            raise DataError(f"{path}: is the second table of triples of that name; rename it.")
        write_triples(target, table, indices)
        became = f"triples/{target.name}"
        if indices is None:
            became += ", indices as they are: ids need the features and the interactions"
        empty = int((table["profile"].list.len() == 0).sum())
        made_up = int((table["user"] < 0).sum())
        details = [f"{empty:,} with an empty profile"] * bool(empty) + [f"{made_up:,} of nobody"] * bool(
            made_up
        )
        what = f"{table.height:,} triples" + (f" ({', '.join(details)})" if details else "")
        self._add(path, what, became)

    # ---- models ------------------------------------------------------------------------------------

    def _models(
        self, folder: Path, features: dict[str, tuple[list[str], Features]], indices: Indices | None
    ) -> None:
        data: Dataset | None = None
        for path in self.found.checkpoints:
            checkpoint = read_checkpoint(path)
            if checkpoint.layout is None:
                names = ", ".join(list(checkpoint.state)[:3]) or "none"
                self.found.other.append((path, f"tensors of none of the tutorial's models: {names}"))
                continue
            model = checkpoint.layout.model
            if indices is None:
                raise DataError(
                    f"{path}: is a checkpoint of {model}, whose rows are numbered by the file of features and the "
                    f"interactions. Put both beside it: the .npy file and the table user_id,item_id,timestamp."
                )
            if data is None:
                data = load_dataset(folder, missing_images="mask")
            if checkpoint.layout.needs == "image":
                name, content = "pixels", pixels(checkpoint, data, folder / "features" / "pixels")
            else:
                name, content = fitting_features(checkpoint, features)
            made = model_of(checkpoint, train_part(data), content, users=indices.users, items=indices.items)
            target = folder / "models" / path.stem
            if target.exists():
                raise DataError(f"{path}: is the second checkpoint of that name; rename it.")
            source = {"file": path.name, "sha256": file_digest(path), **checkpoint.about}
            made.save(target, extra={"source": source, "features": f"features/{name}"})
            became = f"models/{path.stem}, with the features {name}"
            self._add(path, f"checkpoint of {model}", became)

    def _left_out(self) -> None:
        other = self.found.other
        if len(other) <= _SHOWN:
            for path, reason in other:
                self.rows.append(
                    {"file": self.found.name(path), "what": reason, "became": "nothing: left out"}
                )
            return
        for reason, n in Counter(reason for _, reason in other).items():
            some = ", ".join(self.found.name(path) for path, why in other if why == reason)
            shown = some if len(some) <= 200 else f"{some[:200]}…"
            self.notes.append(f"{n:,} files were left out ({reason}): {shown}")


# ---- helpers ---------------------------------------------------------------------------------------


def _differing(path: Path, ids: Sequence[str], first: Path, others: Sequence[str]) -> str:
    if set(ids) == set(others):
        return (
            f"{path}: has the items in another order than {first.name}. The other files count items by that order; "
            f"convert the two one by one."
        )
    lacking = next((one for one in others if one not in set(ids)), None)
    which = f"{lacking!r} is not in it" if lacking else f"{first.name} has fewer"
    return (
        f"{path}: has {len(ids):,} items, {first.name} {len(others):,}: {which}. All must be of the same items; "
        f"convert the two one by one."
    )
