"""What starting costs: processor seconds of commands that only list or look, and of the whole demo.

    uv run python benchmarks/startup.py                    # the commands, and two demos: some minutes
    uv run python benchmarks/startup.py --against a812a80  # beside another commit: A B A B
    … --no-demo    the commands alone: half a minute;  --write    puts the figures into benchmarks/README.md

Each run is a process of its own; user and system time are counted, of the processes that it starts as well, so that
other work on the machine disturbs little. Files are warm, and compiled by a run that does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from common import Table, at_least_one, described, machine, publish, spread

ROOT = Path(__file__).resolve().parents[1]
CLI = ["-m", "visrec.cli"]
COMMANDS = {
    "import visrec": ["-c", "import visrec"],
    "visrec --version": [*CLI, "--version"],
    "visrec --help": [*CLI, "--help"],
    "visrec models": [*CLI, "models"],
    "visrec extractors": [*CLI, "extractors"],
    "visrec datasets": [*CLI, "datasets"],
    "visrec formats": [*CLI, "formats"],
}
WITH_A_RUN = {
    "visrec check, tables alone": [*CLI, "check", "{run}-data", "--no-images"],
    "visrec stats": [*CLI, "stats", "{run}-data"],
    "visrec evaluate --format md": [*CLI, "evaluate", "{run}", "--format", "md"],
    "visrec recommend": [*CLI, "recommend", "{run}", "--model", "bpr", "--user", "{user}"],
}
LIMITS = {name: 0.2 if name == "import visrec" else 0.3 for name in COMMANDS}
DEMO = "visrec demo"
STAGE = re.compile(r"^(\S.*): (\d+\.\d) s\b")


@dataclass
class Contestant:
    """One state of the code, and what it took.

    Attributes:
        name: as tables head it.
        source: the folder that holds its package.
        seconds: of the processor, by command, a number a round.
        wall: of the clock, likewise.
        stages: of the demo's stages, seconds of the clock, likewise.
        quality: of the demo's models, by metric.
    """

    name: str
    source: Path
    seconds: dict[str, list[float]] = field(default_factory=dict)
    wall: dict[str, list[float]] = field(default_factory=dict)
    stages: dict[str, list[float]] = field(default_factory=dict)
    quality: dict[str, dict[str, float]] = field(default_factory=dict)

    def run(self, command: str, arguments: list[str], *, counts: bool = True) -> None:
        """Run one process; raises where it fails."""
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        with tempfile.TemporaryFile("w+") as said:
            start = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**env, "PYTHONPATH": str(self.source)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
            _, status, used = os.wait4(process.pid, 0)
            took = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            text = said.read()
        if process.returncode:
            raise SystemExit(f"{self.name}: {command} ended with status {process.returncode}:\n{text}")
        if counts:
            self.seconds.setdefault(command, []).append(used.ru_utime + used.ru_stime)
            self.wall.setdefault(command, []).append(took)
            if command == DEMO:
                for found in filter(None, map(STAGE.match, text.splitlines())):
                    title = found[1].replace(str(arguments[-1]), "").strip("- ")
                    self.stages.setdefault(title, []).append(float(found[2]))


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """The package of another commit, in a working tree that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="visrec-startup-") as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        made = subprocess.run(
            [*git, "add", "--detach", str(tree), revision], check=False, capture_output=True, text=True
        )
        if made.returncode:
            raise SystemExit(f"{revision} cannot be checked out: {made.stderr.strip()}")
        try:
            yield tree / "src"
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True, capture_output=True)


def measure(contestants: list[Contestant], folder: Path, *, rounds: int, demos: int) -> None:
    """Every command in turns, after one run each that only compiles; then the demo, and what asks its run."""
    for one in contestants:
        for name, arguments in COMMANDS.items():
            one.run(name, arguments, counts=False)
    for _ in range(rounds):
        for name, arguments in COMMANDS.items():
            for one in contestants:
                one.run(name, arguments)
    for number in range(-1, demos if demos else -1):
        for place, one in enumerate(contestants):
            out = folder / f"{number}-{place}"
            size = ["--items", "60", "--users", "20"] if number < 0 else []
            one.run(DEMO, [*CLI, "demo", "--no-serve", *size, "--out", str(out)], counts=number >= 0)
            if number == demos - 1:
                one.quality = quality_of(out)
                ask(one, out, rounds)


def ask(one: Contestant, run: Path, rounds: int) -> None:
    """The commands that look at a data set, or at a run."""
    users = (Path(f"{run}-data") / "interactions.csv").read_text().splitlines()
    for number in range(rounds + 1):
        for name, arguments in WITH_A_RUN.items():
            filled = [word.format(run=run, user=users[1].partition(",")[0]) for word in arguments]
            one.run(name, filled, counts=number > 0)


def quality_of(run: Path) -> dict[str, dict[str, float]]:
    """AUC and nDCG@20 of the demo's models."""
    report = json.loads((run / "report.json").read_text())["models"]
    keys = ("auc", "ndcg@20")
    return {name: {key: of["metrics"][key]["mean"] for key in keys} for name, of in report.items()}


def table_of(contestants: list[Contestant]) -> Table:
    """Processor seconds, a row a command."""
    first, *others = contestants
    table = Table(
        ["processor seconds", "at most", *(one.name for one in contestants), *["ratio"] * len(others)]
    )
    for name, seconds in first.seconds.items():
        cells = [spread(one.seconds[name], ".2f") for one in contestants]
        ratios = [spread([b / a for a, b in zip(seconds, one.seconds[name], strict=True)]) for one in others]
        table.rows.append([name, f"{LIMITS[name]}" if name in LIMITS else "", *cells, *ratios])
    return table


def stages_of(contestants: list[Contestant]) -> Table:
    """Seconds of the clock of the demo's stages."""
    table = Table(["the demo's stages, seconds", *(one.name for one in contestants)])
    for title in contestants[0].stages:
        table.rows.append([title, *(spread(one.stages.get(title, []), ".1f") for one in contestants)])
    table.rows.append(["all, with starting", *(spread(one.wall[DEMO], ".1f") for one in contestants)])
    return table


def models_of(contestants: list[Contestant]) -> Table:
    """How good the demo's models are."""
    keys = [(one, key) for one in contestants for key in ("auc", "ndcg@20")]
    table = Table(["the demo's models", *(f"{key}, {one.name}" for one, key in keys)])
    for model in contestants[0].quality:
        table.rows.append([model, *(f"{one.quality[model][key]:.4f}" for one, key in keys)])
    return table


def shown(contestants: list[Contestant], *, demos: int) -> list[Table]:
    """All tables there are figures for."""
    after_a_demo = [stages_of(contestants), models_of(contestants)] if demos else []
    return [table_of(contestants), *after_a_demo]


def facts_of(one: Contestant) -> dict[str, Any]:
    """Of a contestant, for results/startup.json."""
    facts = {key: value for key, value in asdict(one).items() if key != "source"}
    return facts | {"median": {name: statistics.median(of) for name, of in one.seconds.items()}}


def main() -> None:
    """Parse, measure in turns, show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", metavar="REV", help="another commit, measured in turns with this one")
    parser.add_argument("--rounds", type=at_least_one, default=7, help="of the commands")
    parser.add_argument("--demos", type=at_least_one, default=2, help="rounds of the demo")
    parser.add_argument("--no-demo", action="store_true", help="leave the demo out, and what asks its run")
    parser.add_argument("--write", action="store_true", help="put the figures into benchmarks/README.md")
    args = parser.parse_args()
    demos = 0 if args.no_demo else args.demos
    if args.write and not (demos and args.against):
        parser.error("--write takes the whole: add --against REV, and leave --no-demo out")
    contestants = [Contestant("here", ROOT / "src")]
    with tempfile.TemporaryDirectory(prefix="visrec-startup-") as folder:
        if args.against:
            with checked_out(args.against) as source:
                contestants.append(Contestant(args.against, source))
                measure(contestants, Path(folder), rounds=args.rounds, demos=demos)
        else:
            measure(contestants, Path(folder), rounds=args.rounds, demos=demos)
    tables, about = shown(contestants, demos=demos), machine()
    for table in tables:
        table.show()
    print(described(about))
    if args.write:
        text = "\n\n".join([*(table.markdown for table in tables), described(about)])
        publish("startup", text, {"provenance": about, "contestants": [facts_of(one) for one in contestants]})


if __name__ == "__main__":
    main()
