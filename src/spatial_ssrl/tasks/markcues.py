"""Cheap cues to marked places: where they lie in the picture, and what it shows at and around them.

As in cues.py, a cue is a softmax over candidate answers of a linear score; a candidate's features say how
well it agrees with each of the numbers below. The audit's solvers are written apart, and are stronger.

Convention: places are (x, y) in pixels, y down; positions are shares of the picture's width and height.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from spatial_ssrl.scene import RGB

REACHES = (1, 4)
"""Half sides of the squares looked at, in half sides of a mark."""
NUMBERS = 13
"""Numbers known of a mark."""
WEIGHTS: dict[str, tuple[float, ...]] = {
    "order3": (1.81, 0.93, 1.53, -1.22, 3.24, 1.48, 0.90, 1.91, 0.02, 0.67, 0.04, -0.83, -0.08),
    "order4": (1.94, 4.07, -1.46, -2.15, 3.82, 0.40, -0.72, 3.08, 0.12, 2.21, -1.21, -4.83, -0.44),
    "nearest": (5.14, 2.63, -3.74, -2.58, 6.09, 0.62, 2.42, 1.34, 0.04, 2.31, -2.88, -1.05, 0.17),
    "farthest": (0.34, -6.90, -0.83, 3.15, -3.76, 0.11, 2.17, -4.33, -0.03, -2.73, 2.75, 5.22, -0.11),
    "position": (0.05, -1.67, -0.61, 0.50, -0.57, 0.22, 0.23, 0.25, 0.02, -0.77, 0.23, -0.66, -0.31),
    "distance": (
        -1.88,
        3.55,
        1.95,
        1.10,
        -2.03,
        0.49,
        0.41,
        -0.37,
        0.16,
        -0.39,
        -1.44,
        0.01,
        -0.61,
        0.55,
        1.68,
        -0.00,
        1.95,
        1.66,
        -1.36,
        0.29,
        -0.49,
        0.02,
        -0.26,
        0.55,
        0.16,
        0.80,
        2.42,
        1.29,
        0.14,
    ),
}
"""Weights of the features, by what is asked, as `bench/cues.py` fitted them on RGB-D pairs."""


def look_of_marks(rgb: RGB, places: Sequence[tuple[int, int]], half: int) -> Float[np.ndarray, "n f"]:
    """Place and look of each mark; NUMBERS a mark."""
    height, width = rgb.shape[:2]
    x, y = (np.array(places, float) / (width, height)).T
    ranks = y.argsort().argsort() / (len(y) - 1)
    where = [y, y * y, np.maximum(y - 0.5, 0), ranks, np.abs(x - 0.5)]
    looks = [[_look(rgb, place, reach * half) for place in places] for reach in REACHES]
    return np.column_stack([*where, *looks])


def _look(rgb: RGB, place: tuple[int, int], reach: int) -> tuple[float, float, float, float]:
    """Brightness, blueness and colour of a square, from 0 to 1, and the logarithm of its mean gradient."""
    (x, y), (height, width) = place, rgb.shape[:2]
    window = rgb[max(0, y - reach) : min(height, y + reach + 1), max(0, x - reach) : min(width, x + reach + 1)] / 255
    red, green, blue = (float(mean) for mean in window.mean(axis=(0, 1)))
    down, across = np.gradient(window.mean(axis=2))
    steps = float(np.log(np.hypot(down, across).mean() + 0.002))
    return (red + green + blue) / 3, blue - (red + green) / 2, max(red, green, blue) - min(red, green, blue), steps


def lift_of_truth(features: Float[np.ndarray, "m f"], kind: str) -> float:
    """How many times likelier than a guess the cue makes the first of several candidates."""
    scores = features @ np.array(WEIGHTS[kind])
    return float(len(scores) / np.exp(scores - scores[0]).sum())
