"""What plots are made of: lines, shapes and texts at places in pixels. A template draws them as SVG.

Colours and widths are the page's: a part says what it is (its look), the style sheet how that looks in light, in dark
and on paper. Nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

FONT = 12  # pixels
N_SHAPES = 6

_RADIUS = 6  # of a mark


@dataclass(frozen=True)
class Line:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    look: str
    kind: Literal["line"] = "line"


@dataclass(frozen=True)
class Shape:
    """An outline as an SVG path; `words` say what it stands for, to those who point at it."""

    path: str
    look: str
    words: str = ""
    kind: Literal["shape"] = "shape"


@dataclass(frozen=True)
class Text:
    """A line of text; a `turned` one reads upwards."""

    x: float
    y: float
    text: str
    look: str
    anchor: Literal["start", "middle", "end"] = "start"
    turned: bool = False
    kind: Literal["text"] = "text"


Part = Line | Shape | Text


@dataclass(frozen=True)
class Drawing:
    """A plot, ready to be drawn.

    Attributes:
        name: what it shows, for those who do not see it.
        width: in pixels.
        height: in pixels.
        parts: what comes later lies above.
    """

    name: str
    width: float
    height: float
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Box:
    """A rectangle, in pixels from the top left."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether they have an area in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def outline(group: int, x: float, y: float, r: float = _RADIUS) -> str:
    """The shape of a group as an SVG path around a point; six of them, told apart without colour."""
    if group % 6 == 0:
        return f"M{x - r:.1f},{y:.1f}a{r},{r} 0 1 0 {2 * r},0a{r},{r} 0 1 0 {-2 * r},0z"
    corners = {
        1: [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
        2: [(0, -1.15), (1.1, 0.85), (-1.1, 0.85)],
        3: [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
        4: [(0, 1.15), (1.1, -0.85), (-1.1, -0.85)],
        5: [(-.4, -1.2), (.4, -1.2), (.4, -.4), (1.2, -.4), (1.2, .4), (.4, .4),
            (.4, 1.2), (-.4, 1.2), (-.4, .4), (-1.2, .4), (-1.2, -.4), (-.4, -.4)],
    }[group % 6]  # fmt: skip
    return "M" + "L".join(f"{x + r * dx:.1f},{y + r * dy:.1f}" for dx, dy in corners) + "z"


def text_width(text: str) -> float:
    """Pixels that a text takes at most, in any of the page's fonts: nobody has measured it for us."""
    return FONT * sum(
        0.38 if sign in "ijl.,:;|'!()[] " else 0.95 if sign in "mwMW@%" else 0.66 for sign in text
    )


def look_of(group: int) -> str:
    """The look of a group's marks: six colours, and from the seventh group on hollow."""
    return f"m{group % N_SHAPES}" + (" hollow" if group // N_SHAPES % 2 else "")


def rectangle(left: float, top: float, right: float, bottom: float) -> str:
    """A rectangle as a path."""
    return f"M{left:.1f},{top:.1f}H{right:.1f}V{bottom:.1f}H{left:.1f}z"


def polyline(points: Sequence[tuple[float, float]], *, closed: bool = False) -> str:
    """Points joined by straight lines, as a path."""
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points) + ("z" if closed else "")


def shortened(text: str, width: float) -> str:
    """A text cut so that it takes no more than some pixels."""
    if text_width(text) <= width:
        return text
    while text and text_width(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
