"""The pictures most like one, by their features alone: no model, no users."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch

from visrec.errors import ConfigError, UnsupportedError
from visrec.features.encoding import encode_raw, finish
from visrec.features.features import Features
from visrec.features.finishing import blocks
from visrec.ranking import top_k

if TYPE_CHECKING:
    from PIL import Image

    from visrec.features.extractors import Weights


def similar_items(features: Features, items: Sequence[str | int], k: int = 10) -> pl.DataFrame:
    """The k items whose pictures are most like those of each given one, itself left out.

    Returns:
        A table query_id, item_id, score, rank; the score is the cosine of the vectors (of regions: of their means).

    Raises:
        DataError: there is no such item.
        UnsupportedError: an item has no features.
    """
    rows = features.items.indices(items)
    if features.missing[rows].any():
        item = features.items.take(rows[features.missing[rows]])[0]
        reason = features.failures.filter(pl.col("item_id") == item)["reason"][0]
        raise UnsupportedError(f"Item '{item}' has no features to compare it by: {reason}")
    found = nearest(features, features.values[rows], k, exclude=rows)
    return _table([str(one) for one in features.items.take(rows)], features, *found)


def similar_to_images(
    features: Features,
    images: Sequence[str | Path | Image.Image],
    k: int = 10,
    *,
    weights: Weights | None = None,
) -> pl.DataFrame:
    """The k items whose pictures are most like any given pictures, files or RGB images.

    Returns:
        A table query_id (the file, or a number), item_id, score, rank; the score is the cosine of the vectors.

    Raises:
        ImageError: a picture cannot be decoded.
        FeaturesError: the features do not say how new pictures are treated, or the weights are gone.
        UnsupportedError: the extractor sees nothing in a picture.
    """
    raw = encode_raw(features, images, weights=weights)
    vectors = finish(features, raw)
    names = [str(one) if isinstance(one, str | Path) else str(n) for n, one in enumerate(images)]
    # Standardised, a vector of zeros has other numbers; one of the mean has none left.
    blank = ~(raw.reshape(len(raw), -1).any(axis=1) & vectors.reshape(len(raw), -1).any(axis=1))
    if blank.any():
        raise UnsupportedError(
            f"{names[int(np.argmax(blank))]}: {features.provenance['extractor']} finds nothing in this picture to "
            f"compare it by. Choose another extractor."
        )
    return _table(names, features, *nearest(features, vectors, k))


def nearest(
    features: Features, vectors: np.ndarray, k: int, *, exclude: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows of features with the largest cosine to each vector.

    Args:
        features: I items.
        vectors: `(B, F)` or `(B, R, F)`, finished as the features are.
        k: how many.
        exclude: `(B,)` a row that is no answer to each; None: all are.

    Returns:
        rows `(B, min(k, I))` int64, -1 where there are no more, and cosines.
    """
    if k < 1:
        raise ConfigError(f"k is {k!r}; expected a whole number, at least 1.")
    asked = torch.from_numpy(_unit(vectors))  # (B, F)
    scores = torch.empty(len(asked), len(features))
    for block in blocks(len(features), int(np.prod(features.values.shape[1:]))):
        scores[:, block] = asked @ torch.from_numpy(_unit(features.values[block])).T
    scores[:, torch.from_numpy(features.missing.copy())] = -torch.inf
    owners = np.arange(len(asked)) if exclude is None else exclude
    if exclude is not None:
        scores[torch.arange(len(asked)), torch.from_numpy(exclude)] = -torch.inf
    return top_k(scores, k, owners)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, float32; of regions, their means."""
    if vectors.ndim == 3:
        vectors = vectors.mean(axis=1, dtype=np.float32)
    vectors = vectors.astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _table(names: list[str], features: Features, found: np.ndarray, values: np.ndarray) -> pl.DataFrame:
    query, place = np.nonzero(found >= 0)
    return pl.DataFrame(
        {
            "query_id": pl.Series([names[row] for row in query], dtype=pl.String),
            "item_id": features.items.take(found[query, place]),
            "score": values[query, place],
            "rank": place + 1,
        }
    )
