"""How time and memory of each stage grow with users, items, interactions and the length of features.

    uv run python benchmarks/scaling.py --out FOLDER             # up to 1M items x 512 numbers and 100M interactions
    uv run python benchmarks/scaling.py --out FOLDER --quick     # small sizes, minutes
    uv run python benchmarks/scaling.py --out FOLDER --write     # … into docs/scaling.md and results/
    … --only vbpr,read --factors items,together --resume

One factor grows ten times at a time while the others stay, and all together. Each stage of each size is a process of
its own, whose memory is watched from outside: its own (anonymous) and that of files which it maps. What takes longer
than --limit or holds more than --memory is stopped, and the study goes on. Data are drawn from a seed into FOLDER
(10 GB for all sizes), where they stay; so does what was measured, for --resume.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from common import HERE, Table, described, machine
from scaling_page import published, text_of
from scaling_stages import BATCH, DIM, STAGES, Size

DRIVERS = {  # what the work of a stage is in proportion to, for a fixed number of users and of steps
    "read": lambda size: size.interactions,
    "split": lambda size: size.interactions,
    "sampler": lambda size: size.interactions,
    "sampling": lambda size: size.interactions,
    "start of training": None,  # of several things at once: it is judged along one factor at a time
    "bpr": lambda size: size.interactions,
    "vbpr": lambda size: size.interactions * size.features,
    "vbpr from disk": lambda size: size.interactions * size.features,
    "refresh": lambda size: size.items * size.features,
    "evaluate": lambda size: size.items,
    "recommend": lambda size: size.items,
    "save": lambda size: size.interactions,
    "load": lambda size: size.interactions,
    "index": lambda size: size.items,
}
WITHOUT = {  # what a factor does not touch is not measured along it
    "users": {"refresh", "recommend", "index"},
    "items": {"split"},
    "interactions": {"refresh", "index"},
    "features": set(STAGES) - {"start of training", "vbpr", "vbpr from disk", "refresh"},
    "together": {"index"},
}
LARGE = Size(100_000, 1_000_000, 10_000_000, 512)
STEPS = 60
POLL = 0.02  # seconds
WORST = 1.15  # the exponent from which on growth counts as worse than linear
BRIEF = 0.1  # seconds below which growth says nothing


def plan(quick: bool) -> dict[str, list[Size]]:
    """The sizes of each factor, from the least on."""
    centre = Size(1_000, 2_000, 20_000, 32) if quick else Size(10_000, 100_000, 1_000_000, 64)
    tenfold = (1, 10) if quick else (0.1, 1, 10)
    sizes = {
        name: [replace(centre, **{name: int(getattr(centre, name) * times)}) for times in tenfold]
        for name in ("users", "items", "interactions")
    }
    sizes["features"] = [replace(centre, features=n) for n in ((32, 256) if quick else (64, 512, 2048))]
    sizes["together"] = (
        [Size(100, 1_000, 10_000, 16), Size(1_000, 10_000, 100_000, 48)]
        if quick
        else [
            Size(1_000, 10_000, 100_000, 64),
            Size(10_000, 100_000, 1_000_000, 192),
            LARGE,
            Size(1_000_000, 1_000_000, 100_000_000, 512),
        ]
    )
    return sizes


# ---- watching --------------------------------------------------------------------------------------------


def watched(stage: str, size: Size, args: argparse.Namespace) -> dict[str, Any]:
    """What a stage took, its memory included; or why it did not come to its end."""
    command = [sys.executable, str(HERE / "scaling_stages.py"), stage, *map(str, asdict(size).values())]
    command += [str(args.out), str(args.steps)]
    limit = args.limit * (4 if stage == "generate" else 1)
    start, peaks, held, measuring = time.monotonic(), {"own": 0.0, "mapped": 0.0, "all": 0.0}, 0.0, False
    result: dict[str, Any] = {}
    errors = args.out / "errors.txt"
    with errors.open("w+") as err, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err) as process:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        pending, ended = b"", False
        while not ended:
            ended = process.poll() is not None  # what it said until then is still read
            now = memory(process.pid)
            if measuring:
                peaks = {name: max(peaks[name], now[name]) for name in peaks}
            *lines, pending = (pending + (process.stdout.read() or b"")).split(b"\n")
            for line in lines:
                said = json.loads(line)
                if said["event"] == "begin":
                    measuring, held, peaks = True, now["own"], now
                elif said["event"] == "end":
                    measuring = False
                else:
                    result = {name: value for name, value in said.items() if name != "event"}
            late = time.monotonic() - start > limit
            if late or now["own"] > args.memory:
                process.kill()
                why = f"stopped after {limit:g} s" if late else f"stopped at {args.memory:g} GiB"
                return {"stopped": why, **memory_facts(peaks, held)}
            if not lines and not ended:
                time.sleep(POLL)
        tail = errors.read_text().strip().splitlines()[-1:] or [""]
    if process.returncode:
        why = "killed for memory" if process.returncode == -9 else f"failed: {tail[0][:200]}"
        return {"stopped": why, **memory_facts(peaks, held)}
    return result | (memory_facts(peaks, held) if stage != "generate" else {})


def memory(pid: int) -> dict[str, float]:
    """GiB that a process holds now: its own, that of files it maps, and both."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        lines = []
    of = {line.split(":")[0]: int(line.split()[1]) / 2**20 for line in lines if line.startswith("Rss")}
    own, mapped = of.get("RssAnon", 0.0), of.get("RssFile", 0.0) + of.get("RssShmem", 0.0)
    return {"own": own, "mapped": mapped, "all": own + mapped}


def memory_facts(peaks: dict[str, float], held: float) -> dict[str, float]:
    """As they are kept: at most so much, and so much before the stage began."""
    return {"held": held, **{f"peak {name}": value for name, value in peaks.items()}}


# ---- growth ----------------------------------------------------------------------------------------------


def exponent(sizes: list[float], values: list[float]) -> float | None:
    """The slope of a line through points in log-log; None where there are less than two."""
    points = {x: y for x, y in zip(sizes, values, strict=True) if y > 0}
    if len(points) < 2:
        return None
    x, y = (np.log(list(part)) for part in (points.keys(), points.values()))
    return float(np.polyfit(x, y, 1)[0])


def growth(measured: list[dict[str, Any]], sizes: dict[str, list[Size]]) -> list[dict[str, Any]]:
    """Of each stage and factor: the exponents of time and memory, over all sizes and over the last step alone."""
    by = {(one["stage"], one["size"]): one for one in measured}
    rows = []
    for stage in STAGES:
        for factor, chain in sizes.items():
            found = [(size, by[stage, size.key]) for size in chain if (stage, size.key) in by]
            found = [(size, one) for size, one in found if "stopped" not in one]
            drive = DRIVERS[stage] if factor == "together" else lambda size, of=factor: getattr(size, of)
            if stage in WITHOUT[factor] or len(found) < 2 or drive is None:
                continue
            x = [float(drive(size)) for size, _ in found]
            seconds = [one["processor"] for _, one in found]
            extra = [max(one["peak own"] - one["held"], 1e-3) for _, one in found]
            last = exponent(x[-2:], seconds[-2:])
            whole = exponent(x, seconds)
            known = [one for one in (whole, last) if one is not None]
            rows.append(
                {
                    "stage": stage,
                    "factor": factor,
                    "times": x[-1] / x[0],
                    "seconds": seconds,
                    "exponent": whole,
                    "last step": last,
                    "memory exponent": exponent(x, extra),
                    "worse than linear": bool(known) and seconds[-1] >= BRIEF and max(known) > WORST,
                }
            )
    return rows


# ---- the study -------------------------------------------------------------------------------------------


def study(args: argparse.Namespace) -> dict[str, Any]:
    """Measure everything that was asked for."""
    sizes = {name: chain for name, chain in plan(args.quick).items() if name in args.factors}
    kept = args.out / ("measured-quick.json" if args.quick else "measured.json")
    measured: list[dict[str, Any]] = json.loads(kept.read_text()) if args.resume and kept.exists() else []
    measured = [one for one in measured if "stopped" not in one]
    done = {(one["stage"], one["size"]) for one in measured}
    load = os.getloadavg()[0]
    wanted: dict[Size, list[str]] = {}
    for factor, chain in sizes.items():
        for size in chain:
            stages = wanted.setdefault(size, [])
            stages += [one for one in STAGES if one not in WITHOUT[factor] and one not in stages]
    for size, stages in sorted(wanted.items(), key=lambda pair: (pair[0].interactions, pair[0].items)):
        asked = [one for one in STAGES if one in stages and one in args.only and (one, size.key) not in done]
        if not asked:
            continue
        made = watched("generate", size, args)
        if "stopped" in made:
            raise SystemExit(f"The data of {size} could not be made: {made['stopped']}")
        needing = {"refresh", "evaluate", "recommend", "save", "load", "index"} & set(asked)
        if needing and "vbpr" not in asked and not (args.out / "models" / size.key).exists():
            asked.insert(0, "vbpr")
        for stage in asked:
            found = {"stage": stage, "size": size.key, **watched(stage, size, args)}
            print(json.dumps(found), file=sys.stderr, flush=True)
            measured.append(found)
            kept.write_text(json.dumps(measured, indent=1))
    return {
        "measured": measured,
        "sizes": {name: [size.key for size in chain] for name, chain in sizes.items()},
        "growth": growth(measured, sizes),
        "settings": {
            "batch": BATCH,
            "steps": args.steps,
            "dim": DIM,
            "limit": args.limit,
            "memory": args.memory,
            "worst": WORST,
            "large": LARGE.key,
        },
        "load": load,
        "machine": machine(),
    }


def shown(facts: dict[str, Any]) -> None:
    """Growth, on the terminal."""
    table = Table(["stage", "factor", "times", "seconds", "exponent", "last step", "memory", ""])
    for one in facts["growth"]:
        numbers = [one["exponent"], one["last step"], one["memory exponent"]]
        table.rows.append(
            [
                one["stage"],
                one["factor"],
                f"{one['times']:,.0f}",
                " ".join(f"{value:.3g}" for value in one["seconds"]),
                *("-" if value is None or math.isnan(value) else f"{value:.2f}" for value in numbers),
                "worse than linear" * one["worse than linear"],
            ]
        )
    table.show()


def main() -> None:
    """Measure, show, and publish where asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the data; they stay there")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(STAGES), help="stages")
    parser.add_argument("--factors", type=lambda text: text.split(","), default=list(WITHOUT), help="factors")
    parser.add_argument("--steps", type=int, default=STEPS, help="of an epoch that is trained, at most")
    parser.add_argument("--limit", type=float, default=240, help="seconds a stage may take")
    parser.add_argument("--memory", type=float, default=20, help="GiB of its own that a stage may hold")
    parser.add_argument("--resume", action="store_true", help="measure only what an earlier call did not")
    parser.add_argument("--write", action="store_true", help="put figures and plots into docs/scaling.md")
    args = parser.parse_args()
    if unknown := sorted({*args.only} - {*STAGES}) + sorted({*args.factors} - {*WITHOUT}):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join([*STAGES, *WITHOUT])}")
    args.out.mkdir(parents=True, exist_ok=True)
    facts = study(args)
    shown(facts)
    print(text_of(facts))
    print(described(facts["machine"]))
    if args.write:
        published(facts)


if __name__ == "__main__":
    main()
