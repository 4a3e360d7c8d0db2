"""VisRank over all users: users a second and memory, beside the one product that it needs."""

from __future__ import annotations

from collections.abc import Callable
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
from torch.nn.functional import normalize

import visrec
from visrec.evaluation.metrics import Ranks, compute
from visrec.evaluation.protocol import held_out_ranks
from visrec.ranking import room_for

TITLE = "VisRank"
METRICS = ("auc", "ndcg@20")
EVERY = 10  # the tutorial's way is given one user of so many
_ROWS = 512  # history items a block of the bare product
_WAYS = ("the product alone", "visrec", "the tutorial's way, without its table")


def race(arena: Arena) -> Found:
    """All contenders; ranks must agree."""
    found = arena.race([Contender(way, "visrec", "speed.visrank", {"way": way}) for way in _WAYS])
    for metric in METRICS:
        ours, theirs = (found[name][0][f"{metric}, some"] for name in _WAYS[1:])
        if abs(ours - theirs) > 1e-4:
            raise SystemExit(f"VisRank: {metric} is {ours}, by the tutorial's way {theirs}")
    return found


def one(folder: str, threads: int, seconds: float, *, way: str) -> dict[str, Any]:
    """All users once and, where that is quick, again until the seconds are over."""
    torch.set_num_threads(threads)
    split, features = data.split(folder), data.features(folder)
    facts: dict[str, float] = {}
    peak = Peak()
    if way == "the product alone":
        work = _product(split, features)
    else:
        work = (_visrec if way == "visrec" else _tutorial)(split, features, facts)
    rate = repeated(work, seconds)
    return {"users_per_second": rate, "whole_mib": peak.whole_mib(), **facts}


def _product(split: visrec.Split, features: visrec.Features) -> Callable[[], float]:
    """Of each distinct item of a history with the whole catalogue, into a buffer."""
    f = normalize(torch.from_numpy(np.array(features.values)), dim=1)
    distinct = f[torch.from_numpy(np.unique(split.train.item))]
    out = room_for(_ROWS, len(f))

    def product() -> float:
        for block in distinct.split(_ROWS):
            torch.mm(block, f.T, out=out[: len(block)])
        return len(np.unique(split.test.user))

    return product


def _visrec(split: visrec.Split, features: visrec.Features, facts: dict[str, float]) -> Callable[[], float]:
    model = visrec.VisRank().fit(split.train, features)
    model.recommend(model.users.values[:2])  # what is compiled at its first use

    def metrics() -> float:
        users, ranks = held_out_ranks(model, split, "test")
        for metric in METRICS:
            of_user = compute(metric, ranks)
            facts[metric], facts[f"{metric}, some"] = float(of_user.mean()), float(of_user[::EVERY].mean())
        return len(users)

    return metrics


def _tutorial(split: visrec.Split, features: visrec.Features, facts: dict[str, float]) -> Callable[[], float]:
    """Cosines of each user's history with the catalogue when the user is asked for, all items sorted."""
    f = normalize(torch.from_numpy(np.array(features.values)), dim=1)
    taken = split.train.histories()
    consumed, held = split.seen("test").histories(), split.test.histories()
    users = np.unique(split.test.user)[::EVERY]

    def metrics() -> float:
        places, candidates = [], []
        for user in users.tolist():
            scores = (f[torch.from_numpy(taken.of(user))] @ f.T).amax(0)
            positions, n = tutorial.rank(scores, consumed.of(user), held.of(user))
            places.append(int(positions[0]) + 1)
            candidates.append(n)
        owner = np.arange(len(users))
        ranks = Ranks(owner, np.array(places), np.ones(len(users), np.int64), np.array(candidates))
        for metric in METRICS:
            facts[f"{metric}, some"] = float(compute(metric, ranks).mean())
        return len(users)

    return metrics


def claims(found: Found) -> list[Claim]:
    """Memory, and the rate beside the product's and the tutorial's."""
    product, own, peer = _WAYS
    key = "users_per_second"
    return [
        Claim(
            "visrank-memory",
            "VisRank, all users: memory of the whole process, GiB",
            [mib / 1024 for mib in values(found, own, "whole_mib")],
            2.0,
            unit="GiB",
            at_most=True,
        ),
        Claim(
            "visrank-product",
            "VisRank, all users: share of the rate of its one product",
            ratios(found, own, product, key),
            0.6,
            unit="of it",
        ),
        Claim(
            "visrank-tutorial",
            "VisRank, all users: users/s, times the tutorial's way, without its table of all items by all",
            ratios(found, own, peer, key),
            None,
        ),
    ]


def section(found: Found) -> Section:
    """A table of all contenders."""
    table = Table(["", "users/s", "whole process, MiB", "AUC", "nDCG@20", f"nDCG@20 of every {EVERY}th user"])
    for name, runs in found.items():
        rate, memory = (
            spread(values(found, name, key), digits)
            for key, digits in (("users_per_second", ",.1f"), ("whole_mib", ",.0f"))
        )
        cells = [
            f"{runs[0][key]:.4f}" if key in runs[0] else "" for key in ("auc", "ndcg@20", "ndcg@20, some")
        ]
        table.rows.append([name, rate, memory, *cells])
    text = (
        "By the maximum, from normalised features on; every item of a user's history counts. visrec: ranks and "
        "metrics of all users. *The product alone*: cosines of each distinct item of the histories with the "
        "catalogue, in fp32, in blocks and into a buffer. The tutorial itself builds a dense table of the "
        "cosines of all items with all beforehand, which does not fit in memory here. *Without its table*, "
        "the cosines of a user's history are computed when the user is asked for, with all features in "
        "memory, and the catalogue is sorted as in the tutorial; "
        f"this is given every {EVERY}th user, where AUC and nDCG@20 must agree to .0001. Memory is what the "
        "whole process holds of its own, Python and libraries included."
    )
    return Section(TITLE, text, [table])


if __name__ == "__main__":
    take_turn(one)
