"""A model's recommendations by search: the scores of `recommend`, up to rounding, without scoring every item."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from visrec.errors import ConfigError
from visrec.ranking import top_k
from visrec.recommender import Queries, Recommender
from visrec.retrieval.exact import ordered
from visrec.retrieval.filters import filters
from visrec.retrieval.index import Index, Kind

_CELLS = 1 << 24  # scores held at once: 64 MiB
_SAMPLE = 2000  # queries that measure the recall and shape the graph
_TOGETHER = 64  # users who are asked at once: one query may be as many vectors as the history has items


def index_of(model: Recommender, *, kind: Kind = "auto", seed: int = 0, threads: int = 1) -> Index | None:
    """An index of a fitted model's item vectors, its recall measured with the queries of the model's own users.

    Args:
        model: fitted or loaded.
        kind: see `Index.build`.
        seed: decides which users are asked, and what the graph looks like.
        threads: see `Index.build`.

    Returns:
        The index; None where a score is no inner product of dense vectors (`item_knn`, `visrank` by top_n):
        such models compute every score.
    """
    users = np.random.default_rng(seed).permutation(len(model.users))
    asked: list[np.ndarray] = []
    for start in range(0, len(users), _TOGETHER):
        with torch.no_grad():
            found = model.probes(model.queries(users[start : start + _TOGETHER]))
        if found is None:
            return None
        probes, real = found
        asked += [probes[real].numpy()]
        if sum(map(len, asked)) >= _SAMPLE:
            break
    assert model.Z is not None
    vectors, sample = model.Z.detach().numpy(), np.concatenate(asked)[:_SAMPLE]
    return Index.build(vectors, "inner", kind=kind, seed=seed, threads=threads, queries=sample)


def best_items(
    model: Recommender,
    queries: Queries,
    k: int,
    *,
    index: Index | None = None,
    exclude: Sequence[np.ndarray] | None = None,
    allowed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k items of the highest score for each query, best first; ties by the rule of `visrec.ranking`.

    Args:
        model: fitted or loaded.
        queries: B users or visitors.
        k: how many.
        index: what `index_of` gave for this model, perhaps with rows added or removed since; None: every score is
            computed.
        exclude: items that are no answer to each query, B arrays of indices, such as what a user has seen.
        allowed: `(n,)` bool, False at items that are no answer to any query, n as in the index or the model.

    Returns:
        items `(B, min(k, n))` int64 and scores, float32; -1 and -inf where a query has fewer candidates. Numbers from
        `len(model.items)` on are rows added to the index.

    Raises:
        UnsupportedError: the model cannot serve visitors, and is asked to.
        ConfigError: k is below 1, a filter has another size, or the index is not of this model.
    """
    owners = np.full(len(queries), -1) if queries.user is None else queries.user.numpy()
    if index is None:
        return _by_scores(model, queries, k, owners=owners, exclude=exclude, allowed=allowed)
    model.check_served(queries)
    with torch.no_grad():
        found = model.probes(queries)
    width = None if found is None else found[0].shape[2]
    if found is None or index.metric != "inner" or width != index.dim or len(index) < len(model.items):
        raise ConfigError(
            f"This index ({len(index)} rows of {index.dim} numbers, {index.metric}) is not one of this "
            f"{type(model).__name__} ({len(model.items)} items). Make it with index_of(model); where that gives "
            f"None, leave the index out."
        )
    probes, real = (part.numpy() for part in found)
    if probes.shape[1] == 1:
        return index.search(probes[:, 0] * real, k, exclude=exclude, allowed=allowed, owners=owners)
    return _by_union(index, probes, real, k, owners=owners, exclude=exclude, allowed=allowed)


def _by_union(
    index: Index,
    probes: np.ndarray,
    real: np.ndarray,
    k: int,
    *,
    owners: np.ndarray,
    exclude: Sequence[np.ndarray] | None,
    allowed: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """By vectors of which the nearest counts: an item among a query's k best is among the k best of one of them."""
    blank = np.zeros(
        (len(probes), 1, index.dim), dtype=np.float32
    )  # for a query without any: every item has score 0
    probes = np.concatenate([probes, blank], axis=1)  # (B, P + 1, d)
    real = np.column_stack([real, ~real.any(axis=1)])
    query = np.nonzero(real)[0]
    left_out = None if exclude is None else [exclude[b] for b in query.tolist()]
    rows, _ = index.search(probes[real], k, exclude=left_out, allowed=allowed, owners=owners[query])
    found = np.full((len(owners), rows.shape[1]), -1, dtype=np.int64)
    scores = np.full(found.shape, -np.inf, dtype=np.float32)
    for b in range(len(owners)):
        near = np.unique(rows[query == b])
        best, value = ordered(
            index.vectors, near[near >= 0], probes[b, real[b]], rows.shape[1], owner=int(owners[b])
        )
        found[b, : len(best)], scores[b, : len(best)] = best, value
    return found, scores


def _by_scores(
    model: Recommender,
    queries: Queries,
    k: int,
    *,
    owners: np.ndarray,
    exclude: Sequence[np.ndarray] | None,
    allowed: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """By the scores of all items, in blocks of queries."""
    n = len(model.items)
    closed, left_out = filters(len(queries), n, k, exclude=exclude, allowed=allowed)
    size = max(1, _CELLS // max(n, model.query_cells(queries.history.shape[1])))
    blocks = []
    for start in range(0, len(queries), size):
        part = slice(start, start + size)
        scores = model.score_queries(queries.part(part))
        if closed is not None:
            scores[:, torch.from_numpy(closed)] = -torch.inf
        for b, rows in enumerate(() if left_out is None else left_out[part]):
            scores[b, torch.from_numpy(rows)] = -torch.inf
        blocks.append(top_k(scores, k, owners[part]))
    if not blocks:
        return np.empty((0, min(k, n)), dtype=np.int64), np.empty((0, min(k, n)), dtype=np.float32)
    return np.concatenate([items for items, _ in blocks]), np.concatenate([values for _, values in blocks])
