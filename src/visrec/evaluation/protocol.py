"""The protocol: all items that a user has not seen are candidates; held-out items are ranked among them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from visrec.data.interactions import Histories, Interactions
from visrec.data.splits import Part, Split
from visrec.errors import ConfigError, DataError
from visrec.evaluation.metrics import Ranks, compute, metric_names
from visrec.evaluation.significance import Estimate, bootstrap
from visrec.ranking import ranks_of, top_k
from visrec.recommender import Recommender

CUTOFFS = (20, 100)
VERSION = 2  # raised when the same model and data would get other numbers, or more of them


@dataclass(frozen=True, eq=False)
class Report:
    """What an evaluation found. `report["ndcg@20"]` is a mean over users.

    Attributes:
        model: name of the model.
        metrics: the mean of each metric over users, with its interval.
        per_user: one row a user with held-out items: user_id, n_history, n_relevant, n_candidates, and one
            column a metric.
        new_items: the same metrics when only brand-new items (nobody took one in training) are candidates,
            over the users who took some; empty where there are none.
        protocol: what was done.
    """

    model: str
    metrics: dict[str, Estimate]
    per_user: pl.DataFrame
    new_items: dict[str, Estimate]
    protocol: dict[str, Any]

    def __getitem__(self, metric: str) -> float:
        return self.estimate(metric).mean

    def estimate(self, metric: str) -> Estimate:
        """Mean and interval of a metric; `ConfigError` if it was not computed."""
        if metric not in self.metrics:
            raise ConfigError(f"The report has no '{metric}'. It has {', '.join(self.metrics)}.")
        return self.metrics[metric]

    def is_current(self, cutoffs: list[int]) -> bool:
        """Whether a stored report was made as one with these cutoffs would be made now."""
        return self.protocol["cutoffs"] == cutoffs and self.protocol.get("version") == VERSION

    def to_html(self, path: str | Path) -> None:
        """Write the metrics with their intervals as one self-contained page."""
        from visrec.evaluation.page import write_page

        write_page(path, title=self.model, reports={self.model: self})

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: metrics, new_items, n_users."""
        return {
            "metrics": {name: vars(estimate) for name, estimate in self.metrics.items()},
            "new_items": {name: vars(estimate) for name, estimate in self.new_items.items()},
            "n_users": self.per_user.height,
        }


def evaluate(
    model: Recommender,
    split: Split,
    *,
    part: Part = "test",
    cutoffs: tuple[int, ...] = CUTOFFS,
    seed: int = 0,
) -> Report:
    """Rank all unseen items for each user with held-out items.

    Args:
        model: fitted on `split.train`.
        split: its `part` is held out; what users took before it is masked.
        part: "test", or "valid" for tuning.
        cutoffs: the k of ndcg@k, recall@k, precision@k, hit@k, map@k, rr@k.
        seed: of the bootstrap.

    Raises:
        DataError: nothing is held out, the model knows other ids, or a held-out item was seen before.
    """
    if not cutoffs or min(cutoffs) < 1:
        raise ConfigError(f"cutoffs are {cutoffs}; expected whole numbers above 0.")
    names = metric_names(tuple(cutoffs))
    users, ranks = held_out_ranks(model, split, part)
    per_user = pl.DataFrame(
        {
            "user_id": split.train.users.take(users),
            "n_history": split.train.user_counts()[users],
            "n_relevant": ranks.n_relevant,
            "n_candidates": ranks.n_candidates,
            **{name: compute(name, ranks) for name in names},
        }
    )
    new = split.train.item_counts() == 0
    new_items = {}
    if new[split.part(part).item].any():
        _, among_new = held_out_ranks(model, split, part, candidates=new)
        new_items = {name: bootstrap(compute(name, among_new), seed=seed) for name in names}
    protocol = {
        "name": "full",
        "version": VERSION,
        "candidates": "all items but those of the user in the parts before; rows that filters left out are not known",
        "ties": "count half in AUC; elsewhere in the order of a hash of user and item",
        "part": part,
        "split": split.how,
        "cutoffs": list(cutoffs),
        "n_users": len(users),
        "n_items": split.train.n_items,
        "intervals": {
            "method": "percentile bootstrap over users",
            "resamples": 1000,
            "level": 0.95,
            "seed": seed,
        },
    }
    metrics = {name: bootstrap(per_user[name].to_numpy(), seed=seed) for name in names}
    return Report(type(model).__name__, metrics, per_user, new_items, protocol)


def mean_metric(model: Recommender, split: Split, metric: str, *, part: Part) -> float:
    """The mean of one metric over users, without the rest of a report."""
    _, ranks = held_out_ranks(model, split, part)
    return float(compute(metric, ranks).mean())


def held_out_ranks(
    model: Recommender, split: Split, part: Part, *, candidates: np.ndarray | None = None
) -> tuple[np.ndarray, Ranks]:
    """The users with held-out items `(B,)` by index, and where those items stand.

    Args:
        model: fitted.
        split: its `part` is held out.
        part: "test" or "valid".
        candidates: `(I,)` bool, the only items to rank (held-out ones among the rest are left out); None: all.
    """
    if part not in ("valid", "test"):
        raise ConfigError(f"part is '{part}'; expected 'test' or 'valid'.")
    if model.users != split.train.users or model.items != split.train.items:
        raise DataError(
            "The model was fitted on other users or items than this split has; fit it on split.train."
        )
    held, seen = _by_user(split.part(part), candidates), _by_user(split.seen(part), None)
    users = np.flatnonzero(held.lengths > 0)
    if len(users) == 0:
        raise DataError(f"No user has held-out items in the part '{part}'; nothing can be evaluated.")
    excluded = None if candidates is None else torch.from_numpy(~candidates)
    owner, rank, mid, n_candidates = [], [], [], []
    done = 0
    for block, queries in model.query_blocks(users):
        scores = model.score_queries(queries)
        if excluded is not None:
            scores = scores.masked_fill(excluded, -torch.inf)
        asked = held.take(block)
        rows, items = asked.owner, asked.items
        _mask(scores, seen, block)
        table = scores.numpy()
        if np.isneginf(table[rows, items]).any():
            raise DataError(
                f"A held-out item of the part '{part}' was taken before; the parts of a split must differ."
            )
        owner.append(rows + done)
        ranks_here, mid_here = ranks_of(scores, rows, items, block)
        rank.append(ranks_here)
        mid.append(mid_here)
        n_candidates.append(np.array([np.count_nonzero(line > -np.inf) for line in table], dtype=np.int64))
        done += len(block)
    ranks = Ranks(
        np.concatenate(owner),
        np.concatenate(rank),
        held.lengths[users],
        np.concatenate(n_candidates),
        np.concatenate(mid),
    )
    return users, ranks


def top_items(model: Recommender, split: Split, users: np.ndarray, k: int) -> list[list[int]]:
    """The k best items of each user by index, ranked as `evaluate` ranks the test: the very lists it judges.

    Args:
        model: fitted on `split.train`.
        split: what users took before its test part is masked.
        users: `(B,)` by index.
        k: list length.
    """
    seen = _by_user(split.seen("test"), None)
    lists: list[list[int]] = []
    for block, queries in model.query_blocks(users):
        scores = model.score_queries(queries)
        _mask(scores, seen, block)
        found, _ = top_k(scores, k, block)
        lists += [row[row >= 0].tolist() for row in found]
    return lists


def _by_user(part: Interactions, candidates: np.ndarray | None) -> Histories:
    """The distinct items of each user, sorted."""
    if candidates is not None:
        part = part.where(candidates[part.item])
    matrix = part.matrix()
    return Histories(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64))


def _mask(scores: Tensor, seen: Histories, users: np.ndarray) -> None:
    """Make what each user has seen no candidate, in place: -inf in `scores (B, I)`."""
    found = seen.take(users)
    scores[torch.from_numpy(found.owner), torch.from_numpy(found.items)] = -torch.inf
