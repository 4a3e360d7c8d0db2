"""Of what was liked, what is most like the item: by features, or by what the model holds of items."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from visrec.content import Content
from visrec.errors import ConfigError, FeaturesError
from visrec.explain.contributions import blocks_of
from visrec.explain.explanation import Nearest, Neighbour
from visrec.explain.question import Question
from visrec.features.features import Features
from visrec.models.curatornet import CuratorNet
from visrec.models.dvbpr import DVBPR
from visrec.models.visrank import VisRank
from visrec.recommender import Recommender

SEEING = (VisRank, CuratorNet, DVBPR)
"""Models whose own vectors of items are what pictures show."""


def nearest(
    question: Question,
    features: Features | None = None,
    *,
    n: int = 3,
    pictures: Mapping[str, np.ndarray] | None = None,
) -> Nearest:
    """The n liked items (and uploaded pictures) with the largest cosine to the item.

    Args:
        question: its history is what was liked.
        features: vectors or regions (their means are compared), of the model's items; None: what the model holds of
            items is compared, as `similar_items` does.
        n: how many at most; what has no vector is left out, as is an item without one.
        pictures: vectors `(F,)` or `(R, F)` of uploaded pictures by name, finished as `features` are.

    Raises:
        ConfigError: n is below 1.
        FeaturesError: pictures were given and no features, or of another length.
    """
    if n < 1:
        raise ConfigError(f"n_nearest is {n!r}; expected a whole number, at least 1.")
    if pictures and features is None:
        raise FeaturesError(
            "Uploaded pictures are compared by features, and none were given: explain(…, content=features)."
        )
    model = question.model
    by, source = ("model", type(model).__name__)
    looks = features is not None or isinstance(model, SEEING)
    if features is None:
        vectors = (
            vectors_of_model(question, question.history),
            vectors_of_model(question, np.array([question.item])),
        )
    else:
        by, source = "features", str(features.provenance.get("extractor", "own values"))
        vectors = unit_rows(features, question.history), unit_rows(features, np.array([question.item]))
    liked, asked = vectors[0], vectors[1][0]  # (H, F), (F,)
    found = [
        Neighbour(item, float(cosine))
        for item, cosine, there in zip(
            question.ids(question.history), liked @ asked, np.atleast_1d(liked.any(axis=1)), strict=True
        )
        if there
    ]
    for name, vector in (pictures or {}).items():
        if vector.shape[-1] != len(asked):
            raise FeaturesError(f"{name}: has a vector of {vector.shape[-1]} numbers; expected {len(asked)}.")
        cosine = _unit(vector.reshape(1, -1, len(asked)).mean(axis=1))[0] @ asked
        found.append(Neighbour(name, float(cosine), uploaded=True))
    if not asked.any():
        found = []
    found.sort(key=lambda one: -one.similarity)  # stable: of equal ones the older
    return Nearest(tuple(found[:n]), by, source, looks)  # type: ignore[arg-type]


def compared_by(model: Recommender, content: Features | Content | None = None) -> Features | None:
    """The features by which a model's pictures are compared: those given, its own, or None: what it holds of items.

    A model that learns what pictures show from their pixels is taken at its own word, whatever is given.

    Raises:
        FeaturesError: they are of other items.
    """
    if model.needs == "image":
        return None
    given = Content.of(content)
    for found in (given.vector, given.regions, model.features):
        if found is not None and found.kind in ("vector", "regions"):
            return found.align(model.items)
    return None


def vectors_of_model(question: Question, items: np.ndarray) -> np.ndarray:
    """What the model compares items by, `(n, m)` of length 1; 0 where it knows nothing, m = 0 if it compares none.

    Of dvbpr what it sees, Phi(X_i) without the factors, as it deviates from the average picture: what all pictures
    have in common decides about no rank, and where it is large, all of them are alike.
    """
    model = question.model
    vectors = model.similarity_vectors()
    if isinstance(model, DVBPR):
        assert model.Z is not None
        seen = model.Z[:, blocks_of(model)["visual"]]
        there = seen.any(dim=1, keepdim=True)
        vectors = (seen - seen[there[:, 0]].mean(0)) * there
    if vectors is None:
        return np.zeros((len(items), 0), dtype=np.float32)
    rows = vectors.index_select(0, torch.from_numpy(items))
    return _unit((rows.to_dense() if rows.is_sparse else rows).numpy())


def unit_rows(features: Features, items: np.ndarray) -> np.ndarray:
    """Vectors `(n, F)` float32 of some items, of length 1; of regions their means. 0 where one is missing."""
    values = features.values[items]
    if values.ndim == 3:
        values = values.mean(axis=1, dtype=np.float32)
    return _unit(values)


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors.astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
