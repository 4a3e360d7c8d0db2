"""Compass and ruler: Bauhaus, art deco, op art."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visrec.data.datasets.synthetic.canvas import Canvas, Mask
from visrec.data.datasets.synthetic.compositions import Layout
from visrec.data.datasets.synthetic.motifs import Part, Placement, draw_motif, placed
from visrec.data.datasets.synthetic.palettes import Colour, Palette, darker, mix
from visrec.data.datasets.synthetic.shapes import Points, arc, rectangle


def draw_bauhaus(
    canvas: Canvas, rng: np.random.Generator, palette: Palette, motif: str, layout: Layout
) -> None:
    """Discs, quarters, bars and rules in flat colour, the motif among them."""
    canvas.fill(palette.ground)
    if layout.cells != (1, 1):
        _bauhaus_tiles(canvas, rng, palette, motif, layout)
        return
    colours = palette.against(palette.ground, rng)
    short = canvas.short
    if layout.horizon is not None:
        canvas.rectangle(0, layout.horizon, canvas.width, canvas.height, colours[1])
    angle = float(rng.choice([0.25, 0.75])) * np.pi
    step = 0.5 * np.array([np.cos(angle), np.sin(angle)])
    for k in range(3):
        x, y = rng.uniform(0.0, 1.0) * canvas.width, (0.92 - 0.03 * k) * canvas.height
        rule = np.array([(x - step[0], y - step[1]), (x + step[0], y + step[1])])
        canvas.line(rule, palette.ink, 0.005)
    if layout.horizon is not None:
        _reflection(canvas, palette, layout.placements[0], layout.horizon, colours)
    for k in range(4):
        x, y = rng.uniform(0.1, 0.9) * canvas.width, rng.uniform(0.1, 0.9) * canvas.height
        place = Placement(float(x), float(y), float(short * rng.uniform(0.12, 0.24)))
        _primitive(canvas, rng, place, colours[k % len(colours)])
    for k, place in enumerate(layout.placements):
        backdrop = colours[k % 2] if k < 3 else palette.ground
        if k < 3:
            canvas.disc(place.x, place.y, 1.2 * place.size, backdrop)
        _flat(canvas, placed(draw_motif(motif, rng), place), palette.against(backdrop, rng))


def _reflection(
    canvas: Canvas, palette: Palette, place: Placement, horizon: float, colours: list[Colour]
) -> None:
    """A half disc mirrored in the water: bars that grow shorter and thinner."""
    radius = 0.62 * min(canvas.width, canvas.height - horizon)
    for k in range(8):
        at = (k + 0.15) / 8
        half = radius * float(np.sqrt(1 - at**2))
        thick = radius * (0.085 - 0.006 * k)
        bar = rectangle(place.x - half, horizon + at * radius, 2 * half, thick)
        canvas.polygon(bar, mix(colours[0], palette.ground, 0.1 * k))


def _bauhaus_tiles(
    canvas: Canvas, rng: np.random.Generator, palette: Palette, motif: str, layout: Layout
) -> None:
    """A wall of tiles; every other one shows the motif, the others a geometric figure."""
    n_columns = layout.cells[0]
    tile_width, tile_height = canvas.width / n_columns, canvas.height / layout.cells[1]
    for k, place in enumerate(layout.placements):
        ground = palette.colours[int(rng.choice([0, 0, 2, 3, 4, 5]))]
        left, top = place.x - tile_width / 2, place.y - tile_height / 2
        canvas.rectangle(left, top, tile_width, tile_height, ground)
        if (k // n_columns + k) % 2 == 0:
            _flat(canvas, placed(draw_motif(motif, rng), place), palette.against(ground, rng))
            continue
        one, other, *_ = palette.against(ground, rng)
        radius = min(tile_width, tile_height)
        corner = int(rng.integers(4))
        x, y = left + tile_width * (corner in (1, 2)), top + tile_height * (corner in (2, 3))
        if rng.random() < 0.3:
            canvas.disc(place.x, place.y, 0.42 * radius, one)
            canvas.polygon(_half_disc(place.x, place.y, 0.42 * radius, corner), other)
            continue
        start = corner * np.pi / 2
        for share, colour in ((0.95, one), (0.65, ground), (0.4, other)):
            sector = arc(x, y, share * radius, start, start + np.pi / 2)
            canvas.polygon(np.concatenate([sector, [(x, y)]]), colour)


def _half_disc(x: float, y: float, radius: float, quarter: int) -> Points:
    return arc(x, y, radius, quarter * np.pi / 2, quarter * np.pi / 2 + np.pi)


def _primitive(canvas: Canvas, rng: np.random.Generator, place: Placement, colour: Colour) -> None:
    """One figure of the Bauhaus alphabet."""
    x, y, size = place.x, place.y, place.size
    kind = int(rng.integers(5))
    if kind == 0:
        canvas.polygon(_half_disc(x, y, size, int(rng.integers(4))), colour)
    elif kind == 1:
        for k in range(4):
            canvas.ring(x, y, size * (1 - 0.22 * k), 0.008, colour)
    elif kind == 2:
        start = int(rng.integers(4)) * np.pi / 2
        quarter = arc(x, y, 1.4 * size, start, start + np.pi / 2)
        canvas.polygon(np.concatenate([quarter, [(x, y)]]), colour)
    elif kind == 3:
        for k in range(5):
            canvas.rectangle(x - size, y - size + 0.4 * k * size, 2 * size, 0.16 * size, colour)
    else:
        canvas.disc(x, y, size, colour)


def _flat(canvas: Canvas, parts: list[Part], colours: list[Colour]) -> None:
    for part in parts:
        canvas.polygon(part.points, colours[part.tone % len(colours)])


def draw_deco(canvas: Canvas, rng: np.random.Generator, palette: Palette, motif: str, layout: Layout) -> None:
    """Scallops of gilt fans behind, the motif in a medallion before them."""
    dark = rng.random() < 0.6
    ground = darker(palette.darkest, 0.1) if dark else palette.lightest
    gilt, *others = palette.against(ground, rng)
    canvas.fill(ground)
    sunburst = layout.horizon is not None or rng.random() < 0.35
    if sunburst:
        _sunburst(canvas, rng, layout, ground, gilt)
    else:
        _scallops(canvas, rng, ground, gilt, others[0])
    if layout.horizon is not None:
        canvas.rectangle(0, layout.horizon, canvas.width, canvas.height, mix(ground, gilt, 0.12))
        _pavement(canvas, layout, ground, gilt)
    for place in layout.placements:
        medallion = mix(ground, others[1 % len(others)], 0.25)
        if layout.horizon is None:
            for share, colour in ((1.34, gilt), (1.28, ground), (1.22, gilt), (1.18, medallion)):
                canvas.disc(place.x, place.y, share * place.size, colour)
        tones = [gilt, *palette.against(medallion, rng)]
        for part in placed(draw_motif(motif, rng), place):
            colour = tones[part.tone % len(tones)]
            canvas.polygon(part.points, colour)
            canvas.shade(part.points, darker(colour, 0.45), (0.3, 1.0), 0.5)
            canvas.line(part.points, ground, 0.004, closed=True)
    _stepped_border(canvas, gilt)


def _sunburst(canvas: Canvas, rng: np.random.Generator, layout: Layout, ground: Colour, gilt: Colour) -> None:
    """Rays from the horizon or from the motif, every other one shaded."""
    first = layout.placements[0]
    x = first.x if layout.horizon is not None else 0.5 * canvas.width
    y = layout.horizon if layout.horizon is not None else first.y
    n_rays = int(rng.choice([16, 20, 24]))
    for k in range(n_rays):
        angles = np.array([k, k + 0.5]) * 2 * np.pi / n_rays
        ends = np.stack([x + 1.6 * np.cos(angles), y + 1.6 * np.sin(angles)], axis=1)
        ray = np.concatenate([[(x, y)], ends])
        canvas.polygon(ray, mix(ground, gilt, 0.22))
        canvas.line(ray, mix(ground, gilt, 0.75), 0.003, closed=True)


def _pavement(canvas: Canvas, layout: Layout, ground: Colour, gilt: Colour) -> None:
    """A floor of inlaid slabs that meets the sky at the horizon."""
    horizon = layout.horizon or 0.0
    x = layout.placements[0].x
    depth = canvas.height - horizon
    for k in range(-9, 10):
        feet = [(x + (k + side) * 0.16, canvas.height + 0.05) for side in (0.0, 0.5)]
        tops = [(x + (k + side) * 0.03, horizon) for side in (0.5, 0.0)]
        canvas.polygon(np.array(feet + tops), mix(ground, gilt, 0.26))
    for k in range(9):
        y = horizon + depth * (k / 8) ** 1.9
        canvas.line(np.array([(0, y), (canvas.width, y)]), mix(ground, gilt, 0.85), 0.004)


def _scallops(canvas: Canvas, rng: np.random.Generator, ground: Colour, gilt: Colour, second: Colour) -> None:
    radius = canvas.short / float(rng.choice([4.0, 5.0, 6.0]))
    n_rows = int(np.ceil(canvas.height / (0.5 * radius))) + 2
    n_columns = int(np.ceil(canvas.width / (2 * radius))) + 2
    for row in range(n_rows):
        y = row * 0.5 * radius
        for column in range(n_columns):
            x = (2 * column - 0.5 + (row % 2)) * radius
            canvas.disc(x, y, radius, mix(ground, second, 0.18 if row % 2 else 0.32))
            for share in (0.97, 0.72, 0.47, 0.22):
                canvas.ring(x, y, share * radius, 0.005, mix(ground, gilt, 0.8))


def _stepped_border(canvas: Canvas, gilt: Colour) -> None:
    for inset, thickness in ((0.022, 0.008), (0.04, 0.003)):
        width, height = canvas.width - 2 * inset, canvas.height - 2 * inset
        step = 0.045
        left, top, right, bottom = inset, inset, inset + width, inset + height
        corners = [
            (left + step, top), (right - step, top), (right - step, top + step),
            (right, top + step), (right, bottom - step), (right - step, bottom - step),
            (right - step, bottom), (left + step, bottom), (left + step, bottom - step),
            (left, bottom - step), (left, top + step), (left + step, top + step),
        ]  # fmt: skip
        canvas.line(np.array(corners), gilt, thickness, closed=True)


def draw_op_art(
    canvas: Canvas, rng: np.random.Generator, palette: Palette, motif: str, layout: Layout
) -> None:
    """Even stripes or rings, bulging and shifting colour where the motif is."""
    ground = palette.lightest if rng.random() < 0.7 else palette.darkest
    colours = palette.against(ground, rng)
    across, down = canvas.axes()
    inside = np.zeros(canvas.pixels.shape[:2], dtype=np.float32)
    detail = inside.copy()
    for place in layout.placements:
        parts = placed(draw_motif(motif, rng), place)
        inside = np.maximum(inside, canvas.coverage([part.points for part in parts]))
        detail = np.maximum(detail, canvas.coverage([p.points for p in parts if p.tone in (1, 3)]))
    sigma = 0.012 * canvas.span
    relief = np.asarray(cv2.GaussianBlur(inside, (0, 0), sigma), dtype=np.float32)
    focus = layout.placements[0]
    kind = int(rng.integers(3)) if layout.horizon is None else 0
    if kind == 0:
        bend = 0.012 * np.sin(across * 2 * np.pi * float(rng.uniform(1, 2)) / canvas.width)
        phase = down + bend.astype(np.float32)
    elif kind == 1:
        turn = float(rng.choice([-1, 1])) * np.pi / 4
        phase = across * np.float32(np.cos(turn)) + down * np.float32(np.sin(turn))
    else:
        phase = canvas.from_point(focus.x, focus.y)
    pitch = float(rng.choice([0.034, 0.042, 0.05]))
    if layout.horizon is not None:
        # Stripes that widen towards the viewer make the lower part a floor.
        below = np.maximum(down - np.float32(layout.horizon), 0)
        phase = phase - below + below / (1 + np.float32(1.6) * below)
    bands = _stripes(phase / pitch + 0.5 * relief + np.zeros_like(relief), pitch * canvas.span)
    canvas.fill(ground)
    share = np.broadcast_to(down / canvas.height, relief.shape)[..., None]
    inks = np.asarray(colours, dtype=np.float32)
    outside = inks[0] + (inks[1 % len(inks)] - inks[0]) * share  # (H, W, 3)
    third, fourth = inks[2 % len(inks)], inks[3 % len(inks)]
    motif_paint = third + (fourth - third) * detail[..., None]
    canvas.blend(inside * np.float32(0.7), motif_paint)
    canvas.blend(bands, outside + (motif_paint - outside) * inside[..., None])


def _stripes(phase: NDArray[np.float32], pitch_in_pixels: float) -> Mask:
    """Coverage of a stripe pattern with edges one pixel soft; a stripe and a gap per phase of 1."""
    wave = np.abs((phase - np.floor(phase)) * np.float32(2) - np.float32(1))  # 1 at whole phases
    bands = (wave - np.float32(0.5)) * np.float32(pitch_in_pixels / 2) + np.float32(0.5)
    return np.asarray(np.clip(bands, 0, 1), dtype=np.float32)
