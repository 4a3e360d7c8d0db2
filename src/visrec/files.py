"""Files are written to a temporary name beside their target and renamed: a reader sees the old or the new."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(?P<kind>tmp|old)(\..*)?", re.DOTALL)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed.

    The temporary name keeps the suffix, since some writers look at it, and is synced to disk before the
    rename so that a crash cannot leave a renamed but empty file. It gets the mode that any new file gets, also from
    writers that choose one of their own, as safetensors does.

    Raises:
        IsADirectoryError: `path` is a folder, which is left as it is.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder; expected the name of a file", str(path))
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.tmp{path.suffix}")
    with _writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    try:
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Like `replacing`, for a folder: it appears whole, or not at all.

    Raises:
        NotADirectoryError: `path` is a file, which is left as it is.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; a folder cannot take its place.")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with _writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
            path.replace(old)
            temporary.replace(path)
            shutil.rmtree(old)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Let errors name what was to be written, not the temporary name that nobody asked for."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


@contextmanager
def exclusive(path: str | Path) -> Iterator[None]:
    """Hold a lock on the name `path`, so that no second process writes there; it ends with the process.

    Raises:
        BlockingIOError: another process holds it.
    """
    path = Path(path)
    lock = path.with_name(f".{path.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":  # no such locks there
        yield
        return
    import fcntl

    while True:
        file = lock.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise
        if lock.exists() and os.fstat(file.fileno()).st_ino == lock.stat().st_ino:
            break
        file.close()  # whoever held it has removed it in this moment
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        file.close()


def is_temporary(path: Path) -> bool:
    """Whether a name is one that `replacing` or `replacing_folder` makes."""
    return _TEMPORARY.fullmatch(path.name) is not None


def sweep_temporaries(folder: str | Path, *, of: str | None = None) -> None:
    """Remove what a killed process left of `replacing` and `replacing_folder` directly in `folder`.

    Nothing else is touched: only names that these two make. A folder that was moved aside and never replaced
    goes back to its place.

    Args:
        folder: where to look.
        of: only what was to become this name; None: all.
    """
    for path in sorted(Path(folder).glob(".*")):
        found = _TEMPORARY.fullmatch(path.name)
        if found is None or of not in (None, found["name"]):
            continue
        if found["kind"] == "old" and not path.with_name(found["name"]).exists():
            path.replace(path.with_name(found["name"]))
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write indented JSON atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def file_digest(path: str | Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
