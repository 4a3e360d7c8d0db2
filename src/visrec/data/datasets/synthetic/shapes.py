"""Shapes as polygons: vertices `(n, 2)` as x (to the right) and y (down)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""Vertices `(n, 2)` as x, y."""


def moved(points: Points, x: float, y: float) -> Points:
    """The points, shifted."""
    return np.asarray(points + np.array((x, y)))


def rectangle(left: float, top: float, width: float, height: float) -> Points:
    """The corners of an upright rectangle `(4, 2)`."""
    right, bottom = left + width, top + height
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def arc(x: float, y: float, radius: float, start: float, stop: float, *, n_points: int = 40) -> Points:
    """Points on a circle from angle `start` to `stop` in radians, clockwise on the sheet."""
    angle = np.linspace(start, stop, n_points)
    return _points(x + radius * np.cos(angle), y + radius * np.sin(angle))


def smooth(points: Sequence[tuple[float, float]] | Points, *, per_edge: int = 8) -> Points:
    """A closed Catmull-Rom curve through the points, `(n * per_edge, 2)`."""
    knots = np.asarray(points, dtype=np.float64)
    around = np.concatenate([knots[-1:], knots, knots[:2]])
    t = _steps(per_edge)  # (1, T, 1)
    p0, p1, p2, p3 = (around[k : k + len(knots), None, :] for k in range(4))  # (n, 1, 2)
    curve = 0.5 * (
        2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )  # (n, T, 2)
    return curve.reshape(-1, 2)


def blob(x: float, y: float, radius: float, rng: np.random.Generator, *, wobble: float) -> Points:
    """A pebble: a closed smooth curve around a point; `wobble` is relative to the radius."""
    n_knots = 7
    angle = np.arange(n_knots) * (2 * np.pi / n_knots) + rng.uniform(0, 2 * np.pi)
    reach = radius * (1.0 + wobble * rng.uniform(-1, 1, n_knots))
    return smooth(np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle)], axis=1))


def leaf_blade(x: float, y: float, length: float, width: float, angle: float) -> Points:
    """A pointed leaf that starts at (x, y) and grows towards `angle` (radians)."""
    along, aside = _BLADE[0] * length, 0.5 * width * _BLADE[1]
    cos, sin = np.cos(angle), np.sin(angle)
    return _points(x + along * cos - aside * sin, y + along * sin + aside * cos)


def ribbon(points: Points, thickness: float) -> Points:
    """A curve as a polygon of the given thickness, tapering to its end."""
    step = np.empty_like(points)  # as np.gradient and np.linalg.norm have it, without what they ask first
    step[0], step[-1] = points[1] - points[0], points[-1] - points[-2]
    step[1:-1] = (points[2:] - points[:-2]) / 2
    normal = _points(-step[:, 1], step[:, 0])
    normal /= np.sqrt(normal[:, :1] ** 2 + normal[:, 1:] ** 2) + 1e-9
    half = 0.5 * thickness * np.linspace(1.0, 0.45, len(points))[:, None]
    return np.concatenate([points + normal * half, (points - normal * half)[::-1]])


def ellipse(x: float, y: float, a: float, b: float, turn: float = 0.0) -> Points:
    """An ellipse of half axes `a` and `b`, turned clockwise by `turn` radians."""
    u, v = a * _ROUND[0], b * _ROUND[1]
    cos, sin = np.cos(turn), np.sin(turn)
    return _points(x + u * cos - v * sin, y + u * sin + v * cos)


_ROUND = (
    np.cos(np.linspace(0, 2 * np.pi, 32, endpoint=False)),
    np.sin(np.linspace(0, 2 * np.pi, 32, endpoint=False)),
)
"""A circle of radius 1: x and y of its points."""


def _blade() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far along a leaf of length 1 its points lie, and how far aside, where it is 1 wide."""
    t = np.linspace(0.0, 1.0, 13)
    half = np.sin(np.pi * t**0.8)
    return np.concatenate([t, t[::-1]]), np.concatenate([half, -half[::-1]])


_BLADE = _blade()


@cache
def _steps(n: int) -> NDArray[np.float64]:
    return np.linspace(0.0, 1.0, n, endpoint=False)[None, :, None]


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> Points:
    """`np.stack` on the last axis, in a third of the time: there are thousands of small shapes in a picture."""
    points = np.empty((len(x), 2))
    points[:, 0], points[:, 1] = x, y
    return points
