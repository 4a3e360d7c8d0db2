"""What the machine can do at most, measured beside the contenders: products, copies, fresh memory, projections."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from common import Table, spread
from speed import data
from speed.arena import Arena, Contender, Found, median_of, values
from speed.claims import Claim
from speed.page import Section
from speed.turn import take_turn

TITLE = "Limits of the machine"
_BATCH = 42_000  # triples of which a projection of the whole catalogue is one step
_OUTPUTS = 101  # theta and the visual bias of VBPR
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def contender(name: str = "limits", **job: Any) -> Contender:
    """This module as a contender."""
    return Contender(name, "visrec", "speed.limits", job)


def race(arena: Arena) -> Found:
    """All limits, once a round."""
    return arena.race([contender()])


def claims(found: Found) -> list[Claim]:  # noqa: ARG001
    """None: this is what others are held against."""
    return []


def section(found: Found) -> Section:
    """As a table."""
    rows = {
        "fp32 product, GFLOP/s": ("gflops_float32", ",.0f"),
        "bf16 product, GFLOP/s": ("gflops_bfloat16", ",.0f"),
        "copy, GB/s read and written": ("copy_gb_s", ",.1f"),
        "fresh memory: filling it costs so many times a reused buffer": ("fresh", ",.1f"),
        "projection of the whole catalogue, fp32, s": ("forward_float32", ".4f"),
        "projection of the whole catalogue, bf16, s": ("forward_bfloat16", ".4f"),
        "projection-only bound at batch 42,000, fp32, triples/s": ("bound_float32", ",.0f"),
        "projection-only bound at batch 42,000, bf16, triples/s": ("bound_bfloat16", ",.0f"),
    }
    table = Table(["", "median (lowest-highest)"])
    for name, (key, digits) in rows.items():
        table.rows.append([name, spread(values(found, "limits", key), digits)])
    text = (
        "Products are of 2,048 x 2,048 matrices. The projection-only bound is what training VBPR could do "
        "if a step were nothing but two products over the whole catalogue: of its features with E and beta' "
        "(101 outputs), and of their gradient with the features. It is a yardstick, not an upper limit: a "
        "step needs only the distinct items of its batch, which are about 78 % of the catalogue at 42,000."
    )
    return Section(TITLE, text, [table])


def one(folder: str, threads: int, seconds: float, *, only_projection: bool = False) -> dict[str, float]:
    """In this process."""
    torch.set_num_threads(threads)
    repeats = 3 if seconds < 1 else 9
    facts = projections(data.shape_of(folder), repeats)
    return facts if only_projection else {**products(repeats), **memory(repeats), **facts}


def products(repeats: int) -> dict[str, float]:
    """GFLOP/s of a square product."""
    n, facts = 2_048, {}
    for name, kind in _TYPES.items():
        a, b, out = (torch.rand(n, n).to(kind) for _ in range(3))
        facts[f"gflops_{name}"] = 2 * n**3 / 1e9 / _median(lambda: torch.mm(a, b, out=out), repeats)  # noqa: B023
    return facts


def memory(repeats: int) -> dict[str, float]:
    """GB/s of a copy, and how much dearer it is to fill 64 MiB that the process did not have before."""
    source, target = torch.rand(1 << 24), torch.empty(1 << 24)
    copy = _median(lambda: target.copy_(source), repeats)
    reused = _median(lambda: target.fill_(1), repeats)
    fresh = _median(lambda: torch.empty(1 << 24).fill_(1), repeats)
    return {"copy_gb_s": 2 * source.nbytes / 1e9 / copy, "fresh": fresh / reused}


def projections(shape: data.Shape, repeats: int) -> dict[str, float]:
    """Seconds of both products over the whole catalogue, into buffers, and the triples a second that are left."""
    facts = {}
    for name, kind in _TYPES.items():
        f, E = torch.rand(shape.items, shape.dim).to(kind), torch.rand(_OUTPUTS, shape.dim).to(kind)
        z, gradient = torch.empty(shape.items, _OUTPUTS, dtype=kind), torch.empty_like(E)
        forward = _median(lambda: torch.mm(f, E.T, out=z), repeats)  # noqa: B023
        backward = _median(lambda: torch.mm(z.T, f, out=gradient), repeats)  # noqa: B023
        facts |= {f"forward_{name}": forward, f"backward_{name}": backward}
        facts[f"bound_{name}"] = _BATCH / (forward + backward)
    return facts


def _median(work: Callable[[], Any], repeats: int) -> float:
    def measure() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    measure()
    return median_of(measure, repeats)


if __name__ == "__main__":
    take_turn(one)
