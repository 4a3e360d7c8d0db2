"""A made-up shop of art prints: pictures drawn by code, users whose tastes are known.

The one data set that needs no download and no permission, and the one where a model can be compared
with the truth: `Truth.utility` is the best that any model could learn.
"""

from __future__ import annotations

from visrec.data.datasets.synthetic.settings import SyntheticConfig
from visrec.data.datasets.synthetic.truth import Terms, Truth
from visrec.data.datasets.synthetic.writing import write_synthetic

__all__ = ["SyntheticConfig", "Terms", "Truth", "write_synthetic"]
