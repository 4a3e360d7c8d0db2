"""All metrics for all users, from the models' vectors on: users a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from common import Table, spread
from peak import Peak
from speed import data, tutorial
from speed.arena import Arena, Contender, Found, ratios, values
from speed.claims import Claim
from speed.page import Section
from speed.turn import repeated, take_turn
from speed.vectors import Vectors, load, planted

import visrec
from visrec.evaluation.metrics import compute, metric_names
from visrec.evaluation.protocol import evaluate, held_out_ranks
from visrec.ranking import room_for

TITLE = "Evaluation"
DIM = 301  # of VBPR with gamma 200 and theta 100, and the bias
CUTOFFS = (20, 100)
SHOWN = ("auc", "ndcg@20", "recall@20", "precision@20")
_ROWS = 512  # users a block of the bare product

Metrics = dict[str, float]


def race(arena: Arena) -> Found:
    """visrec, the peers and the bare product; metrics that several compute must agree."""
    split = data.split(arena.folder)
    planted(arena.folder, split, DIM, arena.seed)
    seen = split.seen("test")
    np.savez(arena.folder / "seen.npz", user=seen.user, item=seen.item)
    ways = ("the product alone", "visrec, the metrics", "visrec, a whole report", "the tutorial's loop")
    contenders = [Contender(way, "visrec", "speed.evaluation", {"way": way}) for way in ways]
    job = {"dim": DIM, "n_users": arena.shape.users, "n_items": arena.shape.items, "cutoffs": CUTOFFS}
    contenders += [
        Contender("cornac, ranking_eval", "cornac", "peers.evaluate_cornac", job),
        Contender("ranx, lists of 100", "ranx", "peers.evaluate_ranx", job),
    ]
    found = arena.race(contenders)
    _check(found)
    return found


def _check(found: Found) -> None:
    """Who computes the same metric must get the same number, but for neighbours a last bit of a score apart."""
    ours = found["visrec, the metrics"][0]["metrics"]
    for name, runs in found.items():
        for metric, value in runs[0]["metrics"].items():
            if abs(value - ours[metric]) > 1e-4:
                raise SystemExit(f"{name}: {metric} is {value}, visrec's is {ours[metric]}")


# ---- one contender ---------------------------------------------------------------------------------------


def one(folder: str, threads: int, seconds: float, *, way: str) -> dict[str, Any]:
    """All users, again and again for so many seconds, in this process."""
    torch.set_num_threads(threads)
    make = {
        "the product alone": _product,
        "visrec, the metrics": _visrec,
        "visrec, a whole report": _report,
        "the tutorial's loop": _tutorial,
    }[way]
    world, found = World.of(folder), Metrics()
    work = make(world)
    if way != "the tutorial's loop":
        work()  # what is compiled or allocated at its first use
    peak = Peak()

    def all_users() -> float:
        found.update(work())
        return len(world.Q)

    rate = repeated(all_users, seconds)
    return {"users_per_second": rate, "peak_mib": peak.mib(), "metrics": found}


@dataclass(frozen=True)
class World:
    """What all of them see: vectors of users and items, who took what, and the items' features."""

    Q: np.ndarray
    Z: np.ndarray
    split: visrec.Split
    features: visrec.Features

    @classmethod
    def of(cls, folder: str) -> World:
        """From files."""
        return cls(*load(folder, DIM), data.split(folder), data.features(folder))


def _product(world: World) -> Callable[[], Metrics]:
    """No metric at all: the matrix product that each contender needs, in blocks, into a buffer."""
    Q, Z = torch.from_numpy(world.Q), torch.from_numpy(world.Z)
    out = room_for(_ROWS, len(Z))

    def product() -> Metrics:
        for block in Q.split(_ROWS):
            torch.mm(block, Z.T, out=out[: len(block)])
        return {}

    return product


def _visrec(world: World) -> Callable[[], Metrics]:
    model = Vectors(world.Q, world.Z).fit(world.split.train)

    def metrics() -> Metrics:
        _, ranks = held_out_ranks(model, world.split, "test")
        return {name: float(compute(name, ranks).mean()) for name in metric_names(CUTOFFS)}

    return metrics


def _report(world: World) -> Callable[[], Metrics]:
    """Beside the metrics their intervals, and novelty, coverage, visual diversity and so on."""
    model = Vectors(world.Q, world.Z).fit(world.split.train)

    def report() -> Metrics:
        found = evaluate(model, world.split, cutoffs=CUTOFFS, content=world.features)
        return {name: found[name] for name in found.metrics}

    return report


def _tutorial(world: World) -> Callable[[], Metrics]:
    Q, Z = torch.from_numpy(world.Q), torch.from_numpy(world.Z)
    consumed, held = world.split.seen("test").histories(), world.split.test.histories()

    def loop() -> Metrics:
        rows = []
        for user in range(len(Q)):
            scores = (Q[user] * Z).sum(1)
            rows.append(tutorial.metrics(*tutorial.rank(scores, consumed.of(user), held.of(user)), CUTOFFS))
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    return loop


# ---- the report ------------------------------------------------------------------------------------------


def claims(found: Found) -> list[Claim]:
    """The rate of all metrics beside the peers' and the bare product's."""
    own, key = "visrec, the metrics", "users_per_second"
    texts = {
        "the tutorial's loop": (
            "tutorial",
            "evaluation, all metrics: users/s, times the tutorial's loop",
            35.0,
            "x",
        ),
        "cornac, ranking_eval": ("cornac", "evaluation, all metrics: users/s, times cornac's", 8.0, "x"),
        "the product alone": (
            "product",
            "evaluation, all metrics: share of the bare product's users/s",
            0.7,
            "of it",
        ),
    }
    return [
        Claim(f"evaluation-{name}", text, ratios(found, own, peer, key), target, unit=unit)
        for peer, (name, text, target, unit) in texts.items()
    ]


def section(found: Found) -> Section:
    """A table of all contenders, with the metrics that they computed."""
    table = Table(["", "users/s", "peak MiB", "metrics", *SHOWN])
    for name, runs in found.items():
        known = runs[0]["metrics"]
        cells = [f"{known[metric]:.4f}" if metric in known else "" for metric in SHOWN]
        rate, memory = (spread(values(found, name, key), ",.0f") for key in ("users_per_second", "peak_mib"))
        table.rows.append([name, rate, memory, str(len(known)), *cells])
    text = (
        f"From vectors of {DIM} numbers on (random, leaning a little to what users take, so that lists are "
        "not those of chance); one held-out item a user, all that was seen before is masked. Metrics that "
        "several compute must agree to .0001, or the script stops. *The product alone* is users' vectors "
        "with all items', in blocks and into a buffer. *The metrics* are visrec's AUC, RR and seven metrics "
        "at 20 and 100; *a whole report* adds bootstrap intervals of all of them, novelty, popularity bias, "
        "coverage, Gini, and visual diversity and distance by the features. The tutorial's loop is written "
        "out without its errors. cornac's `ranking_eval` sorts only its best 100, so its MRR is left out of "
        "the comparison. ranx judges lists, which NumPy cuts from blocks of scores; AUC and RR need more "
        "than lists."
    )
    return Section(TITLE, text, [table])


if __name__ == "__main__":
    take_turn(one)
