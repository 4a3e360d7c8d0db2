"""Unfinished features: vectors on disk as they come, found again by the content of the image."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.errors import FeaturesError
from visrec.features.rows import RowReader
from visrec.files import read_json, replacing, sweep_temporaries, write_json

log = logging.getLogger("visrec")

ABOUT, STATE = "extraction.json", "extractor.safetensors"


class Shards:
    """A folder of shards `<number>.npy` and `<number>.json`, all of one extractor.

    A shard is whole where its JSON is, which is written last: rows of the array belong to the images whose SHA-256
    it lists. The order of images, their ids and file names play no part, so that work stays useful when a catalogue
    changes between an interruption and the next try.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], row: tuple[int, ...]) -> None:
        """Make the folder, or keep what fits in it.

        Args:
            folder: where the shards are, or will be.
            identity: JSON-able, all that vectors depend on but the images.
            row: shape of one vector.

        Raises:
            FeaturesError: the folder holds something else.
        """
        self.folder, self._row = folder, row
        self._next = 0
        self._whole: list[tuple[Path, list[str]]] = []
        about = folder / ABOUT
        if folder.is_dir():
            sweep_temporaries(folder)
            if any(folder.iterdir()) and not about.is_file():
                raise FeaturesError(
                    f"{folder}: is not an unfinished extraction; move it away or choose another --out."
                )
            if about.is_file() and _is(about, identity):
                self._collect()
                log.info("Going on with the unfinished extraction in %s.", folder)
                return
            shutil.rmtree(folder)
        write_json(about, identity)

    def _collect(self) -> None:
        for path in sorted(self.folder.glob("[0-9]*.npy")):
            self._next = max(self._next, int(path.stem) + 1)
            try:
                contents = read_json(path.with_suffix(".json"))
                if RowReader(path).shape == (len(contents), *self._row):
                    self._whole.append((path, contents))
            except (OSError, ValueError, EOFError, TypeError):
                continue  # not whole: its images are done again

    @property
    def paths(self) -> list[Path]:
        """The arrays of all whole shards."""
        return [path for path, _ in self._whole]

    def table(self) -> pl.DataFrame:
        """Which image's vector is where: columns image (SHA-256), source (index into `paths`), row."""
        parts = [
            pl.DataFrame(
                {
                    "image": contents,
                    "source": np.full(len(contents), source, dtype=np.int32),
                    "row": np.arange(len(contents), dtype=np.int64),
                },
                schema_overrides={"image": pl.String},
            )
            for source, (_, contents) in enumerate(self._whole)
        ]
        empty = {"image": pl.String, "source": pl.Int32, "row": pl.Int64}
        return pl.concat(parts) if parts else pl.DataFrame(schema=empty)

    def write(self, images: list[str], vectors: np.ndarray) -> None:
        """Keep the vectors `(n, …)` of some images."""
        path = self.folder / f"{self._next:09d}.npy"
        with replacing(path) as temporary:
            np.save(temporary, vectors, allow_pickle=False)
        write_json(path.with_suffix(".json"), images)
        self._whole.append((path, images))
        self._next += 1

    def state(self) -> dict[str, np.ndarray]:
        """What an extractor had learnt before the interruption; nothing if it had not."""
        from safetensors.numpy import load_file

        path = self.folder / STATE
        return dict(load_file(path)) if path.is_file() else {}

    def write_state(self, state: dict[str, np.ndarray]) -> None:
        """Keep what an extractor has learnt."""
        from safetensors.numpy import save_file

        with replacing(self.folder / STATE) as temporary:
            save_file(state, temporary)

    def remove(self) -> None:
        """The work is finished, or of no use."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _is(about: Path, identity: dict[str, Any]) -> bool:
    try:
        return bool(read_json(about) == json.loads(json.dumps(identity)))
    except ValueError:
        return False
