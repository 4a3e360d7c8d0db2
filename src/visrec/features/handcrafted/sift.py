"""SIFT: local details, wherever they are, counted in visual words learnt on the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from visrec.errors import FeaturesError
from visrec.features.extractor import Handcrafted, Preparation
from visrec.features.handcrafted.reducing import grey, reduced

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_DESCRIPTOR = 128
_WORDS = {"vlad": 32, "bow": 1024}
# A word whose residuals are shorter together has none: what is left is rounding, which must not be scaled up.
_NO_RESIDUAL = 1e-4


class Keypoints(Preparation):
    """Settings of `SIFT`, and the keypoints of a picture."""

    encoding: Literal["vlad", "bow"] = "vlad"
    """How a picture's descriptors become one vector: residuals of words, or a bag of words."""
    words: int | None = Field(default=None, ge=1, le=4096)
    """W, visual words to learn; None: 32 for vlad, 1024 for bow."""
    max_keypoints: int = Field(default=200, ge=1, le=10000)
    """K, keypoints of a picture at most: the strongest."""
    side: int = Field(default=256, ge=16, le=4096)
    """Pixels of the longer side of the reduced picture."""
    contrast: float = Field(default=0.03, ge=0, le=1)
    """Weakest response of a keypoint (Lowe's contrast threshold); lower: more keypoints in smooth pictures."""
    seed: int = Field(default=0, ge=0)
    """Seed of the sample of descriptors and of the first words."""

    @property
    def least_side(self) -> int:
        return 2 * self.side

    @property
    def n_words(self) -> int:
        """W."""
        return _WORDS[self.encoding] if self.words is None else self.words

    def __call__(self, image: Image.Image) -> np.ndarray:
        """`(1 + K, 128)` uint8: a row whose first two bytes are the count n (low, high), n descriptors, zeros."""
        import cv2
        import numpy as np

        sift = cv2.SIFT.create(nfeatures=self.max_keypoints, contrastThreshold=self.contrast)
        found, descriptors = sift.detectAndCompute(grey(reduced(image, self.side)), None)
        prepared = np.zeros((1 + self.max_keypoints, _DESCRIPTOR), dtype=np.uint8)
        if found:
            # Ties in strength are all found, in no promised order.
            keys = np.array([(p.angle, p.size, p.pt[0], p.pt[1], -p.response) for p in found])
            order = np.lexsort(keys.T)[: self.max_keypoints]
            prepared[0, :2] = divmod(len(order), 256)[::-1]
            prepared[1 : 1 + len(order)] = descriptors[order]
        return prepared


class SIFT(Handcrafted):
    """Local details, whatever their place, size and turn: SIFT descriptors, aggregated by visual words.

    - Keypoints and descriptors: Lowe, "Object recognition from local scale-invariant features", ICCV 1999;
      "Distinctive image features from scale-invariant keypoints", IJCV 60(2), 2004. On the grey picture, its
      longer side reduced to `side`; of the `max_keypoints` strongest.
    - RootSIFT: x = sqrt(d / |d|_1) for each descriptor d (Arandjelovic & Zisserman, "Three things everyone
      should know to improve object retrieval", CVPR 2012). |x| = 1.
    - Words c_1 … c_W: centres of k-means of the catalogue's descriptors (Sivic & Zisserman, "Video Google: a
      text retrieval approach to object matching in videos", ICCV 2003). Each x belongs to the nearest.

    `encoding="vlad"`, F = 128 W (4096 by default), each number in -1 … 1: v_w = Σ (x - c_w) over the x of word w
    (Jégou, Douze, Schmid & Pérez, "Aggregating local descriptors into a compact image representation", CVPR
    2010), then sign(v) sqrt|v| of each number, each v_w to length 1 (Arandjelovic & Zisserman, "All about VLAD",
    CVPR 2013), and the whole to length 1.

    `encoding="bow"`, F = W (1024 by default), 0 … 1: square roots of the share of descriptors of each word. There
    is no inverse document frequency: it is one factor a column, and standardizing columns undoes it.

    Where the catalogue has fewer than 8 distinct descriptors a word, fewer words are learnt; the shape stays,
    the columns of the others are 0. A picture without keypoints (plain, or a few pixels) is all 0, no failure.
    """

    name = "sift"
    paper = "Lowe 2004; Jégou et al. 2010"
    Config = Keypoints
    preparation: Keypoints
    learns: ClassVar[bool] = True
    method = "longer side at most `side` (area), grey, SIFT of OpenCV, RootSIFT, k-means words v1"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        n_words = self.preparation.n_words
        self.shape = (n_words * _DESCRIPTOR if self.preparation.encoding == "vlad" else n_words,)
        self._words: np.ndarray | None = None

    def learn(self, sample: Iterator[np.ndarray]) -> None:
        """Learn the words from prepared pictures of the catalogue.

        A seeded sample of their descriptors is kept (at most 6 MB at any size of the catalogue). The same
        pictures in the same order give the same words, bit for bit, on one machine.

        Raises:
            FeaturesError: no picture has a keypoint.
        """
        import numpy as np

        from visrec.features.handcrafted.words import cluster, subsample

        rng = np.random.default_rng(self.preparation.seed)
        descriptors = subsample((one[1 : 1 + _count(one)] for one in sample), rng)
        if len(descriptors) == 0:
            raise FeaturesError(
                "No picture that 'sift' looked at has a keypoint (are they plain, or tiny?); expected details to "
                f"learn visual words from. Lower its option contrast (it is {self.preparation.contrast}), or "
                "choose another extractor, such as 'color'."
            )
        self._words = cluster(_root(descriptors), self.preparation.n_words, rng)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """Prepared pictures `(B, 1 + K, 128)` to vectors `(B, F)` float32.

        Raises:
            FeaturesError: there are no words yet.
        """
        import numpy as np

        words = self._words
        if words is None:
            raise FeaturesError(
                "The extractor 'sift' has no visual words yet; call `learn` with prepared pictures of the catalogue, "
                "or `restore` with the state of one that has learnt."
            )
        values = np.zeros((len(batch), self.dim), dtype=np.float32)
        # One by one, padded: a matrix product of another size may differ in the last bit.
        for one, row in zip(batch, values, strict=True):
            encoded = self._encode(one, words)
            row[: len(encoded)] = encoded
        return values

    def state(self) -> dict[str, np.ndarray]:
        """`words (V, 128)` float32, V at most W; empty before `learn`."""
        return {} if self._words is None else {"words": self._words}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave.

        Raises:
            FeaturesError: it is not of an extractor with as many words.
        """
        import numpy as np

        if not state:
            self._words = None
            return
        words, most = state.get("words"), self.preparation.n_words
        if words is None or words.ndim != 2 or words.shape[1] != _DESCRIPTOR or not 1 <= len(words) <= most:
            found = f"arrays {', '.join(state)}" if words is None else f"words of shape {words.shape}"
            raise FeaturesError(
                f"The learnt state of 'sift' has {found}; expected words of shape (V, {_DESCRIPTOR}), V in 1 to "
                f"{most}. Was it learnt with another option words or encoding? Extract the features again."
            )
        self._words = np.ascontiguousarray(words, dtype=np.float32)

    def _encode(self, prepared: np.ndarray, words: np.ndarray) -> np.ndarray:
        """One prepared picture to the columns of the V learnt words."""
        import numpy as np

        n, x = _count(prepared), _root(prepared[1:])  # (K, 128)
        nearest = np.argmin((words**2).sum(axis=1) / 2 - x @ words.T, axis=1)  # (K,)
        member = np.zeros((len(x), len(words)), dtype=np.float32)  # (K, V)
        member[np.arange(n), nearest[:n]] = 1
        if self.preparation.encoding == "bow":
            return np.sqrt(member.sum(axis=0) / max(n, 1))
        v = member.T @ (x - words[nearest])  # (V, 128)
        v[np.linalg.norm(v, axis=1) < _NO_RESIDUAL] = 0
        return _unit(_unit(np.sign(v) * np.sqrt(np.abs(v))).reshape(-1))


def _count(prepared: np.ndarray) -> int:
    """n, descriptors of a prepared picture."""
    return int(prepared[0, 0]) + 256 * int(prepared[0, 1])


def _root(descriptors: np.ndarray) -> np.ndarray:
    """RootSIFT `(n, 128)` float32 of uint8 descriptors; zeros stay zeros."""
    import numpy as np

    numbers = descriptors.astype(np.float32)
    return np.sqrt(numbers / np.maximum(numbers.sum(axis=1, keepdims=True), 1))


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (the last axis) to length 1; zeros stay zeros."""
    import numpy as np

    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
