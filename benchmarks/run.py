"""How fast visrec is: beside its peers on the same work, and beside what the machine can do.

    uv run python benchmarks/run.py                        every subject; about an hour on two quiet cores
    uv run python benchmarks/run.py --only steps,learning  some of them; limits of the machine are always measured
    uv run python benchmarks/run.py --quick                tiny sizes, to see that all works
    uv run python benchmarks/run.py --write                results/speed.json, speed.md and its plots, README.md
    uv run python benchmarks/run.py --page                 these again, of the figures that are kept, with no run
    uv run python benchmarks/run.py --tune [NAME] --write  the grids of who learns, on the validation part; the best
                                                           settings are kept for the runs to come

Each contender runs in a process of its own and in turns with the others (A B A B …); the peers come from the
registry into environments of their own (`speed/environments.py`), which are made at the first run: Linux only, with
uv, and several GB of disk. A subject is a file in `speed/`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from common import HERE, at_least_one, described, machine, publish
from speed import (
    claims,
    contestants,
    data,
    evaluation,
    learning,
    limits,
    page,
    sampling,
    steps,
    topk,
    visrank,
)
from speed.arena import Arena

RESULTS = HERE / "results" / "speed.json"
SUBJECTS: dict[str, ModuleType] = {
    "limits": limits,
    "steps": steps,
    "learning": learning,
    "sampling": sampling,
    "evaluation": evaluation,
    "topk": topk,
    "visrank": visrank,
}


def main() -> None:
    """Parse, make the data, run."""
    args = _arguments()
    if args.page:
        write(json.loads(RESULTS.read_text()))
        return
    chosen = args.only or list(SUBJECTS)
    rounds = args.rounds or (1 if args.quick else 3)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="visrec-benchmark-") as name:
        shape = data.TINY if args.quick else data.FULL
        arena = Arena(Path(name), shape, rounds, args.quick)
        data.write(arena.folder, shape, arena.seed)
        if args.tune is not None:
            for who, settings in learning.tune(arena, args.tune):
                if args.write and not args.quick:
                    contestants.keep(who, settings)
            return
        results: dict[str, Any] = {}
        for subject in dict.fromkeys(["limits", *chosen]):
            print(SUBJECTS[subject].TITLE, flush=True)
            how = about(arena)  # as it is when the subject begins
            results[subject] = {"facts": SUBJECTS[subject].race(arena), **how}
            if args.write:  # what is there stays there, whatever becomes of the rest
                keep(subject, results[subject])
    show(results)
    if args.write:
        write(json.loads(RESULTS.read_text()))
    if args.quick:
        print(
            "A try at tiny sizes, to see that all works: these figures say nothing, and names of sizes do not hold."
        )
    print(f"{time.perf_counter() - start:.0f} s in all")


def about(arena: Arena) -> dict[str, Any]:
    """How a subject was measured."""
    return {
        "rounds": arena.rounds,
        "quick": arena.quick,
        "threads": arena.threads,
        "revision": revision(),
        "data": str(arena.shape),
        "machine": machine(),
    }


def revision() -> str:
    """The commit that is measured, and whether its code has been changed since."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(HERE.parent), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    commit = git("rev-parse", "--short", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit} with changes" if git("status", "--porcelain", "--", "*.py") else commit


def keep(subject: str, result: dict[str, Any]) -> None:
    """Put what was found of one subject beside the others."""
    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    RESULTS.write_text(json.dumps({**known, subject: result}, indent=1) + "\n")


def show(results: dict[str, Any]) -> None:
    """All tables, to the terminal."""
    for subject, result in results.items():
        for table in SUBJECTS[subject].section(result["facts"]).tables:
            table.show()
    claims.table_of(claims_of(results)).show()


def claims_of(results: dict[str, Any]) -> list[claims.Claim]:
    """Those of all subjects that there are."""
    found = ((subject, results[subject]["facts"]) for subject in SUBJECTS if subject in results)
    return [one for subject, facts in found for one in SUBJECTS[subject].claims(facts)]


def write(results: dict[str, Any]) -> None:
    """The page, its plots, and the table of targets in the README."""
    results = {subject: result for subject, result in results.items() if is_readable(subject, result)}
    listed = claims_of(results)
    sections = [
        (SUBJECTS[subject].section(results[subject]["facts"]), measured(results[subject]))
        for subject in SUBJECTS
        if subject in results
    ]
    page.write(listed, sections, f"Data: {results['limits']['data']} (synthetic).")
    publish("speed", page.summary(listed, measured_all(results)))


def is_readable(subject: str, result: dict[str, Any]) -> bool:
    """Whether kept figures are of the contenders that there are now; says so where they are not."""
    try:
        SUBJECTS[subject].claims(result["facts"])
        SUBJECTS[subject].section(result["facts"])
    except KeyError as error:
        print(f"The kept figures of {subject} lack {error}: they are left out until it is run again.")
        return False
    return True


def measured(result: dict[str, Any]) -> str:
    """How a subject was measured, in a line."""
    quick = (
        "A try at tiny sizes, to see that all works: these figures say nothing. " if result["quick"] else ""
    )
    return (
        f"{quick}{result['rounds']} round(s), {result['threads']} threads each, at revision "
        f"{result.get('revision', 'unknown')}. {described(result['machine'])}"
    )


def measured_all(results: dict[str, Any]) -> str:
    """How all subjects were measured: the rounds and the revision of each, and the machine."""
    quick = ", a try at tiny sizes, which says nothing"
    each = [
        f"{subject} {results[subject]['rounds']} at {results[subject].get('revision', 'unknown')}"
        + quick * results[subject]["quick"]
        for subject in SUBJECTS
        if subject in results
    ]
    on = dict.fromkeys(described(result["machine"]) for result in results.values())
    threads = sorted({result["threads"] for result in results.values()})
    return (
        f"Rounds of each subject, and the revision that was measured: {'; '.join(each)}. "
        f"{' or '.join(map(str, threads))} threads each. {' '.join(on)}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", type=lambda text: [one for one in text.split(",") if one], help="subjects, comma-separated"
    )
    parser.add_argument("--rounds", type=at_least_one, help="turns of each contender; 3, or 1 with --quick")
    parser.add_argument("--write", action="store_true", help="keep the figures")
    parser.add_argument("--page", action="store_true", help="write the page of the figures that are kept")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all works")
    parser.add_argument(
        "--tune",
        nargs="?",
        const="",
        metavar="NAME",
        help="try the grids of those who learn, or of those whose name has this in it",
    )
    args = parser.parse_args()
    if unknown := set(args.only or ()) - set(SUBJECTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(SUBJECTS)}")
    names = [one.name for one in contestants.CONTESTANTS]
    if args.tune and not any(args.tune in name for name in names):
        parser.error(f"no contestant has {args.tune!r} in its name; they are {', '.join(names)}")
    if args.quick and args.write:
        parser.error(
            "--quick is for trying: its figures say nothing, and are not to replace those that are kept"
        )
    return args


if __name__ == "__main__":
    main()
