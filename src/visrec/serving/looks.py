"""What a run's visual features tell: which items are alike, and what a picture that is no item is like."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from visrec.errors import UnsupportedError
from visrec.features.encoding import encode_with, extractor_of, finish
from visrec.neighbours import similar_items
from visrec.retrieval.index import Index
from visrec.serving.decoding import busy

if TYPE_CHECKING:
    from PIL import Image

    from visrec.features.extractor import Extractor
    from visrec.features.features import Features

_MOST_WAITING = 16  # requests with pictures: of the 40 threads that answer, most stay free


class Looks:
    """Of one run's features. Safe in threads."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self._encoding = threading.Lock()
        self._places = threading.BoundedSemaphore(_MOST_WAITING)

    @property
    def extractor(self) -> str:
        """The name of the extractor."""
        return str(self.features.provenance["extractor"])

    def warm(self) -> None:
        """Make what the first search would wait for."""
        _ = self._index

    def vectors(self, items: np.ndarray) -> np.ndarray:
        """Of some items, `(n, F)` float32."""
        return np.asarray(self.features.values[items], dtype=np.float32)

    def encode(self, pictures: list[Image.Image]) -> np.ndarray:
        """Vectors `(n, F)` of upright RGB pictures, as those of the items.

        Raises:
            FeaturesError: the features do not say how new pictures are treated.
            UnsupportedError: the extractor finds nothing in a picture.
            ProblemError: 503, too many wait already.
        """
        if not self._places.acquire(blocking=False):  # who waits here keeps a thread from everybody else
            raise busy()
        try:
            with self._encoding:  # one at a time: it computes in threads of its own
                raw = encode_with(self._made, pictures).astype(self.features.values.dtype)
        finally:
            self._places.release()
        vectors = finish(self.features, raw)
        blank = ~(raw.reshape(len(raw), -1).any(axis=1) & vectors.reshape(len(raw), -1).any(axis=1))
        if blank.any():
            raise UnsupportedError(
                f"{self.extractor} finds nothing in picture {int(np.argmax(blank)) + 1} to compare it by."
            )
        return vectors

    def similar(self, item: int, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k items most like one, itself left out: indices `(n,)`, and cosines.

        Raises:
            UnsupportedError: it has no features.
        """
        if self.features.missing[item]:
            similar_items(self.features, self.features.items.take(np.array([item])).to_list())  # says why
        return self._search(self._index.vectors[item], k, leaving=np.array([item]))

    def nearest(self, vector: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k items most like a picture, a vector `(F,)` of `encode`: indices `(n,)`, and cosines."""
        return self._search(vector, k, leaving=np.empty(0, dtype=np.int64))

    def _search(self, vector: np.ndarray, k: int, *, leaving: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        allowed = ~self.features.missing
        found, values = self._index.search(vector[None], k, exclude=[leaving], allowed=allowed)
        real = found[0] >= 0
        return found[0][real], values[0][real]

    @cached_property
    def _index(self) -> Index:
        """All items' vectors at length 1, made once; every one is looked at."""
        return Index.build(np.asarray(self.features.values, dtype=np.float32), "cosine", kind="exact")

    @cached_property
    def _made(self) -> Extractor:
        return extractor_of(self.features)
