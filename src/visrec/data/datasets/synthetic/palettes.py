"""Curated colour palettes, and the little colour arithmetic that drawing needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]
"""Red, green, blue in 0..255 (sRGB)."""


@dataclass(frozen=True)
class Palette:
    """Six colours that go well together.

    Attributes:
        name: as written to `items.csv`.
        ground: the paper, or the sky of a night.
        ink: the strongest contrast to the ground.
        accents: four colours, the first of which leads.
    """

    name: str
    ground: Colour
    ink: Colour
    accents: tuple[Colour, Colour, Colour, Colour]

    @property
    def colours(self) -> tuple[Colour, ...]:
        """Ground, ink and the accents, in this order."""
        return (self.ground, self.ink, *self.accents)

    @property
    def is_dark(self) -> bool:
        """Whether the ground is darker than the ink."""
        return luminance(self.ground) < luminance(self.ink)

    @property
    def lightest(self) -> Colour:
        """The colour of the highest luminance."""
        return max(self.colours, key=luminance)

    @property
    def darkest(self) -> Colour:
        """The colour of the lowest luminance."""
        return min(self.colours, key=luminance)

    def against(self, backdrop: Colour, rng: np.random.Generator) -> list[Colour]:
        """Colours that stand out on `backdrop`: legible accents shuffled, ink or ground, the rest.

        Args:
            backdrop: the colour to stand out from.
            rng: shuffles, so that the same palette doesn't always lead with the same colour.
        """
        apart = {colour: distance(colour, backdrop) for colour in self.colours}
        accents = [c for c in self.accents if apart[c] > 36]
        lead = [accents[k] for k in rng.permutation(len(accents))]
        others = sorted(set(self.colours) - set(accents), key=lambda c: (-apart[c], c))
        return lead + [c for c in others if apart[c] > 8]

    def jittered(self, rng: np.random.Generator) -> Palette:
        """The same palette as another print shop would mix it; accents in another order."""
        lab = to_lab(self.colours)  # (6, 3)
        turn = rng.normal(0.0, 0.05)
        a, b = lab[:, 1].copy(), lab[:, 2].copy()
        lab[:, 1] = a * np.cos(turn) - b * np.sin(turn)
        lab[:, 2] = a * np.sin(turn) + b * np.cos(turn)
        lab[:, 1:] *= rng.normal(1.0, 0.05)
        lab += rng.normal(0.0, 1.0, lab.shape) * (1.5, 1.2, 1.2)
        ground, ink, *accents = from_lab(lab)
        order = rng.permutation(4)
        first, second, third, fourth = (accents[k] for k in order)
        return replace(self, ground=ground, ink=ink, accents=(first, second, third, fourth))


def hex_colour(text: str) -> Colour:
    """`"d8432e"` as a colour."""
    return (int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16))


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`one` with a `share` (0..1) of `other` stirred in."""
    (r, g, b), (red, green, blue) = one, other
    return (r + (red - r) * share, g + (green - g) * share, b + (blue - b) * share)


def lighter(colour: Colour, share: float) -> Colour:
    """`colour` with a share of warm white."""
    return mix(colour, (255.0, 251.0, 243.0), share)


def darker(colour: Colour, share: float) -> Colour:
    """`colour` with a share of a bluish black."""
    return mix(colour, (18.0, 18.0, 28.0), share)


def luminance(colour: Colour) -> float:
    """Perceived brightness, 0..255 (Rec. 601 weights)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def distance(one: Colour, other: Colour) -> float:
    """How different two colours look: Euclidean distance in CIELAB (about 2 is just visible)."""
    pair = to_lab((one, other))
    return float(np.linalg.norm(pair[0] - pair[1]))


def to_lab(colours: Sequence[Colour]) -> NDArray[np.float32]:
    """Colours `(n, 3)` in CIELAB: L in 0..100, a and b about -100..100."""
    rgb = np.asarray(colours, dtype=np.float32).reshape(-1, 1, 3) / 255.0
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab), dtype=np.float32).reshape(-1, 3)


def from_lab(lab: NDArray[np.float32]) -> list[Colour]:
    """CIELAB `(n, 3)` back to colours, clipped to what a screen can show."""
    rgb = cv2.cvtColor(lab.astype(np.float32).reshape(-1, 1, 3), cv2.COLOR_Lab2RGB)
    rows = np.clip(np.asarray(rgb).reshape(-1, 3) * 255.0, 0.0, 255.0)
    return [(float(r), float(g), float(b)) for r, g, b in rows]


def _palette(name: str, ground: str, ink: str, accents: str) -> Palette:
    first, second, third, fourth = (hex_colour(text) for text in accents.split())
    return Palette(name, hex_colour(ground), hex_colour(ink), (first, second, third, fourth))


PALETTES: tuple[Palette, ...] = (
    _palette("primary", "f4ead6", "1f1d1c", "d8432e 1f4e8c f0b52b b8b2a4"),
    _palette("terracotta", "f7e8d7", "4a2419", "c8613a e3a26b 93391f d7b79a"),
    _palette("sage", "f1efe2", "2c3a30", "86a083 c8d2b6 b9765a 587562"),
    _palette("nordic", "ecf1f0", "12303f", "2a6788 7db1c5 c2d8dc e2a65a"),
    _palette("blush", "fceee7", "57283a", "e9a7a0 c8667b f4ccbc 8d4860"),
    _palette("ochre", "f8ecce", "3a2d1a", "dc9b22 b3611b 8b793a eacb76"),
    _palette("forest", "e9e7d6", "1b281d", "2d5d3a 7b913c a8702c c6c28c"),
    _palette("midnight", "1a2046", "f3e9d6", "3c4d96 7d86c9 ebb85a 5c3070"),
    _palette("citrus", "fff5d9", "2b3a2b", "f5a61b f16a38 bdc739 4c9d69"),
    _palette("lagoon", "e8f5ef", "0e3c44", "11818a 57bfad f6d48f f0886a"),
    _palette("plum", "34172f", "f6e6ce", "7d2f5c bb527b dca540 50396f"),
    _palette("sumi", "f3f1ea", "191919", "50504f 8d8c88 c6c3ba c93a2c"),
    _palette("lavender", "f3eff6", "382e51", "9a84be cbbadf ea9fa6 6a7cb3"),
)
"""In the order in which `Truth` codes them."""
