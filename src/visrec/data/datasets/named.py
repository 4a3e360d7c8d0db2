"""What is known of a published data set: its size, its licence, whom to cite, and which files it consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visrec.data.foreign import ForeignData


@dataclass(frozen=True)
class PublishedFile:
    """One file as its authors publish it.

    Attributes:
        name: under which it is published (a pattern where the name has a variable part).
        what: is in it.
        needed: whether nothing can be done without it.
        address: from which anybody may download it for good; None where there is no such address (a form to sign,
            a file host, an account), or where its digest is not known.
        size: bytes, where it is known.
        digest: "sha256:…" or "md5:…", as its publisher states it; files without one are never downloaded.
        edition: where a data set is published in several sizes, of which one is taken: the one that the file is all
            of, as the option `edition` of `read` names it.
    """

    name: str
    what: str
    needed: bool = True
    address: str | None = None
    size: int | None = None
    digest: str | None = None
    edition: str | None = None

    @property
    def can_be_downloaded(self) -> bool:
        """Whether it has an address, and what came can be told from something else."""
        return self.address is not None and self.digest is not None


@dataclass(frozen=True)
class NamedDataset:
    """A published data set.

    Attributes:
        name: as it is typed.
        title: its own name.
        what: what it is of, in one line.
        size: users, items, interactions and bytes as its authors state them, in words.
        licence: what its authors allow, in their words where they say it, or that they say nothing.
        citation: whom to cite.
        home: the page where a person gets the files.
        files: that are read.
        read: as of a `Format`.
        convert: as of a `Format`.
    """

    name: str
    title: str
    what: str
    size: str
    licence: str
    citation: str
    home: str
    files: tuple[PublishedFile, ...]
    read: Callable[..., ForeignData] | None = None
    convert: Callable[..., Any] | None = None


def where_from(file: PublishedFile) -> str:
    """The address of a file, and whether visrec downloads it."""
    return f"{file.address}{' (--download)' if file.can_be_downloaded else ' (by hand: it has no checksum)'}"
