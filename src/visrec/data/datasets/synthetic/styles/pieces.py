"""Put together of pieces: stained glass, mosaic."""

from __future__ import annotations

import cv2
import numpy as np

from visrec.data.datasets.synthetic.canvas import Canvas
from visrec.data.datasets.synthetic.compositions import Layout
from visrec.data.datasets.synthetic.motifs import draw_motif, placed
from visrec.data.datasets.synthetic.palettes import Colour, Palette, darker, lighter, mix
from visrec.data.datasets.synthetic.shapes import Points


def draw_stained_glass(
    canvas: Canvas, rng: np.random.Generator, palette: Palette, motif: str, layout: Layout
) -> None:
    """Panes of glowing glass between leads; the motif is glass of its own."""
    lead = darker(palette.darkest, 0.55)
    backdrops = [mix(c, palette.lightest, 0.12) for c in palette.accents[:3]]
    n_pieces = int(rng.integers(45, 80))
    points = rng.random((n_pieces, 2)) * (canvas.width, canvas.height)
    facets = _voronoi(points, canvas)
    canvas.fill(lead)
    for y, facet in zip(points[:, 1], facets, strict=True):
        below = layout.horizon is not None and y > layout.horizon
        height = float(y) / canvas.height
        pick = 2 if below else int(height * 1.99 if rng.random() < 0.75 else rng.integers(3))
        colour = _glass(backdrops[pick % 3], rng)
        canvas.polygon(facet, colour)
        canvas.shade(facet, lighter(colour, 0.5), (-0.7, -0.7), 0.4)
    for facet in facets:
        canvas.line(facet, lead, 0.009, closed=True)
    if layout.horizon is not None:
        y = layout.horizon
        canvas.line(np.array([(0, y), (canvas.width, y)]), lead, 0.014)
    halo = mix(palette.lightest, palette.accents[3], 0.25)
    tones = palette.against(halo if layout.horizon is None else backdrops[0], rng)
    for place in layout.placements:
        if layout.horizon is None and place.size > 0.1:
            canvas.disc(place.x, place.y, 1.3 * place.size, halo)
            for k in range(12):
                angle = np.pi * k / 6
                rim = np.array([np.cos(angle), np.sin(angle)])
                spoke = np.stack([rim * 0.2, rim * 1.3]) * place.size + (place.x, place.y)
                canvas.line(spoke, lead, 0.006)
            canvas.ring(place.x, place.y, 1.3 * place.size, 0.011, lead)
        thickness = min(0.009, 0.028 * place.size)
        for part in placed(draw_motif(motif, rng), place):
            colour = _glass(tones[part.tone % len(tones)], rng)
            canvas.polygon(part.points, colour)
            canvas.shade(part.points, lighter(colour, 0.5), (-0.7, -0.7), 0.5)
            canvas.line(part.points, lead, thickness, closed=True)


def _glass(colour: Colour, rng: np.random.Generator) -> Colour:
    """No two panes are alike."""
    shade = float(rng.normal(0, 0.13))
    return lighter(colour, shade) if shade > 0 else darker(colour, -shade)


def _voronoi(points: Points, canvas: Canvas) -> list[Points]:
    """The cells of the points, each a polygon, after a step that evens out their sizes.

    Changes `points` to the cells' sites, in the order of the cells.
    """
    fine = 4096.0  # the plane of OpenCV has integer bounds
    bounds = [round(b * fine) for b in (-1.0, -1.0, canvas.width + 2.0, canvas.height + 2.0)]
    facets: list[Points] = []
    for step in range(2):
        if step:
            means = np.array([facet.mean(0) for facet in facets])
            points[:] = 0.5 * (points + np.clip(means, 0, (canvas.width, canvas.height)))
        plane = cv2.Subdiv2D((bounds[0], bounds[1], bounds[2], bounds[3]))
        for x, y in points:
            plane.insert((float(x) * fine, float(y) * fine))
        found, sites = plane.getVoronoiFacetList([])
        facets = [np.asarray(facet, dtype=np.float64) / fine for facet in found]
        points[:] = np.asarray(sites, dtype=np.float64) / fine
    return facets


def draw_mosaic(
    canvas: Canvas, rng: np.random.Generator, palette: Palette, motif: str, layout: Layout
) -> None:
    """Small stones set by hand in mortar, the ground in bands around the motif."""
    backdrop = palette.ground if rng.random() < 0.5 else palette.accents[0]
    tones = palette.against(backdrop, rng)
    shapes = [
        (part.points, part.tone + 1)
        for place in layout.placements
        for part in placed(draw_motif(motif, rng), place)
    ]
    labels = canvas.labels(shapes)
    pitch = 1 / float(rng.choice([54, 60, 66]))
    centres = _courses(canvas, rng, pitch)  # (N, 2)
    limit = np.array(labels.shape)[::-1] - 1
    at = np.clip((centres * canvas.span).astype(int), 0, limit)
    focus = layout.placements[0]
    away = np.hypot(centres[:, 0] - focus.x, centres[:, 1] - focus.y)
    band = (away / (0.3 * focus.size + 0.06)).astype(int) % 2
    if layout.horizon is not None:
        ripple = centres[:, 1] + 0.012 * np.sin(18 * centres[:, 0]) - layout.horizon
        band = np.where(centres[:, 1] > layout.horizon, 2 + (ripple / 0.055).astype(int) % 2, band)
    last = tones[-1]
    grounds = [
        backdrop,
        mix(backdrop, last, 0.17),
        mix(backdrop, tones[1 % len(tones)], 0.45),
        mix(backdrop, tones[1 % len(tones)], 0.62),
    ]
    tone = labels[at[:, 1], at[:, 0]].astype(int)
    kind = np.where(tone == 0, band, 3 + tone)  # (N,) 0 to 3 ground, 4 to 7 motif
    canvas.fill(mix(palette.lightest, palette.darkest, 0.14))
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=np.float64)
    cut = 1 + rng.normal(0, 0.07, (len(centres), 4, 2))
    stones = centres[:, None, :] + corners * cut * 0.43 * pitch  # (N, 4, 2)
    shade = rng.integers(0, 5, len(centres))
    colours = grounds + [tones[k % len(tones)] for k in range(4)]
    for k, colour in enumerate(colours):
        for step in range(5):
            grade = 0.075 * (step - 2)
            graded = lighter(colour, grade) if grade > 0 else darker(colour, -grade)
            chosen = stones[(kind == k) & (shade == step)]
            if len(chosen):
                canvas.tiles(chosen, graded)


def _courses(canvas: Canvas, rng: np.random.Generator, pitch: float) -> Points:
    """Where the stones lie: swaying rows, each shifted by half a stone."""
    columns = np.arange(0, canvas.width + pitch, pitch)
    rows = np.arange(-pitch, canvas.height + 2 * pitch, pitch)
    x, y = np.meshgrid(columns, rows)
    x = x + np.where(np.arange(len(rows)) % 2, 0.5 * pitch, 0.0)[:, None]
    y = y + 0.6 * pitch * np.sin(2 * np.pi * x * float(rng.uniform(1, 2)))
    centres = np.stack([x, y], axis=-1).reshape(-1, 2)
    return np.asarray(centres + rng.normal(0, 0.04 * pitch, centres.shape))
