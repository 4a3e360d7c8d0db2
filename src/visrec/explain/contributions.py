"""What each item of a history does to the score, and what else the score is made of."""

from __future__ import annotations

import numpy as np
import torch

from visrec.explain.explanation import Contribution, Contributions, Term
from visrec.explain.question import Question, rows_of
from visrec.models.acf import ACF
from visrec.models.bpr import BPR
from visrec.models.dvbpr import DVBPR
from visrec.models.ease import EASE
from visrec.models.item_knn import ItemKNN
from visrec.models.vbpr import VBPR
from visrec.models.visrank import VisRank

MOST_LEFT_OUT = 200
"""At most so many newest items of a history are left out one by one."""
_SUMS = (ItemKNN, EASE)  # their score is the sum of what single-item histories get
_CELLS = 1 << 22  # numbers in the query vectors that are made at once


def contributions(question: Question) -> Contributions | None:
    """What each item that the model looks at does to the score; None where the query is not made of the history.

    Exact, as parts of a sum:

    - visrank: cos(f_i, f_l) times the weight of l in the pooling: 1 / h of all ("average"), 1 / n for the n nearest
      ("top_n"), 1 for the nearest alone ("maximum").
    - item_knn, ease: the weight from l to i.
    - acf: alpha_l p_l . v_i; the rest is u_u . v_i.

    For every other model the score minus that of the history without l.

    Raises:
        FeaturesError: an ACF was loaded without its features, which attention needs.
    """
    items = question.looked_at
    if question.model.query not in ("history", "both"):
        return None
    if len(items) == 0:
        return Contributions((), "exact", question.score)
    model = question.model
    if isinstance(model, VisRank):
        return _told(question, items, _of_visrank(model, items, question.item))
    if isinstance(model, _SUMS):
        return _told(question, items, _alone(question, items))
    if isinstance(model, ACF):
        return _told(question, items, _of_acf(model, question, items))
    items = items[-MOST_LEFT_OUT:]
    values = question.score - question.scores(without_each(question.looked_at, items))
    return Contributions(_listed(question, items, values), "left out", None)


def without_each(history: np.ndarray, items: np.ndarray) -> list[np.ndarray]:
    """The history without one item, for each of some items of it."""
    return [history[history != item] for item in items]


def _told(question: Question, items: np.ndarray, values: np.ndarray) -> Contributions:
    return Contributions(_listed(question, items, values), "exact", question.score - float(values.sum()))


def _listed(question: Question, items: np.ndarray, values: np.ndarray) -> tuple[Contribution, ...]:
    return tuple(
        Contribution(item, float(value)) for item, value in zip(question.ids(items), values, strict=True)
    )


def _of_visrank(model: VisRank, items: np.ndarray, item: int) -> np.ndarray:
    f_l = model.f[torch.from_numpy(items)].double()  # (h, F)
    cosine = (f_l @ model.f[item].double()).numpy()  # (h,)
    there = f_l.abs().sum(1).numpy() > 0
    n = {"average": len(items), "top_n": model.config.n, "maximum": 1}[model.config.method]
    counts = np.flatnonzero(there)
    counts = counts[np.argsort(-cosine[counts], kind="stable")[:n]]
    weight = np.zeros(len(items))
    weight[counts] = 1 / max(1, len(counts))
    return weight * cosine


def _alone(question: Question, items: np.ndarray) -> np.ndarray:
    """Scores `(h,)` of histories of one item."""
    step = max(1, _CELLS // len(question.model.items))
    parts = [
        question.scores([items[place : place + 1] for place in range(start, min(start + step, len(items)))])
        for start in range(0, len(items), step)
    ]
    return np.concatenate(parts)


def _of_acf(model: ACF, question: Question, items: np.ndarray) -> np.ndarray:
    table = model.attention(
        [model.users.take(np.array([question.user]))[0]], [question.ids(items)]
    )  # in the order of the history
    with torch.no_grad():
        p = model.profile[torch.from_numpy(items)].double()  # (h, K)
        scale = model.config.dim_gamma if model.config.variant == "tutorial" else 1
        along = (p @ model.v[question.item].double() / scale).numpy()  # (h,)
    return table["alpha"].to_numpy() * along


# ---- terms ---------------------------------------------------------------------------------------------


def terms(question: Question) -> tuple[Term, ...]:
    """The summands of the score for models whose query is the user alone; () for others.

    Of bpr beta_i ("bias") and gamma_u . gamma_i ("factors"); of vbpr also theta_u . E f_i ("visual") and beta' . f_i
    ("visual bias"); of dvbpr theta_u . Phi(X_i) ("visual"), and factors and bias where it has them.
    """
    model = question.model
    if not isinstance(model, BPR | VBPR | DVBPR):
        return ()
    assert model.Z is not None
    with torch.no_grad():
        q = model.encode_queries(question.queries([question.history]))[0].double()  # (d,)
        z = rows_of(model, np.array([question.item]))[0].double()
        average = model.Z.mean(0).double()
        found = [
            Term(name, float(q[part] @ z[part]), float(q[part] @ average[part]))
            for name, part in blocks_of(model).items()
        ]
        if isinstance(model, VBPR):  # its bias column holds two
            bias, whole = model.beta_i[question.item, 0].double(), found.pop()
            mean = model.beta_i.mean().double()
            found += [
                Term("bias", float(bias), float(mean)),
                Term("visual bias", whole.value - float(bias), whole.average - float(mean)),
            ]
    return tuple(found)


def blocks_of(model: BPR | VBPR | DVBPR) -> dict[str, slice]:
    """Which columns of the vectors of bpr, vbpr or dvbpr are which term; of vbpr, "bias" is both biases."""
    sizes = {
        "factors": model.config.dim_gamma,
        "visual": 0 if isinstance(model, BPR) else model.config.dim_theta,
        "bias": int(model.config.bias) if isinstance(model, DVBPR) else 1,
    }
    blocks, start = {}, 0
    for name, size in sizes.items():
        if size:
            blocks[name] = slice(start, start + size)
        start += size
    return blocks
