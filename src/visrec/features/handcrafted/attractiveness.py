"""Attractiveness: seven numbers that a person can read off a photo (San Pedro & Siersdorfer 2009)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visrec.features.extractor import Handcrafted, Preparation
from visrec.features.handcrafted.reducing import reduced

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_SIDE = 256
_LUMA = (299, 587, 114)  # thousandths of red, green and blue
# Hues in degrees, mean and spread of the saturation at which people find the group natural (Huang et al.).
_NATURAL = ((25, 70, 0.76, 0.52), (95, 135, 0.81, 0.53), (185, 260, 0.43, 0.22))  # skin, grass, sky


class AttractivenessMeasures(Preparation):
    """The picture's measures; see `Attractiveness`."""

    @property
    def least_side(self) -> int:
        return 2 * _SIDE

    def __call__(self, image: Image.Image) -> np.ndarray:
        """The vector `(7,)` float32 of an RGB picture, in the order of `Attractiveness.columns`."""
        import cv2
        import numpy as np

        levels = reduced(image, _SIDE).astype(np.float32)  # (H, W, 3)
        rgb = levels / np.float32(255)
        red, green, blue = cv2.split(rgb)
        thousandths = np.asarray(
            cv2.transform(levels, np.array([_LUMA], dtype=np.float32))
        )  # of a level, exactly
        luma = thousandths / np.float32(255_000)
        spread = cv2.max(cv2.max(red, green), blue) - cv2.min(cv2.min(red, green), blue)
        contrast = np.linalg.norm([_deviation(channel) for channel in (red, green, blue)])
        values = (
            _mean(luma),
            _mean(spread),
            _sharpness(luma),
            _entropy(thousandths),
            contrast,
            255 * _colorfulness(red, green, blue),
            _naturalness(rgb),
        )
        return np.array(values, dtype=np.float32)


class Attractiveness(Handcrafted):
    """Seven measures of how a photo looks; each column can be read, and explained to a person.

    Those of San Pedro & Siersdorfer, "Ranking and classifying attractiveness of photos in folksonomies", WWW
    2009; for paintings: Messina, Dominguez, Parra, Trattner & Soto, "Content-based artwork recommendation:
    integrating painting metadata with neural and manually-engineered visual features", UMUAI 29, 2019. With R,
    G, B in 0 … 1 and the luma Y = 0.299 R + 0.587 G + 0.114 B, means over the pixels:

    - brightness: mean Y. 0 (black) … 1 (white).
    - saturation: mean of max(R, G, B) - min(R, G, B). 0 (grey) … 1 (pure colours).
    - sharpness: mean of |Laplacian of Y| / (mean Y of the 3 x 3 pixels around). 0 (plain) … about 1 (fine,
      hard texture); 36 at most. The paper sums the signed ratio, over which positive and negative sides of an
      edge cancel, and which grows with the number of pixels; hence the magnitude, and the mean.
    - entropy: of the histogram of Y in 256 grey levels, in bits. 0 (plain) … 8.
    - rgb_contrast: root of the mean squared distance of (R, G, B) from the mean colour. 0 (plain) … 0.87
      (half black, half white).
    - colorfulness: sqrt(σ_rg² + σ_yb²) + 0.3 sqrt(μ_rg² + μ_yb²) of rg = R - G and yb = (R + G)/2 - B, in 0 … 255
      (Hasler & Suesstrunk, "Measuring colourfulness in natural images", SPIE 5007, 2003). 0: none, 15 slight,
      33 moderate, 45 average, 59 quite, 82 high, 109 extreme, as their observers put it.
    - naturalness: Σ_i n_i N_i / Σ_i n_i of the pixels that have the hue of skin (25 … 70 degrees), grass
      (95 … 135) and sky (185 … 260), with N_i = exp(-((mean saturation - m_i) / s_i)² / 2), in HSL and of pixels
      with lightness in 0.2 … 0.8 and saturation above 0.1 (Huang, Wang & Wu, "Natural color image enhancement
      and evaluation algorithm based on human visual system", CVIU 103(1), 2006). 0: no such pixel, or colours
      as none are in nature … 1. One pixel of sky on white counts as much as a picture full of it.

    The picture is reduced first until its longer side has 256 pixels, so that a scan and its thumbnail agree.
    A smaller one is left as it is; its sharpness and entropy are then those of fewer pixels.
    """

    name = "attractiveness"
    paper = "San Pedro & Siersdorfer 2009"
    Config = AttractivenessMeasures
    method = f"longer side at most {_SIDE} (area), measures of San Pedro & Siersdorfer 2009 v1"
    columns = (
        "brightness",
        "saturation",
        "sharpness",
        "entropy",
        "rgb_contrast",
        "colorfulness",
        "naturalness",
    )
    shape = (len(columns),)


def _mean(values: np.ndarray) -> float:
    """The mean of `values (H, W)`, summed in float64."""
    import cv2

    return float(cv2.mean(values)[0])


def _deviation(values: np.ndarray) -> float:
    """The standard deviation of `values (H, W)`, summed in float64."""
    import cv2
    import numpy as np

    return float(cv2.norm(values - np.float32(_mean(values))) / np.sqrt(values.size))


def _sharpness(luma: np.ndarray) -> float:
    """Mean of |Laplacian| / local mean of `luma (H, W)`; the border is repeated outwards."""
    import cv2
    import numpy as np

    neighbours = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=np.float32)
    laplacian = cv2.filter2D(luma, cv2.CV_32F, neighbours, borderType=cv2.BORDER_REPLICATE)
    local = cv2.blur(luma, (3, 3), borderType=cv2.BORDER_REPLICATE)
    # Where all nine are black, both are 0. No nine others have a mean below this.
    return _mean(np.abs(laplacian) / np.maximum(local, np.float32(1e-6)))


def _entropy(thousandths: np.ndarray) -> float:
    """Shannon's entropy of grey levels `(H, W)` in thousandths, in bits."""
    import numpy as np

    levels = ((thousandths + 500) / 1000).astype(np.int64)
    share = np.bincount(levels.reshape(-1), minlength=256) / levels.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum()) + 0.0  # not -0.0


def _colorfulness(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> float:
    """Hasler & Suesstrunk's measure, in the units of its channels."""
    import numpy as np

    rg, yb = red - green, (red + green) / np.float32(2) - blue
    return float(np.hypot(_deviation(rg), _deviation(yb)) + 0.3 * np.hypot(_mean(rg), _mean(yb)))


def _naturalness(rgb: np.ndarray) -> float:
    """Huang et al.'s measure of `rgb (H, W, 3)` float32 in 0 … 1; 0 where no pixel has a natural hue."""
    import cv2
    import numpy as np

    hue, lightness, saturation = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2HLS))  # degrees, 0-1, 0-1
    counted = (lightness >= np.float32(0.2)) & (lightness <= np.float32(0.8)) & (saturation > np.float32(0.1))
    hue, saturation = hue[counted], saturation[counted]
    n, total = 0, 0.0
    for low, high, mean, spread in _NATURAL:
        group = saturation[(hue >= low) & (hue <= high)]
        if len(group):
            n += len(group)
            total += len(group) * float(np.exp(-0.5 * ((group.mean(dtype=np.float64) - mean) / spread) ** 2))
    return total / n if n else 0.0
