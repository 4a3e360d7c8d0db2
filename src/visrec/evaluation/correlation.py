"""Whether two measures order a handful of things alike: Spearman's rank correlation, with an exact p-value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

EXACT = 8
"""Up to so many things all their orders are gone through: 8! = 40,320."""

LEAST = 4
"""With fewer things than this no order means anything: 3 fall into the same order by chance in 1 of 6 cases."""

_DRAWS = 20_000  # orders drawn where there are too many to go through
_LEVEL = 0.05


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rho of n pairs.

    Attributes:
        rho: in [-1, 1]; None where one side is all alike or n < 2.
        p: two-sided: the share of all orders whose rho is as far from 0; None where rho is.
        n: how many pairs.
    """

    rho: float | None
    p: float | None
    n: int

    def sentence(self, things: str, one: str, other: str) -> str:
        """What it means, such as "5 networks: …".

        Args:
            things: the plural of what was compared.
            one: the first measure.
            other: the second measure.
        """
        if self.n < LEAST:
            return f"Too few {things} to say: {self.n} with a known {one}, and it takes {LEAST} or more."
        if self.rho is None or self.p is None:
            return f"Nothing to say: all {self.n} {things} have the same {one}, or the same {other}."
        figures = (
            f"Spearman's ρ = {self.rho:+.2f} over {self.n} {things}, permutation test p = {_written(self.p)}"
        )
        least = 2 / math.factorial(self.n)
        if self.p < _LEVEL:
            how = "higher" if self.rho > 0 else "lower"
            return f"A higher {one} goes with a {how} {other} ({figures})."
        hint = (
            f"; with so few even a perfect order would have p = {_written(least)}" if least >= _LEVEL else ""
        )
        return f"No relation of {one} and {other} that could not be chance ({figures}{hint})."


def rank_correlation(x: Sequence[float], y: Sequence[float], *, seed: int = 0) -> RankCorrelation:
    """Spearman's rho of pairs, ties by mid-ranks, and a permutation test of it (Spearman 1904; Fisher 1935).

    Args:
        x: `(n,)`.
        y: `(n,)`.
        seed: of the orders that are drawn where n > `EXACT`.
    """
    from scipy.stats import rankdata

    n = len(x)
    if n < 2:
        return RankCorrelation(None, None, n)
    a, b = (rankdata(values) - (n + 1) / 2 for values in (x, y))  # (n,) each, of sum 0
    scale = math.sqrt(float(a @ a) * float(b @ b))
    if scale == 0:
        return RankCorrelation(None, None, n)
    rho = float(a @ b) / scale
    if n <= EXACT:
        orders = np.array(list(permutations(range(n))))  # (n!, n)
        extra = 0
    else:
        orders = np.random.default_rng(seed).permuted(np.tile(np.arange(n), (_DRAWS, 1)), axis=1)
        extra = 1  # the order that was found is one of them
    as_far = int((np.abs(b[orders] @ a) / scale >= abs(rho) - 1e-12).sum())
    return RankCorrelation(rho, (as_far + extra) / (len(orders) + extra), n)


def _written(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
