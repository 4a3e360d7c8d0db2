"""What a format of another program is to us: how it is read, and how it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from visrec.data.foreign import ForeignData


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        name: as it is typed.
        title: of the program that it is of.
        what: what is read, in one line.
        read: `read(source, *, progress=None, **options) -> ForeignData`; options are keywords with a type and a
            default, each explained in the docstring. None: it is only written.
        write: `write(data, folder, *, progress=None, **options) -> tuple[str, ...]` writes into an empty folder and
            returns notes on what the format has no place for. None: it is only read.
        convert: instead of `read`, for what holds more than a data set: `convert(source, folder, *, progress=None,
            **options) -> Conversion` fills an empty folder itself.
    """

    name: str
    title: str
    what: str
    read: Callable[..., ForeignData] | None = None
    write: Callable[..., tuple[str, ...]] | None = None
    convert: Callable[..., Any] | None = None
