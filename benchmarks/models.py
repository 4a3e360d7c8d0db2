"""A training step of each model, visrec's and the tutorial's way of it: triples a second and peak memory.

uv run python benchmarks/models.py              # a few minutes on two cores
uv run python benchmarks/models.py --write      # puts the figures into README.md and results/models.json
uv run python benchmarks/models.py --only dvbpr --seconds 20

Each contender runs in a process of its own, in turns. The tutorial's way is written out below as plain loops over
torch layers: what it encodes for each triple, it encodes for each triple. Same triples, same sizes, same optimiser.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Peak, Table, described, machine, publish, spread
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu, selu

import visrec
from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.features.features import Features
from visrec.training.sampling import Triples, UniformSampler
from visrec.training.trainer import Trainer

Step = Callable[[Triples], Any]

USERS, F = 1_000, 2_048
SIZES = {  # items, batch, negatives, what else
    "vbpr": {"items": 10_000, "batch": 42_000, "negatives": 1},
    "curatornet": {"items": 10_000, "batch": 128, "negatives": 1, "history": 10},
    "acf": {"items": 2_000, "batch": 128, "negatives": 1, "history": 9, "regions": 49},
    "dvbpr": {"items": 1_000, "batch": 128, "negatives": 5, "side": 64},
    "dvbpr, 10,000 items": {"items": 10_000, "batch": 128, "negatives": 5, "side": 64},
}
WAYS = ("tutorial", "visrec")


# ---- what both see -------------------------------------------------------------------------------------


def interactions(n_items: int) -> Interactions:
    """1,000 users with 50 items each; items in a long tail."""
    rng = np.random.default_rng(0)
    weight = 1 / (np.arange(n_items) + 10.0)
    user = np.repeat(np.arange(USERS), 50)
    item = np.concatenate(
        [rng.choice(n_items, 50, replace=False, p=weight / weight.sum()) for _ in range(USERS)]
    )
    users, items = IdMap(range(USERS), kind="user"), IdMap(range(n_items), kind="item")
    return Interactions(user, item, np.arange(len(user)), np.ones(len(user)), users, items)


def write_content(folder: Path, name: str) -> Path:
    """The content of the items on disk, once for both ways."""
    size = SIZES[name]
    path = folder / f"{name}.npy"
    if path.exists():
        return path
    rng, n = np.random.default_rng(1), size["items"]
    if "regions" in size:
        shape, dtype = (n, size["regions"], F), np.float16
    elif "side" in size:
        shape, dtype = (n, size["side"], size["side"], 3), np.uint8
    else:
        shape, dtype = (n, F), np.float32
    values = np.lib.format.open_memmap(path, "w+", dtype, shape)
    for start in range(0, n, 256):
        block = (min(256, n - start), *shape[1:])
        values[start : start + 256] = (
            rng.integers(0, 256, block, dtype=np.uint8)
            if dtype == np.uint8
            else rng.random(block, dtype=np.float32)
        )
    values.flush()
    return path


def batches(name: str, train: Interactions) -> Iterator[Triples]:
    """The same triples for both ways, without end."""
    size = SIZES[name]
    rule = {"curatornet": "all", "acf": "others"}.get(name, "none")
    sampler = UniformSampler(
        train, n_negatives=size["negatives"], history=rule, max_history=size.get("history")
    )
    rng = np.random.default_rng(2)
    while True:
        for batch in sampler.epoch(size["batch"], rng):
            if len(batch) == min(size["batch"], len(sampler)):
                yield batch


# ---- visrec --------------------------------------------------------------------------------------------


def visrec_step(name: str, train: Interactions, values: np.ndarray) -> Step:
    model = {
        "vbpr": lambda: visrec.VBPR(dim_gamma=200, dim_theta=100, epochs=0, reg=0, reg_E=0),
        "curatornet": lambda: visrec.CuratorNet(epochs=0, reg=0),
        "acf": lambda: visrec.ACF(dim_gamma=128, dim_attention=128, max_history=9, epochs=0, reg=0, reg_W=0),
        "dvbpr": lambda: visrec.DVBPR(backbone="cnn-f", epochs=0, precision="float32"),
    }[name.partition(",")[0]]()
    n = train.n_items
    nothing = np.zeros(n, dtype=bool)
    failures = visrec.features.features.failures_table(train.items, nothing, [])
    model.fit(train, Features(values, train.items, nothing, failures))
    model.train()
    return Trainer(model, UniformSampler(train), None, fingerprint="").step


# ---- the tutorial's way --------------------------------------------------------------------------------


def optimised(net: nn.Module, scores: Callable[[Triples], tuple[Tensor, Tensor]]) -> Step:
    """Steps of Adam on BCE-with-logits of x_ui - x_uj, as all the tutorial's models take them."""
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-3)

    def step(batch: Triples) -> None:
        positive, negative = scores(batch)
        x_uij = positive - negative
        loss = binary_cross_entropy_with_logits(x_uij, torch.ones_like(x_uij), reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def pairs(batch: Triples) -> tuple[Tensor, Tensor, Tensor]:
    """(user, positive, negative) of each triple: a positive with five negatives is five triples."""
    n = batch.neg.shape[1]
    user, pos = (torch.from_numpy(np.repeat(one, n)) for one in (batch.user, batch.pos))
    return user, pos, torch.from_numpy(batch.neg.ravel())


def histories(batch: Triples) -> Tensor:
    """Histories of one size `(B, H)`; the tutorial trains on those of equal size together."""
    h = int(batch.history.lengths.min())
    return torch.from_numpy(np.stack([batch.history.of(row)[:h] for row in range(len(batch))]))


def tutorial_vbpr(train: Interactions, values: np.ndarray) -> Step:
    net = nn.Module()
    net.features = nn.Embedding.from_pretrained(torch.from_numpy(values.astype(np.float32)), freeze=True)
    net.gamma_u, net.gamma_i = nn.Embedding(USERS, 200), nn.Embedding(train.n_items, 200)
    net.theta_u, net.E = nn.Embedding(USERS, 100), nn.Linear(F, 100, bias=False)
    net.beta_i, net.beta_v = nn.Embedding(train.n_items, 1), nn.Linear(F, 1, bias=False)

    def score(user: Tensor, item: Tensor) -> Tensor:
        f = net.features(item)
        latent = (net.gamma_u(user) * net.gamma_i(item)).sum(1)
        visual = (net.theta_u(user) * net.E(f)).sum(1)
        return latent + visual + net.beta_i(item)[:, 0] + net.beta_v(f)[:, 0]

    def scores(batch: Triples) -> tuple[Tensor, Tensor]:
        user, pos, neg = pairs(batch)
        return score(user, pos), score(user, neg)

    return optimised(net, scores)


def tutorial_curatornet(train: Interactions, values: np.ndarray) -> Step:  # noqa: ARG001
    net = nn.Module()
    net.features = nn.Embedding.from_pretrained(torch.from_numpy(values.astype(np.float32)), freeze=True)
    net.one, net.two = nn.Linear(F, 200), nn.Linear(200, 200)
    net.a, net.b, net.c = nn.Linear(400, 300), nn.Linear(300, 300), nn.Linear(300, 200)

    def tower(item: Tensor) -> Tensor:
        return selu(net.two(selu(net.one(net.features(item)))))

    def scores(batch: Triples) -> tuple[Tensor, Tensor]:
        _, pos, neg = pairs(batch)
        profile = tower(histories(batch))  # (B, H, 200)
        pooled = torch.cat([profile.amax(1), profile.mean(1)], dim=1)
        query = selu(net.c(selu(net.b(selu(net.a(pooled))))))
        return (query * tower(pos)).sum(1), (query * tower(neg)).sum(1)

    return optimised(net, scores)


def tutorial_acf(train: Interactions, values: np.ndarray) -> Step:
    d = 128
    net = nn.Module()
    flat = torch.from_numpy(values.astype(np.float32)).reshape(len(values), -1)
    net.features = nn.Embedding.from_pretrained(flat, freeze=True)
    net.reduce, net.item, net.profile = (
        nn.Linear(F, d),
        nn.Embedding(train.n_items, d),
        nn.Embedding(train.n_items, d),
    )
    net.user = nn.Embedding(USERS, d)
    net.x, net.u, net.w = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, 1)
    net.U, net.P, net.X, net.W = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, 1)

    def scores(batch: Triples) -> tuple[Tensor, Tensor]:
        user, pos, neg = pairs(batch)
        profile = histories(batch)  # (B, H)
        x = net.reduce(net.features(profile).view(*profile.shape, -1, F))  # (B, H, R, d)
        u, p = net.user(user), net.profile(profile)
        beta = net.w(relu(net.x(x) + net.u(u)[:, None, None])).softmax(2)  # (B, H, R, 1)
        of_item = (beta * x).sum(2)  # (B, H, d)
        projected = net.U(u)[:, None]
        alpha = net.W(relu(projected + net.P(p) + net.X(of_item))).softmax(1)  # (B, H, 1)
        query = projected[:, 0] + (alpha * p).sum(1)
        return (query * net.item(pos)).sum(1) / d, (query * net.item(neg)).sum(1) / d

    return optimised(net, scores)


def tutorial_dvbpr(train: Interactions, values: np.ndarray) -> Step:
    from visrec.models.dvbpr import DVBPR

    # The very network of visrec's DVBPR; only what goes through it, and how often, is the tutorial's.
    nothing = np.zeros(train.n_items, dtype=bool)
    failures = visrec.features.features.failures_table(train.items, nothing, [])
    model = DVBPR(backbone="cnn-f", epochs=0, precision="float32")
    model.fit(train, Features(values, train.items, nothing, failures))
    model.train()
    net = nn.Module()
    net.phi, net.theta_u = model.phi, nn.Embedding(USERS, model.config.dim_theta)
    images = (
        torch.from_numpy(values.astype(np.float32) / 255).permute(0, 3, 1, 2).contiguous()
    )  # all, in memory

    def scores(batch: Triples) -> tuple[Tensor, Tensor]:
        user, pos, neg = pairs(batch)
        theta = net.theta_u(user)
        return (theta * net.phi.net(images[pos])).sum(1), (theta * net.phi.net(images[neg])).sum(1)

    return optimised(net, scores)


TUTORIAL = {
    "vbpr": tutorial_vbpr,
    "curatornet": tutorial_curatornet,
    "acf": tutorial_acf,
    "dvbpr": tutorial_dvbpr,
}


# ---- the race ------------------------------------------------------------------------------------------


def one(name: str, way: str, path: Path, seconds: float) -> dict[str, float]:
    """Steps of one contender for so many seconds, after one to warm up."""
    train = interactions(SIZES[name]["items"])
    source = batches(name, train)
    batch = next(source)
    peak = Peak()
    values = np.load(path, mmap_mode="r" if way == "visrec" else None)
    step = (
        visrec_step(name, train, values)
        if way == "visrec"
        else TUTORIAL[name.partition(",")[0]](train, values)
    )
    step(batch)
    triples, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        batch = next(source)
        step(batch)
        triples += batch.neg.size
    return {"triples_per_second": triples / (time.perf_counter() - start), "peak_mib": peak.mib()}


def race(args: argparse.Namespace) -> dict[str, dict[str, list[dict[str, float]]]]:
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory(prefix="visrec-") as folder:
        for name in SIZES:
            if args.only and name.partition(",")[0] not in args.only.split(","):
                continue
            path = write_content(Path(folder), name)
            for _ in range(args.rounds):
                for way in WAYS:
                    command = [
                        sys.executable,
                        __file__,
                        "--one",
                        name,
                        way,
                        str(path),
                        "--seconds",
                        str(args.seconds),
                    ]
                    done = subprocess.run(command, capture_output=True, text=True, check=False)
                    if done.returncode:
                        raise SystemExit(f"{name}, {way}:\n{done.stderr}")
                    answer = json.loads(done.stdout.splitlines()[-1])
                    found.setdefault(name, {}).setdefault(way, []).append(answer)
                    print(
                        f"{name:22} {way:10} {answer['triples_per_second']:12,.0f} triples/s "
                        f"{answer['peak_mib']:8,.0f} MiB",
                        flush=True,
                    )
            path.unlink()
    return found


def table(found: dict[str, dict[str, list[dict[str, float]]]]) -> Table:
    shown = Table(
        [
            "model",
            "batch",
            "negatives",
            "tutorial, triples/s",
            "visrec, triples/s",
            "ratio",
            "tutorial, peak MiB",
            "visrec, peak MiB",
        ]
    )
    for name, ways in found.items():
        speed = {way: [one["triples_per_second"] for one in ways[way]] for way in WAYS}
        memory = {way: [one["peak_mib"] for one in ways[way]] for way in WAYS}
        ratios = [ours / theirs for ours, theirs in zip(speed["visrec"], speed["tutorial"], strict=True)]
        size = SIZES[name]
        shown.rows.append(
            [
                name,
                f"{size['batch']:,}",
                str(size["negatives"]),
                spread(speed["tutorial"], ",.0f"),
                spread(speed["visrec"], ",.0f"),
                spread(ratios),
                spread(memory["tutorial"], ",.0f"),
                spread(memory["visrec"], ",.0f"),
            ]
        )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="model names, comma-separated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8, help="of steps, for each contender and round")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("MODEL", "WAY", "CONTENT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        name, way, path = args.one
        print(json.dumps(one(name, way, Path(path), args.seconds)))
        return
    found = race(args)
    shown = table(found)
    shown.show()
    about = machine()
    print(described(about))
    if args.write:
        note = f"{args.rounds} rounds, medians (lowest-highest)."
        publish(
            "models", f"{shown.markdown}\n\n{note}\n\n{described(about)}", {"found": found, "machine": about}
        )


if __name__ == "__main__":
    main()
