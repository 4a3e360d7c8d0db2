"""Uploaded pictures that their owner asked to be kept: re-encoded, under names that their content gives them."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from pathlib import Path

import numpy as np

from visrec.files import replacing
from visrec.serving.problems import ProblemError
from visrec.serving.settings import ServiceSettings

_NAME = re.compile(r"[0-9a-f]{64}")
_QUALITY = 90


class KeptPictures:
    """A folder of WebP files, each named by the SHA-256 of its bytes.

    They are made anew from the pixels: where and when a photo was taken, and with what, is not kept.

    Args:
        folder: made with the first picture.
        settings: `max_kept_bytes` is what all may take together; `read_only` lets none be added or removed.
    """

    def __init__(self, folder: Path, settings: ServiceSettings) -> None:
        self._folder = folder
        self._max_bytes, self._read_only = settings.max_kept_bytes, settings.read_only
        self._lock = threading.Lock()
        self._bytes = sum(file.stat().st_size for file in folder.glob("*.webp"))

    @property
    def takes(self) -> bool:
        """Whether pictures may be kept at all; a page need not offer it if not."""
        return self._max_bytes > 0 and not self._read_only

    def keep(self, picture: np.ndarray) -> str:
        """Keep a picture `(H, W, 3)` uint8; its name. The same picture is kept once.

        Raises:
            ProblemError: 403, none are kept; 507, there is no room left.
        """
        from PIL import Image

        self._check()
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "WEBP", quality=_QUALITY)
        data = file.getvalue()
        name = hashlib.sha256(data).hexdigest()
        path = self._path(name)
        with self._lock:
            if not path.exists():
                if self._bytes + len(data) > self._max_bytes:
                    raise ProblemError(
                        507, "There is no room for further pictures; this one is not kept.", kind="full"
                    )
                with replacing(path) as temporary:
                    temporary.write_bytes(data)
                self._bytes += len(data)
        return name

    def open(self, name: str) -> np.ndarray:
        """The picture `(H, W, 3)` uint8 of a name.

        Raises:
            ProblemError: 404, there is none.
        """
        from visrec.data.images import decode_bytes

        return np.asarray(decode_bytes(self.read(name), name=name))

    def read(self, name: str) -> bytes:
        """The WebP file of a name; `ProblemError` 404 if there is none."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            raise _unknown() from None

    def forget(self, name: str) -> None:
        """Remove a picture; `ProblemError` 403 where nothing may change, 404 if there is none."""
        self._check()
        path = self._path(name)
        with self._lock:
            try:
                size = path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                raise _unknown() from None
            self._bytes -= size

    def _check(self) -> None:
        if not self.takes:
            raise ProblemError(403, "This service keeps no pictures.", kind="read-only")

    def _path(self, name: str) -> Path:
        # A name comes from a request: nothing but what `keep` gives out may become a part of a path.
        if _NAME.fullmatch(name) is None:
            raise _unknown()
        return self._folder / f"{name}.webp"


def _unknown() -> ProblemError:
    return ProblemError(404, "There is no kept picture of this name.", kind="unknown-id")
