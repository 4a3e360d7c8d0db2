"""What every extractor is: a preparation of single pictures, and an encoding of batches of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from visrec.config import Config, digest_of
from visrec.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


class Preparation(Config):
    """What is done to one picture before its batch: settings that fit into JSON, and a call.

    It runs in worker processes, which make it anew from its settings. Its module must not import torch, whose
    start takes seconds and whose memory would be taken once a process.
    """

    @property
    def least_side(self) -> int | None:
        """The shorter side, in pixels, down to which a JPEG may be reduced while it is decoded; None: not at all."""
        return None

    def __call__(self, image: Image.Image) -> np.ndarray:
        """An upright RGB picture to an array of one shape and type for all pictures."""
        raise NotImplementedError

    def of_file(self, path: Path) -> np.ndarray:
        """A file to its array: by default the picture in it. What looks at files themselves has its own.

        Raises:
            ImageError: there is no picture in it.
        """
        from visrec.data.images import decode

        return self(decode(path, least_side=self.least_side))


class Pending(Protocol):
    """Vectors that are perhaps still being computed; a `concurrent.futures.Future` is one."""

    def result(self) -> np.ndarray:
        """Wait for them."""

    def cancel(self) -> object:
        """Compute none of it that has not been begun; nobody asks for the result any more."""


class Options(Config):
    """Settings of an extractor that has none."""


class Extractor(ABC):
    """Turns pictures into vectors `(F,)`, regions `(R, F)`, or pixels `(S, S, 3)`; each by itself.

    Attributes:
        Config: its options, a `visrec.config.Config`.
        name: what to type to have it.
        shape: `(F,)`, or `(R, F)` for regions, or `(S, S, 3)` for pixels.
        columns: F names, where each column of the vector has a meaning of its own.
        grid: rows and columns of the R regions on the picture, where they lie on one.
        batch_size: pictures encoded together; a last batch may be smaller.
        dtype: of what it gives, where that cannot be chosen; it is then stored as it is, without steps.
        learns: whether it must see a sample of the catalogue first (`learn`), as a codebook does.
        preparation: what is done to each picture.
    """

    Config: ClassVar[type[Config]] = Options
    name: str
    shape: tuple[int, ...]
    columns: tuple[str, ...] | None = None
    grid: tuple[int, int] | None = None
    batch_size: int = 32
    dtype: ClassVar[Literal["uint8"] | None] = None
    learns: ClassVar[bool] = False
    preparation: Preparation

    @property
    def dim(self) -> int:
        """F."""
        return self.shape[-1]

    @abstractmethod
    def provenance(self) -> dict[str, Any]:
        """What makes the vectors (JSON-able).

        At least: extractor, source, weights, weights_digest, transform, layer, options, versions.
        """

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """A batch `(B, …)` of prepared pictures to `(B, *shape)` float32; by default they are the vectors."""
        return batch

    def submit(self, batch: np.ndarray) -> Pending:
        """`encode`, perhaps in threads of the extractor's own; by default it is done at once."""
        future: Future[np.ndarray] = Future()
        future.set_result(self.encode(batch))
        return future

    def learn(self, sample: Iterator[np.ndarray]) -> None:
        """Learn from prepared pictures of the catalogue; only where `learns`."""
        raise NotImplementedError

    def state(self) -> dict[str, np.ndarray]:
        """What was learnt, by name; kept with the features."""
        return {}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:  # noqa: B027 - most have nothing to take back
        """Take back what `state` gave."""


class Handcrafted(Extractor):
    """An extractor without a network: all its work is its preparation, the processes share it.

    A subclass sets `name`, `Config` (a `Preparation` with its options as fields), `shape`, and a `method`.

    Attributes:
        method: one line for the provenance: what is computed, and its version.
        paper: where it comes from.
    """

    Config: ClassVar[type[Preparation]]
    method: str
    paper: str

    def __init__(self, **options: Any) -> None:
        self.preparation = self.Config(**options)

    def provenance(self) -> dict[str, Any]:
        return {
            "extractor": self.name,
            "source": "visrec",
            "weights": None,
            "weights_digest": self.state_digest(),
            "transform": None,
            "layer": self.method,
            "options": self.preparation.model_dump(mode="json"),
            "versions": versions("numpy", "pillow", "opencv-python-headless", "scikit-image"),
        }

    def state_digest(self) -> str | None:
        """Digest of what was learnt; None where nothing is."""
        learnt = self.state()
        return digest_of({name: array.tolist() for name, array in learnt.items()}) if learnt else None


def versions(*packages: str) -> dict[str, str]:
    """Installed versions by package name, without importing the packages."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def check_options(extractor: str, known: type[Config], options: Mapping[str, Any]) -> None:
    """Raise `ConfigError` for options that an extractor does not have, naming those it has."""
    unknown = [key for key in options if key not in known.model_fields]
    if unknown:
        has = ", ".join(known.model_fields) or "none"
        raise ConfigError(f"The extractor '{extractor}' has no option '{unknown[0]}'. Its options: {has}.")
