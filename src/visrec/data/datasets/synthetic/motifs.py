"""What a picture shows: each motif as a few polygons, drawn in the square from -1 to 1, y down.

A motif knows its shapes and which of them share a tone, and nothing of colour: every style paints
the same shapes in its own way, so that motif and style are independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from visrec.data.datasets.synthetic.shapes import Points, arc, ellipse, leaf_blade, ribbon, smooth


@dataclass(frozen=True)
class Part:
    """One shape of a motif.

    Attributes:
        points: vertices `(n, 2)`.
        tone: 0 the main shape, 1 to 3 its details; parts of one tone share a colour.
    """

    points: Points
    tone: int


@dataclass(frozen=True)
class Placement:
    """Where a motif goes: its centre, half its size (both in units) and its turn in radians."""

    x: float
    y: float
    size: float
    turn: float = 0.0


def draw_motif(motif: str, rng: np.random.Generator) -> list[Part]:
    """The parts of a motif, back to front, with the variety of a hand-made thing."""
    return _MOTIFS[motif](rng)


def placed(parts: list[Part], at: Placement) -> list[Part]:
    """The parts moved to their place on the sheet."""
    cos, sin = np.cos(at.turn) * at.size, np.sin(at.turn) * at.size
    turn = np.array([[cos, sin], [-sin, cos]])
    return [Part(part.points @ turn + (at.x, at.y), part.tone) for part in parts]


def _sun(rng: np.random.Generator) -> list[Part]:
    n_rays = int(rng.choice([12, 16, 20]))
    alternate = rng.random() < 0.5
    parts = []
    for k in range(n_rays):
        angle = 2 * np.pi * k / n_rays
        reach = 0.98 if k % 2 == 0 or not alternate else 0.82
        half = 0.62 * np.pi / n_rays
        tip = (reach * np.cos(angle), reach * np.sin(angle))
        foot = [(0.62 * np.cos(angle + s), 0.62 * np.sin(angle + s)) for s in (-half, half)]
        parts.append(Part(np.array([foot[0], tip, foot[1]]), 1))
    parts.append(Part(ellipse(0, 0, 0.54, 0.54), 0))
    if rng.random() < 0.6:
        parts.append(Part(ellipse(0, 0, 0.34, 0.34), 2))
    return parts


def _moon(rng: np.random.Generator) -> list[Part]:
    gap = float(rng.uniform(0.7, 1.05))
    outer = arc(0, 0, 0.86, gap, 2 * np.pi - gap, n_points=44)
    shift, radius = 0.86 * np.cos(gap) + 0.42, float(np.hypot(0.42, 0.86 * np.sin(gap)))
    inner_gap = np.pi - np.arctan2(0.86 * np.sin(gap), 0.42)
    inner = arc(shift, 0, radius, 2 * np.pi - inner_gap, inner_gap, n_points=36)
    parts = [Part(np.concatenate([outer, inner]), 0)]
    for x, y, size in ((0.5, -0.28, 0.24), (0.72, 0.34, 0.15), (0.2, 0.36, 0.11)):
        angle = np.arange(8) * np.pi / 4
        reach = np.where(np.arange(8) % 2 == 0, size, 0.3 * size)
        star = np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle)], axis=1)
        parts.append(Part(star, 1))
    return parts


def _leaf(rng: np.random.Generator) -> list[Part]:
    t = np.linspace(0.0, 1.0, 24)
    bend = float(rng.uniform(-0.35, 0.35))
    stem = np.stack([bend * (t**2 - 0.4), 1.0 - 1.75 * t], axis=1)
    parts = []
    n_pairs = int(rng.integers(4, 7))
    for k in range(n_pairs):
        at = 0.18 + 0.72 * k / (n_pairs - 1)
        x, y = bend * (at**2 - 0.4), 1.0 - 1.75 * at
        length = 0.8 * np.sin(np.pi * (0.25 + 0.6 * at)) * (1.25 - 0.5 * at)
        for side in (-1, 1):
            angle = -np.pi / 2 + side * (1.05 - 0.35 * at)
            blade = leaf_blade(x, y, length, 0.34 * length + 0.05, angle)
            parts.append(Part(blade, 0 if (k + (side > 0)) % 2 == 0 else 2))
    tip_x, tip_y = stem[-1]
    parts.append(Part(leaf_blade(tip_x, tip_y + 0.12, 0.42, 0.2, -np.pi / 2 + 0.3 * bend), 0))
    parts.append(Part(ribbon(stem, 0.06), 1))
    return parts


def _flower(rng: np.random.Generator) -> list[Part]:
    parts = []
    upright = rng.random() < 0.6
    y, size = (-0.38, 0.58) if upright else (0.0, 0.95)
    if upright:
        t = np.linspace(0, 1, 12)
        stem = np.stack([0.14 * np.sin(np.pi * t), 1.0 - t * (1.0 - y)], axis=1)
        parts.append(Part(ribbon(stem, 0.08), 3))
        parts.append(Part(leaf_blade(0.1, 0.72, 0.62, 0.26, -0.6), 3))
        parts.append(Part(leaf_blade(0.13, 0.5, 0.62, 0.26, np.pi + 0.6), 3))
    n_petals = int(rng.choice([6, 8, 10, 12]))
    for layer, (reach, tone) in enumerate(((1.0, 0), (0.66, 2))):
        for k in range(n_petals):
            angle = 2 * np.pi * (k + 0.5 * layer) / n_petals
            length = reach * size
            parts.append(
                Part(
                    ellipse(
                        0.55 * length * np.cos(angle),
                        y + 0.55 * length * np.sin(angle),
                        0.45 * length,
                        1.05 * length / n_petals + 0.05 * size,
                        angle,
                    ),
                    tone,
                )
            )
    parts.append(Part(ellipse(0, y, 0.22 * size, 0.22 * size), 1))
    return parts


def _vase(rng: np.random.Generator) -> list[Part]:
    parts = []
    n_stems = int(rng.integers(3, 6))
    for k in range(n_stems):
        lean = (k - (n_stems - 1) / 2) / n_stems * 1.7 + rng.uniform(-0.1, 0.1)
        t = np.linspace(0, 1, 14)
        top = -0.98 + 0.22 * abs(lean) + rng.uniform(0, 0.15)
        stem = np.stack([0.03 * lean + 0.8 * lean * t**1.6, 0.02 + (top + 0.15) * t], axis=1)
        parts.append(Part(ribbon(stem, 0.045), 2))
        x, y = stem[-1]
        if k % 2 == 0:
            for j in (6, 9, 12):
                for side in (-1, 1):
                    angle = -np.pi / 2 + 0.6 * lean + side * 0.85
                    parts.append(Part(leaf_blade(stem[j, 0], stem[j, 1], 0.27, 0.13, angle), 2))
            parts.append(Part(leaf_blade(x, y + 0.04, 0.24, 0.12, -np.pi / 2 + 0.6 * lean), 2))
        else:
            parts.append(Part(ellipse(x, y, 0.15, 0.15), 3))
            parts.append(Part(ellipse(x, y, 0.065, 0.065), 1))
    belly, foot = float(rng.uniform(0.4, 0.58)), float(rng.uniform(0.2, 0.32))
    high = float(rng.uniform(0.38, 0.6))
    half = np.array([(0.17, 0.0), (0.13, 0.12), (belly, high), (foot + 0.06, 0.86), (foot, 1.0)])
    t = np.linspace(0, 1, 40)
    knots = np.array([0.0, 0.12, high, 0.86, 1.0])
    curve = np.stack([np.interp(t, knots, half[:, 0]), t], axis=1)
    curve[:, 0] = np.convolve(np.pad(curve[:, 0], 3, mode="edge"), np.full(7, 1 / 7), "valid")
    body = np.concatenate([curve, (curve * (-1, 1))[::-1]])
    parts.append(Part(body, 0))
    band = curve[(t > high - 0.09) & (t < high + 0.09)]
    parts.append(Part(np.concatenate([band, (band * (-1, 1))[::-1]]), 1))
    return parts


def _bird(rng: np.random.Generator) -> list[Part]:
    flip = -1.0 if rng.random() < 0.5 else 1.0
    tail = float(rng.uniform(-0.1, 0.25))
    body = smooth(
        [
            (0.82, -0.42),
            (0.62, -0.66),
            (0.36, -0.62),
            (0.12, -0.3),
            (-0.3, -0.08),
            (-0.98, 0.2 + tail),
            (-0.9, 0.36 + tail),
            (-0.42, 0.36),
            (0.05, 0.52),
            (0.5, 0.34),
            (0.74, -0.05),
        ]
    )
    wing = smooth([(0.3, -0.16), (0.02, -0.12), (-0.7, 0.22), (-0.3, 0.27), (0.14, 0.2)])
    beak = np.array([(0.76, -0.54), (1.08, -0.4), (0.78, -0.34)])
    legs = [ribbon(np.array([(x, 0.4), (x - 0.03, 0.65), (x - 0.02, 0.9)]), 0.05) for x in (0.02, 0.22)]
    parts = [Part(leg, 3) for leg in legs]
    parts += [Part(beak, 2), Part(body, 0), Part(wing, 1)]
    parts.append(Part(wing * 0.55 + (-0.06, 0.03), 2))
    parts.append(Part(ellipse(0.6, -0.44, 0.055, 0.055), 1))
    return [Part(part.points * (flip, 1.0), part.tone) for part in parts]


def _mountain(rng: np.random.Generator) -> list[Part]:
    parts = []
    base = 0.72
    peaks = [(-0.42, -0.15, 0.58, 2), (0.5, 0.0, 0.5, 2), (0.06, -0.78, 0.78, 0)]
    for middle, height, half, tone in peaks:
        x = middle + float(rng.uniform(-0.08, 0.08))
        top = height + float(rng.uniform(-0.1, 0.1))
        parts.append(Part(np.array([(x - half, base), (x, top), (x + half, base)]), tone))
        lower = top + 0.36 * (base - top)
        side = 0.36 * half
        zigzag = [(0.45, 0.11), (0.1, -0.06), (-0.25, 0.13), (-0.6, -0.03)]
        snow = [(x - side, lower), (x, top), (x + side, lower)]
        snow += [(x + u * side, lower + v) for u, v in zigzag]
        parts.append(Part(np.array(snow), 1))
        if tone == 0:
            parts.insert(-1, Part(np.array([(x, top), (x + half, base), (x + 0.1, base)]), 3))
    return parts


def _wave(rng: np.random.Generator) -> list[Part]:
    flip = -1.0 if rng.random() < 0.5 else 1.0
    crest = np.array(
        [
            (-1.05, 0.62),
            (-0.72, 0.3),
            (-0.42, -0.28),
            (0.0, -0.74),
            (0.5, -0.74),
            (0.82, -0.36),
            (0.72, -0.06),
            (0.6, -0.3),
            (0.34, -0.38),
            (0.1, -0.08),
            (0.16, 0.32),
            (0.52, 0.56),
            (1.05, 0.66),
            (1.05, 0.82),
            (-1.05, 0.82),
        ]
    )
    middle = crest.copy()
    middle[:12] = crest[:12] * (0.8, 0.8) + (-0.13, 0.14)
    parts = [Part(smooth(crest), 0), Part(smooth(middle[:13]), 2)]
    inner = crest[:12] * (0.55, 0.56) + (-0.28, 0.3)
    parts.append(Part(smooth(inner), 1))
    for x, y, r in ((0.92, -0.62, 0.07), (0.74, -0.86, 0.05), (1.0, -0.3, 0.045)):
        parts.append(Part(ellipse(x, y, r, r), 1))
    parts.append(Part(smooth([(-1.05, 0.86), (-0.3, 0.7), (0.4, 0.86), (1.05, 0.76), (1.05, 1.0),
                              (-1.05, 1.0)]), 3))  # fmt: skip
    return [Part(part.points * (flip, 1.0), part.tone) for part in parts]


def _arch(rng: np.random.Generator) -> list[Part]:
    n_bands = int(rng.integers(3, 5))
    opening = float(rng.uniform(0.18, 0.34))
    edges = np.linspace(0.92, opening, n_bands + 1)
    parts = []
    for k in range(n_bands):
        outer = _arch_path(edges[k] - 0.025 * (k > 0))
        inner = _arch_path(edges[k + 1])
        parts.append(Part(np.concatenate([outer, inner[::-1]]), (0, 1, 2, 3)[k]))
    if rng.random() < 0.5:
        parts.append(Part(ellipse(0, 0.1, 0.55 * opening, 0.55 * opening), 1))
    return parts


def _arch_path(radius: float) -> Points:
    """An arch's outline from its left foot over the top to its right foot."""
    top = arc(0, 0.05, radius, np.pi, 2 * np.pi, n_points=36)
    return np.concatenate([[(-radius, 0.95)], top, [(radius, 0.95)]])


def _boat(rng: np.random.Generator) -> list[Part]:
    flip = -1.0 if rng.random() < 0.5 else 1.0
    lean = float(rng.uniform(0.0, 0.12))
    mast = np.array([(-0.03, 0.5), (-0.03 + lean, -0.98), (0.03 + lean, -0.98), (0.03, 0.5)])
    main = smooth([(0.1 + lean, -0.92), (0.55, -0.3), (0.8, 0.32), (0.1, 0.34)], per_edge=6)
    jib = np.array([(-0.1 + lean, -0.72), (-0.1, 0.34), (-0.7, 0.34)])
    t = np.linspace(0, 1, 14)
    keel = np.stack([0.72 - 1.4 * t, 0.48 + 0.36 * np.sin(np.pi * t) ** 0.7], axis=1)
    hull = np.concatenate([[(-0.9, 0.46), (0.96, 0.46)], keel])
    parts = [Part(mast, 3), Part(main, 1), Part(jib, 2), Part(hull, 0)]
    swell = np.linspace(-1, 1, 25)
    line = np.stack([swell, 0.86 + 0.05 * np.sin(swell * 9)], axis=1)
    parts.append(Part(ribbon(line, 0.07), 3))
    return [Part(part.points * (flip, 1.0), part.tone) for part in parts]


_MOTIFS: dict[str, Callable[[np.random.Generator], list[Part]]] = {
    "sun": _sun,
    "moon": _moon,
    "leaf": _leaf,
    "flower": _flower,
    "vase": _vase,
    "bird": _bird,
    "mountain": _mountain,
    "wave": _wave,
    "arch": _arch,
    "boat": _boat,
}

MOTIFS: tuple[str, ...] = tuple(_MOTIFS)
"""In the order in which `Truth` codes them."""
