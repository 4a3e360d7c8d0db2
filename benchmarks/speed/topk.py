"""The 100 best items of all users: users a second, from vectors on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import Table, spread
from peak import Peak
from speed import data
from speed.arena import Arena, Contender, Found, ratios, values
from speed.claims import Claim
from speed.page import Section
from speed.turn import repeated, take_turn
from speed.vectors import Vectors, load, planted

from visrec.ranking import room_for

TITLE = "The best items of all users"
K = 100
DIMS = (201, 64)  # implicit's BPR with 200 factors and its bias; RecTools' usual size
_ROWS = 512  # users a block of the bare product


def race(arena: Arena) -> Found:
    """At both sizes of a vector; whose lists are not the best items is told by `found`."""
    split = data.split(arena.folder)
    job = {"k": K, "n_users": arena.shape.users, "n_items": arena.shape.items}
    contenders = []
    for dim in DIMS:
        planted(arena.folder, split, dim, arena.seed)
        contenders += [
            Contender(f"{dim}, the product alone", "visrec", "speed.topk", {"dim": dim, "way": "product"}),
            Contender(f"{dim}, visrec", "visrec", "speed.topk", {"dim": dim, "way": "visrec"}),
            Contender(f"{dim}, implicit", "implicit", "peers.recommend_implicit", {**job, "dim": dim}),
            Contender(f"{dim}, RecTools", "rectools", "peers.recommend_rectools", {**job, "dim": dim}),
        ]
    lists = {one.name: str(arena.folder / f"lists-{number}.npy") for number, one in enumerate(contenders)}
    asked = [
        Contender(one.name, one.library, one.module, {**one.job, "out": lists[one.name]})
        for one in contenders
    ]
    found = arena.race(asked)
    for dim in DIMS:
        best = _best(arena, dim)
        for name, out in lists.items():
            if name.startswith(f"{dim},") and Path(out).exists():
                share = _share(np.load(out), best)
                for facts in found[name]:
                    facts["found"] = share
    return found


def _best(arena: Arena, dim: int) -> np.ndarray:
    """`(U, k)` the best items in double precision, in no order."""
    Q, Z = load(arena.folder, dim)
    scores = Q.astype(np.float64) @ Z.T.astype(np.float64)
    train = data.split(arena.folder).train
    scores[train.user, train.item] = -np.inf
    k = min(K, scores.shape[1] - 1)
    best: np.ndarray = np.argpartition(-scores, k, axis=1)[:, :k]
    return best


def _share(lists: np.ndarray, best: np.ndarray) -> float:
    """How many of the best items are in the lists."""
    hits = [len(np.intersect1d(row, its)) for row, its in zip(lists, best, strict=True)]
    return float(np.mean(hits)) / best.shape[1]


# ---- one contender ---------------------------------------------------------------------------------------


def one(folder: str, threads: int, seconds: float, *, dim: int, way: str, out: str) -> dict[str, float]:
    """All users, again and again for so many seconds, in this process."""
    torch.set_num_threads(threads)
    work = _product(folder, dim) if way == "product" else _visrec(folder, dim, out)
    work()  # what is compiled or allocated at its first use
    peak = Peak()
    return {"users_per_second": repeated(work, seconds), "peak_mib": peak.mib()}


def _product(folder: str, dim: int) -> Callable[[], float]:
    q, z = (torch.from_numpy(vectors) for vectors in load(folder, dim))
    buffer = room_for(_ROWS, len(z))

    def product() -> float:
        for block in q.split(_ROWS):
            torch.mm(block, z.T, out=buffer[: len(block)])
        return len(q)

    return product


def _visrec(folder: str, dim: int, out: str) -> Callable[[], float]:
    train = data.split(folder).train
    model = Vectors(*load(folder, dim)).fit(train)
    users = model.users.values
    np.save(out, model.recommend(users, k=K)["item_id"].to_numpy().reshape(len(users), -1))

    def recommend() -> float:
        model.recommend(users, k=K)
        return len(users)

    return recommend


# ---- the report ------------------------------------------------------------------------------------------


def claims(found: Found) -> list[Claim]:
    """visrec's rate beside the peers' at vectors of the same size."""
    targets = {"implicit": 1.0, "RecTools": None}
    return [
        Claim(
            f"topk-{peer.lower()}-{dim}",
            f"top {K} of all users, vectors of {dim}: users/s, times that of {peer}",
            ratios(found, f"{dim}, visrec", f"{dim}, {peer}", "users_per_second"),
            target,
        )
        for dim in DIMS
        for peer, target in targets.items()
    ]


def section(found: Found) -> Section:
    """A table of all contenders."""
    table = Table(["numbers a vector, by", "users/s", f"of the {K} best items found", "peak MiB"])
    for name, runs in found.items():
        share = f"{runs[0]['found']:.4%}" if "found" in runs[0] else "-"
        rate, memory = (spread(values(found, name, key), ",.0f") for key in ("users_per_second", "peak_mib"))
        table.rows.append([name, rate, share, memory])
    text = (
        "What a user took is left out. visrec: `recommend`, a table with ids, scores and ranks. implicit: "
        "`recommend` of its BPR, which gives arrays; RecTools: its `ImplicitRanker`, which gives three "
        "columns, on the same vectors. *The product alone* is users' vectors with all items', in blocks and "
        "into a buffer. Which items are the best is looked up in double precision."
    )
    return Section(TITLE, text, [table])


if __name__ == "__main__":
    take_turn(one)
