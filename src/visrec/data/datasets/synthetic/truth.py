"""What is known of a synthetic data set because it was made up: why each user takes each item."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from visrec.errors import DataError

FILE_NAME = "truth.npz"


class Terms(NamedTuple):
    """The three terms of the utility before weighting, each of variance 1 over all pairs."""

    visual: NDArray[np.float64]
    """`(B, I)`."""
    latent: NDArray[np.float64]
    """`(B, I)`."""
    popularity: NDArray[np.float64]
    """`(I,)`, the same for all users."""


@dataclass(frozen=True, eq=False)
class Truth:
    """The planted tastes; I items, U users, both in the sorted order of their ids.

    Attributes:
        item_ids: `(I,)`.
        user_ids: `(U,)`.
        visual_names: `(V,)`, such as "palette=sage", "style=bauhaus", "colour=lightness".
        item_visual: `(I, V)`, one-hot for palette, style, motif and composition; the four smooth
            "colour=..." columns are standardised.
        user_visual: `(U, V)`, each user's loadings on them.
        item_latent: `(I, K)`, what the picture doesn't show.
        user_latent: `(U, K)`.
        popularity: `(I,)`, mean 0 and variance 1, heavy-tailed.
        shares: `(3,)`, the shares of visual, latent and popularity in the utility's variance.
        release: `(I,)`, unix seconds from which an item can be taken.
        cut: `()`, unix seconds; what is later is held out.
        is_new_item: `(I,)`, released only after the cut.
        is_new_user: `(U,)`, first seen only after the cut.
    """

    item_ids: NDArray[np.str_]
    user_ids: NDArray[np.str_]
    visual_names: NDArray[np.str_]
    item_visual: NDArray[np.float64]
    user_visual: NDArray[np.float64]
    item_latent: NDArray[np.float64]
    user_latent: NDArray[np.float64]
    popularity: NDArray[np.float64]
    shares: NDArray[np.float64]
    release: NDArray[np.int64]
    cut: NDArray[np.int64]
    is_new_item: NDArray[np.bool_]
    is_new_user: NDArray[np.bool_]

    def terms(self, user_indices: NDArray[np.integer]) -> Terms:
        """The utility's terms for a block of users `(B,)`.

        Equations:
            visual_ui = theta_u . (x_i - mean x), latent_ui = gamma_u . gamma_i
        """
        seen = self.item_visual - self.item_visual.mean(axis=0)
        visual = self.user_visual[user_indices] @ seen.T  # (B, I)
        latent = self.user_latent[user_indices] @ self.item_latent.T  # (B, I)
        return Terms(visual, latent, self.popularity)

    def utility(self, user_indices: NDArray[np.integer]) -> NDArray[np.float64]:
        """The utility without chance of all items for a block of users `(B,)`: `(B, I)`.

        Of mean 0 and variance about 1 over all pairs. Ask for users in blocks: nothing is kept.
        """
        visual, latent, popularity = self.terms(user_indices)
        by_sight, hidden, common = np.sqrt(self.shares)
        return np.asarray(by_sight * visual + hidden * latent + common * popularity)

    def save(self, folder: str | Path) -> None:
        """Write `truth.npz` (no pickle) into a folder."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        np.savez_compressed(Path(folder) / FILE_NAME, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read `truth.npz` from a folder that `write_synthetic` made.

        Raises:
            DataError: there is none, or it is damaged.
        """
        path = Path(folder) / FILE_NAME
        try:
            # Opened here, since np.load leaves its own file open where that is no archive.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return cls(**{field.name: arrays[field.name] for field in fields(cls)})
        except FileNotFoundError:
            raise DataError(
                f"{path}: no such file. Only a folder made by write_synthetic holds the truth."
            ) from None
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise DataError(
                f"{path}: cannot be read ({error}). Remove the folder and run write_synthetic again."
            ) from None
