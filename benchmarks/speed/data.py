"""The data of all contenders: synthetic, of the size of the tutorial's Wikimedia data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import visrec

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Shape:
    """How much of everything there is.

    Attributes:
        users: who take items.
        items: in the catalogue.
        rows: interactions.
        taken: items that somebody took; the others are known by their features alone.
        dim: numbers of a feature vector.
    """

    users: int
    items: int
    rows: int
    taken: int
    dim: int

    def __str__(self) -> str:
        """In words."""
        counts = f"{self.users:,} users, {self.items:,} items, {self.rows:,} interactions"
        return f"{counts}, {self.dim:,} features an item"


FULL = Shape(users=1_078, items=32_959, rows=96_991, taken=9_636, dim=2_048)
TINY = Shape(users=60, items=700, rows=2_000, taken=300, dim=64)


def write(folder: Path, shape: Shape, seed: int) -> None:
    """Long-tailed interactions with visual, latent and popularity tastes; files that every contender can read.

    As in the tutorial's Wikimedia data, most items were never taken by anybody. Features are non-negative, a mixture
    of styles of low rank plus noise, as pooled activations of a CNN are. Each user's newest item is the test, the one
    before it the validation.
    """
    rng = np.random.default_rng(seed)
    rank, n_styles, n_latent = 24, 64, 8

    def normal(*size: int) -> np.ndarray:
        return rng.standard_normal(size, dtype=np.float32)

    styles = normal(n_styles, rank)
    style = rng.choice(n_styles, shape.items, p=rng.dirichlet(np.ones(n_styles)))
    looks = styles[style] + 0.5 * normal(shape.items, rank)  # (I, rank)
    f = looks @ (normal(rank, shape.dim) / rank**0.5) + (0.4 * normal(shape.dim) - 0.6)
    f += 0.7 * normal(shape.items, shape.dim)
    np.maximum(f, 0, out=f)  # (I, F)

    theta = styles[rng.integers(0, n_styles, (shape.users, 3))].mean(1) + 0.2 * normal(shape.users, rank)
    theta /= np.linalg.norm(theta, axis=1, keepdims=True)
    open_ = rng.permutation(shape.items)[: round(1.04 * shape.taken)]  # a few will happen not to be taken
    looks = (looks - looks.mean(0)) / looks.std(0)
    utility = 2 * theta @ looks[open_].T  # (U, i)
    utility += normal(shape.users, n_latent) @ normal(n_latent, len(open_)) / n_latent**0.5
    utility += normal(len(open_))  # popularity
    utility += rng.gumbel(size=utility.shape)  # the n best are now n draws without replacement

    counts = rng.lognormal(0, 1, shape.users)
    counts = np.maximum(10, counts / counts.sum() * shape.rows).astype(np.int64)
    counts[np.argmax(counts)] += shape.rows - counts.sum()
    counts = np.clip(counts, 3, len(open_) - 1)
    item = [rng.permutation(open_[np.argpartition(-utility[u], n)[:n]]) for u, n in enumerate(counts)]
    user = np.repeat(np.arange(shape.users), counts)
    timestamp = np.concatenate([np.arange(n) for n in counts])
    split = visrec.leave_last_out(interactions(user, np.concatenate(item), timestamp, shape))
    np.save(folder / "features.npy", f)
    for name in PARTS:
        part = split.part(name)
        np.savez(folder / f"{name}.npz", user=part.user, item=part.item, timestamp=part.timestamp)
    np.savez(folder / "shape.npz", **vars(shape))


def interactions(
    user: np.ndarray, item: np.ndarray, timestamp: np.ndarray, shape: Shape
) -> visrec.Interactions:
    """Rows `(N,)` of users and items by index, which are their ids too."""
    users = visrec.IdMap(np.arange(shape.users), kind="user")
    items = visrec.IdMap(np.arange(shape.items), kind="item")
    return visrec.Interactions(user, item, timestamp, np.ones(len(user), np.float32), users, items)


def shape_of(folder: str | Path) -> Shape:
    """That of the data in a folder."""
    with np.load(Path(folder) / "shape.npz") as known:
        return Shape(**{name: int(known[name]) for name in known})


def split(folder: str | Path) -> visrec.Split:
    """The data in a folder, as visrec takes them."""
    shape, parts = shape_of(folder), []
    for name in PARTS:
        with np.load(Path(folder) / f"{name}.npz") as rows:
            parts.append(interactions(rows["user"], rows["item"], rows["timestamp"], shape))
    return visrec.Split(*parts)


def features(folder: str | Path) -> visrec.Features:
    """The items' features, mapped from disk."""
    values = np.load(Path(folder) / "features.npy", mmap_mode="r")
    return visrec.Features.from_array(values, np.arange(len(values)))
