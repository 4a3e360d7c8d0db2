"""Who liked what, and when."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from visrec.data.ids import IdMap
from visrec.data.order import by_group, in_order, merged, order_of
from visrec.errors import DataError

_KINDS = {"user": np.int32, "item": np.int32, "timestamp": None, "weight": np.float32, "evaluation": np.int8}
"""The columns of interactions, and what they are kept as; None: as given."""


@dataclass(frozen=True, eq=False)
class Histories:
    """Each user's items in time order, as one flat array.

    Attributes:
        indptr: `(U + 1,)` int64; the items of user u are `items[indptr[u]:indptr[u + 1]]`, oldest first.
        items: `(N,)` int64 item indices.
    """

    indptr: np.ndarray
    items: np.ndarray

    def of(self, user: int) -> np.ndarray:
        """The items of one user, oldest first."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> np.ndarray:
        """`(U,)` number of items of each user."""
        return np.diff(self.indptr)

    @property
    def owner(self) -> np.ndarray:
        """`(N,)` the row that each item belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, users: np.ndarray) -> Histories:
        """The histories of some users `(B,)`, one row each, in the order given."""
        return self.between(self.indptr[users], self.indptr[users + 1])

    def between(self, start: np.ndarray, stop: np.ndarray) -> Histories:
        """The items at the places `start` to before `stop` `(B,)` of the flat array, one row each."""
        lengths = stop - start
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        place = np.repeat(start - indptr[:-1], lengths) + np.arange(indptr[-1])
        return Histories(indptr, self.items[place])

    def where(self, mask: np.ndarray) -> Histories:
        """Only the items where `mask (N,)` is true."""
        before = np.concatenate([[0], np.cumsum(mask)]).astype(np.int64)
        return Histories(before[self.indptr], self.items[mask])

    def newest(self, n: int) -> Histories:
        """At most the newest n items of each row."""
        return self.between(np.maximum(self.indptr[:-1], self.indptr[1:] - n), self.indptr[1:])


@dataclass(frozen=True, eq=False)
class Interactions:
    """Positive feedback: user u took item i at a time, with a weight. Frozen; in canonical order.

    Attributes:
        user: `(N,)` int32 user indices.
        item: `(N,)` int32 item indices.
        timestamp: `(N,)` int64 or float64, any unit; equal values of one user make a basket.
        weight: `(N,)` float32, positive; 1 where the data say nothing.
        users: ids of all users, also of those without a row here.
        items: ids of all items of the catalogue, also of those without a row here.
        evaluation: `(N,)` int8 or None: the part that the data assign (0 train, 1 valid, 2 test).
    """

    user: np.ndarray
    item: np.ndarray
    timestamp: np.ndarray
    weight: np.ndarray
    users: IdMap
    items: IdMap
    evaluation: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.user)
        columns = ["item", "timestamp", "weight", *(["evaluation"] if self.evaluation is not None else [])]
        for name in columns:
            if len(getattr(self, name)) != n:
                raise DataError(f"Interactions: {name} has {len(getattr(self, name))} rows, user has {n}.")
        # Before they are narrowed to int32, which would wrap what is too large.
        for name, indices, ids in (("a user", self.user, self.users), ("an item", self.item, self.items)):
            if n and (int(indices.min()) < 0 or int(indices.max()) >= len(ids)):
                raise DataError(f"Interactions: {name} index lies outside 0 … {len(ids) - 1}.")
        # Sorted once here, by all there is, so that whatever is derived does not depend on the order given.
        keys = [self.weight, self.item, self.user, self.timestamp]
        if self.evaluation is not None:
            keys.insert(0, self.evaluation)
        order = None if in_order(keys) else order_of(keys)
        arrays = {}
        for name, kind in _KINDS.items():
            array = getattr(self, name)
            if array is not None:
                array = array.copy() if order is None else array[order]
                arrays[name] = array.astype(kind or array.dtype, copy=False)
        self._keep(arrays)

    def _keep(self, arrays: dict[str, np.ndarray]) -> None:
        for name, array in arrays.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.user)

    @property
    def n_users(self) -> int:
        """Number of user ids (with or without rows)."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of item ids (with or without rows)."""
        return len(self.items)

    def where(self, mask: np.ndarray) -> Interactions:
        """The rows where `mask (N,)` is true, on the same ids."""
        part = object.__new__(
            Interactions
        )  # not sorted again: rows in order are in order without some of them
        vars(part).update({"users": self.users, "items": self.items, "evaluation": None})
        columns = [name for name in _KINDS if getattr(self, name) is not None]
        part._keep({name: getattr(self, name)[mask] for name in columns})
        return part

    def union(self, other: Interactions) -> Interactions:
        """The rows of both, which must be on the same ids."""
        if self.users != other.users or self.items != other.items:
            raise DataError("Interactions on different users or items cannot be joined.")
        names = ("weight", "item", "user", "timestamp")
        columns = merged([(getattr(self, name), getattr(other, name)) for name in names])
        both = object.__new__(Interactions)
        vars(both).update({"users": self.users, "items": self.items, "evaluation": None})
        both._keep(dict(zip(names, columns, strict=True)))
        return both

    def matrix(self) -> sparse.csr_array:
        """CSR `(U, I)` float32 of weights, columns sorted within a row; repeated pairs add up."""
        shape = (self.n_users, self.n_items)
        matrix = sparse.csr_array((self.weight, (self.user, self.item)), shape=shape)
        matrix.sort_indices()
        return matrix

    @cached_property
    def _histories(self) -> Histories:
        indptr, items = by_group(self.item, self.user, self.n_users)  # rows are in time order already
        return Histories(indptr, items.astype(np.int64))

    def histories(self) -> Histories:
        """Each user's items in time order (ties: by item index)."""
        return self._histories

    def item_counts(self) -> np.ndarray:
        """`(I,)` number of interactions of each item."""
        return np.bincount(self.item, minlength=self.n_items)

    def user_counts(self) -> np.ndarray:
        """`(U,)` number of interactions of each user."""
        return np.bincount(self.user, minlength=self.n_users)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all rows and ids."""
        digest = hashlib.sha256()
        arrays = [self.user, self.item, self.timestamp, self.weight]
        if self.evaluation is not None:
            arrays.append(self.evaluation)
        for array in arrays:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(array.data)
        digest.update((self.users.digest + self.items.digest).encode())
        return digest.hexdigest()


def k_core(interactions: Interactions, *, user_k: int = 0, item_k: int = 0) -> Interactions:
    """Keep users with at least `user_k` and items with at least `item_k` interactions, repeatedly.

    Ids stay as they are: users and items that lose all their rows remain known (and items remain
    candidates), so that indices mean the same before and after.
    """
    while True:
        keep = (interactions.user_counts() >= user_k)[interactions.user]
        keep &= (interactions.item_counts() >= item_k)[interactions.item]
        if keep.all():
            return interactions
        interactions = interactions.where(keep)
