"""Text files that are lines and nothing else: no header, no quotation marks."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from visrec.data.tables import first_row, not_text
from visrec.errors import DataError

_NEVER = "\x1e"  # a sign that text has no use for: each line is then one field


def read_lines(path: Path) -> pl.Series:
    """The lines of a UTF-8 file as they are, without those that are empty at its end.

    Raises:
        DataError: it is empty, or not UTF-8 text.
    """
    try:
        _check_signs(path)
        lines = pl.read_csv(
            path, has_header=False, separator=_NEVER, quote_char=None, infer_schema=False, glob=False
        ).to_series()
    except pl.exceptions.NoDataError:
        raise DataError(f"{path}: is empty.") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        if "utf-8" in str(error):
            raise not_text(path) from None
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0]}).") from None
    lines = lines.fill_null("").alias("line")
    full = (lines != "").arg_true()
    if not len(full):
        raise DataError(f"{path}: is empty.")
    return lines.head(int(full[-1]) + 1)


def faulty_lines(path: Path, bad: pl.Series, what: str) -> DataError:
    """The error for the first of some lines (a mask) of a file without a header."""
    return DataError(
        f"{path}: line {first_row(bad)} {what} (so in {int(bad.sum()):,} of {len(bad):,} lines)."
    )


def _check_signs(path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            for sign in (b"\0", _NEVER.encode()):
                if sign in block:
                    raise DataError(f"{path}: holds the byte {sign!r}; expected lines of UTF-8 text.")


def check_lines(ids: pl.Series, *, what: str, separator: str = "\n") -> None:
    """Refuse ids that could not be told apart again in such a file.

    Raises:
        DataError: an id holds the separator or the end of a line, or begins or ends with white space.
    """
    for sign in (separator, "\n", "\r", _NEVER, "\0"):
        bad = ids.filter(ids.str.contains(sign, literal=True))
        if len(bad):
            remedy = " Separate by another sign: --set sep=…" if sign == separator != "\n" else ""
            raise DataError(
                f"The {what} id {bad[0]!r} holds {sign!r}, which ends a field of this format.{remedy}"
            )
    bad = ids.filter((ids != ids.str.strip_chars()) | (ids == ""))
    if len(bad):
        raise DataError(
            f"The {what} id {bad[0]!r} begins or ends with white space, which readers of this format take away."
        )
