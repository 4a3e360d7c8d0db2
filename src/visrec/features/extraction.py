"""The engine: images of a catalogue to `Features`; flat in memory, to be interrupted and resumed at any point.

Each vector belongs to the content of an image file. What is known of a content, from features that are there already
or from an interrupted try, is never computed again, whatever the item is called now.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from visrec.data.catalog import Catalog
from visrec.errors import ConfigError, FeaturesError
from visrec.features.assembly import Recipe, assemble, known_vectors
from visrec.features.contents import Contents
from visrec.features.decoding import prepared
from visrec.features.extractor import Extractor, Pending
from visrec.features.extractors import Weights, create_extractor, resolved, weights_with_paths, with_paths
from visrec.features.features import META, Features
from visrec.features.finishing import Steps
from visrec.features.shards import Shards, Shelf, difference
from visrec.files import exclusive, read_json, sweep_temporaries, write_json
from visrec.progress import Progress

log = logging.getLogger("visrec")

SHARD = 256
"""Vectors of one shard: what at most is computed again after a kill (fewer where they come slowly)."""
_SAMPLE = 2000  # images that an extractor learns from (a codebook), those whose digests are the smallest
# Batches handed to the network, so that none of its threads waits for the others' last picture.
_IN_FLIGHT = 3
_MOST_FOR_PCA = 16_384  # columns: their covariance takes 2 GiB
_IDENTITY = (
    "extractor",
    "weights_digest",
    "transform",
    "layer",
    "options",
    "precision",
    "shape",
    "dtype",
    "steps",
)

RATE = "images/s"
"""In the note of each progress call while images are encoded."""


def extract(
    catalog: Catalog,
    extractor: str | Extractor = "color",
    *,
    weights: Weights = "default",
    standardize: bool = True,
    pca: int | None = None,
    whiten: bool = False,
    l2: bool = False,
    dtype: Literal["float32", "float16"] = "float32",
    out: str | Path | None = None,
    n_workers: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Features:
    """One vector (or R regions) for each item's image.

    An image that cannot be decoded makes its item missing, with the reason in `Features.failures`. With `out`,
    vectors are kept in `<out>.partial` as they come: a run that was killed goes on where it stopped, and ends in the
    very bytes of one that was not. If `out` holds features of the same extractor, settings and
    steps, only images that are new or changed (by content) are looked at; those of items that are gone disappear.

    Args:
        catalog: The items and their images.
        extractor: A name (`visrec extractors`), several joined by "+", or an `Extractor`.
        weights: "default" (published ones), "random", or a file; or a mapping from an extractor's name to these.
        standardize: See `Steps`. Pixels are stored as they are.
        pca: See `Steps`.
        whiten: See `Steps`.
        l2: See `Steps`.
        dtype: Of the stored values; float16 takes half the space.
        out: Folder for the features, which are then memory-mapped; None: they stay in memory.
        n_workers: Processes that decode; 0: threads of this process; None: one a core, at most 8.
        progress: Called with (images done, images to do, a note).
        options: Of the extractor, such as layer="layer4", pool="regions".

    Raises:
        ConfigError: no such extractor, or a setting out of range.
        FeaturesError: no image can be used, the weights are at fault, or `out` holds something else.
    """
    n_workers = min(os.cpu_count() or 1, 8) if n_workers is None else n_workers
    if n_workers < 0 or dtype not in ("float32", "float16"):
        raise ConfigError(
            f"n_workers is {n_workers} and dtype {dtype!r}; expected at least 0, and 'float32' or 'float16'."
        )
    steps = Steps(standardize=standardize, pca=pca, whiten=whiten, l2=l2)
    if len(catalog) == 0:
        raise FeaturesError("The catalogue has no items; expected at least one image to extract features of.")
    made = extractor if isinstance(extractor, Extractor) else create_extractor(extractor, weights, **options)
    if pca is not None and made.dim > _MOST_FOR_PCA:
        raise FeaturesError(
            f"pca needs the covariance of all columns: {made.dim:,} of {made.name}, at most {_MOST_FOR_PCA:,} can be "
            f"held in memory. Choose a layer or an extractor with fewer, or leave pca out."
        )
    settings: dict[str, Any] = {}
    if isinstance(extractor, str):
        settings = {
            "extractor": with_paths(extractor, resolved),
            "weights": weights_with_paths(weights, resolved),
            "options": options,
        }
    n_vectors = int(catalog.pictured.sum()) * int(np.prod(made.shape[:-1]))
    if pca is not None and pca > min(made.dim, n_vectors - 1):
        raise FeaturesError(
            f"pca is {pca}, but {n_vectors:,} vectors of length {made.dim:,} have at most "
            f"{max(0, min(made.dim, n_vectors - 1)):,} principal components. Ask for fewer."
        )
    kept: np.dtype[Any] = np.dtype(dtype)
    if made.dtype is not None:
        if pca is not None or l2:
            raise ConfigError(f"{made.name} is stored as it is; leave pca and l2 out.")
        kept, steps = np.dtype(made.dtype), Steps(standardize=False)
    work = _Work(catalog, Recipe(made, steps, kept, settings), n_workers, progress)
    if out is not None:
        return work.into(Path(out))
    with tempfile.TemporaryDirectory(prefix="visrec-") as folder:
        work.into(Path(folder) / "features")
        return Features.load(Path(folder) / "features", mmap=False, verify=False)


@dataclass(frozen=True)
class _Work:
    """An extraction: what it is of, by what, and how."""

    catalog: Catalog
    recipe: Recipe
    n_workers: int
    progress: Progress | None

    @property
    def extractor(self) -> Extractor:
        return self.recipe.extractor

    def into(self, out: Path) -> Features:
        """Features in the folder `out`, with all that is known already put to use."""
        try:
            with exclusive(out):
                return self._alone_into(out)
        except BlockingIOError:
            raise FeaturesError(
                f"{out}: another process is extracting into it. Wait for that one, or choose another --out."
            ) from None
        except OSError as error:
            raise FeaturesError(
                f"{out}: cannot be written ({error.strerror or error}). Make room, or choose another --out; nothing "
                f"is lost, the same command goes on."
            ) from error

    def _alone_into(self, out: Path) -> Features:
        sweep_temporaries(out.parent, of=out.name)  # of a run killed while it replaced the folder
        old = _features_in(out, self)
        images = Contents.of(self.catalog.paths, self.progress)
        # Steps and settings (a path of weights) do not change what the extractor gives.
        identity = {**self.recipe.provenance(), "steps": None, "settings": None}
        shards = Shards(out.with_name(f"{out.name}.partial"), identity, self.extractor.shape)
        try:
            return self._into(out, old, images, shards)
        except FeaturesError:
            if not shards.paths:
                shards.remove()
            raise

    def _into(self, out: Path, old: Features | None, images: Contents, shards: Shards) -> Features:
        if self.extractor.learns:
            self._learn(images, shards, {} if old is None else old.learnt)
        failed = self._encode(images.without(known_vectors(shards, old)["image"]), shards)
        reasons = images.reasons_with(failed)
        if len(reasons) == len(self.catalog):
            raise FeaturesError(
                f"None of the {len(reasons)} items has an image that can be used; the first: "
                f"{reasons[0].rstrip('.')}. Add the pictures, or name only models that do not look at them (`visrec "
                f"models` says which)."
            )
        if old is not None and _is_same(old, self.catalog, images, reasons):
            shards.remove()
            return self._with_settings(out, old)
        if reasons:
            log.warning(
                "%d of %d items have no features; the first: %s",
                len(reasons),
                len(self.catalog),
                reasons[min(reasons)],
            )
        features = assemble(
            out, self.catalog.items, self.recipe, contents=images, reasons=reasons, shards=shards, old=old
        )
        shards.remove()
        return features

    def _with_settings(self, out: Path, old: Features) -> Features:
        """The features that are there; where the files of weights have moved, they now say so."""
        settings = self.recipe.settings
        if settings and settings != old.provenance.get("settings"):
            about = read_json(out / META)
            about["provenance"]["settings"] = settings
            write_json(out / META, about)
            return Features.load(out, verify=False)
        return old

    def _learn(self, images: Contents, shards: Shards, before: Mapping[str, np.ndarray]) -> None:
        """Have the extractor learn from a sample of the images, unless it has: what is learnt once stays."""
        state = dict(before) or shards.state()
        if not state:
            chosen = dict(sorted(images.by_digest().items())[:_SAMPLE])
            if self.progress:
                self.progress(0, len(chosen), "learning from a sample")
            stream = prepared(
                self.extractor.preparation, list(chosen.values()), n_workers=self.n_workers, ahead=64
            )
            with closing(stream):
                self.extractor.learn(self._told(stream, len(chosen)))
            state = self.extractor.state()
            shards.write_state(state)
        self.extractor.restore(state)

    def _told(self, stream: Iterator[np.ndarray | str], total: int) -> Iterator[np.ndarray]:
        for done, one in enumerate(stream, start=1):
            if self.progress:
                self.progress(done, total, "learning from a sample")
            if not isinstance(one, str):
                yield one

    def _encode(self, todo: dict[str, Path], shards: Shards) -> dict[str, str]:
        """Vectors of images, by digest, into shards; gives the reasons of those that have none."""
        size = self.extractor.batch_size
        failed: dict[str, str] = {}
        batch: list[tuple[str, np.ndarray]] = []
        waiting: deque[tuple[list[str], Pending]] = deque()
        shelf = Shelf(shards, self.recipe.dtype, SHARD)
        start, done = time.perf_counter(), 0

        def submit() -> None:
            pictures = np.stack([picture for _, picture in batch])
            waiting.append(([digest for digest, _ in batch], self.extractor.submit(pictures)))
            batch.clear()

        def fetch() -> None:
            nonlocal done
            digests, future = waiting.popleft()
            unfit = shelf.put(digests, future.result(), self.extractor)
            failed.update(unfit)
            done += len(digests) - len(unfit)
            if self.progress:
                rate = done / max(time.perf_counter() - start, 1e-9)
                broken = f", {len(failed):,} cannot be used" if failed else ""
                self.progress(done + len(failed), len(todo), f"{rate:,.1f} {RATE}{broken}")

        preparation = self.extractor.preparation
        stream = prepared(preparation, list(todo.values()), n_workers=self.n_workers, ahead=3 * size)
        try:
            with closing(stream):
                for digest, one in zip(todo, stream, strict=True):
                    if isinstance(one, str):
                        failed[digest] = one
                        continue
                    batch.append((digest, one))
                    if len(batch) == size:
                        submit()
                        if len(waiting) > _IN_FLIGHT:
                            fetch()
                if batch:
                    submit()
                while waiting:
                    fetch()
        finally:
            for _, pending in waiting:  # only after an error, or Ctrl-C: nobody waits for them any more
                pending.cancel()
            shelf.flush()
        return failed


def _is_same(old: Features, catalog: Catalog, images: Contents, reasons: dict[int, str]) -> bool:
    """Whether the features are those of this catalogue."""
    return (
        old.items == catalog.items
        and old.images is not None
        and old.images.to_list() == images.digests
        and old.failures["reason"].to_list() == list(reasons.values())
    )


def _features_in(out: Path, work: _Work) -> Features | None:
    """The features in `out`, if they are of the same kind; None where there are none.

    What was learnt once is kept: the extractor has it back afterwards.
    """
    if not (out.is_file() or (out.is_dir() and any(out.iterdir()))):
        return None
    try:
        features = Features.load(out)
    except FeaturesError as error:
        raise FeaturesError(f"{error} Or choose another --out.") from None
    if features.images is None:
        raise FeaturesError(
            f"{out}: holds features that do not say which images they are of (of an earlier version, or your own). "
            f"Choose another --out, or remove the folder."
        )
    if work.extractor.learns and features.learnt:
        # The digest of its weights takes in what it has learnt: compared once it has that, but for the rest first.
        _refuse_others(out, features, work, [key for key in _IDENTITY if key != "weights_digest"])
        work.extractor.restore(features.learnt)
    _refuse_others(out, features, work, _IDENTITY)
    return features


def _refuse_others(out: Path, features: Features, work: _Work, keys: Sequence[str]) -> None:
    provenance = work.recipe.provenance()
    for key in keys:
        if features.provenance.get(key) != provenance.get(key):
            precision = features.provenance.get("precision")
            hint = f"Give --precision {precision}, choose" if key == "precision" and precision else "Choose"
            raise FeaturesError(
                f"{out}: holds other features: {difference(key, features.provenance, provenance)}. "
                f"{hint} another --out, or remove the folder."
            )
