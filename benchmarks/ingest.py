"""What it costs to read many interactions and items, beside RecTools, Cornac and LensKit; and the doctor's pictures.

    uv run python benchmarks/ingest.py --out FOLDER                         # 1 and 10 million interactions, minutes
    uv run python benchmarks/ingest.py --out FOLDER --sizes 1e6,1e7,1e8     # 2 GB on disk, half an hour and more
    uv run python benchmarks/ingest.py --part images --data DATA            # `visrec check` beside decoding alone
    … --write                         puts the figures into benchmarks/README.md; each part has a place of its own

Data are drawn from a seed, into FOLDER, where they stay: so many interactions, a fortieth as many users and a tenth
as many items, both in a long tail. Each measurement is a process of its own. It is stopped where it takes longer than
--limit or holds more than --memory. The peers come from the package registry, each into an environment in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import HERE, Table, described, machine, publish, spread

PEERS = {
    "RecTools": [
        "rectools==0.19.0",
        "pandas<3",
        "pyarrow<22",
    ],  # it stays below NumPy 2, and newer Arrows do not
    "Cornac": ["cornac==3.0.1", "pandas", "pyarrow"],
    "LensKit": ["lenskit==2025.8.1", "pandas<3", "pyarrow"],
}
CHUNK = 5_000_000  # rows that are drawn at once
CSV_MOST = 10_000_000  # interactions that are also written as CSV
LARGE = 500  # pictures that are enlarged
PICTURES = 1_000  # files that the items of the case with images share
CASES = {
    "items": "mask",
    "images": "error",
}  # what else is in the folder: what becomes of items without an image


# ---- the data --------------------------------------------------------------------------------------------


def drawn(n: int, start: int, stop: int) -> pl.DataFrame:
    """Rows `start` to `stop` of the `n` interactions."""
    rng = np.random.default_rng([n, start])
    users, items, rows = n // 40, n // 10, stop - start
    user = (users * rng.random(rows) ** 2).astype(np.int64)
    item = (items * rng.random(rows) ** 3).astype(np.int64)
    # Frequent ones shall not stand together in the order of ids.
    user, item = user * 1_000_003 % users, item * 1_000_003 % items
    moment = 1_262_304_000 + (315_000_000 * rng.random(rows) ** 0.5).astype(np.int64)
    return pl.DataFrame(
        {
            "user": user,
            "item": item,
            "timestamp": moment,
            "rating": rng.integers(1, 6, rows).astype(np.float64),
        }
    ).select(user_id("user"), item_id("item"), "timestamp", "rating")


def user_id(column: str) -> pl.Expr:
    """14 signs, as long as those of Amazon."""
    return pl.format("A{}", pl.col(column).cast(pl.String).str.zfill(13)).alias("user_id")


def item_id(column: str) -> pl.Expr:
    """10 signs."""
    return pl.format("B{}", pl.col(column).cast(pl.String).str.zfill(9)).alias("item_id")


def generate(out: Path, n: int, kind: str, case: str) -> Path:
    """A data set folder with `n` interactions; what is there already is kept."""
    folder = out / f"{n}-{kind}-{case}"
    if (folder / "done").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"interactions.{kind}"
    bounds = [(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK)]
    if kind == "csv":
        with target.open("wb") as file:
            for start, stop in bounds:
                drawn(n, start, stop).write_csv(file, include_header=start == 0)
    elif case == "images":
        target.symlink_to(generate(out, n, kind, "items") / target.name)
    else:
        parts = [folder / f"part-{start}.parquet" for start, _ in bounds]
        for part, (start, stop) in zip(parts, bounds, strict=True):
            drawn(n, start, stop).write_parquet(part)
        pl.scan_parquet(parts).sink_parquet(target)
        for part in parts:
            part.unlink()
    items = pl.DataFrame({"item": np.arange(n // 10)}).select(
        item_id("item"),
        pl.format("category {}", pl.col("item") % 300).alias("category"),
        pl.format("pictures/{}.jpg", pl.col("item") % PICTURES).alias("path"),
    )
    items.drop("path").write_parquet(folder / "items.parquet")
    if case == "images":
        (folder / "pictures").mkdir(exist_ok=True)
        for number in range(PICTURES):
            (folder / "pictures" / f"{number}.jpg").touch()
        items.select("item_id", "path").write_parquet(folder / "images.parquet")
    (folder / "done").touch()
    return folder


# ---- one measurement, in a process of its own ------------------------------------------------------------


def measure(folder: Path, case: str) -> dict[str, Any]:
    """Read, split, turn into a matrix, count.

    Of each step the seconds, of the processors and by the clock, and the most memory held until then.
    """
    from visrec.data.dataset import load_dataset
    from visrec.data.splits import leave_last_out
    from visrec.data.statistics import Statistics

    steps: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}

    def step(name: str, work: Callable[[], Any]) -> Any:
        start, used = time.perf_counter(), time.process_time()
        result = work()
        steps[name] = [time.process_time() - used, time.perf_counter() - start]
        peaks[name] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        return result

    data = step("read", lambda: load_dataset(folder, missing_images=CASES[case]))
    matrix = step("matrix", data.interactions.matrix)
    kept = int(matrix.nnz)
    del matrix
    split = step("split", lambda: leave_last_out(data.interactions))
    sizes = [len(split.part(part)) for part in ("train", "valid", "test")]
    step("histories", split.train.histories)
    del split
    step("statistics", lambda: Statistics.of(data).as_dict())
    return {"steps": steps, "peaks": peaks, "peak_gib": max(peaks.values()), "kept": kept, "parts": sizes}


def watched(command: list[str], seconds: float, gib: float) -> dict[str, Any]:
    """What a process prints as JSON; what stopped it where it took too long or too much."""
    start = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while True:
            try:
                out, err = process.communicate(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                held = _held(process.pid)
                why = f"stopped at {gib:g} GiB" if held > gib else f"stopped after {seconds:g} s"
                if held > gib or time.monotonic() - start > seconds:
                    process.kill()
                    return {"stopped": why}
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{err[-3000:]}")
    result: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return result


def _held(pid: int) -> float:
    """GiB that a process holds now, files that it maps included."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 2**20


def python_of(out: Path, peer: str) -> str:
    """The interpreter of a peer's environment, which is made where it is missing."""
    folder = out / "environments" / peer.lower()
    python, note = folder / "bin" / "python", folder / "peers"
    wanted = "\n".join(PEERS[peer])
    if not note.is_file() or note.read_text() != wanted:
        own = f"{sys.version_info.major}.{sys.version_info.minor}"
        subprocess.run(["uv", "venv", "--quiet", "--clear", "--python", own, str(folder)], check=True)
        subprocess.run(
            ["uv", "pip", "install", "--quiet", "--python", str(python), *wanted.split()], check=True
        )
        note.write_text(wanted)
    return str(python)


# ---- the parts -------------------------------------------------------------------------------------------


def tables(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Interactions and items: the text for the README, and all facts."""
    results, load = [], os.getloadavg()[0]
    for n in args.sizes:
        for kind in args.formats if n <= CSV_MOST else {"parquet"} & set(args.formats):
            for case in CASES if kind == "parquet" else ["items"]:
                folder = generate(args.out, n, kind, case)
                source = str(folder / f"interactions.{kind}")
                commands = {"visrec": [sys.executable, __file__, "--job", str(folder), case]}
                if case == "items":
                    peer = str(HERE / "peers" / "build_dataset.py")
                    for name in args.peers:
                        commands[name] = [python_of(args.out, name), peer, name.lower(), source]
                for name, command in commands.items():
                    rounds = []
                    for _ in range(args.rounds):
                        rounds.append(watched(command, args.limit, args.memory))
                        print(n, kind, case, name, rounds[-1], file=sys.stderr, flush=True)
                        if "stopped" in rounds[-1]:
                            break
                    results.append({"n": n, "format": kind, "case": case, "who": name, "rounds": rounds})
    own, peers = own_table(results), peer_table(results)
    own.show()
    peers.show()
    versions = {one["who"]: one["rounds"][0]["version"] for one in results if "version" in one["rounds"][0]}
    text = (
        f"{args.rounds} round(s). {', '.join(' '.join(one) for one in versions.items())}. At most "
        f"{args.memory:g} GiB and {args.limit:g} s each. Load of the machine before it began: {load:.1f}."
    )
    print(text)
    return f"{text}\n\n{own.markdown}\n\n{peers.markdown}", {"results": results, "load": load}


STEPS = ("read", "split", "matrix", "histories", "statistics")


def own_table(results: list[dict[str, Any]]) -> Table:
    """visrec alone: processor seconds of each step."""
    table = Table(["visrec", "items", *STEPS, "all, processor s", "clock s", "peak GiB"])
    for one in results:
        if one["who"] == "visrec":
            items = f"{one['n'] // 10:,}{', with images' * (one['case'] == 'images')}"
            costs = [_cost(one["rounds"], (step,))[0] for step in STEPS]
            row = [f"{one['n']:,}, {one['format']}", items, *costs, *_cost(one["rounds"], STEPS)]
            table.rows.append(row)
    return table


def peer_table(results: list[dict[str, Any]]) -> Table:
    """From the file to the matrix, beside the peers."""
    table = Table(
        ["from file to matrix", "interactions", "processor s", "clock s", "peak GiB", "times visrec"]
    )
    own: float | None = None
    for one in results:
        if one["case"] == "items":
            steps = ("read", "matrix") if one["who"] == "visrec" else ("read", "data set and matrix")
            seconds = _seconds(one["rounds"], steps)
            middle = statistics.median(seconds[0]) if seconds else None
            own = middle if one["who"] == "visrec" else own
            times = f"{middle / own:.1f}" if middle and own else "-"
            row = [one["who"], f"{one['n']:,}, {one['format']}", *_cost(one["rounds"], steps), times]
            table.rows.append(row)
    return table


def _seconds(rounds: list[dict[str, Any]], steps: tuple[str, ...]) -> tuple[list[float], list[float]] | None:
    """Of each round the seconds of some steps: of the processors, by the clock. None where it was stopped."""
    if "stopped" in rounds[-1]:
        return None
    processor, clock = ([sum(one["steps"][step][of] for step in steps) for one in rounds] for of in (0, 1))
    return processor, clock


def _cost(rounds: list[dict[str, Any]], steps: tuple[str, ...]) -> list[str]:
    """Processor seconds, clock seconds and the peak until the last of some steps, as words."""
    seconds = _seconds(rounds, steps)
    if seconds is None:
        return ["-", rounds[-1]["stopped"], "-"]
    peaks = [
        max(one["peaks"][step] for step in steps) if "peaks" in one else one["peak_gib"] for one in rounds
    ]
    show = spread if len(rounds) > 1 else lambda values, digits: format(values[0], digits)
    return [show(seconds[0], ".1f"), show(seconds[1], ".1f"), show(peaks, ".1f")]


EACH = """
import sys
from visrec.checks.inspection import inspect
from visrec.data.dataset import load_catalog
from visrec.data.images import decode
from visrec.errors import ImageError
works = {"inspect": inspect, "whole": decode}
work = works.get(sys.argv[2]) or (lambda path: decode(path, least_side=int(sys.argv[2])))
for path in load_catalog(sys.argv[1], missing_images="mask").paths:
    try:
        path is None or work(path)
    except ImageError:
        pass
"""
LOOKING = "what the check does with each picture, in one process"
STARTING = "starting, and reading the tables"
TABLES = """
import sys
import visrec.checks.inspection
from visrec.data.dataset import load_catalog
load_catalog(sys.argv[1], missing_images="mask")
"""


def images(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """The doctor's pictures: processor time of `visrec check`, of decoding alone, and of reading the tables alone."""
    from visrec.checks.inspection import _LEAST_SIDE

    with tempfile.TemporaryDirectory() as folder:
        large = enlarged(args.data, Path(folder) / f"{args.data.name} enlarged")
        return pictures_of([args.data, large], args.rounds, _LEAST_SIDE)


def enlarged(data: Path, made: Path) -> Path:
    """Some of the pictures, as large as photographs of shops are."""
    from PIL import Image

    from visrec.data.dataset import load_catalog
    from visrec.data.images import decode

    (made / "images").mkdir(parents=True)
    catalog = load_catalog(data, missing_images="mask")
    for index in np.flatnonzero(catalog.pictured)[:LARGE]:
        path = catalog.paths[int(index)]
        assert path is not None
        picture = decode(path)
        size = (picture.width * 1200 // picture.height, 1200)
        file = made / "images" / f"{catalog.items.written[int(index)]}.jpg"
        picture.resize(size, Image.Resampling.LANCZOS).save(file, quality=90)
    return made


def pictures_of(folders: list[Path], n_rounds: int, side: int) -> tuple[str, dict[str, Any]]:
    """Measure each folder."""
    from visrec.data.dataset import load_catalog

    table = Table(["pictures", "", "processor s", "ms a picture, without the start", "of looking at it"])
    facts: dict[str, Any] = {}
    for data in folders:
        n = int(load_catalog(data, missing_images="mask").pictured.sum())
        commands = {
            "visrec check, all of it": ["-c", "from visrec.cli import main; main()", "check", str(data)],
            LOOKING: ["-c", EACH, str(data), "inspect"],
            "decoding alone, as small as that needs": ["-c", EACH, str(data), str(side)],
            "decoding alone, whole": ["-c", EACH, str(data), "whole"],
            STARTING: ["-c", TABLES, str(data)],
        }
        rounds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(n_rounds):
            for name, command in commands.items():
                rounds[name].append(processor_seconds([sys.executable, *command]))
                print(data.name, name, rounds[name][-1], file=sys.stderr, flush=True)
        start, whole = (statistics.median(rounds[name]) for name in (STARTING, LOOKING))
        for name, taken in rounds.items():
            above = statistics.median(taken) - start
            costs = [f"{above / n * 1000:.2f}", f"{above / (whole - start):.0%}"] if above else ["-", "-"]
            table.rows.append([f"{data.name}, {n:,}", name, spread(taken, ".1f"), *costs])
        facts[data.name] = {"pictures": n, "seconds": rounds}
    table.show()
    return table.markdown, {"data": facts}


def processor_seconds(command: list[str]) -> float:
    """Of a process and those that it starts; `visrec check` ends with 2 where it finds errors."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode not in (0, 2):
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Parse, measure, show."""
    if sys.argv[1:2] == ["--job"]:
        print(json.dumps(measure(Path(sys.argv[2]), sys.argv[3])))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="folder for data and environments")
    parser.add_argument("--part", choices=["tables", "images"], default="tables")
    parser.add_argument(
        "--sizes", type=lambda text: [int(float(one)) for one in text.split(",")], default="1e6,1e7"
    )
    parser.add_argument("--formats", nargs="+", choices=["parquet", "csv"], default=["parquet", "csv"])
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--limit", type=float, default=900, help="seconds a measurement may take")
    parser.add_argument("--memory", type=float, default=16, help="GiB that it may hold")
    parser.add_argument("--data", type=Path, help="a folder with pictures, for --part images")
    parser.add_argument("--write", action="store_true", help="put the figures into benchmarks/README.md")
    args = parser.parse_args()
    if args.part == "tables" and args.out is None:
        parser.error("where shall the data and the environments be? Add --out FOLDER")
    if args.part == "images" and args.data is None:
        parser.error("--part images looks at pictures; name a folder that has some: --data DATA")
    text, facts = (tables if args.part == "tables" else images)(args)
    about = machine()
    if args.write:
        name = "ingest" if args.part == "tables" else "ingest_images"
        publish(name, f"{text}\n\n{described(about)}", {"provenance": about, **facts})


if __name__ == "__main__":
    main()
