"""How sure a mean is: bootstrap intervals over users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEW_USERS = 30
"""Over fewer users, a mean says little and a bootstrap less than it claims."""

_BLOCK = 1 << 22  # resampled values held at once: 32 MiB


@dataclass(frozen=True)
class Estimate:
    """A mean and the interval that covers the true one in 95 of 100 data sets like this."""

    mean: float
    low: float
    high: float


def bootstrap(values: np.ndarray, *, seed: int = 0, resamples: int = 1000, level: float = 0.95) -> Estimate:
    """Percentile bootstrap of a mean (Efron 1979).

    Args:
        values: `(B,)` one value a user; for the difference of two models, the differences on the same users.
        seed: of the resampling.
        resamples: how many.
        level: the share covered, in (0, 1).
    """
    n = len(values)
    rng = np.random.default_rng(seed)
    means = []
    step = max(1, _BLOCK // max(1, n))
    for start in range(0, resamples, step):
        drawn = rng.integers(0, n, size=(min(step, resamples - start), n))
        means.append(values[drawn].mean(axis=1))
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Estimate(float(values.mean()), float(low), float(high))


def caution(n_users: int, what: str = "are evaluated") -> str | None:
    """A sentence on intervals over so few users that they mislead; None where there are enough.

    A bootstrap draws from the values that it was given: of people it has not seen it knows nothing, so over few users
    its intervals are too narrow (0 wide where all values are equal).
    """
    if n_users >= FEW_USERS:
        return None
    who = "1 user" if n_users == 1 else f"{n_users} users"
    return (
        f"Only {who} {what}: that is too few to compare models by. A bootstrap over fewer than {FEW_USERS} users "
        f"understates how uncertain a mean is, also where it gives ±0."
    )
