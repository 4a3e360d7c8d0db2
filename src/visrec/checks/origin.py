"""Rules for where features come from: whether they are of these pictures, and of what they say that made them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from visrec.checks.findings import Finding, finding
from visrec.checks.images import Pictures
from visrec.errors import FeaturesError, ImageError
from visrec.features.features import Features

OTHER = 0.1
"""A vector made again is another one where it differs by more than this share of its length: other hardware and
versions of libraries stay below."""
LEAST_ITEMS, MOST_ITEMS = 300, 1000
"""So many items are compared to tell whether vectors go with pictures."""
UNRELATED = 5.0
"""Vectors do not go with the pictures where their relation is less than so many standard deviations above chance."""
_SHUFFLES = 99


def commands_of(features: Features) -> dict[str, str]:
    """`extract`, the command that made features, and `plain`, it without steps; nothing where it is not known."""
    about = features.provenance
    settings = about.get("settings")
    if not isinstance(settings, dict) or not isinstance(settings.get("extractor"), str):
        return {}
    plain = ["--extractor", settings["extractor"]]
    weights = settings.get("weights", "default")
    if isinstance(weights, dict):
        plain += [word for name, one in weights.items() for word in ("--weights", f"{name}={one}")]
    elif weights != "default":
        plain += ["--weights", str(weights)]
    for name, value in (settings.get("options") or {}).items():
        plain += ["--set", f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"]
    plain += ["--float16"] if features.values.dtype == np.float16 else []
    steps = about.get("steps") or []
    taken = [] if "standardize" in steps or features.kind == "image" else ["--no-standardize"]
    for step in steps:
        name, _, rest = step.partition(" ")
        if name == "pca":
            number, _, is_whitened = rest.partition(" ")
            taken += ["--pca", number, *(["--whiten"] if is_whitened else [])]
    taken += ["--l2"] if "l2" in steps else []
    start = "visrec extract {data} "
    return {"extract": start + shlex.join([*plain, *taken]), "plain": start + shlex.join(plain)}


def check_origin(folder: Path, features: Features, about: Mapping[str, str]) -> list[Finding]:
    """What their own description gives away."""
    said = features.provenance
    weights = said.get("weights")
    chance = [
        one for one in (weights.values() if isinstance(weights, dict) else [weights]) if one == "random"
    ]
    found = finding(
        "random-weights", int(bool(chance)), [f"{folder.name}: {said.get('extractor')}"], about=about
    )
    others = said.get("partly_made_with")
    found += finding("mixed-versions", int(bool(others)), [f"{folder.name}: {others}"], about=about)
    unknown = [
        *(["which pictures they are of"] if features.images is None else []),
        *(["what made them"] if not said.get("settings") else []),
    ]
    told = [f"{folder.name}: not said is {' and '.join(unknown)}"]
    return found + finding("unknown-origin", int(bool(unknown)), told, about=about)


def check_related(
    folder: Path, features: Features, pictures: Pictures, about: Mapping[str, str]
) -> list[Finding]:
    """Whether items with alike pictures have alike vectors, against chance.

    The similarities of all pairs among some items, by vector and by very small copies of the pictures, are
    correlated, and compared with the same after shuffling the pictures.

    Source: Mantel 1967, The detection of disease clustering and a generalized regression approach.
    """
    usable = pictures.seen.whole() & ~pictures.seen.facts["blank"]
    files = pictures.files.with_row_index("file").filter(pl.Series(usable)).unique("item_id", keep="first")
    rows = pl.DataFrame({"item_id": features.items.written}).with_row_index("row")
    both = rows.filter(pl.Series(~features.missing)).join(files, on="item_id").sort("row")
    rng = np.random.default_rng(0)
    if both.height > MOST_ITEMS:
        both = both[np.sort(rng.choice(both.height, MOST_ITEMS, replace=False))]
    vectors = np.asarray(features.values[both["row"].to_numpy()], dtype=np.float64)
    vectors = vectors if vectors.ndim == 2 else vectors.mean(axis=1)
    good = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
    small = pictures.seen.facts["signature"][both["file"].to_numpy()].astype(np.float64)
    if good.sum() < LEAST_ITEMS:
        return []
    by_vector, by_picture = _similarities(vectors[good]), _similarities(small[good])
    n, off = len(by_vector), ~np.eye(int(good.sum()), dtype=bool)
    centred = np.where(off, by_vector - by_vector[off].mean(), 0)

    def relation(order: np.ndarray) -> float:
        return float((centred * by_picture[np.ix_(order, order)]).sum())

    chance = np.array([relation(rng.permutation(n)) for _ in range(_SHUFFLES)])
    above = (relation(np.arange(n)) - chance.mean()) / max(float(chance.std()), 1e-12)
    told = [f"{folder.name}: {above:.1f} standard deviations from chance, among {n} items"]
    return finding("unrelated-vectors", int(above < UNRELATED), told, about=about)


def check_recomputed(
    folder: Path, features: Features, pictures: Pictures, n: int, about: Mapping[str, str]
) -> list[Finding]:
    """Whether the extractor that the features name gives the same for some of the pictures.

    Args:
        folder: of the features.
        features: what is in it.
        pictures: the files of the data set.
        n: so many are made again.
        about: see `Finding`.
    """
    if not features.provenance.get("settings"):
        return []  # told by `check_origin`
    from visrec.features.encoding import encode_with, extractor_of  # networks: only where they are asked

    try:
        made = extractor_of(features)
    except (FeaturesError, ImportError) as error:
        return finding("lost-extractor", 1, [f"{folder.name}: {error}"], about=about)
    have = pictures.files.with_row_index("file").filter(pl.Series(pictures.seen.whole()))
    rows = pl.DataFrame({"item_id": features.items.written}).with_row_index("row")
    both = rows.filter(pl.Series(~features.missing)).join(have.unique("item_id", keep="first"), on="item_id")
    chosen = both.sort("row").gather_every(max(1, both.height // n)).head(n)
    try:
        again = encode_with(made, [pictures.paths[file] for file in chosen["file"].to_list()])
    except ImageError as error:
        return finding("lost-extractor", 1, [f"{folder.name}: {error}"], about=about)
    kept = features.values if features.raw is None else features.raw
    before = np.asarray(kept[chosen["row"].to_numpy()], dtype=np.float64)
    apart = _lengths(again - before) / np.maximum(_lengths(before), 1e-12)
    other = np.flatnonzero(~(apart <= OTHER))
    told = [f"{folder.name}: {chosen['item_id'][at]}: {apart[at]:.0%} apart" for at in other[:5].tolist()]
    return finding("other-extractor", len(other), told, items=chosen["item_id"].gather(other), about=about)


def _similarities(rows: np.ndarray) -> np.ndarray:
    """`(n, n)` cosines of standardised rows `(n, F)`."""
    spread = rows.std(axis=0)
    rows = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    similar: np.ndarray = rows @ rows.T
    return similar


def _lengths(rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.asarray(rows, dtype=np.float64).reshape(len(rows), -1), axis=1)
