"""Square regions of a depth map whose depth is known everywhere and nearly one value.

Depth is normalised to [0, 1] between its percentiles 0.5 and 99.5 (the published convention), so
that thresholds mean the same indoors and outdoors. NaN, no reading, spreads to every region that
holds one, and no comparison with it is true: a region with a gap is never a candidate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
from jaxtyping import Bool, Float32, Int

from spatial_ssrl.scene import Depth, Scene
from spatial_ssrl.tasks.base import Drop
from spatial_ssrl.tasks.marks import badge_radius, mark_reach

PERCENTILES = (0.005, 0.995)
READINGS = 20_000
"""Of more readings, evenly spaced ones are enough to tell their percentiles."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions of one side in a depth map, by their centres on a lattice."""

    limits: tuple[float, float]
    """Depths that are normalised to 0 and 1."""
    margin: int
    """Distance in px of the first centre from the picture's edge."""
    stride: int
    """Distance in px between centres next to each other."""
    nearest: Float32[np.ndarray, "rows columns"]
    """Smallest normalised depth in the region centred at (margin + stride * row, margin + stride * column)."""
    farthest: Float32[np.ndarray, "rows columns"]

    def to_depth(self, normalised: Float32[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
        """Normalised depth in the unit of the scene."""
        low, high = self.limits
        return np.float32(low) + normalised * np.float32(high - low)

    def positions(self, places: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n 2"]:
        """(row, column) in px of the centres of places, which count the regions in row-major order."""
        return self.margin + self.stride * np.stack(np.divmod(places, self.nearest.shape[1]), axis=-1)


def depth_range(depth: Depth) -> tuple[float, float] | None:
    """Percentiles 0.5 and 99.5 of the readings, or None when there is no spread to normalise by."""
    known = depth[~np.isnan(depth)]
    known = known[:: max(1, known.size // READINGS)]
    if known.size == 0:
        return None
    ranks = [round(q * (known.size - 1)) for q in PERCENTILES]
    low, high = (float(np.partition(known, rank)[rank]) for rank in ranks)  # apart: numpy is faster at one rank
    return (low, high) if high > low else None


def normalise(depth: Float32[np.ndarray, "*shape"], low: float, high: float) -> Float32[np.ndarray, "*shape"]:
    """Depth mapped from [low, high] to [0, 1] and clipped there; NaN stays NaN."""
    return np.clip((depth - np.float32(low)) / np.float32(high - low), 0, 1)


@lru_cache(maxsize=2)
def find_regions(scene: Scene, half: int, badge: int) -> Regions | Drop:
    """Regions that span `half` px, or a little more, to each side of their centre, and whose mark stays inside the picture.

    Or why there are none. Kept for the last scene, since it is often asked for several rows.
    """
    depth = scene.depth
    assert depth is not None
    limits = depth_range(depth)
    if limits is None:
        return Drop("no depth range", final=True)
    stride, strides = _lattice(2 * half + 1)
    margin, reach = mark_reach(half, badge), stride * strides // 2
    inner = depth[(edge := slice(margin - reach, stride * strides - reach - 1 - margin)), edge]
    if min(inner.shape) < stride * strides:
        return Drop("picture too small for marks", final=True)
    nearest, farthest = (normalise(_slide(extreme, inner, stride, strides), *limits) for extreme in (np.minimum, np.maximum))
    return Regions(limits, margin, stride, nearest, farthest)


def _lattice(side: int) -> tuple[int, int]:
    """The widest stride, and how many of them, that make up an odd side or up to an eighth more."""
    counts = {stride: -(-side // stride) for stride in range(1, side // 8 + 1)} | {1: side}
    return max((stride, count) for stride, count in counts.items() if stride * count <= side * 9 // 8)


def _slide(extreme: Callable[[Depth, Depth], Depth], depth: Depth, stride: int, strides: int) -> Depth:
    """Minimum or maximum of windows of so many strides a side, one each stride: by doubling, in log2(strides) steps."""
    for _ in range(2):
        whole = len(depth) // stride * stride
        values = reduce(extreme, (depth[i:whole:stride] for i in range(stride)))
        span = 1
        while span < strides:
            step = min(span, strides - span)
            values = extreme(values[:-step], values[step:])
            span += step
        depth = values.T
    return np.ascontiguousarray(depth)


def sizes(width: int, height: int) -> tuple[int, int]:
    """Half side of a region and radius of its badge, in pixels, for a picture of this size."""
    short = min(width, height)
    return max(4, round(short / 40)), badge_radius(short)


@lru_cache(maxsize=2)
def flat_places(regions: Regions, max_range: float) -> Int[np.ndarray, "n"]:
    """Places of the regions that have a reading everywhere and a depth range below `max_range`."""
    return np.flatnonzero(regions.farthest - regions.nearest < max_range)


def sample(rng: np.random.Generator, places: Int[np.ndarray, "n"], count: int) -> Int[np.ndarray, "m"]:
    """Up to `count` different ones of these places, uniformly."""
    return rng.choice(places, min(count, places.size), replace=False)


def apart(places: Int[np.ndarray, "n 2"], distance: int) -> Bool[np.ndarray, "n n"]:
    """Which pairs of places are at least `distance` px apart along x or y."""
    rows, columns = places.T.astype(np.int32)
    return (np.abs(rows[:, None] - rows) >= distance) | (np.abs(columns[:, None] - columns) >= distance)
