"""Metrics as weighted means over units, so that one bootstrap serves all of them.

A unit is what is right or wrong as a whole: a question, or a group of questions that must all be right (circular
rotations, pairs, figures). A part is a mean over units; a metric is a weighted sum of parts, for example a macro average
over tasks. Units of one cluster are drawn together.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from spatial_ssrl.evaluate.question import Verdict
from spatial_ssrl.rng import generator
from spatial_ssrl.statistics import wilson

RESAMPLES = 2000
CHUNK = 4_000_000
"""Cluster weights held at a time."""
TAILS = (2.5, 97.5)
ROUNDING = 1e-9
"""Resamples that differ by less agree."""


@dataclass(frozen=True)
class Part:
    """A mean over units: scores in [0, 1] and the cluster of each."""

    weight: float
    scores: np.ndarray
    clusters: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Mean score of the units."""
        return float(self.scores.mean())


@dataclass(frozen=True)
class Metric:
    """A figure in [0, 1] and all that its uncertainty depends on."""

    name: str
    parts: tuple[Part, ...]

    @property
    def value(self) -> float:
        """The weighted sum of the parts' means."""
        return float(sum(part.weight * part.mean for part in self.parts))

    @property
    def n(self) -> int:
        """Units in all parts."""
        return sum(len(part.scores) for part in self.parts)

    @property
    def cluster_names(self) -> list[str]:
        """The clusters, sorted."""
        return sorted({name for part in self.parts for name in part.clusters})

    @property
    def plain(self) -> bool:
        """Whether it is a proportion of independent units, for which Wilson's interval is right."""
        part = self.parts[0]
        alone = len(self.parts) == 1 and len(set(part.clusters)) == len(part.clusters)
        return alone and bool(np.isin(part.scores, (0.0, 1.0)).all())

    def interval(self) -> tuple[float, float]:
        """95% interval: Wilson's for a proportion of independent units, else a bootstrap over clusters.

        Where all resamples agree (everything right, or wrong, or one cluster) it is Wilson's over clusters.
        """
        if self.plain:
            return wilson(round(float(self.parts[0].scores.sum())), self.n)
        values = bootstrap([self])[0]
        low, high = np.percentile(values, TAILS)
        if high - low > ROUNDING:
            return float(low), float(high)
        clusters = len(self.cluster_names)
        return wilson(self.value * clusters, clusters)


def bootstrap(metrics: Sequence[Metric], resamples: int = RESAMPLES) -> np.ndarray:
    """Values of metrics over the same units (metrics, resamples), clusters drawn anew with replacement each time.

    The metrics see the same draws, so their differences are paired. A part that a draw leaves without units
    keeps its own mean. The draws depend on the number of clusters alone.
    """
    names = metrics[0].cluster_names
    index = {name: i for i, name in enumerate(names)}
    sums = np.stack([_sums(part, index) for metric in metrics for part in metric.parts])
    counts = np.stack([_counts(part, index) for metric in metrics for part in metric.parts])
    weights = np.array([part.weight for metric in metrics for part in metric.parts])
    means = np.array([part.mean for metric in metrics for part in metric.parts])
    owner = np.repeat(np.arange(len(metrics)), [len(metric.parts) for metric in metrics])
    rng, size, values = generator("bootstrap", len(names)), max(1, CHUNK // len(names)), []
    for start in range(0, resamples, size):
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), min(size, resamples - start)).T
        units = counts @ drawn
        shares = np.where(units > 0, sums @ drawn / np.maximum(units, 1), means[:, None]) * weights[:, None]
        values.append(np.stack([shares[owner == i].sum(axis=0) for i in range(len(metrics))]))
    return np.concatenate(values, axis=1)


def _sums(part: Part, index: dict[str, int]) -> np.ndarray:
    return np.bincount([index[name] for name in part.clusters], weights=part.scores, minlength=len(index))


def _counts(part: Part, index: dict[str, int]) -> np.ndarray:
    return np.bincount([index[name] for name in part.clusters], minlength=len(index)).astype(float)


def mean(name: str, verdicts: Sequence[Verdict]) -> Metric:
    """The mean over questions."""
    return Metric(name, (_part(1.0, verdicts),))


def weighted(name: str, groups: Iterable[tuple[float, Sequence[Verdict]]]) -> Metric:
    """A weighted sum of means over groups of questions."""
    return Metric(name, tuple(_part(weight, group) for weight, group in groups))


def all_right(name: str, verdicts: Sequence[Verdict], key: Callable[[Verdict], str]) -> Metric:
    """The share of groups of questions with the same key whose worst score is right."""
    groups: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault(key(verdict), []).append(verdict)
    scores = np.array([min(v.accuracy for v in group) for group in groups.values()])
    return Metric(name, (Part(1.0, scores, tuple(group[0].cluster for group in groups.values())),))


def average(name: str, metrics: Sequence[Metric]) -> Metric:
    """The plain mean of metrics."""
    parts = [Part(part.weight / len(metrics), part.scores, part.clusters) for metric in metrics for part in metric.parts]
    return Metric(name, tuple(parts))


def over_samples(metrics: Sequence[Metric]) -> Metric:
    """One metric of several samples of the same questions: each unit's score is its mean over the samples."""
    parts = [
        Part(same[0].weight, np.mean([part.scores for part in same], axis=0), same[0].clusters)
        for same in zip(*(metric.parts for metric in metrics), strict=True)
    ]
    return Metric(metrics[0].name, tuple(parts))


def _part(weight: float, verdicts: Sequence[Verdict]) -> Part:
    return Part(weight, np.array([v.accuracy for v in verdicts]), tuple(v.cluster for v in verdicts))
