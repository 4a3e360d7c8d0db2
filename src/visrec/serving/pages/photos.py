"""Photos that visitors show to Try: looked at and forgotten, or kept where they ask for it."""

from __future__ import annotations

import base64
import io
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from visrec.errors import VisrecError
from visrec.serving.engine import Engine
from visrec.serving.once import once
from visrec.serving.problems import ProblemError
from visrec.serving.service import Service
from visrec.serving.taste import Taste

_REMEMBERED = 256  # vectors of kept pictures
_THUMBNAIL = 160  # pixels


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture that is no item.

    Attributes:
        name: what it is called in words: "your photo", "your photo 2".
        vector: `(F,)`, of the run's visual features.
        kept: the name of its file; empty where it is not kept.
        data: a small copy as a `data:` address, for pages without JavaScript; empty where it is not needed.
    """

    name: str
    vector: np.ndarray
    kept: str = ""
    data: str = ""

    @property
    def url(self) -> str:
        """Where it can be seen; empty where only the page that sent it has it."""
        return f"/v1/pictures/{self.kept}" if self.kept else self.data


def takes_photos(engine: Engine) -> bool:
    """Whether new pictures can be seen as the run's features see them: features from elsewhere do not say how."""
    return engine.extractor is not None and bool(engine.run.features.provenance.get("settings"))


def kept_photos(service: Service, engine: Engine, taste: Taste) -> tuple[Taste, list[Photo]]:
    """The kept photos of a taste, and the taste without those that are gone."""
    found: list[Photo] = []
    for name in taste.photos:
        try:
            vector = _vector(service, engine, name)
        except (ProblemError, VisrecError):  # forgotten, or nothing in it for these features
            continue
        found.append(Photo(_called(len(found)), vector, kept=name))
    return replace(taste, photos=tuple(one.kept for one in found)), found


def passing_photos(engine: Engine, pictures: Sequence[np.ndarray], *, first: int, shown: bool) -> list[Photo]:
    """Photos that are not kept.

    Args:
        engine: of the run.
        pictures: each `(H, W, 3)` uint8, as `Uploads` decodes them.
        first: how many kept ones come before them.
        shown: whether the page has to show them without JavaScript.

    Raises:
        VisrecError: the run has no features of pictures, or they find nothing in one.
    """
    if not pictures:
        return []
    images = [Image.fromarray(one) for one in pictures]
    vectors = engine.encode(images)
    return [
        Photo(_called(first + place), vector, data=_data(image) if shown else "")
        for place, (image, vector) in enumerate(zip(images, vectors, strict=True))
    ]


def _vector(service: Service, engine: Engine, name: str) -> np.ndarray:
    known = _vectors(engine)
    picture = service.kept.open(name)  # also where its vector is known: it may have been forgotten
    if name not in known:
        known[name] = engine.encode([Image.fromarray(picture)])[0]
        while len(known) > _REMEMBERED:
            known.popitem(last=False)
    return known[name]


@once
def _vectors(engine: Engine) -> OrderedDict[str, np.ndarray]:  # noqa: ARG001 - one dictionary an engine
    return OrderedDict()


def _called(place: int) -> str:
    return "your photo" if place == 0 else f"your photo {place + 1}"


def _data(image: Image.Image) -> str:
    small = image.copy()
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    small.save(file, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
