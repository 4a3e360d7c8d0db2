"""Approximate search: which library, with what settings, and from how many items on?

    uv run --with faiss-cpu --with hnswlib --with voyager python benchmarks/retrieval.py              # 33,000 items
    … --items 1000000 --contestants visrec-exact usearch-f16 faiss-ivf …                             # minutes each
    … --features FOLDER      beside the made-up vectors, real ones (`visrec extract … --pca 256 --out FOLDER`)
    … --models FOLDER …      and those of fitted models, asked by their users
    … --write                puts the figures into benchmarks/README.md, each size in a place of its own

Each contestant runs in a process of its own, on the same vectors, one after the other, on --threads threads to build
and on one to search, one query a call. Times are the processor's, so that other work on the machine does not count.
Effort is raised step by step; the speed is that of the first step whose recall reaches the target. Libraries that are
not installed are left out, and said to be.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from common import Table, described, machine, publish
from peak import Peak

from visrec.retrieval.index import Index

DIM = 256
SAMPLE = 2000  # queries beside those that are asked
CUTOFFS = (10, 100)
TARGET = 0.95
EFFORTS = (32, 64, 128, 256, 512, 1024)  # candidates kept on the way of a graph
PROBES = (4, 8, 16, 32, 64, 128)  # lists looked through
M, BUILD_EFFORT = 16, 128
PACKAGES = ("faiss-cpu", "hnswlib", "voyager", "usearch")


# ---- vectors ---------------------------------------------------------------------------------------


def looks(n: int, n_queries: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Directions in clusters of very unequal size, most variance in few of the numbers, as networks' outputs are."""
    n_clusters = max(20, int(n**0.5))
    spectrum = (1 + np.arange(DIM)) ** -0.5
    centres = rng.normal(size=(n_clusters, DIM)) * spectrum
    share = (1 + np.arange(n_clusters)) ** -0.8
    total = n + n_queries
    points = np.empty((total, DIM), dtype=np.float32)
    for start in range(0, total, 1 << 16):
        part = points[start : start + (1 << 16)]
        owner = rng.choice(n_clusters, size=len(part), p=share / share.sum())
        spread = rng.gamma(4.0, 0.2, size=(len(part), 1))  # some are typical of their cluster, others are not
        part[:] = centres[owner] + rng.normal(size=part.shape) * spectrum * spread
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    order = rng.permutation(total)
    return points[order[:n]], points[order[n:]]


def tastes(n: int, n_queries: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What VBPR holds, in the lengths and biases it has on MovieLens posters: a bias each; queries end with a 1."""
    directions, _ = looks(n, 0, rng)
    points = directions * 3.2 * rng.beta(5, 3, size=(n, 1))  # half of the lengths within 1.7 and 2.4
    points[:, -1] = rng.gumbel(-0.3, 0.28, size=n)
    of = rng.integers(
        0, n, size=(n_queries, 4)
    )  # a user looks for the mean of four items, and something of their own
    queries = directions[of].mean(axis=1) + rng.normal(size=(n_queries, DIM)) * 0.02
    queries *= 3 / np.linalg.norm(queries, axis=1, keepdims=True)
    queries[:, -1] = 1
    return points.astype(np.float32), queries.astype(np.float32)


def photos(folder: Path, n_queries: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Directions of real features; the queries are not among what is searched."""
    values = np.load(folder / "values.npy").astype(np.float32)
    values = values[np.abs(values).sum(axis=1) > 0]
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    order = rng.permutation(len(values))
    return values[order[n_queries:]], values[order[:n_queries]]


def model_vectors(folder: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Item vectors and users' queries of a fitted model."""
    import torch

    import visrec

    model = visrec.load_model(folder)
    with torch.no_grad():
        found = model.probes(model.queries(rng.permutation(len(model.users))))
    if found is None or model.Z is None:
        raise SystemExit(f"{folder}: its scores are no inner products.")
    return model.Z.detach().numpy(), found[0][found[1]].numpy()


def augmented(points: np.ndarray) -> np.ndarray:
    """One number more: all are of one length, the nearest is the largest product (Bachrach et al. 2014)."""
    squares = np.einsum("id,id->i", points, points)
    return np.column_stack([points, np.sqrt(np.maximum(squares.max() - squares, 0))]).astype(np.float32)


def padded(queries: np.ndarray) -> np.ndarray:
    """The queries to `augmented` vectors."""
    return np.column_stack([queries, np.zeros(len(queries))]).astype(np.float32)


# ---- contestants -----------------------------------------------------------------------------------


class Searcher(Protocol):
    """What a contestant is. `inner` says whether lengths matter."""

    efforts: tuple[int, ...]

    def build(self, points: np.ndarray, *, inner: bool, threads: int) -> None: ...
    def search(self, query: np.ndarray, k: int, effort: int) -> np.ndarray: ...
    def save(self, path: Path) -> None: ...
    def add(self, points: np.ndarray, first: int) -> None: ...
    def remove(self, rows: np.ndarray) -> None: ...


@dataclass
class Visrec:
    """What the project does, by the kind; the effort of a graph is the one that it chose by measuring."""

    kind: str
    sample: np.ndarray | None = None
    efforts = (0,)

    def build(self, points: np.ndarray, *, inner: bool, threads: int) -> None:
        asked = self.sample if inner else None
        metric = "inner" if inner else "cosine"
        self.index = Index.build(points, metric, kind=self.kind, threads=threads, queries=asked)

    def search(self, query: np.ndarray, k: int, effort: int) -> np.ndarray:
        return self.index.search(query[None], k)[0][0]

    def save(self, path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.index.save(Path(folder) / "index")
            parts = [part.read_bytes() for part in (Path(folder) / "index").iterdir()]
        path.write_bytes(b"".join(parts))

    def add(self, points: np.ndarray, first: int) -> None:
        self.index.add(points)

    def remove(self, rows: np.ndarray) -> None:
        self.index.remove(rows)


@dataclass
class Usearch:
    """HNSW. `augment` turns products into angles; without it, the library's own inner product is taken."""

    dtype: str
    augment: bool = True
    efforts = EFFORTS

    def build(self, points: np.ndarray, *, inner: bool, threads: int) -> None:
        from usearch.index import Index

        self.lift = inner and self.augment
        points = augmented(points) if self.lift else points
        metric = "ip" if inner and not self.augment else "cos"
        self.index = Index(
            ndim=points.shape[1], metric=metric, dtype=self.dtype, connectivity=M, expansion_add=BUILD_EFFORT
        )
        self.index.add(np.arange(len(points)), points, threads=threads)

    def search(self, query: np.ndarray, k: int, effort: int) -> np.ndarray:
        self.index.expansion_search = max(effort, k)
        query = np.append(query, np.float32(0)) if self.lift else query
        return self.index.search(query, k, threads=1).keys

    def save(self, path: Path) -> None:
        self.index.save(path)

    def add(self, points: np.ndarray, first: int) -> None:
        self.index.add(np.arange(first, first + len(points)), points, threads=1)

    def remove(self, rows: np.ndarray) -> None:
        self.index.remove(rows)


class Hnswlib:
    """HNSW; products by augmentation and L2."""

    efforts = EFFORTS

    def build(self, points: np.ndarray, *, inner: bool, threads: int) -> None:
        import hnswlib

        self.lift = inner
        points = augmented(points) if inner else points
        self.index = hnswlib.Index(space="l2" if inner else "ip", dim=points.shape[1])
        self.index.init_index(
            max_elements=len(points) + 2000, M=M, ef_construction=BUILD_EFFORT, random_seed=0
        )
        self.index.add_items(points, np.arange(len(points)), num_threads=threads)

    def search(self, query: np.ndarray, k: int, effort: int) -> np.ndarray:
        self.index.set_ef(max(effort, k))
        query = np.append(query, np.float32(0)) if self.lift else query
        return self.index.knn_query(query, k, num_threads=1)[0][0]

    def save(self, path: Path) -> None:
        self.index.save_index(str(path))

    def add(self, points: np.ndarray, first: int) -> None:
        self.index.add_items(points, np.arange(first, first + len(points)), num_threads=1)

    def remove(self, rows: np.ndarray) -> None:
        for row in rows:
            self.index.mark_deleted(row)


@dataclass
class Voyager:
    """HNSW; products by an augmentation of its own."""

    dtype: str = "Float32"
    efforts = EFFORTS

    def build(self, points: np.ndarray, *, inner: bool, threads: int) -> None:
        import voyager

        space = voyager.Space.InnerProduct if inner else voyager.Space.Cosine
        self.index = voyager.Index(
            space,
            points.shape[1],
            M=M,
            ef_construction=BUILD_EFFORT,
            random_seed=0,
            storage_data_type=getattr(voyager.StorageDataType, self.dtype),
        )
        self.index.add_items(points, np.arange(len(points)), num_threads=threads)

    def search(self, query: np.ndarray, k: int, effort: int) -> np.ndarray:
        return self.index.query(query, k, num_threads=1, query_ef=max(effort, k))[0]

    def save(self, path: Path) -> None:
        self.index.save(str(path))

    def add(self, points: np.ndarray, first: int) -> None:
        self.index.add_items(points, np.arange(first, first + len(points)), num_threads=1)

    def remove(self, rows: np.ndarray) -> None:
        for row in rows:
            self.index.mark_deleted(int(row))


class _Faiss:
    """What FAISS's indices have in common."""

    index: Any

    def save(self, path: Path) -> None:
        import faiss

        faiss.write_index(self.index, str(path))

    def add(self, points: np.ndarray, first: int) -> None:
        self.index.add(points)

    def remove(self, rows: np.ndarray) -> None:
        self.index.remove_ids(np.asarray(rows))


class FaissHNSW(_Faiss):
    """HNSW over whole vectors; products by augmentation and L2."""

    efforts = EFFORTS

    def build(self, points: np.ndarray, *, inner: bool, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        self.lift = inner
        points = augmented(points) if inner else points
        metric = faiss.METRIC_L2 if inner else faiss.METRIC_INNER_PRODUCT
        self.index = faiss.IndexHNSWFlat(points.shape[1], M, metric)
        self.index.hnsw.efConstruction = BUILD_EFFORT
        self.index.add(np.ascontiguousarray(points))
        faiss.omp_set_num_threads(1)

    def search(self, query: np.ndarray, k: int, effort: int) -> np.ndarray:
        self.index.hnsw.efSearch = max(effort, k)
        query = np.append(query, np.float32(0)) if self.lift else query
        return self.index.search(query[None], k)[1][0]


class FaissIVF(_Faiss):
    """Lists around sqrt(16 n) centres over whole vectors; products as they are."""

    efforts = PROBES

    def build(self, points: np.ndarray, *, inner: bool, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        n_lists = int(4 * len(points) ** 0.5)
        self.quantizer = faiss.IndexFlatIP(points.shape[1])
        self.index = faiss.IndexIVFFlat(self.quantizer, points.shape[1], n_lists, faiss.METRIC_INNER_PRODUCT)
        self.index.cp.max_points_per_centroid = 64
        self.index.cp.min_points_per_centroid = 1
        self.index.train(points)
        self.index.add(points)
        faiss.omp_set_num_threads(1)

    def search(self, query: np.ndarray, k: int, effort: int) -> np.ndarray:
        self.index.nprobe = effort
        return self.index.search(query[None], k)[1][0]


CONTESTANTS: dict[str, Callable[[], Searcher]] = {
    "visrec exact": lambda: Visrec("exact"),
    "visrec approximate": lambda: Visrec("approximate"),
    "usearch-f32": lambda: Usearch("f32"),
    "usearch-f16": lambda: Usearch("f16"),
    "usearch-i8": lambda: Usearch("i8"),
    "usearch-f32-ip": lambda: Usearch("f32", augment=False),
    "voyager": Voyager,
    "voyager-float8": lambda: Voyager("Float8"),
    "hnswlib": Hnswlib,
    "faiss-hnsw": FaissHNSW,
    "faiss-ivf": FaissIVF,
}


# ---- one contestant, in a process of its own ---------------------------------------------------------


def measure(name: str, folder: Path, threads: int) -> dict[str, Any]:
    """Build, search with rising effort, save, add, remove."""
    points, queries, truth = (
        np.load(folder / f"{part}.npy", mmap_mode="r") for part in ("points", "queries", "truth")
    )
    inner = json.loads((folder / "about.json").read_text())["inner"]
    points, queries = np.array(points), np.array(queries)
    CONTESTANTS[name]().build(points[:1000], inner=inner, threads=1)  # imports and first calls do not count
    searcher = CONTESTANTS[name]()
    if isinstance(searcher, Visrec):
        searcher.sample = np.load(folder / "sample.npy")
    peak, start = Peak(), time.process_time()
    searcher.build(points, inner=inner, threads=threads)
    built, kept = time.process_time() - start, (Peak.now() - peak.before) / 2**20
    facts: dict[str, Any] = {
        "name": name,
        "build_s": built,
        "peak_mib": peak.mib(),
        "kept_mib": kept,
        "steps": [],
    }
    for k in CUTOFFS:
        for effort in searcher.efforts:
            recall, speed = _asked(searcher, queries, truth, k, effort)
            facts["steps"].append({"k": k, "effort": effort, "recall": recall, "per_s": speed})
            if recall >= 0.98:
                break
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        searcher.save(Path(file.name))
        facts["disk_mib"] = Path(file.name).stat().st_size / 2**20
    facts["adds"], facts["removes"] = _changes(searcher, points, inner=inner)
    return facts


def _asked(
    searcher: Searcher, queries: np.ndarray, truth: np.ndarray, k: int, effort: int
) -> tuple[float, float]:
    """Mean recall, and queries a second, the best of three parts of the queries."""
    hits, speeds = 0, []
    for part in np.array_split(np.arange(len(queries)), 3):
        start = time.process_time()
        found = [searcher.search(queries[q], k, effort) for q in part]
        speeds.append(len(part) / (time.process_time() - start))
        hits += sum(len(np.intersect1d(found[i][:k], truth[q, :k])) for i, q in enumerate(part))
    return hits / (len(queries) * k), max(speeds)


def _changes(searcher: Searcher, points: np.ndarray, *, inner: bool) -> tuple[str, str]:
    """Whether new rows are found and removed ones are not, or what the library says to it."""
    new = (
        points[:100] + np.random.default_rng(1).normal(size=(100, points.shape[1])).astype(np.float32) * 1e-3
    )
    asked = new / np.linalg.norm(new, axis=1, keepdims=True)
    rows = np.arange(len(points), len(points) + 100)
    lifted = getattr(searcher, "lift", False)
    squares = np.einsum("id,id->i", points, points).max() if lifted else 0
    extra = np.sqrt(np.maximum(squares - np.einsum("id,id->i", new, new), 0))[:, None]
    try:
        searcher.add(np.column_stack([new, extra]).astype(np.float32) if lifted else new, len(points))
        found = [row in searcher.search(asked[i], 10, searcher.efforts[-1]) for i, row in enumerate(rows)]
        adds = f"{100 * np.mean(found):.0f}% found" if not inner else "yes"
    except Exception as error:  # noqa: BLE001 - whatever a library says, it is the finding
        return f"no ({type(error).__name__})", "-"
    try:
        searcher.remove(rows)
        left = sum(row in searcher.search(asked[i], 10, searcher.efforts[-1]) for i, row in enumerate(rows))
        return adds, "yes" if left == 0 else f"{left} left"
    except Exception as error:  # noqa: BLE001
        return adds, f"no ({type(error).__name__})"


# ---- all of them -----------------------------------------------------------------------------------


def write_set(folder: Path, points: np.ndarray, asked: np.ndarray, *, n_queries: int, inner: bool) -> None:
    """Vectors, queries and the exact answers, and other queries for those who learn from them, as files."""
    folder.mkdir()
    queries, sample = asked[:n_queries], asked[n_queries:]
    truth, _ = Index.build(points, kind="exact").search(queries, max(CUTOFFS))
    for name, array in (("points", points), ("queries", queries), ("truth", truth), ("sample", sample)):
        np.save(folder / f"{name}.npy", array)
    (folder / "about.json").write_text(json.dumps({"inner": inner}))


def row(facts: dict[str, Any]) -> list[str]:
    """A line of the table."""
    cells = [facts["name"], f"{facts['build_s']:.1f}"]
    for k in CUTOFFS:
        steps = [step for step in facts["steps"] if step["k"] == k]
        good = [step for step in steps if step["recall"] >= TARGET]
        step = good[0] if good else max(steps, key=lambda one: one["recall"])
        note = "" if good else " (missed)"
        cells += [f"{step['effort']}", f"{step['recall']:.3f}{note}", f"{step['per_s']:,.0f}"]
    return [*cells, f"{facts['kept_mib']:,.0f}", f"{facts['disk_mib']:,.0f}", facts["adds"], facts["removes"]]


HEADER = (
    "",
    "build, processor s",
    *(head for k in CUTOFFS for head in (f"effort @{k}", f"recall@{k}", f"queries/s @{k}")),
    *("MiB", "MiB on disk", "adds", "removes"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=33_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1, help="to build on; searches run on one")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--sets", nargs="*", choices=("looks", "tastes"), default=["looks", "tastes"])
    parser.add_argument("--features", type=Path)
    parser.add_argument("--models", type=Path, nargs="+", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one[0], Path(args.one[1]), args.threads)))
        return
    about: dict[str, Any] = {
        "items": args.items,
        "queries": args.queries,
        "threads": args.threads,
        "sets": {},
    }
    texts = []
    with tempfile.TemporaryDirectory() as scratch:
        sets = [*args.sets, *(["photos"] if args.features else []), *(str(model) for model in args.models)]
        for given in sets:
            rng = np.random.default_rng(args.seed)
            name = Path(given).name
            folder = Path(scratch) / name
            if given in args.sets:
                made = (looks if name == "looks" else tastes)(args.items, args.queries + SAMPLE, rng)
            elif given == "photos":
                made = photos(args.features, args.queries, rng)
            else:
                made = model_vectors(given, rng)
            write_set(folder, *made, n_queries=args.queries, inner=name not in ("looks", "photos"))
            n, dim = np.load(folder / "points.npy", mmap_mode="r").shape
            table = Table(HEADER)
            about["sets"][name] = {"items": n, "contestants": []}
            for contestant in args.contestants:
                command = [
                    sys.executable,
                    __file__,
                    "--threads",
                    str(args.threads),
                    "--one",
                    contestant,
                    str(folder),
                ]
                done = subprocess.run(
                    command,
                    capture_output=True,
                    text=True,
                    env={**os.environ, "OMP_NUM_THREADS": str(args.threads), "OPENBLAS_NUM_THREADS": "1"},
                    check=False,
                )
                if done.returncode:
                    print(
                        f"{contestant}: left out ({done.stderr.strip().splitlines()[-1:]})", file=sys.stderr
                    )
                    continue
                facts = json.loads(done.stdout)
                print(f"{name}: {' | '.join(row(facts))}", file=sys.stderr, flush=True)
                about["sets"][name]["contestants"].append(facts)
                table.rows.append(row(facts))
            table.show()
            texts.append(f"**{name}**, {n:,} items of {dim} numbers.\n\n{table.markdown}")
    about["machine"] = machine()
    for package in PACKAGES:
        try:
            about["machine"]["packages"][package] = version(package)
        except PackageNotFoundError:
            continue
    if args.write:
        name = (
            "retrieval_models"
            if not args.sets
            else "retrieval"
            if args.items < 500_000
            else "retrieval_large"
        )
        publish(name, "\n\n".join([*texts, described(about["machine"])]), about)


if __name__ == "__main__":
    main()
