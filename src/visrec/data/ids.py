"""External ids and their dense indices."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import polars as pl

from visrec.data.order import order_of
from visrec.errors import DataError, UnknownIdError

_BLOCK = 1 << 18  # ids that are made Python's at once
_INDEXED = 1_000_000  # of so many ids a dictionary is made at once; of more, it is not worth a gigabyte …
_MANY = 20_000  # … until so many are asked for together

Ids = Sequence[str] | Sequence[int] | np.ndarray | pl.Series


class IdMap:
    """External ids (strings, or integers) <-> dense indices 0 … n-1. Frozen.

    Ids are compared by how they are written: 12 and "12" are one id, "012" is another. They are kept as
    given: a map made of integers hands integers back. Index order is that of the written ids, shorter ones
    first (2 before 10, u2 before u10), so the same ids get the same indices whatever order they came in,
    and whether they came as text or as numbers.
    """

    kind: str
    values: pl.Series

    def __init__(self, ids: Ids, *, kind: str = "id") -> None:
        """Map the distinct ids of `ids`. `kind` ("user", "item") is the word used in messages.

        Raises:
            DataError: ids are missing (None), or of another type than string or integer.
        """
        try:
            series = pl.Series("id", ids)
        except (TypeError, ValueError, OverflowError):
            raise DataError(
                f"{kind} ids are not all of one type; expected only strings, or only whole numbers."
            ) from None
        if series.len() == 0:
            series = series.cast(pl.String)
        if series.null_count():
            raise DataError(f"{series.null_count()} {kind} ids are missing (empty or null).")
        if series.dtype.is_integer():
            series = whole_numbers(series)
        elif series.dtype != pl.String:
            raise DataError(
                f"{kind} ids are of type {series.dtype}; expected strings or whole numbers. "
                f"Write them as text to keep them as they are."
            )
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "values", _in_order(series.unique()))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"An IdMap is frozen; make another one instead of setting '{name}'.")

    def __len__(self) -> int:
        return self.values.len()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IdMap):
            return NotImplemented
        return self is other or self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        head = ", ".join(map(repr, self.values.head(3).to_list()))
        return f"IdMap({len(self)} {self.kind}s: {head}{', …' if len(self) > 3 else ''})"

    def __contains__(self, external: object) -> bool:
        return self._place(str(external)) >= 0

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the ids as written, in index order."""
        digest = hashlib.sha256()
        for start in range(0, len(self), _BLOCK):
            for text in self.written[start : start + _BLOCK].to_list():
                data = text.encode()
                digest.update(len(data).to_bytes(4, "little") + data)
        return digest.hexdigest()

    @cached_property
    def written(self) -> pl.Series:
        """The ids as strings `(n,)`, in index order."""
        return self.values.cast(pl.String)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {text: index for index, text in enumerate(self.written.to_list())}

    def _place(self, text: str) -> int:
        """The index of an id as written; -1 if it is unknown."""
        if len(self) <= _INDEXED or "_index" in vars(self):  # or it is there already
            return self._index.get(text, -1)
        wanted = (len(text), text)
        place = bisect_left(range(len(self)), wanted, key=lambda n: (len(self.written[n]), self.written[n]))
        return place if place < len(self) and self.written[place] == text else -1

    def index(self, external: str | int) -> int:
        """The index of one id; `UnknownIdError` if it is unknown."""
        return int(self.indices([external])[0])

    def indices(self, external: Iterable[str | int]) -> np.ndarray:
        """The indices `(len(external),)` int64 of some ids; `UnknownIdError` names the first unknown one."""
        if isinstance(external, str | int):
            raise DataError(f"Expected a list of {self.kind} ids, found {external!r}; write [{external!r}].")
        asked = [str(one) for one in external]
        known = self._index if len(asked) > _MANY else None
        places = [self._place(one) if known is None else known.get(one, -1) for one in asked]
        result = np.asarray(places, dtype=np.int64)
        if (result < 0).any():
            unknown = asked[int(np.argmax(result < 0))]
            example = f", for example {self.written[0]!r}" if len(self) else ""
            raise UnknownIdError(
                f"Unknown {self.kind} {unknown!r}. There are {len(self)} {self.kind}s{example}."
            )
        return result

    def lookup(self, external: pl.Series) -> pl.Series:
        """The indices of many ids at once as a nullable Int64 series; null where an id is unknown."""
        numbers = (
            self.values.dtype.is_integer() and external.dtype.is_integer()
        )  # which are written in one way alone
        if numbers:
            external = external.cast(pl.Int64, strict=False)
        known = pl.DataFrame(
            {"id": self.values if numbers else self.written, "index": np.arange(len(self), dtype=np.int64)}
        )
        asked = pl.DataFrame({"id": external if numbers else external.cast(pl.String)})
        return asked.join(known, on="id", how="left", maintain_order="left")["index"]

    def take(self, indices: np.ndarray) -> pl.Series:
        """The external ids of some indices, as a series of their own type."""
        return self.values.gather(np.asarray(indices, dtype=np.int64))


def _in_order(ids: pl.Series) -> pl.Series:
    """Distinct ids, the shorter ones first as they are written, those of one length by their signs."""
    if ids.dtype.is_integer() and (ids.len() == 0 or int(ids.min()) >= 0):  # type: ignore[arg-type]
        return ids.sort()
    ids = pl.DataFrame(ids).sort(pl.col("id").cast(pl.String))[
        "id"
    ]  # by two columns, it takes many times as long
    length = ids.cast(pl.String).str.len_chars().to_numpy()
    return ids.gather(order_of([length]))


def whole_numbers(column: pl.Series) -> pl.Series:
    """An integer column as Int64, or as text where a value does not fit (hashes may need 64 bits unsigned)."""
    narrow = column.cast(pl.Int64, strict=False)
    return narrow if narrow.null_count() == column.null_count() else column.cast(pl.String)
