"""Intervals for proportions."""

import math

Z_95 = 1.959963984540054
"""Two-sided 95% quantile of the normal distribution."""


def wilson(correct: float, n: int) -> tuple[float, float]:
    """Wilson's 95% score interval for `correct` out of `n`; (0, 1) when n is 0."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = correct / n, Z_95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return (centre - half if correct else 0.0), (centre + half if correct < n else 1.0)
