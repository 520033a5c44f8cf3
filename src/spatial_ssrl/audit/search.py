"""Likely orders of patches, where there are too many to list: a beam search over the places, row by row."""

import numpy as np

from spatial_ssrl.audit.puzzle import Puzzle
from spatial_ssrl.audit.shuffle import neighbour_costs

BEAM = 200
KEPT = 40
"""Orders that the search by one cost proposes."""
GUIDES = ("Mahalanobis", "smoothed L1", "raw flat", "even linear 6", "even linear 12", "even contour 12", "steps 6")


def propose(puzzle: Puzzle) -> tuple[str, ...]:
    """The orders, as answers, that some cost, or the mean of all, finds best."""
    tables = {name: table for name, table in neighbour_costs(puzzle).items() if name.endswith("rivals")}
    guides = [tables[f"{name}, rivals"] for name in GUIDES]
    guides.append(np.mean([table / (table.std() + 1e-9) for table in tables.values()], axis=0))
    found = [order for table in guides for order in search(table, *puzzle.grid)[:KEPT]]
    listed = dict.fromkeys("-".join(map(str, order)) for order in found)
    identity = "-".join(map(str, range(len(puzzle.boxes))))
    return tuple(order for order in listed if not (puzzle.never_identity and order == identity))


def search(costs: np.ndarray, rows: int, columns: int) -> list[tuple[int, ...]]:
    """Orders from the cheapest on; costs (2, n, n) as of `neighbour_costs`."""
    beam: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for place in range(rows * columns):
        grown = [
            (cost + _step(costs, order, patch, place, columns), (*order, patch))
            for cost, order in beam
            for patch in range(rows * columns)
            if patch not in order
        ]
        beam = sorted(grown)[:BEAM]
    return [order for _, order in beam]


def _step(costs: np.ndarray, order: tuple[int, ...], patch: int, place: int, columns: int) -> float:
    """What a patch adds at a place: its cost beside the one before, and below the one above."""
    beside = costs[0, order[place - 1], patch] if place % columns else 0.0
    return float(beside + (costs[1, order[place - columns], patch] if place >= columns else 0.0))
