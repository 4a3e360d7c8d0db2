"""Pictures that come with a request: few, small, told by their content, and gone afterwards unless asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from visrec.serving.decoder import NAME
from visrec.serving.decoding import Decoders, busy
from visrec.serving.problems import ProblemError
from visrec.serving.settings import ServiceSettings

_MOST_FIELDS = 64
_FIELD_BYTES = 1 << 16


@dataclass(frozen=True, eq=False)
class Form:
    """What a form sends.

    Attributes:
        fields: the values of each field that is no picture, in their order.
        pictures: each `(H, W, 3)` uint8: RGB, upright, the longer side at most `upload_side`.
    """

    fields: Mapping[str, tuple[str, ...]]
    pictures: tuple[np.ndarray, ...]

    def one(self, name: str, default: str = "") -> str:
        """The last value of a field."""
        return self.fields.get(name, (default,))[-1]


class Uploads:
    """Reads forms with pictures.

    The names that clients give to files are never looked at. What does not fit into a megabyte of memory waits in a
    file without a name, which ends with the request.

    Args:
        settings: of the service.
        refused: told the reason of each refusal.
    """

    def __init__(self, settings: ServiceSettings, *, refused: Callable[[str], None] = lambda _: None) -> None:
        self._settings, self._refused = settings, refused
        self._decoders = Decoders(settings)
        self._receiving = 0
        self._most = settings.decoding_workers + settings.decoding_waiting

    async def read(self, request: Request) -> Form:
        """The form of a request, its pictures decoded.

        Raises:
            ProblemError: 400 no form, 413 too many or too large, 415 another type (of the request or of a picture),
                422 damaged, 503 too many at once.
        """
        try:
            return await self._read(request)
        except ProblemError as error:
            self._refused(error.problem.kind)
            raise

    def close(self) -> None:
        """End the processes that decode."""
        self._decoders.close()

    async def _read(self, request: Request) -> Form:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "multipart/form-data":
            detail = f"The request is of type {kind or '(none)'!r}; expected 'multipart/form-data'."
            raise ProblemError(415, detail[:200], kind="not-a-form")
        if self._receiving >= self._most:  # each holds some memory while it comes in
            raise busy()
        self._receiving += 1
        try:
            return await self._decoded(request)
        finally:
            self._receiving -= 1

    async def _decoded(self, request: Request) -> Form:
        most = self._settings.max_uploads
        # One more than is allowed, to tell this fault from others.
        parser = _Parser(
            request.headers,
            request.stream(),
            max_files=most + 1,
            max_fields=_MOST_FIELDS,
            max_part_size=_FIELD_BYTES,
        )
        try:
            form = await parser.whole()
        except MultiPartException as error:
            if "Too many files" in error.message:
                raise _too_many(most) from None
            raise ProblemError(400, f"The form cannot be read: {error.message}", kind="bad-form") from None
        try:
            fields: dict[str, tuple[str, ...]] = {}
            files: list[UploadFile] = []
            for name, value in form.multi_items():
                if isinstance(value, str):
                    fields[name] = (*fields.get(name, ()), value)
                elif value.filename or value.size:  # a browser sends an empty one where no file was chosen
                    files.append(value)
            if len(files) > most:
                raise _too_many(most)
            names = [NAME if len(files) == 1 else f"Picture {n}" for n in range(1, len(files) + 1)]
            pictures = [await self._picture(file, name) for file, name in zip(files, names, strict=True)]
        finally:
            await form.close()
        return Form(fields, tuple(pictures))

    async def _picture(self, file: UploadFile, name: str) -> np.ndarray:
        limit = self._settings.max_upload_bytes
        if (file.size or 0) > limit:
            detail = f"{name}: has {file.size:,} bytes; at most {limit:,} are taken. Save a smaller copy."
            raise ProblemError(413, detail, kind="too-large")
        try:
            return await self._decoders.decode(await file.read())
        except ProblemError as error:
            found = error.problem
            detail = found.detail.replace(NAME, name, 1)
            raise ProblemError(found.status, detail, kind=found.kind, headers=found.headers) from None


class _Parser(MultiPartParser):
    """Starlette's, which takes a form for whole whose end is missing."""

    _ended = False

    def on_end(self) -> None:
        """What comes with the last boundary."""
        self._ended = True

    async def whole(self) -> FormData:
        """The form; `MultiPartException` where it breaks off."""
        form = await self.parse()
        if not self._ended:
            for file in self._files_to_close_on_error:  # the last one is not in the form
                file.close()
            raise MultiPartException("It ends early.")
        return form


def _too_many(most: int) -> ProblemError:
    return ProblemError(413, f"The form has more than {most} pictures, which is the limit.", kind="too-many")
