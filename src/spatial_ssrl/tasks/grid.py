"""Cutting a picture into equal patches, putting patches together, and telling patches apart.

Convention: patches are counted in row-major order from 0 at the top left.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from PIL import Image

from spatial_ssrl.scene import RGB

THUMBNAIL = 16
"""Side, in pixels, at which patches are compared: what is equal here looks equal to a person."""


def cut(rgb: RGB, rows: int, columns: int) -> list[RGB]:
    """Equal patches in row-major order; rows and columns of pixels that do not divide are left out."""
    height, width = rgb.shape[0] // rows, rgb.shape[1] // columns
    return [rgb[r * height : (r + 1) * height, c * width : (c + 1) * width] for r in range(rows) for c in range(columns)]


def join(patches: Sequence[RGB], rows: int, columns: int) -> RGB:
    """The picture whose patches, in row-major order, are these."""
    return np.concatenate([np.concatenate(patches[r * columns : (r + 1) * columns], axis=1) for r in range(rows)])


def thumbnail(rgb: RGB) -> Float32[np.ndarray, "16 16 3"]:
    """The picture averaged down to 16 x 16, in grey levels."""
    small = Image.fromarray(rgb).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX, reducing_gap=1.0)
    return np.asarray(small, dtype=np.float32)


def difference(a: Float32[np.ndarray, "16 16 3"], b: Float32[np.ndarray, "16 16 3"]) -> float:
    """Root of the mean squared difference of two thumbnails, in grey levels (0 to 255)."""
    return float(np.sqrt(np.mean((a - b) ** 2)))


def smallest_difference(patches: Sequence[RGB]) -> float:
    """The smallest difference between any two of the patches, in grey levels."""
    small = [thumbnail(p) for p in patches]
    return min(difference(a, b) for i, a in enumerate(small) for b in small[:i])
