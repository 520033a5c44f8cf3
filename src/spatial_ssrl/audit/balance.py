"""Whether answers, letters and wordings are equally frequent, and how decided the answers are."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spatial_ssrl.audit.puzzle import Puzzle
from spatial_ssrl.row import Row

FEWEST_EXPECTED = 5
"""A chi-square test is made where each outcome is expected at least so often."""


@dataclass(frozen=True)
class Balance:
    """Chi-square test of equal frequency."""

    task: str
    variant: str
    what: str
    """answer, meaning of the option, or view"""
    counts: dict[str, int]
    p_value: float
    significant: bool
    """p < 0.001 after Bonferroni's correction for all tests of the dataset."""


@dataclass(frozen=True)
class Margins:
    """How decided the answers of a variant are, in the task's unit."""

    task: str
    variant: str
    smallest: float
    percentile_5: float
    median: float
    threshold: float


def balance_of(rows: Sequence[Row]) -> list[Balance]:
    """Tests of every variant that has rows enough."""
    from scipy.stats import chisquare

    tests = [(key, what, counts) for key, group in _groups(rows) for what, counts in _tallies(group).items()]
    tests = [t for t in tests if len(t[2]) > 1 and sum(t[2].values()) >= FEWEST_EXPECTED * len(t[2])]
    found = []
    for (task, variant), what, counts in tests:
        p = float(chisquare(list(counts.values())).pvalue)
        found.append(Balance(task, variant, what, counts, p, bool(p * len(tests) < 0.001)))
    return found


def _groups(rows: Sequence[Row]) -> list[tuple[tuple[str, str], list[Row]]]:
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["task"], row["variant"]].append(row)
    return sorted(groups.items())


def _tallies(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Frequencies by what is counted; what can be an answer and never is counts as 0."""
    first = Puzzle.from_row(rows[0])
    if not first.answers:
        return {}
    tallies = {"answer": _count(first.answers, [row["answer"] for row in rows])}
    if first.options:
        meant = [(row["options"] or [])[ord(row["answer"]) - ord("A")] for row in rows]
        tallies["meaning"] = _count(first.options, meant)
    views = [str(Puzzle.from_row(row).view) for row in rows]
    return {**tallies, "view": _count(sorted(set(views)), views)}


def _count(possible: Sequence[str], found: Sequence[str]) -> dict[str, int]:
    counts = Counter(found)
    return {name: counts[name] for name in (*possible, *sorted(set(found) - set(possible)))}


def margins_of(rows: Sequence[Row]) -> list[Margins]:
    """Distribution of the margins of every variant."""
    found = []
    for (task, variant), group in _groups(rows):
        values = np.array([row["margin"] for row in group])
        low, middle = np.quantile(values, [0.05, 0.5])
        threshold = max(row["margin_threshold"] for row in group)
        found.append(Margins(task, variant, float(values.min()), float(low), float(middle), float(threshold)))
    return found
