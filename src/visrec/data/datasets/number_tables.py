"""Large tables of user, item, rating, time: numbers alone, a line each, no quotes."""

from __future__ import annotations

import polars as pl

from visrec.data.formats.lines import BLOCK
from visrec.data.formats.rows import digits_of, numbers_of, read_rows, whole_numbers_of
from visrec.data.published import Published, first_line
from visrec.errors import DataError
from visrec.progress import Progress

COLUMNS = ("user_id", "item_id", "rating", "timestamp")


def read_numbers(
    file: Published, *, separator: str, header: str | None = None, progress: Progress | None = None
) -> pl.DataFrame:
    """user_id, item_id (text, as written), rating, and timestamp where there are four fields a line.

    Args:
        file: of the table.
        separator: between fields; "::" too.
        header: the first line, as it must be; None: there is none.
        progress: called with (bytes done, bytes in all, its name).

    Raises:
        DataError: another header, a line that is not of numbers, no lines.
    """
    first = first_line(file)
    if header is not None and first != header:
        raise DataError(f"{file}: begins with {first!r:.80}; expected {header}.")
    if not first:
        raise DataError(f"{file}: begins with an empty line, or is empty. Get it again.")
    fields = first.split(separator)
    if len(fields) not in (3, 4):
        expected = separator.join(("user", "item", "rating", "time"))
        raise DataError(f"{file}: line 1 is {first[:80]!r}; expected {expected!r}, all of them numbers.")
    names = COLUMNS[: len(fields)] if header is None else tuple(fields)
    ours = dict(zip(names, COLUMNS, strict=False))
    parts = []
    for line, text in read_rows(
        file, names, names=None if header else names, separator=separator, progress=progress, size=BLOCK
    ):
        columns = {}
        for name, column in ours.items():
            parse = {"rating": numbers_of, "timestamp": whole_numbers_of}.get(column, digits_of)
            columns[column] = parse(file, line, text, name)
        parts.append(pl.DataFrame(columns))
    return pl.concat(parts)
