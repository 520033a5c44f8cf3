"""Plain statistics of a picture or a part of one."""

import numpy as np

from spatial_ssrl.audit.edges import shrink

STATISTICS = (
    "brightness", "contrast", "red-green", "blue-yellow", "saturation", "sharpness", "fineness",
    "along x", "along y", "top", "left", "edge slant", "dark share", "bright share",
)  # fmt: skip


def statistics(picture: np.ndarray) -> np.ndarray:
    """The STATISTICS of a picture, uint8 (h, w, 3): float32 (14,)."""
    rgb = picture.astype(np.float32)
    channels = [rgb[:, :, c] for c in range(3)]  # numpy reduces a short axis slowly
    grey: np.ndarray = (channels[0] + channels[1] + channels[2]) / 3
    red, green, blue = (float(channel.mean()) for channel in channels)
    dy, dx = np.gradient(grey)
    curve = grey[2:, 1:-1] + grey[:-2, 1:-1] + grey[1:-1, 2:] + grey[1:-1, :-2] - 4 * grey[1:-1, 1:-1]
    height, width = (n // 2 for n in grey.shape)
    sharpness, steps = np.log(abs(curve).mean() + 1), np.log(np.hypot(dx, dy).mean() + 1)
    halves = (grey[:height].mean() - grey[height:].mean(), grey[:, :width].mean() - grey[:, width:].mean())
    colours = (red - green, blue - (red + green) / 2, (np.maximum.reduce(channels) - np.minimum.reduce(channels)).mean())
    gradients = (
        np.log(abs(dx).mean() + 1),
        np.log(abs(dy).mean() + 1),
        *halves,
        (dx * dy).mean() / (dx**2 + dy**2 + 1).mean(),
    )
    shares = ((grey < 40).mean(), (grey > 215).mean())
    return np.array([grey.mean(), grey.std(), *colours, sharpness, sharpness - steps, *gradients, *shares])


def tilt(picture: np.ndarray) -> np.ndarray:
    """How brightness, colours and texture change across a picture: (5, 2), downwards and rightwards."""
    small = shrink(picture, 32)
    grey = small.mean(axis=2)
    texture = np.log(abs(np.gradient(grey)[0]) + abs(np.gradient(grey)[1]) + 1)
    blue = small[:, :, 2] - small[:, :, :2].mean(axis=2)
    upper_edges = np.maximum(np.gradient(grey)[0], 0), np.maximum(np.gradient(grey)[1], 0)
    maps = [grey, np.ptp(small, axis=2), blue, texture, upper_edges[0] - upper_edges[1]]
    ramp = np.linspace(-1, 1, 32)
    return np.array([[(m * ramp[:, None]).mean(), (m * ramp).mean()] for m in maps])
