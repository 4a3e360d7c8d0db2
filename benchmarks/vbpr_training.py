"""How fast visrec's VBPR and BPR learn, beside cornac's and implicit's, on data of the tutorial's Wikimedia size.

    uv run python benchmarks/vbpr_training.py             about ten minutes on two cores; --quick: one
    uv run python benchmarks/vbpr_training.py --write     also puts the table into benchmarks/README.md
    uv run python benchmarks/vbpr_training.py --tune      tries the whole grid, prints what to put into CONTESTANTS

Every contestant trains in a process of its own on the same arrays, in turns (A B A B …), with the same number
of threads. The clock counts its `fit` alone; the factors that it has at a few moments are written out and
judged here, all by visrec's protocol: each user's newest item is ranked among all items not seen before. The
peers come from the package registry into an environment of their own, see PEERS and --envs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import visrec
from visrec.data.splits import Part
from visrec.evaluation.metrics import compute
from visrec.evaluation.protocol import held_out_ranks
from visrec.recommender import Fitting, Queries

HERE = Path(__file__).resolve().parent
README, RESULTS = HERE / "README.md", HERE / "results" / "vbpr_training.json"
BEGIN, END = "<!-- vbpr_training: begin -->", "<!-- vbpr_training: end -->"

# The peers' wheels as they are, next to the same torch and NumPy that visrec runs on.
SAME = [f"{name}=={version(name).split('+')[0]}" for name in ("torch", "numpy")]
PEERS = ["cornac==3.0.1", "implicit==0.7.3", *SAME]
N_USERS, N_ITEMS, N_ROWS, N_TAKEN, DIM = 1_078, 32_959, 96_991, 9_636, 2_048
MOMENTS = [1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60]  # training seconds at which factors are judged
SHOWN = [5, 10, 20, 30]  # those of them in the table


@dataclass(frozen=True)
class Contestant:
    """A library's model, its settings, and the values that `--tune` tries.

    All have the tutorial's sizes: gamma 200 and, in VBPR, theta 100. Of the rest, what is not in the grid is
    the library's default.
    """

    library: str
    model: str
    sizes: dict[str, Any]
    settings: dict[str, Any]
    grid: dict[str, list[Any]]

    @property
    def name(self) -> str:
        return f"{self.library} {self.model.upper()}"


BOTH = ["catalog", "interacted"]  # negatives from all items, or from those that somebody took
CONTESTANTS = [
    Contestant(
        "visrec",
        "vbpr",
        {"dim_gamma": 200, "dim_theta": 100},
        {"batch_size": 8192, "learning_rate": 0.01, "negatives": "catalog"},
        {"batch_size": [2048, 8192, 32768], "learning_rate": [0.005, 0.01, 0.03], "negatives": BOTH},
    ),
    Contestant(
        "cornac",
        "vbpr",
        {"k": 200, "k2": 100},
        {"batch_size": 2048, "learning_rate": 0.005, "negatives": "catalog", "features": "raw"},
        # Time and memory of a step grow with the square of the batch: (B,) + (B, 1) makes its loss (B, B).
        {
            "batch_size": [512, 1024, 2048],
            "learning_rate": [0.001, 0.005, 0.01],
            "negatives": BOTH,
            "features": ["raw", "standardized"],
        },
    ),
    Contestant(
        "visrec",
        "bpr",
        {"dim_gamma": 200},
        {"batch_size": 8192, "learning_rate": 0.005, "negatives": "interacted"},
        {"batch_size": [2048, 8192, 32768], "learning_rate": [0.005, 0.01, 0.03], "negatives": BOTH},
    ),
    Contestant(
        "implicit",
        "bpr",
        {"factors": 200},
        {"learning_rate": 0.03, "regularization": 0.01},
        {"learning_rate": [0.01, 0.03, 0.1], "regularization": [0.003, 0.01, 0.03]},
    ),
    Contestant(
        "cornac",
        "bpr",
        {"k": 200},
        {"learning_rate": 0.03, "lambda_reg": 0.01, "negatives": "interacted"},
        {"learning_rate": [0.01, 0.03, 0.1], "lambda_reg": [0.01, 0.03], "negatives": BOTH},
    ),
]


# ---- the data --------------------------------------------------------------------------------------------


def make_data(folder: Path, seed: int) -> visrec.Split:
    """Long-tailed interactions with visual, latent and popularity tastes; writes what contestants read.

    As in the tutorial's Wikimedia data, most items were never taken by anybody. Features are non-negative,
    a mixture of styles of low rank plus noise, as pooled activations of a CNN are.
    """
    rng = np.random.default_rng(seed)
    rank, n_styles, n_latent = 24, 64, 8

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    styles = normal(n_styles, rank)
    style = rng.choice(n_styles, N_ITEMS, p=rng.dirichlet(np.ones(n_styles)))
    looks = styles[style] + 0.5 * normal(N_ITEMS, rank)  # (I, rank)
    f = looks @ (normal(rank, DIM) / rank**0.5) + (0.4 * normal(DIM) - 0.6)
    f += 0.7 * normal(N_ITEMS, DIM)
    np.maximum(f, 0, out=f)  # (I, F)

    theta = styles[rng.integers(0, n_styles, (N_USERS, 3))].mean(1) + 0.2 * normal(N_USERS, rank)
    theta /= np.linalg.norm(theta, axis=1, keepdims=True)
    open_ = rng.permutation(N_ITEMS)[: round(1.04 * N_TAKEN)]  # a few of them will happen not to be taken
    looks = (looks - looks.mean(0)) / looks.std(0)
    utility = 2 * theta @ looks[open_].T  # (U, i)
    utility += normal(N_USERS, n_latent) @ normal(n_latent, len(open_)) / n_latent**0.5
    utility += normal(len(open_))  # popularity
    utility += rng.gumbel(size=utility.shape)  # the n best are now n draws without replacement

    counts = rng.lognormal(0, 1, N_USERS)
    counts = np.maximum(10, counts / counts.sum() * N_ROWS).astype(np.int64)
    counts[np.argmax(counts)] += N_ROWS - counts.sum()
    user = np.repeat(np.arange(N_USERS), counts)
    item = [rng.permutation(open_[np.argpartition(-utility[u], n)[:n]]) for u, n in enumerate(counts)]
    timestamp = np.concatenate([np.arange(n) for n in counts])

    users = visrec.IdMap(np.arange(N_USERS), kind="user")
    items = visrec.IdMap(np.arange(N_ITEMS), kind="item")
    ones = np.ones(N_ROWS, np.float32)
    split = visrec.leave_last_out(
        visrec.Interactions(user, np.concatenate(item), timestamp, ones, users, items)
    )
    np.save(folder / "features.npy", f)
    train = split.train
    np.savez(folder / "train.npz", user=train.user, item=train.item, timestamp=train.timestamp)
    return split


# ---- the runs --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Course:
    """What one process of one contestant did.

    Attributes:
        seconds: `(p,)` training seconds at which the factors were judged.
        ndcg: `(p,)` nDCG@20 on the part that the arena judges by.
        auc: `(p,)` AUC on it.
        triples_per_second: over the whole training.
        epochs: how many it made.
        versions: of the packages at work.
    """

    seconds: np.ndarray
    ndcg: np.ndarray
    auc: np.ndarray
    triples_per_second: float
    epochs: int
    versions: dict[str, str]

    def at(self, moment: float) -> float:
        """nDCG@20 of the newest factors that it had after so many training seconds; 0 before the first."""
        had = np.flatnonzero(self.seconds <= moment)
        return float(self.ndcg[had[-1]]) if len(had) else 0.0

    def time_to(self, level: float) -> float:
        """Training seconds to an nDCG@20, along straight lines between the points; inf if never."""
        reached = np.flatnonzero(self.ndcg >= level)
        if len(reached) == 0:
            return float("inf")
        n = reached[0]
        if n == 0:
            return float(self.seconds[0])
        share = (level - self.ndcg[n - 1]) / (self.ndcg[n] - self.ndcg[n - 1])
        return float(self.seconds[n - 1] + share * (self.seconds[n] - self.seconds[n - 1]))


class Exported(visrec.Recommender):
    """Factors out of a file, as a model, so that one evaluator judges all."""

    Config = visrec.Popularity.Config
    new_users = new_items = False
    paper = ""

    def __init__(self, Q: np.ndarray, Z: np.ndarray) -> None:
        super().__init__()
        self.vectors = torch.from_numpy(Q), torch.from_numpy(Z)

    def _fit(self, fitting: Fitting) -> None:
        pass

    def encode_items(self, items: torch.Tensor) -> torch.Tensor:
        return self.vectors[1][items]

    def encode_queries(self, queries: Queries) -> torch.Tensor:
        return self.vectors[0][queries.user]

    def state(self) -> dict[str, torch.Tensor]:
        return {}

    def restore(self, state: Any) -> None:
        pass


@dataclass(frozen=True)
class Arena:
    """Where contestants run.

    Attributes:
        data: the folder that they read.
        split: the same data; its `part` judges them: "test", or "valid" to tune.
        pythons: each library's interpreter.
        threads: of each contestant.
        clock: "wall" or "cpu".
    """

    data: Path
    split: visrec.Split
    part: Part
    pythons: dict[str, str]
    threads: int
    clock: str

    def run(self, contestant: Contestant, settings: dict[str, Any], *, seed: int, budget: float) -> Course:
        """Train in a process of its own, then judge all factors that it wrote."""
        with tempfile.TemporaryDirectory(dir=self.data) as name:
            out = Path(name)
            job = {
                "data": str(self.data),
                "model": contestant.model,
                "settings": {**contestant.sizes, **settings},
                "seed": seed,
                "threads": self.threads,
                "n_users": N_USERS,
                "n_items": N_ITEMS,
                "recorder": {"out": name, "budget": budget, "moments": MOMENTS, "clock": self.clock},
            }
            (out / "job.json").write_text(json.dumps(job))
            script = HERE / "peers" / f"fit_{contestant.library}.py"
            command = [self.pythons[contestant.library], str(script), str(out / "job.json")]
            env = environment(self.threads)
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{contestant.name} {settings} failed:\n{done.stderr[-3000:]}")
            about = json.loads((out / "points.json").read_text())
            judged = [self.judge(out, n) for n in range(len(about["points"]))]
        ndcg, auc = np.array(judged).T
        seconds = np.array([point["seconds"] for point in about["points"]])
        last = about["points"][-1]
        speed = last["triples"] / last["seconds"]
        return Course(seconds, ndcg, auc, speed, last["epochs"], about["versions"])

    def judge(self, out: Path, n: int) -> tuple[float, float]:
        """nDCG@20 and AUC of the n-th factors in a folder."""
        model = Exported(*(np.load(out / f"{name}{n}.npy") for name in ("Q", "Z"))).fit(self.split.train)
        _, ranks = held_out_ranks(model, self.split, self.part)
        return float(compute("ndcg@20", ranks).mean()), float(compute("auc", ranks).mean())


def environment(threads: int) -> dict[str, str]:
    """The environment variables of a contestant: each library that has threads gets the same number.

    They sleep while they wait for one another: spinning ones lose ten times their speed to any other process.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(threads)), "OMP_WAIT_POLICY": "PASSIVE"}


def peers_python(envs: Path) -> str:
    """The Python of the peers' environment, which is made at the first run."""
    folder = envs / "peers"
    note = folder / "installed.txt"
    python = folder / "bin" / "python"
    if not note.is_file() or note.read_text() != "\n".join(PEERS):
        print(f"Installing {', '.join(PEERS)} into {folder}", flush=True)
        own = f"{sys.version_info.major}.{sys.version_info.minor}"
        subprocess.run(["uv", "venv", "--quiet", "--clear", "--python", own, str(folder)], check=True)
        subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(python), *PEERS], check=True)
        note.write_text("\n".join(PEERS))
    return str(python)


LIMITS = """
import time, numpy as np, torch
torch.set_num_threads({threads})
def best(work, repeats=7):
    times = []
    for _ in range(repeats):
        start = time.perf_counter(); work(); times.append(time.perf_counter() - start)
    return min(times)
a = torch.rand(2048, 2048)
source, target = torch.rand(1 << 26), torch.empty(1 << 26)
print(2 * 2048**3 / best(lambda: a @ a) / 1e9, 2 * source.nbytes / best(lambda: target.copy_(source)) / 1e9)
"""


def machine_limits(threads: int) -> dict[str, float]:
    """What the machine can do at most with so many threads: fp32 GFLOP/s of a GEMM, GB/s of a copy."""
    command = [sys.executable, "-c", LIMITS.format(threads=threads)]
    done = subprocess.run(command, env=environment(threads), capture_output=True, text=True, check=True)
    gflops, gbs = map(float, done.stdout.split())
    return {"gemm_gflop_s": gflops, "copy_gb_s": gbs}


# ---- the report ------------------------------------------------------------------------------------------


def spread(values: list[float], digits: str = ".2f") -> str:
    """Median (lowest-highest)."""
    middle = format(statistics.median(values), digits)
    return f"{middle} ({format(min(values), digits)}-{format(max(values), digits)})"


def pairs(courses: dict[str, list[Course]]) -> Iterator[tuple[str, str]]:
    """visrec's contestant and each peer's of the same model."""
    for own, peer in itertools.product(courses, courses):
        if own.startswith("visrec") and not peer.startswith("visrec") and own.split()[1] == peer.split()[1]:
            yield own, peer


def compare(own: list[Course], peer: list[Course]) -> dict[str, list[float]]:
    """Round by round: ratio of the triples a second, the level that both reach, seconds of each to it."""
    levels = [min(a.ndcg.max(), b.ndcg.max()) for a, b in zip(own, peer, strict=True)]
    to = [[c.time_to(level) for c, level in zip(one, levels, strict=True)] for one in (own, peer)]
    return {
        "speed": [a.triples_per_second / b.triples_per_second for a, b in zip(own, peer, strict=True)],
        "level": levels,
        "own_seconds": to[0],
        "peer_seconds": to[1],
        "time": [b / a for a, b in zip(*to, strict=True)],
    }


def table(
    courses: dict[str, list[Course]], settings: dict[str, dict[str, Any]], budgets: dict[str, float]
) -> str:
    """Two Markdown tables: each contestant, then visrec against each peer."""
    shown = [moment for moment in SHOWN if moment <= max(budgets.values())]
    head = ["", "settings", "triples/s", "epochs", "best nDCG@20", "AUC there"]
    head += [f"nDCG@20 after {moment} s" for moment in shown]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    for name, runs in courses.items():
        cells = [
            name,
            ", ".join(f"{key} {value}" for key, value in settings[name].items()),
            spread([run.triples_per_second for run in runs], ",.0f"),
            f"{statistics.median(run.epochs for run in runs):.0f}",
            spread([run.ndcg.max() for run in runs], ".4f"),
            f"{statistics.median(run.auc[run.ndcg.argmax()] for run in runs):.4f}",
        ]
        for moment in shown:
            known = moment <= budgets[name]
            cells.append(f"{statistics.median(run.at(moment) for run in runs):.4f}" if known else "")
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "| visrec against | triples/s, ratio | nDCG@20 both reach | visrec, s | peer, s | time, ratio |",
    ]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for own, peer in pairs(courses):
        found = compare(courses[own], courses[peer])
        cells = [peer, spread(found["speed"]), spread(found["level"], ".4f")]
        cells += [spread(found[key], ".1f") for key in ("own_seconds", "peer_seconds")]
        lines.append("| " + " | ".join([*cells, spread(found["time"])]) + " |")
    return "\n".join(lines)


def provenance(arena: Arena, courses: dict[str, list[Course]], limits: dict[str, float]) -> dict[str, Any]:
    """Where the figures come from, without a date."""
    packages: dict[str, str] = {}
    for runs in courses.values():
        packages |= runs[0].versions
    return {
        "python": platform.python_version(),
        "packages": packages,
        "cpu": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "cores": os.cpu_count(),
        "threads": arena.threads,
        "clock": arena.clock,
        **{key: round(value, 1) for key, value in limits.items()},
    }


def write_results(text: str, facts: dict[str, Any]) -> None:
    """Put the table between its markers in the README, and the curves beside it."""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(facts, indent=1) + "\n")
    old = README.read_text() if README.is_file() else "# Benchmarks\n"
    if BEGIN not in old:
        old += f"\n## VBPR and BPR training\n\n{BEGIN}\n{END}\n"
    before, _, rest = old.partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


# ---- the commands ----------------------------------------------------------------------------------------


def race(arena: Arena, contestants: list[Contestant], args: argparse.Namespace) -> None:
    """All contestants in turns, then the tables."""
    limits = machine_limits(args.threads)
    # BPR is over sooner than VBPR, which has the features to multiply.
    budgets = {c.name: args.seconds if c.model == "vbpr" else args.seconds / 2 for c in contestants}
    courses: dict[str, list[Course]] = {c.name: [] for c in contestants}
    for n, model in itertools.product(range(args.rounds), ("vbpr", "bpr")):
        for one in (c for c in contestants if c.model == model):
            course = arena.run(one, one.settings, seed=args.seed + n, budget=budgets[one.name])
            courses[one.name].append(course)
            best = f"{course.ndcg.max():.4f} at {course.seconds[course.ndcg.argmax()]:.1f} s"
            speed = f"{course.triples_per_second:10,.0f} triples/s"
            print(f"round {n + 1}  {one.name:14} {speed}  best nDCG@20 {best}", flush=True)
    settings = {c.name: c.settings for c in contestants}
    about = provenance(arena, courses, limits)
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    text = (
        f"{N_USERS:,} users, {N_ITEMS:,} items, {len(arena.split.train):,} training interactions, {DIM:,} features "
        f"(synthetic, seed {args.seed}); gamma 200, theta 100. {args.rounds} rounds, medians (lowest-highest).\n\n"
        f"{table(courses, settings, budgets)}\n\n"
        f"On {about['cores']} cores ({about['cpu']}), {about['threads']} threads each, {about['clock']} clock; "
        f"the machine multiplies {about['gemm_gflop_s']} GFLOP/s in fp32 and copies {about['copy_gb_s']} GB/s. "
        f"Python {about['python']}, {packages}.\n"
    )
    print(f"\n{text}")
    if args.write:
        rows = ("seconds", "ndcg", "auc")
        curves = {
            name: [
                {row: [round(float(value), 4) for value in getattr(run, row)] for row in rows}
                | {"triples_per_second": round(run.triples_per_second)}
                for run in runs
            ]
            for name, runs in courses.items()
        }
        grids = {c.name: c.grid for c in contestants}
        write_results(text, {"provenance": about, "settings": settings, "grids": grids, "curves": curves})


def tune(arena: Arena, contestants: list[Contestant], args: argparse.Namespace) -> None:
    """The whole grid of each contestant, judged on the validation part: mean nDCG@20 over the training time."""
    for one in contestants:
        budget = args.seconds if one.model == "vbpr" else args.seconds / 2
        for values in itertools.product(*one.grid.values()):
            settings = dict(zip(one.grid, values, strict=True))
            try:
                course = arena.run(one, settings, seed=args.seed, budget=budget)
            except RuntimeError as error:  # diverged, or out of memory
                print(f"{one.name:14} failed: {str(error).splitlines()[-1]}  {settings}", flush=True)
                continue
            best = np.maximum.accumulate(course.ndcg)
            # Area under the best so far; what an overlong last epoch reached counts in part.
            times = np.append(np.minimum(course.seconds, budget), budget)
            area = float((np.diff(times) * best).sum() / budget)
            print(
                f"{one.name:14} area {area:.4f}  best {best[-1]:.4f}  "
                f"{course.triples_per_second:10,.0f} triples/s  {course.epochs:4} epochs  {settings}",
                flush=True,
            )


def main() -> None:
    """Parse, make the data, run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30, help="of training a VBPR; a BPR has half")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a part of the contestants' names, as 'visrec' or ' BPR'")
    parser.add_argument("--envs", type=Path, default=Path.home() / ".cache" / "visrec-benchmarks")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: for a busy machine, with --threads 1"
    )
    parser.add_argument("--quick", action="store_true", help="one round of 4 seconds, to see that all works")
    parser.add_argument("--tune", action="store_true", help="try every contestant's grid instead of racing")
    parser.add_argument("--write", action="store_true", help="put the figures into benchmarks/README.md")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 1, 4
    start = time.perf_counter()
    peers = peers_python(args.envs)
    contestants = [c for c in CONTESTANTS if args.only in c.name]
    with tempfile.TemporaryDirectory(prefix="visrec-benchmark-") as name:
        split = make_data(Path(name), args.seed)
        pythons = {"visrec": sys.executable, "cornac": peers, "implicit": peers}
        arena = Arena(Path(name), split, "valid" if args.tune else "test", pythons, args.threads, args.clock)
        (tune if args.tune else race)(arena, contestants, args)
    print(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
