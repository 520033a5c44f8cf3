"""What a picture shows at and around its marked places, and where they lie."""

from functools import lru_cache

import numpy as np

from spatial_ssrl.audit.appearance import statistics
from spatial_ssrl.audit.puzzle import Features, Puzzle
from spatial_ssrl.tasks.marks import ring_width

PLACE = ("x", "y", "off horizon", "below horizon", "off centre", "off middle column")
LOOK = ("brightness", "contrast", "blueness", "saturation", "sharpness", "gradient")


@lru_cache(maxsize=1)
def mark_table(puzzle: Puzzle) -> Features:
    """By name, one number a mark: position, distance from the horizon and centre, look inside and around.

    Positions are shares of the picture's height and width; the horizon is taken to be the middle row.
    """
    picture = puzzle.pictures[0]
    height, width = picture.shape[:2]
    x, y = (np.array(puzzle.marks, float) / (width, height)).T
    table = {"x": x, "y": y, "off horizon": abs(y - 0.5), "below horizon": np.maximum(y - 0.5, 0)}
    table |= {"off centre": np.hypot(x - 0.5, y - 0.5), "off middle column": abs(x - 0.5)}
    inner = max(3, puzzle.half)
    outer = inner + ring_width(inner)
    for name, reach in (("inside", inner), ("around", 3 * outer), ("far around", 6 * outer)):
        found = np.array([_look(picture, place, reach) for place in puzzle.marks])
        table |= {f"{key} {name}": found[:, i] for i, key in enumerate(LOOK)}
    table["brighter than below"] = np.array([_step_down(picture, place, 2 * outer) for place in puzzle.marks])
    return table


def _look(picture: np.ndarray, place: tuple[int, int], reach: int) -> list[float]:
    """LOOK of the square that spans `reach` px to each side of a place."""
    (x, y), (height, width) = place, picture.shape[:2]
    window = picture[max(0, y - reach) : min(height, y + reach + 1), max(0, x - reach) : min(width, x + reach + 1)]
    brightness, contrast, _, blueness, saturation, sharpness, *rest = statistics(window)
    return [brightness, contrast, blueness, saturation, sharpness, rest[1]]


def _step_down(picture: np.ndarray, place: tuple[int, int], reach: int) -> float:
    """Grey levels by which the place is brighter than what lies `reach` px below it."""
    (x, y), height = place, picture.shape[0]
    below = min(height - 1, y + reach)
    return float(picture[y, x].mean() - picture[below, max(0, x - 4) : x + 5].mean())
