"""Solvers of distance: low, sharp or bright marks are the near ones."""

import numpy as np

from spatial_ssrl.audit.marks import PLACE, mark_table
from spatial_ssrl.audit.puzzle import Features, Puzzle


def depth_place(puzzle: Puzzle) -> Features:
    """For each answer, how well it agrees with where the marks lie in the picture."""
    return _agreement(puzzle, PLACE)


def depth_look(puzzle: Puzzle) -> Features:
    """For each answer, how well it agrees with the picture at and around the marks."""
    return _agreement(puzzle, tuple(name for name in mark_table(puzzle) if name not in PLACE))


def _agreement(puzzle: Puzzle, names: tuple[str, ...]) -> Features:
    """Sum over the marks of each number, and of its rank, weighted by the answer (see `weights`)."""
    w, table = weights(puzzle), {name: mark_table(puzzle)[name] for name in names}
    ranks = {f"{name}, rank": values.argsort().argsort().astype(float) for name, values in table.items()}
    return {name: w @ values for name, values in {**table, **ranks}.items()}


def weights(puzzle: Puzzle) -> np.ndarray:
    """What each answer says of each mark: (candidates, marks).

    An order counts from 1 for its first mark to -1 for its last one; a choice gives its mark 1, or -1
    where only the farthest was asked for, and the others 0.
    """
    text = puzzle.wording.lower()
    choice = -1.0 if "farthest" in text and "nearest" not in text else 1.0
    count, rows = len(puzzle.marks), []
    for answer, meaning in zip(puzzle.answers, puzzle.meanings, strict=True):
        chosen = _labels(answer, meaning)
        row = np.zeros(count)
        row[chosen] = np.linspace(1, -1, len(chosen)) if len(chosen) > 1 else choice
        rows.append(row)
    return np.array(rows)


def _labels(answer: str, meaning: str) -> list[int]:
    """Marks named by an answer, from 0: labels count from 1, letters from A."""
    digits = [int(part) - 1 for part in meaning.replace("-", " ").split() if part.isdigit()]
    return digits or [ord(answer) - ord("A")]
