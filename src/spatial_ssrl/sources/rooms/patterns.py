"""Patterns of surfaces, and the colours and materials of a room.

Convention: a pattern takes coordinates (u, v) in its own units, v running down on walls, and colours,
a row each; it gives the colour of each point. Colours are linear RGB.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Float32

from spatial_ssrl.sources.rooms.geometry import Colours, Pattern, Scalars, Surface, Vec, Vecs

Style = Literal["varied", "plain"]
T = TypeVar("T")


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of them, all equally likely."""
    return choices[int(rng.integers(len(choices)))]


@lru_cache
def _noise() -> Float32[np.ndarray, "512 512"]:
    """Cloudy noise in 0..1 that tiles, a fixed picture."""
    white = np.fft.rfft2(np.random.default_rng(5).standard_normal((512, 512)))
    frequency = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.rfftfreq(512)) * 512
    cloudy = np.fft.irfft2(white / (3 + frequency) ** 1.1)
    return np.asarray(np.clip(0.5 + cloudy / cloudy.std() / 5, 0, 1), np.float32)


def cloud(u: Scalars, v: Scalars) -> Scalars:
    """Noise in 0..1 that repeats every unit."""
    rows, columns = ((w * 512).astype(np.int32) & 511 for w in (v, u))
    return np.take(_noise(), rows * 512 + columns)


def dice(i: Scalars, j: Scalars | float = 0.0) -> Scalars:
    """A fixed random number in 0..1 for each cell (i, j) of whole numbers."""
    x = np.sin(i * np.float32(12.9898) + j * np.float32(78.233)) * np.float32(437.5453)
    return np.asarray(x - np.floor(x))


def mix(a: Vec, b: Vec, share: Scalars) -> Vecs:
    """Colour between a and b."""
    return np.outer(a, 1 - share) + np.outer(b, share)


def paint(u: Scalars, v: Scalars, c: Colours) -> Vecs:
    """Flat colour, a little uneven."""
    return np.outer(c[0], 0.9 + 0.2 * cloud(u * 0.3, v * 0.3))


def planks(u: Scalars, v: Scalars, c: Colours) -> Vecs:
    """Boards along u, one unit long and 0.12 wide, each with its own tone and grain."""
    row = np.floor(v / 0.12)
    along = u + dice(row)
    board = dice(np.floor(along), row)
    gap = (np.abs(v / 0.12 - row - 0.5) > 0.475) | (np.abs(along % 1 - 0.5) > 0.496)
    tone = mix(c[0], c[1], 0.55 * board + 0.45 * cloud(u * 0.15 + board, v * 2 + board))
    return np.where(gap, 0.55 * tone, tone)


def grain(u: Scalars, v: Scalars, c: Colours) -> Vecs:
    """Wood without joints, grain along u."""
    return mix(c[0], c[1], cloud(u * 0.2, v * 1.7))


def tiles(u: Scalars, v: Scalars, c: Colours) -> Vecs:
    """Unit tiles of two colours by turns, joints of the third."""
    i, j = np.floor(u), np.floor(v)
    joint = np.maximum(np.abs(u - i - 0.5), np.abs(v - j - 0.5)) > 0.48
    tone = mix(c[0], c[1], (i + j) % 2) * (0.9 + 0.12 * dice(i, j) + 0.1 * cloud(u * 0.2, v * 0.2))
    return np.where(joint, c[2][:, None], tone)


def bricks(u: Scalars, v: Scalars, c: Colours) -> Vecs:
    """Bricks of 1 x 0.33 in running bond, mortar of the third colour."""
    row = np.floor(v * 3)
    along = u + row % 2 / 2
    joint = (np.abs(v * 3 - row - 0.5) > 0.44) | (np.abs(along % 1 - 0.5) > 0.48)
    tone = mix(c[0], c[1], dice(np.floor(along), row)) * (0.75 + 0.5 * cloud(u * 0.3, v * 0.3))
    return np.where(joint, c[2][:, None], tone)


def stripes(u: Scalars, v: Scalars, c: Colours) -> Vecs:
    """Upright stripes of two colours."""
    return mix(c[0], c[1], np.clip(4 * np.abs(u % 1 - 0.5) - 0.5, 0, 1) * (0.9 + 0.2 * cloud(u * 0.2, v * 0.2)))


def skirted(pattern: Pattern, scale: float) -> Pattern:
    """A wall's pattern above a skirting board, 9 cm high, in the last colour."""
    return lambda u, v, c: np.where(v * scale > -0.09, c[-1][:, None], pattern(u, v, c))


def weave(u: Scalars, v: Scalars, c: Colours) -> Vecs:
    """Cloth or carpet."""
    return mix(c[0], c[1], 0.5 * cloud(u * 1.1, v * 1.1) + 0.5 * cloud(u * 0.21, v * 0.21))


def diamonds(u: Scalars, v: Scalars, c: Colours) -> Vecs:
    """Nested diamonds, one a unit."""
    ring = np.abs(u % 1 - 0.5) + np.abs(v % 1 - 0.5)
    tone = np.take(c.T, (ring * 4 % 3).astype(np.int32), axis=1)
    return np.asarray(tone * (0.85 + 0.3 * cloud(u, v)))


def books(u: Scalars, v: Scalars, c: Colours) -> Vecs:
    """Backs of books, a unit wide; the first colour is the dark above them, v = 0 is the middle of the row."""
    i = np.floor(u)
    tone = c[1 + (dice(i) * (len(c) - 1)).astype(np.int32)].T * (0.75 + 0.5 * dice(i, 3.0))
    gap = (np.abs(u - i - 0.5) > 0.46) | (v < -2.4 + 1.6 * dice(i, 7.0))
    band = np.abs(v - 1 + dice(i, 5.0)) < 0.15
    return np.asarray(np.where(gap, c[0][:, None], np.where(band, 1.5 * tone, tone)))


def canvas(u: Scalars, v: Scalars, c: Colours) -> Vecs:
    """A painting of hills under a sun, for u and v in -1..1."""
    hills = 0.14 * np.sin(2.7 * u + 40 * c[0, 0]) + 0.08 * np.sin(6.1 * u - 50 * c[1, 1])
    layer = np.clip((v + hills * (1.2 - v) + 0.6) * 2.6, 0, len(c) - 1).astype(np.int32)
    sun = ((u - 0.9 * c[2, 0] + 0.4) ** 2 + (v + 0.4) ** 2 < 0.05) & (layer < 2)
    tone = c[layer].T * (0.85 + 0.3 * cloud(u * 0.2, v * 0.2))
    return np.asarray(np.where(sun, c[-1][:, None] ** 0.3, tone))


def sky(u: Scalars, v: Scalars, c: Colours) -> Vecs:
    """Out of the window: sky, and hills from v = 0.4 down."""
    air = mix(c[0], c[1], np.clip(v * 0.6 + 0.5, 0, 1)) * (0.85 + 0.4 * cloud(u * 0.12, v * 0.3))
    hills = np.outer(c[2], 0.7 + 0.6 * cloud(u * 0.2, v * 0.2))
    return np.asarray(np.where(v > 0.3 + 0.5 * cloud(u * 0.08, 0 * v), hills, air))


def rgb(codes: str) -> Colours:
    """Linear RGB of hexadecimal sRGB codes."""
    values = np.array([[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in codes.split()])
    return (values**2.2).astype(np.float32)


WOODS = ("6b4226 8f5f38", "b98a5a d3ab7c", "4a3020 6a4830", "9a6b45 b88a60", "c9b08c dcc9a8", "7d6a58 9a8772")
PALETTES = (
    # wall, accent wall, then fabrics and things
    "e9e2d3 5f7f86 2f5d62 d98e5f e3c16f a7bfa9 8c3b3b f1ece2",
    "dfe3df 8a9a7b 4f6d4a c96f4a e8d3a2 5b7a94 3d3f4a f4f0e6",
    "ead9c6 b5674d 7a3e3a e0a458 4f7c7a d9c7b0 33506b f6efe5",
    "d5dce4 3f5877 d4a24c 8fb0c6 b4544a e9e4da 5c6b57 f3f3ef",
    "efe6dc c9a9a0 8d5a6b 5f8a8b e6b89c 445a6f b7c4a1 faf5ee",
    "cfd6cc 6e5a7e 9b7fb0 e1b05c 5d8f86 c4695a 2f3e46 f2efe8",
)
PLAIN, PLAIN_WOOD = "9c8f7c 9c8f7c 857868 8c7c68 80766a 766a5e 72675c 8a7d6c", "80735f 8c7f6a"


@dataclass(frozen=True)
class Look:
    """The colours and materials of one room."""

    style: Style
    palette: Colours
    wood: Colours
    timber: Surface
    cloths: tuple[Surface, ...]
    lacquers: tuple[Surface, ...]
    """Porcelain, plastic, painted metal."""

    @classmethod
    def draw(cls, rng: np.random.Generator, style: Style) -> "Look":
        """A palette in random light or the plain one; each colour for things comes with a darker one."""
        varied = style == "varied"
        palette = rgb(pick(rng, PALETTES)) * rng.uniform(0.9, 1.1, (8, 3)).astype(np.float32) if varied else rgb(PLAIN)
        palette, wood = palette.clip(0, 1), rgb(pick(rng, WOODS) if varied else PLAIN_WOOD)
        tones = [np.stack([colour, colour * np.float32(0.72)]) for colour in palette[2:]]
        cloths = [Surface(c, weave, 0.5) for c in tones] + [Surface(tones[0], stripes, 0.16)] * varied
        lacquers = (Surface(c, paint, gloss=0.35 * varied) for c in tones)
        return cls(style, palette, wood, Surface(wood, grain, gloss=0.06), tuple(cloths), tuple(lacquers))
