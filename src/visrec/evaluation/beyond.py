"""Beyond accuracy: what the lists are like that a model shows, whatever the users took. Without torch.

A list is the k best candidates of a user; it is shorter where there are fewer. What is of one user (novelty,
popularity bias, creators, visual diversity and distance) is averaged over users; what is of all lists
together (coverage, Gini) is one number, without an interval: a resampled crowd is shown fewer different items
than the real one, so that a bootstrap would not even contain it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from visrec.compiled import compiled, in_parallel
from visrec.data.interactions import Histories, Interactions
from visrec.evaluation.popularity import popularity_percentiles

if TYPE_CHECKING:
    from visrec.content import Content
    from visrec.features.features import Features

OF_A_USER = ("novelty", "popularity_bias", "creators", "visual_diversity", "visual_distance")
CREATORS = ("artist", "creator")
"""The columns of the items' table that may say who made an item."""

_CELLS = 1 << 22  # floats of vectors held at once: 16 MiB
_LEAST = 4  # lists that are worth waking a thread for
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class Lens:
    """What lists are looked at with.

    Attributes:
        popularity: `(I,)` number of users who took each item in training.
        n_users: number of users with training interactions.
        histories: what each user took in training.
        creator: `(I,)` int64, who made each item, -1 where that is unknown; None: nobody knows.
        vectors: `(I, F)`, perhaps memory-mapped; rows of zeros say nothing; None: there are no features.
        facts: which features and which column, and what is not computed and why: JSON-able.
    """

    popularity: np.ndarray
    n_users: int
    histories: Histories
    creator: np.ndarray | None = None
    vectors: np.ndarray | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, train: Interactions, content: Content) -> Lens:
        """Of a training part and what is known of its items.

        Raises:
            FeaturesError: the features are of another catalogue.
        """
        skipped: dict[str, str] = {}
        column, creator = _creators(content.metadata, train)
        if creator is None:
            skipped["creators"] = f"the items' table names no {' or '.join(CREATORS)}"
        features = _features(content)
        vectors = None if features is None else features.align(train.items).vectors
        if vectors is None:
            skipped["visual_diversity"] = skipped["visual_distance"] = "there are no features of the pictures"
        matrix = train.matrix()
        return cls(
            popularity=np.bincount(matrix.indices, minlength=train.n_items),
            n_users=int((train.user_counts() > 0).sum()),
            histories=Histories(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)),
            creator=creator,
            vectors=vectors,
            facts={
                "creators": column,
                "features": None if features is None else features.digest,
                "metadata": content.metadata_digest,
                "extractor": None if features is None else features.provenance.get("extractor"),
                "skipped": skipped,
            },
        )

    def measures(
        self, users: np.ndarray, lists: Histories, cutoffs: tuple[int, ...]
    ) -> dict[str, np.ndarray]:
        """All measures of a user that can be computed, such as "novelty@20": `(B,)` float64, NaN where not defined.

        Args:
            users: `(B,)` by index.
            lists: what each is shown, best first, as long as the largest cutoff.
            cutoffs: the lengths of list that are looked at.
        """
        histories = self.histories.take(users)
        found: dict[str, np.ndarray] = {}
        for k in cutoffs:
            shown = head(lists, k)
            found[f"novelty@{k}"] = novelty(shown, self.popularity, self.n_users)
            found[f"popularity_bias@{k}"] = popularity_bias(shown, histories, self.popularity)
            if self.creator is not None:
                found[f"creators@{k}"] = creators(shown, self.creator)
        if self.vectors is not None:
            found |= looks(lists, histories, self.vectors, cutoffs)
        return {name: found[name] for name in names(cutoffs) if name in found}


def digest_of_features(content: Content) -> str | None:
    """The digest of the features that `Lens.of` looks at, None where there are none."""
    features = _features(content)
    return None if features is None else features.digest


def names(cutoffs: tuple[int, ...]) -> list[str]:
    """All measures of a user with the given cutoffs: novelty@20, …"""
    return [f"{name}@{k}" for k in cutoffs for name in OF_A_USER]


def head(lists: Histories, k: int) -> Histories:
    """The first k items of each row."""
    return lists.between(lists.indptr[:-1], np.minimum(lists.indptr[:-1] + k, lists.indptr[1:]))


def novelty(lists: Histories, popularity: np.ndarray, n_users: int) -> np.ndarray:
    """How surprising a list is: the mean of log2(U / pop_i) bits over its items; in [0, log2 U] (Zhou et al. 2010).

    pop_i of the U users took item i in training; what nobody took counts as taken once. Popular items are 0.
    Larger means less known, which is no merit in itself: a random list is the most novel.
    """
    return _mean(lists, np.log2(n_users / np.maximum(popularity, 1)))


def popularity_bias(lists: Histories, histories: Histories, popularity: np.ndarray) -> np.ndarray:
    """How much more popular a list is than what its user takes: mean percentile of its items less the history's.

    In (-1, 1); 0 is best, above it the model pushes what is popular, below it what is not. The popularity lift of
    Abdollahpouri et al. (2019, "The unfairness of popularity bias in recommendation") per user, with
    percentiles in the place of counts, since a few items have most of the counts: the percentile of an item
    is the share of the catalogue that is less popular, with half of what is equally popular. NaN where a
    history or a list is empty.
    """
    percentile = popularity_percentiles(popularity)
    return _mean(lists, percentile) - _mean(histories, percentile)


def creators(lists: Histories, creator: np.ndarray) -> np.ndarray:
    """Different creators of a list / its items whose creator is known; in (0, 1], larger is more mixed.

    (Intent-aware measures count likewise; Castells, Hurley & Vargas 2015, section 26.3.) NaN where none is known.
    """
    known = lists.where(creator[lists.items] >= 0)
    pairs = np.unique(np.stack([known.owner, creator[known.items]]), axis=1)
    return _ratio(np.bincount(pairs[0], minlength=len(lists)), known.lengths)


def looks(
    lists: Histories, histories: Histories, vectors: np.ndarray, cutoffs: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """How different the pictures of a list are, from one another and from the history: cosine distances; in [0, 2].

    visual_diversity: the mean of 1 - cos(f_i, f_j) over all pairs of a list (intra-list diversity; Smyth &
    McClave 2001, Ziegler et al. 2005). Larger is more mixed. NaN with fewer than two items.
    visual_distance: the mean of 1 - cos(f_i, f_h) over all pairs of a listed item and one of the history
    (what Zhang et al. 2012 call unserendipity, turned round). Larger is further from what the user knows.

    Items whose vector is zero (no picture, or nothing in it) are left out. No pair is looked at: the sum of
    all cosines of unit vectors is the square of their sum.

    Args:
        lists: B rows, best first.
        histories: B rows.
        vectors: `(I, F)`.
        cutoffs: the lengths of list that are looked at.
    """
    found = {f"visual_{one}@{k}": np.zeros(len(lists)) for k in cutoffs for one in ("diversity", "distance")}
    ends = np.unique(cutoffs)
    whole = vectors.dtype == np.float32  # else some are at a time
    limit = int(lists.indptr[-1] + histories.indptr[-1]) if whole else max(1, _CELLS // vectors.shape[1])
    for rows in _chunks(lists.lengths + histories.lengths, limit):
        shown, known = lists.take(rows), histories.take(rows)
        some = np.asarray(vectors)
        if not whole:
            items, place = np.unique(np.concatenate([shown.items, known.items]), return_inverse=True)
            some = np.asarray(vectors[items], dtype=np.float32)
            shown = replace(shown, items=place[: len(shown.items)])
            known = replace(known, items=place[len(shown.items) :])
        sums = np.zeros((4, len(ends), len(rows)))
        listed = shown.indptr, shown.items, known.indptr, known.items
        in_parallel(_sum_looks, len(rows), some, *listed, ends, *sums, least=_LEAST)
        for k, n, m, square, product in zip(ends.tolist(), *sums, strict=True):
            # The n cosines of an item with itself are 1 and do not count.
            found[f"visual_diversity@{k}"][rows] = 1 - _ratio(square - n, n * (n - 1))
            found[f"visual_distance@{k}"][rows] = 1 - _ratio(product, n * m)
    return found


def coverage(exposure: np.ndarray) -> float:
    """Catalogue coverage: the share of all items that is in anybody's list; in [0, 1] (Ge et al. 2010).

    Args:
        exposure: `(I,)` in how many lists each item is.
    """
    return float(np.count_nonzero(exposure) / len(exposure))


def gini(exposure: np.ndarray) -> float:
    """Gini coefficient of exposure: 0 where all items are shown equally often, 1 - 1/I where one has it all.

    G = sum_j (2 j - I - 1) x_(j) / (I sum_j x_j), x_(1) <= … <= x_(I) (Fleder & Hosanagar 2009). Smaller is
    fairer. 0 where nothing is shown.
    """
    n, total = len(exposure), exposure.sum()
    place = 2 * np.arange(1, n + 1) - n - 1
    return float((place * np.sort(exposure)).sum() / (n * total)) if total else 0.0


# ---- parts of them ---------------------------------------------------------------------------------------


def _mean(rows: Histories, of_item: np.ndarray) -> np.ndarray:
    """The mean over each row's items of a number `(I,)` of each; NaN where there are none."""
    return _ratio(np.bincount(rows.owner, of_item[rows.items], minlength=len(rows)), rows.lengths)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """NaN where `below` is 0."""
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)


def _chunks(sizes: np.ndarray, limit: int) -> list[np.ndarray]:
    """Rows in their order, in chunks whose sizes add up to at most `limit`, or of one row."""
    chunks, start, total = [], 0, 0
    for row, size in enumerate(sizes.tolist()):
        if row > start and total + size > limit:
            chunks.append(np.arange(start, row))
            start, total = row, 0
        total += size
    return [*chunks, np.arange(start, len(sizes))] if len(sizes) else []


@compiled
def _sum_looks(start, stop, vectors, first, shown, since, known, ends, n, m, square, product):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Of lists cut at each of `ends` and of histories the sums of unit vectors: by cut `(c, B)`, how many vectors n
    the list has and m the history, the square of the list's sum, and its product with the history's.
    """
    of_list, of_history = np.empty(vectors.shape[1], np.float32), np.empty(vectors.shape[1], np.float32)
    for b in range(start, stop):
        of_list[:], of_history[:] = 0, 0
        place, seen, met = first[b], 0, 0
        for s in range(since[b], since[b + 1]):
            met += _add_unit(of_history, vectors[known[s]])
        for c in range(len(ends)):
            while place < min(first[b] + ends[c], first[b + 1]):
                seen += _add_unit(of_list, vectors[shown[place]])
                place += 1
            n[c, b], m[c, b] = seen, met
            for f in range(len(of_list)):
                square[c, b] += np.float64(of_list[f]) * of_list[f]
                product[c, b] += np.float64(of_list[f]) * of_history[f]


@compiled
def _add_unit(total, vector):  # type: ignore[no-untyped-def]
    """Add a vector, brought to length 1, and say how many it is: one of zeros is none."""
    square = 0.0
    for f in range(len(vector)):
        square += np.float64(vector[f]) * vector[f]
    if square == 0:
        return 0
    scale = np.float32(1 / max(np.sqrt(square), _TINY))
    for f in range(len(vector)):
        total[f] += scale * vector[f]
    return 1


def _features(content: Content) -> Features | None:
    return content.vector if content.vector is not None else content.regions


def _creators(metadata: pl.DataFrame | None, train: Interactions) -> tuple[str | None, np.ndarray | None]:
    """The column that says who made an item, and a number for each one; None where there is no such column."""
    column = next((name for name in CREATORS if metadata is not None and name in metadata.columns), None)
    if metadata is None or column is None:
        return None, None
    words = metadata[column].cast(pl.String).str.strip_chars()
    words = words.set(words == "", None)
    codes = words.rank("dense").fill_null(0).cast(pl.Int64).to_numpy() - 1
    creator = np.full(train.n_items, -1, dtype=np.int64)
    creator[train.items.indices(metadata["item_id"].to_list())] = codes
    return (column, creator) if (creator >= 0).any() else (None, None)
