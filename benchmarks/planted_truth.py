"""Do the models find what was planted? The synthetic catalogue's truth is known; so is what each model should see.

uv run python benchmarks/planted_truth.py --out FOLDER            # draws the data, trains, checks
uv run python benchmarks/planted_truth.py --out FOLDER --write    # puts the figures into README.md
uv run python benchmarks/planted_truth.py --out FOLDER --tune 20  # searches settings, on the validation part alone

Interrupted, the same command goes on.

Settings are those of planted-truth.toml. `--tune` looks for better ones, by nDCG@20 on the validation part. The
catalogue is that of the demo, the users are more: 127 strangers (a fifth of the demo's) can't tell .015 from .020.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from common import HERE, Table, described, machine, publish
from scipy.stats import spearmanr, wilcoxon

import visrec
from visrec.config import read_toml
from visrec.data.datasets.synthetic import SyntheticConfig, Truth, write_synthetic
from visrec.data.interactions import Interactions
from visrec.data.splits import Split
from visrec.evaluation.metrics import compute
from visrec.evaluation.protocol import held_out_ranks
from visrec.experiment import Experiment
from visrec.recommender import Recommender
from visrec.run_folder import Run
from visrec.runs import run
from visrec.tuning import tune

SETTINGS = HERE / "planted-truth.toml"
VISUAL = ("visrank", "vbpr", "curatornet", "dvbpr")  # serve items that nobody has taken


def experiment(data: Path) -> Experiment:
    values = read_toml(SETTINGS)
    values["data"] = {**values.get("data", {}), "path": str(data)}
    return Experiment(**values)


def interval(difference: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean of paired differences over users, with its 95 % bootstrap interval."""
    rng = np.random.default_rng(seed)
    means = difference[rng.integers(0, len(difference), (2000, len(difference)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


def said(found: tuple[float, float, float]) -> str:
    return "{:+.4f} [{:+.4f}, {:+.4f}]".format(*found)


# ---- the four questions --------------------------------------------------------------------------------


def new_items(found: Run) -> list[tuple[str, str, bool]]:
    """Every model that sees the pictures ranks brand-new items better than popularity, which can only guess."""
    lines = []
    chance = found.reports["popularity"].new_items["auc"].mean
    for name in VISUAL:
        estimate = found.reports[name].new_items["auc"]
        text = f"AUC {estimate.mean:.4f} [{estimate.low:.4f}, {estimate.high:.4f}] (popularity {chance:.4f})"
        lines.append((f"{name} on brand-new items", text, estimate.low > chance))
    return lines


def metric_of_users(model: Recommender, split: Split, users: np.ndarray, metric: str) -> np.ndarray:
    """A metric of some users `(B,)` in the order given."""
    owners, ranks = held_out_ranks(model, split, "test")
    place = {int(user): row for row, user in enumerate(owners)}
    return np.asarray(compute(metric, ranks))[[place[int(user)] for user in users]]


def without(part: Interactions, users: np.ndarray) -> Interactions:
    return part.where(~np.isin(part.user, users))


def new_users(found: Run, metric: str = "ndcg@20") -> list[tuple[str, str, bool]]:
    """CuratorNet serves users that training never saw nearly as well as if it had seen them.

    The same fifth of the users is asked twice: of the model that was trained with them, and of one trained without
    them, which gets their histories only when it is asked.
    """
    split = found.split
    asked = np.flatnonzero((split.test.user_counts() > 0) & (split.train.user_counts() > 0))
    asked = np.sort(np.random.default_rng(0).permutation(asked)[: len(asked) // 5])
    blind = found.experiment.build("curatornet")
    blind.fit(without(split.train, asked), found.content, valid=without(split.valid, asked))
    blind._histories = split.train.histories()  # what the strangers bring along
    known = metric_of_users(found.model("curatornet"), split, asked, metric)
    strange = metric_of_users(blind, split, asked, metric)
    ratio = strange.mean() / known.mean()
    text = f"{metric} {strange.mean():.4f} (known: {known.mean():.4f}), ratio {ratio:.3f}, {len(asked)} users"
    difference = f", difference {said(interval(strange - known))}"
    return [("curatornet for users outside of training", text + difference, ratio >= 0.85)]


def pixels(found: Run) -> list[tuple[str, str, bool]]:
    """DVBPR, from raw pixels, against VBPR on the colour features."""
    lines = []
    split = found.split
    models = {name: found.model(name) for name in ("dvbpr", "vbpr")}
    new = split.train.item_counts() == 0
    for where, candidates in (("all items", None), ("brand-new items", new)):
        for metric in ("auc", "ndcg@20"):
            both = []
            for name in ("dvbpr", "vbpr"):
                _, ranks = held_out_ranks(models[name], split, "test", candidates=candidates)
                both.append(np.asarray(compute(metric, ranks)))
            found_ = interval(both[0] - both[1])
            text = f"{both[0].mean():.4f} - {both[1].mean():.4f} = {said(found_)}"
            lines.append((f"dvbpr - vbpr (colour), {metric}, {where}", text, found_[1] > 0))
    return lines


def attention(found: Run, truth: Truth) -> list[tuple[str, str, bool]]:
    """ACF looks longer at the items of a history that share the planted taste with what the user took next.

    What user u sees in item i is theta_u * x_i, column by column of the planted taste. Of each held-out item, the
    half of the history whose cosine with it is higher is compared with the other half; one difference a user, the
    mean over what they took. Beside it stands why: the rank correlation, over a history, of alpha with the popularity
    of its items and with the user's planted utility of what they show.
    """
    split, model = found.split, visrec.load_model(found.path / "models" / "acf", found.content)
    assert isinstance(model, visrec.ACF)
    seen = truth.item_visual - truth.item_visual.mean(0)
    items = {item: row for row, item in enumerate(truth.item_ids.tolist())}
    rows = np.array([items[str(item)] for item in split.train.items.values])
    users = {user: row for row, user in enumerate(truth.user_ids.tolist())}
    taken, popularity = split.test.histories(), split.train.item_counts()
    differences, with_popularity, with_utility = [], [], []
    for user in np.flatnonzero((split.test.user_counts() > 0) & (split.train.user_counts() >= 4)):
        name = split.train.users.values[int(user)]
        table = model.attention([name])  # history items of the newest, with alpha
        theta = truth.user_visual[users[str(name)]]
        history = split.train.items.indices(table["item_id"].to_list())
        alpha = table["alpha"].to_numpy()
        parts = theta * seen[rows[history]]  # (H, V)
        half = len(alpha) // 2
        of_user = []
        for target in taken.of(int(user)):
            aim = theta * seen[rows[int(target)]]
            cosine = parts @ aim / (np.linalg.norm(parts, axis=1) * np.linalg.norm(aim) + 1e-12)
            order = np.argsort(-cosine, kind="stable")
            of_user.append(len(alpha) * (alpha[order[:half]].mean() - alpha[order[-half:]].mean()))
        differences.append(np.mean(of_user))
        with_popularity.append(spearmanr(alpha, popularity[history]).statistic)
        with_utility.append(spearmanr(alpha, parts.sum(1)).statistic)
    difference = np.array(differences)
    p = float(wilcoxon(difference, alternative="greater").pvalue)
    text = (
        f"alpha of the like half - of the other, in means of alpha: {said(interval(difference))}, p = {p:.2g}, "
        f"{len(difference)} users; rank correlation of alpha with the planted visual utility "
        f"{np.nanmean(with_utility):+.2f}, with popularity {np.nanmean(with_popularity):+.2f}"
    )
    return [("acf looks at what shares the target's taste", text, p < 0.01)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="for the data and the run")
    parser.add_argument("--items", type=int, default=2_000)
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--tune", type=int, help="trials a model; then stops")
    parser.add_argument("--models", help="with --tune: which, comma-separated")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    data = args.out / "data"
    if not data.exists():
        write_synthetic(data, SyntheticConfig(n_items=args.items, n_users=args.users, seed=0))
    plan = experiment(data)
    if args.tune:
        for name in (args.models or ",".join(plan.models)).split(","):
            found = tune(plan, name, args.out / "tuning" / name, trials=args.tune)
            print(name, found.trials.head(5))
        return
    found = run(plan, args.out / "run")
    lines = [
        *new_items(found),
        *new_users(found),
        *pixels(found),
        *attention(found, Truth.load(data)),
    ]
    shown = Table(["question", "figures", "as planted"])
    for what, figures, holds in lines:
        shown.rows.append([what, figures, "yes" if holds else "no"])
    shown.show()
    facts = found.provenance["data"]
    where = f"{facts['users']:,} users, {facts['items']:,} items, {facts['train']:,} training interactions."
    print(where)
    if args.write:
        text = f"{where}\n\n{shown.markdown}\n\n{described(machine())}"
        plain = [[what, figures, bool(holds)] for what, figures, holds in lines]
        publish("planted_truth", text, {"lines": plain, "machine": machine()})
    sys.exit(0 if all(holds for _, _, holds in lines) else 1)


if __name__ == "__main__":
    main()
