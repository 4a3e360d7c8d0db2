"""Drawn with lines: contours and linocuts."""

from __future__ import annotations

import cv2
import numpy as np

from visrec.data.datasets.synthetic.canvas import Canvas, Mask, cloud
from visrec.data.datasets.synthetic.compositions import Layout
from visrec.data.datasets.synthetic.motifs import draw_motif, placed
from visrec.data.datasets.synthetic.palettes import Colour, Palette, darker, lighter, mix
from visrec.data.datasets.synthetic.shapes import blob


def draw_contour(
    canvas: Canvas, rng: np.random.Generator, palette: Palette, motif: str, layout: Layout
) -> None:
    """A height map around the motif: fine level lines over two or three pools of colour."""
    paper = palette.ground
    canvas.fill(paper)
    colours = palette.against(paper, rng)
    for k, place in enumerate(layout.placements[:3]):
        pool = blob(
            place.x + rng.uniform(-0.08, 0.08),
            place.y + rng.uniform(-0.08, 0.08),
            1.25 * place.size + 0.03,
            rng,
            wobble=0.2,
        )
        canvas.polygon(pool, mix(colours[k % len(colours)], paper, 0.35))
    if layout.horizon is not None:
        band = mix(colours[1 % len(colours)], paper, 0.45)
        canvas.rectangle(0, layout.horizon, canvas.width, canvas.height, band)
    every = [placed(draw_motif(motif, rng), place) for place in layout.placements]
    inside = canvas.coverage([part.points for parts in every for part in parts])
    outside = (inside < 0.5).astype(np.uint8)
    steps = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_5)
    relief = cloud(rng, inside.shape, coarse=3, octaves=2)
    field = np.asarray(steps, dtype=np.float32) / np.float32(canvas.span)
    smoothed = cv2.GaussianBlur(field, (0, 0), 0.012 * canvas.span)
    height = np.asarray(smoothed, dtype=np.float32) + np.float32(0.022) * relief
    pitch = float(rng.choice([0.02, 0.026]))
    level = height / np.float32(pitch)
    slope_x = cv2.Sobel(level, cv2.CV_32F, 1, 0, scale=0.125)
    slope_y = cv2.Sobel(level, cv2.CV_32F, 0, 1, scale=0.125)
    slope = np.sqrt(slope_x**2 + slope_y**2) + np.float32(1e-4)
    to_line = np.abs(level - np.round(level)) / slope  # pixels to the nearest level line
    lines = np.clip(1.6 - to_line, 0, 1) * (inside < 0.5)
    strength = np.clip(1.1 - field / np.float32(0.5), 0.35, 0.9)
    canvas.blend((lines * strength).astype(np.float32), palette.ink)
    fills = [mix(c, paper, 0.1) for c in colours]
    for place, parts in zip(layout.placements, every, strict=True):
        stroke = min(0.005, 0.02 * place.size)
        for part in parts:
            canvas.polygon(part.points, fills[(part.tone + 1) % len(fills)])
        for part in parts:
            canvas.line(part.points, palette.ink, stroke, closed=True)


def draw_linocut(
    canvas: Canvas, rng: np.random.Generator, palette: Palette, motif: str, layout: Layout
) -> None:
    """A block print: the strokes of the gouge stream around the motif."""
    paper, ink = lighter(palette.lightest, 0.2), darker(palette.darkest, 0.15)
    positive = rng.random() < 0.4  # ink on paper; otherwise carved out of the ink
    ground = paper if positive else ink
    tints = [c for c in palette.against(ground, rng) if c not in (palette.ink, palette.ground)]
    tints = tints or [palette.accents[0]]
    canvas.fill(ground)
    every = [placed(draw_motif(motif, rng), place) for place in layout.placements]
    shape = canvas.coverage([part.points for parts in every for part in parts])
    blocked = cv2.dilate(shape, np.ones((5, 5), np.uint8), iterations=2)
    first = mix(ground, tints[0], 0.9)
    second = mix(ground, tints[1 % len(tints)], 0.8)
    _carve(canvas, rng, layout, np.asarray(blocked, dtype=np.float32), (first, second))
    main = ink if positive else paper
    tones = [main, tints[0], tints[1 % len(tints)], tints[2 % len(tints)]]
    for place, parts in zip(layout.placements, every, strict=True):
        stroke = min(0.004, 0.02 * place.size)
        for part in parts:
            canvas.polygon(part.points, tones[part.tone])
            canvas.shade(part.points, ground, (0.5, 1.0), 0.3)
            canvas.line(part.points, ground, stroke, closed=True)


def _carve(
    canvas: Canvas,
    rng: np.random.Generator,
    layout: Layout,
    blocked: Mask,
    colours: tuple[Colour, Colour],
) -> None:
    """Gouge marks around the motif, level below a horizon; one colour in the middle or the sky."""
    pitch = 0.021
    columns, rows = np.arange(0, canvas.width, pitch), np.arange(0, canvas.height, 0.8 * pitch)
    x, y = (axis.ravel() for axis in np.meshgrid(columns, rows))
    x = x + rng.normal(0, 0.004, x.shape)
    y = y + rng.normal(0, 0.003, y.shape)
    at = (np.stack([x, y], axis=1) * canvas.span).astype(int)
    at = np.clip(at, 0, np.array(blocked.shape)[::-1] - 1)
    free = blocked[at[:, 1], at[:, 0]] < 0.1
    x, y, at = x[free], y[free], at[free]
    flow = cloud(rng, blocked.shape, coarse=2, octaves=2)[at[:, 1], at[:, 0]]
    focus = layout.placements[0]
    radial = 0.0 if rng.random() < 0.5 else np.pi / 2  # rays, or rings
    angle = np.arctan2(y - focus.y, x - focus.x) + radial + 0.3 * flow
    inner = np.hypot(x - focus.x, y - focus.y) < 1.5 * focus.size + 0.02 * flow
    if layout.horizon is not None:
        angle = np.where(y > layout.horizon, 0.1 * flow, angle)
        inner = y < layout.horizon
    half = 0.5 * pitch * rng.uniform(0.7, 1.25, x.shape)
    along = np.stack([half * np.cos(angle), half * np.sin(angle)], axis=1)  # (N, 2)
    aside = 0.17 * along[:, ::-1] * (-1, 1)
    middle = np.stack([x, y], axis=1)
    marks = np.stack([middle - along, middle + aside, middle + along, middle - aside], axis=1)
    for chosen, colour in ((inner, colours[0]), (~inner, colours[1])):
        if chosen.any():
            canvas.tiles(marks[chosen], colour)
