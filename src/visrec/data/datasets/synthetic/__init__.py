"""A made-up shop of art prints: pictures drawn by code, users whose tastes are known.

The one data set that needs no download and no permission, and the one where a model can be compared
with the truth: `Truth.utility` is the best that any model could learn.
"""

from __future__ import annotations

from visrec.data.datasets.named import NamedDataset
from visrec.data.datasets.synthetic.settings import SyntheticConfig
from visrec.data.datasets.synthetic.truth import Terms, Truth
from visrec.data.datasets.synthetic.writing import write_synthetic

SYNTHETIC = NamedDataset(
    name="synthetic",
    title="A made-up shop of art prints",
    what="pictures drawn by code, people whose tastes are known",
    size="700 users, 2,000 items, some 12,000 interactions, 60 MB; or as many as you like",
    licence="Apache-2.0, as visrec",
    citation="the visrec authors",
    home="drawn here: visrec datasets synthetic --out FOLDER",
    files=(),
)

__all__ = ["SYNTHETIC", "SyntheticConfig", "Terms", "Truth", "write_synthetic"]
