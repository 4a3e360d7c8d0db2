"""Unfinished features: vectors on disk as they come, found again by the content of the image."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.errors import FeaturesError
from visrec.features.extractor import Extractor
from visrec.features.rows import RowReader
from visrec.files import read_json, replacing, sweep_temporaries, write_json

log = logging.getLogger("visrec")

_BYTES = 1 << 26  # of a shard at most
_SECONDS = 20  # of work to lose at most

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
            FeaturesError: the folder holds something else, or vectors of other settings.
        """
        self.folder, self._row = folder, row
        self._next = 0
        self._whole: list[tuple[Path, list[str]]] = []
        self.earlier_versions: list[Any] = []
        """Of the libraries that vectors were made with, where they are others than now."""
        about = folder / ABOUT
        if folder.is_dir():
            sweep_temporaries(folder)
            if any(folder.iterdir()) and not about.is_file():
                raise FeaturesError(
                    f"{folder}: is not an unfinished extraction; move it away or choose another --out."
                )
            if about.is_file() and self._goes_on(about, identity):
                return
            shutil.rmtree(folder)
        write_json(about, identity)

    def _goes_on(self, about: Path, identity: dict[str, Any]) -> bool:
        """Whether the folder holds vectors of this extractor; refuses to throw away those of another."""
        try:
            before = dict(read_json(about))
        except (OSError, ValueError, TypeError):
            log.warning("%s is damaged: the extraction begins again.", about)
            return False
        # Other versions of a library may differ in the last digits: the provenance will say so.
        now = json.loads(json.dumps(identity))
        others = {*before, *now} - {"versions", "earlier_versions"}
        keys = [key for key in others if before.get(key) != now.get(key)]
        if keys and not any(self.folder.glob("[0-9]*.json")):
            return False  # nothing came of it
        if keys:
            raise FeaturesError(
                f"{self.folder}: holds an unfinished extraction with other settings: "
                f"{difference(min(keys), before, now)}. Give those to go on with it, choose another --out, or remove "
                f"the folder."
            )
        self._collect()
        self.earlier_versions = list(before.get("earlier_versions", []))
        if before.get("versions") != now.get("versions"):
            self.earlier_versions.append(before.get("versions"))
            write_json(about, {**identity, "earlier_versions": self.earlier_versions})
        log.info("Going on with the unfinished extraction in %s.", self.folder)
        return True

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


def difference(key: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What differs between the provenances of two extractions, for a message."""
    if key in ("weights_digest", "weights"):
        return (
            f"weights {found.get('weights')} ({found.get('weights_digest')}), "
            f"not {wanted.get('weights')} ({wanted.get('weights_digest')})"
        )
    return f"{key} {found.get(key)!r}, not {wanted.get(key)!r}"


class Shelf:
    """Vectors on their way to a shard: until there are enough, in number, in bytes, or of work to lose."""

    def __init__(self, shards: Shards, dtype: np.dtype[Any], size: int) -> None:
        self._shards, self._dtype, self._size = shards, dtype, size
        self._images: list[str] = []
        self._vectors: list[np.ndarray] = []
        self._since = time.monotonic()

    def put(self, images: list[str], vectors: np.ndarray, extractor: Extractor) -> dict[str, str]:
        """Take vectors `(n, …)` of images; gives the reasons of those that are no use."""
        if vectors.shape != (len(images), *extractor.shape):
            raise FeaturesError(
                f"{extractor.name} gave {vectors.shape} for {len(images)} images; expected "
                f"{(len(images), *extractor.shape)}. Choose another extractor: `visrec extractors` lists them all."
            )
        with np.errstate(over="ignore"):
            stored = vectors.astype(self._dtype)
        finite = np.isfinite(stored.reshape(len(images), -1)).all(axis=1)
        self._vectors.append(stored[finite])
        self._images += [image for image, good in zip(images, finite, strict=True) if good]
        n_bytes = sum(part.nbytes for part in self._vectors)
        late = time.monotonic() - self._since > _SECONDS
        if len(self._images) >= self._size or n_bytes >= _BYTES or late:
            self.flush()
        why = f"{extractor.name} gave numbers that are not finite" + (
            ", or too large for float16" if self._dtype == np.float16 else ""
        )
        return {image: why for image, good in zip(images, finite, strict=True) if not good}

    def flush(self) -> None:
        """Write what has been taken."""
        if self._images:
            self._shards.write(self._images, np.concatenate(self._vectors))
        self._images, self._vectors, self._since = [], [], time.monotonic()
