"""Cheap cues that give an answer away without any understanding, against which strict draws are balanced.

A puzzle is seen as tiles, small square pictures, that each candidate answer puts in the places of a
grid. A candidate's score is a weighted sum of how badly tiles continue their neighbours and of how the
tiles' statistics run across the grid; a softmax over candidates makes it a probability. The audit's
solvers are written apart from these, look closer, and are fitted anew on the rows they are asked.
"""

import json
from collections.abc import Sequence
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

Tiles = Float32[np.ndarray, "t s s 3"]
Table = Float32[np.ndarray, "t t f"]
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
    raw = np.array(tiles, dtype=np.float32)
    raw = (raw - raw.mean()) / (raw.std() + 1)
    looks = _statistics(raw)
    seams: Float[np.ndarray, "c f"] = np.zeros((len(candidates), 2 * len(SEAMS)))
    places = np.arange(grid[0] * grid[1]).reshape(grid)
    pairs = ((raw, places[:, :-1], places[:, 1:]), (raw.swapaxes(1, 2), places[:-1], places[1:]))
    for turned, first, second in pairs:
        if first.size:
            seams += _seams(turned, looks, candidates[:, first.ravel()], candidates[:, second.ravel()])
    plain = np.concatenate([seams, _layout(looks, candidates, grid), _odd(looks, candidates)], axis=1)
    return np.concatenate([plain, np.abs(plain - plain.mean(axis=0))], axis=1)


def _seams(tiles: Tiles, looks: Float32[np.ndarray, "t k"], left: Candidates, right: Candidates) -> Float[np.ndarray, "c f"]:
    """SEAMS and their rivals, summed over pairs of tiles side by side."""
    used = np.zeros((len(tiles) + 1, len(tiles) + 1), bool)  # a last row and column for what is unknown
    used[left, right] = True
    used[-1], used[:, -1] = False, False
    i, j = np.nonzero(used)
    costs = np.zeros((*used.shape, len(SEAMS)), np.float32)
    costs[i, j] = _costs(tiles, looks, i, j)
    return np.concatenate([table[left, right].sum(axis=1) for table in (costs, _rivals(costs, used))], axis=1)


def _rivals(costs: Table, used: np.ndarray) -> Table:
    """Costs as negative log shares among all pairs with the same first tile, and with the same second."""
    scaled = costs / (costs[used].std(axis=0) + 1e-6)
    shares = np.where(used[..., None], np.exp(scaled[used].min(axis=0, initial=0) - scaled), 0)
    both = shares**2 / (shares.sum(axis=1, keepdims=True) * shares.sum(axis=0) + 1e-12)
    return np.where(used[..., None], -np.log(both + 1e-9), 0)


def _costs(
    tiles: Tiles, looks: Float32[np.ndarray, "t k"], i: Int[np.ndarray, "m"], j: Int[np.ndarray, "m"]
) -> Float32[np.ndarray, "m f"]:
    """SEAMS of tile i with tile j to its right."""
    even = (tiles - tiles.mean(axis=(1, 2), keepdims=True)) / (tiles.std(axis=(1, 2), keepdims=True) + 0.08)
    found = []
    for picture in (tiles, even):
        (ends, slopes), (starts, rises) = _borders(picture[:, :, ::-1]), _borders(picture)
        found += [_size(ends[i] + slopes[i] * gap / 2 - starts[j] - rises[j] * gap / 2) for gap in GAPS]
        found += [_size(_smooth(ends[i] - starts[j], SMOOTH))]
    (right, left), grey = _profiles(even), [[p.mean(axis=2) for p in side] for side in _profiles(even)]
    found += [_unlike(a[i], b[j]) for a, b in zip(*grey, strict=True)]
    found += [_unlike(_steps(a)[i], _steps(b)[j]) for a, b in zip(*grey, strict=True)]
    found += [np.mean([_unlike(right[0][i, :, c], left[0][j, :, c]) for c in range(3)], axis=0)]
    found += _bends(_contours(even[:, :, ::-1])[i], _contours(even)[j])
    found += [np.log1p(_surprise(tiles[:, :, ::-1], tiles, i, j) + _surprise(tiles, tiles[:, :, ::-1], j, i))]
    zones = np.abs(_zone(tiles[:, :, ::-1])[i] - _zone(tiles)[j])
    return np.concatenate([np.stack(found, axis=1), zones, np.abs(looks[i, :COMPARED] - looks[j, :COMPARED])], axis=1)


def _borders(tiles: Tiles) -> tuple[Float32[np.ndarray, "t s 3"], Float32[np.ndarray, "t s 3"]]:
    """What lies along the left border of each tile, and its slope outwards."""
    border = tiles[:, :, :2].mean(axis=2)
    return border, (border - tiles[:, :, 2:5].mean(axis=2)) / 2.5


def _profiles(tiles: Tiles) -> list[list[Float32[np.ndarray, "t s 3"]]]:
    """Means of strips of DEPTHS along the right and the left border of each tile."""
    return [[side[:, :, :depth].mean(axis=2) for depth in DEPTHS] for side in (tiles[:, :, ::-1], tiles)]


def _zone(tiles: Tiles) -> Float32[np.ndarray, "t 3"]:
    """Mean, spread and sharpness of what lies along the left border of each tile."""
    zone = tiles[:, :, :ZONE]
    sharpness = np.log(np.abs(np.diff(zone, axis=1)).mean(axis=(1, 2, 3)) + 0.01)
    return np.stack([zone.mean(axis=(1, 2, 3)), zone.std(axis=(1, 2)).mean(axis=1), sharpness], axis=1)


def _surprise(a: Tiles, b: Tiles, i: Int[np.ndarray, "m"], j: Int[np.ndarray, "m"]) -> Float32[np.ndarray, "m"]:
    """How unusual the step from a's left border to b's is among the steps inside a (Gallagher 2012)."""
    inside = a[:, :, 0] - a[:, :, 1]
    mean = inside.mean(axis=1, keepdims=True)
    spread = np.einsum("tlc,tld->tcd", inside - mean, inside - mean) / inside.shape[1] + 0.003 * np.eye(3, dtype=np.float32)
    step = b[j, :, 0] - a[i, :, 0] - mean[i]
    return np.einsum("mlc,mcd,mld->m", step, np.linalg.inv(spread)[i], step) / step.shape[1]


def _contours(tiles: Tiles) -> Float32[np.ndarray, "t r 2"]:
    """Directions of contours along the left border of each tile, as doubled angles weighted by contrast."""
    down, inwards = np.gradient(tiles[:, :, :REACH].mean(axis=-1), axis=(1, 2))
    tensor = np.stack([down**2 - inwards**2, 2 * down * inwards], axis=-1).mean(axis=2)
    return _smooth(tensor, 5)


def _bends(a: Float32[np.ndarray, "m r 2"], b: Float32[np.ndarray, "m r 2"]) -> list[Float32[np.ndarray, "m"]]:
    """Minus the agreement of contours at a seam with those on its other side, place by place and as a whole."""
    mirrored = b * np.array([1, -1], np.float32)
    found = []
    for x, y in ((a, mirrored), (a.mean(axis=1, keepdims=True), mirrored.mean(axis=1, keepdims=True))):
        sizes = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
        found.append(-(x * y).sum(axis=(1, 2)) / (sizes.sum(axis=1) + 1e-4))
    return found


def _size(difference: Float32[np.ndarray, "m s 3"]) -> Float32[np.ndarray, "m"]:
    return np.abs(difference).mean(axis=(1, 2))


def _smooth(values: Float32[np.ndarray, "m s ..."], width: int) -> Float32[np.ndarray, "m r ..."]:
    """Moving average along the seam."""
    total = np.cumsum(values, axis=1)
    return (total[:, width:] - total[:, :-width]) / width


def _steps(profile: Float32[np.ndarray, "t s"]) -> Float32[np.ndarray, "t r"]:
    return np.abs(np.diff(_smooth(profile, 3), axis=1))


def _unlike(a: Float32[np.ndarray, "m s"], b: Float32[np.ndarray, "m s"]) -> Float32[np.ndarray, "m"]:
    """Minus the highest correlation of two profiles, shifted along each other by a few pixels."""
    reach, length = max(SHIFTS), a.shape[1]
    shifted = np.stack([b[:, reach + shift : length - reach + shift] for shift in SHIFTS])
    window = a[:, reach : length - reach]
    window, shifted = window - window.mean(axis=-1, keepdims=True), shifted - shifted.mean(axis=-1, keepdims=True)
    norm = np.sqrt((window**2).sum(axis=-1) * (shifted**2).sum(axis=-1))
    return -((window * shifted).sum(axis=-1) / (norm + 0.05)).max(axis=0)


def _statistics(tiles: Tiles) -> Float32[np.ndarray, "t k"]:
    """The STATISTICS of each tile."""
    grey, ramp = tiles.mean(axis=-1), np.linspace(-1, 1, CUE_SIDE, dtype=np.float32)
    across, down = np.diff(grey, axis=2)[:, :-1], np.diff(grey, axis=1)[:, :, :-1]
    curve = np.abs(4 * grey[:, 1:-1, 1:-1] - grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1] - grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2])
    blue, saturation = tiles[..., 2] - tiles[..., :2].mean(axis=-1), np.ptp(tiles, axis=-1)
    texture = np.log(np.abs(across) + np.abs(down) + 0.05)
    upper = np.maximum(down, 0) - np.maximum(across, 0)
    plain = [grey, tiles[..., 0] - tiles[..., 1], blue, saturation]
    brightness, red_green, blueness, colour = (values.mean(axis=(1, 2)) for values in plain)
    fine = [np.log(np.abs(steps).mean(axis=(1, 2)) + 0.02) for steps in (across, down, curve)]
    downward = [(v * ramp[: v.shape[1], None]).mean(axis=(1, 2)) for v in (grey, blue, saturation, texture, upper)]
    rightward = [(v * ramp[: v.shape[2]]).mean(axis=(1, 2)) for v in (grey, texture)]
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
