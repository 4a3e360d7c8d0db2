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

_NAME = re.compile(r"[0-9a-f]{64}")
_QUALITY = 90


class KeptPictures:
    """A folder of WebP files, each named by the SHA-256 of its bytes.

    They are made anew from the pixels: where and when a photo was taken, and with what, is not kept.

    Args:
        folder: made with the first picture.
        max_bytes: of all together.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._lock = threading.Lock()
        self._bytes = sum(file.stat().st_size for file in folder.glob("*.webp"))

    def keep(self, picture: np.ndarray) -> str:
        """Keep a picture `(H, W, 3)` uint8; its name. The same picture is kept once.

        Raises:
            ProblemError: 507, there is no room left.
        """
        from PIL import Image

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
        """Remove a picture; `ProblemError` 404 if there is none."""
        path = self._path(name)
        with self._lock:
            try:
                size = path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                raise _unknown() from None
            self._bytes -= size

    def _path(self, name: str) -> Path:
        # A name comes from a request: nothing but what `keep` gives out may become a part of a path.
        if _NAME.fullmatch(name) is None:
            raise _unknown()
        return self._folder / f"{name}.webp"


def _unknown() -> ProblemError:
    return ProblemError(404, "There is no kept picture of this name.", kind="unknown-id")
