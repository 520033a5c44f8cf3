"""Solvers of which pair of marks is farther apart in space: the one that is so in the picture, higher, steeper.

Convention: an option names two marks by their labels, from 1; what is found of both is summed, and subtracted.
"""

import numpy as np

from spatial_ssrl.audit.marks import PLACE, mark_table
from spatial_ssrl.audit.puzzle import Features, Puzzle


def distance_length(puzzle: Puzzle) -> Features:
    """How far apart the marks of each pair are in the picture, and along each of its axes."""
    step = np.abs(np.diff(_pairs(puzzle), axis=1))[:, 0] / puzzle.pictures[0].shape[0]
    length = np.hypot(*step.T)
    slope = np.arctan2(step[:, 1], step[:, 0])
    return {"length": length, "log length": np.log(length + 1e-3), "across": step[:, 0], "down": step[:, 1], "slope": slope}


def distance_height(puzzle: Puzzle) -> Features:
    """Only how high the pairs lie."""
    y = _pairs(puzzle)[:, :, 1] / puzzle.pictures[0].shape[0]
    return {"middle": y.mean(axis=1), "higher end": y.min(axis=1), "lower end": y.max(axis=1)}


def distance_place(puzzle: Puzzle) -> Features:
    """Where the marks lie, and how long a pair is for its height: as on a floor that rises to a horizon."""
    length, height = distance_length(puzzle), distance_height(puzzle)
    floor = {
        f"length over height {horizon:.1f}": length["log length"] - np.log(np.maximum(height["middle"] - horizon, 0.05))
        for horizon in (0.0, 0.2, 0.4)
    }
    return length | height | floor | _sums(puzzle, PLACE)


def distance_look(puzzle: Puzzle) -> Features:
    """What the picture shows at and around the marks of each pair."""
    return _sums(puzzle, tuple(name for name in mark_table(puzzle) if name not in PLACE))


def _pairs(puzzle: Puzzle) -> np.ndarray:
    """Marks of the pair that each option names: (options, 2, 2), x and y in pixels."""
    return np.array(puzzle.marks, float)[_labels(puzzle)]


def _labels(puzzle: Puzzle) -> list[list[int]]:
    return [[int(word) - 1 for word in text.split() if word.isdigit()] for text in puzzle.meanings]


def _sums(puzzle: Puzzle, names: tuple[str, ...]) -> Features:
    """Sum and size of the difference of each number over the marks of a pair."""
    features: Features = {}
    for name in names:
        first, second = mark_table(puzzle)[name][_labels(puzzle)].T
        features |= {f"{name}, both": first + second, f"{name}, step": np.abs(first - second)}
    return features
