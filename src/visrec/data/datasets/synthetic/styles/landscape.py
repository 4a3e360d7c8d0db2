"""Out of doors: mid-century posters and nights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from visrec.data.datasets.synthetic.canvas import Canvas
from visrec.data.datasets.synthetic.compositions import Layout, arrange
from visrec.data.datasets.synthetic.motifs import Placement, draw_motif, placed
from visrec.data.datasets.synthetic.palettes import (
    Colour,
    Palette,
    darker,
    lighter,
    luminance,
    mix,
)
from visrec.data.datasets.synthetic.shapes import Points, moved

GAP = 0.018
"""Between the panes of a grid, in units."""
_AIRBORNE = ("sun", "moon", "bird")


def draw_midcentury(
    canvas: Canvas, rng: np.random.Generator, palette: Palette, motif: str, layout: Layout
) -> None:
    """Rolling hills under a large sun, flat colours with stippled shade."""
    if layout.cells != (1, 1):
        canvas.fill(lighter(palette.lightest, 0.4))
        for pane in _panes(canvas, layout):
            draw_midcentury(pane, rng, _another_hour(palette, rng), motif, _scene(pane, rng))
        return
    sky = palette.ground
    accents = list(palette.accents)
    canvas.gradient(mix(sky, accents[0], 0.16), lighter(sky, 0.3))
    horizon = layout.horizon or canvas.height * float(rng.uniform(0.5, 0.66))
    x = canvas.width * float(rng.choice([0.28, 0.5, 0.72]))
    radius = canvas.short * float(rng.uniform(0.16, 0.24))
    y = horizon - radius * float(rng.uniform(0.3, 1.0))
    warm = max(accents, key=lambda c: c[0] - c[2])
    if motif not in ("sun", "moon"):
        for k in range(3):
            canvas.disc(x, y, radius * (1.75 - 0.25 * k), mix(sky, warm, 0.12 + 0.14 * k))
        canvas.disc(x, y, radius, warm)
    places = _standing(layout, motif, horizon, canvas.height)
    colours = palette.against(sky, rng)
    behind = motif in (*_AIRBORNE, "mountain")
    if behind:
        _set_motif(canvas, rng, motif, places, colours)
    near, far = palette.ink if not palette.is_dark else palette.darkest, accents[1]
    hills = [mix(far, sky, 0.45), far, accents[2], mix(accents[3], near, 0.25), mix(near, far, 0.2)]
    tilt = _tilt(layout, rng)
    for k, colour in enumerate(hills):
        level = horizon + (canvas.height - horizon) * (k / len(hills)) ** 1.15
        hill = _hill(canvas, rng, level, 0.055 * canvas.height * (1 + 0.3 * k), tilt)
        canvas.polygon(hill, colour)
        canvas.shade(hill, darker(colour, 0.4), (0.4, 1.0), 0.55)
        if k in (1, 3) and rng.random() < 0.7:
            _furrows(canvas, hill, lighter(colour, 0.35))
        if k in (1, 2, 3):
            _trees(canvas, rng, hill, mix(near, accents[(k + 1) % 4], 0.25), 0.016 + 0.009 * k)
    if not behind:
        _set_motif(canvas, rng, motif, places, colours)


def draw_nocturne(
    canvas: Canvas, rng: np.random.Generator, palette: Palette, motif: str, layout: Layout
) -> None:
    """Dunes or waves under the stars, edged with moonlight."""
    if layout.cells != (1, 1):
        canvas.fill(darker(palette.darkest, 0.5))
        for pane in _panes(canvas, layout):
            draw_nocturne(pane, rng, _another_hour(palette, rng), motif, _scene(pane, rng))
        return
    night = darker(palette.darkest, 0.35)
    by_light = sorted(palette.accents, key=luminance)
    dusk = by_light[int(rng.integers(1, 3))]
    light = palette.lightest
    canvas.gradient(night, mix(night, dusk, 0.8), ease=1.4)
    horizon = layout.horizon or canvas.height * float(rng.uniform(0.52, 0.68))
    _stars(canvas, rng, horizon, light)
    x = canvas.width * float(rng.uniform(0.2, 0.8))
    radius = canvas.short * float(rng.uniform(0.06, 0.1))
    y = horizon * float(rng.uniform(0.25, 0.55))
    if motif not in ("sun", "moon"):
        canvas.glow(x, y, 4.5 * radius, mix(dusk, light, 0.5), 0.6)
        canvas.disc(x, y, radius, mix(light, by_light[3], 0.2))
    else:
        shining = layout.placements[0]
        canvas.glow(shining.x, shining.y, 1.9 * shining.size, mix(dusk, light, 0.5), 0.6)
    places = _standing(layout, motif, horizon, canvas.height)
    colours = palette.against(mix(night, dusk, 0.45), rng)
    behind = motif in (*_AIRBORNE, "mountain")
    if behind:
        _set_motif(canvas, rng, motif, places, colours)
    n_layers = 6
    tilt = _tilt(layout, rng)
    for k in range(n_layers):
        level = horizon + (canvas.height - horizon) * (k / n_layers)
        ridge = _hill(canvas, rng, level, 0.04 * canvas.height * (1 + 0.35 * k), tilt)
        body = mix(mix(dusk, by_light[k % 2], 0.5), night, 0.25 + 0.13 * k)
        canvas.polygon(ridge, body)
        canvas.shade(ridge, darker(body, 0.55), (0.2, 1.0), 0.8)
        edge = ridge[:-2]
        for line in range(4):
            glint = mix(body, mix(light, by_light[3], 0.4), 0.7 - 0.17 * line)
            canvas.line(moved(edge, 0.0, 0.011 * line * (1 + 0.2 * k)), glint, 0.004)
    if not behind:
        _set_motif(canvas, rng, motif, places, colours)


def _scene(pane: Canvas, rng: np.random.Generator) -> Layout:
    """A small picture of its own in a pane of the grid."""
    layout = arrange("low horizon", pane.width, pane.height, rng)
    return Layout(layout.placements[-1:], layout.horizon)


def _another_hour(palette: Palette, rng: np.random.Generator) -> Palette:
    """The same palette with its accents in other roles."""
    first, second, third, fourth = (palette.accents[k] for k in rng.permutation(4))
    return replace(palette, accents=(first, second, third, fourth))


def _panes(canvas: Canvas, layout: Layout) -> list[Canvas]:
    n_columns, n_rows = min(layout.cells[0], 2), min(layout.cells[1], 3)
    width = (canvas.width - GAP * (n_columns + 1)) / n_columns
    height = (canvas.height - GAP * (n_rows + 1)) / n_rows
    return [
        canvas.part(GAP + column * (width + GAP), GAP + row * (height + GAP), width, height)
        for row in range(n_rows)
        for column in range(n_columns)
    ]


def _tilt(layout: Layout, rng: np.random.Generator) -> float:
    """How steeply the land falls to one side: along the diagonal, where there is one."""
    first, last = layout.placements[0], layout.placements[-1]
    if len(layout.placements) in (3, 4) and layout.horizon is None:
        return 0.45 * float(np.sign(last.y - first.y))
    return float(rng.uniform(-0.05, 0.05))


def _standing(layout: Layout, motif: str, horizon: float, height: float) -> list[Placement]:
    """Where things of this kind would be in a landscape."""
    places = list(layout.placements)
    if layout.horizon is not None:
        return [_grounded(place, motif, horizon) for place in places]
    if len(places) > 4 and motif not in _AIRBORNE:
        return _over_the_land(places, horizon, height)
    return places


def _set_motif(
    canvas: Canvas,
    rng: np.random.Generator,
    motif: str,
    places: list[Placement],
    colours: list[Colour],
) -> None:
    """Draw the motif in its places, shaded like everything around it."""
    for at in places:
        for part in placed(draw_motif(motif, rng), at):
            colour = colours[part.tone % len(colours)]
            canvas.polygon(part.points, colour)
            canvas.shade(part.points, darker(colour, 0.35), (0.6, 0.8), 0.45)


def _grounded(place: Placement, motif: str, horizon: float) -> Placement:
    """Lifted into the sky for what flies or shines, otherwise left on its feet."""
    if motif in _AIRBORNE:
        return Placement(place.x, min(place.y, 0.62 * horizon), 0.8 * place.size, place.turn)
    return place


def _over_the_land(places: list[Placement], horizon: float, height: float) -> list[Placement]:
    """Scattered things brought down to earth: upright, and larger the nearer they stand."""
    grounded = []
    for place in sorted(places, key=lambda p: p.y):
        near = place.y / height
        y = horizon + (height - horizon) * (0.8 * near - 0.1)
        grounded.append(Placement(place.x, y, place.size * (0.5 + 0.7 * near)))
    return grounded


def _hill(canvas: Canvas, rng: np.random.Generator, level: float, swing: float, tilt: float) -> Points:
    """Everything below a wavy line, which comes first; the last two points close it."""
    x = np.linspace(-0.02, canvas.width + 0.02, 60)
    y = np.full_like(x, level)
    for wave in (0.7, 1.3, 2.1):
        shift = rng.uniform(0, 2 * np.pi)
        y += swing * np.sin(2 * np.pi * wave * x + shift) / (0.6 + wave)
    y += tilt * (x - 0.5 * canvas.width)
    below = canvas.height + 0.05
    return np.concatenate([np.stack([x, y], axis=1), [(x[-1], below), (x[0], below)]])


def _furrows(canvas: Canvas, hill: Points, colour: Colour) -> None:
    """Ploughed lines that follow the hill's back."""
    for k in range(1, 5):
        canvas.line(moved(hill[:-2], 0.0, 0.018 * k), colour, 0.003)


def _trees(canvas: Canvas, rng: np.random.Generator, hill: Points, colour: Colour, size: float) -> None:
    """A few round or pointed trees on the ridge."""
    pointed = rng.random() < 0.5
    for at in rng.integers(3, len(hill) - 6, int(rng.integers(1, 5))):
        x, y = hill[at]
        tall = size * float(rng.uniform(0.8, 1.4))
        canvas.line(np.array([(x, y + 0.01), (x, y - 2.2 * tall)]), colour, 0.004)
        if pointed:
            crown = np.array([(-0.75, -0.4), (0.0, -3.6), (0.75, -0.4)]) * tall
            crown = moved(crown, x, y)
            canvas.polygon(crown, colour)
        else:
            canvas.disc(x, y - 2.4 * tall, tall, colour)


def _stars(canvas: Canvas, rng: np.random.Generator, horizon: float, light: Colour) -> None:
    n_stars = 46
    where = rng.random((n_stars, 2)) * (canvas.width, horizon)
    for (x, y), size in zip(where, 0.0012 + 0.0035 * rng.random(n_stars) ** 3, strict=True):
        canvas.disc(float(x), float(y), float(size), light)
    for x, y in where[:4]:
        for dx, dy in ((0.011, 0.0), (0.0, 0.011)):
            canvas.line(np.array([(x - dx, y - dy), (x + dx, y + dy)]), light, 0.002)
