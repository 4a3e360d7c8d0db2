"""New pictures, turned into vectors as those of features that are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from visrec.errors import FeaturesError
from visrec.features.extractor import Extractor
from visrec.features.extractors import Weights, create_extractor
from visrec.features.features import Features

if TYPE_CHECKING:
    from PIL import Image


def encode_images(
    features: Features, images: Sequence[str | Path | Image.Image], *, weights: Weights | None = None
) -> np.ndarray:
    """Vectors of any pictures, made and finished as those of `features`.

    Args:
        features: What `extract` gave.
        images: Files, or upright RGB pictures.
        weights: Where the weights are now, if not where they were.

    Returns:
        `(n, F)` or `(n, R, F)`, of the type of `features.values`.

    Raises:
        FeaturesError: the features were not extracted by a named extractor, or with other weights than these.
        ImageError: a picture cannot be decoded.
    """
    settings = features.provenance.get("settings")
    if not settings:
        raise FeaturesError(
            f"These features ({features.provenance.get('extractor')}) do not say how a new picture is treated. "
            f"Extract with one of `visrec extractors`."
        )
    given = settings["weights"] if weights is None else weights
    made = create_extractor(settings["extractor"], given, **settings["options"])
    if features.learnt:
        made.restore(features.learnt)
    found, expected = made.provenance()["weights_digest"], features.provenance["weights_digest"]
    if found != expected:
        raise FeaturesError(
            f"The weights of {settings['extractor']} are not those that the features were made with. Give them: "
            f"--weights FILE."
        )
    return finished(features, made, images)


def finished(features: Features, made: Extractor, images: Sequence[str | Path | Image.Image]) -> np.ndarray:
    """`encode_images` by an extractor that is there already."""
    from visrec.data.images import decode

    vectors = []
    for image in images:
        is_file = isinstance(image, str | Path)
        picture = decode(image, least_side=made.preparation.least_side) if is_file else image  # type: ignore[arg-type]
        vectors.append(made.submit(made.preparation(picture)[None]).result()[0])  # type: ignore[arg-type]
    raw = np.asarray(vectors, dtype=features.values.dtype).reshape(len(images), *made.shape)
    return features.finishing.apply(raw).astype(features.values.dtype)
