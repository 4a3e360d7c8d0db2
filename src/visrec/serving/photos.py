"""Photos that visitors show to Try: looked at and forgotten, or kept where they ask for it."""

from __future__ import annotations

import base64
import io
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from fastapi import Depends, Request
from PIL import Image

from visrec.errors import VisrecError
from visrec.serving.engine import Engine
from visrec.serving.kept import KeptPictures
from visrec.serving.problems import ProblemError
from visrec.serving.service import Service
from visrec.serving.taste import Taste
from visrec.serving.uploads import Uploads

FOLDER = "pictures"
"""Where a run keeps the pictures that visitors asked to be kept."""

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


class Photos:
    """What a service does with photos. One an app.

    Args:
        service: whose run folder has the kept ones, and whose settings say how much may come.
    """

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self.uploads = Uploads(settings)
        self.may_keep = settings.keep_uploads and not settings.read_only
        self._files = KeptPictures(service.engine.run.path / FOLDER, max_bytes=settings.max_kept_bytes)
        self._vectors: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()

    def keep(self, picture: np.ndarray) -> str:
        """Keep a picture `(H, W, 3)`; its name. `ProblemError` 507 where there is no room."""
        return self._files.keep(picture)

    def read(self, name: str) -> bytes:
        """The WebP file of a kept picture; `ProblemError` 404 where there is none."""
        return self._files.read(name)

    def forget(self, name: str) -> None:
        """Remove a kept picture; `ProblemError` 404 where there is none."""
        self._files.forget(name)
        for key in [key for key in self._vectors if key[1] == name]:
            self._vectors.pop(key, None)

    def kept(self, engine: Engine, taste: Taste) -> tuple[Taste, list[Photo]]:
        """The kept pictures of a taste, as the run's features see them, and the taste without those that are gone."""
        found: list[Photo] = []
        for name in taste.photos:
            try:
                vector = self._vector(engine, name)
            except (ProblemError, VisrecError):  # forgotten, or nothing in it for these features
                continue
            found.append(Photo(_called(len(found)), vector, kept=name))
        return replace(taste, photos=tuple(one.kept for one in found)), found

    def _vector(self, engine: Engine, name: str) -> np.ndarray:
        key = engine.digest, name
        if key not in self._vectors:
            self._vectors[key] = engine.encode([Image.fromarray(self._files.open(name))])[0]
            while len(self._vectors) > _REMEMBERED:
                self._vectors.popitem(last=False)
        return self._vectors[key]

    @staticmethod
    def passing(engine: Engine, pictures: tuple[np.ndarray, ...], *, first: int, shown: bool) -> list[Photo]:
        """Pictures `(H, W, 3)` that are not kept.

        Args:
            engine: of the run.
            pictures: as `Uploads` decodes them.
            first: how many kept ones come before them.
            shown: whether the page has to show them without JavaScript.
        """
        if not pictures:
            return []
        images = [Image.fromarray(one) for one in pictures]
        vectors = engine.encode(images)
        return [
            Photo(_called(first + place), vector, data=_data(image) if shown else "")
            for place, (image, vector) in enumerate(zip(images, vectors, strict=True))
        ]


def _called(place: int) -> str:
    return "your photo" if place == 0 else f"your photo {place + 1}"


def _data(image: Image.Image) -> str:
    small = image.copy()
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    small.save(file, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def _photos(request: Request) -> Photos:
    state = request.app.state
    if not hasattr(state, "photos"):  # the first request that asks: most services never see a photo
        state.photos = Photos(state.service)
    found: Photos = state.photos
    return found


CurrentPhotos = Annotated[Photos, Depends(_photos)]
