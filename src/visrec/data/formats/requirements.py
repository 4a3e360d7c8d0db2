"""What programs want of a data set that is written for them, and how it is said where it is not so."""

from __future__ import annotations

import polars as pl

from visrec.data.file_names import is_plain
from visrec.data.foreign import ForeignData, ForeignFeatures
from visrec.errors import ConfigError, DataError


def need_interactions(data: ForeignData, program: str) -> pl.DataFrame:
    """The interactions of a data set.

    Raises:
        DataError: there are none.
    """
    if data.interactions is None:
        raise DataError(f"The data set has no interactions, which all models of {program} learn from.")
    return data.interactions


def need_vectors(features: ForeignFeatures, program: str) -> None:
    """Refuse features of regions where there is a place for one vector an item.

    Raises:
        DataError: they are regions.
    """
    if len(features.shape) != 1:
        raise DataError(
            f"Features {features.name}: {' x '.join(map(str, features.shape))} numbers an item; files of {program} "
            f"hold one vector each. Bring features that are pooled."
        )


def need_plain_name(name: str) -> None:
    """Refuse a name of files that not every system can store.

    Raises:
        ConfigError: it is such a name.
    """
    if not is_plain(name):
        raise ConfigError(f"--set name={name}: is no plain file name; use letters, digits, - and _.")
