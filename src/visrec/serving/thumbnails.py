"""Small pictures of the catalogue: made once, kept in the run folder, and cached by browsers until they change.

    /pictures/320/i42?v=5f0c6c1a9be2d7f0

No part of an address becomes part of a path: the id is looked up in the catalogue, the size in a list, and the file
is named by a digest of that and of the picture's place, date and bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from visrec.data.catalog import Catalog
from visrec.data.images import decode
from visrec.errors import ImageError
from visrec.evaluation.thumbnails import QUALITY
from visrec.files import replacing
from visrec.serving.problems import ProblemError

FOLDER = "thumbnails"
"""Of the run folder."""

_LOG = logging.getLogger("visrec.serving")
_KEPT = "private, max-age=31536000, immutable"
_PLACEHOLDER = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 300" width="400" height="300">'
    '<rect width="400" height="300" fill="#8a8a8a" fill-opacity=".15"/>'
    '<g fill="none" stroke="#8a8a8a" stroke-width="8" stroke-linejoin="round">'
    '<rect x="130" y="90" width="140" height="120" rx="8"/><path d="M138 194l38-46 30 34 18-20 38 40"/></g>'
    '<circle cx="232" cy="124" r="12" fill="#8a8a8a"/></svg>'
)


class Thumbnails:
    """The thumbnails of one catalogue.

    Args:
        catalog: the items.
        folder: where they are kept; if it cannot be written, they are made each time.
        sizes: pixels of the longer side, ascending. Pictures are never enlarged.
        n_threads: how many are made at once.
        waiting: how many may wait to be made.
    """

    def __init__(
        self, catalog: Catalog, folder: Path, *, sizes: Sequence[int], n_threads: int = 2, waiting: int = 1000
    ) -> None:
        self.catalog, self.sizes = catalog, tuple(sizes)
        self._folder = folder
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="visrec-thumbnails")
        self._lock = threading.Lock()
        self._being_made: dict[Path, Future[bytes | None]] = {}
        self._waiting = waiting
        self._warned = False

    def version(self, index: int) -> str:
        """Changes when an item's image file does (its place, date or size); "none" where it has none."""
        return version_of(self.catalog.paths[index])

    async def response(self, request: Request, index: int, size: int) -> Response:
        """The answer to GET or HEAD: the picture, 304, or a placeholder.

        Raises:
            ProblemError: 404, there is no such size; 503, too many wait to be made.
        """
        if size not in self.sizes:
            known = ", ".join(map(str, self.sizes))
            raise ProblemError(404, f"There are no thumbnails of {size} pixels, only of {known}.")
        version = self.version(index)
        tag = f'"{version}-{size}"'
        asked_for = request.query_params.get("v") == version
        headers = {"ETag": tag, "Cache-Control": _KEPT if asked_for else "private, no-cache"}
        if version != "none":
            if _has(request, tag):
                return Response(status_code=304, headers=headers)
            data = await self.bytes_of(index, size)
            if data is not None:
                return Response(data, media_type="image/webp", headers=headers)
        return Response(
            _PLACEHOLDER, media_type="image/svg+xml", headers={"Cache-Control": "private, no-cache"}
        )

    async def bytes_of(self, index: int, size: int) -> bytes | None:
        """The WebP of an item, made if need be; None where its picture cannot be read."""
        path = self._path(self.version(index), size)
        with suppress(OSError):  # not there yet, or not to be read: it is made
            return await asyncio.to_thread(path.read_bytes)
        with self._lock:
            future = self._being_made.get(path)
            if future is None:
                if len(self._being_made) >= self._waiting:
                    headers = {"Retry-After": "2"}
                    raise ProblemError(503, "Too many pictures are being made. Try again.", headers=headers)
                future = self._pool.submit(self._make, index, size)
                self._being_made[path] = future
                future.add_done_callback(lambda _: self._being_made.pop(path, None))
        # Others may wait for it too: that this one goes away must not end it.
        return await asyncio.shield(asyncio.wrap_future(future))

    def close(self) -> None:
        """Make no more."""
        self._pool.shutdown(cancel_futures=True)

    def _path(self, version: str, size: int) -> Path:
        name = hashlib.sha256(f"{version}|{size}|{QUALITY}".encode()).hexdigest()
        return self._folder / name[:2] / f"{name}.webp"

    def _make(self, index: int, size: int) -> bytes | None:
        """The WebP of an item in a size, and its file."""
        version, path = self.version(index), self.catalog.paths[index]
        assert path is not None
        try:
            image = decode(path, least_side=size)
        except ImageError as error:
            _LOG.warning("No thumbnail of an item: %s", error)
            return None
        image.thumbnail((size, size))
        file = BytesIO()
        image.save(file, "WEBP", quality=QUALITY)  # without the metadata of the original
        self._keep(self._path(version, size), file.getvalue())
        return file.getvalue()

    def _keep(self, path: Path, data: bytes) -> None:
        try:
            with replacing(path) as temporary:
                temporary.write_bytes(data)
        except OSError as error:
            if not self._warned:
                _LOG.warning(
                    "%s: thumbnails cannot be kept there (%s); each is made anew.",
                    self._folder,
                    error.strerror,
                )
            self._warned = True


def version_of(path: Path | None) -> str:
    """Changes when an image file does; "none" where there is none."""
    if path is None:
        return "none"
    try:
        found = path.stat()
    except OSError:
        return "none"
    text = f"{path}|{found.st_mtime_ns}|{found.st_size}"
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def thumbnail_url(item: str | int, size: int) -> str:
    """Where the thumbnail of an item is; with `?v=` and its version, browsers keep it."""
    return f"/pictures/{size}/{quote(str(item), safe='')}"


def thumbnail_routes(found: Callable[[], Thumbnails]) -> APIRouter:
    """/pictures/{size}/{item}. `found` gives those of the run that is served now."""
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/pictures/{size}/{item:path}", methods=["GET", "HEAD"])
    async def thumbnail(request: Request, size: int, item: str) -> Response:
        thumbnails = found()
        return await thumbnails.response(request, thumbnails.catalog.items.index(item), size)

    return routes


def _has(request: Request, tag: str) -> bool:
    """Whether the client has it already (If-None-Match)."""
    given = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    return tag in given or "*" in given
