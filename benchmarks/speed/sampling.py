"""Triples a second: the tutorial's loop, one triple at a time in Python, a leaner one, and visrec's sampler."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import Table, spread
from peak import Peak
from speed import data, tutorial
from speed.arena import Arena, Contender, Found, ratios, values
from speed.claims import Claim
from speed.page import Section
from speed.turn import repeated, take_turn

import visrec
from visrec.training.sampling import UniformSampler

TITLE = "Sampling triples"
BATCH = 42_000
TARGET = 50.0
LARGE = {"users": 250_000, "items": 1_000_000, "rows": 10_000_000}
_FEW = 20_000  # users that the loop keeps as Python sets; it gets through fewer
_SIZES = ("as above", "large")
_PLAIN = "(user, positive, negative)"
_HISTORY = "with the history up to the positive, at most 10"
_BESIDE = "with ten random items of the user's"  # what the tutorial draws for models that look at a profile


def race(arena: Arena) -> Found:
    """Two sizes of data, without and with histories."""
    _write_large(arena)
    return arena.race(
        [
            Contender(
                _name(way, size, profile=profile),
                "visrec",
                "speed.sampling",
                {"way": way, "size": size, "profile": profile},
            )
            for size in _SIZES
            for profile in (False, True)
            for way in ("tutorial", "lean loop", "visrec")
        ]
    )


def _name(way: str, size: str, *, profile: bool) -> str:
    beside = _BESIDE if way == "tutorial" else _HISTORY
    return f"{way}, {size}, {beside if profile else _PLAIN}"


def _write_large(arena: Arena) -> None:
    """Interactions of many users, items in a long tail; a pair drawn twice is left out."""
    scale = 1_000 if arena.quick else 1
    users, items, rows = (n // scale for n in LARGE.values())
    rng = np.random.default_rng(arena.seed)
    user = np.repeat(np.arange(users), rows // users)
    item = (items * rng.random(len(user)) ** 3).astype(np.int64)
    pair = np.unique(user * items + rng.permutation(items)[item])
    np.savez(arena.folder / "large.npz", user=pair // items, item=pair % items, sizes=[users, items])


def _interactions(folder: Path, size: str) -> visrec.Interactions:
    if size == "as above":
        return data.split(folder).train
    with np.load(folder / "large.npz") as rows:
        users, items = (int(n) for n in rows["sizes"])
        user, item = rows["user"], rows["item"]
    return data.interactions(user, item, np.arange(len(user)), data.Shape(users, items, len(user), items, 0))


def one(folder: str, threads: int, seconds: float, *, way: str, size: str, profile: bool) -> dict[str, Any]:
    """Draw for so many seconds, in this process."""
    import torch

    torch.set_num_threads(threads)
    train = _interactions(Path(folder), size)
    peak, start = Peak(), time.perf_counter()
    work = _visrec(train, profile=profile) if way == "visrec" else _loop(way, train, profile=profile)
    prepared = time.perf_counter() - start
    rate = repeated(work, seconds)
    return {"triples_per_second": rate, "prepared": prepared, "peak_mib": peak.mib()}


def _visrec(train: visrec.Interactions, *, profile: bool) -> Any:
    rule = "up_to" if profile else "none"
    sampler = UniformSampler(train, history=rule, max_history=10 if profile else None)
    rng = np.random.default_rng(0)
    taken = train.matrix().astype(bool)
    first = next(iter(sampler.epoch(BATCH, rng)))  # also what is compiled at its first use
    if taken[first.user, first.neg[:, 0]].any():
        raise SystemExit("A negative is among the user's own items.")
    batches = iter(())

    def work() -> float:
        nonlocal batches
        triples = next(batches, None)
        if triples is None:
            batches = sampler.epoch(BATCH, rng)
            triples = next(batches)
        return len(triples)

    return work


def _loop(way: str, train: visrec.Interactions, *, profile: bool) -> Any:
    few = train.where(train.user < _FEW)
    histories = few.histories()
    taken = [histories.of(user).tolist() for user in range(min(_FEW, train.n_users))]
    taken = [of for of in taken if of]
    rng, user, triples = random.Random(0), 0, tutorial.Triples(train.n_items, profile=profile)

    def work() -> float:
        nonlocal user
        user = (user + 1) % len(taken)
        n = 5 * len(taken[user])
        if way == "tutorial":
            return len(triples.of(user, taken[user], n, rng))
        return len(tutorial.lean_triples_of(user, taken[user], train.n_items, n, rng, profile=profile))

    return work


def claims(found: Found) -> list[Claim]:
    """Ratios of the rates."""
    sizes = dict(zip(_SIZES, ("", " of 10M interactions and 1M items"), strict=True))
    peers = {"tutorial": "the tutorial's loop", "lean loop": "a leaner loop"}
    return [
        Claim(
            f"sampling-{way.split()[0]}-{size.split()[-1]}-{'profile' if profile else 'plain'}",
            f"sampling{sizes[size]}, {_HISTORY if profile else _PLAIN}: triples/s, times {peer}"
            + (f", which is {_BESIDE}" if profile and way == "tutorial" else ""),
            ratios(
                found,
                _name("visrec", size, profile=profile),
                _name(way, size, profile=profile),
                "triples_per_second",
            ),
            TARGET if way == "tutorial" and not profile else None,  # promised of what VBPR learns from
            digits=".1f",
        )
        for way, peer in peers.items()
        for size in _SIZES
        for profile in (False, True)
    ]


def section(found: Found) -> Section:
    """A table of all contenders."""
    table = Table(["", "triples/s", "prepared in, s", "peak MiB"])
    for name in found:
        cells = [
            spread(values(found, name, key), digits)
            for key, digits in (("triples_per_second", ",.0f"), ("prepared", ".2f"), ("peak_mib", ",.0f"))
        ]
        table.rows.append([name, *cells])
    text = (
        "The tutorial's loop draws, one triple at a time, a positive, ten items of the user beside it (also "
        "for models that look at none), as its notebook does, and a negative until it is not theirs, and keeps "
        "the triple if the rolled-up number of its ids has not come before. *The lean loop* is as little as "
        "Python needs for it: no items beside the positive unless they are asked for (then, as visrec, those "
        "up to it in time), tuples in a set. visrec does not refuse a triple that came in an earlier epoch. "
        "Neither loop "
        "is charged for the file that the tutorial writes, "
        f"which takes longer still. visrec's is `UniformSampler.epoch` in batches of {BATCH:,}; its "
        "negatives are uniform over what the user does not have, by construction, and that none is theirs "
        "is checked on the first batch. *Large*: 250,000 users, 1,000,000 items in a long tail, 10,000,000 "
        f"draws without those that came twice; there the loop is given its first {_FEW:,} users alone."
    )
    return Section(TITLE, text, [table])


if __name__ == "__main__":
    take_turn(one)
