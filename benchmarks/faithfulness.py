"""Do explanations say what the models do? Deletion checks on the synthetic catalogue, with planted_truth's models.

uv run python benchmarks/faithfulness.py --out FOLDER            # data and models are made, if not there
uv run python benchmarks/faithfulness.py --out FOLDER --write    # puts the figures into README.md

Interrupted, the same command goes on; FOLDER may be that of planted_truth.py.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from common import Table, described, machine, publish
from planted_truth import experiment

import visrec
from visrec.data.datasets.synthetic import SyntheticConfig, write_synthetic
from visrec.explain import attribute_table, explain
from visrec.explain.faithfulness import Check, check_explanations, written
from visrec.run_folder import Run
from visrec.runs import run

PASSING = ("visrank", "vbpr", "curatornet", "acf", "dvbpr")


def seconds_of(found: Run, name: str, n: int = 20) -> float:
    """The median time of a whole explanation of one item for one user, of a model that is loaded already."""
    model = visrec.load_model(found.path / "models" / name, found.content)
    attributes = attribute_table(found.data.catalog, found.path / "attributes")
    taken = []
    for user in model.users.values[:n].to_list():
        item = model.recommend([user], 1)["item_id"][0]
        start = time.perf_counter()
        explain(model, user, item, content=found.content, catalog=found.data.catalog, attributes=attributes)
        taken.append(time.perf_counter() - start)
    return sorted(taken)[n // 2]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="for the data and the run")
    parser.add_argument("--items", type=int, default=2_000)
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--asked", type=int, default=200, help="users a model is asked for")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    data = args.out / "data"
    if not data.exists():
        write_synthetic(data, SyntheticConfig(n_items=args.items, n_users=args.users, seed=0))
    plan, folder = experiment(data), args.out / "run"
    there = (folder / "report.json").is_file()  # finished: nothing is to be evaluated again
    found = Run.load(folder) if there else run(plan, folder)
    attributes = attribute_table(found.data.catalog, found.path / "attributes")
    checks: dict[str, tuple[Check, ...]] = {}
    shown = Table(["model", "deleted", "the score", "as explained", "at random", "difference", "holds"])
    speed = []
    for name in found.trained:
        model = visrec.load_model(found.path / "models" / name, found.content)
        checks[name] = check_explanations(model, found.content, attributes=attributes, n_users=args.asked)
        speed.append(f"{name} {1000 * seconds_of(found, name):.1f}")
    for row in written(checks):
        shown.rows.append([*row[:6], row[7]])
    shown.show()
    facts = found.provenance["data"]
    where = (
        f"{facts['users']:,} users, {facts['items']:,} items; up to {args.asked} users were asked. Changes in "
        f"standard deviations of a user's scores. One whole explanation takes, in ms: {', '.join(speed)}."
    )
    print(where)
    if args.write:
        text = f"{where}\n\n{shown.markdown}\n\n{described(machine())}"
        plain = {name: [one.as_dict() for one in of] for name, of in checks.items()}
        publish("faithfulness", text, {"checks": plain, "machine": machine()})
    must = [one for name in PASSING for one in checks[name] if one.kind != "attributes"]
    sys.exit(0 if all(one.holds for one in must) else 1)


if __name__ == "__main__":
    main()
