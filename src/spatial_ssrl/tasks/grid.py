"""Cutting a picture into equal patches, putting patches together, and telling patches apart.

Convention: patches are counted in row-major order from 0 at the top left.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from spatial_ssrl.scene import RGB, Box

WHITE = 255
MAX_GAIN = 2.0
"""Contrast is at most doubled or halved: more would show the noise of a plain surface."""
THUMBNAIL = 16
"""Side, in pixels, at which patches are compared: what is equal here looks equal to a person."""


class Levels(NamedTuple):
    """Mean and spread of each channel of some patches, in grey levels; a spread is never 0."""

    mean: Float[np.ndarray, "*n 3"]
    spread: Float[np.ndarray, "*n 3"]


def cells(frame: Box, rows: int, columns: int) -> list[Box]:
    """Equal parts of a box; rows and columns of pixels that do not divide are left out."""
    left, top, right, bottom = frame
    return slots(((right - left) // columns, (bottom - top) // rows), rows, columns, origin=(left, top))


def slots(size: tuple[int, int], rows: int, columns: int, gap: float = 0.0, origin: tuple[int, int] = (0, 0)) -> list[Box]:
    """Boxes of one (width, height) in rows and columns, each with `gap` of its shorter side between it and the next."""
    (width, height), space = size, round(gap * min(size))
    corners = [
        (origin[0] + c * (width + space), origin[1] + r * (height + space)) for r in range(rows) for c in range(columns)
    ]
    return [(x, y, x + width, y + height) for x, y in corners]


def take(rgb: RGB, box: Box) -> RGB:
    """The pixels inside a box."""
    left, top, right, bottom = box
    return rgb[top:bottom, left:right]


def resize(rgb: RGB, width: int, height: int) -> RGB:
    """The picture at another size; as it is where that is its size."""
    if rgb.shape[:2] == (height, width):
        return rgb
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC))


def join(patches: Sequence[RGB], boxes: Sequence[Box]) -> RGB:
    """A white picture with each patch in its box."""
    canvas = np.full((max(b[3] for b in boxes), max(b[2] for b in boxes), 3), WHITE, np.uint8)
    for patch, (left, top, right, bottom) in zip(patches, boxes, strict=True):
        canvas[top:bottom, left:right] = patch
    return canvas


def thumbnail(rgb: RGB, side: int = THUMBNAIL) -> RGB:
    """The picture averaged down to a small square."""
    return np.asarray(Image.fromarray(rgb).resize((side, side), Image.Resampling.BOX, reducing_gap=1.0))


def difference(a: RGB, b: RGB) -> float:
    """Root of the mean squared difference of two thumbnails, in grey levels (0 to 255)."""
    return float(np.sqrt(np.mean((a.astype(np.float32) - b) ** 2)))


def weakest_contour(tiles: Sequence[RGB]) -> float:
    """The clearest contours of the plainest tile: the 95th percentile of its steps of brightness, in grey levels."""
    grey = np.stack(tiles).sum(axis=3, dtype=np.float32) / 3
    steps = (np.diff(grey, axis=1)[:, :, 1:] ** 2 + np.diff(grey, axis=2)[:, 1:] ** 2).reshape(len(grey), -1)
    clearest = steps.shape[1] * 95 // 100
    return float(np.sqrt(np.partition(steps, clearest, axis=1)[:, clearest].min()))


def smallest_difference(thumbnails: Sequence[RGB]) -> float:
    """The smallest difference between any two of the thumbnails, in grey levels."""
    flat = np.stack(thumbnails).reshape(len(thumbnails), -1).astype(np.float32)
    first, second = np.triu_indices(len(flat), 1)
    return float(np.sqrt(np.mean((flat[first] - flat[second]) ** 2, axis=1).min()))


def equalise(patches: Sequence[RGB], strength: float) -> list[RGB]:
    """Patches of one size whose channels have moved toward one common mean and spread, by `strength` from 0 to 1."""
    if not strength:
        return list(patches)
    old = levels(patches)
    return _move_levels(patches, old, Levels(old.mean.mean(axis=0), np.exp(np.log(old.spread).mean(axis=0))), strength)


def match_levels(patches: Sequence[RGB], target: Levels, strength: float) -> list[RGB]:
    """Patches of one size with the mean and spread of their channels moved toward these, by `strength` from 0 to 1."""
    return _move_levels(patches, levels(patches), target, strength) if strength else list(patches)


def levels(patches: Sequence[RGB]) -> Levels:
    """The levels of patches of one size."""
    small = _shrink(np.stack(patches)).astype(np.float64)
    return Levels(small.mean(axis=(1, 2)), small.std(axis=(1, 2)) + 1)


def _shrink(patches: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n s s 3"]:
    """Thumbnails; those of patches that are three times as large are made at once, rounded as Pillow does."""
    if patches.shape[1:3] != (3 * THUMBNAIL, 3 * THUMBNAIL):
        return np.stack([thumbnail(patch) for patch in patches])
    rows = patches[:, ::3].astype(np.uint16) + patches[:, 1::3] + patches[:, 2::3]
    return ((rows[:, :, ::3] + rows[:, :, 1::3] + rows[:, :, 2::3] + 3) // 9).astype(np.uint8)


def _move_levels(patches: Sequence[RGB], old: Levels, new: Levels, strength: float) -> list[RGB]:
    """Each channel as gain * level + offset, clipped to 0 and 255."""
    gain = np.clip(new.spread / old.spread, 1 / MAX_GAIN, MAX_GAIN) ** strength
    offset = old.mean + strength * (new.mean - old.mean) - gain * old.mean
    tables = np.clip(np.arange(256) * gain[..., None] + offset[..., None], 0, 255).round().astype(np.uint8)
    return [_look_up(table, patch) for table, patch in zip(tables, patches, strict=True)]


def _look_up(tables: UInt8[np.ndarray, "3 256"], rgb: RGB) -> RGB:
    """The picture with a table applied to each channel."""
    return np.stack([table[rgb[..., channel]] for channel, table in enumerate(tables)], axis=-1)
