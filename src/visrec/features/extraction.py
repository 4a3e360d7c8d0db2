"""The engine: images of a catalogue to `Features`, in batches, flat in memory, resumable."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from visrec.data.catalog import Catalog
from visrec.data.images import decode
from visrec.errors import ConfigError, DataError, FeaturesError, ImageError
from visrec.features.features import VALUES, Features, failures_table
from visrec.features.standardization import standardize_into
from visrec.files import read_json, replacing, replacing_folder, sweep_temporaries, write_json
from visrec.registry import names, resolve

log = logging.getLogger("visrec")

SHARD = 256
"""Items of one shard: what at most is done again after a kill."""

Progress = Callable[[int, int], None]


class Extractor(Protocol):
    """Turns pictures into vectors of length `dim`; each picture for itself, whatever its batch."""

    name: str
    dim: int

    def provenance(self) -> dict[str, Any]:
        """JSON-able: extractor, weights, weights_digest, dim, transform, versions."""
        ...

    def prepare(self, image: Any) -> np.ndarray:
        """An RGB PIL picture to an array of one shape for all pictures; runs in worker threads."""
        ...

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """A batch `(B, …)` of prepared pictures to vectors `(B, F)` float32."""
        ...


@dataclass(frozen=True)
class ExtractorInfo:
    """What can be extracted with: `dim` is None where the network must be built to know it."""

    name: str
    source: str
    dim: int | None
    needs_weights: bool


def list_extractors() -> list[ExtractorInfo]:
    """All extractors: registered ones, then torchvision's and timm's networks by the name to type."""
    from visrec.features.backbones import backbone_names

    registered = [
        ExtractorInfo(
            name, "visrec", getattr(resolve("extractors", name)(), "dim", None), needs_weights=False
        )
        for name in names("extractors")
    ]
    torchvision = backbone_names("torchvision")
    taken = {*torchvision, *(info.name for info in registered)}
    timm = [f"timm:{name}" if name in taken else name for name in backbone_names("timm")]
    return [
        *registered,
        *(ExtractorInfo(name, "torchvision", None, needs_weights=True) for name in torchvision),
        *(ExtractorInfo(name, "timm", None, needs_weights=True) for name in timm),
    ]


def create_extractor(name: str, *, weights: str | Path = "default") -> Extractor:
    """An extractor by name: a registered one ("color"), or a network of torchvision or timm.

    Raises:
        ConfigError: there is none of that name, or weights were given to one that has none.
        FeaturesError: the weights cannot be had, read, or do not fit.
    """
    if name in names("extractors"):
        if str(weights) != "default":
            raise ConfigError(
                f"The extractor '{name}' has no weights; found '{weights}'. Leave --weights out."
            )
        extractor: Extractor = resolve("extractors", name)()
        return extractor
    from visrec.features.backbones import Backbone

    return Backbone(name, weights=weights)


def extract(
    catalog: Catalog,
    extractor: str | Extractor = "color",
    *,
    weights: str | Path = "default",
    standardize: bool = True,
    out: str | Path | None = None,
    batch_size: int = 32,
    n_workers: int | None = None,
    progress: Progress | None = None,
) -> Features:
    """One vector for each item's image.

    An image that cannot be decoded makes its item missing, with the reason in `Features.failures`. With
    `out`, finished parts are kept in `<out>.partial`: a run that was killed goes on where it stopped, and ends
    in the very bytes of one that was not. Features of the same catalogue, extractor, weights and steps that
    are in `out` already are loaded instead.

    Args:
        catalog: The items and their images.
        extractor: A name (`list_extractors`), or an `Extractor`.
        weights: "default", "random" or a file of weights; see `Backbone`.
        standardize: See `Features.standardize`.
        out: Folder for the features, which are then memory-mapped; None: they stay in memory.
        batch_size: Images encoded together.
        n_workers: Threads that decode; None: one a core, at most 8.
        progress: Called with (items done, items in all) after each batch.

    Raises:
        ConfigError: no such extractor, or a setting out of range.
        FeaturesError: no image can be used, the weights are at fault, or `out` holds something else.
    """
    n_workers = min(os.cpu_count() or 1, 8) if n_workers is None else n_workers
    if batch_size < 1 or n_workers < 1:
        raise ConfigError(
            f"batch_size is {batch_size} and n_workers {n_workers}; expected at least 1 of each."
        )
    if len(catalog) == 0:
        raise FeaturesError("The catalogue has no items; expected at least one image to extract features of.")
    made = create_extractor(extractor, weights=weights) if isinstance(extractor, str) else extractor
    provenance = {**made.provenance(), "catalog": _catalog_digest(catalog)}
    provenance["steps"] = ["standardize"] if standardize else []
    work = _Work(catalog, made, batch_size, n_workers, progress)
    if out is None:
        values = np.zeros((len(catalog), made.dim), dtype=np.float32)
        reasons: dict[int, str] = {}
        for start, stop, rows, found in work.shards(_ranges(len(catalog))):
            values[start:stop] = rows
            reasons |= found
        _check_any(len(catalog), reasons)
        return _finish(catalog, values, reasons, provenance)
    out = Path(out)
    partial = out.with_name(f"{out.name}.partial")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        features = _load_same(out, provenance)
    else:
        features = _extract_to(out, partial, work, provenance)
    shutil.rmtree(partial, ignore_errors=True)
    return features


@dataclass(frozen=True)
class _Work:
    """All that turns ranges of items into vectors."""

    catalog: Catalog
    extractor: Extractor
    batch_size: int
    n_workers: int
    progress: Progress | None

    def shards(
        self, ranges: Iterable[tuple[int, int]]
    ) -> Iterator[tuple[int, int, np.ndarray, dict[int, str]]]:
        """For each range: start, stop, vectors `(stop - start, F)`, and reasons by index of a failed item.

        The vector of a failed item is 0. Batches are fixed ranges of items, counted from `start`: they depend
        neither on where an earlier run stopped nor on the number of workers.
        """
        ranges = list(ranges)
        with closing(self._prepared(index for one in ranges for index in range(*one))) as stream:
            for start, stop in ranges:
                values = np.zeros((stop - start, self.extractor.dim), dtype=np.float32)
                reasons: dict[int, str] = {}
                for first in range(start, stop, self.batch_size):
                    last = min(first + self.batch_size, stop)
                    batch = dict(zip(range(first, last), stream, strict=False))
                    reasons |= {index: one for index, one in batch.items() if isinstance(one, str)}
                    good = {index - start: one for index, one in batch.items() if not isinstance(one, str)}
                    if good:
                        values[list(good)] = self.extractor.encode(np.stack(list(good.values())))
                    if self.progress:
                        self.progress(last, len(self.catalog))
                for row in np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist():
                    values[row] = 0
                    reasons[start + row] = f"{self.extractor.name} gave numbers that are not finite"
                yield start, stop, values, reasons

    def _prepared(self, indices: Iterable[int]) -> Generator[np.ndarray | str]:
        """Prepared pictures in order, or reasons why there is none; decoded a little ahead, in threads."""
        ahead = 2 * self.batch_size + self.n_workers  # bounds what waits in memory
        waiting: deque[Future[np.ndarray | str]] = deque()
        with ThreadPoolExecutor(self.n_workers, thread_name_prefix="visrec-images") as pool:
            try:
                for index in indices:
                    waiting.append(pool.submit(self._prepare, index))
                    if len(waiting) > ahead:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _prepare(self, index: int) -> np.ndarray | str:
        path = self.catalog.paths[index]
        if path is None:
            return "no image"
        try:
            return self.extractor.prepare(decode(path))
        except ImageError as error:
            return str(error)


def _ranges(n: int) -> list[tuple[int, int]]:
    return [(start, min(start + SHARD, n)) for start in range(0, n, SHARD)]


def _check_any(n: int, reasons: dict[int, str]) -> None:
    if len(reasons) == n:
        raise FeaturesError(
            f"None of the {n} items has an image that can be used; the first: {reasons[0].rstrip('.')}."
        )


def _finish(
    catalog: Catalog, values: np.ndarray, reasons: dict[int, str], provenance: dict[str, Any]
) -> Features:
    """`Features` of raw `values (I, F)`, which are standardized in place."""
    n = len(catalog)
    if reasons:
        log.warning("%d of %d items have no features; the first: %s", len(reasons), n, reasons[min(reasons)])
    missing = np.zeros(n, dtype=bool)
    missing[list(reasons)] = True
    fitted = standardize_into(values, missing, values) if provenance["steps"] else None
    failures = failures_table(catalog.items, missing, [reasons[index] for index in sorted(reasons)])
    return Features(values, catalog.items, missing, failures, provenance, fitted)


def _extract_to(out: Path, partial: Path, work: _Work, provenance: dict[str, Any]) -> Features:
    """Shards into `partial`, then all of them into `out`."""
    n, dim = len(work.catalog), work.extractor.dim
    # The steps come after the shards, so that another choice of steps can use them; the batch size is part
    # of what the last bits of a number depend on.
    identity = {**provenance, "steps": None, "batch_size": work.batch_size, "shard": SHARD}
    _open_partial(partial, identity)
    reasons: dict[int, str] = {}
    unfinished = []
    for start, stop in _ranges(n):
        found = _read_reasons(partial, start, (stop - start, dim))
        if found is None:
            unfinished.append((start, stop))
        else:
            reasons |= found
    for start, _, values, found in work.shards(unfinished):
        with replacing(partial / f"{start:09d}.npy") as temporary:
            np.save(temporary, values, allow_pickle=False)
        # Last: where it is, the shard is whole.
        write_json(partial / f"{start:09d}.json", {str(index): text for index, text in found.items()})
        reasons |= found
    if len(reasons) == n:
        shutil.rmtree(partial)  # a second try must look at the images again
    _check_any(n, reasons)
    sweep_temporaries(out.parent, of=out.name)  # of a run killed in the lines below
    with replacing_folder(out) as temporary:
        values = np.lib.format.open_memmap(temporary / VALUES, mode="w+", dtype=np.float32, shape=(n, dim))
        for start, stop in _ranges(n):
            values[start:stop] = np.load(partial / f"{start:09d}.npy", allow_pickle=False)
        _finish(work.catalog, values, reasons, provenance).write_about(temporary)
        values.flush()
    return Features.load(out, verify=False)


def _open_partial(partial: Path, identity: dict[str, Any]) -> None:
    """Make the folder of unfinished work, or keep it if it is of the same extraction."""
    about = partial / "extraction.json"
    if partial.is_dir():
        sweep_temporaries(partial)
        if any(partial.iterdir()) and not about.is_file():
            raise FeaturesError(
                f"{partial}: is not an unfinished extraction; move it away or choose another --out."
            )
        try:
            if about.is_file() and read_json(about) == json.loads(json.dumps(identity)):
                log.info("Going on with the unfinished extraction in %s.", partial)
                return
        except ValueError:
            pass
        shutil.rmtree(partial)
    write_json(about, identity)


def _read_reasons(partial: Path, start: int, shape: tuple[int, int]) -> dict[int, str] | None:
    """The failures of a finished shard; None if it isn't finished or cannot be read."""
    try:
        found = read_json(partial / f"{start:09d}.json")
        whole = np.load(partial / f"{start:09d}.npy", mmap_mode="r", allow_pickle=False).shape == shape
        return {int(index): text for index, text in found.items()} if whole else None
    except (OSError, ValueError, EOFError):
        return None


def _load_same(out: Path, provenance: dict[str, Any]) -> Features:
    """The features in `out`, if they are what would be extracted now."""
    try:
        features = Features.load(out)
    except FeaturesError as error:
        raise FeaturesError(f"{error} Or choose another --out.") from None
    for key in ("extractor", "weights_digest", "transform", "layer", "dim", "catalog", "steps"):
        if features.provenance.get(key) != provenance.get(key):
            raise FeaturesError(
                f"{out}: holds other features: {_difference(key, features.provenance, provenance)}. "
                f"Choose another --out, or remove the folder."
            )
    return features


def _difference(key: str, found: dict[str, Any], wanted: dict[str, Any]) -> str:
    if key == "catalog":
        return "of another catalogue (other items, or image files of other names or sizes)"
    if key == "weights_digest":
        return f"weights {found.get('weights')} ({found.get(key)}), not {wanted['weights']} ({wanted[key]})"
    return f"{key} {found.get(key)!r}, not {wanted.get(key)!r}"


def _catalog_digest(catalog: Catalog) -> str:
    """`Catalog.digest`, also where files are gone: these count as having no image."""
    try:
        return catalog.digest
    except DataError:
        paths = tuple(path if path is not None and path.exists() else None for path in catalog.paths)
        return replace(catalog, paths=paths).digest
