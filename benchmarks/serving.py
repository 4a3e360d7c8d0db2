"""How fast does the service answer, by exact and by approximate search? Does it stay right while runs are swapped?

    uv run python benchmarks/serving.py --out DIR            # 33,000 and 1,000,000 items; about a quarter of an hour
    … --items 33000 --seconds 5                              # a quick look
    … --write                                                # puts the figures into benchmarks/README.md

The load comes from wrk (https://github.com/wg/wrk; Debian: apt-get install wrk), over loopback, from the same
machine. The service is what `visrec serve` starts, in a process of its own, with the rates of reading and writing set
to 0 (no limit) and the number of items up to which lists are exact set to all or to none. Runs are made up, once, in
DIR (4.5 GB for 1,000,000 items), and are looked at again by the next call.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import numpy as np
from common import Table, described, machine, publish

K = 20
CONNECTIONS = (1, 8, 32)
SEARCHES = ("exact", "approximate")
ASKERS = {"user": "a user", "visitor": "a visitor's history"}
USERS, QUESTIONS, ASKED = 1000, 5000, 200
DIM = 256
TOKEN = "a-token-of-the-benchmark"
MODEL = "visrank"
STYLES = ("portrait", "landscape", "still life", "abstract", "street", "print")

LUA = """
-- Each thread of wrk asks the questions of the file in turn, from a place of its own.
local paths, threads = {}, {}
local at = 0

function setup(thread)
   thread:set("number", #threads)
   table.insert(threads, thread)
end

function init(args)
   for line in io.lines(args[1]) do paths[#paths + 1] = line end
   at = number * 1009
end

function request()
   at = at % #paths + 1
   return wrk.format("GET", paths[at])
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '\\nJSON {"p50": %f, "p95": %f, "p99": %f, "max": %f, "requests": %d, "seconds": %f, ' ..
      '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\\n',
      latency:percentile(50) / 1000, latency:percentile(95) / 1000, latency:percentile(99) / 1000, latency.max / 1000,
      summary.requests, summary.duration / 1e6, e.connect, e.read, e.write, e.status, e.timeout))
end
"""


# ---- runs that nobody has trained ------------------------------------------------------------------


def make_run(folder: Path, n_items: int, *, seed: int = 0, index: bool = True) -> None:
    """A run folder of made-up looks and VisRank over them, unless it is there.

    What a model that is learnt would answer from is the same: a table of vectors, and a vector to ask with. The looks
    are those of `benchmarks/retrieval.py`, clusters of very unequal size. Nothing is evaluated: a run is served
    without a report, too.
    """
    import torch
    from retrieval import looks

    from visrec.experiment import Experiment
    from visrec.features.features import Features
    from visrec.retrieval.recommendation import index_of
    from visrec.run_folder import Run

    about = folder / "made.json"
    if about.is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    torch.set_num_threads(os.cpu_count() or 1)
    rng = np.random.default_rng(seed)
    vectors, _ = looks(n_items, 0, rng)
    data = folder.with_name(f"{folder.name}-data")
    write_data(data, vectors, rng)
    settings = {
        "data": {"path": str(data), "missing_images": "mask"},
        "models": {MODEL: {"method": "average"}},
    }
    experiment = Experiment(title="Looks that nobody has", **settings).resolved()
    folder.mkdir(parents=True)
    experiment.to_toml(folder / "experiment.toml")
    found = Run.load(folder)
    features = Features.from_array(
        vectors, found.data.catalog.items.values, provenance={"extractor": "looks"}
    )
    features.save(folder / "features")
    model = experiment.build(MODEL).fit(found.split.train, features)
    model.save(found.folder_of(MODEL))
    seconds = 0.0
    if index:
        begun = time.process_time()
        graph = index_of(model, kind="approximate", threads=os.cpu_count() or 1)
        assert graph is not None
        seconds = time.process_time() - begun
        graph.save(folder / "indices" / MODEL)
    about.write_text(json.dumps({"items": n_items, "seed": seed, "index_processor_s": seconds}))


def write_data(folder: Path, vectors: np.ndarray, rng: np.random.Generator) -> None:
    """Items with a few words each and no pictures; users who took 10 to 40 items that look like four of theirs."""
    import polars as pl

    n = len(vectors)
    ids = np.array([f"i{number:07}" for number in range(n)])
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(
        {
            "item_id": ids,
            "title": [f"Work {number}" for number in range(n)],
            "artist": [f"artist {number}" for number in rng.integers(0, max(2, n // 20), n)],
            "style": np.array(STYLES)[rng.integers(0, len(STYLES), n)],
        }
    ).write_parquet(folder / "items.parquet")
    near = rng.permutation(n)[
        :4096
    ]  # what a user takes comes from these, so that nothing of size n x n is computed
    users, items = [], []
    for user in range(USERS):
        anchors = rng.choice(near, 4, replace=False)
        closest = np.argsort(-(vectors[anchors] @ vectors[near].T), axis=1)[:, :10]
        taken = rng.permutation(np.unique(near[closest]))[: rng.integers(10, 41)]
        users += [f"u{user:04}"] * len(taken)
        items += ids[taken].tolist()
    stamps = 1_700_000_000 + rng.permutation(len(users)) * 60
    table = pl.DataFrame({"user_id": users, "item_id": items, "timestamp": stamps})
    table.write_parquet(folder / "interactions.parquet")


def questions(data: Path, *, n: int, asker: str, seed: int = 1) -> list[str]:
    """Paths to ask: a user each, or the history of a visitor, 1 to 10 of the newest items of a user."""
    import polars as pl

    rng = np.random.default_rng(seed)
    taken = pl.read_parquet(data / "interactions.parquet").sort("timestamp")
    histories = dict(taken.group_by("user_id").agg("item_id").sort("user_id").iter_rows())
    users = list(histories)
    paths = []
    for user in rng.integers(0, len(users), n):
        fields = [("k", str(K)), ("model", MODEL)]
        if asker == "user":
            fields.append(("user", users[user]))
        else:
            fields += [("item", item) for item in histories[users[user]][-int(rng.integers(1, 11)) :]]
        paths.append(f"/v1/recommendations?{urlencode(fields, quote_via=quote)}")
    return paths


# ---- the service, in a process of its own ----------------------------------------------------------


@contextmanager
def serving(run: Path, search: str, *, token: str | None = None) -> Iterator[Server]:
    """The service of a run, until the block ends."""
    words = [sys.executable, __file__, "--serve", str(run), "--search", search]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "VISREC_TOKEN": token or ""}
    begun = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            raise SystemExit("The service did not start; its words are above.")
        yield Server(address.rstrip("/"), process.pid, time.perf_counter() - begun)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Server:
    """Where it is, and what it costs."""

    address: str
    pid: int
    started_s: float

    def ask(self, path: str, *, method: str = "GET", token: str | None = None) -> tuple[int, Any]:
        """Status and answer of one request on a connection of its own."""
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def memory_mib(self) -> dict[str, float]:
        """Of its own and of mapped files, now; and the most of both there was."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        kept = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.endswith(" kB")}
        return {"own": kept["RssAnon"], "all": kept["VmRSS"], "most": kept["VmHWM"]}

    def processor_s(self) -> float:
        """Seconds of processor time until now."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serve_here(run: Path, search: str) -> None:
    """Be the service. Up to how many items lists are exact is the one thing that is other than in `visrec serve`."""
    from visrec.serving import engine
    from visrec.serving.app import create_app
    from visrec.serving.server import serve
    from visrec.serving.settings import ServiceSettings

    engine.EXACT_UP_TO = sys.maxsize if search == "exact" else 0
    token = os.environ.get("VISREC_TOKEN") or None
    settings = ServiceSettings(port=0, reading_rate=0, writing_rate=0, token=token)
    serve(create_app(run, settings), settings, begun=lambda address: print(address, flush=True))


# ---- load ------------------------------------------------------------------------------------------


def drive(server: Server, paths: Path, *, connections: int, seconds: float) -> dict[str, float]:
    """What wrk says, and the processor time of the service for a request."""
    script = paths.with_name("ask.lua")
    script.write_text(LUA)
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds:g}s", "--timeout", "30s"]
    command += ["--latency", "-s", str(script), server.address, "--", str(paths)]
    before = server.processor_s()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    spent = server.processor_s() - before
    line = next(line for line in done.stdout.splitlines() if line.startswith("JSON "))
    facts: dict[str, float] = json.loads(line.removeprefix("JSON "))
    facts["errors"] = sum(facts.pop(name) for name in ("connect", "read", "write", "status", "timeout"))
    facts["connections"] = connections
    facts["per_s"] = facts["requests"] / facts["seconds"]
    facts["processor_ms"] = 1000 * spent / max(1, facts["requests"])
    return facts


def measure(run: Path, scratch: Path, *, seconds: float, connections: Sequence[int]) -> dict[str, Any]:
    """A run under load, by both searches and for both kinds of questions."""
    data = run.with_name(f"{run.name}-data")
    asked = {kind: questions(data, n=QUESTIONS, asker=kind) for kind in ASKERS}
    lists: dict[str, dict[str, list[list[str]]]] = {}
    found: dict[str, Any] = {"loads": []}
    for search in SEARCHES:
        with serving(run, search) as server:
            lists[search] = {}
            for kind, paths in asked.items():
                file = scratch / f"{kind}.txt"
                file.write_text("".join(f"{path}\n" for path in paths))
                answers = [server.ask(path) for path in paths[:ASKED]]
                assert all(status == 200 for status, _ in answers), answers[0]
                lists[search][kind] = [[one["id"] for one in answer["items"]] for _, answer in answers]
                for n in connections:
                    facts = drive(server, file, connections=n, seconds=seconds)
                    found["loads"].append({"search": search, "asker": kind, **facts})
                    print(json.dumps(found["loads"][-1]), file=sys.stderr, flush=True)
            found[search] = {"memory_mib": server.memory_mib(), "started_s": server.started_s}
    found["recall"] = {
        kind: float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(*pair, strict=True)]))
        for kind, pair in ((kind, (lists["exact"][kind], lists["approximate"][kind])) for kind in ASKERS)
    }
    return found


# ---- a new run while there is load -----------------------------------------------------------------


def swap(out: Path, *, n_items: int, swaps: int, connections: int = 8) -> dict[str, Any]:
    """Two runs of the same users and items, one link, and a load: every answer must be wholly one run's."""
    from visrec.serving.engine import Engine, Question

    runs = [out / f"swap-{n_items}-{name}" for name in "ab"]
    for seed, run in enumerate(runs):
        make_run(run, n_items, seed=seed, index=False)
    data = runs[0].with_name(f"{runs[0].name}-data")
    file = out / "swap.txt"
    file.write_text("".join(f"{path}\n" for path in questions(data, n=QUESTIONS, asker="user")))
    users = [f"u{number:04}" for number in range(0, USERS, 25)]
    engines = [Engine.open(run) for run in runs]
    right = {
        engine.digest: {
            user: [
                engine.item(one.index).id for one in engine.recommend(Question(model=MODEL, user=user, k=K))
            ]
            for user in users
        }
        for engine in engines
    }
    link = out / "current"
    point(link, runs[0])
    seen: dict[str, int] = dict.fromkeys(right, 0)
    wrong: list[str] = []
    ended = threading.Event()
    with serving(link, "exact", token=TOKEN) as server:

        def look() -> None:
            number = 0
            while not ended.is_set():
                user = users[number % len(users)]
                number += 1
                try:
                    status, answer = server.ask(f"/v1/recommendations?user={user}&k={K}&model={MODEL}")
                except (OSError, http.client.HTTPException, ValueError) as error:
                    wrong.append(f"{user}: {error!r}")
                    continue
                if status != 200 or [one["id"] for one in answer["items"]] != right[answer["run"]][user]:
                    wrong.append(f"{user}: status {status}, run {answer.get('run')}")
                else:
                    seen[answer["run"]] += 1

        threads = [threading.Thread(target=look) for _ in range(2)]
        loads: list[dict[str, float]] = []
        driver = threading.Thread(
            target=lambda: loads.append(drive(server, file, connections=connections, seconds=2 * swaps + 2))
        )
        for thread in (driver, *threads):
            thread.start()
        begun, took = time.perf_counter(), []
        for number in range(1, swaps + 1):
            with suppress(ValueError):
                time.sleep(begun + 2 * number - 1 - time.perf_counter())
            point(link, runs[number % 2])
            since = time.perf_counter()
            status, answer = server.ask("/v1/reload", method="POST", token=TOKEN)
            took.append(time.perf_counter() - since)
            assert status == 200, answer
            assert answer["run"] == engines[number % 2].digest
        driver.join()
        ended.set()
        for thread in threads:
            thread.join()
        memory = server.memory_mib()
    return {
        "items": n_items,
        "swaps": swaps,
        "reload_s": max(took),
        "sampled": sum(seen.values()),
        "runs_seen": sum(n > 0 for n in seen.values()),
        "wrong": wrong,
        "load": loads[0],
        "memory_mib": memory,
    }


def point(link: Path, target: Path) -> None:
    """Have a link point elsewhere, in one step."""
    new = link.with_name(f"{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target.resolve())
    new.replace(link)


# ---- the page --------------------------------------------------------------------------------------

HEADER = (
    "",
    "connections",
    "p50, ms",
    "p95, ms",
    "p99, ms",
    "requests/s",
    "errors",
    "processor ms a request",
)


def table_of(found: Mapping[str, Any]) -> Table:
    """One run's load."""
    table = Table(HEADER)
    for one in found["loads"]:
        cells = [f"{one['connections']:.0f}", *(f"{one[name]:.1f}" for name in ("p50", "p95", "p99"))]
        cells += [f"{one['per_s']:.1f}", f"{one['errors']:.0f}", f"{one['processor_ms']:.1f}"]
        table.rows.append([f"{one['search']}, {ASKERS[one['asker']]}", *cells])
    return table


def text_of(n_items: int, found: Mapping[str, Any], table: Table) -> str:
    """One run, for the README."""
    recall = " and ".join(f"{share:.4f} for {ASKERS[kind]}" for kind, share in found["recall"].items())
    held = {search: found[search]["memory_mib"] for search in SEARCHES}
    memory = ", ".join(
        f"{of['all']:,.0f} MiB ({of['own']:,.0f} of its own) {name}" for name, of in held.items()
    )
    start = ", ".join(f"{found[search]['started_s']:.0f} s {search}" for search in SEARCHES)
    built = found.get("index_processor_s")
    return "\n\n".join(
        [
            f"**{n_items:,} items** of {DIM} numbers, lists of {K}.",
            table.markdown,
            f"Recall@{K} of the approximate lists against the exact ones, of {ASKED} answers each: {recall}. Memory "
            f"under load: {memory}. Until the service answers: {start}"
            + (f". Its index took {built:.0f} s of processor time to build." if built else "."),
        ]
    )


def text_of_swap(found: Mapping[str, Any]) -> str:
    """The swap, for the README."""
    load = found["load"]
    wrong = "none was wrong" if not found["wrong"] else f"{len(found['wrong'])} were WRONG"
    return (
        f"**Swapping**, {found['items']:,} items: {found['swaps']} swaps between two runs while "
        f"{load['connections']:.0f} connections asked {load['requests']:,.0f} questions ({load['errors']:.0f} "
        f"errors; p50 {load['p50']:.1f}, p99 {load['p99']:.1f} ms). {found['sampled']:,} sampled answers were "
        f"compared with the list of the run that they name, as the engine gives it: {wrong}; {found['runs_seen']} "
        f"runs were among them. A reload took at most {found['reload_s']:.1f} s, during which the run of before went "
        f"on answering."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="a folder for the runs")
    parser.add_argument("--items", type=int, nargs="*", default=[33_000, 1_000_000])
    parser.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS)
    parser.add_argument("--seconds", type=float, default=8, help="of each load")
    parser.add_argument("--swap-items", type=int, default=33_000, help="0: none is swapped")
    parser.add_argument("--swaps", type=int, default=10)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--search", choices=SEARCHES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve_here(args.serve, args.search)
        return
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed, and without it there is no load: apt-get install wrk")
    if args.out is None:
        parser.error("--out DIR is needed")
    args.out.mkdir(parents=True, exist_ok=True)
    others = os.getloadavg()[0]  # processes that want a processor, before there is any of ours
    about: dict[str, Any] = {"seconds": args.seconds, "runs": []}
    texts = []
    for n_items in args.items:
        run = args.out / f"run-{n_items}"
        make_run(run, n_items)
        found = measure(run, args.out, seconds=args.seconds, connections=args.connections)
        found |= {"items": n_items, **json.loads((run / "made.json").read_text())}
        about["runs"].append(found)
        table = table_of(found)
        table.show()
        texts.append(text_of(n_items, found, table))
        print(texts[-1], flush=True)
    if args.swap_items:
        about["swap"] = swap(args.out, n_items=args.swap_items, swaps=args.swaps)
        texts.append(text_of_swap(about["swap"]))
        print(texts[-1], flush=True)
    about |= {"machine": machine(), "others_load": others}
    (args.out / "serving.json").write_text(json.dumps(about, indent=1) + "\n")
    if args.write:
        others_said = f"Other work: a load of {others:.1f} before it began."
        conditions = f"{args.seconds:g} s each. {described(about['machine'])} {others_said}"
        publish("serving", "\n\n".join([*texts, conditions]), about)
    if about.get("swap", {}).get("wrong") or any(
        one["errors"] for run in about["runs"] for one in run["loads"]
    ):
        raise SystemExit("There were errors; see the tables.")


if __name__ == "__main__":
    main()
