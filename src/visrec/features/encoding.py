"""New pictures, turned into vectors as those of features that are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from visrec.config import Config
from visrec.errors import ConfigError, FeaturesError, ImageError
from visrec.features.extractor import Extractor
from visrec.features.extractors import ONNX, Weights, create_extractor, split_name, with_files
from visrec.features.features import Features

if TYPE_CHECKING:
    from PIL import Image


class _Settings(Config):
    """How an extractor was made, as the provenance has it."""

    extractor: str
    weights: str | dict[str, str] = "default"
    options: dict[str, Any] = Field(default_factory=dict)


def encode_images(
    features: Features, images: Sequence[str | Path | Image.Image], *, weights: Weights | None = None
) -> np.ndarray:
    """Vectors of any pictures, made and finished as those of `features`.

    Args:
        features: What `extract` gave.
        images: Files, or upright pictures.
        weights: Where the weights are now, if not where they were; also a network in an ONNX file (as part
            of a combination: under its old name).

    Returns:
        `(n, F)` or `(n, R, F)`, of the type of `features.values`.

    Raises:
        FeaturesError: the features were not extracted by a named extractor, or with other weights than these.
        ImageError: a picture cannot be decoded.
    """
    return finish(features, encode_raw(features, images, weights=weights))


def encode_raw(
    features: Features, images: Sequence[str | Path | Image.Image], *, weights: Weights | None = None
) -> np.ndarray:
    """`encode_images` before the vectors are finished: as the extractor gives them."""
    return encode_with(extractor_of(features, weights), images).astype(features.values.dtype)


def finish(features: Features, raw: np.ndarray) -> np.ndarray:
    """Raw vectors finished as those of `features`, of the type of `features.values`."""
    return features.finishing.apply(raw).astype(features.values.dtype)


def encode_with(made: Extractor, images: Sequence[str | Path | Image.Image]) -> np.ndarray:
    """Raw vectors `(n, *shape)` float32; while a batch is encoded, the next one is prepared."""
    found, waiting = [], None
    for start in range(0, len(images), made.batch_size):
        batch = [_prepared(made, image) for image in images[start : start + made.batch_size]]
        before, waiting = waiting, made.submit(np.stack(batch))
        if before is not None:
            found.append(before.result())
    if waiting is not None:
        found.append(waiting.result())
    return np.concatenate([np.zeros((0, *made.shape), dtype=np.float32), *found])


def extractor_of(features: Features, weights: Weights | None = None) -> Extractor:
    """The extractor that made features, as it was then; errors as in `encode_images`."""
    about = features.provenance
    if not about.get("settings"):
        raise FeaturesError(
            f"These features ({about.get('extractor')}) do not say how a new picture is treated. "
            f"Extract with one of `visrec extractors`."
        )
    try:
        settings = _Settings(**about["settings"])
        name, given = with_files(settings.extractor, settings.weights if weights is None else weights)
        if given == {}:  # all that was given were ONNX files
            given = settings.weights
        _check_files(name)
        made = create_extractor(name, given, **settings.options)
        if features.learnt:
            made.restore(features.learnt)
    except (ConfigError, TypeError, KeyError, ValueError) as error:
        if weights is not None and isinstance(error, ConfigError):
            raise  # perhaps of the weights that were given
        raise FeaturesError(
            f"These features ({about.get('extractor')}) do not say rightly how a new picture is treated: {error} "
            f"Extract them again."
        ) from error
    if made.provenance()["weights_digest"] != about.get("weights_digest"):
        raise FeaturesError(
            f"The weights of {name} are not those that the features were made with. Give them: --weights FILE."
        )
    fitted = (features.finishing.mean, features.finishing.center)
    dim = next((len(one) for one in fitted if one is not None), features.dim)
    if made.shape != (*features.values.shape[1:-1], dim):
        raise FeaturesError(
            f"{name} gives {made.shape} a picture, and these features were made of {dim} numbers. Extract them again."
        )
    return made


def _check_files(name: str) -> None:
    """Say where a missing ONNX file can be told."""
    for part in split_name(name):
        path = Path(part.removeprefix(ONNX))
        if part.startswith(ONNX) and not path.is_file():
            raise FeaturesError(
                f"{path}: no such file; the features were made with it. If it is elsewhere now, say where: "
                f"--weights FILE."
            )


def _prepared(made: Extractor, image: str | Path | Image.Image) -> np.ndarray:
    from visrec.data.images import decode

    if isinstance(image, str | Path):
        return made.preparation(decode(image, least_side=made.preparation.least_side))
    return made.preparation(_rgb(image))


def _rgb(image: Image.Image) -> Image.Image:
    """RGB of a picture of any mode, transparency on white, as of a file."""
    from visrec.data.images import to_rgb

    if image.mode == "RGB":
        return image
    if image.mode.startswith(("I", "F")):  # Pillow would cut off what is above 255
        raise ImageError(
            f"The picture is of mode {image.mode}; expected 8 bits a channel. Convert it to RGB."
        )
    return to_rgb(image)
