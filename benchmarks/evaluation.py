"""All metrics for all users, from the models' vectors on: visrec, the tutorial's loop over users, and ranx.

uv run python benchmarks/evaluation.py              # a minute or two on one core
uv run python benchmarks/evaluation.py --write      # puts the figures into README.md and results/evaluation.json

Each contender runs in a process of its own, on one thread, and ranks for the same users, items and vectors, drawn
from a seed. What is counted is processor time, so that other work on the machine does not count; and the memory that
is held above what was there before. Where they compute the same metric, they must agree.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from common import Peak, Table, described, machine, publish, spread

import visrec
from visrec import config
from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.evaluation.metrics import compute, metric_names
from visrec.evaluation.protocol import evaluate, held_out_ranks
from visrec.features.features import Features
from visrec.recommender import Recommender

DIM, CUTOFFS = 128, (20, 100)
USERS, ITEMS, PER_USER = 1_078, 32_959, 90  # the tutorial's Wikimedia data; interactions a user
LARGE = {"users": 100, "items": 1_000_000}

_RANX = {
    "ndcg": "ndcg",
    "recall": "recall",
    "precision": "precision",
    "f1": "f1",
    "hit": "hit_rate",
    "map": "map",
    "rr": "mrr",
}


class Vectors(Recommender):
    """A model that has its vectors from elsewhere."""

    Config = config.Config
    new_users = False
    new_items = True
    query = "user"
    paper = "none"

    def __init__(self, Q: np.ndarray, vectors: np.ndarray) -> None:
        super().__init__()
        self.Q, self.vectors = torch.from_numpy(Q), torch.from_numpy(vectors)

    def _fit(self, fitting: Any) -> None:
        pass

    def encode_items(self, items: torch.Tensor) -> torch.Tensor:
        return self.vectors[items]

    def encode_queries(self, queries: Any) -> torch.Tensor:
        return self.Q[queries.user]

    def state(self) -> dict[str, torch.Tensor]:
        return {}

    def restore(self, state: Any) -> None:
        pass


class World:
    """The same for all contenders: vectors of users and items, what was taken, and one held-out item a user."""

    def __init__(self, users: int, items: int) -> None:
        rng = np.random.default_rng(0)
        self.Q = rng.standard_normal((users, DIM), dtype=np.float32)
        self.Z = rng.standard_normal((items, DIM), dtype=np.float32)
        popular = min(items, 9_636)
        user = np.repeat(np.arange(users), PER_USER)
        item = np.concatenate([rng.choice(popular, PER_USER, replace=False) for _ in range(users)])
        time_ = np.tile(np.arange(PER_USER), users)
        ids = IdMap(range(users), kind="user"), IdMap(range(items), kind="item")
        every = Interactions(user, item, time_, np.ones(len(user)), *ids)
        self.split = visrec.leave_last_out(every)


# ---- contenders: from a world to the mean of each metric -------------------------------------------------


def by_visrec(world: World) -> Callable[[], dict[str, float]]:
    model = Vectors(world.Q, world.Z).fit(world.split.train)

    def metrics() -> dict[str, float]:
        _, ranks = held_out_ranks(model, world.split, "test")
        return {name: float(compute(name, ranks).mean()) for name in metric_names(CUTOFFS)}

    return metrics


def by_visrec_with_all(world: World) -> Callable[[], dict[str, float]]:
    """A whole report: beside the metrics their intervals, and novelty, coverage, visual diversity and so on."""
    model = Vectors(world.Q, world.Z).fit(world.split.train)
    features = None
    if world.split.train.n_items == ITEMS:  # at a million items 2,048 numbers each are 8 GB
        values = np.random.default_rng(1).random((ITEMS, 2_048), dtype=np.float32)
        features = Features.from_array(values, world.split.train.items.values)

    def report() -> dict[str, float]:
        found = evaluate(model, world.split, cutoffs=CUTOFFS, content=features)
        return {name: found[name] for name in found.metrics}

    return report


def by_product(world: World) -> Callable[[], dict[str, float]]:
    """No metric at all: the matrix product that each contender needs, in visrec's blocks."""
    model = Vectors(world.Q, world.Z).fit(world.split.train)

    def product() -> dict[str, float]:
        for _, queries in model.query_blocks(np.arange(len(world.Q))):
            model.encode_queries(queries) @ model.vectors.T
        return {}

    return product


def by_tutorial(world: World) -> Callable[[], dict[str, float]]:
    """The tutorial's way: a user at a time, all items sorted, the consumed ones taken out, metrics in Python.

    Its errors are left out, so that the numbers must agree: all consumed items are removed, AUC is by candidates, and
    with one held-out item a user its nDCG is the right one.
    """
    Q, Z = torch.from_numpy(world.Q), torch.from_numpy(world.Z)
    consumed, held = world.split.seen("test").histories(), world.split.test.histories()

    def loop() -> dict[str, float]:
        rows = []
        for user in range(len(Q)):
            scores = (Q[user] * Z).sum(1)
            ranking = torch.argsort(scores, descending=True).numpy()
            ranking = ranking[~np.isin(ranking, consumed.of(user))]
            positions = np.flatnonzero(np.isin(ranking, held.of(user)))
            n, R = len(ranking), len(positions)
            row = {
                "auc": sum((n - (p + 1)) - (R - (j + 1)) for j, p in enumerate(positions)) / (R * (n - R)),
                "rr": 1 / (positions[0] + 1),
            }
            for k in CUTOFFS:
                hits = positions[positions < k]
                ideal = sum(1 / np.log2(j + 2) for j in range(len(hits)))
                row[f"recall@{k}"] = len(hits) / R
                row[f"precision@{k}"] = len(hits) / k
                row[f"ndcg@{k}"] = sum(1 / np.log2(p + 2) for p in hits) / ideal if len(hits) else 0.0
            rows.append(row)
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    return loop


def by_ranx(world: World) -> Callable[[], dict[str, float]]:
    """ranx judges lists; NumPy cuts them from blocks of scores. Without AUC and RR, which need the whole ranking."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ranx
    consumed, held = world.split.seen("test").histories(), world.split.test.histories()
    names = [f"{name}@{k}" for k in CUTOFFS for name in _RANX.values()]

    def judge(users: np.ndarray) -> dict[str, float]:
        scored: dict[str, dict[str, float]] = {}
        depth = max(CUTOFFS)
        for block in np.array_split(users, max(1, len(users) * len(world.Z) >> 24)):
            scores = world.Q[block] @ world.Z.T
            seen = consumed.take(block)
            scores[seen.owner, seen.items] = -np.inf
            best = np.argpartition(-scores, depth, axis=1)[:, :depth]
            for user, line, items in zip(block.tolist(), scores, best, strict=True):
                scored[f"u{user}"] = {f"i{item}": float(line[item]) for item in items.tolist()}
        truth = {f"u{user}": {f"i{item}": 1 for item in held.of(user).tolist()} for user in users.tolist()}
        found = ranx.evaluate(ranx.Qrels(truth), ranx.Run(scored), names)
        return {f"{name}@{k}": float(found[f"{_RANX[name]}@{k}"]) for k in CUTOFFS for name in _RANX}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        judge(np.arange(2))  # compiled before the clock starts
    return lambda: judge(np.arange(len(world.Q)))


CONTENDERS = {
    "the matrix product alone": by_product,
    "visrec, the metrics": by_visrec,
    "visrec, a whole report": by_visrec_with_all,
    "the tutorial's loop": by_tutorial,
    "ranx, lists of 100": by_ranx,
}


# ---- the race --------------------------------------------------------------------------------------------


def one(name: str, users: int, items: int) -> dict[str, Any]:
    """One contender, in this process."""
    torch.set_num_threads(1)
    work = CONTENDERS[name](World(users, items))
    peak, start, clock = Peak(), time.process_time(), time.perf_counter()
    found = work()
    seconds, wall = time.process_time() - start, time.perf_counter() - clock
    return {"seconds": seconds, "wall_seconds": wall, "peak_mib": peak.mib(), "metrics": found}


def child(name: str, users: int, items: int) -> dict[str, Any]:
    """The same, in a process of its own."""
    command = [sys.executable, __file__, "--one", name, str(users), str(items)]
    alone = {**os.environ, "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=alone)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def check(found: dict[str, list[dict[str, Any]]]) -> None:
    """Who computes the same metric must get the same number, but for neighbours a last bit of a score apart."""
    ours = found["visrec, the metrics"][0]["metrics"]
    for name, runs in found.items():
        for metric, value in runs[0]["metrics"].items():
            if abs(value - ours[metric]) > 1e-5:
                raise SystemExit(f"{name}: {metric} is {value}, visrec's is {ours[metric]}")


def table(found: dict[str, list[dict[str, Any]]]) -> Table:
    shown = Table(["", "metrics", "processor s", "times visrec", "peak MiB"])
    ours = [run["seconds"] for run in found["visrec, the metrics"]]
    for name, runs in found.items():
        seconds = [run["seconds"] for run in runs]
        ratios = [theirs / mine for theirs, mine in zip(seconds, ours, strict=True)]
        memory = spread([run["peak_mib"] for run in runs], ".0f")
        shown.rows.append([name, str(len(runs[0]["metrics"])), spread(seconds), spread(ratios), memory])
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("NAME", "USERS", "ITEMS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        name, users, items = args.one
        print(json.dumps(one(name, int(users), int(items))))
        return
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for _ in range(args.rounds):
        for name, runs in found.items():
            runs.append(child(name, USERS, ITEMS))
    check(found)
    names = ["the matrix product alone", "visrec, the metrics", "visrec, a whole report"]
    large = {name: [child(name, LARGE["users"], LARGE["items"])] for name in names}
    shown, shown_large = table(found), table(large)
    shown.show()
    shown_large.show()
    about = machine()
    print(described(about))
    if args.write:
        text = (
            f"{USERS:,} users, {ITEMS:,} items, {DIM} numbers a vector; {args.rounds} rounds, medians "
            f"(lowest-highest).\n\n{shown.markdown}\n\n{LARGE['users']} users, {LARGE['items']:,} items; once. Here "
            f"the whole report is without features.\n\n{shown_large.markdown}\n\nOne thread each. {described(about)}"
        )
        publish("evaluation", text, {"found": found, "large": large, "machine": about})


if __name__ == "__main__":
    main()
