"""Solvers of where a second place lies: words alone, marks to the left or right, lower ones nearer.

Convention: an option means a step of the observer (right, ahead); turned by the view of the question
it is a step (dx, dz) of the camera, which the difference of the two marks should match.
"""

import numpy as np

from spatial_ssrl.audit.marks import PLACE, mark_table
from spatial_ssrl.audit.puzzle import Features, Puzzle

WORDS = {"left": (-1, 0), "right": (1, 0), "front": (0, 1), "ahead": (0, 1), "back": (0, -1), "behind": (0, -1)}
HEIGHT = ("y", "below horizon", "off horizon")


def camera_steps(puzzle: Puzzle) -> np.ndarray:
    """Steps (dx, dz) of the camera that the options mean, each -1, 0 or 1: (options, 2)."""
    named = [[step for word, step in WORDS.items() if word in text.lower()] for text in puzzle.meanings]
    right, ahead = np.array([np.sum([(0, 0), *steps], axis=0) for steps in named], float).T
    cos, sin = np.round(np.cos(np.radians(puzzle.view))), np.round(np.sin(np.radians(puzzle.view)))
    return np.stack([cos * right - sin * ahead, sin * right + cos * ahead], axis=1)


def position_across(puzzle: Puzzle) -> Features:
    """Only which mark is further right."""
    return _matches(puzzle, ("x",))


def position_height(puzzle: Puzzle) -> Features:
    """Only which mark is higher."""
    return _matches(puzzle, HEIGHT)


def position_place(puzzle: Puzzle) -> Features:
    """Where the marks lie in the picture: the lower one is nearer."""
    features = _matches(puzzle, PLACE)
    both = np.sign(features["dx x, sign"] - features["dz y, sign"])
    return features | {"across, and lower is nearer": both}


def position_look(puzzle: Puzzle) -> Features:
    """How the picture differs at and around the marks."""
    return _matches(puzzle, tuple(name for name in mark_table(puzzle) if name not in PLACE))


def _matches(puzzle: Puzzle, names: tuple[str, ...]) -> Features:
    """Differences between the marks, in value, sign and size, times each step of the options."""
    steps = camera_steps(puzzle)
    features: Features = {}
    for name in names:
        first, second = mark_table(puzzle)[name]
        for axis, step in (("dx", steps[:, 0]), ("dz", steps[:, 1])):
            features |= {f"{axis} {name}": step * (second - first), f"{axis} {name}, sign": step * np.sign(second - first)}
        features[f"|dx| {name}"] = abs(steps[:, 0]) * abs(second - first)
    return features
