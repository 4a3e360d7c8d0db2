"""A training step of each model, visrec's and the tutorial's way of it: triples a second and memory.

Both ways take the same triples, drawn before the clock starts, so that sampling counts for neither.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Table, spread
from peak import Peak
from speed import data, limits, tutorial
from speed.arena import Arena, Contender, Found, ratios, values
from speed.claims import Claim
from speed.page import Section
from speed.turn import repeated, take_turn
from torch.utils._python_dispatch import TorchDispatchMode

import visrec
from visrec.features.features import Features, failures_table
from visrec.training.sampling import Triples, UniformSampler
from visrec.training.trainer import Trainer

TITLE = "A training step of each model"
VBPR_BATCHES = {42_000: 2.5, 8_192: 2.5, 1_024: 3.0}  # with the target of each
BATCH = 128  # of the tutorial's other models
TARGETS = {"curatornet": 5.0, "acf": 15.0, "dvbpr": 2.5, "dvbpr, 10,000 items": 2.5}
SIZES = {  # items, negatives, what else; the users are 1,000 with 50 items each
    "curatornet": {"items": 10_000, "negatives": 1, "history": 10},
    "acf": {"items": 2_000, "negatives": 1, "history": 9, "regions": 49},
    "dvbpr": {"items": 1_000, "negatives": 5, "side": 64},
    "dvbpr, 10,000 items": {"items": 10_000, "negatives": 5, "side": 64},
}
_BOUND = "projection-only bound"
_WARM = 3  # steps before the clock starts
_LOOKS_AT = {"curatornet": "all", "acf": "others"}
_MODELS = {
    "vbpr": lambda: visrec.VBPR(dim_gamma=200, dim_theta=100, epochs=0),
    "curatornet": lambda: visrec.CuratorNet(epochs=0),
    "acf": lambda: visrec.ACF(dim_gamma=128, dim_attention=128, max_history=9, epochs=0),
    "dvbpr": lambda: visrec.DVBPR(backbone="cnn-f", epochs=0),
}


# ---- the race --------------------------------------------------------------------------------------------


def race(arena: Arena) -> Found:
    """VBPR at three sizes of a batch beside its bound, then the other models, each at two."""
    contenders = [limits.contender(_BOUND, only_projection=True)]
    for batch in VBPR_BATCHES:
        contenders += [_contender("vbpr", way, batch, arena) for way in ("tutorial", "visrec")]
    for model in SIZES:
        _write_content(arena, model)
        batch = 16 if arena.quick else BATCH
        contenders += [_contender(model, way, batch, arena) for way in ("tutorial", "visrec")]
        default = visrec_default(model)
        if default != BATCH:
            contenders.append(_contender(model, "visrec", 32 if arena.quick else default, arena))
    return arena.race(contenders)


def visrec_default(model: str) -> int:
    """The size of a batch that visrec's model has by default."""
    return _MODELS[_plain(model)]().config.batch_size


def _contender(model: str, way: str, batch: int, arena: Arena) -> Contender:
    job = {"model": model, "way": way, "batch": batch, "quick": arena.quick}
    return Contender(f"{way} {model} at {batch:,}", "visrec", "speed.steps", job)


def _plain(model: str) -> str:
    return model.partition(",")[0]


# ---- one contender ---------------------------------------------------------------------------------------


def one(
    folder: str, threads: int, seconds: float, *, model: str, way: str, batch: int, quick: bool
) -> dict[str, Any]:
    """Steps for so many seconds, in this process."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    train, path = _data(Path(folder), model, quick=quick)
    batches = _batches(train, model, batch)
    peak, start = Peak(), time.perf_counter()
    content = np.load(path, mmap_mode="r" if way == "visrec" else None)
    step = (_visrec if way == "visrec" else _tutorial)(model, train, content)
    for triples in batches[:_WARM]:
        step(triples)
    prepared, place = time.perf_counter() - start, 0

    def work() -> float:
        nonlocal place
        triples = batches[place % len(batches)]
        place += 1
        step(triples)
        return triples.neg.size

    rate = repeated(work, seconds)
    facts = {"triples_per_second": rate, "peak_mib": peak.mib(), "prepared": prepared}
    if way == "visrec":
        with Products() as seen:
            step(batches[0])
        facts["precision"] = seen.precision
    return facts


def _data(folder: Path, model: str, *, quick: bool) -> tuple[visrec.Interactions, Path]:
    if model == "vbpr":
        return data.split(folder).train, folder / "features.npy"
    users, taken = (50, 10) if quick else (1_000, 50)
    n_items = _items(model, quick=quick)
    rng = np.random.default_rng(0)
    weight = 1 / (np.arange(n_items) + 10.0)  # a long tail
    weight /= weight.sum()
    item = [rng.choice(n_items, taken, replace=False, p=weight) for _ in range(users)]
    user = np.repeat(np.arange(users), taken)
    shape = data.Shape(users, n_items, len(user), n_items, 0)
    return data.interactions(user, np.concatenate(item), np.arange(len(user)), shape), folder / f"{model}.npy"


def _items(model: str, *, quick: bool) -> int:
    return SIZES[model]["items"] // (20 if quick else 1)


def _write_content(arena: Arena, model: str) -> None:
    """Random content of the items on disk, once for all turns."""
    size, n = SIZES[model], _items(model, quick=arena.quick)
    rng = np.random.default_rng(1)
    rest: tuple[int, ...] = (arena.shape.dim,)
    kind: Any = np.float32
    if "regions" in size:
        rest, kind = (size["regions"], arena.shape.dim), np.float16
    elif "side" in size:
        rest, kind = (size["side"], size["side"], 3), np.uint8
    content = np.lib.format.open_memmap(arena.folder / f"{model}.npy", "w+", kind, (n, *rest))
    for start in range(0, n, 256):
        block = (min(256, n - start), *rest)
        drawn = rng.integers(0, 256, block, kind) if kind == np.uint8 else rng.random(block, np.float32)
        content[start : start + 256] = drawn
    content.flush()


def _batches(train: visrec.Interactions, model: str, batch: int) -> list[Triples]:
    """Whole batches, of all epochs that it takes; small ones are many, so that they do not stay in the cache."""
    size = SIZES.get(model, {})
    sampler = UniformSampler(
        train,
        negatives="catalog",
        n_negatives=size.get("negatives", 1),
        history=_LOOKS_AT.get(_plain(model), "none"),
        max_history=size.get("history"),
    )
    batch = min(batch, len(sampler))
    rng, found = np.random.default_rng(2), list[Triples]()
    wanted = max(_WARM + 1, math.ceil(len(sampler) / batch))
    while len(found) < wanted:
        found += [triples for triples in sampler.epoch(batch, rng) if len(triples) == batch]
    return found[:wanted]


def _visrec(model: str, train: visrec.Interactions, content: np.ndarray) -> Callable[[Triples], Any]:
    nothing = np.zeros(train.n_items, dtype=bool)
    fitted = _MODELS[_plain(model)]()
    fitted.fit(train, Features(content, train.items, nothing, failures_table(train.items, nothing, [])))
    fitted.train()
    sampler = UniformSampler(train, negatives="catalog", n_negatives=SIZES.get(model, {}).get("negatives", 1))
    return Trainer(fitted, sampler, None, fingerprint="").step


def _tutorial(model: str, train: visrec.Interactions, content: np.ndarray) -> Callable[[Triples], Any]:
    if (
        _plain(model) == "dvbpr"
    ):  # the very network of visrec's; only what goes through it, and how often, differs
        of_visrec = visrec.DVBPR(backbone="cnn-f", epochs=0, precision="float32")
        nothing = np.zeros(train.n_items, dtype=bool)
        of_visrec.fit(
            train, Features(content, train.items, nothing, failures_table(train.items, nothing, []))
        )
        of_visrec.train()
        way = tutorial.dvbpr(train.n_users, content, of_visrec.phi.net, of_visrec.config.dim_theta)
    else:
        way = getattr(tutorial, model)(train.n_users, content)

    def step(batch: Triples) -> None:
        n = batch.neg.shape[1]  # a positive with five negatives is five triples
        user, pos = (torch.from_numpy(np.repeat(rows, n)) for rows in (batch.user, batch.pos))
        way.step(user, pos, torch.from_numpy(batch.neg.ravel()), _histories(batch))

    return step


def _histories(batch: Triples) -> torch.Tensor:
    """Histories of one size `(B, H)`: the tutorial trains on those of equal size together."""
    if batch.history is None:
        return torch.empty(len(batch), 0)
    h = int(batch.history.lengths.min())
    return torch.from_numpy(np.stack([batch.history.of(row)[:h] for row in range(len(batch))]))


class Products(TorchDispatchMode):
    """Watches which matrix products are taken, and so in which precision most of the work is done."""

    def __init__(self) -> None:
        super().__init__()
        self.work: dict[str, int] = {}

    @property
    def precision(self) -> str:
        """That of most multiplications."""
        return max(self.work, key=lambda kind: self.work[kind], default="none")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in _PRODUCTS:
            a, b = args[1:3] if func.overloadpacket is torch.ops.aten.addmm else args[:2]
            kind = str(b.dtype).removeprefix("torch.")
            self.work[kind] = (
                self.work.get(kind, 0) + a.numel() * b.numel()
            )  # enough to tell large from small
        return func(*args, **(kwargs or {}))


_PRODUCTS = (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm, torch.ops.aten.convolution)


# ---- the report ------------------------------------------------------------------------------------------


def claims(found: Found) -> list[Claim]:
    """Ratios to the tutorial's way, and shares of the bound."""
    key, listed = "triples_per_second", []
    for batch, target in VBPR_BATCHES.items():
        own, peer = (f"{way} vbpr at {batch:,}" for way in ("visrec", "tutorial"))
        text = f"VBPR, bare step at batch {batch:,}: triples/s, times the tutorial's"
        listed.append(Claim(f"vbpr-{batch}", text, ratios(found, own, peer, key), target))
    own = f"visrec vbpr at {max(VBPR_BATCHES):,}"
    rates, bounds = values(found, own, key), found[_BOUND]
    kind = _type_of(found, own)
    for name, target in ((kind, 0.6), ("float32", None)) if kind != "float32" else ((kind, 0.6),):
        shares = [rate / bound[f"bound_{name}"] for rate, bound in zip(rates, bounds, strict=True)]
        text = f"VBPR at batch {max(VBPR_BATCHES):,}: share of the projection-only bound in {name}"
        listed.append(Claim(f"vbpr-bound-{name}", text, shares, target, unit="of it"))
    for model, target in TARGETS.items():
        own_names = [name for name in found if name.startswith(f"visrec {model} at ")]
        (peer,) = (name for name in found if name.startswith(f"tutorial {model} at "))
        for name in own_names:
            batch = name.rpartition(" ")[2]
            text = f"{model}, step at batch {batch}: triples/s, times the tutorial's at {peer.rpartition(' ')[2]}"
            listed.append(Claim(f"{model}-{batch}", text, ratios(found, name, peer, key), target))
    return listed


def section(found: Found) -> Section:
    """A table of all contenders."""
    table = Table(["", "triples/s", "peak MiB", "prepared in, s", "products in"])
    for name in found:
        if name == _BOUND:
            continue
        cells = [
            spread(values(found, name, key), digits)
            for key, digits in (("triples_per_second", ",.0f"), ("peak_mib", ",.0f"), ("prepared", ".1f"))
        ]
        table.rows.append([name, *cells, _type_of(found, name)])
    bounds = Table(["projection-only bound at batch 42,000", "triples/s"])
    for kind in ("float32", "bfloat16"):
        bounds.rows.append([kind, spread(values(found, _BOUND, f"bound_{kind}"), ",.0f")])
    text = (
        "The same triples for both ways, drawn before the clock starts: sampling counts for neither. "
        "Negatives are drawn from the whole catalogue, as in the tutorial; a positive with five negatives "
        "is five triples. visrec has the tutorial's sizes, and otherwise its own defaults (precision, L2 "
        "terms, optimiser); the tutorial's way is Adam with its weight decay. VBPR learns on the data "
        "above. The others: 1,000 users with 50 items each in a long tail, random content; CuratorNet 2,048 "
        "features of 10,000 items, ACF 49 regions of 2,048 of 2,000 items (float16 on disk), DVBPR CNN-F on "
        "64 x 64 pixels. Memory is what the process holds of its own above its start, content included; "
        "*prepared* is the time from the start to the first timed step, with three steps to warm up. What "
        "these steps are worth, nDCG@20 and AUC after so many seconds, is in *Learning*."
    )
    return Section(TITLE, text, [table, bounds])


def _type_of(found: Found, name: str) -> str:
    kinds = {facts.get("precision", "float32") for facts in found[name]}
    return ", ".join(sorted(kinds))


if __name__ == "__main__":
    take_turn(one)
