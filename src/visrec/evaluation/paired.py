"""Two models on the same users: how far apart they are, and whether that can be chance.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from visrec.evaluation.significance import LEVEL, Estimate, SeedNoise, bootstrap, seed_noise

ALPHA = 1 - LEVEL
"""The level of the tests: how often models that are alike may be called different."""

_BLOCK = 1 << 22  # signs held at once: 32 MiB
_SAME = 1e-12  # differences below this are rounding


@dataclass(frozen=True)
class Paired:
    """A model against another, on the same users: always the one minus the other.

    Attributes:
        difference: of the means, with its interval over users (and seeds).
        p: of the randomisation test, in (0, 1].
        effect_size: d_z, the mean of the differences over their standard deviation; None where that is 0.
        better: share of users who are better off with the one.
        worse: share of those who are worse off; the rest see no difference.
        by_user: the differences `(B,)`.
    """

    difference: Estimate
    p: float
    effect_size: float | None
    better: float
    worse: float
    by_user: np.ndarray = field(repr=False, compare=False)

    @cached_property
    def p_wilcoxon(self) -> float:
        """p of Wilcoxon's signed-rank test, in [0, 1]; made when asked for, as SciPy's tests are slow to load."""
        return wilcoxon_test(self.by_user)

    @property
    def equal(self) -> float:
        """Share of users for whom there is no difference."""
        return max(0.0, 1 - self.better - self.worse)

    def is_significant(self, p: float) -> bool:
        """Whether the models differ, given p after the correction for the number of comparisons.

        Two things are asked for: the test over users finds it, and the interval, which knows of the seeds too, leaves
        out 0. The test alone would take a lucky seed for a better model.
        """
        return p <= ALPHA and not self.difference.low <= 0 <= self.difference.high


def compare_paired(
    one: Sequence[np.ndarray], other: np.ndarray, *, seed: int = 0, flips: int = 10_000
) -> list[Paired]:
    """Compare models with one other, all on the same users.

    Args:
        one: of each model its values by user, `(B,)`, or `(S, B)` with a row a seed.
        other: of the model to compare with, likewise; its number of seeds may be another.
        seed: of the tests and intervals.
        flips: random sign changes in each test.

    Returns:
        One comparison a model, in the given order.
    """
    base, base_noise = _over_seeds(other)
    models = [_over_seeds(values) for values in one]
    differences = np.stack([mean - base for mean, _ in models], axis=1)  # (B, n)
    differences[np.abs(differences) < _SAME] = 0.0
    p = randomization_test(differences, seed=seed, flips=flips)
    return [
        Paired(
            bootstrap(column, noise=[*noise, *base_noise], seed=seed),
            float(p[place]),
            _effect_size(column),
            float(np.mean(column > 0)),
            float(np.mean(column < 0)),
            column,
        )
        for place, ((_, noise), column) in enumerate(zip(models, differences.T, strict=True))
    ]


def randomization_test(differences: np.ndarray, *, seed: int = 0, flips: int = 10_000) -> np.ndarray:
    """p of "the two models are alike", two-sided, of paired differences (Fisher 1935; Smucker et al. 2007).

    Were they alike, each user's difference might as well have the other sign. p is the share of random signs under
    which the mean is at least as far from 0: (b + 1) / (m + 1) with b of m such, since the signs as they were found
    are one of the possible choices (Phipson & Smyth 2010), so that it is never 0. No distribution is assumed.

    Args:
        differences: `(B,)`, or `(B, n)` for n comparisons, which share the signs.
        seed: of the signs.
        flips: m.

    Returns:
        `(n,)`, in [1 / (m + 1), 1]; `(1,)` for one.
    """
    table = differences.reshape(len(differences), -1)
    table = table[(table != 0).any(axis=1)]  # a sign does nothing to 0
    total = np.abs(table.sum(axis=0))
    reach = total - 1e-9 * np.abs(table).sum(
        axis=0
    )  # the same sum in another order may differ in its last digits
    rng = np.random.default_rng(seed)
    as_far = np.zeros(table.shape[1], dtype=np.int64)
    step = max(1, _BLOCK // max(1, len(table)))
    for start in range(0, flips, step):
        rows = min(step, flips - start)
        bits = np.frombuffer(rng.bytes((rows * len(table) + 7) // 8), dtype=np.uint8)
        flipped = np.unpackbits(bits, count=rows * len(table)).reshape(rows, len(table))
        sums = table.sum(axis=0) - 2 * (flipped.astype(np.float64) @ table)  # (rows, n)
        as_far += (np.abs(sums) >= reach).sum(axis=0)
    return (as_far + 1) / (flips + 1)


def wilcoxon_test(differences: np.ndarray) -> float:
    """p of Wilcoxon's signed-rank test, two-sided, of differences `(B,)` (Wilcoxon 1945); zeros are left out.

    It asks for the typical user where the mean asks for the sum, so that a few users with much to gain count less.
    Exact for up to 50 users of whom no two see the same difference, else by the normal distribution.
    """
    from scipy.stats import wilcoxon

    differences = differences[differences != 0]
    if len(differences) == 0:
        return 1.0
    is_exact = len(differences) <= 50 and len(np.unique(np.abs(differences))) == len(differences)
    return float(wilcoxon(differences, method="exact" if is_exact else "approx").pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """p-values of a family of comparisons, so corrected that any false alarm among them is as rare as the level says.

    Holm 1979: the smallest times n, the next times n - 1, …, none smaller than the one before, at most 1. Holds
    however the comparisons depend on each other.
    """
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1, np.maximum.accumulate(np.asarray(p, dtype=np.float64)[order] * factors))
    return [float(one) for one in corrected]


def _over_seeds(values: np.ndarray) -> tuple[np.ndarray, list[SeedNoise]]:
    """Each user's mean over the seeds `(B,)`, and what the seeds add to the uncertainty."""
    if values.ndim == 1:
        return values, []
    return values.mean(axis=0), ([seed_noise(values)] if min(values.shape) > 1 else [])


def _effect_size(differences: np.ndarray) -> float | None:
    """Cohen's d_z (Cohen 1988, section 2.3.5): about .2 is called small, .5 medium, .8 large."""
    if not differences.any():
        return 0.0
    sd = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return float(differences.mean()) / sd if sd > _SAME else None
