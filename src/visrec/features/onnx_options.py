"""What the user, the file's metadata and its input say of how a network in an ONNX file sees a picture."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from visrec.config import Config
from visrec.errors import ConfigError, FeaturesError
from visrec.features.onnx_file import Input
from visrec.features.pooling import Pool
from visrec.features.transform import IMAGENET_MEAN, IMAGENET_STD, Interpolation, Transform

log = logging.getLogger("visrec")

_SIDE, _KEPT = 224, 0.875  # where nothing is said: the crop, and its part of the resized shorter side


def _numbers(value: object) -> object:
    """Text as in a file's metadata or on a command line, "0.5, 0.5, 0.5", "[0.5, 0.5, 0.5]" or "224x224"."""
    if not isinstance(value, str):
        return value
    try:
        found = [json.loads(part) for part in re.split(r"[\s,x×]+", value.strip().strip("[]()"))]
    except ValueError:
        return value  # pydantic then says what was expected
    return found[0] if len(found) == 1 else found


def _three(value: object) -> object:
    """One number for all channels."""
    value = _numbers(value)
    return (value,) * 3 if isinstance(value, int | float) else value


_Pixels = Annotated[int, Field(ge=1, le=4096)]  # a picture of more would take gigabytes a piece
_Size = Annotated[_Pixels | tuple[_Pixels, _Pixels], BeforeValidator(_numbers)]
_Three = Annotated[tuple[float, float, float], BeforeValidator(_three)]


class OnnxOptions(Config):
    """Options of a network in an ONNX file.

    One that is not given is taken from the entry of the same name in the file's metadata (`metadata_props`; text,
    such as mean = "0.5, 0.5, 0.5"), and else as said below.
    """

    layer: str | None = None
    """The output that is taken, by its name; None: the only one, else the first that is one vector a picture."""
    pool: Pool | None = None
    """How a map or tokens become one vector; "regions" keeps them apart. None: "mean", where there is a map."""
    n_prefix: int | None = Field(default=None, ge=0)
    """Tokens before those of the patches; None: as few as leave a square of patches."""
    input_size: _Size | None = None
    """The picture that the network sees, in pixels: side, or (height, width); None: what the file fixes, or 224."""
    resize: _Size | None = None
    """Of the picture before the crop: its shorter side, the aspect ratio kept, or (height, width), the aspect ratio
    given up; None: so that the crop keeps 0.875 of the shorter side."""
    interpolation: Interpolation = "bilinear"
    """Filter of the resize."""
    scale: float = Field(default=255, gt=0)
    """What the values 0 to 255 are divided by first: 255 for a range of 0 to 1, 1 to leave them."""
    mean: _Three | None = None
    """Then subtracted, a number or one for each channel; None: that of ImageNet."""
    std: _Three | None = None
    """Then divided by, a number or one for each channel; None: that of ImageNet."""
    channels: Literal["rgb", "bgr"] = "rgb"
    """Order of the colours in the input, and in `mean` and `std`."""


def settled(path: Path, asked: OnnxOptions, metadata: Mapping[str, str], put: Input) -> OnnxOptions:
    """All options: as given, else as in the metadata, else by default."""
    given = asked.model_dump(exclude_unset=True, exclude_none=True)
    known = {key: text for key, text in metadata.items() if key in OnnxOptions.model_fields}
    try:
        OnnxOptions(**known)
    except ConfigError as error:
        raise FeaturesError(f"{path}: its metadata are not as expected: {error}") from None
    options = OnnxOptions(**{**known, **given})
    size = options.input_size
    high, wide = (size, size) if isinstance(size, int) else size or (put.height or _SIDE, put.width or _SIDE)
    if (put.height or high, put.width or wide) != (high, wide):
        raise ConfigError(
            f"{path}: takes pictures of {put.height or 'any'} x {put.width or 'any'} only; found input_size "
            f"{high} x {wide}. Leave it out."
        )
    if put.dtype is np.uint8:
        chosen = [key for key in ("mean", "std", "scale") if key in options.model_fields_set]
        if chosen:
            raise ConfigError(
                f"{path}: its input is uint8, the pixels as they are; {chosen[0]} has no place there. Leave it out."
            )
        return options.replace(input_size=(high, wide))
    assumed = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    assumed = {key: values for key, values in assumed.items() if getattr(options, key) is None}
    if assumed:
        scale = 255 / options.scale  # ImageNet's are for values from 0 to 1
        turn = 1 if options.channels == "rgb" else -1
        log.info(
            "%s does not say what %s its network expects: that of ImageNet is assumed. Say it if it is another: "
            "--set mean=… --set std=…",
            path.name,
            " and ".join(assumed),
        )
        more = {key: tuple(value * scale for value in values[::turn]) for key, values in assumed.items()}
        options = options.replace(**more)
    return options.replace(input_size=(high, wide))


def transform_of(options: OnnxOptions) -> Transform:
    """What is done to a picture; mean and std for values from 0 to 1, red, green, blue."""
    assert isinstance(options.input_size, tuple)
    high, wide = options.input_size
    resize, fit = options.resize, "stretch"
    if resize is None:
        resize = int(high / _KEPT)
        if high != wide:
            resize, fit = (int(high / _KEPT), int(wide / _KEPT)), "cover"
    values: dict[str, Any] = {}
    for key in ("mean", "std"):
        numbers = getattr(options, key)
        if numbers is not None:
            turned = numbers if options.channels == "rgb" else numbers[::-1]
            values[key] = tuple(number * options.scale / 255 for number in turned)
    return Transform(resize=resize, fit=fit, interpolation=options.interpolation, crop=(high, wide), **values)
