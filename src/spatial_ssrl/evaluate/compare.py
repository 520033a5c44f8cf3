"""Do two models differ? Both answered the same questions, so everything is paired.

The difference of each metric with a bootstrap interval over clusters, McNemar's exact test where a question or group is
right or wrong, and the smallest true difference that a comparison of this size would find four times in five.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spatial_ssrl.errors import DatasetError, MissingExtraError
from spatial_ssrl.evaluate.benchmarks import BENCHMARKS
from spatial_ssrl.evaluate.metrics import ROUNDING, TAILS, Metric, bootstrap, mean, over_samples
from spatial_ssrl.evaluate.question import Verdict
from spatial_ssrl.evaluate.results import RESULTS, Results, check_same_questions, figures, split_samples
from spatial_ssrl.evaluate.run import read_verdicts
from spatial_ssrl.statistics import wilson

POWER_80 = 1.959963984540054 + 0.8416212335729143
"""Normal quantiles of a two-sided 5% test and of 80% power."""


@dataclass(frozen=True)
class Difference:
    """Second minus first, in shares of 1."""

    benchmark: str
    metric: str
    units: int
    first: float
    second: float
    low: float
    high: float
    p: float | None
    """McNemar's exact p; None where scores are fractions, by their nature or as means over samples. It takes units to be
    independent; where clusters are large, the interval is the one to trust."""
    gained: int
    """Units that only the second has right."""
    lost: int
    detectable: float
    """The smallest true difference found with 80% power at 5%, given how the two disagree; NaN where they never do."""
    unparsed: tuple[float, float] = (0.0, 0.0)
    """Shares of replies, of each run, in which no answer could be read."""

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first

    @property
    def real(self) -> bool:
        """Whether the interval excludes no difference."""
        return self.low > 0 or self.high < 0


def compare(first: Path, second: Path) -> list[Difference]:
    """Compare two run folders, or two folders with the same benchmarks in them, headlines, other metrics, then categories.

    Raises DatasetError when they hold no results, or results of other questions or data; MissingExtraError without
    scipy.
    """
    return [difference for a, b in _paired_folders(first, second) for difference in _compare_runs(a, b)]


def _paired_folders(first: Path, second: Path) -> Iterator[tuple[Path, Path]]:
    names = sorted({path.parent.relative_to(first) for path in first.rglob(RESULTS)})
    shared = [name for name in names if (second / name / RESULTS).is_file()]
    if not shared:
        raise DatasetError(
            f"{first} and {second} have no {RESULTS} at the same place; give two --out folders of spatial-ssrl eval"
        )
    return ((first / name, second / name) for name in shared)


def _compare_runs(first: Path, second: Path) -> Iterator[Difference]:
    a, b = Results.read(first), Results.read(second)
    check_same_questions((first, second), (a, b))
    if a.policy != b.policy:
        raise DatasetError(f"{first} was read by policy {a.policy}, {second} by {b.policy}; score one again with --policy")
    benchmark = BENCHMARKS[a.benchmark]()
    runs = [read_verdicts(folder) for folder in (first, second)]
    for one, other in zip(*([metric for metric, _ in figures(benchmark, run)] for run in runs), strict=True):
        yield replace(differ(a.benchmark, one, other), unparsed=(a.overall.unparsed, b.overall.unparsed))
    for one, other in _by_category(runs):
        found = differ(a.benchmark, one, other)
        yield replace(found, unparsed=(a.category(found.metric).unparsed, b.category(found.metric).unparsed))


def _by_category(runs: Sequence[Sequence[Verdict]]) -> Iterator[tuple[Metric, Metric]]:
    for category in sorted({v.category for v in runs[0]} - {""}):
        one, other = (
            over_samples([mean(category, [v for v in s if v.category == category]) for s in split_samples(run)])
            for run in runs
        )
        yield one, other


def differ(benchmark: str, first: Metric, second: Metric) -> Difference:
    """The difference of a metric over the same units. Raises MissingExtraError without scipy.

    Where all resamples agree, as many clusters as Wilson's limit allows unseen may have changed to the worst or the best.
    """
    one, other = bootstrap([first, second])
    low, high = np.percentile(other - one, TAILS)
    if high - low < ROUNDING:  # nothing varies: a few clusters, or no unit on which the two differ
        unseen = wilson(0, len(first.cluster_names))[1]
        low, high = low - unseen * (1 + low), high + unseen * (1 - high)
    gained, lost, p = _mcnemar(first, second)
    spread = float((other - one).std(ddof=1))
    return Difference(
        benchmark=benchmark,
        metric=first.name,
        units=first.n,
        first=first.value,
        second=second.value,
        low=float(low),
        high=float(high),
        p=p,
        gained=gained,
        lost=lost,
        detectable=POWER_80 * spread if spread > ROUNDING else float("nan"),
    )


def _mcnemar(first: Metric, second: Metric) -> tuple[int, int, float | None]:
    """Units that only the second, or only the first, has right, and the exact two-sided p of such a split."""
    try:
        from scipy.stats import binomtest
    except ImportError:
        raise MissingExtraError("scipy", "eval") from None
    one, other = (np.concatenate([part.scores for part in metric.parts]) for metric in (first, second))
    gained, lost = int((other > one).sum()), int((other < one).sum())
    binary = len(first.parts) == 1 and bool(np.isin(np.concatenate([one, other]), (0.0, 1.0)).all())
    if not binary:
        return gained, lost, None
    return gained, lost, float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
