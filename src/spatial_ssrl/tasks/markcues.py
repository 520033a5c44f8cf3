"""Cheap cues to marked places: where they lie in the picture, and what it shows at and around them.

As in cues.py, a cue is a softmax over candidate answers of a linear score; a candidate's features say how
well it agrees with each of the numbers below. The audit's solvers are written apart, and are stronger.

Convention: places are (x, y) in pixels, y down; positions are shares of the picture's width and height.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from spatial_ssrl.scene import RGB
from spatial_ssrl.tasks.cues import weights

REACHES = (1, 4)
"""Half sides of the squares looked at, in half sides of a mark."""
NUMBERS = 13
"""Numbers known of a mark."""


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
    window = rgb[max(0, y - reach) : min(height, y + reach + 1), max(0, x - reach) : min(width, x + reach + 1)]
    channels = np.moveaxis(window, 2, 0).astype(np.float32) / 255
    red, green, blue = (float(mean) for mean in channels.mean(axis=(1, 2)))
    down, across = np.gradient(channels.mean(axis=0))
    steps = math.log(np.sqrt(down**2 + across**2).mean() + 0.002)
    return (red + green + blue) / 3, blue - (red + green) / 2, max(red, green, blue) - min(red, green, blue), steps


def lift_of_truth(features: Float[np.ndarray, "m f"], kind: str) -> float:
    """How many times likelier than a guess the cue makes the first of several candidates."""
    scores = features @ weights()[kind]
    return float(len(scores) / np.exp(scores - scores[0]).sum())
