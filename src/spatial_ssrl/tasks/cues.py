"""Cheap cues that give an answer away without any understanding, against which strict draws are balanced.

A puzzle is seen as tiles, small square pictures, that each candidate answer puts in the places of a
grid. A candidate's score is a weighted sum of how badly tiles continue their neighbours and of how the
tiles' statistics run across the grid; a softmax over candidates makes it a probability. The audit's
solvers are written apart from these, look closer, and are fitted anew on the rows they are asked.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations, permutations

import numpy as np
from jaxtyping import Float, Float32, Int

CUE_SIDE = 48
"""Side, in pixels, of a tile."""
GAPS = (0, 3, 9, 14)
"""Widths of what may be missing between two tiles, in pixels of a tile, over which each goes on along its slope."""
DEPTHS = (2, 4, 10)
"""Depths, in pixels of a tile, of the strips whose profiles are correlated."""
SHIFTS = range(-4, 5)
"""Shifts along a seam, in pixels of a tile, at which profiles are correlated."""
SMOOTH = 14
"""Width, in pixels of a tile, over which a seam is averaged to compare its thirds."""
ZONE = 6
"""Depth, in pixels of a tile, of the zone along a seam whose statistics are compared."""
REACH = 18
"""Depth, in pixels of a tile, of the zone along a seam in which the directions of contours are compared."""
HIGHEST = 500.0
"""Log-odds above this are all the same to a softmax."""
EXHAUSTIVE = 4
"""All orders of up to this many patches are tried; of more, those one exchange away from the truth."""

STATISTICS = (
    "brightness", "contrast", "red-green", "blue-yellow", "saturation", "steps across", "steps down", "sharpness",
    "brightness downward", "blueness downward", "saturation downward", "texture downward", "upper edges",
    "brightness rightward", "texture rightward",
)  # fmt: skip
COMPARED = 8
"""How many of the STATISTICS, the first ones, are compared across seams."""
SEAMS = (
    *(f"{kind} {what}" for kind in ("raw", "even") for what in (*(f"gap {gap}" for gap in GAPS), "thirds")),
    *(f"{what} {depth}" for what in ("profile", "edges") for depth in DEPTHS),
    "colours",
    "contours",
    "direction",
    "Mahalanobis",
    "zone mean",
    "zone spread",
    "zone sharpness",
    *(f"unlike {name}" for name in STATISTICS[:COMPARED]),
)
PLAIN = (
    *SEAMS,
    *(f"{name}, rivals" for name in SEAMS),
    *(f"{name} {way}" for way in ("in all", "down", "right", "out") for name in STATISTICS),
    *(f"odd {name}" for name in STATISTICS),
)
FEATURES = (*PLAIN, *(f"{name}, off the mean" for name in PLAIN))

Tiles = Float32[np.ndarray, "t 3 s s"]
"""Channels first; of tiles at a seam, axis 2 runs away from it and axis 3 along it."""
Pairs = Int[np.ndarray, "m"]
"""Indices of the first, or of the second, tiles of pairs."""
Candidates = Int[np.ndarray, "c p"]
"""By candidate and place in row-major order, the tile that lies there, or UNKNOWN."""
UNKNOWN = -1


def truth_probability(tiles: Sequence[np.ndarray], candidates: Candidates, grid: tuple[int, int], kind: str) -> float:
    """What the cues make of the first of several candidates."""
    found = scores(tiles, candidates, grid, kind)
    return float(1 / np.exp(np.minimum(found - found[0], HIGHEST)).sum())


def scores(tiles: Sequence[np.ndarray], candidates: Candidates, grid: tuple[int, int], kind: str) -> Float[np.ndarray, "c"]:
    """How well each candidate fits, in log-odds."""
    known = weights()[kind]
    return features(tiles, candidates, grid)[:, : len(known)] @ known


@cache
def weights() -> dict[str, Float[np.ndarray, "f"]]:
    """Weights of a cue's features by kind of puzzle, as `bench/cues.py` fitted them; the last ones may be left out."""
    stored = json.loads(files("spatial_ssrl.tasks").joinpath("cues.json").read_text(encoding="utf-8"))
    return {kind: np.array(values) for kind, values in stored.items()}


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


def features(tiles: Sequence[np.ndarray], candidates: Candidates, grid: tuple[int, int]) -> Float[np.ndarray, "c f"]:
    """The FEATURES of every candidate."""
    raw = np.array(tiles, dtype=np.float32).transpose(0, 3, 1, 2).copy()
    raw = (raw - raw.mean()) / (raw.std() + 1)
    even = (raw - raw.mean(axis=(2, 3), keepdims=True)) / (raw.std(axis=(2, 3), keepdims=True) + 0.08)
    looks = _statistics(raw)
    seams: Float[np.ndarray, "c f"] = np.zeros((len(candidates), 2 * len(SEAMS)))
    places = np.arange(grid[0] * grid[1]).reshape(grid)
    for axis, first, second in ((3, places[:, :-1], places[:, 1:]), (2, places[:-1], places[1:])):
        if first.size:
            borders, evened = (_Borders.at(np.moveaxis(picture, axis, 2).copy()) for picture in (raw, even))
            seams += _seams(borders, evened, looks, candidates[:, first.ravel()], candidates[:, second.ravel()])
    plain = np.concatenate([seams, _layout(looks, candidates, grid), _odd(looks, candidates)], axis=1)
    return np.concatenate([plain, np.abs(plain - plain.mean(axis=0))], axis=1)


@dataclass(frozen=True)
class _Borders:
    """Tiles seen from a border that others may follow, and from the opposite one that may follow others."""

    end: Tiles
    start: Tiles

    @classmethod
    def at(cls, tiles: Tiles) -> "_Borders":
        """Borders along the last axis, where axis 2 runs from the start to the end."""
        return cls(tiles[:, :, ::-1], tiles)


def _seams(
    raw: _Borders, even: _Borders, looks: Float32[np.ndarray, "t k"], left: Candidates, right: Candidates
) -> Float[np.ndarray, "c f"]:
    """SEAMS and their rivals, summed over pairs of tiles side by side."""
    used = np.zeros((len(looks) + 1, len(looks) + 1), bool)  # a last row and column for what is unknown
    used[left, right] = True
    used[-1], used[:, -1] = False, False
    i, j = np.nonzero(used)
    costs = _costs(raw, even, looks, i, j)
    table = np.zeros((*used.shape, 2 * len(SEAMS)), np.float32)
    table[i, j] = np.concatenate([costs, _rivals(costs, i, j, len(used))], axis=1)
    return table[left, right].sum(axis=1)


def _rivals(costs: Float32[np.ndarray, "m f"], i: Pairs, j: Pairs, tiles: int) -> Float32[np.ndarray, "m f"]:
    """Costs as negative log shares among all pairs with the same first tile, and with the same second."""
    scaled = costs / (costs.std(axis=0) + 1e-6)
    shares: Float32[np.ndarray, "t t f"] = np.zeros((tiles, tiles, costs.shape[1]), np.float32)
    shares[i, j] = np.exp(scaled.min(axis=0, initial=0) - scaled)
    both = shares[i, j] ** 2 / (shares.sum(axis=1)[i] * shares.sum(axis=0)[j] + 1e-12)
    return -np.log(both + 1e-9)


def _costs(
    raw: _Borders, even: _Borders, looks: Float32[np.ndarray, "t k"], i: Pairs, j: Pairs
) -> Float32[np.ndarray, "m f"]:
    """SEAMS of tile i with tile j to its right."""
    found = []
    for picture in (raw, even):
        (ends, slopes), (starts, rises) = _edge(picture.end), _edge(picture.start)
        step, slope = ends[i] - starts[j], slopes[i] - rises[j]
        found += [_size(step + slope * np.float32(gap / 2)) for gap in GAPS]
        found += [_size(_smooth(step, SMOOTH))]
    right, left = _profiles(even.end), _profiles(even.start)
    grey = right.mean(axis=2), left.mean(axis=2)
    found += [*_unlike(*grey, i, j), *_unlike(_steps(grey[0]), _steps(grey[1]), i, j)]
    found += [_unlike(right[0].swapaxes(0, 1), left[0].swapaxes(0, 1), i, j).mean(axis=0)]
    found += _bends(_contours(even.end)[i], _contours(even.start)[j])
    found += [np.log1p(_surprise(raw.end, raw.start, i, j) + _surprise(raw.start, raw.end, j, i))]
    zones = np.abs(_zone(raw.end)[i] - _zone(raw.start)[j])
    return np.concatenate([np.stack(found, axis=1), zones, np.abs(looks[i, :COMPARED] - looks[j, :COMPARED])], axis=1)


def _edge(tiles: Tiles) -> tuple[Float32[np.ndarray, "t 3 s"], Float32[np.ndarray, "t 3 s"]]:
    """What lies along the border of each tile, and its slope outwards."""
    border = tiles[:, :, :2].mean(axis=2)
    return border, (border - tiles[:, :, 2:5].mean(axis=2)) / np.float32(2.5)


def _profiles(tiles: Tiles) -> Float32[np.ndarray, "d t 3 s"]:
    """Means of strips of DEPTHS along the border of each tile."""
    return np.stack([tiles[:, :, :depth].mean(axis=2) for depth in DEPTHS])


def _zone(tiles: Tiles) -> Float32[np.ndarray, "t 3"]:
    """Mean, spread and sharpness of what lies along the border of each tile."""
    zone = tiles[:, :, :ZONE]
    sharpness = np.log(np.abs(np.diff(zone, axis=3)).mean(axis=(1, 2, 3)) + 0.01)
    return np.stack([zone.mean(axis=(1, 2, 3)), zone.std(axis=(2, 3)).mean(axis=1), sharpness], axis=1)


def _surprise(a: Tiles, b: Tiles, i: Pairs, j: Pairs) -> Float32[np.ndarray, "m"]:
    """How unusual the step from a's border to b's is among the steps inside a (Gallagher 2012)."""
    inside = a[:, :, 0] - a[:, :, 1]
    mean = inside.mean(axis=2, keepdims=True)
    spread = (inside - mean) @ (inside - mean).swapaxes(1, 2) / inside.shape[2] + 0.003 * np.eye(3, dtype=np.float32)
    step = b[j, :, 0] - a[i, :, 0] - mean[i]
    return (step * (np.linalg.inv(spread)[i] @ step)).sum(axis=(1, 2)) / step.shape[2]


def _contours(tiles: Tiles) -> Float32[np.ndarray, "t 2 r"]:
    """Directions of contours along the border of each tile, as doubled angles weighted by contrast."""
    inwards, along = np.gradient(tiles[:, :, :REACH].mean(axis=1), axis=(1, 2))
    tensor = np.stack([along**2 - inwards**2, 2 * along * inwards], axis=1).mean(axis=2)
    return _smooth(tensor, 5)


def _bends(a: Float32[np.ndarray, "m 2 r"], b: Float32[np.ndarray, "m 2 r"]) -> list[Float32[np.ndarray, "m"]]:
    """Minus the agreement of contours at a seam with those on its other side, place by place and as a whole."""
    mirrored = b * np.array([[1], [-1]], np.float32)
    found = []
    for x, y in ((a, mirrored), (a.mean(axis=2, keepdims=True), mirrored.mean(axis=2, keepdims=True))):
        sizes = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
        found.append(-(x * y).sum(axis=(1, 2)) / (sizes.sum(axis=1) + 1e-4))
    return found


def _size(difference: Float32[np.ndarray, "m 3 s"]) -> Float32[np.ndarray, "m"]:
    return np.abs(difference).mean(axis=(1, 2))


def _smooth(values: Float32[np.ndarray, "... s"], width: int) -> Float32[np.ndarray, "... r"]:
    """Moving average along the seam."""
    total = np.cumsum(values, axis=-1)
    return (total[..., width:] - total[..., :-width]) / width


def _steps(profiles: Float32[np.ndarray, "... s"]) -> Float32[np.ndarray, "... r"]:
    return np.abs(np.diff(_smooth(profiles, 3), axis=-1))


def _unlike(
    a: Float32[np.ndarray, "p t s"], b: Float32[np.ndarray, "p t s"], i: Pairs, j: Pairs
) -> Float32[np.ndarray, "p m"]:
    """Minus the highest correlation of profiles of tiles i and j, shifted along each other by a few pixels."""
    reach, length = max(SHIFTS), a.shape[-1]
    shifted = np.stack([b[..., reach + shift : length - reach + shift] for shift in SHIFTS])
    window, shifted = _centred(a[..., reach : length - reach]), _centred(shifted)
    norm = np.sqrt((window**2).sum(axis=-1)[..., None] * (shifted**2).sum(axis=-1)[..., None, :])
    return -(window @ shifted.swapaxes(-1, -2) / (norm + np.float32(0.05))).max(axis=0)[:, i, j]


def _centred(profiles: Float32[np.ndarray, "... s"]) -> Float32[np.ndarray, "... s"]:
    return profiles - profiles.mean(axis=-1, keepdims=True)


def _statistics(tiles: Tiles) -> Float32[np.ndarray, "t k"]:
    """The STATISTICS of each tile."""
    grey, ramp = tiles.mean(axis=1), np.linspace(-1, 1, CUE_SIDE, dtype=np.float32)
    across, down = np.diff(grey, axis=2)[:, :-1], np.diff(grey, axis=1)[:, :, :-1]
    curve = np.abs(4 * grey[:, 1:-1, 1:-1] - grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1] - grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2])
    blue, saturation = tiles[:, 2] - tiles[:, :2].mean(axis=1), tiles.max(axis=1) - tiles.min(axis=1)
    texture = np.log(np.abs(across) + np.abs(down) + np.float32(0.05))
    upper = np.maximum(down, 0) - np.maximum(across, 0)
    plain = [grey, tiles[:, 0] - tiles[:, 1], blue, saturation]
    brightness, red_green, blueness, colour = (values.mean(axis=(1, 2)) for values in plain)
    fine = [np.log(np.abs(steps).mean(axis=(1, 2)) + 0.02) for steps in (across, down, curve)]
    downward = [v.mean(axis=2) @ ramp[: v.shape[1]] / v.shape[1] for v in (grey, blue, saturation, texture, upper)]
    rightward = [v.mean(axis=1) @ ramp[: v.shape[2]] / v.shape[2] for v in (grey, texture)]
    columns = [brightness, grey.std(axis=(1, 2)), red_green, blueness, colour, *fine, *downward, *rightward]
    return np.stack(columns, axis=1)


def _layout(looks: Float32[np.ndarray, "t k"], candidates: Candidates, grid: tuple[int, int]) -> Float[np.ndarray, "c f"]:
    """How the STATISTICS add up, and increase downwards, rightwards and outwards."""
    rows, columns = (np.indices(grid).reshape(2, -1).T - (np.array(grid) - 1) / 2).T
    distance = np.abs(rows) + np.abs(columns)
    ways = np.stack([np.ones(rows.size), rows, columns, distance - distance.mean()])
    table = np.concatenate([looks - looks.mean(axis=0), np.zeros((1, looks.shape[1]), np.float32)])
    return np.einsum("cpk,wp->cwk", table[candidates], ways).reshape(len(candidates), -1)


def _odd(looks: Float32[np.ndarray, "t k"], candidates: Candidates) -> Float[np.ndarray, "c k"]:
    """By how many deviations a candidate's STATISTICS are off those of all candidates, summed over places."""
    placed = np.concatenate([looks, np.zeros((1, looks.shape[1]), np.float32)])[candidates]
    off = placed - placed.mean(axis=0)
    return (np.abs(off) / (off.std(axis=0) + 1e-6)).sum(axis=1)
