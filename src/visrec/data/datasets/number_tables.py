"""Large tables of user, item, rating, time: numbers alone, a line each, no quotes."""

from __future__ import annotations

import polars as pl

from visrec.data.datasets.published import Published
from visrec.errors import DataError
from visrec.progress import Progress

COLUMNS = ("user_id", "item_id", "rating", "timestamp")
_BLOCK = 1 << 26  # bytes parsed at once


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
    table = _Table(file, separator)
    parts: list[pl.DataFrame] = []
    rest, done = b"", 0
    with file.open() as opened:
        if header is not None:
            first = opened.readline(4096)
            done = len(first)
            table.lines = 1
            found = first.decode("utf-8-sig", "replace").strip()
            if found != header:
                raise DataError(f"{file}: begins with {found!r:.80}; expected {header}.")
        while chunk := opened.read(_BLOCK):
            done += len(chunk)
            whole, newline, tail = (rest + chunk).rpartition(b"\n")
            rest = tail
            if newline:
                parts.append(table.parse(whole + newline))
            if progress is not None:
                progress(done, max(file.size, done), file.name)
    if rest.strip():
        parts.append(table.parse(rest))
    rows = pl.concat([part for part in parts if part.height]) if any(part.height for part in parts) else None
    if rows is None:
        raise DataError(f"{file}: holds no rows.")
    return rows


class _Table:
    """A table on its way: how many lines were parsed, and how many fields each has."""

    def __init__(self, file: Published, separator: str) -> None:
        self.file, self.separator, self.lines = file, separator, 0
        self.n_fields = 0

    def parse(self, block: bytes) -> pl.DataFrame:
        """Whole lines as rows."""
        if not block.strip():
            return pl.DataFrame()
        if not self.n_fields:
            first = block.lstrip().partition(b"\n")[0].decode("utf-8", "replace")
            self.n_fields = first.count(self.separator) + 1
            if self.n_fields not in (3, 4):
                raise self._wrong(1, first)
        step = len(self.separator)  # "::" is a ":", an empty field, a ":"
        width = (self.n_fields - 1) * step + 1
        places = {f"{n * step}": name for n, name in enumerate(COLUMNS[: self.n_fields])}
        try:
            table = pl.read_csv(
                block,
                has_header=False,
                separator=self.separator[0],
                quote_char=None,
                schema={f"{n}": pl.String for n in range(width)},
            )
        except pl.exceptions.PolarsError as error:
            raise self._broken(block, str(error)) from None
        table = table.select(list(places)).rename(places).with_columns(pl.all().str.strip_chars("\r "))
        made = table.with_columns(pl.col("rating").cast(pl.Float64, strict=False))
        good = pl.col("user_id").str.contains("^[0-9]+$") & pl.col("item_id").str.contains("^[0-9]+$")
        good &= pl.col("rating").is_finite()
        if self.n_fields == 4:
            made = made.with_columns(pl.col("timestamp").cast(pl.Int64, strict=False))
            good &= pl.col("timestamp").is_not_null()
        bad = ~made.select(good.fill_null(value=False)).to_series()
        if bad.any():
            row = bad.arg_max() or 0
            raise self._wrong(
                row + 1, self.separator.join("" if one is None else one for one in table.row(row))
            )
        self.lines += table.height
        return made

    def _broken(self, block: bytes, why: str) -> DataError:
        """The message for the first line with another number of fields."""
        try:
            lines = block.decode().split("\n")
        except UnicodeDecodeError:
            return DataError(f"{self.file}: is no text of numbers. Get the file again.")
        for number, line in enumerate(lines, start=1):
            if line.strip() and line.count(self.separator) != self.n_fields - 1:
                return self._wrong(number, line)
        return DataError(f"{self.file}: cannot be read ({why.splitlines()[0]:.160}). Get the file again.")

    def _wrong(self, number: int, line: str) -> DataError:
        fields = self.separator.join(("user", "item", "rating", "time"))
        return DataError(
            f"{self.file}: line {self.lines + number:,} is {line.strip()[:80]!r}; expected {fields!r}, all of them "
            f"numbers. Get the file again."
        )
