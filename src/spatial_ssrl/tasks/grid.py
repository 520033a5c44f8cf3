"""Cutting a picture into equal patches, putting patches together, and telling patches apart.

Convention: patches are counted in row-major order from 0 at the top left.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image

from spatial_ssrl.scene import RGB

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are outside."""

WHITE = 255
MAX_GAIN = 2.0
"""Contrast is at most doubled or halved: more would show the noise of a plain surface."""
THUMBNAIL = 16
"""Side, in pixels, at which patches are compared: what is equal here looks equal to a person."""


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


def smallest_difference(thumbnails: Sequence[RGB]) -> float:
    """The smallest difference between any two of the thumbnails, in grey levels."""
    return min(difference(a, b) for i, a in enumerate(thumbnails) for b in thumbnails[:i])


def equalise(patches: Sequence[RGB], strength: float) -> list[RGB]:
    """Patches whose channels have moved toward one common mean and spread, by `strength` from 0 to 1."""
    if not strength:
        return list(patches)
    means, spreads = np.array([_levels(patch) for patch in patches]).transpose(1, 0, 2)
    target = means.mean(axis=0), np.exp(np.log(spreads).mean(axis=0))
    return [_move_levels(patch, *target, strength) for patch in patches]


def match_levels(patch: RGB, other: RGB, strength: float) -> RGB:
    """The patch with the mean and spread of its channels moved toward another's, by `strength` from 0 to 1."""
    return _move_levels(patch, *_levels(other), strength)


def _levels(patch: RGB) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Mean and spread of each channel, in grey levels; the spread is never 0."""
    small = thumbnail(patch).astype(np.float64)
    return small.mean(axis=(0, 1)), small.std(axis=(0, 1)) + 1


def _move_levels(patch: RGB, mean: Float[np.ndarray, "3"], spread: Float[np.ndarray, "3"], strength: float) -> RGB:
    """Each channel as gain * level + offset, clipped to 0 and 255."""
    old_mean, old_spread = _levels(patch)
    gain = np.clip(spread / old_spread, 1 / MAX_GAIN, MAX_GAIN) ** strength
    offset = old_mean + strength * (mean - old_mean) - gain * old_mean
    table = np.clip(np.arange(256) * gain[:, None] + offset[:, None], 0, 255).round()
    return np.asarray(Image.fromarray(patch).point(table.astype(int).ravel().tolist()))
