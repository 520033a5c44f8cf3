"""The table of the audit: a line for each variant and each attack."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spatial_ssrl.audit.attacks import Attack, attacks_on, cross_fit
from spatial_ssrl.audit.example import Example
from spatial_ssrl.statistics import wilson

LIMIT, POSITION_LIMIT = 0.15, 0.10
"""Largest allowed gap between a solver's accuracy and its floor."""
POSITION_FLOOR = 0.5
"""Left or right may be read off the picture: half of what a position question asks."""


@dataclass(frozen=True)
class Line:
    """How one attack fares on one variant."""

    task: str
    variant: str
    solver: str
    head: str
    n: int
    accuracy: float
    low: float
    """Wilson's 95% interval."""
    high: float
    chance: float
    floor: float
    """Accuracy that is not held against the rows."""
    gap: float
    """Accuracy above the floor."""
    limit: float
    """Largest gap that passes."""


def lines_of(task: str, variant: str, examples: Sequence[Example]) -> list[Line]:
    """All attacks on the rows of one variant, the widest gap first."""
    found = []
    for attack in attacks_on(examples[0]):
        credit = cross_fit(attack, examples)
        if credit is not None:
            found.append(_line(task, variant, attack, credit, float(np.mean([e.chance for e in examples]))))
    return sorted(found, key=lambda line: -line.gap)


def _line(task: str, variant: str, attack: Attack, credit: np.ndarray, chance: float) -> Line:
    n, accuracy = len(credit), float(credit.mean())
    low, high = wilson(round(float(credit.sum())), n)
    lenient = task == "position" and attack.sees_picture
    floor, limit = (POSITION_FLOOR, POSITION_LIMIT) if lenient else (chance, LIMIT)
    return Line(task, variant, attack.solver, attack.head, n, accuracy, low, high, chance, floor, accuracy - floor, limit)


def strongest(lines: Sequence[Line]) -> dict[tuple[str, str], Line]:
    """The line with the widest gap above its limit, of each variant."""
    groups: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        groups[line.task, line.variant].append(line)
    return {key: max(group, key=lambda line: line.gap - line.limit) for key, group in groups.items()}
