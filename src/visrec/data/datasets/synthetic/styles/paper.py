"""Paper and pigment: cut-outs, watercolour, risograph."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from visrec.data.datasets.synthetic.canvas import Canvas, Mask, cloud
from visrec.data.datasets.synthetic.compositions import Layout
from visrec.data.datasets.synthetic.motifs import Part, Placement, draw_motif, placed
from visrec.data.datasets.synthetic.palettes import Colour, Palette, lighter, mix
from visrec.data.datasets.synthetic.shapes import Points, blob, rectangle, ribbon


def draw_cutout(
    canvas: Canvas, rng: np.random.Generator, palette: Palette, motif: str, layout: Layout
) -> None:
    """Sheets of painted paper, seaweed and the motif cut with scissors, glued with a shadow."""
    canvas.fill(palette.ground)
    sheets = _sheets(canvas, rng, layout)
    tints = [*palette.accents, palette.ground, lighter(palette.accents[0], 0.5)]
    order = rng.permutation(len(tints))
    colours = []
    for k, sheet in enumerate(sheets):
        colour = tints[order[k % len(tints)]]
        colours.append(colour)
        canvas.polygon(sheet, colour)
        canvas.line(sheet, mix(colour, (24.0, 20.0, 30.0), 0.22), 0.003, closed=True)
    taken = list(layout.placements)
    for _ in range(0 if layout.cells != (1, 1) else 14):
        x, y = rng.uniform(0.0, 1.0) * canvas.width, rng.uniform(0.0, 1.0) * canvas.height
        size = canvas.short * float(rng.uniform(0.13, 0.2))
        if any(np.hypot(x - p.x, y - p.y) < 0.95 * (p.size + size) for p in taken):
            continue
        taken.append(Placement(x, y, 0.75 * size))
        weed = _seaweed(x, y, size, rng)
        backdrop = colours[_sheet_at(sheets, x, y)]
        canvas.shadow(weed, offset=0.005, blur=0.005, strength=0.3)
        colour = palette.against(backdrop, rng)[0]
        for frond in weed:
            canvas.polygon(frond, colour)
    for place in layout.placements:
        parts = placed(draw_motif(motif, rng), place)
        backdrop = colours[_sheet_at(sheets, place.x, place.y)]
        inks = palette.against(backdrop, rng)
        canvas.shadow([part.points for part in parts], offset=0.008, blur=0.007, strength=0.42)
        for part in parts:
            canvas.polygon(part.points, inks[part.tone % len(inks)])


def _sheets(canvas: Canvas, rng: np.random.Generator, layout: Layout) -> list[Points]:
    """Rectangles cut a little crooked that cover the picture."""
    if layout.horizon is not None:
        rows, columns = [0.0, layout.horizon, canvas.height], [0.0, canvas.width]
    else:
        n_columns, n_rows = layout.cells
        if layout.cells == (1, 1):
            n_columns, n_rows = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        columns = [float(c) for c in np.linspace(0, canvas.width, n_columns + 1)]
        rows = [float(r) for r in np.linspace(0, canvas.height, n_rows + 1)]
    sheets = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            corners = rectangle(left - 0.01, top - 0.01, right - left + 0.02, bottom - top + 0.02)
            sheets.append(corners + rng.uniform(-0.008, 0.008, (4, 2)))
    return sheets


def _sheet_at(sheets: list[Points], x: float, y: float) -> int:
    """The topmost sheet under a point; the first where none is."""
    for k in range(len(sheets) - 1, -1, -1):
        low, high = sheets[k].min(0), sheets[k].max(0)
        if low[0] <= x <= high[0] and low[1] <= y <= high[1]:
            return k
    return 0


def _seaweed(x: float, y: float, size: float, rng: np.random.Generator) -> list[Points]:
    """A frond with rounded fingers, as Matisse cut them; its pieces overlap."""
    t = np.linspace(0.0, 1.0, 14)
    bend = float(rng.uniform(-0.5, 0.5))
    spine = np.stack([bend * np.sin(np.pi * t), 1.0 - 1.9 * t], axis=1)
    pieces = [ribbon(spine, 0.36)]
    n_fingers = int(rng.integers(3, 5))
    for k in range(n_fingers):
        at = 0.06 + 0.82 * k / (n_fingers - 1)
        foot_x, foot_y = bend * np.sin(np.pi * at), 1.0 - 1.9 * at
        for side in (-1, 1):
            reach = 0.78 * (1.0 - 0.45 * at) * float(rng.uniform(0.85, 1.1))
            curl = np.linspace(0.0, 1.0, 8)
            finger = np.stack([foot_x + side * reach * curl, foot_y + 0.12 - 0.55 * reach * curl**2], axis=1)
            pieces.append(ribbon(finger, 0.36))
            tip_x, tip_y = finger[-1]
            pieces.append(blob(tip_x, tip_y, 0.1, rng, wobble=0.05))
    pieces.append(blob(spine[-1, 0], spine[-1, 1], 0.13, rng, wobble=0.12))
    turn = float(rng.uniform(-0.7, 0.7))
    cos, sin = np.cos(turn) * size, np.sin(turn) * size
    return [piece @ np.array([[cos, sin], [-sin, cos]]) + (x, y) for piece in pieces]


@dataclass(frozen=True)
class Water:
    """How wet paper behaves across the sheet, each `(H, W)` of mean 0 and deviation 1.

    Attributes:
        drift_x: where edges run to, sideways.
        drift_y: where edges run to, downwards.
        pigment: where colour settles.
    """

    drift_x: NDArray[np.float32]
    drift_y: NDArray[np.float32]
    pigment: NDArray[np.float32]


def draw_watercolour(
    canvas: Canvas, rng: np.random.Generator, palette: Palette, motif: str, layout: Layout
) -> None:
    """Wet washes that pool at their edges, pigment that settles in the paper."""
    paper = lighter(palette.lightest, 0.55)
    canvas.fill(paper)
    shape = canvas.pixels.shape[:2]
    water = Water(
        cloud(rng, shape, coarse=9, octaves=4),
        cloud(rng, shape, coarse=9, octaves=4),
        cloud(rng, shape, coarse=5, octaves=5),
    )
    glazes = palette.against(paper, rng)
    width, height = canvas.width, canvas.height
    if layout.horizon is not None:
        top = rectangle(-0.1, -0.1, width + 0.2, layout.horizon + 0.09)
        _wash(canvas, [top], lighter(glazes[1 % len(glazes)], 0.45), water, strength=0.8)
        for k in range(3):
            y = layout.horizon + (height - layout.horizon) * k / 3
            band = rectangle(-0.1, y, width + 0.2, height)
            _wash(canvas, [band], lighter(glazes[0], 0.25), water, strength=0.5)
    else:
        for k in range(2):
            x, y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height
            pool = blob(x, y, canvas.short * rng.uniform(0.35, 0.6), rng, wobble=0.25)
            _wash(canvas, [pool], lighter(glazes[k % len(glazes)], 0.55), water, strength=0.8)
    groups: dict[int, list[Part]] = {}
    for place in layout.placements:
        for part in placed(draw_motif(motif, rng), place):
            groups.setdefault(part.tone, []).append(part)
    for tone, parts in sorted(groups.items(), key=lambda pair: (pair[0] != 3, pair[0])):
        colour = glazes[tone % len(glazes)]
        _wash(canvas, [part.points for part in parts], colour, water, strength=0.85, spread=0.5)
    for _ in range(14):
        x, y = rng.uniform(0, 1) * width, rng.uniform(0, 1) * height
        canvas.disc(x, y, 0.0015 + 0.005 * rng.random() ** 3, mix(paper, glazes[0], 0.6))


def _wash(
    canvas: Canvas,
    shapes: list[Points],
    colour: Colour,
    water: Water,
    *,
    strength: float,
    spread: float = 1.0,
) -> None:
    """Lay a wash whose edges wander and darken, the more so with a larger `spread`."""
    mask = canvas.coverage(shapes)
    reach = np.float32(0.0065 * canvas.span * spread)
    left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    pad = int(4 * reach)
    rows = slice(max(0, top - pad), top + height + pad)
    columns = slice(max(0, left - pad), left + width + pad)
    window = mask[rows, columns]
    if window.size == 0:
        return
    x = np.arange(window.shape[1], dtype=np.float32)[None, :] + water.drift_x[rows, columns] * reach
    y = np.arange(window.shape[0], dtype=np.float32)[:, None] + water.drift_y[rows, columns] * reach
    edge = cv2.remap(window, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inner = cv2.GaussianBlur(edge, (0, 0), 0.009 * canvas.span)
    rim = edge * (np.float32(1) - inner)
    settled = np.float32(0.62) + np.float32(0.13) * water.pigment[rows, columns]
    mask[rows, columns] = np.clip((edge * settled + np.float32(0.75) * rim) * strength, 0, 1)
    canvas.blend(mask, colour, multiply=True)


def draw_riso(canvas: Canvas, rng: np.random.Generator, palette: Palette, motif: str, layout: Layout) -> None:
    """Two or three inks through halftone screens, overprinted and slightly out of register."""
    paper = lighter(palette.lightest, 0.35)
    canvas.fill(paper)
    inks = palette.against(paper, rng)[:4]
    across, down = canvas.axes()
    height = np.float32(canvas.height)
    focus = layout.placements[0]
    fade = np.broadcast_to(down / height, canvas.pixels.shape[:2])
    if layout.horizon is not None:
        sky = np.where(down < layout.horizon, np.float32(0.75) - down / height * 0.7, 0.0)
        tone = np.broadcast_to(sky, fade.shape)
        depth = (down - layout.horizon) / (height - np.float32(layout.horizon))
        ground = np.broadcast_to(np.where(depth >= 0, np.float32(0.45), 0.0), fade.shape)
        canvas.blend(ground.astype(np.float32), inks[1 % len(inks)], multiply=True)
        swell = np.float32(0.4) * np.sin(across * 9 + np.sin(down * 40) * 2) + np.float32(0.5)
        sea = np.where(depth >= 0, (0.25 + 0.6 * depth) * (0.7 + 0.5 * swell), 0.0)
        canvas.blend(_halftone(canvas, sea, 0.018, 0.8), inks[2 % len(inks)], multiply=True)
    elif rng.random() < 0.5:
        tone = np.clip(canvas.from_point(focus.x, focus.y) * 1.3 - 0.12, 0, 0.75)
    else:
        tone = (fade if rng.random() < 0.5 else 1 - fade) * np.float32(0.75)
    pitch = float(rng.choice([0.014, 0.018, 0.022]))
    canvas.blend(_halftone(canvas, tone, pitch, 0.26), inks[0], multiply=True)
    if layout.horizon is None:
        spot = canvas.short * float(rng.uniform(0.3, 0.42))
        x, y = focus.x + 0.1 * canvas.width, focus.y - 0.08 * canvas.height
        disc = np.clip((spot - canvas.from_point(x, y)) * canvas.span, 0, 1).astype(np.float32)
        canvas.blend(disc, inks[1 % len(inks)], multiply=True)
    slip = rng.uniform(-0.006, 0.006, (4, 2))
    everything = [p for place in layout.placements for p in placed(draw_motif(motif, rng), place)]
    hole = canvas.coverage([part.points for part in everything])
    canvas.blend(hole * np.float32(0.92), paper)
    for tone_number in (3, 0, 2, 1):
        shapes = [p.points + slip[tone_number] for p in everything if p.tone == tone_number]
        if not shapes:
            continue
        mask = canvas.coverage(shapes)
        ink = inks[(tone_number + 2) % len(inks)]
        if tone_number in (0, 3):
            shade = np.clip(0.25 + 0.8 * (across / canvas.width + down / height) / 2, 0, 0.9)
            mask = mask * (0.55 + 0.45 * _halftone(canvas, shade, pitch, 1.3)).astype(np.float32)
        canvas.blend(mask.astype(np.float32), ink, multiply=True)


def _halftone(canvas: Canvas, tone: NDArray[np.floating], pitch: float, angle: float) -> Mask:
    """Dots on a turned grid, as large as `tone` (0..1, `(H, W)`) is dark."""
    across, down = canvas.axes()
    factor = np.float32(2 * np.pi / pitch)
    cos, sin = np.float32(np.cos(angle)) * factor, np.float32(np.sin(angle)) * factor
    u, v = across * cos + down * sin, down * cos - across * sin
    screen = (np.cos(u) + np.cos(v)) * np.float32(0.25) + np.float32(0.5)  # 0..1, 1 at dot centres
    sharp = np.float32(0.35 * pitch * canvas.span)
    dots = np.clip((screen - (1 - np.asarray(tone, dtype=np.float32))) * sharp + 0.5, 0, 1)
    return np.where(tone > 0.01, dots, 0).astype(np.float32)
