"""Solvers of shuffled patches: neighbours continue each other, and sky is above ground."""

from functools import lru_cache

import numpy as np

from spatial_ssrl.audit.appearance import STATISTICS, statistics, tilt
from spatial_ssrl.audit.continuity import pair_costs
from spatial_ssrl.audit.edges import edges_of
from spatial_ssrl.audit.puzzle import Features, Puzzle
from spatial_ssrl.tasks.marks import INSET, badge_radius


def label_side(puzzle: Puzzle) -> int:
    """Side in pixels of the square at a patch's top left corner that a label may cover."""
    shorter = min(puzzle.patches[0].shape[:2])
    return 2 * min(badge_radius(min(puzzle.pictures[0].shape[:2])), (shorter - INSET) // 2 - 1) + INSET + 2


def visible(puzzle: Puzzle) -> np.ndarray:
    """Which patches, in shown order, are not the one that the question says is painted white: (n,)."""
    shown, side = np.ones(len(puzzle.patches), dtype=bool), label_side(puzzle)
    if puzzle.variant.endswith("-masked"):
        shown[np.argmax([patch[side:, side:].mean() for patch in puzzle.patches])] = False
    return shown


@lru_cache(maxsize=1)
def neighbour_costs(puzzle: Puzzle) -> dict[str, np.ndarray]:
    """By cost, (2, n, n): patch j to the right of patch i, and patch j below it; blank patches cost nothing."""
    edges, seen = edges_of(puzzle.patches, label_side(puzzle)), visible(puzzle)
    first, second = np.nonzero(~np.eye(len(seen), dtype=bool) & seen[:, None] & seen)
    right = pair_costs(edges["right"][first], edges["left"][second])
    below = pair_costs(edges["bottom"][first], edges["top"][second])
    tables: dict[str, np.ndarray] = {}
    for name in right:
        table = np.zeros((2, len(seen), len(seen)))
        table[0, first, second], table[1, first, second] = right[name], below[name]
        tables[name] = table
        tables[f"{name}, rivals"] = np.stack([_against_rivals(t, first, second) for t in table])
    return tables


def _against_rivals(table: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Costs as negative log shares among all second patches of a first one, and the other way."""
    scaled = np.full(table.shape, np.inf)
    scaled[first, second] = table[first, second] / (table[first, second].std() + 1e-9)
    weights = np.exp(-(scaled - scaled[first, second].min(initial=0.0)))
    shares = weights / (weights.sum(axis=1, keepdims=True) + 1e-12) * (weights / (weights.sum(axis=0) + 1e-12))
    result = np.zeros(table.shape)
    result[first, second] = -np.log(shares[first, second] + 1e-9)
    return result


def orders(puzzle: Puzzle) -> np.ndarray:
    """The candidates as arrays: shown patch at each original place, int (candidates, n)."""
    return np.array([list(map(int, answer.split("-"))) for answer in puzzle.answers])


def adjoining(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of places side by side, and one above the other: two int arrays (pairs, 2)."""
    place = np.arange(rows * columns).reshape(rows, columns)
    beside = np.stack([place[:, :-1].ravel(), place[:, 1:].ravel()], axis=1)
    return beside, np.stack([place[:-1].ravel(), place[1:].ravel()], axis=1)


def shuffle_seams(puzzle: Puzzle) -> Features:
    """For each order, minus the sum of every cost over all neighbours."""
    candidates, pairs = orders(puzzle), adjoining(*puzzle.grid)
    return {
        name: -sum(table[d][candidates[:, p[:, 0]], candidates[:, p[:, 1]]].sum(axis=1) for d, p in enumerate(pairs))
        for name, table in neighbour_costs(puzzle).items()
    }


def shuffle_layout(puzzle: Puzzle) -> Features:
    """For each order, how far every statistic of the patches grows downwards, rightwards and outwards."""
    clean = [
        patch[:, label_side(puzzle) :] if patch.shape[1] > 2 * label_side(puzzle) else patch for patch in puzzle.patches
    ]
    table = np.stack([np.r_[statistics(patch), tilt(patch).ravel()] for patch in clean])
    seen = visible(puzzle)[:, None]
    table = np.where(seen, table - table[seen[:, 0]].mean(axis=0), 0)
    place = np.stack(np.unravel_index(np.arange(len(table)), puzzle.grid), axis=1) - (np.array(puzzle.grid) - 1) / 2
    directions = {"down": place[:, 0], "right": place[:, 1], "out": abs(place).sum(axis=1) - abs(place).sum(axis=1).mean()}
    names = [*STATISTICS, *(f"tilt {i}" for i in range(10))]
    sums = {key: np.einsum("ckf,k->cf", table[orders(puzzle)], d) for key, d in directions.items() if d.any()}
    return {f"{name} {key}": values[:, i] for key, values in sums.items() for i, name in enumerate(names)}
