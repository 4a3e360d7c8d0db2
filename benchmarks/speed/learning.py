"""How soon models are good: time of training to an AUC or nDCG@20 that a peer reaches.

The clock counts `fit` alone; the factors that a contestant has at a few moments are written out and judged here, all
by visrec's protocol: each user's newest item is ranked among all items not seen before.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import Table, spread
from speed import data
from speed.arena import Arena, Contender
from speed.claims import Claim
from speed.contestants import CONTESTANTS, Contestant
from speed.drawings import curves_of
from speed.page import Section
from speed.vectors import Vectors

from visrec.data.splits import Part
from visrec.evaluation.metrics import compute
from visrec.evaluation.plots.figures import Figure
from visrec.evaluation.protocol import held_out_ranks

TITLE = "Learning"
MOMENTS = [
    round(0.25 * 1.25**n, 2) for n in range(26)
]  # training seconds at which factors are judged, to 66; also at the end
DENSE = 30  # epochs of a BPR of which each is judged
AUC, MOMENT = 0.8, 36.0  # the tutorial's level; the moment whose nDCG@20 of cornac's VBPR is the level
LEVEL = 0.028  # what cornac's VBPR had at that moment on other data of this size
SHOWN = [1, 3, 10, 30, 60]  # moments in the table


@dataclass(frozen=True)
class Course:
    """What one contestant did in one process.

    Attributes:
        seconds: of training `(p,)`, at which factors were judged.
        laps: epochs, or batches where a library was watched batch by batch.
        ndcg: nDCG@20 then.
        auc: AUC then.
        triples_per_second: over the whole training.
        epochs: how many passes over as many triples as there are training interactions.
        versions: of the packages at work.
    """

    seconds: list[float]
    laps: list[int]
    ndcg: list[float]
    auc: list[float]
    triples_per_second: float
    epochs: float
    versions: dict[str, str]

    def at(self, moment: float) -> int:
        """The newest point that there was after so many training seconds; the first, where there was none."""
        return max(0, int(np.searchsorted(self.seconds, moment, side="right")) - 1)

    def after_laps(self, n: int) -> int:
        """The point at the end of lap n, or the last one before."""
        return max(0, int(np.searchsorted(self.laps, n, side="right")) - 1)

    def value_after(self, metric: str, seconds: float) -> float:
        """A metric after so many training seconds, along straight lines between the points; NaN after inf."""
        if not math.isfinite(seconds):
            return math.nan
        return float(np.interp(seconds, self.seconds, getattr(self, metric)))

    def time_to(self, metric: str, level: float) -> float:
        """Training seconds to a level, along straight lines between the points; inf if never."""
        curve = np.array(getattr(self, metric))
        reached = np.flatnonzero(curve >= level)
        if len(reached) == 0:
            return math.inf
        n = reached[0]
        if n == 0:
            return self.seconds[0]
        share = (level - curve[n - 1]) / (curve[n] - curve[n - 1])
        return float(self.seconds[n - 1] + share * (self.seconds[n] - self.seconds[n - 1]))


# ---- the race --------------------------------------------------------------------------------------------


def race(arena: Arena) -> dict[str, Any]:
    """All contestants in turns, with their settings."""
    courses: dict[str, list[Any]] = {one.name: [] for one in CONTESTANTS}
    for number in range(arena.rounds):
        for one in CONTESTANTS:
            course = run(arena, one, one.settings, part="test", seed=arena.seed + number)
            courses[one.name].append(asdict(course))
            print(f"  round {number + 1}  {one.name:16} {_shown(course)}", flush=True)
    return {
        "courses": courses,
        "settings": {one.name: {**one.sizes, **one.settings} for one in CONTESTANTS},
        "grids": {one.name: one.grid for one in CONTESTANTS},
        "untuned": [one.name for one in CONTESTANTS if not one.is_tuned],
    }


def tune(arena: Arena, only: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The whole grid of each contestant, judged on the validation part: mean nDCG@20 over the training time.

    Args:
        arena: where they run.
        only: a part of the contestants' names; empty: all.

    Yields:
        A contestant's name and its best settings, as soon as they are found.
    """
    for one in CONTESTANTS:
        if only not in one.name:
            continue
        ranked = []
        for settings in list(one.candidates())[: 2 if arena.quick else None]:
            try:
                course = run(arena, one, settings, part="valid", seed=arena.seed)
            except RuntimeError as error:  # diverged, or out of memory
                print(f"{one.name:16} failed: {str(error).splitlines()[-1]}  {settings}", flush=True)
                continue
            area = area_of(course, _budget(arena, one))
            ranked.append((area, settings))
            print(f"{one.name:16} area {area:.4f}  {_shown(course)}  {settings}", flush=True)
        if ranked:
            area, best = max(ranked, key=lambda pair: pair[0])
            print(f"{one.name:16} best, area {area:.4f}: {best}", flush=True)
            yield one.name, best


def area_of(course: Course, budget: float) -> float:
    """The mean over the budget of the best nDCG@20 so far; what an overlong last lap reached counts in part."""
    best = np.maximum.accumulate(course.ndcg)
    times = np.append(np.minimum(course.seconds, budget), budget)
    return float((np.diff(times) * best).sum() / budget)


def run(arena: Arena, one: Contestant, settings: dict[str, Any], *, part: Part, seed: int) -> Course:
    """Train in a process of its own, then judge all factors that it wrote."""
    split = data.split(arena.folder)
    with tempfile.TemporaryDirectory(dir=arena.folder) as name:
        dense = DENSE if one.model == "bpr" else 0
        recorder = {"out": name, "budget": _budget(arena, one), "moments": MOMENTS, "dense": dense}
        job = {
            "model": one.model,
            "settings": {**one.sizes, **settings},
            "seed": seed,
            "n_users": arena.shape.users,
            "n_items": arena.shape.items,
            "recorder": recorder,
        }
        arena.turn(Contender(one.name, one.environment, f"peers.fit_{one.library}", job))
        about = json.loads((Path(name) / "points.json").read_text())
        points = about["points"]
        judged = []
        for n in range(len(points)):
            model = Vectors(*(np.load(Path(name) / f"{which}{n}.npy") for which in "QZ")).fit(split.train)
            _, ranks = held_out_ranks(model, split, part)
            judged.append([round(float(compute(metric, ranks).mean()), 5) for metric in ("ndcg@20", "auc")])
    ndcg, auc = (list(curve) for curve in zip(*judged, strict=True))
    last = points[-1]
    return Course(
        [round(point["seconds"], 4) for point in points],
        [point["laps"] for point in points],
        ndcg,
        auc,
        last["triples"] / last["seconds"],
        last["triples"] / len(split.train),
        about["versions"],
    )


def _budget(arena: Arena, one: Contestant) -> float:
    return 1.0 if arena.quick else one.budget


def _shown(course: Course) -> str:
    best = int(np.argmax(course.ndcg))
    return (
        f"{course.triples_per_second:12,.0f} triples/s  {course.epochs:6.1f} epochs  best nDCG@20 "
        f"{course.ndcg[best]:.4f} (AUC {course.auc[best]:.4f}) at {course.seconds[best]:.1f} s"
    )


# ---- the report ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goal:
    """A level that a peer's own courses set.

    Attributes:
        key: of the claim.
        title: in tables.
        peer: whose level it is.
        metric: "ndcg" or "auc".
        levels: one a round.
        target: how many times longer than visrec the peer is to take at least; None: nothing was promised.
    """

    key: str
    title: str
    peer: str
    metric: str
    levels: list[float]
    target: float | None


@dataclass(frozen=True)
class Duel:
    """The time to a goal of visrec and of the peer, round by round; inf where it was not reached.

    Attributes:
        goal: what is to be reached.
        own: seconds.
        theirs: seconds.
        own_other: the other of the two metrics at that time; NaN where it never came.
        theirs_other: that of the peer.
    """

    goal: Goal
    own: list[float]
    theirs: list[float]
    own_other: list[float]
    theirs_other: list[float]

    @property
    def ratios(self) -> list[float]:
        """How many times longer the peer takes; 0 where visrec does not get there."""
        pairs = zip(self.own, self.theirs, strict=True)
        return [theirs / own if math.isfinite(own) else 0.0 for own, theirs in pairs]


def goals(courses: dict[str, list[Course]]) -> list[Goal]:
    """All of them."""
    tutorial, cornac = courses["tutorial VBPR"], courses["cornac VBPR"]
    level = min(AUC, *(max(course.auc) for course in tutorial))
    name = f"AUC {level:.2f}" if level == AUC else f"AUC {level:.4f}, the best of the tutorial's"
    at_moment = [course.ndcg[course.at(MOMENT)] for course in cornac]
    found = [
        Goal("auc", f"VBPR, time to {name}", "tutorial VBPR", "auc", [level] * len(tutorial), 15),
        Goal(
            "auc-end",
            "VBPR, time to the AUC that the tutorial's has at its end",
            "tutorial VBPR",
            "auc",
            [course.auc[-1] for course in tutorial],
            None,
        ),
        Goal(
            "ndcg-then",
            f"VBPR, time to the nDCG@20 that cornac's has after {MOMENT:.0f} s",
            "cornac VBPR",
            "ndcg",
            at_moment,
            4,
        ),
    ]
    if min(max(course.ndcg) for course in cornac) >= LEVEL:
        title = f"VBPR, time to nDCG@20 {LEVEL}"
        found.append(Goal("ndcg", title, "cornac VBPR", "ndcg", [LEVEL] * len(cornac), 4))
    for library in ("implicit", "cornac"):
        peer = f"{library} BPR"
        levels = [course.ndcg[course.after_laps(DENSE)] for course in courses[peer]]
        title = f"BPR, time to the nDCG@20 that {library}'s has after {DENSE} epochs"
        found.append(Goal(f"bpr-{library}", title, peer, "ndcg", levels, 1))
    return found


def duels(courses: dict[str, list[Course]]) -> list[Duel]:
    """The time of both to each goal."""
    found = []
    for goal in goals(courses):
        runs = [courses[f"visrec {goal.peer.split()[1]}"], courses[goal.peer]]
        times = [
            [course.time_to(goal.metric, level) for course, level in zip(each, goal.levels, strict=True)]
            for each in runs
        ]
        other = "auc" if goal.metric == "ndcg" else "ndcg"
        others = [
            [course.value_after(other, time) for course, time in zip(each, at, strict=True)]
            for each, at in zip(runs, times, strict=True)
        ]
        found.append(Duel(goal, *times, *others))
    return found


def claims(facts: dict[str, Any]) -> list[Claim]:
    """Ratios of time."""
    return [
        Claim(
            one.goal.key,
            f"{one.goal.title}: {one.goal.peer.split()[0]}'s time, times visrec's",
            one.ratios,
            one.goal.target,
        )
        for one in duels(_courses(facts))
    ]


def section(facts: dict[str, Any]) -> Section:
    """Each contestant, then visrec against each peer, and the courses."""
    courses = _courses(facts)
    head = ["", "settings", "triples/s", "epochs", "best nDCG@20", "AUC there"]
    table = Table([*head, *(f"nDCG@20 / AUC after {moment} s" for moment in SHOWN)])
    for name, runs in courses.items():
        settings = ", ".join(f"{key} {value}" for key, value in facts["settings"][name].items())
        best = [int(np.argmax(course.ndcg)) for course in runs]
        cells = [
            name,
            settings,
            spread([course.triples_per_second for course in runs], ",.0f"),
            f"{statistics.median(course.epochs for course in runs):.0f}",
            spread([course.ndcg[at] for course, at in zip(runs, best, strict=True)], ".4f"),
            f"{statistics.median(course.auc[at] for course, at in zip(runs, best, strict=True)):.4f}",
        ]
        table.rows.append([*cells, *(_then(runs, moment) for moment in SHOWN)])
    head = ["visrec against the peer", "level", "visrec, s", "peer, s", "ratio"]
    against = Table([*head, "the other metric then: visrec's", "the peer's"])
    for one in duels(courses):
        times = [_times(seconds) for seconds in (one.own, one.theirs)]
        name, digits = ("AUC", ".3f") if one.goal.metric == "ndcg" else ("nDCG@20", ".4f")
        others = [f"{name} {_spread_of(values, digits)}" for values in (one.own_other, one.theirs_other)]
        levels, ratios_ = spread(one.goal.levels, ".4f"), spread(one.ratios)
        against.rows.append([one.goal.title, levels, *times, ratios_, *others])
    untuned = facts["untuned"]
    chosen = (
        "the best of the grid in `speed/contestants.py`, which `--tune` ranks on the validation part by "
        "the mean nDCG@20 over the training time"
    )
    if untuned:
        chosen += f" (not yet tuned so, but chosen earlier and out of fewer: {', '.join(untuned)})"
    text = (
        f"gamma 200, theta 100 for all. *Settings* are each contestant's own, {chosen}; beside its triples "
        "the tutorial has the settings that it is taught with (Adam at 1e-3, weight decay 1e-4, batch "
        "42,000). The clock is that of `fit`, without what is imported or compiled at its first use, which "
        "a short trial does before; without standardising features; and without the tutorial's draws of "
        "triples, which it makes beforehand. That exported factors score like the library's model is "
        "checked. visrec's VBPR learns from standardised features, the tutorial's from raw ones, and which of the "
        "two cornac's does is among its settings. visrec's steps are of the paper's variant, with L2 and an "
        "optimiser on the rows of the batch alone; the tutorial's Adam with weight decay moves all rows. "
        "VBPR is looked at batch by batch, BPR at the end of an epoch.\n\n"
        f"**Levels** are set by the peers, round by round: an AUC of {AUC} (or the best that "
        "the tutorial's training comes to, where that is less), and the AUC that it has at its end; the "
        f"nDCG@20 that cornac's VBPR has after {MOMENT:.0f} s, when it had {LEVEL} on the data that the "
        f"target was first set by, and {LEVEL} itself; what implicit's and cornac's BPR have after {DENSE} "
        "epochs. Of a peer too, the time is that at which it first reached the level. One metric is not all: "
        "what the other is at that time stands beside."
    )
    return Section(TITLE, text, [table, against], _figures(courses))


def _courses(facts: dict[str, Any]) -> dict[str, list[Course]]:
    return {name: [Course(**one) for one in runs] for name, runs in facts["courses"].items()}


def _then(runs: Sequence[Course], moment: float) -> str:
    known = [course for course in runs if course.seconds[0] <= moment <= 1.1 * course.seconds[-1]]
    if not known:
        return ""
    ndcg = statistics.median(course.ndcg[course.at(moment)] for course in known)
    return f"{ndcg:.4f} / {statistics.median(course.auc[course.at(moment)] for course in known):.3f}"


def _spread_of(values: Sequence[float], digits: str) -> str:
    return spread([one if math.isfinite(one) else None for one in values], digits)


def _times(seconds: Sequence[float]) -> str:
    if all(math.isfinite(one) for one in seconds):
        return spread(list(seconds), ".2f")
    return f"not reached in {sum(not math.isfinite(one) for one in seconds)} of {len(seconds)}"


def _figures(courses: dict[str, list[Course]]) -> list[Figure]:
    found = []
    for model in ("VBPR", "BPR"):
        mine = {name: runs for name, runs in courses.items() if name.split()[1] == model}
        mine = {f"visrec {model}": mine.pop(f"visrec {model}"), **mine}  # in the same colour in both
        panels = {
            title: {
                name: [list(zip(course.seconds, getattr(course, metric), strict=True)) for course in runs]
                for name, runs in mine.items()
            }
            for title, metric in (("nDCG@20", "ndcg"), ("AUC", "auc"))
        }
        found.append(
            curves_of(
                f"learning-{model.lower()}",
                f"How soon a {model} is good",
                "Of held-out items, by seconds of training; a line a round, with a mark where it is highest.",
                panels,
            )
        )
    return found
