"""Where does a small picture occur in another one? Normalised cross-correlation (NCC)."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image


def grey(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture averaged to width x height, float32 grey levels."""
    image = Image.fromarray(picture).convert("L").resize((width, height), Image.Resampling.BOX)
    return np.asarray(image, np.float32)


def correlate(pictures: np.ndarray, template: np.ndarray) -> np.ndarray:
    """NCC of a template (t, u) at every place of pictures (m, h, w): (m, h - t + 1, w - u + 1)."""
    windows = sliding_window_view(pictures, template.shape, axis=(1, 2))
    off = template - template.mean()
    products = np.einsum("mhwtu,tu->mhw", windows, off, optimize=True)
    spread = _window_spread(pictures, template.shape) * np.sqrt((off**2).sum())
    return products / (spread + 1e-3 * template.size)


def _window_spread(pictures: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Root of the summed squared deviations in every window."""
    total, squares = (_window_sums(p.astype(np.float64), shape) for p in (pictures, pictures.astype(np.float64) ** 2))
    return np.sqrt(np.maximum(squares - total**2 / np.prod(shape), 0))


def _window_sums(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    padded = np.pad(values, ((0, 0), (1, 0), (1, 0))).cumsum(axis=1).cumsum(axis=2)
    t, u = shape
    return padded[:, t:, u:] - padded[:, :-t, u:] - padded[:, t:, :-u] + padded[:, :-t, :-u]
