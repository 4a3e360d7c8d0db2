"""Who likes what, and when each item is released."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visrec.data.datasets.synthetic.catalogue import TASTE_STREAM, Catalogue
from visrec.data.datasets.synthetic.compositions import COMPOSITIONS
from visrec.data.datasets.synthetic.motifs import MOTIFS
from visrec.data.datasets.synthetic.palettes import PALETTES
from visrec.data.datasets.synthetic.settings import DAY, SyntheticConfig
from visrec.data.datasets.synthetic.styles import STYLES
from visrec.data.datasets.synthetic.truth import Truth

START = 1_672_531_200  # 2023-01-01 00:00 UTC
CUT = START + 700 * DAY
END = START + 730 * DAY
OPENING = CUT + 3 * DAY  # by then all brand-new items are released, and held-out baskets begin
LAST_RELEASE = CUT - 21 * DAY  # of the other items, so that each has a chance to be taken
STOCK_SHARE = 0.4  # of the items are there from the start
SMOOTH_COLOUR_SHARE = 0.5  # of the taste for colours: lightness, hue; the rest: this or that palette
FORM_SHARES = {"style": 0.5, "motif": 0.3, "composition": 0.2}


def make_truth(catalogue: Catalogue) -> Truth:
    """Draw the tastes and the calendar; the pictures aren't needed for it."""
    config = catalogue.config
    seed = np.random.SeedSequence(config.seed, spawn_key=(TASTE_STREAM,))
    visual_rng, latent_rng, popularity_rng, time_rng = (np.random.default_rng(s) for s in seed.spawn(4))
    names, item_visual, blocks = _visual_columns(catalogue)
    user_visual = _visual_loadings(config, visual_rng, item_visual, blocks)
    item_latent = latent_rng.standard_normal((config.n_items, config.n_latent))
    item_latent -= item_latent.mean(axis=0)
    user_latent = latent_rng.standard_normal((config.n_users, config.n_latent))
    user_latent /= _deviation(user_latent, item_latent)
    # Gamma in the logarithm is nearly Pareto in the odds of being taken: a few hits, a long tail.
    popularity = popularity_rng.gamma(3.0, size=config.n_items)
    popularity = (popularity - popularity.mean()) / popularity.std()
    is_new_item = _choose(time_rng, config.n_items, config.new_item_share)
    release = time_rng.integers(START + DAY, LAST_RELEASE, config.n_items)
    release[time_rng.random(config.n_items) < STOCK_SHARE] = START
    release[is_new_item] = time_rng.integers(CUT + 1, OPENING, int(is_new_item.sum()))
    digits = max(4, len(str(config.n_users - 1)))
    return Truth(
        item_ids=np.array(catalogue.item_ids),
        user_ids=np.array([f"u{user:0{digits}d}" for user in range(config.n_users)]),
        visual_names=np.array(names),
        item_visual=item_visual,
        user_visual=user_visual,
        item_latent=item_latent,
        user_latent=user_latent,
        popularity=popularity,
        shares=np.array([config.visual_share, config.latent_share, config.popularity_share]),
        release=release,
        cut=np.array(CUT),
        is_new_item=is_new_item,
        is_new_user=_choose(time_rng, config.n_users, config.new_user_share),
    )


def _visual_columns(
    catalogue: Catalogue,
) -> tuple[list[str], NDArray[np.float64], dict[str, slice]]:
    """Names `(V,)`, columns `(I, V)`, and which columns belong to which factor."""
    tones = catalogue.tones()
    tones = (tones - tones.mean(axis=0)) / np.maximum(tones.std(axis=0), 1e-9)
    parts: list[tuple[str, tuple[str, ...], NDArray[np.float64]]] = [
        ("colour", ("lightness", "green-red", "blue-yellow", "chroma"), tones)
    ]
    for factor, values in (
        ("palette", tuple(palette.name for palette in PALETTES)),
        ("style", tuple(STYLES)),
        ("motif", MOTIFS),
        ("composition", COMPOSITIONS),
    ):
        parts.append((factor, values, np.eye(len(values))[catalogue.codes(factor)]))
    names: list[str] = []
    blocks = {}
    for factor, values, _ in parts:
        blocks[factor] = slice(len(names), len(names) + len(values))
        names += [f"{factor}={value}" for value in values]
    return names, np.concatenate([columns for _, _, columns in parts], axis=1), blocks


def _visual_loadings(
    config: SyntheticConfig,
    rng: np.random.Generator,
    item_visual: NDArray[np.float64],
    blocks: dict[str, slice],
) -> NDArray[np.float64]:
    """Loadings `(U, V)` in which each factor has its share of the visual variance."""
    centred = item_visual - item_visual.mean(axis=0)
    form = 1.0 - config.colour_share
    shares = {
        "colour": config.colour_share * SMOOTH_COLOUR_SHARE,
        "palette": config.colour_share * (1.0 - SMOOTH_COLOUR_SHARE),
        **{factor: form * share for factor, share in FORM_SHARES.items()},
    }
    loadings = np.zeros((config.n_users, item_visual.shape[1]))
    for factor, columns in blocks.items():
        n_columns = columns.stop - columns.start
        # Laplace rather than Gaussian: a few strong likes and dislikes, indifference to the rest.
        drawn = rng.laplace(size=(config.n_users, n_columns))
        loadings[:, columns] = drawn * np.sqrt(shares[factor]) / _deviation(drawn, centred[:, columns])
    # The factors are nearly, not exactly uncorrelated over a finite catalogue.
    return np.asarray(loadings / _deviation(loadings, centred))


def _deviation(loadings: NDArray[np.float64], centred: NDArray[np.float64]) -> float:
    """Standard deviation of `loadings @ centred.T` over all pairs, without forming it."""
    covariance = centred.T @ centred / len(centred)  # (V, V)
    return float(np.sqrt(np.einsum("uv,vw,uw->", loadings, covariance, loadings) / len(loadings)))


def _choose(rng: np.random.Generator, n: int, share: float) -> NDArray[np.bool_]:
    """A mask `(n,)` with a share of ones, at least one where the share isn't 0."""
    chosen = np.zeros(n, dtype=np.bool_)
    count = max(1, round(n * share)) if share > 0 else 0
    chosen[rng.permutation(n)[:count]] = True
    return chosen
