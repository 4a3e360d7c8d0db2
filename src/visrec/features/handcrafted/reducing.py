"""What several families begin with: the pixels of a picture, reduced."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


def reduced(image: Image.Image, side: int) -> np.ndarray:
    """An RGB picture as `(H, W, 3)` uint8, its longer side at most `side` pixels; never enlarged."""
    import cv2
    import numpy as np

    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def squeezed(image: Image.Image, side: int) -> np.ndarray:
    """An RGB picture as `(side, side, 3)` uint8, whatever its shape."""
    import cv2
    import numpy as np

    return np.asarray(cv2.resize(np.asarray(image), (side, side), interpolation=cv2.INTER_AREA))


def grey(pixels: np.ndarray) -> np.ndarray:
    """Luma of `(H, W, 3)` uint8: `(H, W)` uint8, 0.299 R + 0.587 G + 0.114 B."""
    import cv2
    import numpy as np

    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
