"""What a visitor of Try likes, as the address of the page says it: nothing of it is kept anywhere else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlencode

MOST = 100
"""Items in one address; further ones are left out, so that addresses stay short enough for every browser."""

MOST_PHOTOS = 8
"""Kept pictures in one address."""

OPINIONS = ("like", "less", "hide")


@dataclass(frozen=True)
class Taste:
    """A visitor's choices. Items are external ids as text, oldest first; each is in one of the three.

    Attributes:
        like: what is liked.
        less: of what there should be less.
        hide: what must not be shown.
        photos: names of pictures that the visitor asked to keep.
        model: a model's name, or empty: the best one.
        diversity: in percent.
        wall: which page of varied pictures, from 0.
    """

    like: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()
    photos: tuple[str, ...] = ()
    model: str = ""
    diversity: int = 0
    wall: int = 0

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Taste:
        """From the fields of an address or a form, in their order: of an item that comes twice the last counts.

        "like", "less" and "hide" say what is thought of an item, "drop" takes it back, "photo" and "away" likewise
        for kept pictures; "model", "diversity" and "wall" are the settings. What makes no sense is left out.
        """
        opinions: dict[str, str] = {}
        photos: dict[str, None] = {}
        taste = cls()
        for name, value in pairs:
            if name in OPINIONS and value:
                if opinions.get(value) != name:
                    opinions.pop(value, None)
                    opinions[value] = name
            elif name == "drop":
                opinions.pop(value, None)
            elif name == "photo" and value:
                photos[value] = None
            elif name == "away":
                photos.pop(value, None)
            elif name == "model":
                taste = replace(taste, model=value[:200])
            elif name == "diversity":
                taste = replace(taste, diversity=min(100, _number(value)))
            elif name == "wall":
                taste = replace(taste, wall=min(10_000, _number(value)))
        kept = list(opinions.items())[-MOST:]
        like, less, hide = (tuple(item for item, opinion in kept if opinion == side) for side in OPINIONS)
        return replace(taste, like=like, less=less, hide=hide, photos=tuple(photos)[-MOST_PHOTOS:])

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to go by."""
        return not (self.like or self.less or self.photos)

    def items(self, side: str) -> tuple[str, ...]:
        """The items of one of `OPINIONS`."""
        return {"like": self.like, "less": self.less, "hide": self.hide}[side]

    @property
    def with_nothing_hidden(self) -> Taste:
        """The same, with everything shown again."""
        return replace(self, hide=())

    @property
    def fields(self) -> list[tuple[str, str]]:
        """As the fields of an address, the shortest way to say it; `of` reads them."""
        settings = [("model", self.model), ("diversity", self.diversity), ("wall", self.wall)]
        return [
            *(("like", item) for item in self.like),
            *(("less", item) for item in self.less),
            *(("hide", item) for item in self.hide),
            *(("photo", name) for name in self.photos),
            *((name, str(value)) for name, value in settings if value),
        ]

    @property
    def url(self) -> str:
        """The address of the page of these choices."""
        return "/try" + (f"?{urlencode(self.fields)}" if self.fields else "")


def _number(text: str) -> int:
    """A whole number from 0; 0 where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
