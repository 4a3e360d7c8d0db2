"""A training step of each model, visrec's and the tutorial's way of it: triples a second and memory.

Both ways take the same triples, drawn before the clock starts, so that sampling counts for neither.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Table, spread
from peak import Peak
from PIL import Image
from speed import data, limits, tutorial
from speed.arena import Arena, Contender, Found, ratios, values
from speed.claims import Claim
from speed.page import Section
from speed.turn import repeated, take_turn
from torch.utils._python_dispatch import TorchDispatchMode

import visrec
from visrec.features.features import Features, failures_table
from visrec.training.pixel_network import PixelNetwork
from visrec.training.sampling import Triples, UniformSampler
from visrec.training.trainer import Trainer

TITLE = "A training step of each model"
VBPR_BATCHES = {42_000: 2.5, 8_192: 2.5, 1_024: 3.0}  # with the target of each
BATCH = 128  # of the tutorial's other models
TARGETS = {"curatornet": 5.0, "acf": 15.0, "dvbpr": 2.5, "dvbpr, 10,000 items": 2.5}
SIZES = {  # items, what else; the users are 1,000 with 50 items each
    "curatornet": {"items": 10_000, "history": 10},
    "acf": {"items": 2_000, "history": 9, "regions": 49},
    "dvbpr": {"items": 1_000, "side": 64},
    "dvbpr, 10,000 items": {"items": 10_000, "side": 64},
}
_READING, _WHOLE = "tutorial, reading pictures as it does,", "visrec, whole regions,"  # ways of DVBPR, of ACF
_WORKERS = 2  # processes that read pictures
_BOUND = "projection-only bound"
_WARM = 3  # steps before the clock starts
_LOOKS_AT = {"curatornet": "all", "acf": "others"}
_MODELS: dict[str, Callable[..., Any]] = {
    "vbpr": partial(visrec.VBPR, dim_gamma=200, dim_theta=100, epochs=0),
    "curatornet": partial(visrec.CuratorNet, epochs=0),
    "acf": partial(visrec.ACF, dim_gamma=128, dim_attention=128, max_history=9, epochs=0),
    "dvbpr": partial(visrec.DVBPR, backbone="cnn-f", epochs=0),
}


# ---- the race --------------------------------------------------------------------------------------------


def race(arena: Arena) -> Found:
    """VBPR at three sizes of a batch beside its bound, then the others at the tutorial's and at visrec's."""
    contenders = [limits.contender(_BOUND, only_projection=True)]
    for batch in VBPR_BATCHES:
        contenders += [_contender("vbpr", way, batch, arena) for way in ("tutorial", "visrec")]
    for model in SIZES:
        _write_content(arena, model)
        own, default = BATCH, visrec_default(model)
        if arena.quick:
            own, default = 16, 16 if default == own else 32
        ways = ["tutorial", *([_READING] if _plain(model) == "dvbpr" else []), "visrec"]
        ways += [_WHOLE] if model == "acf" else []
        contenders += [_contender(model, way, own, arena) for way in ways]
        if default != own:
            contenders += [_contender(model, way, default, arena) for way in ("tutorial", "visrec")]
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
    if way.startswith("visrec"):
        step = _visrec(model, train, np.load(path, mmap_mode="r"), whole=way == _WHOLE)
    elif way == _READING:
        step = _reading(train, path, batches)
    else:
        step = _tutorial(model, train, np.load(path))
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
    if way.startswith("visrec"):
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
    if "side" in size:
        _write_pictures(_files_of(arena.folder / f"{model}.npy"), content, rng)
    else:
        for start in range(0, n, 256):
            content[start : start + 256] = rng.random((min(256, n - start), *rest), np.float32)
    content.flush()


def _write_pictures(folder: Path, content: np.ndarray, rng: np.random.Generator) -> None:
    """Random pictures, smooth as photos are, as JPEG files and, decoded, into `content` `(I, S, S, 3)`."""
    folder.mkdir(exist_ok=True)
    side = content.shape[1]
    for item in range(len(content)):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        file = folder / f"{item}.jpg"
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(file, quality=90)
        with Image.open(file) as picture:
            content[item] = np.asarray(picture)


def _files_of(content: Path) -> Path:
    return content.with_suffix(".jpg")


def _batches(train: visrec.Interactions, model: str, batch: int) -> list[Triples]:
    """Whole batches, of all epochs that it takes; small ones are many, so that they do not stay in the cache."""
    size = SIZES.get(model, {})
    sampler = UniformSampler(
        train,
        negatives="catalog",
        history=_LOOKS_AT.get(_plain(model), "none"),
        max_history=size.get("history"),
    )
    batch = min(batch, len(sampler))
    rng, found = np.random.default_rng(2), list[Triples]()
    wanted = max(_WARM + 1, math.ceil(len(sampler) / batch))
    while len(found) < wanted:
        found += [triples for triples in sampler.epoch(batch, rng) if len(triples) == batch]
    return found[:wanted]


def _visrec(
    model: str, train: visrec.Interactions, content: np.ndarray, *, whole: bool
) -> Callable[[Triples], Any]:
    nothing = np.zeros(train.n_items, dtype=bool)
    fitted = _MODELS[_plain(model)](**({"components": 0} if whole else {}))
    fitted.fit(train, Features(content, train.items, nothing, failures_table(train.items, nothing, [])))
    fitted.train()
    sampler = UniformSampler(train, negatives="catalog")
    return Trainer(fitted, sampler, None, fingerprint="").step


def _tutorial(model: str, train: visrec.Interactions, content: np.ndarray) -> Callable[[Triples], Any]:
    """All content in memory."""
    if _plain(model) == "dvbpr":
        way = _tutorial_dvbpr(train, content.shape[1])
        images = torch.from_numpy(content.astype(np.float32) / 255).permute(0, 3, 1, 2).contiguous()
    else:
        way, images = getattr(tutorial, model)(train.n_users, content), None

    def step(batch: Triples) -> None:
        user, pos, neg = (torch.from_numpy(rows) for rows in (batch.user, batch.pos, batch.neg[:, 0]))
        if images is not None:
            pos, neg = images[pos], images[neg]
        way.step(user, pos, neg, _histories(batch))

    return step


def _reading(train: visrec.Interactions, path: Path, batches: list[Triples]) -> Callable[[Triples], Any]:
    """DVBPR that reads each picture of each triple from its file, while the network is at work on those before."""
    triples = np.concatenate([np.stack([one.user, one.pos, one.neg[:, 0]]) for one in batches], axis=1)
    side = np.load(path, mmap_mode="r").shape[1]
    pictures = tutorial.Pictures(_files_of(path), triples, side)
    coming = tutorial.read_by_workers(pictures, len(batches[0]), _WORKERS)
    way = _tutorial_dvbpr(train, side)

    def step(_: Triples) -> None:  # the same triples, with their pictures, come from the workers
        way.step(*next(coming), torch.empty(0))

    return step


def _tutorial_dvbpr(train: visrec.Interactions, side: int) -> tutorial.Way:
    """Around the very network of visrec's: only what goes through it, how often and in what precision differs."""
    dim = visrec.DVBPR(epochs=0).config.dim_theta
    return tutorial.dvbpr(
        train.n_users, PixelNetwork("cnn-f", side, dim, precision="float32").net.train(), dim
    )


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
    for model in TARGETS:
        listed += _claims_of(found, model)
    return listed


def _claims_of(found: Found, model: str) -> list[Claim]:
    """At the tutorial's batch; and at visrec's default against the faster of the tutorial's two."""
    key, target, slug = "triples_per_second", TARGETS[model], model.replace(", ", "-").replace(" ", "-")
    ours, theirs = _at(found, "visrec", model), _at(found, "tutorial", model)
    batch = next(iter(theirs))
    start = f"{model}, step at batch {batch}"
    bare = Claim(
        f"{slug}-{batch}",
        f"{start}: triples/s, times the tutorial's at {batch}",
        ratios(found, ours[batch], theirs[batch], key),
        target,
    )
    if _plain(model) == "dvbpr":
        reading = _at(found, _READING, model)
        own_loop = Claim(
            f"{slug}-reading",
            f"{start}: triples/s, times the tutorial's, which reads its pictures each time",
            ratios(found, ours[batch], reading[batch], key),
            target,
        )
        text = f"{model}, bare step at batch {batch}, all pictures in memory: triples/s, times the tutorial's"
        return [own_loop, replace(bare, text=text)]
    listed = [bare]
    if model == "acf":
        whole = _at(found, _WHOLE, model)
        text = f"{model}, whole regions for both, step at batch {batch}: triples/s, times the tutorial's at {batch}"
        listed.append(Claim(f"{slug}-whole", text, ratios(found, whole[batch], theirs[batch], key), target))
    if len(ours) > 1:
        default = list(ours)[1]
        pairs = zip(*(values(found, theirs[size], key) for size in (batch, default)), strict=True)
        own, faster = values(found, ours[default], key), [max(pair) for pair in pairs]
        text = (
            f"{model}, step at visrec's batch, {default}: triples/s, times the faster of the tutorial's "
            f"at {batch} and {default}"
        )
        listed.append(
            Claim(f"{slug}-default", text, [a / b for a, b in zip(own, faster, strict=True)], target)
        )
    return listed


def _at(found: Found, way: str, model: str) -> dict[str, str]:
    """The names of a way's contenders by their batch, the tutorial's first."""
    start = f"{way} {model} at "
    return {name.removeprefix(start): name for name in found if name.startswith(start)}


_TEXT = """\
The same triples for both ways, drawn before the clock starts, so that sampling counts for neither. Negatives are \
drawn from the whole catalogue, one for each positive, as in the tutorial.

- **Not the same step.** visrec has the tutorial's sizes and otherwise its own defaults: the papers' variants, \
products in bfloat16 where the machine has it, Adam that moves the rows of the batch alone (in DVBPR, all rows) \
and L2 on these. The tutorial's Adam with weight decay moves all rows of all tables, in float32. visrec encodes \
each distinct user and item of a batch once; the tutorial encodes each of a triple, and in VBPR the difference of \
the two items.
- **Batches.** A target is judged at the tutorial's own batch and, where visrec's default is another one, there \
too, against the faster of the tutorial's two.
- **Data.** VBPR learns on the data above. The others: 1,000 users with 50 items each in a long tail, random \
content; CuratorNet 2,048 features of 10,000 items, ACF 49 regions of 2,048 numbers of 2,000 items (float16 on \
disk), DVBPR CNN-F on smooth pictures of 64 x 64 pixels, of 1,000 and of 10,000 items.
- **ACF.** visrec's default reads regions that were reduced once, before the clock (in *prepared*), from 2,048 \
numbers to 128; the tutorial's multiplies all 2,048 at each step. *Whole regions* is visrec's with \
`components=0`, which multiplies them all too.
- **DVBPR.** The tutorial reads both pictures of each triple from their files each time (`skimage.io.imread`, then \
`transform.resize`); here from JPEG files of the network's size, by two worker processes of torch's loader, which \
are ahead of the network and share the cores with it. visrec reads each file once, when `extract` makes the cache \
of decoded pictures, which is not on the clock. The target stands beside that loop, and beside the bare step, \
where the tutorial's pictures all lie in memory as floats.
- **Memory** is what the process holds of its own above its start, content included, its workers left out; \
*prepared* is the time from the start to the first timed step, with three steps to warm up; in it visrec also \
encodes the catalogue.
- **Quality.** What steps of VBPR are worth, nDCG@20 and AUC after so many seconds, is in *Learning*. This script \
does not measure how good ACF, CuratorNet and DVBPR become: [Planted truth](README.md#planted-truth) and \
[MovieLens with posters](README.md#movielens-with-posters) do."""


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
    return Section(TITLE, _TEXT, [table, bounds])


def _type_of(found: Found, name: str) -> str:
    kinds = {facts.get("precision", "float32") for facts in found[name]}
    return ", ".join(sorted(kinds))


if __name__ == "__main__":
    take_turn(one)
