"""The events that a run folds in, as a table: from a database, or from the copy that another run keeps."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from visrec.errors import FeedbackError
from visrec.feedback.addresses import is_url
from visrec.feedback.folding import SCHEMA


def read_events(address: str | Path) -> pl.DataFrame:
    """All likes, hides and what took them back, in the order in which they came, in the columns of `SCHEMA`.

    Sessions are not in it, since who knows a session can act as it, but a digest of each, the same in every table.

    Args:
        address: as of `Store.open`, or the `events.parquet` of a run.

    Raises:
        FeedbackError: there is no such database or file.
        UnavailableError: the database cannot be reached.
    """
    if not is_url(address) and Path(address).suffix == ".parquet":
        return _read_copy(Path(address))
    from visrec.feedback.events import OPINIONS
    from visrec.feedback.store import Store

    columns: dict[str, list[object]] = {name: [] for name in SCHEMA}
    visitors: dict[str, str] = {}
    with Store.open(address, create=False) as store:
        for event in store.events(kinds=OPINIONS):
            if event.session not in visitors:
                visitors[event.session] = hashlib.sha256(event.session.encode()).hexdigest()
            row = {
                "id": event.id,
                "time": event.time,
                "visitor": visitors[event.session],
                "user_id": None if event.user is None else str(event.user),
                "item_id": str(event.item),
                "kind": event.kind,
                "weight": event.weight,
            }
            for name, value in row.items():
                columns[name].append(value)
    return pl.DataFrame(columns, schema=SCHEMA)


def _read_copy(path: Path) -> pl.DataFrame:
    try:
        found = pl.read_parquet(path)
    except FileNotFoundError:
        raise FeedbackError(f"{path}: no such file; expected the events.parquet of a run.") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise FeedbackError(f"{path}: cannot be read ({error}).") from None
    if found.schema != SCHEMA:
        raise FeedbackError(
            f"{path}: has the columns {', '.join(found.columns)}; expected {', '.join(SCHEMA)}, of the types that "
            f"the events.parquet of a run has."
        )
    return found
