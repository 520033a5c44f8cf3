"""How badly edge b, across a border, continues edge a: many costs, each for m pairs at once.

Published rows are solved by costs of adjoining pixels. Where patches were cut apart, recoloured and
blurred, the rest still work: extrapolation over a gap, contours followed along their own direction,
and profiles that agree after a shift and a change of scale.
"""

from functools import lru_cache

import numpy as np

from spatial_ssrl.audit.edges import COARSE, Edges

GAPS = (2, 6, 12, 18)
"""Widths of what may be missing between two edges, in COARSE pixels."""
SHIFTS = (-4, -2, 0, 2, 4)
SCALES = (0.88, 1.0, 1.14)
Costs = dict[str, np.ndarray]


def pair_costs(a: Edges, b: Edges) -> Costs:
    """Costs, each (m,), of putting edge b[i] beside edge a[i]."""
    seen, coarse_seen = a.seen * b.seen, a.coarse_seen * b.coarse_seen
    costs = _pixel_costs(a.fine, b.fine, seen)
    for name, x, y in (("raw", a.coarse, b.coarse), ("even", a.even, b.even)):
        found = {**_gap_costs(x, y, coarse_seen), **_contour_costs(x, y, coarse_seen)}
        costs |= {f"{name} {key}": value for key, value in found.items()}
    return costs | _profile_costs(a.even, b.even) | _zone_costs(a.coarse, b.coarse, coarse_seen)


def _mean(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Mean over the length, and over channels where there are any, of what is seen."""
    if values.ndim == 3:
        values = values.mean(axis=2)
    return (values * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)


def _pixel_costs(a: np.ndarray, b: np.ndarray, seen: np.ndarray) -> Costs:
    """Costs of the adjoining pixels."""
    step = a[:, :, 0] - b[:, :, 0]
    predicted = 1.5 * a[:, :, 0] - 0.5 * a[:, :, 1] - 1.5 * b[:, :, 0] + 0.5 * b[:, :, 1]
    smooth = _blur(step, 5)
    return {
        "L1": _mean(abs(step), seen),
        "L2": np.sqrt(_mean(step**2, seen)),
        "L0.3": _mean(abs(step) ** 0.3, seen),
        "smoothed L1": _mean(abs(smooth), seen),
        "prediction": _mean(abs(predicted), seen),
        "Mahalanobis": np.log1p(_mahalanobis(a, b, seen) + _mahalanobis(b, a, seen)),
    }


def _mahalanobis(a: np.ndarray, b: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Mahalanobis gradient compatibility (Gallagher 2012): is the step usual among the gradients of a?"""
    inside, step = a[:, :, 0] - a[:, :, 1], b[:, :, 0] - a[:, :, 0]
    off = inside - inside.mean(axis=1, keepdims=True)
    spread = np.einsum("mlc,mld->mcd", off, off) / off.shape[1] + np.eye(3)
    deviation = step - inside.mean(axis=1, keepdims=True)
    return _mean(np.einsum("mlc,mcd,mld->ml", deviation, np.linalg.inv(spread), deviation), seen)


def _gap_costs(a: np.ndarray, b: np.ndarray, seen: np.ndarray) -> Costs:
    """Difference at the middle of a gap, each edge going on as it is or along its slope."""
    ends = [x[:, :, :2].mean(axis=2) for x in (a, b)]
    slopes = [(x[:, :, :3].mean(axis=2) - x[:, :, 3:8].mean(axis=2)) / 4.5 for x in (a, b)]
    costs = {"flat": _mean(abs(ends[0] - ends[1]), seen)}
    for gap in GAPS:
        halves = [end + slope * gap / 2 for end, slope in zip(ends, slopes, strict=True)]
        costs[f"linear {gap}"] = _mean(abs(halves[0] - halves[1]), seen)
    return costs


def _contour_costs(a: np.ndarray, b: np.ndarray, seen: np.ndarray) -> Costs:
    """Difference at the middle of a gap after following the contours there, and of their directions."""
    (along_a, tensor_a), (along_b, tensor_b) = _contours(a), _contours(b)
    flow_a, flow_b = a[:, :, :4].mean(axis=(2, 3)), b[:, :, :4].mean(axis=(2, 3))
    costs = {
        f"contour {gap}": _mean(abs(_transport(flow_a, along_a * gap / 2) - _transport(flow_b, along_b * gap / 2)), seen)
        for gap in GAPS
    }
    mirrored = tensor_b * np.array([1, -1])  # depth runs the other way on the other side
    agreement = (tensor_a * mirrored).sum(axis=2)
    size = np.sqrt((tensor_a**2).sum(axis=2) * (mirrored**2).sum(axis=2))
    return costs | {"direction": -_mean(agreement, seen) / (_mean(size, seen) + 1e-6)}


def _contours(edge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps along the edge per step outwards (m, length), and double-angle structure tensor (m, length, 2)."""
    grey = edge[:, :, :9].mean(axis=3)
    along, inwards = np.gradient(grey, axis=1), np.gradient(grey, axis=2)
    xx, yy, xy = (_blur((x * y).mean(axis=2), 5) for x, y in ((along, along), (inwards, inwards), (along, inwards)))
    slope = xy / (xx + 0.05 * (xx + yy) + 1e-3)  # d(along) / d(outwards) of a line of equal grey
    return np.clip(slope, -1.5, 1.5), np.stack([xx - yy, 2 * xy], axis=2)


def _transport(profile: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The profile with each value moved along the edge."""
    grid = np.arange(profile.shape[1], dtype=np.float32)
    order = np.argsort(grid + shift, axis=1)
    places = np.take_along_axis(grid + shift, order, axis=1)
    values = np.take_along_axis(profile, order, axis=1)
    return np.stack([np.interp(grid, x, y) for x, y in zip(places, values, strict=True)])


def _profile_costs(a: np.ndarray, b: np.ndarray) -> Costs:
    """Correlation of the profiles along the edges, at the best shift and scale."""
    costs = {}
    for depth in (2, 6, 14):
        x, y = a[:, :, :depth].mean(axis=2), b[:, :, :depth].mean(axis=2)
        costs[f"profile {depth}"] = -_best_correlation(x.mean(axis=2), y.mean(axis=2))
        steps = [np.gradient(_blur(p.mean(axis=2), 3), axis=1) for p in (x, y)]
        costs[f"steps {depth}"] = -_best_correlation(*steps)
        costs[f"edges {depth}"] = -_best_correlation(*(abs(step) for step in steps))
    costs["colour profile"] = -np.mean([_best_correlation(x[:, :, c], y[:, :, c]) for c in range(3)], axis=0)
    return costs


def _best_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Largest Pearson correlation of profiles (m, COARSE) over the warps of b."""
    warped = np.einsum("klj,mj->kml", _warps(), b)
    x, y = a - a.mean(axis=1, keepdims=True), warped - warped.mean(axis=2, keepdims=True)
    size = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=2)) + 1e-3
    best: np.ndarray = ((x * y).sum(axis=2) / size).max(axis=0)
    return best


@lru_cache(maxsize=1)
def _warps() -> np.ndarray:
    """Matrices (k, COARSE, COARSE) that shift and scale a profile about its middle."""
    grid, identity = np.arange(COARSE), np.eye(COARSE, dtype=np.float32)
    middle = (COARSE - 1) / 2
    places = [np.clip((grid - middle) * s + middle + t, 0, COARSE - 1) for s in SCALES for t in SHIFTS]
    low = [np.minimum(p.astype(int), COARSE - 2) for p in places]
    rows = [
        (1 - (p - i))[:, None] * identity[i] + (p - i)[:, None] * identity[i + 1] for p, i in zip(places, low, strict=True)
    ]
    return np.stack(rows).astype(np.float32)


def _zone_costs(a: np.ndarray, b: np.ndarray, seen: np.ndarray) -> Costs:
    """Differences of mean colour, spread and sharpness near the border."""
    x, y = a[:, :, :8], b[:, :, :8]
    sharp = [np.log(abs(np.diff(z, axis=1)).mean(axis=(1, 2, 3)) + 1) for z in (x, y)]
    return {
        "zone mean": abs(x.mean(axis=(1, 2)) - y.mean(axis=(1, 2))).mean(axis=1),
        "zone spread": abs(x.std(axis=(1, 2)) - y.std(axis=(1, 2))).mean(axis=1),
        "zone sharpness": abs(sharp[0] - sharp[1]),
        "zone thirds": _mean(abs(_blur((x - y).mean(axis=2), 21)), seen),
    }


def _blur(values: np.ndarray, width: int) -> np.ndarray:
    """Moving average along axis 1, the ends repeated."""
    half = width // 2
    padding = [(0, 0)] * values.ndim
    padding[1] = (half + 1, half)
    total = np.cumsum(np.pad(values, padding, mode="edge"), axis=1)
    return (total[:, width:] - total[:, :-width]) / width
