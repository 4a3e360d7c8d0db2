"""How a model is judged: held-out items are ranked among the candidates of a protocol, and lists are looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from visrec.content import Content
from visrec.data.interactions import Histories
from visrec.data.splits import Part, Split
from visrec.errors import ConfigError, DataError
from visrec.evaluation import beyond
from visrec.evaluation.metrics import Ranks, compute, metric_names
from visrec.evaluation.significance import LEVEL, METHOD, RESAMPLES, Estimate, Spread, bootstraps, caution
from visrec.evaluation.tasks import CANDIDATES, Name, Protocol, Task, task_of, unseen, warning_of
from visrec.features.features import Features
from visrec.ranking import ranks_of, top_k
from visrec.recommender import Recommender

CUTOFFS = (20, 100)
VERSION = 4  # raised when the same model and data would get other numbers, or more of them

_NOTHING = Histories(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Report:
    """What an evaluation found. `report["ndcg@20"]` is a mean over users.

    Attributes:
        model: name of the model.
        metrics: the mean of each metric over users, with its interval.
        per_user: one row a user with held-out items: user_id, n_history, n_relevant, n_candidates, one column a
            metric, and one a measure beyond accuracy, null where it is not defined for the user.
        new_items: the same metrics when only brand-new items (nobody took one in training) are candidates,
            over the users who took some; empty where there are none.
        protocol: what was done; "cautions" are sentences on what the numbers cannot bear.
        beyond: measures of the lists, averaged over the users for whom they are defined; see
            `visrec.evaluation.beyond`.
        system: measures of all lists together, "coverage@k" and "gini@k".
        by_seed: the reports of each seed, where the model was trained with several and this is all of them as one
            (see `visrec.evaluation.seeds`); empty otherwise.
        lens: what the lists were looked at with: "features", "extractor", "creators", and under "skipped" what could
            not be measured, and why.
    """

    model: str
    metrics: dict[str, Estimate]
    per_user: pl.DataFrame
    new_items: dict[str, Estimate]
    protocol: dict[str, Any]
    beyond: dict[str, Estimate] = field(default_factory=dict)
    system: dict[str, float] = field(default_factory=dict)
    by_seed: Mapping[int, Report] = field(default_factory=dict)
    lens: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> float:
        return self.system[metric] if metric in self.system else self.estimate(metric).mean

    def estimate(self, metric: str) -> Estimate:
        """Mean and interval of a metric; `ConfigError` if it was not computed."""
        found = self.metrics | self.beyond
        if metric not in found:
            reason = self.lens.get("skipped", {}).get(metric.partition("@")[0])
            because = "" if reason is None else f" ({reason})"
            raise ConfigError(
                f"The report has no '{metric}'{because}. It has {', '.join([*found, *self.system])}."
            )
        return found[metric]

    def spread(self, metric: str) -> Spread | None:
        """How the mean of a metric differs between seeds; None where there is one seed, or none."""
        means = [one[metric] for one in self.by_seed.values()]
        return Spread.of(means) if means else None

    def is_current(
        self, cutoffs: list[int], protocol: Protocol | None = None, content: Content | None = None
    ) -> bool:
        """Whether a stored report was made as one with these settings and this content would be made now."""
        made = self.protocol
        return (
            made.get("version") == VERSION
            and made["cutoffs"] == cutoffs
            and made["settings"] == (protocol or Protocol()).model_dump(mode="json")
            and self.lens.get("features") == beyond.digest_of_features(content or Content())
            and self.lens.get("metadata") == (content or Content()).metadata_digest
        )

    def to_html(self, path: str | Path) -> None:
        """Write the metrics with their intervals as one self-contained page."""
        from visrec.evaluation.page import write_page

        write_page(path, title=self.model, reports={self.model: self})

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: metrics, new_items, beyond, system, lens, n_users; of several seeds spread and seeds too."""
        own = {
            "metrics": {name: vars(estimate) for name, estimate in self.metrics.items()},
            "new_items": {name: vars(estimate) for name, estimate in self.new_items.items()},
            "beyond": {name: vars(estimate) for name, estimate in self.beyond.items()},
            "system": self.system,
            "lens": self.lens,
            "n_users": self.per_user.height,
        }
        if not self.by_seed:
            return own
        return own | {
            "spread": {name: vars(self.spread(name)) for name in self.metrics},
            "seeds": {str(seed): report.as_dict() for seed, report in self.by_seed.items()},
        }


def evaluate(
    model: Recommender,
    split: Split,
    *,
    part: Part = "test",
    cutoffs: tuple[int, ...] = CUTOFFS,
    protocol: Protocol | Name = "full",
    content: Features | Content | None = None,
    seed: int = 0,
) -> Report:
    """Rank the candidates of each user with held-out items, and look at the lists.

    Args:
        model: fitted on `split.train`.
        split: its `part` is held out; what users took before it is masked.
        part: "test", or "valid" for tuning.
        cutoffs: the k of ndcg@k, recall@k, precision@k, f1@k, hit@k, map@k, rr@k, and of what is beyond accuracy.
        protocol: who is asked what; a name, or a `Protocol` with its settings.
        content: features in which lists are compared with one another and with histories, and the items' table; a
            measure that lacks what it needs is left out, and the reason kept.
        seed: of the bootstrap, and of what a protocol draws.

    Raises:
        DataError: nothing is held out, the model knows other ids, or a held-out item was seen before.
        ConfigError: a cutoff or a setting of the protocol is impossible.
    """
    if not cutoffs or min(cutoffs) < 1:
        raise ConfigError(f"cutoffs are {cutoffs}; expected whole numbers above 0.")
    asked = protocol if isinstance(protocol, Protocol) else Protocol(name=protocol)
    given = Content.of(content)
    names = metric_names(tuple(cutoffs))
    task = task_of(split, part, asked, metadata=given.metadata, seed=seed)
    lens = beyond.Lens.of(split.train, given)
    judged = _judged(model, split, task, asked, lens=lens, cutoffs=tuple(cutoffs))
    columns = {name: _values(name, judged.ranks, asked) for name in names}
    per_user = pl.DataFrame(
        {
            "user_id": split.train.users.take(task.users),
            "n_history": split.train.user_counts()[task.users],
            "n_relevant": judged.ranks.n_relevant,
            "n_candidates": judged.n_candidates,
            **columns,
            **{name: pl.Series(values, nan_to_null=True) for name, values in judged.of_users.items()},
        }
    )
    new_items, n_of_new = _new_items(
        model, split, part, asked, among=task.users, content=given, names=names, seed=seed
    )
    cautions = [caution(len(task.users))]
    if new_items and cautions == [None]:
        cautions.append(caution(n_of_new, "took brand-new items, which have columns of their own"))
    defined = {name: values[~np.isnan(values)] for name, values in judged.of_users.items()}
    return Report(
        model=type(model).__name__,
        metrics=bootstraps(columns, seed=seed),
        per_user=per_user,
        new_items=new_items,
        protocol={
            "name": asked.name,
            "version": VERSION,
            "settings": asked.model_dump(mode="json"),
            "candidates": CANDIDATES[asked.name].format(negatives=asked.negatives),
            "targets": asked.targets,
            "warning": warning_of(asked, len(task.users), task.facts.get("drawn_from_users")),
            "cautions": [one for one in cautions if one is not None],
            "left_out": task.facts,
            "ties": "count half in AUC; elsewhere in the order of a hash of user and item",
            "part": part,
            "split": split.how,
            "cutoffs": list(cutoffs),
            "n_users": len(task.users),
            "n_items": split.train.n_items,
            "seed": seed,
            "intervals": {
                "method": METHOD,
                "resamples": RESAMPLES,
                "level": LEVEL,
                "seed": seed,
            },
        },
        beyond=bootstraps({name: values for name, values in defined.items() if len(values)}, seed=seed),
        system=judged.of_all,
        lens=lens.facts,
    )


def mean_metric(model: Recommender, split: Split, metric: str, *, part: Part) -> float:
    """The mean of one metric over users in the full ranking, without the rest of a report."""
    _, ranks = held_out_ranks(model, split, part)
    return float(compute(metric, ranks).mean())


def held_out_ranks(
    model: Recommender,
    split: Split,
    part: Part,
    *,
    protocol: Protocol | None = None,
    candidates: np.ndarray | None = None,
    metadata: pl.DataFrame | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, Ranks]:
    """The users with held-out items `(B,)` by index, and where those items stand.

    Args:
        model: fitted.
        split: its `part` is held out.
        part: "test" or "valid".
        protocol: who is asked what; None: the full ranking.
        candidates: `(I,)` bool, the only items to rank (held-out ones among the rest are left out); None: all.
        metadata: the items' table, where the protocol looks into it.
        seed: of what the protocol draws.
    """
    asked = protocol or Protocol()
    task = task_of(split, part, asked, candidates=candidates, metadata=metadata, seed=seed)
    return task.users, _ranks(list(_blocks(model, split, task, 0)), task)


def targets_of(
    split: Split,
    users: np.ndarray,
    *,
    part: Part = "test",
    protocol: Protocol | None = None,
    metadata: pl.DataFrame | None = None,
    seed: int = 0,
) -> Histories:
    """What `evaluate` looks for in the lists of some of the users that it asked `(B,)`, one row a user."""
    task = task_of(split, part, protocol or Protocol(), metadata=metadata, seed=seed)
    return task.only(np.searchsorted(task.users, users)).targets


def top_items(
    model: Recommender,
    split: Split,
    users: np.ndarray,
    k: int,
    *,
    protocol: Protocol | None = None,
    content: Content | None = None,
    seed: int = 0,
) -> list[list[int]]:
    """The k best items of each user by index, ranked as `evaluate` ranks the test: the very lists it judges.

    Args:
        model: fitted on `split.train`.
        split: what users took before its test part is masked.
        users: `(B,)` by index.
        k: list length.
        protocol: that of the evaluation, which must have asked all these users; None: the full ranking, where any
            user can be asked.
        content: that of the evaluation; the protocol may look into the items' table.
        seed: that of the evaluation.
    """
    if protocol is None:
        task = unseen(split, "test").only(users)
    else:
        metadata = None if content is None else content.metadata
        task = task_of(split, "test", protocol, metadata=metadata, seed=seed)
        task = task.only(np.searchsorted(task.users, users))
    return [
        block.lists.of(row).tolist()
        for block in _blocks(model, split, task, k)
        for row in range(len(block.lists))
    ]


# ---- ranking, a block of users at a time -----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Block:
    """What came of b users of a task.

    Attributes:
        rows: `(b,)` which of its users they are.
        owner: `(t,)` the row of the task of each target.
        rank: `(t,)` where it stands.
        mid: `(t,)` the same, tied ones sharing the mean of their places.
        n_candidates: `(b,)`.
        lists: b rows: the best candidates, best first.
    """

    rows: np.ndarray
    owner: np.ndarray
    rank: np.ndarray
    mid: np.ndarray
    n_candidates: np.ndarray
    lists: Histories


@dataclass(frozen=True, eq=False)
class _Judged:
    """What came of all users of a task: ranks, and the measures of lists by name."""

    ranks: Ranks
    n_candidates: np.ndarray
    of_users: dict[str, np.ndarray]
    of_all: dict[str, float]


def _blocks(model: Recommender, split: Split, task: Task, k: int) -> Iterator[_Block]:
    """Rank, in blocks whose scores stay within a fixed memory; lists of at most k items are kept."""
    if model.users != split.train.users or model.items != split.train.items:
        raise DataError(
            "The model was fitted on other users or items than this split has; fit it on split.train."
        )
    done = 0
    for users, _, scores in model.score_blocks(task.users):
        rows = np.arange(done, done + len(users))
        task.close(scores, rows)
        targets = task.targets.take(rows)
        rank, mid, n_candidates = ranks_of(scores, targets.owner, targets.items, users)
        found = top_k(scores, k, users)[0] if k else np.empty((len(rows), 0), dtype=np.int64)
        real = found >= 0
        yield _Block(
            rows=rows,
            owner=targets.owner + done,
            rank=rank,
            mid=mid,
            n_candidates=n_candidates,
            lists=Histories(np.concatenate([[0], np.cumsum(real.sum(axis=1))]).astype(np.int64), found[real]),
        )
        done += len(users)


def _ranks(blocks: list[_Block], task: Task) -> Ranks:
    return Ranks(
        owner=np.concatenate([block.owner for block in blocks]),
        rank=np.concatenate([block.rank for block in blocks]),
        n_relevant=task.targets.lengths,
        n_candidates=np.concatenate([block.n_candidates for block in blocks]),
        mid=np.concatenate([block.mid for block in blocks]),
    )


def _judged(
    model: Recommender,
    split: Split,
    task: Task,
    protocol: Protocol,
    *,
    lens: beyond.Lens,
    cutoffs: tuple[int, ...],
) -> _Judged:
    exposure = {k: np.zeros(split.train.n_items, dtype=np.int64) for k in cutoffs}
    blocks, parts = [], []
    for block in _blocks(model, split, task, max(cutoffs)):
        parts.append(lens.measures(task.users[block.rows], block.lists, cutoffs))
        for k in cutoffs:
            exposure[k] += np.bincount(beyond.head(block.lists, k).items, minlength=split.train.n_items)
        blocks.append(replace(block, lists=_NOTHING))  # all lists together may be large
    ranks = _ranks(blocks, task)
    counted = ranks.n_candidates
    if protocol.name == "tutorial":
        ranks = replace(ranks, n_candidates=np.full(len(task.users), split.train.n_items))
    of_all: dict[str, float] = {}
    for k in cutoffs:
        of_all |= {f"coverage@{k}": beyond.coverage(exposure[k]), f"gini@{k}": beyond.gini(exposure[k])}
    of_users = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _Judged(ranks, counted, of_users, of_all)


def _new_items(
    model: Recommender,
    split: Split,
    part: Part,
    protocol: Protocol,
    *,
    among: np.ndarray,
    content: Content,
    names: list[str],
    seed: int,
) -> tuple[dict[str, Estimate], int]:
    """The metrics when only brand-new items are candidates, and how many of the users `among (B,)` took some."""
    new = split.train.item_counts() == 0
    if protocol.name == "tutorial" or not new[split.part(part).item].any():
        return {}, 0
    all_users = protocol.replace(users=None)  # those that were drawn are known
    task = task_of(
        split, part, all_users, candidates=new, metadata=content.metadata, seed=seed, may_be_empty=True
    )
    task = task.only(np.flatnonzero(np.isin(task.users, among)))
    if len(task.users) == 0:
        return {}, 0
    ranks = _ranks(list(_blocks(model, split, task, 0)), task)
    return bootstraps({name: compute(name, ranks) for name in names}, seed=seed), len(task.users)


def _values(name: str, ranks: Ranks, protocol: Protocol) -> np.ndarray:
    return compute(name, ranks, variant="tutorial" if protocol.name == "tutorial" else "paper")
