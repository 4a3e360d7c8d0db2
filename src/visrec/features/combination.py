"""Several extractors as one: `resnet50+color` is both vectors, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from visrec.config import digest_of
from visrec.errors import ConfigError
from visrec.features.extractor import Extractor, Pending, Preparation

if TYPE_CHECKING:
    from PIL import Image


class Preparations(Preparation):
    """A picture prepared for each part, all of it as bytes one after the other."""

    parts: tuple[dict[str, Any], ...]
    """As `visrec.features.worker.target_of` describes them."""

    @cached_property
    def _made(self) -> list[Preparation]:
        from visrec.features.worker import made_from

        return [made_from(part) for part in self.parts]

    @property
    def least_side(self) -> int | None:
        sides = [part.least_side for part in self._made]
        return None if None in sides else max(side for side in sides if side is not None)

    def __call__(self, image: Image.Image) -> np.ndarray:
        """All parts' arrays as one `(n,)` uint8."""
        return np.concatenate(
            [np.ascontiguousarray(part(image)).reshape(-1).view(np.uint8) for part in self._made]
        )


class Combination(Extractor):
    """The vectors of several extractors, concatenated in the order given: `(F_1 + F_2 + …,)`.

    Each picture is decoded once. The parts come in their own scales; standardised (the default) each column counts
    alike, so that a part with more columns weighs more.
    """

    def __init__(self, parts: Sequence[Extractor]) -> None:
        """Raises `ConfigError` where a part gives regions, or two parts have one name.

        Regions cannot be put beside a vector; and by its name the provenance tells a part from the others.
        """
        from PIL import Image

        from visrec.features.worker import target_of

        names = [part.name for part in parts]
        for part in parts:
            if names.count(part.name) > 1:
                raise ConfigError(
                    f"Two of the extractors to combine are called {part.name!r}; expected a name of its own for "
                    f"each. Leave one out or, where they are files, rename one."
                )
            if len(part.shape) != 1:
                what = f"{part.shape[0]} regions" if part.dtype is None else "pixels"
                raise ConfigError(
                    f"{part.name} gives {what} a picture; only vectors can be combined. "
                    f"Choose --pool mean, max, gem or cls."
                )
        self.parts = list(parts)
        self.name = "+".join(names)
        self.shape = (sum(part.dim for part in parts),)
        self.batch_size = max(part.batch_size for part in parts)
        self.preparation = Preparations(parts=tuple(target_of(part.preparation) for part in parts))
        # What each part's share of the bytes is: the same for all pictures.
        blank = Image.new("RGB", (64, 64))
        self._like = [part.preparation(blank) for part in parts]

    @property
    def learns(self) -> bool:  # type: ignore[override]
        """Whether any part does."""
        return any(part.learns for part in self.parts)

    def provenance(self) -> dict[str, Any]:
        """What makes the vectors (JSON-able): of each part, and put together."""
        abouts = [part.provenance() for part in self.parts]
        digests = {one["extractor"]: one["weights_digest"] for one in abouts if one["weights_digest"]}
        return {
            "extractor": self.name,
            "source": "visrec",
            "weights": {one["extractor"]: one["weights"] for one in abouts if one["weights"]} or None,
            "weights_digest": digest_of(digests) if digests else None,
            "transform": {one["extractor"]: one["transform"] for one in abouts},
            "layer": {one["extractor"]: one["layer"] for one in abouts},
            "options": {one["extractor"]: one["options"] for one in abouts},
            "precision": {one["extractor"]: one["precision"] for one in abouts if one.get("precision")}
            or None,
            "dim": self.dim,
            "dims": [part.dim for part in self.parts],
            "versions": {name: v for one in abouts for name, v in one["versions"].items()},
        }

    def submit(self, batch: np.ndarray) -> Pending:
        """`(B, n)` uint8 to vectors `(B, F)`; the parts work at the same time."""
        shares = zip(self.parts, self._shares(batch), strict=True)
        return _Beside([part.submit(share) for part, share in shares])

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """`submit`, and wait for it."""
        return self.submit(batch).result()

    def _shares(self, batch: np.ndarray) -> Iterator[np.ndarray]:
        start = 0
        for like in self._like:
            stop = start + like.nbytes
            share = np.ascontiguousarray(batch[:, start:stop])
            yield share.view(like.dtype).reshape(len(batch), *like.shape)
            start = stop

    def learn(self, sample: Iterator[np.ndarray]) -> None:
        """Have the parts learn that do; of the sample only their shares are held, not those of the networks."""
        kept: list[list[np.ndarray]] = [[] for _ in self.parts]
        for picture in sample:
            for part, share, own in zip(self.parts, self._shares(picture[None]), kept, strict=True):
                if part.learns:
                    own.append(share[0].copy())
        for part, own in zip(self.parts, kept, strict=True):
            if part.learns:
                part.learn(iter(own))

    def state(self) -> dict[str, np.ndarray]:
        return {
            f"{index}/{name}": array
            for index, part in enumerate(self.parts)
            for name, array in part.state().items()
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        for index, part in enumerate(self.parts):
            own = {
                name.partition("/")[2]: array for name, array in state.items() if name.startswith(f"{index}/")
            }
            if own:
                part.restore(own)


class _Beside:
    """The answers of all parts to one batch, side by side."""

    def __init__(self, parts: Sequence[Pending]) -> None:
        self._answers = parts

    def result(self) -> np.ndarray:
        return np.concatenate([part.result() for part in self._answers], axis=1, dtype=np.float32)

    def cancel(self) -> None:
        for part in self._answers:
            part.cancel()
