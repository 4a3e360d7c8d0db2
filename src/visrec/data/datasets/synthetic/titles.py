"""Names of artists and pictures, made up of words that go together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_FIRST = (
    "Ada Aino Alba Anouk Astrid Beatriz Bruno Camille Carla Cosima Dario Edda Elio Elsa Emil Esme Fausto "
    "Freya Gaspar Greta Hanne Hugo Ida Ines Ingrid Ivo Jonas Juno Kaito Lena Leonie Linnea Lucia Mads "
    "Maren Mateo Mina Mirela Nadia Naoki Nils Noor Odile Otto Paloma Petra Rafael Remi Rosa Sanna Selma "
    "Silvio Sofia Sora Stellan Tilda Tomas Uma Vera Viggo Wanda Yara Yuki Zora"
)
_LAST = (
    "Aalto-Reyes Abril Almqvist Andrade Arnesen Bellweather Bergström Bianchi Brandt Calloway Castell "
    "Corvin Dahl Delacroix-Ito Devereux Ekholm Eriksdotter Falk Ferrante Fontaine Galvão Grieve Halloran "
    "Hartmann Haugen Hoshino Iversen Jansson Kallio Kestrel Kimura Kovač Lindqvist Lorca Lumen Maravilla "
    "Marlowe Mendes Mirov Moreau Nakamura Nyström Okafor Oliveira Ostrowski Palmgren Pellegrini Quist "
    "Ravel Rosenthal Sable Sandoval Sato Sommer Sørensen Tanaka Thorne Valente Vandermeer Vesterholt "
    "Villanueva Whitlow Winter Yamada Zielinski"
)

_MOTIF_WORDS: dict[str, tuple[str, ...]] = {
    "sun": ("Sun", "Noon", "Sunrise", "Solstice", "First Light"),
    "moon": ("Moon", "Crescent", "Moonrise", "Half Moon", "Lantern Moon"),
    "leaf": ("Leaf", "Branch", "Olive Twig", "Fern", "Ash Leaf"),
    "flower": ("Flower", "Daisy", "Bloom", "Anemone", "Dahlia"),
    "vase": ("Vase", "Still Life", "Jar with Stems", "Pitcher", "Bouquet"),
    "bird": ("Bird", "Blackbird", "Finch", "Swallow", "Songbird"),
    "mountain": ("Mountain", "Summit", "Three Peaks", "Ridge", "Alp"),
    "wave": ("Wave", "Breaker", "Tide", "Surf", "Swell"),
    "arch": ("Arch", "Gate", "Rainbow", "Portal", "Vault"),
    "boat": ("Boat", "Sail", "Regatta", "Sloop", "Little Ship"),
}
_PALETTE_WORDS: dict[str, tuple[str, ...]] = {
    "primary": ("in Red, Blue and Yellow", "in Three Colours", "at the Workshop"),
    "terracotta": ("in Terracotta", "in Baked Earth", "in Siena"),
    "sage": ("in Sage", "in the Herb Garden", "in Soft Green"),
    "nordic": ("in the North", "in Cold Water Blue", "at the Fjord"),
    "blush": ("in Blush", "in Rose", "before Dawn"),
    "ochre": ("in Ochre", "in Late August", "in Wheat"),
    "forest": ("in the Forest", "in Moss", "under Pines"),
    "midnight": ("at Midnight", "in Indigo", "after the Concert"),
    "citrus": ("in Citrus", "in the Orchard", "in Lemon and Lime"),
    "lagoon": ("at the Lagoon", "in Aqua and Coral", "by the Reef"),
    "plum": ("at Dusk", "in Plum and Gold", "at the Opera"),
    "sumi": ("in Ink", "with a Red Seal", "in Grey"),
    "lavender": ("in Lavender", "in Lilac", "in Provence"),
}
_COUNT_WORDS: dict[str, tuple[str, ...]] = {
    "diagonal": ("Rising", "Falling", "Passing"),
    "grid": ("Variations on a", "Study of a", "Sampler:"),
    "scattered": ("Drifting", "Confetti:", "Loose"),
    "high horizon": ("Faraway", "Distant", "Beyond the"),
    "low horizon": ("Standing", "Quiet", "Evening"),
}


def artist_name(rng: np.random.Generator) -> str:
    """A first and a last name."""
    return f"{_pick(_FIRST.split(), rng)} {_pick(_LAST.split(), rng)}"


def title_of(motif: str, palette: str, composition: str, rng: np.random.Generator) -> str:
    """Such as "Variations on a Finch in Terracotta" or "Crescent at Dusk, No. 4"."""
    name = _pick(_MOTIF_WORDS[motif], rng)
    if composition in _COUNT_WORDS and rng.random() < 0.6:
        name = f"{_pick(_COUNT_WORDS[composition], rng)} {name}"
    if rng.random() < 0.75:
        name = f"{name} {_pick(_PALETTE_WORDS[palette], rng)}"
    if rng.random() < 0.4:
        name = f"{name}, No. {int(rng.integers(1, 30))}"
    return name


def _pick(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
