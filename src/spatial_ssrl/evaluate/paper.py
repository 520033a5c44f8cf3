"""The published rows of Spatial-SSRL (arXiv 2510.27606), to be shown beside ours, and which of its gains exceed the noise.

Nothing is known of the published replies but their rates, so a gain is judged twice, by exact tests at 5%: as if the two
models' errors were independent, and as if the better one lost nothing that the other had, the least that noise can do.
Models mostly fail on the same questions, so noise is mostly less than between independent ones. Questions that share a
picture or scene are taken for independent; allowing for it, which takes the replies, would make noise greater.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from spatial_ssrl.errors import MissingExtraError
from spatial_ssrl.evaluate.benchmarks import GENERAL, SPATIAL
from spatial_ssrl.evaluate.benchmarks.hallusionbench import HallusionBench
from spatial_ssrl.evaluate.results import Results

COLUMNS = tuple(kind.name for kind in SPATIAL)

ROWS: dict[str, tuple[float, ...]] = {
    "Qwen2.5-VL-3B direct": (33.70, 50.30, 54.65, 33.66, 85.85, 35.38, 27.84),
    "Qwen2.5-VL-3B reasoning": (34.82, 49.47, 50.55, 30.66, 83.54, 34.23, 30.67),
    "Spatial-SSRL-3B": (46.07, 51.72, 59.59, 39.60, 86.71, 36.62, 33.49),
    "Qwen2.5-VL-7B direct": (44.67, 53.39, 62.37, 46.53, 86.95, 36.83, 38.08),
    "Qwen2.5-VL-7B reasoning": (44.88, 54.55, 61.12, 46.53, 70.61, 36.66, 32.69),
    "Spatial-SSRL-7B": (53.34, 56.53, 64.03, 54.46, 90.61, 37.81, 39.29),
    "Qwen3-VL-4B direct": (53.43, 56.46, 63.04, 63.37, 98.78, 39.09, 46.82),
    "Qwen3-VL-4B reasoning": (55.25, 55.83, 71.69, 61.39, 96.83, 41.79, 38.82),
    "Spatial-SSRL-4B": (57.12, 59.48, 72.38, 59.41, 97.44, 42.07, 42.13),
}
"""Percentages in the order of COLUMNS."""

GENERAL_ROWS: dict[str, tuple[float, ...]] = {
    "Qwen2.5-VL-3B direct": (77.25, 48.97, 46.03, 65.23, 82.6, 84.08, 68.69),
    "Spatial-SSRL-3B": (78.29, 50.92, 49.66, 66.67, 84.1, 83.08, 68.56),
    "Qwen2.5-VL-7B direct": (82.23, 55.87, 52.26, 68.63, 88.5, 86.44, 70.93),
    "Spatial-SSRL-7B": (82.60, 56.23, 53.18, 69.28, 89.6, 88.08, 71.85),
}
"""Percentages in the order of GENERAL."""

PUBLISHED: dict[str, dict[str, float]] = {
    model: dict(zip(COLUMNS, row, strict=True))
    | dict(zip((kind.name for kind in GENERAL), GENERAL_ROWS.get(model, ()), strict=False))
    for model, row in ROWS.items()
}
"""By model and benchmark."""

GAINS = {
    "Spatial-SSRL-3B": "Qwen2.5-VL-3B direct",
    "Spatial-SSRL-7B": "Qwen2.5-VL-7B direct",
    "Spatial-SSRL-4B": "Qwen3-VL-4B direct",
}
"""A trained model and the base that it is compared with."""

LEVEL = 0.05
"""Of the tests."""

SIZES = {kind.name: kind.size for kind in (*SPATIAL, *GENERAL) if kind.size and kind is not HallusionBench}
"""Questions of the benchmarks of known size whose figure is a mean over them."""


def plain_mean(values: Mapping[str, float]) -> float | None:
    """The mean over the seven columns, or None where one is missing: the paper's last column."""
    return math.fsum(values[name] for name in COLUMNS) / len(COLUMNS) if all(n in values for n in COLUMNS) else None


@dataclass(frozen=True)
class Gain:
    """A published difference, in points, against sampling noise, clusters left aside."""

    model: str
    base: str
    benchmark: str
    points: float
    independent_p: float
    """Fisher's exact p: errors independent."""
    best_p: float
    """McNemar's exact p, had the better model lost nothing."""

    @property
    def verdict(self) -> str:
        """ "yes" even if errors were independent, "no" even if nothing was lost, or "open": the replies would tell."""
        if self.independent_p < LEVEL:
            return "yes"
        return "no" if self.best_p > LEVEL else "open"


def published_gains(runs: Mapping[str, Mapping[str, Results]] | None = None) -> list[Gain]:
    """Each of the paper's gains over its base, on benchmarks whose size is known, or told by a whole run among `runs`.

    Raises MissingExtraError without scipy.
    """
    sizes = _sizes(runs or {})
    told = [(model, base, name) for model, base in GAINS.items() for name in sizes if name in PUBLISHED[base]]
    return [_gain(model, base, name, sizes[name]) for model, base, name in told if name in PUBLISHED[model]]


def _sizes(runs: Mapping[str, Mapping[str, Results]]) -> dict[str, int]:
    """By benchmark, in the order of the paper; HallusionBench's figure is no mean over questions."""
    whole = [r for run in runs.values() for r in run.values() if r.overall.n == r.data.questions]
    known = {r.benchmark: r.headline.units for r in whole} | SIZES
    return {k.name: known[k.name] for k in (*SPATIAL, *GENERAL) if k.name in known and k is not HallusionBench}


def _gain(model: str, base: str, benchmark: str, n: int) -> Gain:
    try:
        from scipy.stats import binomtest, fisher_exact
    except ImportError:
        raise MissingExtraError("scipy", "eval") from None
    after, before = PUBLISHED[model][benchmark], PUBLISHED[base][benchmark]
    right = [round(share / 100 * n) for share in (after, before)]
    independent = float(fisher_exact([[count, n - count] for count in right]).pvalue)
    won = abs(right[0] - right[1])
    return Gain(model, base, benchmark, after - before, independent, float(binomtest(won, won).pvalue) if won else 1.0)
