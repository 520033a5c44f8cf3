"""Solvers of the filled hole: which option goes on where the picture stops, and which is the odd one out?

Convention: the first picture has a black square hole (left, top, side) in pixels; the others are the
options. An option may show only the middle share of the hole, its `inset`.
"""

import io
from functools import lru_cache

import numpy as np
from PIL import Image

from spatial_ssrl.audit.appearance import statistics
from spatial_ssrl.audit.continuity import pair_costs
from spatial_ssrl.audit.edges import edges_of
from spatial_ssrl.audit.matching import correlate, grey
from spatial_ssrl.audit.puzzle import Features, Puzzle
from spatial_ssrl.tasks.grid import resize

BLACK = 24
"""Grey level up to which a pixel counts as painted black, after JPEG."""
SMALLEST_HOLE = 8
"""Side, in pairs of pixels, of the smallest black square that is taken for the hole."""
INSETS = (1.0, 0.8, 0.64, 0.57)
"""Shares of the hole's side that options are assumed to show."""
OPPOSITE = {"left": "right", "top": "bottom", "right": "left", "bottom": "top"}
ICON = 48
"""Side, in pixels, of an option when options are compared."""


def find_hole(picture: np.ndarray) -> tuple[int, int, int]:
    """Left, top and side of the largest black square."""
    dark = np.pad(_is_black(picture[::2, ::2]).astype(np.int32), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    low, high, best = 1, min(dark.shape) - 1, (0, 0)
    while low < high:
        side = (low + high + 1) // 2
        counts = dark[side:, side:] - dark[:-side, side:] - dark[side:, :-side] + dark[:-side, :-side]
        place = np.unravel_index(counts.argmax(), counts.shape)
        if counts[place] >= 0.995 * side * side:
            low, best = side, (int(place[0]), int(place[1]))
        else:
            high = side - 1
    if low < SMALLEST_HOLE:  # nothing is painted black: the middle stands in for the hole
        low = min(dark.shape) // 4
        best = (dark.shape[0] // 2 - low // 2, dark.shape[1] // 2 - low // 2)
        return 2 * best[1], 2 * best[0], 2 * low
    return _to_the_pixel(_is_black(picture), 2 * best[1], 2 * best[0], 2 * low)


def _to_the_pixel(black: np.ndarray, left: int, top: int, side: int) -> tuple[int, int, int]:
    """A square known to two pixels, moved and resized to where columns and rows cease to be black."""
    middle = slice(side // 4, side - side // 4)
    columns = np.flatnonzero(black[top : top + side][middle, max(0, left - 3) : left + side + 3].mean(axis=0) > 0.97)
    rows = np.flatnonzero(black[:, left : left + side][max(0, top - 3) : top + side + 3, middle].mean(axis=1) > 0.97)
    if not len(columns) or not len(rows):
        return left, top, side
    return max(0, left - 3) + int(columns[0]), max(0, top - 3) + int(rows[0]), int(min(np.ptp(columns), np.ptp(rows))) + 1


@lru_cache(maxsize=1)
def hole_of(puzzle: Puzzle) -> tuple[int, int, int]:
    """The hole of a puzzle."""
    return find_hole(puzzle.pictures[0])


def crop_border(puzzle: Puzzle) -> Features:
    """For each option, minus the costs of its edges beside the hole's rim, for each assumed inset."""
    picture, options = puzzle.pictures[0], puzzle.pictures[1:]
    features: Features = {}
    for inset in INSETS:
        for name, cost in _rim_costs(picture, find_hole(picture), options, inset).items():
            features[f"{name}, inset {inset}"] = -cost
    return features


def _rim_costs(picture: np.ndarray, hole: tuple[int, int, int], options: list[np.ndarray], inset: float) -> Features:
    """Costs summed over those sides of the hole that the picture's edge does not touch: each (options,)."""
    left, top, side = hole
    shown = round(inset * side)
    start = (side - shown) // 2
    edges = edges_of([resize(option, shown, shown) for option in options])
    totals: Features = {}
    for name, (x, y) in {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}.items():
        rim = _beside(picture, left + x * side, top + y * side, side, start * (x == 0), start * (y == 0), (x, y))
        if rim is None:
            continue
        rims = edges_of([resize(rim, shown, shown)])[OPPOSITE[name]][np.zeros(len(options), int)]
        for key, cost in pair_costs(rims, edges[name]).items():
            totals[key] = totals.get(key, 0.0) + cost
    return totals


def _beside(
    picture: np.ndarray, left: int, top: int, side: int, cut_x: int, cut_y: int, way: tuple[int, int]
) -> np.ndarray | None:
    """The square beside the hole, less a cut at both ends of the shared side; mirrored on where the picture ends."""
    height, width = picture.shape[:2]
    rows = np.arange(top + cut_y, top + side - cut_y)
    columns = np.arange(left + cut_x, left + side - cut_x)
    inside = ((columns >= 0) & (columns < width)).sum(), ((rows >= 0) & (rows < height)).sum()
    if (way[0] and inside[0] < 8) or (way[1] and inside[1] < 8):
        return None
    return picture[_reflect(rows, height)[:, None], _reflect(columns, width)]


def _reflect(index: np.ndarray, size: int) -> np.ndarray:
    """Indices folded back into 0 to size - 1 at either end."""
    folded = np.abs(index)
    return np.clip(np.where(folded >= size, 2 * size - 2 - folded, folded), 0, size - 1)


def options_alone(puzzle: Puzzle) -> Features:
    """For each option, how well the others are explained as turned, enlarged or zoomed-out copies of it."""
    icons = np.stack([grey(option, ICON, ICON) for option in puzzle.pictures[1:]])
    turned = np.stack([_similarity(icons, np.rot90(icons, k, axes=(1, 2))) for k in (1, 3)]).max(axis=0)
    half_turned = _similarity(icons, np.rot90(icons, 2, axes=(1, 2)))
    inside = np.stack([_occurrence(icons, round(scale * ICON)) for scale in (0.5, 0.6, 0.67, 0.75, 0.83)])
    nearer, wider = inside[0], inside.max(axis=0)
    parent = np.maximum(np.maximum(turned, nearer), wider.T)
    tables = {"turned": turned, "half turned": half_turned, "holds": nearer, "held": wider.T, "parent": parent}
    tables |= {"alike": _similarity(icons, icons)}
    off = ~np.eye(len(icons), dtype=bool)
    sums = {f"{name}, sum": (table * off).sum(axis=1) for name, table in tables.items()}
    return sums | {f"{name}, least": np.where(off, table, np.inf).min(axis=1) for name, table in tables.items()}


def _similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation of each picture of a (m, h, w) with each of b: (m, m)."""
    x, y = (v.reshape(len(v), -1) - v.reshape(len(v), -1).mean(axis=1, keepdims=True) for v in (a, b))
    return x @ y.T / (np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1) + 1e-3 * x.shape[1])


def _occurrence(icons: np.ndarray, side: int) -> np.ndarray:
    """Entry (i, j): best NCC of picture j, shrunk to `side`, anywhere in picture i."""
    small = [np.asarray(Image.fromarray(icon).resize((side, side), Image.Resampling.BOX)) for icon in icons]
    return np.stack([correlate(icons, template).max(axis=(1, 2)) for template in small], axis=1)


def found_elsewhere(puzzle: Puzzle) -> Features:
    """For each option, minus its best match within the shown picture, at several sizes."""
    picture, (_, _, side) = puzzle.pictures[0], hole_of(puzzle)
    height, width = picture.shape[:2]
    scale = 96 / max(height, width)
    shown = grey(picture, round(width * scale), round(height * scale))
    features: Features = {}
    for size in (0.5, 0.64, 0.8, 1.0):
        t = max(6, round(size * side * scale))
        if t < min(shown.shape):
            best = [correlate(shown[None], grey(option, t, t)).max() for option in puzzle.pictures[1:]]
            features[f"match at {size}"] = -np.array(best)
        else:
            features[f"match at {size}"] = np.zeros(len(puzzle.pictures) - 1)
    return features | {"match": np.min(list(features.values()), axis=0)}


def crop_statistics(puzzle: Puzzle) -> Features:
    """For each option, its statistics, and how near they come to the picture's and the surroundings'."""
    picture = puzzle.pictures[0]
    left, top, side = hole_of(puzzle)
    reach = side // 2
    around = picture[max(0, top - reach) : top + side + reach, max(0, left - reach) : left + side + reach]
    table = np.stack([statistics(option) for option in puzzle.pictures[1:]])
    features = {f"{i}": table[:, i] for i in range(table.shape[1])}
    for name, other in (("picture", picture), ("surroundings", around)):
        far = abs(table - statistics(_without_black(other)))
        features |= {f"{i} near {name}": -far[:, i] for i in range(table.shape[1])}
    return features


def _is_black(picture: np.ndarray) -> np.ndarray:
    """Where a picture is painted black: bool (h, w)."""
    return (picture[:, :, 0] <= BLACK) & (picture[:, :, 1] <= BLACK) & (picture[:, :, 2] <= BLACK)


def _without_black(picture: np.ndarray) -> np.ndarray:
    """The picture with its black pixels set to the mean of the others."""
    black = _is_black(picture)
    filled = picture.copy()
    filled[black] = picture[~black].mean(axis=0) if (~black).any() else 0
    return filled


def resampling(puzzle: Puzzle) -> Features:
    """For each option, traces of how its file came about: size, spectrum, fine detail, block edges."""
    rows = []
    for data, option in zip(puzzle.files[1:], puzzle.pictures[1:], strict=True):
        level = np.asarray(Image.open(io.BytesIO(data)).convert("L"), np.float32)
        power = np.log(abs(np.fft.fftshift(np.fft.fft2(level - level.mean()))) + 1)
        radius = np.hypot(*(np.linspace(-1, 1, n)[i] for n, i in zip(level.shape, np.indices(level.shape), strict=True)))
        bands = [power[(radius >= low) & (radius < low + 0.2)].mean() for low in (0.1, 0.3, 0.5, 0.7, 0.9)]
        steps = abs(np.diff(level, axis=1)).mean(axis=0)
        blocks = steps[7::8].mean() / (steps.mean() + 0.1)
        rows.append([len(data) / option.size, *bands, bands[3] - bands[0], blocks])
    table = np.array(rows)
    return {f"trace {i}": table[:, i] for i in range(table.shape[1])}
