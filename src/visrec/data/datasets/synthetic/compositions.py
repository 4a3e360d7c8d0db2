"""How a picture is arranged: where its motif stands, how often and how large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visrec.data.datasets.synthetic.motifs import Placement

COMPOSITIONS: tuple[str, ...] = (
    "centred",
    "diagonal",
    "grid",
    "low horizon",
    "high horizon",
    "scattered",
    "framed",
)
"""In the order in which `Truth` codes them."""


@dataclass(frozen=True)
class Layout:
    """An arrangement on one sheet.

    Attributes:
        placements: where the motif goes, back to front; at least one.
        horizon: y of the horizon in units, or None for a picture without one.
        cells: the cells of a grid as (columns, rows); (1, 1) elsewhere.
    """

    placements: tuple[Placement, ...]
    horizon: float | None = None
    cells: tuple[int, int] = (1, 1)


def arrange(composition: str, width: float, height: float, rng: np.random.Generator) -> Layout:
    """The layout of a composition on a sheet of `width` x `height` units.

    A framed picture is a centred one: its frame is put around it once it is drawn.
    """
    short = min(width, height)
    if composition == "diagonal":
        return Layout(_diagonal(width, height, rng))
    if composition == "grid":
        return _grid(width, height, rng)
    if composition == "low horizon":
        return Layout(_in_a_row(width, 0.8 * height, 0.6 * height, rng), 0.78 * height)
    if composition == "high horizon":
        size = short * float(rng.uniform(0.17, 0.21))
        x = width * float(rng.choice([0.3, 0.5, 0.7]))
        return Layout((Placement(x, 0.36 * height - 0.8 * size, size),), 0.36 * height)
    if composition == "scattered":
        return Layout(_scattered(width, height, rng))
    size = short * float(rng.uniform(0.3, 0.37))
    return Layout((Placement(0.5 * width, 0.5 * height, size),))


def _diagonal(width: float, height: float, rng: np.random.Generator) -> tuple[Placement, ...]:
    short = min(width, height)
    n_places = int(rng.integers(3, 5))
    rising = rng.random() < 0.6
    places = []
    for k in range(n_places):
        t = (k + 0.5) / n_places
        x = width * (0.06 + 0.88 * t)
        y = height * (0.1 + 0.8 * ((1 - t) if rising else t))
        places.append(Placement(x, y, short * (0.13 + 0.09 * t), 0.3 if rising else -0.3))
    return tuple(places)


def _grid(width: float, height: float, rng: np.random.Generator) -> Layout:
    fewer = 2 if rng.random() < 0.65 else 3
    n_columns = fewer if width <= height else max(fewer, round(fewer * width / height))
    n_rows = fewer if height <= width else max(fewer, round(fewer * height / width))
    cell_width, cell_height = width / n_columns, height / n_rows
    size = 0.36 * min(cell_width, cell_height)
    places = tuple(
        Placement((column + 0.5) * cell_width, (row + 0.5) * cell_height, size)
        for row in range(n_rows)
        for column in range(n_columns)
    )
    return Layout(places, cells=(n_columns, n_rows))


def _in_a_row(width: float, foot: float, tallest: float, rng: np.random.Generator) -> tuple[Placement, ...]:
    """One or three motifs side by side that stand on the same line."""
    if rng.random() < 0.5 or width < 0.7:
        size = min(0.36 * width, 0.42 * tallest)
        x = width * float(rng.choice([0.38, 0.5, 0.62]))
        return (Placement(x, foot - 0.9 * size, size),)
    sizes = [min(0.16 * width, 0.5 * tallest) * s for s in rng.permutation([0.75, 1.0, 1.25])]
    return tuple(
        Placement(width * x, foot - 0.9 * size, size) for x, size in zip((0.2, 0.5, 0.8), sizes, strict=True)
    )


def _scattered(width: float, height: float, rng: np.random.Generator) -> tuple[Placement, ...]:
    """Motifs of many sizes that keep clear of each other, the largest first."""
    short = min(width, height)
    places: list[Placement] = []
    for size in short * np.array([0.2, 0.17, 0.14, 0.12, 0.11, 0.1, 0.09, 0.08, 0.07]):
        for _ in range(30):
            x = float(rng.uniform(0.9 * size, width - 0.9 * size))
            y = float(rng.uniform(0.9 * size, height - 0.9 * size))
            if all(np.hypot(x - p.x, y - p.y) > 1.08 * (size + p.size) for p in places):
                places.append(Placement(x, y, float(size), float(rng.uniform(-0.5, 0.5))))
                break
    return tuple(places)
