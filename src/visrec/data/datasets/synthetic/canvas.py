"""A sheet to draw on: flat shapes, soft shapes, shadows and print grain.

Lengths are in units of the sheet's longer side, x to the right and y down, so a drawing doesn't
know its size in pixels. The sheet is drawn larger than it will be saved (`SUPERSAMPLING`), and
edges are antialiased on top of that: shapes get the smooth edges of a print.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from visrec.data.datasets.synthetic.palettes import Colour
from visrec.data.datasets.synthetic.shapes import Points, moved, rectangle

Mask = NDArray[np.float32]
"""Coverage `(H, W)` in 0..1."""

SUPERSAMPLING = 2
_SHARES = np.arange(256, dtype=np.float32) / np.float32(255)
_SHIFT = 4  # OpenCV takes vertices as fixed-point integers with this many fractional bits


@dataclass(frozen=True)
class Canvas:
    """A sheet, or a rectangular part of one.

    Attributes:
        pixels: `(H, W, 3)` uint8, red first; drawing changes it in place.
        grain: `(H, W)` uint8, uniform noise that all grainy shading of the sheet shares.
    """

    pixels: NDArray[np.uint8]
    grain: NDArray[np.uint8]

    @classmethod
    def blank(cls, width: int, height: int, rng: np.random.Generator) -> Canvas:
        """A white sheet which will be `width` x `height` pixels once finished."""
        shape = (height * SUPERSAMPLING, width * SUPERSAMPLING)
        return cls(
            np.full((*shape, 3), 255, dtype=np.uint8),
            rng.integers(0, 256, shape, dtype=np.uint8),
        )

    @cached_property
    def span(self) -> int:
        """Pixels in a unit of length."""
        return int(max(self.pixels.shape[:2]))

    @cached_property
    def width(self) -> float:
        """Width in units, at most 1."""
        return float(self.pixels.shape[1] / self.span)

    @cached_property
    def height(self) -> float:
        """Height in units, at most 1."""
        return float(self.pixels.shape[0] / self.span)

    @property
    def short(self) -> float:
        """The shorter side in units."""
        return min(self.width, self.height)

    def part(self, left: float, top: float, width: float, height: float) -> Canvas:
        """The rectangle as a canvas of its own that shares these pixels."""
        y0, y1 = round(top * self.span), round((top + height) * self.span)
        x0, x1 = round(left * self.span), round((left + width) * self.span)
        return Canvas(self.pixels[y0:y1, x0:x1], self.grain[y0:y1, x0:x1])

    # ------------------------------------------------------------------ flat shapes

    def fill(self, colour: Colour) -> None:
        """Paint the whole sheet."""
        _flood(self.pixels, colour)

    def polygon(self, points: Points, colour: Colour) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.pixels, [self._fixed(points)], colour, cv2.LINE_AA, _SHIFT)

    def polygons(self, shapes: Sequence[Points], colour: Colour) -> None:
        """Fill several polygons by the even-odd rule: one inside another is a hole."""
        cv2.fillPoly(self.pixels, [self._fixed(s) for s in shapes], colour, cv2.LINE_AA, _SHIFT)

    def tiles(self, shapes: NDArray[np.float64], colour: Colour) -> None:
        """Fill many small polygons `(N, n, 2)` of one colour; where two overlap is a gap."""
        cv2.fillPoly(self.pixels, list(self._fixed(shapes)), colour, cv2.LINE_AA, _SHIFT)

    def rectangle(self, left: float, top: float, width: float, height: float, colour: Colour) -> None:
        """Fill an upright rectangle."""
        self.polygon(rectangle(left, top, width, height), colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Fill a disc."""
        cv2.circle(self.pixels, self._at(x, y), self._length(radius), colour, -1, cv2.LINE_AA, _SHIFT)

    def ring(self, x: float, y: float, radius: float, thickness: float, colour: Colour) -> None:
        """Stroke a circle; `thickness` in units."""
        stroke = self._stroke(thickness)
        cv2.circle(self.pixels, self._at(x, y), self._length(radius), colour, stroke, cv2.LINE_AA, _SHIFT)

    def line(self, points: Points, colour: Colour, thickness: float, *, closed: bool = False) -> None:
        """Stroke a polyline; `thickness` in units."""
        cv2.polylines(
            self.pixels,
            [self._fixed(points)],
            closed,
            colour,
            self._stroke(thickness),
            cv2.LINE_AA,
            _SHIFT,
        )

    # ------------------------------------------------------------------ soft shapes

    def coverage(self, shapes: Sequence[Points]) -> Mask:
        """How much of each pixel the shapes cover, `(H, W)` in 0..1; overlaps count once."""
        mask = np.zeros(self.pixels.shape[:2], dtype=np.uint8)
        for shape in shapes:
            cv2.fillPoly(mask, [self._fixed(shape)], 255, cv2.LINE_AA, _SHIFT)
        return np.asarray(cv2.LUT(mask, _SHARES), np.float32)

    def labels(self, shapes: Sequence[tuple[Points, int]]) -> NDArray[np.uint8]:
        """Which shape is on top at each pixel, `(H, W)`: its number, 0 where there is none."""
        labels = np.zeros(self.pixels.shape[:2], dtype=np.uint8)
        for points, number in shapes:
            cv2.fillPoly(labels, [self._fixed(points)], number, cv2.LINE_8, _SHIFT)
        return labels

    def blend(self, mask: Mask, paint: Colour | NDArray[np.float32], *, multiply: bool = False) -> None:
        """Lay paint over the sheet where `mask` says, opaque or (multiply) like a glaze of ink.

        Args:
            mask: opacity `(H, W)` in 0..1.
            paint: one colour, or a colour for each pixel `(H, W, 3)` in 0..255.
            multiply: as printing inks do, the paint only ever darkens.
        """
        x, y, w, h = cv2.boundingRect((mask > 0.002).view(np.uint8))
        if w == 0 or h == 0:
            return
        window = np.s_[y : y + h, x : x + w]
        old = self.pixels[window].astype(np.float32).reshape(h, 3 * w)
        new = np.asarray(paint, dtype=np.float32)
        new = np.tile(new, w) if new.ndim == 1 else new[window].reshape(h, 3 * w)
        change = old * (new / np.float32(255)) if multiply else new - old
        if multiply:
            change -= old
        change *= _thrice(mask[window])
        change += old
        cv2.convertScaleAbs(change.reshape(h, w, 3), self.pixels[window])  # rounds, and stays within 0..255

    def gradient(self, top: Colour, bottom: Colour, *, ease: float = 1.0) -> None:
        """Fill the sheet from one colour above to another below; `ease` > 1 lingers on top."""
        n_rows = self.pixels.shape[0]
        share = np.linspace(0.0, 1.0, n_rows, dtype=np.float32)[:, None] ** np.float32(ease)
        first, last = np.asarray(top, np.float32), np.asarray(bottom, np.float32)
        rows = first + (last - first) * share  # (H, 3)
        dither = _thrice(self.grain.astype(np.float32) * np.float32(1 / 255) - np.float32(0.5))
        dither += np.tile(rows, self.pixels.shape[1])  # (H, 3 W)
        self.pixels[:] = cv2.convertScaleAbs(dither.reshape(self.pixels.shape))

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """A soft round light around a point."""
        mask = np.exp(-((self.from_point(x, y) / np.float32(radius)) ** 2)) * np.float32(strength)
        self.blend(mask.astype(np.float32), colour)

    def shade(self, shape: Points, colour: Colour, direction: tuple[float, float], strength: float) -> None:
        """Stipple `colour` into a shape, denser along `direction`: the grain of an old print.

        Args:
            shape: the polygon to stay inside of.
            colour: of the dots.
            direction: where the dots gather, as (x, y).
            strength: the share of dots at the far end, 0..1.
        """
        n_rows, n_columns = self.pixels.shape[:2]
        fixed = self._fixed(shape)
        left, top, width, height = cv2.boundingRect(fixed >> _SHIFT)
        right, bottom = min(left + width + 1, n_columns), min(top + height + 1, n_rows)
        left, top = max(left, 0), max(top, 0)
        if right - left < 3 or bottom - top < 3:
            return
        mask = np.zeros((bottom - top, right - left), dtype=np.uint8)
        corner = (-left, -top)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_8, _SHIFT, tuple(c << _SHIFT for c in corner))
        reach = 2 * (abs(direction[0]) + abs(direction[1]))
        across = _ramp(mask.shape[1], direction[0] / reach)
        down = _ramp(mask.shape[0], direction[1] / reach)
        density = across[None, :] + (down[:, None] + np.float32(0.5))
        density *= density
        density *= np.float32(255 * strength)
        window = np.s_[top:bottom, left:right]
        mask *= density > self.grain[window]
        paint = np.empty((*mask.shape, 3), dtype=np.uint8)
        _flood(paint, colour)
        cv2.copyTo(paint, mask, self.pixels[window])

    def shadow(self, shapes: Sequence[Points], *, offset: float, blur: float, strength: float) -> None:
        """Darken where paper cut to these shapes would cast its shadow, down and to the right."""
        mask = self.coverage([moved(shape, 0.6 * offset, offset) for shape in shapes])
        sigma = max(blur * self.span, 0.8)
        pad = int(3 * sigma)
        left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
        window = np.s_[max(0, top - pad) : top + height + pad, max(0, left - pad) : left + width + pad]
        if mask[window].size:
            mask[window] = cv2.GaussianBlur(mask[window], (0, 0), sigma) * strength
            self.blend(mask, (24.0, 20.0, 30.0))

    def from_point(self, x: float, y: float) -> NDArray[np.float32]:
        """Distance of each pixel from a point, in units, `(H, W)`."""
        across, down = self.axes()
        return np.sqrt((across - np.float32(x)) ** 2 + (down - np.float32(y)) ** 2)

    def axes(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """x `(1, W)` and y `(H, 1)` of the pixels' centres, in units."""
        n_rows, n_columns = self.pixels.shape[:2]
        across = (np.arange(n_columns, dtype=np.float32) + np.float32(0.5)) / np.float32(self.span)
        down = (np.arange(n_rows, dtype=np.float32) + np.float32(0.5)) / np.float32(self.span)
        return across[None, :], down[:, None]

    # ------------------------------------------------------------------ to pixels

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        scaled = points * self.span
        scaled -= 0.5
        scaled *= 1 << _SHIFT
        return np.rint(scaled, out=scaled).astype(np.int32)

    def _at(self, x: float, y: float) -> tuple[int, int]:
        factor = 1 << _SHIFT
        return round((x * self.span - 0.5) * factor), round((y * self.span - 0.5) * factor)

    def _length(self, length: float) -> int:
        return max(1, round(length * self.span * (1 << _SHIFT)))

    def _stroke(self, thickness: float) -> int:
        return max(1, round(thickness * self.span))


def cloud(
    rng: np.random.Generator, shape: tuple[int, int], *, coarse: int, octaves: int = 3
) -> NDArray[np.float32]:
    """Smooth noise `(H, W)` of about mean 0 and deviation 1.

    Args:
        rng: draws it.
        shape: (H, W).
        coarse: bumps across the longer side in the coarsest octave.
        octaves: each doubles the bumps and halves their height.
    """
    half = (shape[0] // 2 + 1, shape[1] // 2 + 1)  # nothing in it is as fine as a pixel
    total = np.zeros(half, dtype=np.float32)
    longer = max(shape)
    for octave in range(octaves):
        n_bumps = coarse * 2**octave
        small = (max(2, shape[0] * n_bumps // longer) + 1, max(2, shape[1] * n_bumps // longer) + 1)
        noise = rng.standard_normal(small, dtype=np.float32)
        grown = cv2.resize(noise, (half[1], half[0]), interpolation=cv2.INTER_CUBIC)
        total += np.asarray(grown, dtype=np.float32) * np.float32(0.5**octave)
    full = cv2.resize(total, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full, dtype=np.float32)


def _thrice(one: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(H, W)` as `(H, 3 W)`: each number once a channel. NumPy takes several times as long for short last axes."""
    return np.asarray(cv2.merge([one, one, one]), np.float32).reshape(len(one), -1)


def _flood(pixels: NDArray[np.uint8], colour: Colour) -> None:
    """Paint all of `(H, W, 3)`; OpenCV is many times faster at it than a broadcast."""
    cv2.rectangle(pixels, (0, 0), (pixels.shape[1], pixels.shape[0]), colour, -1)


def _ramp(n: int, height: float) -> NDArray[np.float32]:
    """`n` numbers from -height to height."""
    steps = np.arange(n, dtype=np.float32)
    steps *= np.float32(2 * height / (n - 1))
    steps -= np.float32(height)
    return steps
