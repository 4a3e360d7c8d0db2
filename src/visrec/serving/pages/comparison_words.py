"""The comparison in words: what a metric is, who is better, and the addresses of the people behind a number."""

from __future__ import annotations

from urllib.parse import urlencode

from visrec.evaluation.contest import Contest
from visrec.evaluation.leaderboard import heading_of
from visrec.evaluation.markup import MEANINGS

BEYOND = {
    "novelty": "how little known the items of a list are, in bits; a random list is the most novel",
    "popularity_bias": "how much more popular a list is than what its person takes; 0 is best",
    "creators": "different creators among the items of a list, as a share; 1 is nobody twice",
    "visual_diversity": "how unlike each other the pictures of a list are; 0 is all alike, 1 is nothing in common",
    "visual_distance": "how far a list is from the pictures of the history; near is safe, far a find or a miss",
    "coverage": "the share of the catalogue that is in anybody's list",
    "gini": "how unevenly the items are shown; 0 is all equally often, near 1 is a few that have it all",
}
"""The measures of lists in plain words."""


def name_of(measure: str) -> str:
    """A measure as it is displayed: "nDCG@20", "visual diversity@20"."""
    return heading_of(measure).replace("_", " ")


def meaning_of(measure: str) -> str:
    """A measure in plain words; empty where there are none."""
    base, _, _ = measure.partition("@")
    if base in BEYOND:
        return BEYOND[base]
    shown, at, cutoff = heading_of(measure).partition("@")
    return MEANINGS.get(f"{shown}@k" if at else shown, "").replace("the k best", f"the {cutoff} best")


def is_accuracy(measure: str) -> bool:
    """Whether more of it is better for a person; what lists are like is not better or worse in itself."""
    return measure.partition("@")[0] not in BEYOND


def people_url(
    metric: str,
    a: str,
    b: str | None = None,
    *,
    piece: str | None = None,
    order: str = "least",
) -> str:
    """The people behind a number."""
    query = {
        "metric": metric,
        "a": a,
        "b": b,
        "slice": piece,
        "order": None if order == "least" else order,
    }
    return f"/compare/people?{urlencode({key: value for key, value in query.items() if value is not None})}"


def words_of(metric: str, model: str, *, than: str | None) -> str:
    """What it means that a model has more of a metric than another."""
    return f"{model} {'better' if is_accuracy(metric) else 'higher'}" if than else model


def order_words(metric: str, a: str, b: str | None) -> dict[str, str]:
    """What comes first in either order."""
    if b is None:
        least, most = ("served worst", "served best") if is_accuracy(metric) else ("lowest", "highest")
        return {"least": f"{a}: {least} first", "most": f"{a}: {most} first"}
    if is_accuracy(metric):
        return {"least": f"Where {a} loses most to {b}", "most": f"Where {a} gains most over {b}"}
    return {"least": f"Where {a} is lowest against {b}", "most": f"Where {a} is highest against {b}"}


def verdict(found: Contest, metric: str) -> str:
    """Who is best, and who cannot be told from the baseline."""
    entries = found.of(metric)
    best, others = entries[0], [one for one in entries if one.paired is not None]
    said = f"{best.model} has the best {heading_of(metric)}, {best.estimate.mean:.4f}."
    level = [one.model for one in others if not one.is_significant]
    better = [
        one.model for one in others if one.is_significant and one.paired and one.paired.difference.mean > 0
    ]
    if better:
        said += f" Better than {found.baseline}, beyond chance: {', '.join(better)}."
    if level:
        said += f" Not to be told from {found.baseline} by these people: {', '.join(level)}."
    elif others:
        said += f" All others differ from {found.baseline} beyond chance."
    return said
