"""Item vectors made ready to be searched."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from visrec.errors import ConfigError, RunError
from visrec.files import file_digest, read_json, replacing_folder, write_json
from visrec.retrieval import exact
from visrec.retrieval.filters import filters, row_numbers
from visrec.retrieval.graph import Graph
from visrec.retrieval.vectors import Metric, checked, digest, lengths

Kind = Literal["auto", "exact", "approximate"]
FORMAT = 1
EXACT_UP_TO = 100_000
"""Rows up to which "auto" looks at all of them."""
CUTOFFS = (10, 100)
"""List lengths whose recall is measured."""
TARGET = 0.95
"""Recall, at each of `CUTOFFS`, that the effort is raised to."""
_EFFORTS = (64, 128, 256, 512, 1024, 2048)  # rows looked at more closely by a search
_SAMPLE = 200  # queries that measure the recall
_QUERIES = 10_000  # more tell nothing new
_WIDEST = 32  # beyond 1 / this of all rows, looking at every row is the quicker
_HEADROOM = 8  # a table that is full grows by 1 / this
_MARGIN = 2  # times as many rows as are needed are looked at: of the last ones, a graph misses many


@dataclass(frozen=True, eq=False)
class _Rows:
    """What a search looks at: it never changes, so that a search sees all of an addition or nothing of it."""

    vectors: np.ndarray  # (n, d) float32; of length 1 where the metric is the cosine
    removed: np.ndarray  # (n,) bool
    reach: float  # length of the longest


class Index:
    """Item vectors and the way in which they are searched. Make one with `build`.

    A row keeps its number for good: `add` gives the next numbers, `remove` only closes rows. Searches may run in
    any number of threads, also while rows are added or removed. Scores are always those of the vectors themselves;
    an approximate index may miss rows, as often as `recall` says.

    Attributes:
        metric: "inner", the inner product, as models score; "cosine", as similar items are found.
        recall: by list length (10, 100), the share of the best rows that a search finds, the mean over a sample of
            queries; 1 where every row is looked at. Measured when it was built.
        effort: how many rows an approximate search looks at closely; 0 where every row is looked at.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        metric: Metric,
        graph: Graph | None,
        removed: np.ndarray,
        recall: dict[int, float],
    ) -> None:
        """Of checked vectors; see `build` and `load`."""
        self.metric: Metric = metric
        self.recall = recall
        self.effort = 0
        self._graph = graph
        self._writing = threading.Lock()
        self._buffer = vectors  # (capacity, d); rows beyond those of `_rows` are not in use yet
        self._rows = _Rows(vectors, removed, float(lengths(vectors).max(initial=0)))

    @classmethod
    def build(
        cls,
        vectors: np.ndarray,
        metric: Metric = "inner",
        *,
        kind: Kind = "auto",
        seed: int = 0,
        threads: int = 1,
        queries: np.ndarray | None = None,
    ) -> Self:
        """Make vectors ready to be searched.

        Args:
            vectors: `(n, d)`; float32 is used as it lies where the metric is "inner", so leave it unchanged.
            metric: "inner" or "cosine"; the cosine with a vector of zeros is 0.
            kind: "exact" looks at every row; "approximate" follows a graph; "auto" is exact up to `EXACT_UP_TO` rows
                and wherever the graph cannot reach the `TARGET`.
            seed: of the graph, and of the sample of queries.
            threads: to build the graph with; with more than one, two builds may find a few other rows.
            queries: `(m, d)` of the kind that will be asked, some thousands if there are as many: up to 200 of them
                measure the recall, the others tell the graph of inner products which differences matter. None: some
                of the vectors measure it.

        Raises:
            ConfigError: there is no such metric or kind.
            DataError: the vectors are not a table of finite numbers.
        """
        if metric not in ("inner", "cosine") or kind not in ("auto", "exact", "approximate"):
            raise ConfigError(
                f"There is no index of the metric {metric!r} and the kind {kind!r}; choose 'inner' or 'cosine', and "
                f"'auto', 'exact' or 'approximate'."
            )
        held = checked(vectors, metric)
        index = cls(held, metric, None, np.zeros(len(held), dtype=bool), dict.fromkeys(CUTOFFS, 1.0))
        if len(held) == 0 or kind == "exact" or (kind == "auto" and len(held) <= EXACT_UP_TO):
            return index
        asked = held if queries is None else checked(queries, metric, dim=index.dim)
        asked = asked[np.random.default_rng(seed).permutation(len(asked))[:_QUERIES]]
        asked = asked[asked.any(axis=1)]  # a query that says nothing is answered exactly
        if len(asked):
            rest = None if queries is None else asked[_SAMPLE:]
            graph = Graph.build(held, metric, seed=seed, threads=threads, queries=rest)
            index._follow(graph, asked[:_SAMPLE], fallback=kind == "auto")
        return index

    @property
    def kind(self) -> Literal["exact", "approximate"]:
        """How it searches."""
        return "exact" if self._graph is None else "approximate"

    def __len__(self) -> int:
        """How many rows there are, removed ones included."""
        return len(self._rows.vectors)

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self._rows.vectors.shape[1]

    @property
    def vectors(self) -> np.ndarray:
        """The vectors `(n, d)` float32, not to be written to; for the cosine, their directions."""
        view = self._rows.vectors.view()
        view.flags.writeable = False
        return view

    @property
    def removed(self) -> np.ndarray:
        """`(n,)` bool: True at rows that `remove` closed."""
        return self._rows.removed.copy()

    def search(
        self,
        queries: np.ndarray,
        k: int,
        *,
        exclude: Sequence[np.ndarray] | None = None,
        allowed: np.ndarray | None = None,
        owners: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best rows for each query, best first; ties by the rule of `visrec.ranking`.

        There are k of them wherever k rows are left: where filters leave an approximate search too few, it looks
        further, and at last at every row.

        Args:
            queries: `(B, d)`.
            k: how many.
            exclude: rows that are no answer to each query, B arrays of row numbers.
            allowed: `(n,)` bool, False at rows that are no answer to any query.
            owners: `(B,)` user index of each query, -1 for a visitor, for the order of ties; None: all visitors.

        Returns:
            rows `(B, min(k, n))` int64, and scores, float32: the inner product or cosine of the vectors themselves.
            Queries with fewer candidates are filled up with row -1, score -inf.

        Raises:
            ConfigError: k is below 1, or a filter has another size than the index.
            DataError: the queries are not B vectors of `dim` finite numbers.
        """
        held = self._rows
        asked = checked(queries, self.metric, dim=self.dim)
        n = len(held.vectors)
        closed, left_out = filters(len(asked), n, k, exclude=exclude, allowed=allowed, removed=held.removed)
        whose = np.full(len(asked), -1) if owners is None else np.asarray(owners, dtype=np.int64)
        rows = np.full((len(asked), min(k, n)), -1, dtype=np.int64)
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)
        missed = np.ones(len(asked), dtype=bool)
        share = 1.0 if closed is None else 1 - np.count_nonzero(closed) / max(1, n)
        for b in range(len(asked) if self._graph is not None and share > 0 else 0):
            out = np.empty(0, dtype=np.int64) if left_out is None else left_out[b]
            near = self._near(held, asked[b], rows.shape[1], share=share, closed=closed, out=out)
            if near is not None:
                rows[b], scores[b] = exact.ordered(
                    held.vectors, near, asked[b], rows.shape[1], owner=int(whose[b])
                )
                missed[b] = False
        if missed.any():
            rest = np.flatnonzero(missed)
            rows[rest], scores[rest] = exact.largest(
                held.vectors,
                asked[rest],
                k,
                owners=whose[rest],
                reach=held.reach,
                closed=closed,
                exclude=None if left_out is None else [left_out[b] for b in rest],
            )
        return rows, scores

    def add(self, vectors: np.ndarray) -> np.ndarray:
        """Take in new rows, without a rebuild.

        Args:
            vectors: `(m, d)`, made as those that are here.

        Returns:
            Their row numbers `(m,)` int64.

        Raises:
            DataError: they are not m vectors of `dim` finite numbers.
        """
        new = checked(vectors, self.metric, dim=self.dim)
        with self._writing:
            old = self._rows
            n = len(old.vectors)
            if n + len(new) > len(self._buffer):
                self._buffer = np.empty((n + len(new) + n // _HEADROOM, self.dim), dtype=np.float32)
                self._buffer[:n] = old.vectors
            self._buffer[n : n + len(new)] = new
            if self._graph is not None:
                self._graph.add(new)
            removed = np.append(old.removed, np.zeros(len(new), dtype=bool))
            reach = max(old.reach, float(lengths(new).max(initial=0)))
            self._rows = _Rows(self._buffer[: n + len(new)], removed, reach)
        return np.arange(n, n + len(new))

    def remove(self, rows: np.ndarray) -> None:
        """Close rows: no search finds them any more.

        Raises:
            ConfigError: there is no such row.
        """
        with self._writing:
            closed = self._rows.removed.copy()
            closed[row_numbers(rows, len(closed))] = True
            self._rows = replace(self._rows, removed=closed)

    def save(self, path: str | Path) -> None:
        """Write all but the vectors to a folder: about.json, removed.npy and, where there is
        a graph, graph.voyager and scale.npy.

        An older one there is replaced, as a whole.
        """
        with self._writing, replacing_folder(path) as folder:
            held = self._rows
            np.save(folder / "removed.npy", np.flatnonzero(held.removed), allow_pickle=False)
            about: dict[str, Any] = {
                "format": FORMAT,
                "metric": self.metric,
                "kind": self.kind,
                "vectors": digest(held.vectors),
                "recall": {str(k): value for k, value in self.recall.items()},
                "effort": self.effort,
            }
            if self._graph is not None:
                self._graph.save(folder / "graph.voyager")
                about |= {"L": self._graph.L, "graph": file_digest(folder / "graph.voyager")}
                if self._graph.A is not None:
                    np.save(folder / "scale.npy", self._graph.A, allow_pickle=False)
                    about["scale"] = file_digest(folder / "scale.npy")
            write_json(folder / "about.json", about)

    @classmethod
    def load(cls, path: str | Path, vectors: np.ndarray) -> Self:
        """Read what `save` wrote.

        Args:
            path: its folder.
            vectors: `(n, d)`, those it was built of and those that were added, in this order.

        Raises:
            RunError: there is no such folder, it is damaged, or it is of other vectors.
            DataError: the vectors are not a table of finite numbers.
        """
        folder = Path(path)
        try:
            about = read_json(folder / "about.json")
            if about["format"] != FORMAT:
                raise RunError(f"{folder}: in format {about['format']}; this visrec reads format {FORMAT}.")
            held = checked(vectors, about["metric"])
            if digest(held) != about["vectors"]:
                raise RunError(f"{folder}: is an index of other vectors than these. Build it again.")
            graph = None
            if about["kind"] == "approximate":
                for name, part in (("graph.voyager", "graph"), ("scale.npy", "scale")):
                    if part in about and file_digest(folder / name) != about[part]:
                        raise RunError(f"{folder}: {name} is damaged. Build the index again.")
                A = np.load(folder / "scale.npy", allow_pickle=False) if "scale" in about else None
                graph = Graph.load(folder / "graph.voyager", held, about["L"], A)
            removed = np.zeros(len(held), dtype=bool)
            removed[row_numbers(np.load(folder / "removed.npy", allow_pickle=False), len(held))] = True
            recall = {int(k): float(value) for k, value in about["recall"].items()}
            index = cls(held, about["metric"], graph, removed, recall)
            index.effort = int(about["effort"])
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunError(f"{folder}: is not an index (no {Path(error.filename).name}).") from None
        except (KeyError, TypeError, ValueError, AttributeError, EOFError, ConfigError) as error:
            raise RunError(
                f"{folder}: is not an index that visrec can read ({error}). Build it again."
            ) from None
        return index

    def _near(
        self,
        held: _Rows,
        query: np.ndarray,
        k: int,
        *,
        share: float,
        closed: np.ndarray | None,
        out: np.ndarray,
    ) -> np.ndarray | None:
        """Candidates by the graph, at least k that no filter closes; None where every row must be looked at."""
        assert self._graph is not None
        if not query.any():  # all rows are equally near
            return None
        n = len(held.vectors)
        wanted = int(max(self.effort, _MARGIN * (k + len(out))) / share)
        while wanted * _WIDEST <= n or wanted == self.effort:
            near = self._graph.near(query, wanted)
            near = self._with_alike(held, near[near < n], query, k, closed=closed, out=out)
            if len(near) >= k:
                return near
            wanted *= 4
        return None

    def _with_alike(
        self,
        held: _Rows,
        near: np.ndarray,
        query: np.ndarray,
        k: int,
        *,
        closed: np.ndarray | None,
        out: np.ndarray,
    ) -> np.ndarray:
        """Rows and those with the same vectors, none closed; of many, enough for the k best, ties included."""
        assert self._graph is not None
        n = len(held.vectors)

        def left(rows: np.ndarray) -> np.ndarray:
            rows = rows if closed is None else rows[~closed[rows]]
            return rows[~np.isin(rows, out)] if len(out) else rows

        if not any(self._graph.alike(row) is not None for row in near.tolist()):
            return left(near)
        near, scores = exact.ordered(held.vectors, near, query, len(near), owner=-1)
        found, count, last = [np.empty(0, dtype=np.int64)], 0, np.inf
        for row, score in zip(near.tolist(), scores.tolist(), strict=True):
            if count >= k and score < last:
                break
            alike = self._graph.alike(row)
            found.append(left(np.array([row]) if alike is None else alike[alike < n]))
            count, last = count + len(found[-1]), score
        return np.concatenate(found)

    def _follow(self, graph: Graph, queries: np.ndarray, *, fallback: bool) -> None:
        """Search by a graph from now on, with the least effort whose recall reaches the target.

        Where none does: with the most, or, with `fallback`, at every row.
        """
        truth, _ = self.search(queries, max(CUTOFFS))
        self._graph = graph
        for effort in _EFFORTS:
            self.effort = effort
            self.recall = {k: _recall(self.search(queries, k)[0], truth[:, :k]) for k in CUTOFFS}
            if min(self.recall.values()) >= TARGET:
                return
        if fallback:
            self._graph, self.effort, self.recall = None, 0, dict.fromkeys(CUTOFFS, 1.0)


def _recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean share of the true rows `(B, k)` among those found."""
    return float(np.mean([np.isin(right, one).mean() for one, right in zip(found, truth, strict=True)]))
