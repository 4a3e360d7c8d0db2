"""What is deleted, for each kind of explanation: what it points at, and as much at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from visrec.content import Content
from visrec.explain.activation import activation_map, pixels_of
from visrec.explain.attributes import attributes, telling
from visrec.explain.contributions import blocks_of, contributions
from visrec.explain.nearest import compared_by, nearest
from visrec.explain.question import Question, scores_of
from visrec.features.features import Features
from visrec.models.acf import ACF
from visrec.models.bpr import BPR
from visrec.models.dvbpr import DVBPR
from visrec.models.vbpr import VBPR
from visrec.recommender import Queries, Recommender
from visrec.training.vectors import ItemVectors

N_NAMED = 3
"""Items of a history that an explanation names; of short ones half."""
REGIONS = 0.25
"""Share of a picture's regions that are deleted."""
EXCHANGED = 50
"""Items that one is exchanged for."""
AREA = 0.2
"""Share of a picture that is deleted."""
_SAMPLE = 1000  # items that say what is average

Changes = Callable[[Question, int, np.random.Generator], tuple[float, np.ndarray] | None]
"""Of a question, a number of draws n and a generator: the score minus that without what is named, and minus those
without as much at random `(n,)`; None where there is nothing to delete."""


@dataclass(frozen=True)
class Deletion:
    """A kind of deletion; see `visrec.explain.faithfulness.Check` for `kind`, `deleted` and `signed`."""

    kind: str
    deleted: str
    signed: bool
    changes: Changes


def deletions_of(
    model: Recommender, content: Features | Content | None = None, table: Features | None = None
) -> tuple[Deletion, ...]:
    """Those that a model's explanations can be checked by; `table` is that of the attributes."""
    compared = compared_by(model, content)
    few = f"the {N_NAMED} liked items"
    found: list[Deletion] = []
    if model.query in ("history", "both"):
        has_attention = isinstance(model, ACF)
        if model.needs != "none" and not has_attention:
            found.append(
                Deletion("nearest", f"{few} most like the item", True, _of_history(_nearest(compared)))
            )
        if not has_attention or model.features is not None:
            found.append(
                Deletion("contributions", f"{few} that add most to the score", True, _of_history(_adding))
            )
        if isinstance(model, ACF) and model.features is not None:
            found.append(
                Deletion("attention", f"{few} with the largest alpha", False, _of_history(_attended))
            )
            found.append(_regions_deletion(model))
    if isinstance(model, BPR | VBPR | DVBPR):
        found.append(_shared_deletion(model, compared))
    if isinstance(model, VBPR) and model.f is not None:
        found.append(_visual_deletion(model))
    if isinstance(model, DVBPR) and model.pixels is not None:
        found.append(_activation_deletion(model))
    if table is not None and model.personal:
        found.append(_attributes_deletion(table.align(model.items)))
    return tuple(found)


# ---- items of the history ------------------------------------------------------------------------------

Naming = Callable[[Question], np.ndarray]
"""Which items of the history an explanation names, the first the most."""


def _of_history(naming: Naming) -> Changes:
    """Deletion from the history: the query is made anew of what is left."""

    def changes(
        question: Question, n_draws: int, rng: np.random.Generator
    ) -> tuple[float, np.ndarray] | None:
        history = question.looked_at
        named = naming(question)[: _number(len(history))]
        if len(named) == 0 or len(history) < 2:
            return None
        drawn = [rng.choice(history, size=len(named), replace=False) for _ in range(n_draws)]
        left = [history[~np.isin(history, gone)] for gone in (named, *drawn)]
        scores = question.scores([history, *left])
        return float(scores[0] - scores[1]), scores[0] - scores[2:]

    return changes


def _number(length: int) -> int:
    return min(N_NAMED, length // 2)


def _nearest(compared: Features | None) -> Naming:
    def naming(question: Question) -> np.ndarray:
        seen = Question(question.model, question.user, question.looked_at, question.item)
        found = nearest(seen, compared, n=N_NAMED)
        return question.model.items.indices([one.item_id for one in found.items])

    return naming


def _adding(question: Question) -> np.ndarray:
    found = contributions(question)
    ranked = [] if found is None else [one.item_id for one in found.ranked]
    return question.model.items.indices(ranked)


def _attended(question: Question) -> np.ndarray:
    model = question.model
    assert isinstance(model, ACF)
    table = model.attention([_user(question)], [question.ids(question.looked_at)])
    order = np.argsort(-table["alpha"].to_numpy(), kind="stable")
    return question.looked_at[order]


def _user(question: Question) -> str | int:
    found: str | int = question.model.users.take(np.array([question.user]))[0]
    return found


# ---- regions of the history's pictures -----------------------------------------------------------------


def _regions_deletion(model: ACF) -> Deletion:
    """Of every picture of the history the regions with the largest beta become the picture's own average.

    So what the picture shows as a whole stays, and only what these regions have beside it goes.
    """
    features = model.features
    assert features is not None
    assert features.n_regions is not None
    R, n = features.n_regions, max(1, round(REGIONS * features.n_regions))

    def changes(
        question: Question, n_draws: int, rng: np.random.Generator
    ) -> tuple[float, np.ndarray] | None:
        history = question.looked_at
        there = ~features.missing[history]
        if not there.any() or R < 2:
            return None
        x = np.asarray(features.values[history], dtype=np.float32)  # (h, R, F)
        beta = model.attention([_user(question)], [question.ids(history)])["beta"].to_list()
        blank = [0.0] * R
        named = np.argsort(-np.array([one or blank for one in beta]), axis=1, kind="stable")[:, :n]  # (h, n)
        drawn = [np.argsort(rng.random((len(history), R)), axis=1)[:, :n] for _ in range(n_draws)]
        versions = [x]
        for gone in (named, *drawn):
            other = x.copy()
            other[np.arange(len(history))[:, None], gone] = x.mean(axis=1, keepdims=True)
            versions.append(other)
        scores = _of_versions(model, question, versions, ~there)
        return float(scores[0] - scores[1]), scores[0] - scores[2:]

    share = f"{REGIONS:.0%}".replace("%", " %")
    return Deletion("regions", f"the {share} of each liked picture with the largest beta", False, changes)


def _of_versions(
    model: ACF, question: Question, versions: list[np.ndarray], missing: np.ndarray
) -> np.ndarray:
    """Scores `(n,)` of the item for histories whose pictures have other regions, `(h, R, F)` each.

    By a small ACF of one user, which has each version of each item of the history as an item of its own.
    """
    history = torch.from_numpy(question.looked_at)
    n, h = len(versions), len(history)
    small = ACF(model.config)
    small.content_shape = model.content_shape
    small.build(1, n * h)
    state = dict(model.state_dict())
    state["u"] = state["u"][question.user][None]
    for name in {"v", "p"} & set(state):
        state[name] = state[name][history].repeat(n, 1)
    small.load_state_dict(state)
    small.features = Features.from_array(
        np.concatenate(versions), np.arange(n * h), missing=np.tile(missing, n)
    )
    queries = Queries(
        torch.zeros(n, dtype=torch.int64),
        torch.arange(n * h).view(n, h),
        torch.ones(n, h, dtype=torch.bool),
    )
    q = small.encode_queries(queries).double()  # (n, K)
    scores: np.ndarray = (q @ model.v[question.item].double()).numpy()
    return scores


# ---- the item's vector ---------------------------------------------------------------------------------


def _shared_deletion(model: BPR | VBPR | DVBPR, compared: Features | None) -> Deletion:
    """Of the item's vector what it shares with the liked items named, against as much shared with others liked.

    The vectors are those that the model weighs: of vbpr the features, whose weights are E' theta_u + beta'; of dvbpr
    Phi(X_i); else its item vectors without the bias. What is shared is the projection, as deviations from the average
    item, on the span of the named; the random one is brought to the same length.
    """
    reads = isinstance(model, VBPR) and model.f is not None
    vectors, mean = _read_by(model)

    def changes(
        question: Question, n_draws: int, rng: np.random.Generator
    ) -> tuple[float, np.ndarray] | None:
        found = nearest(question, compared if reads else None, n=_number(len(question.history)))
        named = model.items.indices([one.item_id for one in found.items])
        if len(named) == 0:
            return None
        w = _weights(model, question)  # (F,)
        own = (vectors[question.item] - mean).double()  # (F,)
        shared = [_shared(own, (vectors[torch.from_numpy(named)] - mean).double())]
        for _ in range(n_draws):
            drawn = rng.choice(question.history, size=len(named), replace=False)
            shared.append(_shared(own, (vectors[torch.from_numpy(drawn)] - mean).double()))
        length = shared[0].norm()
        values = [float(w @ one) * float(length / one.norm().clamp_min(1e-12)) for one in shared]
        return values[0], np.array(values[1:])

    what = "picture" if reads else "vector"
    return Deletion(
        "nearest", f"what the item's {what} shares with the {N_NAMED} liked items most like it", True, changes
    )


def _read_by(model: BPR | VBPR | DVBPR) -> tuple[torch.Tensor | ItemVectors, torch.Tensor]:
    """The vectors `(I, F)` that a model weighs with what it knows of a user, and their mean."""
    if isinstance(model, VBPR) and model.f is not None:
        return model.f, model.f.mean()
    assert model.Z is not None
    Z = model.Z[:, _columns(model)]
    return Z, Z.mean(0)


def _columns(model: BPR | VBPR | DVBPR) -> slice:
    """Of the item vectors all but the bias, of dvbpr what it sees alone."""
    blocks = blocks_of(model)
    if isinstance(model, DVBPR):
        return blocks["visual"]
    return slice(0, max(part.stop for name, part in blocks.items() if name != "bias"))


def _weights(model: BPR | VBPR | DVBPR, question: Question) -> torch.Tensor:
    """What the score makes of one unit of each column of `_read_by`: `(F,)` float64."""
    if isinstance(model, VBPR) and model.f is not None:
        assert question.user is not None
        return (model.theta_u[question.user] @ model.E + model.beta_prime[:, 0]).double()
    return model.encode_queries(question.queries([question.history]))[0, _columns(model)].double()


def _shared(own: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """The projection of `own (F,)` on the span of `others (m, F)`."""
    basis, sizes, _ = torch.linalg.svd(others.T, full_matrices=False)  # (F, m)
    basis = basis[:, sizes > 1e-9 * sizes.max().clamp_min(1e-30)]
    return basis @ (basis.T @ own)


def _visual_deletion(model: VBPR) -> Deletion:
    """The item's own look (what its features have beside the average picture's), against that of other pictures."""
    assert model.f is not None
    f, mean = model.f, model.f.mean()
    missing = np.zeros(len(f), dtype=bool) if model.features is None else model.features.missing
    pool = np.flatnonzero(~missing)

    def changes(
        question: Question, n_draws: int, rng: np.random.Generator
    ) -> tuple[float, np.ndarray] | None:
        if missing[question.item]:
            return None
        w = _weights(model, question)
        looks = (
            f[torch.from_numpy(np.array([question.item, *rng.choice(pool, size=n_draws)]))] - mean
        ).double()
        lengths = looks.norm(dim=1)
        values = (looks @ w * lengths[0] / lengths.clamp_min(1e-12)).numpy()
        return float(values[0]), values[1:]

    return Deletion("visual", "what the item's picture has beside an average one", True, changes)


# ---- the item's picture --------------------------------------------------------------------------------


def _activation_deletion(model: DVBPR) -> Deletion:
    """Where the map is highest, the picture takes the catalogue's mean colour, against the same shape elsewhere.

    The random mask is the named one, shifted around the picture's edges: as large, and as ragged.
    """
    assert model.pixels is not None
    some = _some(~model.pixels.missing, 200)
    colour = np.asarray(model.pixels.values[some], dtype=np.float64).mean(axis=(0, 1, 2))  # (3,)
    fill = torch.from_numpy(np.rint(colour).astype(np.uint8))

    def changes(
        question: Question, n_draws: int, rng: np.random.Generator
    ) -> tuple[float, np.ndarray] | None:
        pixels = pixels_of(model, np.array([question.item]))
        if pixels is None or question.user is None:
            return None
        theta_u = model.theta_u[question.user]
        values, score = activation_map(model.phi, pixels, theta_u.detach())
        if values.max() <= 0:
            return None
        mask = highest(values, pixels.shape[1])  # (S, S)
        S = len(mask)
        masks = [mask] + [
            np.roll(mask, tuple(rng.integers(0, S, size=2).tolist()), axis=(0, 1)) for _ in range(n_draws)
        ]
        covered = pixels.repeat(len(masks), 1, 1, 1)
        covered[torch.from_numpy(np.stack(masks))] = fill
        drops = score - (model.phi(covered) @ theta_u).double().numpy()
        return float(drops[0]), drops[1:]

    share = f"{AREA:.0%}".replace("%", " %")
    return Deletion(
        "activation", f"the {share} of the item's picture where the map is highest", True, changes
    )


def highest(values: np.ndarray, side: int) -> np.ndarray:
    """The `AREA` of a picture where its map `(h, w)` is highest: `(side, side)` bool, by the map drawn smoothly."""
    import cv2

    smooth = cv2.resize(values, (side, side), interpolation=cv2.INTER_LINEAR).ravel()
    mask = np.zeros(side * side, dtype=bool)
    mask[np.argsort(-smooth, kind="stable")[: max(1, round(AREA * side * side))]] = True
    return mask.reshape(side, side)


# ---- the item itself -----------------------------------------------------------------------------------


def _attributes_deletion(table: Features) -> Deletion:
    """The item is exchanged for others that lack the telling measure, against as many of all others."""
    raw = np.asarray(table.values if table.raw is None else table.raw, dtype=np.float64)
    columns = list(table.provenance.get("columns") or ())
    there = np.flatnonzero(~table.missing)

    def changes(
        question: Question, n_draws: int, rng: np.random.Generator
    ) -> tuple[float, np.ndarray] | None:
        named = telling(attributes(question, table))
        if named is None:
            return None
        others = there[~np.isin(there, [*question.history, question.item])]
        lacks = np.abs(raw[others, columns.index(named.name)] - named.mean) > named.std
        if not lacks.any():
            return None
        drawn = [rng.choice(others[lacks], EXCHANGED)]
        drawn += [rng.choice(others, EXCHANGED) for _ in range(n_draws)]
        items = np.array([question.item, *np.concatenate(drawn)])
        scores = scores_of(question.model, question.queries([question.history]), items)[0]
        drops = scores[0] - scores[1:].reshape(1 + n_draws, EXCHANGED).mean(axis=1)
        return float(drops[0]), drops[1:]

    return Deletion("attributes", "the measure in which it fits the person (by exchange)", True, changes)


def _some(there: np.ndarray, most: int = _SAMPLE) -> np.ndarray:
    """At most so many of the rows that are there, evenly spread."""
    rows = np.flatnonzero(there)
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)] if len(rows) else rows
