"""The images of a catalogue by what is in their files, not by what these are called."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import polars as pl

from visrec.data.ids import IdMap
from visrec.data.images import content_digest
from visrec.errors import ImageError

_WINDOW = 1000  # files


@dataclass(frozen=True)
class Contents:
    """What is in each item's image file.

    Attributes:
        paths: of each item; None where it has none.
        digests: SHA-256 (hex) of each file; None where it could not be read.
        reasons: why, by index.
    """

    paths: Sequence[Path | None]
    digests: list[str | None]
    reasons: dict[int, str]

    @classmethod
    def of(cls, paths: Sequence[Path | None], progress: Callable[[int, int, str], None] | None) -> Self:
        """Read all files once, in threads."""
        digests: list[str | None] = [None] * len(paths)
        reasons: dict[int, str] = {}
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
            # In windows: what is handed to the pool takes memory for each file.
            for start in range(0, len(paths), _WINDOW):
                window = paths[start : start + _WINDOW]
                for index, found in enumerate(pool.map(_digest_or_reason, window), start):
                    if isinstance(found, ImageError):
                        reasons[index] = str(found)
                    else:
                        digests[index] = found
                if progress and len(paths) > _WINDOW:
                    progress(start + len(window), len(paths), "looking for what is new")
        return cls(paths, digests, reasons)

    def by_digest(self) -> dict[str, Path]:
        """A file of each content, in the order of the items."""
        found: dict[str, Path] = {}
        for path, digest in zip(self.paths, self.digests, strict=True):
            if digest is not None and path is not None:
                found.setdefault(digest, path)
        return found

    def without(self, known: pl.Series) -> dict[str, Path]:
        """Those of `by_digest` that are not known."""
        seen = set(known.to_list())
        return {digest: path for digest, path in self.by_digest().items() if digest not in seen}

    def reasons_with(self, failed: Mapping[str, str]) -> dict[int, str]:
        """The reason of each item without a vector, by index; `failed` gives those of contents."""
        first = self.by_digest() if failed else {}
        reasons = dict(self.reasons)
        for index, digest in enumerate(self.digests):
            if digest is not None and digest in failed:
                # Of several files of one content one was tried: each reason names its own.
                reasons[index] = failed[digest].replace(str(first[digest]), str(self.paths[index]))
        # A path may hold bytes that are no text: such a reason could not be stored.
        return {
            index: reason.encode(errors="backslashreplace").decode()
            for index, reason in sorted(reasons.items())
        }

    def digest(self, items: IdMap) -> str:
        """SHA-256 (hex) of ids and contents: equal for the same pictures of the same items."""
        digest = hashlib.sha256(items.digest.encode())
        for one in self.digests:
            digest.update((one or "-").encode() + b"\n")
        return digest.hexdigest()


def _digest_or_reason(path: Path | None) -> str | ImageError:
    try:
        return ImageError("no image") if path is None else content_digest(path)
    except ImageError as error:
        return error
