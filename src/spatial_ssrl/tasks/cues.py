"""Cheap cues that give an answer away without any understanding, against which strict draws are balanced.

A cue is a probability for each candidate answer: a softmax over candidates of a linear score of
features that need no more than pixel arithmetic. The audit's solvers are written apart from these,
and are stronger.
"""

from collections.abc import Sequence
from itertools import combinations, permutations

import numpy as np
from jaxtyping import Float, Float32

CUE_SIDE = 32
"""Side, in pixels, of the thumbnails that a cue looks at."""
STRIPS = (1, 2, 6)
"""Widths, in pixels of a thumbnail, of the strips compared at a seam."""
SHIFTS = range(-3, 4)
"""Shifts along a seam, in pixels of a thumbnail, at which its two sides are correlated."""
EXHAUSTIVE = 4
"""All orders of up to this many patches are tried; of more, those one exchange away from the truth."""

FEATURES = 14
WEIGHTS: dict[str, tuple[float, ...]] = {
    "row": (-1.22, 2.35, -0.03, 0.43, -0.34, -0.03, -0.49, -0.71, 0.16, -1.30, 0.00, 0.00, 0.00, 0.00),
    "column": (-3.42, 0.84, 1.46, 1.40, -0.40, 0.81, -0.41, -0.58, -0.91, -2.44, -3.18, -11.59, -13.91, 4.64),
    "square": (-0.95, 1.08, 0.76, 0.25, -0.78, 0.27, -0.22, -1.28, -0.83, -2.38, -3.05, -3.07, -9.65, 8.19),
    "crop": (-1.94, 0.42, 0.89, 0.79, -1.13, 0.53, -0.65, -1.58, -0.62, 1.52, 2.52, 13.51, 76.59, 55.80),
    "flip": (-1.14, 0.86, 0.90, 0.35, -1.07, 0.10, -0.38, -0.74, -1.51, 0.00, -6.58, -10.81, -19.17, 12.02),
}
"""Weights of the features of a picture, by kind of puzzle, as `bench/cues.py` fitted them on photographs."""

Grids = Float32[np.ndarray, "m r c s s 3"]


def truth_probability(pictures: Sequence[Sequence[np.ndarray]], grid: tuple[int, int], kind: str) -> float:
    """What seams and layout make of the first of several pictures, given as thumbnails of their patches in rows.

    A patch of NaN says nothing.
    """
    scores = picture_evidence(pictures, grid, kind).sum(axis=1)
    return float(1 / np.exp(scores - scores[0]).sum())


def picture_evidence(pictures: Sequence[Sequence[np.ndarray]], grid: tuple[int, int], kind: str) -> Float[np.ndarray, "m f"]:
    """What each feature says for each picture, in log-odds; their sum is how well its patches fit together."""
    return picture_features(pictures, grid) * np.array(WEIGHTS[kind])


def picture_features(pictures: Sequence[Sequence[np.ndarray]], grid: tuple[int, int]) -> Float[np.ndarray, "m f"]:
    """Features of pictures that show the same patches: what crosses their seams, and what lies above what."""
    values = np.array(pictures, dtype=np.float32)
    values = (values - np.nanmean(values)) / (np.nanstd(values) + 1)
    grids = values.reshape(len(pictures), *grid, *values.shape[2:])
    return np.concatenate([_seams(grids) + _seams(grids.transpose(0, 2, 1, 4, 3, 5)), _layout(grids)], axis=1)


def orders(n: int) -> list[tuple[int, ...]]:
    """Orders of n patches, the true one first."""
    truth = tuple(range(n))
    if n <= EXHAUSTIVE:
        return list(permutations(truth))
    return [truth, *(_exchange(truth, i, j) for i, j in combinations(truth, 2))]


def _exchange(order: tuple[int, ...], i: int, j: int) -> tuple[int, ...]:
    swapped = list(order)
    swapped[i], swapped[j] = swapped[j], swapped[i]
    return tuple(swapped)


def _seams(grids: Grids) -> Float[np.ndarray, "m f"]:
    """Steps, changes of slope and lack of correlation between each patch and the one to its right, summed."""
    left, right = grids[:, :, :-1], grids[:, :, 1:, :, ::-1]
    features = []
    for width in STRIPS:
        (ends, before), (starts, after) = _strips(left, width), _strips(right, width)
        features += [_size(ends - starts), _size(ends - before + starts - after)]
    ends, starts = _strips(left, 2)[0].mean(axis=-1), _strips(right, 2)[0].mean(axis=-1)
    features += [1 - _correlation(ends, starts), 1 - _correlation(np.diff(ends), np.diff(starts))]
    features += [np.abs(_texture(left) - _texture(right)), np.abs(left.mean((-2, -3)) - right.mean((-2, -3))).mean(axis=-1)]
    return np.stack([np.nansum(feature, axis=(1, 2)) for feature in features], axis=-1)


def _texture(patches: Float32[np.ndarray, "*k s s 3"]) -> Float32[np.ndarray, "*k"]:
    """Logarithm of the mean step from one pixel to the one below."""
    return np.log(np.abs(np.diff(patches, axis=-3)).mean(axis=(-1, -2, -3)) + 0.01)


def _strips(patches: Float32[np.ndarray, "*k s t 3"], width: int) -> list[Float32[np.ndarray, "*k s 3"]]:
    """The strip at the right edge of each patch, and one a strip's width before it, averaged across."""
    return [patches[..., -width:, :].mean(axis=-2), patches[..., -3 * width : -2 * width, :].mean(axis=-2)]


def _size(difference: Float32[np.ndarray, "*k s 3"]) -> Float32[np.ndarray, "*k"]:
    return np.abs(difference).mean(axis=(-1, -2))


def _correlation(a: Float32[np.ndarray, "*k s"], b: Float32[np.ndarray, "*k s"]) -> Float32[np.ndarray, "*k"]:
    """The highest correlation of two profiles, shifted along each other by a few pixels."""
    reach = max(SHIFTS)
    window = a[..., reach : a.shape[-1] - reach]
    shifted = [b[..., reach + shift : b.shape[-1] - reach + shift] for shift in SHIFTS]
    return np.max([_normal_product(window, other) for other in shifted], axis=0)


def _normal_product(a: Float32[np.ndarray, "*k s"], b: Float32[np.ndarray, "*k s"]) -> Float32[np.ndarray, "*k"]:
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)
    norm = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    return (a * b).sum(axis=-1) / (norm + 0.05)


def _layout(grids: Grids) -> Float[np.ndarray, "m f"]:
    """How brightness, blueness, colour and texture increase down each picture."""
    grey = grids.mean(axis=-1)
    channels = (
        grey,
        grids[..., 2] - grids[..., 0],
        np.abs(grids - grey[..., None]).mean(axis=-1),
        np.abs(np.diff(grey, axis=-1)),
    )
    profiles = [np.nan_to_num(channel).mean(axis=(2, 4)).reshape(len(grids), -1) for channel in channels]
    return np.stack([profile @ np.linspace(-1, 1, profile.shape[1]) / profile.shape[1] for profile in profiles], axis=-1)
