"""What could not be fetched: one address as an exception, all of a data set as `image-failures.csv`."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from visrec.data.tables import id_column, read_table
from visrec.files import replacing

FILE = "image-failures.csv"

PRIVATE = "private address"
"""The reason of what only this computer can reach."""

_SCHEMA = {"item_id": pl.String, "url": pl.String, "reason": pl.String, "kind": pl.String, "when": pl.String}


class Refused(Exception):  # noqa: N818 - an answer like others, which never leaves the package
    """An address gave no picture.

    Attributes:
        reason: why, in words that are the same for all addresses of one kind of failure.
        lasting: it will be so tomorrow too: not to be asked again.
        wait: seconds that the host is to be left alone, as it said; None where it said nothing.
        host_wide: it is the host that does not answer, or is never to be asked (lasting), not this one address.
    """

    def __init__(
        self, reason: str, *, lasting: bool, wait: float | None = None, host_wide: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lasting = lasting
        self.wait = wait
        self.host_wide = host_wide


def read_failures(folder: Path) -> pl.DataFrame:
    """The failures of earlier times: item_id, url, reason, kind ("lasting" or "for now"), when.

    Raises:
        DataError: the file is not such a table.
    """
    path = folder / FILE
    if not path.exists():
        return pl.DataFrame(schema=_SCHEMA)
    table = read_table(path, required=tuple(_SCHEMA))
    ids = id_column(path, table, "item_id")
    return table.with_columns(ids.alias("item_id")).select(list(_SCHEMA)).cast(pl.String)


def failures_table(rows: list[tuple[str, str, str, str, str]]) -> pl.DataFrame:
    """Failures as a table, in the order of items."""
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort("item_id", maintain_order=True)


def write_failures(folder: Path, table: pl.DataFrame) -> None:
    """Keep the failures; where there are none, there is no file."""
    path = folder / FILE
    if not table.height:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as temporary:
        table.write_csv(temporary)
