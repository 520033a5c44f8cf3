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
from jaxtyping import Bool, Float, Float32, Int

CUE_SIDE = 48
"""Side, in pixels, of a tile."""
GAPS = (0, 3, 9, 14)
"""Widths of what may be missing between two tiles, in pixels of a tile, over which each goes on along its slope."""
DEPTHS = (2, 4, 10)
"""Depths, in pixels of a tile, of the strips whose profiles are correlated."""
STRIPS = np.array(
    [[(a <= k < b) / (b - a) for k in range(DEPTHS[-1])] for a, b in ((2, 5), *((0, depth) for depth in DEPTHS))], np.float32
)
"""Weights of the pixels from a border inwards: what follows it, and strips of DEPTHS, of which the first is the border."""
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
"""Channels first."""
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
    raw -= raw.mean()
    raw /= raw.std() + 1
    looks = _statistics(raw)
    plain = [_seams(raw, looks, candidates, grid), _layout(looks, candidates, grid), _odd(looks, candidates)]
    found = np.concatenate(plain, axis=1)
    return np.concatenate([found, np.abs(found - found.mean(axis=0))], axis=1)


def _seams(
    raw: Tiles, looks: Float32[np.ndarray, "t k"], candidates: Candidates, grid: tuple[int, int]
) -> Float[np.ndarray, "c f"]:
    """SEAMS and their rivals, summed over the pairs of tiles side by side and one above the other."""
    places = np.arange(grid[0] * grid[1]).reshape(grid)
    ways = [(3, places[:, :-1].ravel(), places[:, 1:].ravel()), (2, places[:-1].ravel(), places[1:].ravel())]
    ways = [way for way in ways if way[1].size]
    used = [_used(candidates[:, first], candidates[:, second], len(raw)) for _, first, second in ways]
    pairs = [np.nonzero(each) for each in used]
    i, j = (np.concatenate([pair[end] + k * len(raw) for k, pair in enumerate(pairs)]) for end in (0, 1))
    borders = _Borders.along(raw, [axis for axis, _, _ in ways])
    costs = _costs(borders, np.tile(looks[:, :COMPARED], (len(ways), 1)), i, j)
    total: Float[np.ndarray, "c f"] = np.zeros((len(candidates), 2 * len(SEAMS)))
    ends = np.cumsum([len(left) for left, _ in pairs])
    for (_, first, second), (left, right), some in zip(ways, pairs, np.split(costs, ends[:-1]), strict=True):
        table = np.zeros((*used[0].shape, 2 * len(SEAMS)), np.float32)
        table[left, right] = np.concatenate([some, _rivals(some, left, right, len(raw))], axis=1)
        total += table[candidates[:, first], candidates[:, second]].sum(axis=1)
    return total


def _used(left: Candidates, right: Candidates, tiles: int) -> Bool[np.ndarray, "t t"]:
    """Which pairs of tiles some candidate has side by side; a last row and column stand for what is unknown."""
    used = np.zeros((tiles + 1, tiles + 1), bool)
    used[left, right] = True
    used[-1], used[:, -1] = False, False
    return used


def _rivals(costs: Float32[np.ndarray, "m f"], i: Pairs, j: Pairs, tiles: int) -> Float32[np.ndarray, "m f"]:
    """Costs as negative log shares among all pairs with the same first tile, and with the same second."""
    scaled = costs / (costs.std(axis=0) + 1e-6)
    shares: Float32[np.ndarray, "t t f"] = np.zeros((tiles, tiles, costs.shape[1]), np.float32)
    shares[i, j] = np.exp(scaled.min(axis=0, initial=0) - scaled)
    both = shares[i, j] ** 2 / (shares.sum(axis=1)[i] * shares.sum(axis=0)[j] + 1e-12)
    return -np.log(both + 1e-9)


@dataclass(frozen=True)
class _Borders:
    """The ends of n tiles, where others may follow, and their starts, seen along one axis or along both in turn."""

    raw: Float32[np.ndarray, "2 n 3 d s"]
    """Pixels inwards, then along the border."""
    strips: Float32[np.ndarray, "2 2 n 3 k s"]
    """Profiles of STRIPS as they are, and with the mean and spread of each tile's channels made even."""
    contours: Float32[np.ndarray, "2 n 2 r"]
    """Directions of contours along the border, as doubled angles weighted by contrast."""

    @classmethod
    def along(cls, tiles: Tiles, axes: Sequence[int]) -> "_Borders":
        raw = np.concatenate([_both_ends(np.moveaxis(tiles, axis, 2), STRIPS.shape[1]) for axis in axes], axis=1)
        mean, scale = tiles.mean(axis=(2, 3)), 1 / (tiles.std(axis=(2, 3)) + np.float32(0.08))
        offset, gain = (np.tile(values, (len(axes), 1))[..., None, None] for values in (mean, scale))
        strips = STRIPS @ raw
        contours = _contours(np.einsum("tcyx,tc->tyx", tiles, scale / 3), axes)
        return cls(raw, np.stack([strips, (strips - offset) * gain]), contours)


def _both_ends(values: Float32[np.ndarray, "t k s s"], depth: int) -> Float32[np.ndarray, "2 t k d s"]:
    """What lies up to a depth from the end and from the start of axis 2, from the border inwards."""
    return np.stack([values[:, :, : -depth - 1 : -1], values[:, :, :depth]])


def _contours(grey: Float32[np.ndarray, "t s s"], axes: Sequence[int]) -> Float32[np.ndarray, "2 n 2 r"]:
    """Directions in the picture, so that those on both sides of a seam agree, along the ends and starts of each axis."""
    down, across = np.gradient(grey, axis=(1, 2))
    tensor = np.stack([across**2 - down**2, 2 * across * down], axis=1)
    ends = [_both_ends(np.moveaxis(tensor, axis, 2), REACH).mean(axis=3) for axis in axes]
    return _smooth(np.concatenate(ends, axis=1), 5)


def _costs(borders: _Borders, looks: Float32[np.ndarray, "n k"], i: Pairs, j: Pairs) -> Float32[np.ndarray, "m f"]:
    """SEAMS of the end of tile i with the start of tile j."""
    inner, edge = borders.strips[..., 0, :], borders.strips[..., 1, :]
    slopes = (edge - inner) / np.float32(2.5)
    step, slope = (values[:, 0, i] - values[:, 1, j] for values in (edge, slopes))
    sizes = [_size(step + slope * np.float32(gap / 2)) for gap in GAPS] + [_size(_smooth(step, SMOOTH))]
    even = np.moveaxis(borders.strips[1], 3, 0)
    grey, colours = even[1:].mean(axis=3), np.moveaxis(even[1], 2, 0)
    along, edges = _unlike(np.concatenate([grey, colours]), i, j), _unlike(_steps(grey), i, j)
    columns = [*np.stack(sizes, axis=1).reshape(-1, len(i)), *along[:3], *edges, along[3:].mean(axis=0)]
    columns += [*_bends(borders.contours, i, j), np.log1p(_surprise(borders.raw, i, j))]
    zones = _zones(borders.raw[..., :ZONE, :])
    differences = [np.abs(zones[0, i] - zones[1, j]), np.abs(looks[i] - looks[j])]
    return np.concatenate([np.stack(columns, axis=1), *differences], axis=1)


def _zones(zone: Float32[np.ndarray, "2 n 3 d s"]) -> Float32[np.ndarray, "2 n 3"]:
    """Mean, spread and sharpness of what lies along the borders."""
    sharpness = np.log(np.abs(np.diff(zone, axis=4)).mean(axis=(2, 3, 4)) + 0.01)
    return np.stack([zone.mean(axis=(2, 3, 4)), zone.std(axis=(3, 4)).mean(axis=2), sharpness], axis=2)


def _surprise(raw: Float32[np.ndarray, "2 n 3 d s"], i: Pairs, j: Pairs) -> Float32[np.ndarray, "m"]:
    """How unusual the step over a seam is among the steps inside either tile (Gallagher 2012)."""
    inside = raw[:, :, :, 0] - raw[:, :, :, 1]
    mean = inside.mean(axis=3, keepdims=True)
    spread = (inside - mean) @ (inside - mean).swapaxes(2, 3) / inside.shape[3] + 0.003 * np.eye(3, dtype=np.float32)
    inverse, step = np.linalg.inv(spread), raw[1, j, :, 0] - raw[0, i, :, 0]
    off = np.stack([step - mean[0, i], -step - mean[1, j]])
    return (off * (np.stack([inverse[0, i], inverse[1, j]]) @ off)).sum(axis=(0, 2, 3)) / step.shape[2]


def _bends(contours: Float32[np.ndarray, "2 n 2 r"], i: Pairs, j: Pairs) -> list[Float32[np.ndarray, "m"]]:
    """Minus the agreement of contours at a seam with those on its other side, place by place and as a whole."""
    found, whole = [], contours.mean(axis=3, keepdims=True)
    for x, y in ((contours[0, i], contours[1, j]), (whole[0, i], whole[1, j])):
        sizes = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
        found.append(-(x * y).sum(axis=(1, 2)) / (sizes.sum(axis=1) + 1e-4))
    return found


def _size(difference: Float32[np.ndarray, "... 3 s"]) -> Float32[np.ndarray, "..."]:
    return np.abs(difference).mean(axis=(-2, -1))


def _smooth(values: Float32[np.ndarray, "... s"], width: int) -> Float32[np.ndarray, "... r"]:
    """Moving average along the seam."""
    total = np.cumsum(values, axis=-1)
    return (total[..., width:] - total[..., :-width]) / width


def _steps(profiles: Float32[np.ndarray, "... s"]) -> Float32[np.ndarray, "... r"]:
    return np.abs(np.diff(_smooth(profiles, 3), axis=-1))


def _unlike(profiles: Float32[np.ndarray, "p 2 n s"], i: Pairs, j: Pairs) -> Float32[np.ndarray, "p m"]:
    """Minus the highest correlation of profiles at the ends i and the starts j, shifted along each other by a few pixels."""
    length = profiles.shape[3] - 2 * max(SHIFTS)
    window = _centred(profiles[:, 0, :, max(SHIFTS) : -max(SHIFTS)])
    shifted = np.lib.stride_tricks.sliding_window_view(profiles[:, 1], length, axis=2)
    squares = np.maximum((shifted**2).sum(axis=3) - shifted.sum(axis=3) ** 2 / length, 0)
    norm = np.sqrt((window**2).sum(axis=2)[:, i, None] * squares[:, j])
    dots = (shifted[:, j] @ window[:, i, :, None])[..., 0]
    return -(dots / (norm + np.float32(0.05))).max(axis=2)


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
