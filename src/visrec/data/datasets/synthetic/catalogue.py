"""The items: who made each, in which style, palette, motif and composition, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visrec.data.datasets.synthetic.compositions import COMPOSITIONS
from visrec.data.datasets.synthetic.motifs import MOTIFS
from visrec.data.datasets.synthetic.palettes import PALETTES, Palette, to_lab
from visrec.data.datasets.synthetic.pictures import Picture, draw_picture, encode_jpeg
from visrec.data.datasets.synthetic.settings import SyntheticConfig
from visrec.data.datasets.synthetic.styles import STYLES
from visrec.data.datasets.synthetic.titles import artist_name, title_of

if TYPE_CHECKING:
    import polars as pl

ITEM_STREAM, ARTIST_STREAM, TASTE_STREAM = 1, 2, 3
"""First part of the key of a random stream, so that no two uses share one."""
_ARTISTS_PER_STUDIO, _ITEMS_PER_STUDIO = 40, 600


@dataclass(frozen=True)
class Artist:
    """A made-up artist.

    Attributes:
        name: first and last name.
        styles: how likely each style is, `(S,)`, sums to 1.
        palettes: how likely each palette is, `(P,)`, sums to 1.
        first_year: of the career.
    """

    name: str
    styles: NDArray[np.float64]
    palettes: NDArray[np.float64]
    first_year: int


@dataclass(frozen=True)
class Item:
    """One picture's facts.

    Attributes:
        index: position in the catalogue.
        artist: who made it.
        style: code into `STYLES`.
        palette: code into `PALETTES`.
        motif: code into `MOTIFS`.
        composition: code into `COMPOSITIONS`.
        colours: the palette with this item's own jitter.
        title: what it is called.
        year: when it was made.
    """

    index: int
    artist: str
    style: int
    palette: int
    motif: int
    composition: int
    colours: Palette
    title: str
    year: int


@dataclass(frozen=True)
class Catalogue:
    """All items; item i depends on nothing but the seed and i."""

    config: SyntheticConfig

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """In index order."""
        return tuple(self.item(index) for index in range(self.config.n_items))

    def item(self, index: int) -> Item:
        """One item, without making the others."""
        rng = _item_rng(self.config.seed, index, 0)
        # Forty artists share 600 items: an item's artist doesn't depend on how many items follow.
        fame = 1.0 / np.arange(6, _ARTISTS_PER_STUDIO + 6)
        chosen = int(rng.choice(_ARTISTS_PER_STUDIO, p=fame / fame.sum()))
        number = index // _ITEMS_PER_STUDIO * _ARTISTS_PER_STUDIO + chosen
        return _make_item(index, make_artist(self.config.seed, number), rng)

    @property
    def item_ids(self) -> list[str]:
        """In index order, which is their sorted order."""
        return [item_id(index) for index in range(self.config.n_items)]

    def codes(self, factor: str) -> NDArray[np.int64]:
        """Codes `(I,)` of "style", "palette", "motif" or "composition"."""
        return np.array([getattr(item, factor) for item in self.items], dtype=np.int64)

    def tones(self) -> NDArray[np.float64]:
        """Colour in four smooth numbers for each item `(I, 4)`.

        Lightness of the ground, and the mean a, b and chroma of all colours (CIELAB).
        """
        rows = []
        for item in self.items:
            lab = to_lab(item.colours.colours)  # (6, 3)
            chroma = np.hypot(lab[:, 1], lab[:, 2])
            rows.append((lab[0, 0], lab[:, 1].mean(), lab[:, 2].mean(), chroma.mean()))
        return np.array(rows, dtype=np.float64)

    def table(self) -> pl.DataFrame:
        """What `items.csv` holds."""
        import polars as pl  # not in the processes that draw

        styles = list(STYLES)
        return pl.DataFrame(
            {
                "item_id": self.item_ids,
                "title": [item.title for item in self.items],
                "artist": [item.artist for item in self.items],
                "style": [styles[item.style] for item in self.items],
                "palette": [PALETTES[item.palette].name for item in self.items],
                "motif": [MOTIFS[item.motif] for item in self.items],
                "composition": [COMPOSITIONS[item.composition] for item in self.items],
                "year": [item.year for item in self.items],
            }
        )


def item_id(index: int) -> str:
    """A numeral with leading zeros, as many shops have them."""
    return f"{index:05d}"


def draw_item(item: Item, config: SyntheticConfig) -> bytes:
    """The JPEG file of an item; drawn alike by any worker in any order."""
    picture = Picture(
        list(STYLES)[item.style], item.colours, MOTIFS[item.motif], COMPOSITIONS[item.composition]
    )
    rng = _item_rng(config.seed, item.index, 1)
    return encode_jpeg(draw_picture(picture, rng, image_size=config.image_size), config.jpeg_quality)


@cache
def make_artist(seed: int, number: int) -> Artist:
    """An artist who keeps to a few styles and palettes, most of the time."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(ARTIST_STREAM, number)))
    # First favourites go round, so that no style or palette is rare because few artists like it.
    styles = _leaning(rng, len(STYLES), number, (0.6, 0.22))
    palettes = _leaning(rng, len(PALETTES), number, (0.3, 0.24, 0.18))
    return Artist(artist_name(rng), styles, palettes, int(rng.integers(1958, 2012)))


def _leaning(
    rng: np.random.Generator, n: int, first: int, favourites: tuple[float, ...]
) -> NDArray[np.float64]:
    """Shares of `n` things: `first` (modulo n) and other favourites, the rest equally likely."""
    shares = np.full(n, (1.0 - sum(favourites)) / n)
    others = rng.permutation(np.delete(np.arange(n), first % n))
    shares[[first % n, *others[: len(favourites) - 1]]] += favourites
    return shares


def _make_item(index: int, artist: Artist, rng: np.random.Generator) -> Item:
    style = int(rng.choice(len(STYLES), p=artist.styles))
    palette = int(rng.choice(len(PALETTES), p=artist.palettes))
    motif = int(rng.integers(len(MOTIFS)))
    composition = int(rng.integers(len(COMPOSITIONS)))
    return Item(
        index=index,
        artist=artist.name,
        style=style,
        palette=palette,
        motif=motif,
        composition=composition,
        colours=PALETTES[palette].jittered(rng),
        title=title_of(MOTIFS[motif], PALETTES[palette].name, COMPOSITIONS[composition], rng),
        year=artist.first_year + int(rng.integers(0, 12)),
    )


def _item_rng(seed: int, index: int, use: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(ITEM_STREAM, index, use)))
