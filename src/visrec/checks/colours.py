"""Colour profiles: whether a picture's numbers mean other colours than those of the screen (sRGB)."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

_MOST_LEVELS = 8
"""Of 255: profiles that move no colour by more are taken for sRGB, which programs write in many ways."""


def profile_of(image: Image.Image) -> bytes:
    """The profile of a picture's colours where that makes a difference; else b""."""
    profile = image.info.get("icc_profile")
    known = isinstance(profile, bytes) and image.mode in ("RGB", "RGBA")
    return profile if known and isinstance(profile, bytes) and _moves_colours(profile) else b""


def on_screen(image: Image.Image, profile: bytes) -> Image.Image:
    """An RGB picture with the colours that a profile (see `profile_of`) means, as sRGB has them."""
    moved: Image.Image = _transform(profile).apply(image)
    return moved


@lru_cache(maxsize=64)
def _moves_colours(profile: bytes) -> bool:
    from PIL import Image

    steps = np.linspace(0, 255, 5).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(25, 5, 3)
    try:
        moved = np.asarray(_transform(profile).apply(Image.fromarray(cube)))
    except (OSError, ValueError, TypeError):  # of grey, of inks, or damaged: it says nothing of RGB
        return False
    return bool(np.abs(moved.astype(int) - cube).max() > _MOST_LEVELS)


@lru_cache(maxsize=8)
def _transform(profile: bytes) -> Any:
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    screen = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return ImageCms.ImageCmsTransform(source, screen, "RGB", "RGB")
