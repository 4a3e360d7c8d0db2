"""Published files: downloaded in pieces that add up, and kept only if their checksum is right."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visrec.data.downloads.waiting import Clock, backoff, retry_after
from visrec.errors import DataError
from visrec.files import exclusive, read_json, write_json

if TYPE_CHECKING:
    import httpx

Progress = Callable[[int, int, str], None]

_ALGORITHMS = {"sha512": 128, "sha256": 64, "sha1": 40, "md5": 32}  # hex digits
_CHUNK = 1 << 20
_LONGEST_WAIT = 600.0  # seconds: a host that asks for more gets a visit another day
_SPARE = 64 << 20  # bytes of a disk that are left free


@dataclass(frozen=True)
class RemoteFile:
    """A file that somebody published.

    Attributes:
        name: what it is called in the folder.
        address: where it is, http or https.
        size: in bytes; None where it is not known.
        digest: its checksum, such as "sha256:9f86…" or "md5:900150…"; None where nobody published one.
    """

    name: str
    address: str
    size: int | None
    digest: str | None


def download(
    files: Sequence[RemoteFile],
    folder: str | Path,
    *,
    retries: int = 5,
    timeout: float = 60.0,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> list[Path]:
    """Download files into a folder; each appears under its name when it is whole and its checksum is right.

    What an interrupted download left (`.NAME.part`) is gone on with, where the host still has the same file
    (If-Range, RFC 9110, 13.1.5). A file that is there already, with the right checksum, is not asked for.

    Args:
        files: what to download.
        folder: where to; made if it is not there.
        retries: how often a broken connection is taken up again without a byte gained.
        timeout: seconds without a byte, after which a connection counts as broken.
        progress: told how many bytes of the file are there, of how many, and its name.
        clock: waits; for tests.

    Returns:
        the paths, in the order of `files`.

    Raises:
        DataError: a file has no checksum, is there with another content, is not to be had, or what came has another
            checksum; or the disk is too small.
    """
    folder = Path(folder)
    for file in files:
        _check(file, folder)
    folder.mkdir(parents=True, exist_ok=True)
    left = [file for file in files if not _is_there(file, folder / file.name)]
    _check_space(folder, sum(max(0, (file.size or 0) - _size(_part(folder, file))) for file in left))
    for file in left:
        try:
            with exclusive(folder / file.name), _client(timeout) as client:
                _Download(file, folder, client, progress or _silent, clock or Clock(), retries).run()
        except BlockingIOError:
            raise DataError(
                f"{folder / file.name}: another process downloads it. Wait until it is done, or end it."
            ) from None
        except OSError as error:
            raise DataError(f"{folder / file.name}: cannot be written ({error.strerror}).") from None
    return [folder / file.name for file in files]


class _Broken(Exception):  # noqa: N818 - an answer like others
    """The connection ended, or the host asks for patience: the same again may work."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _Changed(Exception):  # noqa: N818 - the same
    """What is there of the file is not what the host has now."""


@dataclass(frozen=True)
class _Download:
    """One file on its way: `.NAME.part` is what came so far, `.NAME.part.json` of which version that is."""

    file: RemoteFile
    folder: Path
    client: httpx.Client
    progress: Progress
    clock: Clock
    retries: int

    def run(self) -> None:
        """Fetch the file, check it, and give it its name."""
        if {key: self._known().get(key) for key in self._identity()} != self._identity():
            self._forget()  # a part of something else
        in_pieces = self._fetch()
        found = _digest_of(self._part, self.file)
        if found != self.file.digest and in_pieces:
            # Pieces of two versions, or one that a crash has spoilt: once more, from nothing.
            self._forget()
            self._fetch()
            found = _digest_of(self._part, self.file)
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

    def _fetch(self) -> bool:
        """All bytes into the part; whether it took more than one request."""
        failed, generator = 0, random.Random()
        in_pieces, most = False, _size(self._part)
        while True:
            in_pieces = in_pieces or _size(self._part) > 0
            try:
                self._ask()
                return in_pieces
            except _Changed:
                self._forget()
                reason, wait = "the file changes while it is downloaded", 0.0
            except _Broken as broken:
                reason = str(broken)
                wait = backoff(failed, generator) if broken.wait is None else broken.wait
            size = _size(self._part)
            failed, most = (0, size) if size > most else (failed + 1, most)
            if failed > self.retries or wait > _LONGEST_WAIT:
                raise DataError(
                    f"{self.file.address}: {reason}. {size:,} bytes of {self.file.name} are there; the same command "
                    f"goes on with them."
                )
            self.clock.sleep(wait)

    def _ask(self) -> None:
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
            with self.client.stream("GET", self.file.address, headers=headers) as response:
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
        _check_space(self.folder, (total or 0) - start)
        self._write(response, start, total)

    def _write(self, response: httpx.Response, start: int, total: int | None) -> None:
        with self._part.open("ab" if start else "wb") as part:
            write_json(self._state, self._identity() | {"validator": _validator(response)})
            done = start
            # As they are sent: some hosts call a .gz file an encoding of what is in it.
            for chunk in response.iter_raw(_CHUNK):
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
        return _part(self.folder, self.file)

    @property
    def _state(self) -> Path:
        return self._part.with_name(f"{self._part.name}.json")


def _silent(done: int, total: int, name: str) -> None:
    pass


def _check(file: RemoteFile, folder: Path) -> None:
    if file.digest is None:
        raise DataError(
            f"{file.name}: nobody published a checksum for it, so visrec does not download it: what came could not "
            f"be told from something else. Get it from {file.address} and put it into {folder}."
        )
    algorithm, _, digits = file.digest.partition(":")
    if not re.fullmatch(rf"[0-9a-f]{{{_ALGORITHMS.get(algorithm, 0)}}}", digits) or not digits:
        raise DataError(
            f"{file.name}: its checksum is {file.digest!r}; expected one of {', '.join(_ALGORITHMS)}, a colon, and "
            f"hexadecimal digits in small letters."
        )
    if not file.name or file.name != Path(file.name).name or file.name.startswith("."):
        raise DataError(f"{file.name!r} cannot be the name of a file in {folder}.")
    if not file.address.startswith(("https://", "http://")):
        raise DataError(f"{file.name}: {file.address!r} is no http or https address.")


def _is_there(file: RemoteFile, path: Path) -> bool:
    if not path.exists():
        return False
    found = _digest_of(path, file)
    if found != file.digest:
        raise DataError(
            f"{path}: is there, but is another file: its checksum is {found}, expected {file.digest}. Move it away, "
            f"or take another folder."
        )
    return True


def _digest_of(path: Path, file: RemoteFile) -> str:
    algorithm = str(file.digest).partition(":")[0]
    with path.open("rb") as opened:
        return f"{algorithm}:{hashlib.file_digest(opened, algorithm).hexdigest()}"


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > 0 and free < needed + _SPARE:
        raise DataError(
            f"{folder}: {needed:,} bytes are to come and {free:,} are free on this disk. Free some, or take a "
            f"folder on another disk."
        )


def _part(folder: Path, file: RemoteFile) -> Path:
    return folder / f".{file.name}.part"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _client(timeout: float) -> httpx.Client:
    import httpx

    headers = {"User-Agent": f"visrec/{version('visrec')}"}
    return httpx.Client(follow_redirects=True, max_redirects=5, timeout=timeout, headers=headers)


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
