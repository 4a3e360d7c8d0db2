"""What models learn from beside the interactions: vectors, regions or pixels of the items, and their metadata."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl

from visrec.data.catalog import digest_of_table
from visrec.errors import FeaturesError
from visrec.features.features import Features

Kind = Literal["none", "vector", "regions", "image"]

_MAKE = {
    "vector": "visual features: fit(train, features). Make them with visrec.extract(catalog, 'color') or another of "
    "`visrec extractors`.",
    "regions": "features of regions: fit(train, features). Make them with visrec.extract(catalog, 'color', "
    "grid=4), or from a layer of a network.",
    "image": "the pictures' pixels: fit(train, features). Make them with visrec.extract(catalog, 'pixels', size=96).",
}


@dataclass(frozen=True, eq=False)
class Content:
    """Features of several kinds, where one kind is not all that is needed.

    Attributes:
        vector: one vector an item.
        regions: R regions an item.
        image: pixels, of the extractor "pixels".
        metadata: a table with the column item_id, one row an item in any order; the guidelines sampler takes who made
            an item from it.
    """

    vector: Features | None = None
    regions: Features | None = None
    image: Features | None = None
    metadata: pl.DataFrame | None = None

    @classmethod
    def of(cls, given: Features | Content | None) -> Content:
        """What was given, as content."""
        if given is None:
            return cls()
        if isinstance(given, Content):
            return given
        kinds: dict[str, Any] = {given.kind: given}
        return cls(**kinds)

    def __post_init__(self) -> None:
        for kind in ("vector", "regions", "image"):
            found: Features | None = getattr(self, kind)
            if found is not None and found.kind != kind:
                raise FeaturesError(f"Content: {kind} was given features of the kind {found.kind}.")

    @cached_property
    def metadata_digest(self) -> str | None:
        """The digest of the items' table, see `digest_of_table`; None without one."""
        return None if self.metadata is None else digest_of_table(self.metadata)

    def preferring(self, kind: Kind) -> Content:
        """Without the regions, or without the vectors where `kind` is "regions", if there are both.

        What a model is sampled by then does not depend on what other models need.
        """
        if self.vector is None or self.regions is None:
            return self
        return replace(self, vector=None) if kind == "regions" else replace(self, regions=None)

    def wanted(self, kind: Kind, model: str) -> Features | None:
        """The features of a kind; None for the kind "none".

        Raises:
            FeaturesError: there are none; the message names the model that asks, and how to make them.
        """
        if kind == "none":
            return None
        found: Features | None = getattr(self, kind)
        if found is not None:
            return found
        if kind == "vector" and self.regions is not None:
            raise FeaturesError(
                f"{model} needs one vector an item; these features have {self.regions.n_regions} regions each. "
                f"Extract them with pool='mean' (--pool mean), or choose a model for regions: `visrec models`."
            )
        other = next((one.kind for one in (self.vector, self.regions, self.image) if one is not None), None)
        wrong = "" if other is None else f" (found: {other})"
        raise FeaturesError(f"{model} needs{wrong} {_MAKE[kind]}")

    def vectors(self, model: str) -> tuple[np.ndarray, Features]:
        """One vector `(I, F)` of each item whatever the kind, and the features that it comes from.

        Raises:
            FeaturesError: there are neither vectors nor regions.
        """
        found = self.vector if self.vector is not None else self.regions
        if found is None:
            found = self.wanted("vector", model)
            assert found is not None
        return found.vectors, found
