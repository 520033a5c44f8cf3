"""Solvers of one altered patch (mirrored or turned): undo each candidate, and see what fits better."""

import numpy as np

from spatial_ssrl.audit.appearance import tilt
from spatial_ssrl.audit.continuity import pair_costs
from spatial_ssrl.audit.edges import edges_of, unlabel
from spatial_ssrl.audit.puzzle import Features, Puzzle
from spatial_ssrl.audit.shuffle import adjoining, label_side
from spatial_ssrl.tasks.grid import resize

ACROSS = (("right", "left"), ("bottom", "top"))
"""Sides that meet where one patch is beside another, and where one is above another."""


def alterations(puzzle: Puzzle) -> list[tuple[int, str]]:
    """The candidates: the label of the altered patch, and what was done to it."""
    pairs = (answer.split("-") for answer in puzzle.answers)
    return [(int(label), change) for label, change in pairs]


def restore(patch: np.ndarray, change: str) -> np.ndarray:
    """Undo a change: 0 rows reversed, 1 columns reversed, or the degrees by which it was turned clockwise."""
    if change in ("0", "1"):
        return np.flip(patch, axis=int(change))
    turned = np.ascontiguousarray(np.rot90(patch, int(change) // 90))
    return resize(turned, patch.shape[1], patch.shape[0])


def altered_seams(puzzle: Puzzle) -> Features:
    """For each alteration, how much undoing it lowers every cost at the patch's borders."""
    candidates, clean = alterations(puzzle), [unlabel(p, label_side(puzzle)) for p in puzzle.patches]
    edges = edges_of([*clean, *(restore(clean[k], change) for k, change in candidates)])
    totals: dict[str, np.ndarray] = {}
    for (one, other), pairs in zip(ACROSS, adjoining(*puzzle.grid), strict=True):
        for undone in (0, 1):
            owner, first, second = _borders(pairs, [k for k, _ in candidates], len(clean), bool(undone))
            for name, cost in pair_costs(edges[one][first], edges[other][second]).items():
                np.add.at(totals.setdefault(name, np.zeros((2, len(candidates))))[undone], owner, cost)
    gains = {f"{name}, gain": before - after for name, (before, after) in totals.items()}
    return gains | {f"{name}, after": -after for name, (_, after) in totals.items()}


def _borders(pairs: np.ndarray, patches: list[int], shown: int, undone: bool) -> np.ndarray:
    """Candidate, first and second patch of every border of each candidate's patch: (3, borders)."""
    found = []
    for candidate, patch in enumerate(patches):
        name = {patch: shown + candidate} if undone else {}
        found += [(candidate, name.get(p, p), name.get(q, q)) for p, q in pairs.tolist() if patch in (p, q)]
    return np.array(found, int).reshape(-1, 3).T


def altered_look(puzzle: Puzzle) -> Features:
    """For each alteration, how light, colour and texture change across the patch once it is undone.

    Downwards and rightwards; alone, compared with the patch as shown, and with the other patches.
    """
    clean = [unlabel(p, label_side(puzzle)) for p in puzzle.patches]
    tilts, features = np.stack([tilt(p) for p in clean]), []
    for k, change in alterations(puzzle):
        after, others = tilt(restore(clean[k], change)), np.delete(tilts, k, axis=0).mean(axis=0)
        features.append(np.concatenate([after, after - tilts[k], (after - tilts[k]) * others], axis=0).ravel())
    table = np.array(features)
    return {f"tilt {i}": table[:, i] for i in range(table.shape[1])}
