"""One published file on its way: resumed after any interruption, and checked before it gets its name."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visrec.data.downloads.waiting import LONGEST_WAIT, Clock, backoff, retry_after
from visrec.errors import DataError
from visrec.files import read_json, write_json
from visrec.progress import Progress

if TYPE_CHECKING:
    import httpx

    from visrec.data.downloads.remote_files import RemoteFile


_SPARE = 64 << 20  # bytes of a disk that are left free


@dataclass(frozen=True)
class PartialFile:
    """One file on its way: `.NAME.part` is what came so far, `.NAME.part.json` of which version that is."""

    file: RemoteFile
    folder: Path
    progress: Progress
    clock: Clock
    retries: int

    @property
    def n_missing(self) -> int:
        """Bytes that are still to come, as far as that is known."""
        return max(0, (self.file.size or 0) - _size(self._part))

    def complete(self, client: httpx.Client) -> None:
        """Fetch what is missing, check the whole, and give it its name."""
        if {key: self._known().get(key) for key in self._identity()} != self._identity():
            self._forget()  # a part of something else
        in_pieces = self._fetch(client)
        found = digest_of(self._part, self.file)
        if found != self.file.digest and in_pieces:
            # Pieces of two versions, or one that a crash has spoilt: once more, from nothing.
            self._forget()
            self._fetch(client)
            found = digest_of(self._part, self.file)
        if found != self.file.digest:
            self._forget()
            raise DataError(
                f"{self.file.address}: gave a file with the checksum {found}; expected {self.file.digest}. It was "
                f"changed by who publishes it, or on the way; nothing of it was kept. Try again later, or get it "
                f"by hand from who publishes it."
            )
        with self._part.open("rb+") as part:
            os.fsync(part.fileno())
        self._part.replace(self.folder / self.file.name)
        self._forget()

    def _fetch(self, client: httpx.Client) -> bool:
        """All bytes into the part; whether it took more than one request."""
        failed, generator = 0, random.Random()
        in_pieces, most = False, _size(self._part)
        while True:
            in_pieces = in_pieces or _size(self._part) > 0
            try:
                self._ask(client)
                return in_pieces
            except _Changed:
                self._forget()
                reason, wait = "the file changes while it is downloaded", 0.0
            except _Broken as broken:
                reason = str(broken)
                wait = backoff(failed, generator) if broken.wait is None else broken.wait
            size = _size(self._part)
            failed, most = (0, size) if size > most else (failed + 1, most)
            if failed > self.retries or wait > LONGEST_WAIT:
                raise DataError(
                    f"{self.file.address}: {reason}. {size:,} bytes of {self.file.name} are there; the same command "
                    f"goes on with them."
                )
            self.clock.sleep(wait)

    def _ask(self, client: httpx.Client) -> None:
        """One request, for what is missing."""
        import httpx

        start = _size(self._part)
        if start and start == self.file.size:
            return
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            validator = self._known().get("validator")
            if validator:
                headers["If-Range"] = validator
        try:
            with client.stream("GET", self.file.address, headers=headers) as response:
                self._receive(response, start)
        except httpx.TooManyRedirects:
            raise DataError(f"{self.file.address}: redirects without end. {self._by_hand()}") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise DataError(f"{self.file.address}: cannot be asked ({error}). {self._by_hand()}") from None
        except httpx.TimeoutException:
            raise _Broken("the host does not answer") from None
        except httpx.HTTPError as error:
            raise _Broken(f"the connection failed ({str(error) or type(error).__name__})") from None

    def _receive(self, response: httpx.Response, start: int) -> None:
        status = response.status_code
        if status in (408, 425, 429) or status >= 500:
            raise _Broken(f"HTTP {status}", retry_after(response.headers, self.clock.today()))
        if status == 416:
            if _range_of(response) == (None, start):
                return  # all of it is there
            raise _Changed
        if status not in (200, 206) or (status == 206 and not start):
            raise DataError(f"{self.file.address}: HTTP {status}. {self._by_hand()}")
        if status == 206:
            first, total = _range_of(response)
            if first != start:
                raise _Changed
        else:
            start, total = 0, _number(response.headers.get("content-length"))
        expected = self.file.size
        if expected is not None and total is not None and total != expected:
            self._forget()
            raise DataError(
                f"{self.file.address}: has {total:,} bytes; expected {expected:,}. It was changed by who publishes "
                f"it. {self._by_hand()}"
            )
        total = expected if total is None else total
        check_space(self.folder, (total or 0) - start)
        self._write(response, start, total)

    def _write(self, response: httpx.Response, start: int, total: int | None) -> None:
        with self._part.open("ab" if start else "wb") as part:
            write_json(self._state, self._identity() | {"validator": _validator(response)})
            done = start
            # As they come, so that a broken connection loses none; undecoded, since some hosts call a .gz file an
            # encoding of what is in it.
            for chunk in response.iter_raw():
                done += len(chunk)
                if total is not None and done > total:
                    raise _Changed
                part.write(chunk)
                self.progress(done, total or done, self.file.name)
        if total is not None and done < total:
            raise _Broken("the connection ended too early")

    def _known(self) -> dict[str, Any]:
        """What is known of the part: of which file, and of which version, it is."""
        try:
            state = read_json(self._state)
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def _identity(self) -> dict[str, str | None]:
        return {"address": self.file.address, "digest": self.file.digest}

    def _forget(self) -> None:
        self._part.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def _by_hand(self) -> str:
        return f"Get {self.file.name} by hand from who publishes it and put it into {self.folder}."

    @property
    def _part(self) -> Path:
        return self.folder / f".{self.file.name}.part"

    @property
    def _state(self) -> Path:
        return self._part.with_name(f"{self._part.name}.json")


def digest_of(path: Path, file: RemoteFile) -> str:
    """The checksum of what is at `path`, by the algorithm that the file's own is of."""
    algorithm = str(file.digest).partition(":")[0]
    with path.open("rb") as opened:
        return f"{algorithm}:{hashlib.file_digest(opened, algorithm).hexdigest()}"


def check_space(folder: Path, needed: int) -> None:
    """Refuse what does not fit on the disk."""
    free = shutil.disk_usage(folder).free
    if needed > 0 and free < needed + _SPARE:
        raise DataError(
            f"{folder}: {needed:,} bytes are to come and {free:,} are free on this disk. Free some, or take a "
            f"folder on another disk."
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _validator(response: httpx.Response) -> str | None:
    """What If-Range may hold: a strong ETag, else the time of the last change."""
    tag = response.headers.get("etag", "")
    if tag and not tag.startswith("W/"):
        return str(tag)
    changed = response.headers.get("last-modified")
    return str(changed) if changed else None


def _range_of(response: httpx.Response) -> tuple[int | None, int | None]:
    """First byte and size of the whole, from Content-Range; None where it does not say."""
    text = response.headers.get("content-range", "")
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", text.strip())
    return (_number(found[1]), _number(found[2])) if found else (None, None)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


class _Broken(Exception):  # noqa: N818 - an answer like others
    """The connection ended, or the host asks for patience: the same again may work."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _Changed(Exception):  # noqa: N818 - the same
    """What is there of the file is not what the host has now."""
