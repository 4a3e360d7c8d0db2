"""What can be set about the synthetic data set."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from visrec.config import Config

DAY = 86_400
"""Seconds in a day."""


class SyntheticConfig(Config):
    """How large the data set is, and what drives its users' choices."""

    seed: int = Field(0, ge=0)
    """Everything random follows from it: equal settings, equal files."""

    n_items: int = Field(2_000, ge=40, le=99_999)
    """Pictures in the catalogue."""

    n_users: int = Field(700, ge=12, le=999_999)
    """Users, those included who come only after the cut."""

    visual_share: float = Field(0.5, ge=0.0, le=1.0)
    """Share of the utility's variance that comes from what a picture looks like."""

    latent_share: float = Field(0.3, ge=0.0, le=1.0)
    """Share from hidden factors that the picture doesn't show."""

    popularity_share: float = Field(0.2, ge=0.0, le=1.0)
    """Share from the item's popularity, the same for all users."""

    colour_share: float = Field(0.6, ge=0.0, le=1.0)
    """Share of the visual part's variance that is a taste for colours; style, motif and composition
    have the rest."""

    n_latent: int = Field(8, ge=1, le=256)
    """Hidden factors."""

    temperature: float = Field(0.4, ge=0.01, le=10.0)
    """Chance in the choices, in standard deviations of the utility: near 0 users take the best."""

    median_interactions: float = Field(20.0, ge=3.0, le=150.0)
    """Interactions of the median user before the cut."""

    spread_interactions: float = Field(0.95, ge=0.0, le=2.0)
    """Standard deviation of the logarithm of a user's number of interactions."""

    new_item_share: float = Field(0.08, ge=0.0, le=0.5)
    """Share of the items that are released only after the cut."""

    new_user_share: float = Field(0.04, ge=0.0, le=0.5)
    """Share of the users whose first interaction is after the cut."""

    novelty_share: float = Field(0.3, gt=0.0, lt=1.0)
    """Share of the held-out interactions that go to brand-new items, in expectation."""

    returning_share: float = Field(0.95, ge=0.0, le=1.0)
    """Share of the other users who come back after the cut."""

    image_size: int = Field(256, ge=32, le=2_048)
    """Longer side of a picture in pixels."""

    jpeg_quality: int = Field(90, ge=1, le=95)
    """JPEG quality of the pictures."""

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> Self:
        total = self.visual_share + self.latent_share + self.popularity_share
        if abs(total - 1.0) > 1e-6:
            raise ValueError(
                f"visual_share + latent_share + popularity_share is {total:g}, expected 1; "
                f"for example 0.5, 0.3 and 0.2"
            )
        return self
