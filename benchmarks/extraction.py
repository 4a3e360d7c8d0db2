"""How fast visrec turns images into features, beside the plain way and beside what the machine can do at most.

    uv run python benchmarks/extraction.py IMAGES              the race; --networks, --images, --rounds
    uv run python benchmarks/extraction.py IMAGES --memory     peak memory of 2,000 and of 20,000 images
    uv run python benchmarks/extraction.py IMAGES --kills 20   killed at random moments: are the bytes the same?
    … --write                                                  also puts the figures into benchmarks/README.md

IMAGES is a folder of JPEGs. Networks are torchvision's, with random weights: speed does not depend on them.

The race, in turns, each contestant in a fresh process, on the same images; building the network counts for none:

- naive: the tutorial's way, see `naive`; and the same with OMP_WAIT_POLICY=PASSIVE, since torch's threads wait for
  each other spinning and take many times as long where anything else wants a processor.
- visrec: `visrec.extract` into a temporary folder, with precision "auto" (the default) and "float32".
- network: the ceiling of the network alone, on pictures prepared before, all its threads busy.
- decoding: the ceiling of the processes that decode and prepare, answers thrown away.

Of each there is the speed of the whole call (with reading the files' digests, starting processes, writing the
result) and the steady one, between a quarter and three quarters of the images. Where both need the same processors
(no GPU), no way of sharing them is faster than the shared ceiling, 1 / (1 / network + 1 / decoding).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise, product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
from common import Pace, Table, described, machine, publish, spread

import visrec
from visrec.data.ids import IdMap
from visrec.data.images import content_digest

NETWORKS = "resnet50,alexnet,squeezenet1_0"
PRECISIONS = ("auto", "float32")
NAIVE_BATCH = 8  # the tutorial's
WAITING = 4  # batches given to the network at a time, as the engine does
MEMORY: dict[str, dict[str, Any]] = {"squeezenet1_0": {"weights": "random"}, "color": {}}
"""Extractors whose memory is looked at, with their settings."""
FEW, MANY = 2_000, 20_000

Answer = TypeVar("Answer")


def fresh(function: Callable[..., Answer], *given: Any) -> Answer:
    """A function's answer from a new process, in which nothing was imported or set before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=quiet) as pool:
        return pool.submit(function, *given).result()


def quiet() -> None:
    """No warnings that weights are random."""
    logging.getLogger("visrec").setLevel(logging.ERROR)


def chosen(folder: Path, n: int) -> list[Path]:
    """`n` JPEGs of different contents from all over a folder; all there are, if fewer."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    random.Random(0).shuffle(files)
    found: dict[str, Path] = {}
    for path in files:
        found.setdefault(content_digest(path), path)
        if len(found) == n:
            break
    if not found:
        raise SystemExit(f"{folder} holds no JPEGs.")
    return list(found.values())


def catalog_of(files: Sequence[Path]) -> visrec.Catalog:
    """A catalogue of image files, numbered."""
    items = IdMap(range(len(files)), kind="item")
    return visrec.Catalog(items, tuple(files), pl.DataFrame({"item_id": items.values}))


# ---- the race --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """Images a second.

    Attributes:
        whole: of the whole call.
        steady: see `Pace.steady`; that of the whole call where there are too few batches to tell.
        cpu: milliseconds of processors an image, of all processes of the whole call.
        precision: of the network, if there is one.
        device: of the network, if there is one.
    """

    whole: float
    steady: float
    cpu: float
    precision: str = ""
    device: str = "cpu"


class Clock(Pace):
    """A `Pace` that starts now."""

    def __init__(self) -> None:
        super().__init__()
        self._start, self._cpu = time.perf_counter(), cpu_seconds()

    def speed(self, n: int, precision: str = "", device: str = "cpu") -> Speed:
        """Of `n` images, done now."""
        whole = n / (time.perf_counter() - self._start)
        cpu = 1000 * (cpu_seconds() - self._cpu) / n
        return Speed(whole, self.steady() or whole, cpu, precision, device)

    def tick(self, done: int, total: int) -> None:
        """So many are done."""
        self(done, total, "images/s")


def cpu_seconds() -> float:
    """What this process and those that it started, and which have ended, have taken of the processors."""
    return sum(os.times()[:4])


def naive(network: str, files: list[Path], *, passive: bool) -> Speed:
    """The tutorial's way: one process, Pillow and torchvision's transform, small batches, vectors in a list.

    Args:
        network: its name.
        files: the images.
        passive: whether torch's threads sleep while they wait for each other; not torch's default.
    """
    if passive:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # read when torch is imported
    import torch
    from PIL import Image
    from torchvision import models

    from visrec.features.architectures import build

    made = build("torchvision", network, "random")
    made.cut(made.net)  # its vector before the classifier, as visrec's
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = made.net.eval().to(device)
    transform = models.get_model_weights(network).DEFAULT.transforms()
    vectors: list[np.ndarray] = []
    clock = Clock()
    for start in range(0, len(files), NAIVE_BATCH):
        names = files[start : start + NAIVE_BATCH]
        batch = torch.stack([transform(Image.open(name).convert("RGB")) for name in names])
        with torch.no_grad():
            vectors.extend(net(batch.to(device)).cpu().numpy())
        clock.tick(len(vectors), len(files))
    return clock.speed(len(files), "float32", device)


def whole(network: str, files: list[Path], precision: str) -> Speed:
    """`visrec.extract` into a temporary folder."""
    from visrec.features.backbones import Backbone

    made = Backbone(network, weights="random", precision=precision)
    catalog = catalog_of(files)
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        visrec.extract(catalog, made, out=Path(folder) / "features", progress=clock)
        return clock.speed(len(files), made.precision, made.device)


def network_alone(network: str, files: list[Path], precision: str) -> Speed:
    """`Backbone.submit` on batches in memory, some always waiting; as many pictures as there are files."""
    from visrec.features.backbones import Backbone
    from visrec.features.decoding import prepared

    made = Backbone(network, weights="random", precision=precision)
    size = made.batch_size
    few = prepared(made.preparation, files[: WAITING * size], n_workers=0, ahead=64)
    pictures = np.stack([one for one in few if not isinstance(one, str)])
    batches = [
        pictures[np.arange(start, start + size) % len(pictures)] for start in range(0, WAITING * size, size)
    ]
    total = -(-len(files) // size) * size
    waiting: deque[Future[np.ndarray]] = deque()
    clock, done = Clock(), 0
    for number in range(total // size + WAITING):
        if number * size < total:
            waiting.append(made.submit(batches[number % WAITING]))
        if number >= WAITING:
            done += len(waiting.popleft().result())
            clock.tick(done, total)
    return clock.speed(total, made.precision, made.device)


def decoding_alone(network: str, files: list[Path]) -> Speed:
    """The processes that decode and prepare, as many as `visrec.extract` starts."""
    from visrec.features.architectures import build
    from visrec.features.decoding import prepared

    preparation = build("torchvision", network, "random").transform
    clock = Clock()
    stream = prepared(preparation, files, n_workers=min(os.cpu_count() or 1, 8), ahead=128)
    for done, _ in enumerate(stream, start=1):
        clock.tick(done, len(files))
    return clock.speed(len(files))


CONTESTANTS: dict[str, Callable[[str, list[Path]], Speed]] = {
    "naive": partial(naive, passive=False),
    "naive, passive": partial(naive, passive=True),
    **{f"visrec {precision}": partial(whole, precision=precision) for precision in PRECISIONS},
    **{f"network {precision}": partial(network_alone, precision=precision) for precision in PRECISIONS},
    "decoding": decoding_alone,
}


def ratios(found: dict[str, Speed], precision: str) -> dict[str, float]:
    """One round: visrec's whole call beside the naive one, its steady speed beside the ceilings."""
    own, network = found[f"visrec {precision}"], found[f"network {precision}"].steady
    decoding = found["decoding"].steady
    one = {
        **{name: own.whole / found[name].whole for name in ("naive", "naive, passive")},
        "lower ceiling": own.steady / min(network, decoding),
    }
    if own.device == "cpu":
        one["shared ceiling"] = own.steady * (1 / network + 1 / decoding)
    return one


def race(files: list[Path], args: argparse.Namespace) -> None:
    """All contestants in turns, then the tables."""
    networks = args.networks.split(",")
    rounds: dict[str, list[dict[str, Speed]]] = {network: [] for network in networks}
    for number, network in product(range(args.rounds), networks):
        found: dict[str, Speed] = {}
        for name, function in CONTESTANTS.items():
            one = found[name] = fresh(function, network, files)
            print(
                f"round {number + 1}  {network:15} {name:16} {one.whole:9,.1f} images/s, steady {one.steady:9,.1f}"
                f"  {one.precision}",
                flush=True,
            )
        rounds[network].append(found)
    speeds = Table(["", "precision", "images/s, whole call", "images/s, steady", "CPU ms an image"])
    beside = Table(["visrec beside", "naive", "naive, passive", "lower ceiling", "shared ceiling"])
    for network, results in rounds.items():
        for name in CONTESTANTS:
            runs = [found[name] for found in results]
            keys = ("whole", "steady", "cpu")
            cells = (spread([getattr(run, key) for run in runs], ",.1f") for key in keys)
            speeds.rows.append([f"{network}, {name}", runs[0].precision, *cells])
        for precision in PRECISIONS:
            each = [ratios(found, precision) for found in results]
            cells = (spread([one.get(key) for one in each]) for key in beside.header[1:])
            beside.rows.append([f"{network}, {precision}", *cells])
    about = fresh(machine)
    text = f"{len(files):,} JPEGs, {args.rounds} rounds, medians (lowest-highest)."
    facts = {
        "images": len(files),
        "rounds": {
            network: [{name: asdict(one) for name, one in found.items()} for found in results]
            for network, results in rounds.items()
        },
    }
    report("extraction", text, [speeds, beside], about, facts, write=args.write)


# ---- memory ----------------------------------------------------------------------------------------------


def peak(process: str) -> int:
    """Most memory, in bytes, that a process ("self" or its number) has held; 0 if it has ended.

    Linux counts this for the program that runs. What `resource.getrusage` gives begins with what the parent held
    when it started the process: a decoding process would be as large as the one with the network.
    """
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def children() -> set[str]:
    """The numbers of the processes that this one has started."""
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that has just ended
            found.update((task / "children").read_text().split())
    return found


def peaks(extractor: str, files: list[Path]) -> tuple[int, int]:
    """Of the extraction of files: the peak of the process itself, and the sum of the peaks of those that decode."""
    decoding: dict[str, int] = {}

    def look(done: int, total: int, note: str) -> None:  # noqa: ARG001
        for child in children():
            decoding[child] = max(decoding.get(child, 0), peak(child))

    with tempfile.TemporaryDirectory() as folder:
        given = MEMORY[extractor]
        visrec.extract(catalog_of(files), extractor, out=Path(folder) / "features", progress=look, **given)
    return peak("self"), sum(decoding.values())


def copies(files: list[Path], n: int, folder: Path) -> list[Path]:
    """`n` copies, with a number behind the end of the picture: equal contents would be computed once."""
    made = []
    for number in range(n):
        path = folder / f"{number}.jpg"
        path.write_bytes(files[number % len(files)].read_bytes() + number.to_bytes(4, "little"))
        made.append(path)
    return made


def memory(files: list[Path], args: argparse.Namespace) -> None:
    """Peak memory for few and for many images."""
    table = Table(["MiB", f"{FEW:,} images", f"{MANY:,} images", "ratio"])
    facts: dict[str, dict[str, list[int]]] = {}
    for extractor in MEMORY:
        with tempfile.TemporaryDirectory() as folder:
            many = copies(files, MANY, Path(folder))
            both = [fresh(peaks, extractor, some) for some in (many[:FEW], many)]
        own, decoding = (list(one) for one in zip(*both, strict=True))
        total = [sum(one) for one in both]
        facts[extractor] = {"own": own, "decoding": decoding, "total": total}
        for what, (few, more) in facts[extractor].items():
            cells = (f"{one / 2**20:,.0f}" for one in (few, more))
            table.rows.append([f"{extractor}, {what}", *cells, f"{more / few:.3f}"])
        print(f"{extractor}: {facts[extractor]}", flush=True)
    text = (
        "Peak resident memory: of the process itself, of its decoding processes together (each one's own peak, pages "
        "that they share counted each time), and the sum."
    )
    report("extraction_memory", text, [table], fresh(machine), {"bytes": facts}, write=args.write)


# ---- kills -----------------------------------------------------------------------------------------------


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file in a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def kept(out: Path, n: int) -> float:
    """Share of `n` images whose vectors are safe already."""
    if out.is_dir():
        return 1.0
    lists = out.with_name(f"{out.name}.partial").glob("[0-9]*.json")
    return sum(len(json.loads(path.read_text())) for path in lists) / n


def kills(files: list[Path], args: argparse.Namespace) -> None:
    """Kill extractions at random moments, start them again, and compare what comes of them in the end.

    The moments are even over the time that an undisturbed extraction takes once it has started up. One that was
    killed with all vectors safe may then come to its end, since every further kill would only meet its start. Where
    one comes to its end, its bytes are compared and the next one begins from nothing.
    """
    network, rng = args.networks.split(",")[0], random.Random(args.seed)
    at: list[float] = []
    equal: list[bool] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data" / "images").mkdir(parents=True)
        for number, path in enumerate(files):
            (folder / "data" / "images" / f"{number}.jpg").symlink_to(path.resolve())
        command = [
            sys.executable,
            "-m",
            "visrec.cli",
            "extract",
            str(folder / "data"),
            "--extractor",
            network,
        ]
        command += ["--weights", "random", "--out"]

        def begin(out: Path) -> subprocess.Popen[bytes]:
            return subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

        start = time.perf_counter()
        process = begin(folder / "whole")
        while process.poll() is None and not (folder / "whole.partial").exists():
            time.sleep(0.05)
        started_up = time.perf_counter() - start
        finished(process, None)
        length, expected = time.perf_counter() - start, digests(folder / "whole")
        out, under_way = folder / "killed", True
        while len(at) < args.kills or under_way:
            is_left = len(at) == args.kills or kept(out, len(files)) == 1
            moment = None if is_left else rng.uniform(started_up, length)
            process = begin(out)
            under_way = not finished(process, moment)
            if under_way:
                process.kill()
                process.communicate()
                at.append(kept(out, len(files)))
                print(f"kill {len(at)} after {moment:.1f} of {length:.1f} s: {at[-1]:.0%} done", flush=True)
                continue
            left = {path.name for path in folder.iterdir()} - {"data", "whole", "killed"}
            equal.append(digests(out) == expected and not left)
            shutil.rmtree(out)
            print(f"extraction {len(equal)} is done; bytes are equal: {equal[-1]}", flush=True)
    table = Table(["share of the vectors safe when killed", "kills"])
    for low, high in pairwise([0.0, 0.25, 0.5, 0.75, 1.0]):
        within = sum(low <= one < high and one > 0 for one in at)
        table.rows.append([f"{low:.0%} to {high:.0%}", str(within)])
    table.rows.insert(0, ["none", str(at.count(0.0))])
    table.rows.append(["all", str(sum(one >= 1 for one in at))])
    text = (
        f"{len(files):,} JPEGs, {network}: {len(at)} SIGKILLs in {len(equal)} extractions, "
        f"{sum(equal)} of which ended in the bytes of the undisturbed one, in all {len(expected)} files."
    )
    facts = {"images": len(files), "network": network, "seed": args.seed, "safe": at, "equal": equal}
    report("extraction_kills", text, [table], fresh(machine), facts, write=args.write)


def finished(process: subprocess.Popen[bytes], seconds: float | None) -> bool:
    """Whether a command comes to its good end in that time; None: however long it takes."""
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    if process.returncode:
        raise SystemExit(f"An extraction failed (status {process.returncode}):\n{errors.decode()}")
    return True


# ---- the command -----------------------------------------------------------------------------------------


def report(
    name: str, text: str, tables: list[Table], about: dict[str, Any], facts: dict[str, Any], *, write: bool
) -> None:
    """Show what was found, and keep it if asked to."""
    for table in tables:
        table.show()
    print(f"{text}\n{described(about)}")
    if write:
        parts = [text, *(table.markdown for table in tables), described(about)]
        publish(name, "\n\n".join(parts), {"provenance": about, **facts})


def main() -> None:
    """Parse, and run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, metavar="IMAGES")
    parser.add_argument("--networks", default=NETWORKS, help="comma-separated; --kills takes the first")
    parser.add_argument("--images", type=int, default=1000, dest="n", help="how many of them, at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--memory", action="store_true", help="peak memory instead of the race")
    parser.add_argument("--kills", type=int, default=0, metavar="K", help="so many kills instead of the race")
    parser.add_argument("--write", action="store_true", help="put the figures into benchmarks/README.md")
    args = parser.parse_args()
    files = chosen(args.images, args.n)
    if args.memory:
        memory(files, args)
    elif args.kills:
        kills(files, args)
    else:
        race(files, args)


if __name__ == "__main__":
    main()
