"""VisRank: items that look like what the user took (McAuley et al. 2015; Messina et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from visrec import config
from visrec.compiled import compiled, in_parallel
from visrec.data.interactions import Histories
from visrec.ranking import flat, flat_to_write, room_for
from visrec.recommender import Fitting, Queries, Recommender
from visrec.space import Choice, IntRange, Space
from visrec.training.pairs import distinct

_CELLS = 1 << 23  # products held at once: 32 MiB
_HELD = 1 << 25  # numbers of vectors copied at once: 128 MiB
_PART = 256  # candidates whose largest similarities are kept in the first cache
_LEAST = 1 << 16  # similarities that are worth waking a thread for


class VisRankConfig(config.Config):
    """Settings of `VisRank`."""

    space: ClassVar[Space] = {"method": Choice(("maximum", "average", "top_n")), "n": IntRange(2, 20)}
    method: Literal["maximum", "average", "top_n"] = "maximum"
    """How the similarities to the history become one score; "top_n" is the mean of the n largest."""
    n: int = Field(default=3, ge=1)
    """For "top_n": how many of the history's items count, for each candidate its own nearest."""


class VisRank(Recommender):
    """x_ui = pool over l in the history of cos(f_i, f_l): maximum, average, or mean of the n largest.

    Messina et al. 2019 ("Content-based artwork recommendation", section 4.2). The item vector is f_i / |f_i|;
    the query has one vector for each item of the history, `pool` makes one score of them. Nothing of size
    items x items is ever built. Items without an image have score 0 and count in nobody's history.

    With weights, x_ui = pool over w_l > 0 of w_l cos(f_i, f_l) - pool over w_l < 0 of |w_l| cos(f_i, f_l): with the
    average, Rocchio's relevance feedback (1971), whose query is the mean of what is liked minus that of what is not.
    A pool over nothing is 0. Pictures that are no items count like items.
    """

    Config = VisRankConfig
    config: VisRankConfig
    needs = "vector"
    learns = "nothing"
    query = "history"
    new_users = True
    new_items = True
    weighs = True
    new_pictures = True
    block_cells = 1 << 26  # 256 MiB: the more users at once, the more of them share items
    paper = "McAuley et al. 2015; Messina et al. 2019"

    def _fit(self, fitting: Fitting) -> None:
        assert self.features is not None
        values = self.features.values
        self.f = torch.empty(values.shape)  # (I, F), rows of length 1, or 0 where there is no image
        for start in range(0, fitting.train.n_items, 4096):
            block = torch.from_numpy(values[start : start + 4096].astype("float32"))
            self.f[start : start + 4096] = normalize(block, dim=1)

    def encode_items(self, items: Tensor) -> Tensor:
        return self.f[items]  # (n, F)

    def encode_queries(self, queries: Queries) -> Tensor:
        Q = self.f[queries.history]  # (B, H, F); `pool` leaves out the padding
        if queries.pictures is not None:
            Q = torch.cat([Q, normalize(queries.pictures, dim=2)], dim=1)  # (B, H + P, F)
        return Q

    def encode_catalog(self) -> Tensor:
        return self.f  # and not a second time

    def query_cells(self, longest: int) -> int:
        return 4 * longest  # places and weights, each of 8 bytes: vectors are not held query by query

    def pool(self, queries: Queries, Z: Tensor, out: Tensor | None = None) -> Tensor:
        looks = self._looks(queries)
        scores = room_for(len(queries), len(Z)) if out is None else out
        if self.config.method == "average":
            return torch.mm(looks.means(), Z.T, out=scores)
        most = 1 if self.config.method == "maximum" else self.config.n
        return looks.add_largest(most, Z, scores.zero_())

    def probes(self, queries: Queries) -> tuple[Tensor, Tensor] | None:
        if self.config.method == "top_n":
            return None  # each candidate has nearest items of its own
        if self.config.method == "average":
            looks = self._looks(queries)
            return looks.means()[:, None], looks.any[:, None]
        Q, weight = self.encode_queries(queries), _weights(queries)
        if weight is None:
            return Q, _real(Q, queries.mask)
        if (weight < 0).any():
            return None  # a difference of two maxima
        return Q * weight[:, :, None], _real(Q, weight > 0)

    def _looks(self, queries: Queries) -> _Looks:
        mask = queries.mask.numpy()
        items, place = distinct(queries.history.numpy()[mask])
        owner, weight = np.nonzero(mask)[0], np.ones(len(place), dtype=np.float32)
        pictures = self.f.new_empty(0, self.f.shape[1])
        if queries.weight is not None:
            weight = queries.weight.numpy()[mask]
        if queries.pictures is not None and queries.picture_weight is not None:
            B, P, _ = queries.pictures.shape
            place = np.append(place, len(items) + np.arange(B * P))
            owner = np.append(owner, np.repeat(np.arange(B), P))
            weight = np.append(weight, queries.picture_weight.numpy())
            pictures = normalize(queries.pictures, dim=2).flatten(0, 1)
        vectors = _Vectors(self.f, items, pictures)
        blank = vectors.blank()  # missing images do not count
        return _Looks.of(vectors, owner, place, np.where(blank[place], 0, weight), len(queries))

    def similarity_vectors(self) -> Tensor:
        return self.f

    def state(self) -> dict[str, Tensor]:
        return {"f": self.f}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.f = state["f"]
        self.Z = self.f


class _Vectors:
    """The vectors of some items and after them those of pictures, each once.

    They are multiplied as a copy in one piece, which is made a block at a time where it would be large.
    """

    def __init__(self, f: Tensor, items: np.ndarray, pictures: Tensor) -> None:
        """Of all items `f (I, F)` some `(n,)`, and pictures `(P, F)`."""
        self.f, self.items, self.pictures = f, items, pictures
        self._size = max(1, _HELD // max(1, f.shape[1]))
        self._held = f.new_empty(min(self._size, len(self)), f.shape[1])
        self._start: int | None = None  # of the block that is held

    def __len__(self) -> int:
        return len(self.items) + len(self.pictures)

    def blank(self) -> np.ndarray:
        """`(D,)` bool: which are 0 throughout."""
        found = torch.empty(len(self), dtype=torch.bool)
        for part, block in self._blocks():
            found[part] = torch.linalg.vector_norm(block, ord=1, dim=1) == 0
        return found.numpy()

    def multiply(self, Z: Tensor, out: Tensor) -> None:
        """Write their products with `Z (n, F)` to `out (D, n)`."""
        for part, block in self._blocks():
            torch.mm(block, Z.T, out=out[part])

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Places and vectors of each block, which last until the next."""
        n = len(self.items)
        for start in range(0, len(self), self._size):
            stop = min(start + self._size, len(self))
            block = self._held[: stop - start]
            if self._start != start:
                items = torch.from_numpy(self.items[start:stop])
                torch.index_select(self.f, 0, items, out=block[: len(items)])
                block[len(items) :] = self.pictures[max(0, start - n) : max(0, stop - n)]
                self._start = start
            yield slice(start, stop), block


@dataclass(frozen=True, eq=False)
class _Looks:
    """What B queries have liked to see, and what not.

    Attributes:
        vectors: D of them, each once, however many queries have it.
        signs: 1, and -1 where anything has a weight below 0; for each the rows of `vectors` that count for each
            query, and how much `(S,)` float32, above 0.
        any: `(B,)` bool, whether anything counts.
    """

    vectors: _Vectors
    signs: dict[int, tuple[Histories, np.ndarray]]
    any: Tensor

    @classmethod
    def of(
        cls, vectors: _Vectors, owner: np.ndarray, place: np.ndarray, weight: np.ndarray, n: int
    ) -> _Looks:
        """Of the vectors `place (S,)` with weights `(S,)`, each of one of n queries; a weight of 0 does not count."""
        signs = {}
        for sign in (1, -1):
            chosen = sign * weight > 0
            order = np.argsort(owner[chosen], kind="stable")
            counts = np.bincount(owner[chosen], minlength=n)
            rows = Histories(np.append(0, np.cumsum(counts)), place[chosen][order])
            if sign == 1 or len(order):
                signs[sign] = rows, np.abs(weight[chosen][order]).astype(np.float32)
        has = np.bincount(owner[weight != 0], minlength=n) > 0
        return cls(vectors, signs, torch.from_numpy(has))

    def means(self) -> Tensor:
        """`(B, F)`: the mean of products is the product with the mean."""
        f, items, pictures = self.vectors.f.numpy(), self.vectors.items, self.vectors.pictures.numpy()
        found = np.zeros((len(self.any), f.shape[1]), dtype=np.float32)
        for sign, (rows, weight) in self.signs.items():
            args = f, items, pictures, rows.indptr, rows.items, weight, np.float32(sign), found
            in_parallel(_add_mean, len(found), *args)
        return torch.from_numpy(found)

    def add_largest(self, most: int, Z: Tensor, scores: Tensor) -> Tensor:
        """Add to `scores (B, n)` the means of the `most` largest products with each of Z `(n, F)`.

        All vectors are multiplied with some of Z, then some more, and each query takes what it needs.
        """
        into, apart = flat_to_write(scores)
        width = max(1, min(len(Z), _CELLS // max(1, len(self.vectors))))
        products = room_for(len(self.vectors), width)
        for start in range(0, len(Z), width):
            size = min(width, len(Z) - start)
            self.vectors.multiply(Z[start : start + size], products[:, :size])
            for sign, (rows, weight) in self.signs.items():
                looked = (
                    rows.indptr,
                    rows.items,
                    weight,
                    min(most, int(rows.lengths.max(initial=1))),
                    np.float32(sign),
                )
                least = max(1, _LEAST * len(scores) // max(1, size * len(weight)))
                args = *flat(products), size, *looked, into, apart, start
                in_parallel(_add_largest, len(scores), *args, least=least)
        return scores


@compiled
def _add_mean(start, stop, f, items, pictures, first, place, weight, sign, means):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Add to each row of `means (B, F)` sign times the mean of its weighted vectors: of items, or of pictures."""
    total = np.empty(f.shape[1], dtype=np.float32)
    for b in range(start, stop):
        total[:] = 0
        for s in range(first[b], first[b + 1]):
            at, w = place[s], weight[s]
            vector = f[items[at]] if at < len(items) else pictures[at - len(items)]
            for i in range(len(total)):
                total[i] += w * vector[i]
        share = sign / np.float32(max(1, first[b + 1] - first[b]))
        for i in range(len(total)):
            means[b, i] += share * total[i]


@compiled
def _add_largest(start, stop, products, wide, size, first, place, weight, most, sign, scores, apart, at):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Add to `size` scores of each row, from `at` on, sign times the mean of the largest of its weighted products.

    For each candidate its largest are held in order; a new one takes its place, and what it displaces the next.
    """
    largest, new = np.empty((most, _PART), dtype=np.float32), np.empty(_PART, dtype=np.float32)
    for b in range(start, stop):
        for cut in range(0, size, _PART):
            n, held = min(_PART, size - cut), 0
            for s in range(first[b], first[b + 1]):
                from_ = place[s] * wide + cut
                line, w = products[from_ : from_ + n], weight[s]
                for i in range(n):
                    new[i] = w * line[i]
                for j in range(held):
                    kept = largest[j]
                    for i in range(n):
                        one, other = new[i], kept[i]
                        kept[i] = one if one > other else other
                        new[i] = other if one > other else one
                if held < most:
                    largest[held, :n] = new[:n]
                    held += 1
            if held:
                to, share = b * apart + at + cut, sign / np.float32(held)
                total, line = new[:n], scores[to : to + n]
                total[:] = largest[0, :n]
                for j in range(1, held):
                    for i in range(n):
                        total[i] += largest[j, i]
                for i in range(n):
                    line[i] += share * total[i]


def _real(Q: Tensor, mask: Tensor) -> Tensor:
    """`(B, H)` bool: of those in the mask, which count; missing images do not."""
    return mask & (Q.abs().sum(2) > 0)


def _weights(queries: Queries) -> Tensor | None:
    """Weights `(B, H + P)` of histories and pictures, 0 at padding; None where there are none of either."""
    if queries.weight is None and queries.pictures is None:
        return None
    weight = queries.mask.float() if queries.weight is None else queries.weight * queries.mask
    return weight if queries.picture_weight is None else torch.cat([weight, queries.picture_weight], dim=1)
