"""Published files: downloaded in pieces that add up, and kept only if their checksum is right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from visrec.data.downloads.partial_file import PartialFile, check_space, digest_of
from visrec.data.downloads.waiting import Clock
from visrec.errors import DataError
from visrec.files import exclusive
from visrec.progress import Progress

if TYPE_CHECKING:
    import httpx


_ALGORITHMS = {"sha512": 128, "sha256": 64, "sha1": 40, "md5": 32}  # hex digits


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
    left = [
        PartialFile(
            file=file, folder=folder, progress=progress or _silent, clock=clock or Clock(), retries=retries
        )
        for file in files
        if not _is_there(file, folder / file.name)
    ]
    check_space(folder, sum(one.n_missing for one in left))
    for one in left:
        file = one.file
        try:
            with exclusive(folder / file.name), _client(timeout) as client:
                one.complete(client)
        except BlockingIOError:
            raise DataError(
                f"{folder / file.name}: another process downloads it. Wait until it is done, or end it."
            ) from None
        except OSError as error:
            raise DataError(f"{folder / file.name}: cannot be written ({error.strerror}).") from None
    return [folder / file.name for file in files]


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
    found = digest_of(path, file)
    if found != file.digest:
        raise DataError(
            f"{path}: is there, but is another file: its checksum is {found}, expected {file.digest}. Move it away, "
            f"or take another folder."
        )
    return True


def _client(timeout: float) -> httpx.Client:
    import httpx

    headers = {"User-Agent": f"visrec/{version('visrec')}"}
    return httpx.Client(follow_redirects=True, max_redirects=5, timeout=timeout, headers=headers)
