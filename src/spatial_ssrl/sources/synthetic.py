"""Rendered rooms without end: furniture, lamps and a camera drawn at random, depth exact, camera known.

Convention: x to the right, y down, z forward, metres; the floor is y = 0, so heights are -y. A room's
back wall is at positive z, and the camera looks roughly there. Furniture is built around its own
origin on the floor with its back towards positive z, then turned and moved (raycast.Piece).

The geometry and the light are raycast.py's; here are the patterns, the furniture and the rooms.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32

from spatial_ssrl.scene import Intrinsics, Scene
from spatial_ssrl.sources.raycast import (
    Colours,
    Lamp,
    Part,
    Pattern,
    Piece,
    Scalars,
    Surface,
    Vec,
    Vecs,
    View,
    World,
    look,
    picture,
    reach_light,
    shade,
    smooth,
    turn,
)

Style = Literal["varied", "plain"]

CORNERS = np.array([[0.125, 0.375, 0.625, 0.875], [0.375, 0.875, 0.125, 0.625]], np.float32)
"""Where in a pixel (x, y) the four rays of an edge go."""


# Patterns: (u, v, colours) -> colour of each point. v runs down on walls.


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
    grain = cloud(u * 0.15 + board, v * 2 + board)
    gap = (np.abs(v / 0.12 - row - 0.5) > 0.475) | (np.abs(along % 1 - 0.5) > 0.496)
    tone = mix(c[0], c[1], 0.55 * board + 0.45 * grain)
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


# Colours


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
PLAIN = "9c8f7c 9c8f7c 857868 8c7c68 80766a 766a5e 72675c 8a7d6c"


@dataclass(frozen=True)
class Look:
    """The colours and patterns of one room."""

    style: Style
    palette: Colours
    wood: Colours

    @classmethod
    def draw(cls, rng: np.random.Generator, style: Style) -> "Look":
        """A palette in random light or the plain one."""
        if style == "plain":
            return cls(style, rgb(PLAIN), rgb("80735f 8c7f6a"))
        palette = rgb(PALETTES[rng.integers(len(PALETTES))]) * rng.uniform(0.9, 1.1, (8, 3)).astype(np.float32)
        return cls(style, palette.clip(0, 1), rgb(WOODS[rng.integers(len(WOODS))]))

    @cached_property
    def tones(self) -> list[Colours]:
        """The colours for things, each with a darker one."""
        return [np.stack([colour, colour * np.float32(0.72)]) for colour in self.palette[2:]]

    @cached_property
    def cloths(self) -> list[Surface]:
        """Upholstery in the palette's colours, now and then striped."""
        striped = [Surface(c, stripes, 0.16) for c in self.tones[:1] if self.style == "varied"]
        return [Surface(c, weave, 0.5) for c in self.tones] + striped

    @cached_property
    def lacquers(self) -> list[Surface]:
        """Porcelain, plastic, painted metal."""
        return [Surface(c, paint, gloss=0.0 if self.style == "plain" else 0.35) for c in self.tones]

    @cached_property
    def timber(self) -> Surface:
        """The wood of the furniture."""
        return Surface(self.wood, grain, gloss=0.06)

    def cloth(self, rng: np.random.Generator) -> Surface:
        """One of the cloths."""
        return self.cloths[rng.integers(len(self.cloths))]

    def lacquer(self, rng: np.random.Generator) -> Surface:
        """One of the lacquers."""
        return self.lacquers[rng.integers(len(self.lacquers))]


# Furniture. Sizes in metres, heights above the floor.

Parts = list[Part]


def _vec(*values: float | np.float32) -> Vec:
    return np.array(values, np.float32)


def block(width: float, depth: float, low: float, high: float, of: Surface, x: float = 0, z: float = 0) -> Part:
    """A box from height `low` to `high`, centred on (x, z)."""
    return Part("box", _vec(x, -(low + high) / 2, z), _vec(width, high - low, depth) / 2, of)


def drum(radius: float, low: float, high: float, of: Surface, x: float = 0, z: float = 0, taper: float = 1.0) -> Part:
    """An upright cylinder or cone, its upper radius `taper` times the lower."""
    return Part("frustum", _vec(x, -(low + high) / 2, z), _vec(radius, (high - low) / 2, radius), of, taper)


def ball(radius: float, height: float, of: Surface, x: float = 0, z: float = 0, tall: float = 1.0) -> Part:
    """A ball with its centre at `height`, stretched upright by `tall`."""
    return Part("ball", _vec(x, -height, z), _vec(radius, radius * tall, radius), of)


def legs(width: float, depth: float, height: float, of: Surface, thick: float = 0.05) -> Parts:
    """Four legs under a rectangle."""
    x, z = (width - thick) / 2 - 0.02, (depth - thick) / 2 - 0.02
    return [block(thick, thick, 0, height, of, i * x, j * z) for i in (-1, 1) for j in (-1, 1)]


def trinket(rng: np.random.Generator, look: Look, low: float, x: float, z: float = 0.0) -> Parts:
    """A small thing standing at height `low`: vase, bowl, box, ball or a stack of books."""
    kind, size, of = rng.integers(5), rng.uniform(0.07, 0.12), look.lacquer(rng)
    if kind == 0:
        neck = drum(size * 0.35, low + 2.2 * size, low + 3.4 * size, of, x, z, 1.4)
        return [ball(size, low + 1.3 * size, of, x, z, 1.3), neck]
    if kind == 1:
        return [drum(size * 0.7, low, low + size, of, x, z, 1.9)]
    if kind == 2:
        return [block(2.4 * size, 1.8 * size, low, low + 1.6 * size, look.cloth(rng), x, z)]
    if kind == 3:
        return [ball(size, low + size, of, x, z)]
    return [
        block(0.2, 0.14, low + i * 0.035, low + i * 0.035 + 0.033, look.lacquer(rng), x + 0.01 * i, z) for i in (0, 1, 2)
    ]


def table(rng: np.random.Generator, look: Look) -> Parts:
    """A table with things on it."""
    width, depth, height = rng.uniform(1.0, 1.6), rng.uniform(0.6, 0.85), rng.choice([0.45, 0.74])
    top = block(width, depth, height - 0.045, height, look.timber)
    things = [p for x in (-0.3, 0.28) for p in trinket(rng, look, height, x * width, rng.uniform(-0.15, 0.15))]
    return [top, *legs(width, depth, height - 0.045, look.timber), *things]


def round_table(rng: np.random.Generator, look: Look) -> Parts:
    """A round table on one foot."""
    radius, height = rng.uniform(0.35, 0.6), rng.uniform(0.45, 0.72)
    foot = [drum(radius * 0.6, 0, 0.03, look.timber), drum(0.05, 0.03, height - 0.04, look.timber, taper=0.7)]
    return [drum(radius, height - 0.04, height, look.timber), *foot, *trinket(rng, look, height, 0.0)]


def chair(rng: np.random.Generator, look: Look) -> Parts:
    """A chair."""
    back = block(0.42, 0.035, 0.62, 0.92, look.cloth(rng), z=0.2)
    posts = [block(0.035, 0.035, 0.46, 0.9, look.timber, x, 0.19) for x in (-0.18, 0.18)]
    return [block(0.44, 0.44, 0.42, 0.47, back.surface), back, *posts, *legs(0.44, 0.44, 0.42, look.timber, 0.035)]


def sofa(rng: np.random.Generator, look: Look) -> Parts:
    """A sofa or an armchair, with a cushion."""
    width, of = rng.choice([0.85, 1.7, 2.1]), look.cloth(rng)
    arms = [block(0.18, 0.85, 0.08, 0.6, of, x) for x in (0.09 - width / 2, width / 2 - 0.09)]
    seats = max(1, round((width - 0.36) / 0.75))
    each = (width - 0.36) / seats
    pads = [block(each - 0.02, 0.62, 0.3, 0.47, of, (i - (seats - 1) / 2) * each, -0.08) for i in range(seats)]
    cushion = Part("ball", _vec(-width * 0.22, -0.6, 0.1), _vec(0.21, 0.19, 0.09), look.cloth(rng))
    return [block(width - 0.3, 0.8, 0.1, 0.3, of), block(width - 0.3, 0.2, 0.3, 0.82, of, z=0.32), *arms, *pads, cushion]


def bed(rng: np.random.Generator, look: Look) -> Parts:
    """A bed, its head to the wall."""
    width, quilt = rng.choice([1.0, 1.5]), look.cloth(rng)
    sheet = Surface(look.palette[-1:].repeat(2, 0), weave)
    pillows = [Part("ball", _vec(x * width, -0.6, 0.72), _vec(0.28, 0.1, 0.19), sheet) for x in (-0.22, 0.22)]
    frame = [block(width, 2.0, 0.12, 0.32, look.timber), block(width + 0.06, 0.06, 0, 1.0, look.timber, z=1.0)]
    return [*frame, block(width, 1.94, 0.32, 0.52, sheet), block(width + 0.04, 1.3, 0.3, 0.56, quilt, z=-0.33), *pillows]


def bookcase(rng: np.random.Generator, look: Look) -> Parts:
    """Open shelves with rows of books and things."""
    width, rows, of = rng.uniform(0.7, 1.2), int(rng.integers(3, 6)), look.timber
    height, spines = 0.36 * rows + 0.06, np.concatenate([look.wood[:1] * 0.2, look.palette[1:]])
    parts = [block(0.03, 0.3, 0, height, of, x) for x in (-width / 2, width / 2)]
    parts += [block(width, 0.3, 0.36 * i + 0.03, 0.36 * i + 0.06, of) for i in range(rows + 1)]
    parts.append(block(width, 0.02, 0, height, Surface(look.wood * 0.6, grain), z=0.14))
    for i in range(rows):
        low, wide = 0.36 * i + 0.06, width * rng.uniform(0.45, 0.97) - 0.06
        side = rng.choice([-1, 1]) * (width - 0.04 - wide) / 2
        parts.append(block(wide, 0.2, low, low + 0.27, Surface(spines, books, 0.05), side, 0.02))
        if width - wide > 0.35:
            parts += trinket(rng, look, low, -np.sign(side) * (width / 2 - 0.16))[:1]
    return parts


def sideboard(rng: np.random.Generator, look: Look) -> Parts:
    """A low cabinet with doors and things on top."""
    width, height = rng.uniform(1.0, 1.7), rng.uniform(0.5, 0.85)
    body = block(width, 0.42, 0.12, height, look.timber)
    front = look.lacquer(rng) if rng.random() < 0.5 else Surface(look.wood * 1.25, grain)
    doors = [block(width / 3 - 0.03, 0.02, 0.15, height - 0.03, front, (i - 1) * width / 3, -0.215) for i in range(3)]
    knobs = [ball(0.018, height * 0.6, look.lacquer(rng), (i - 0.7) * width / 3, -0.24) for i in range(3)]
    things = [p for x in (-0.3, 0.05, 0.35) for p in trinket(rng, look, height, x * width)]
    return [body, *doors, *knobs, *legs(width, 0.4, 0.12, look.timber, 0.04), *things]


def plant(rng: np.random.Generator, look: Look) -> Parts:
    """A pot with a leafy plant."""
    size, green = rng.uniform(0.8, 1.3), rgb("3f6b3a 6f9a55") * np.float32(rng.uniform(0.7, 1.1))
    leaf = Surface(green if look.style == "varied" else look.palette[3:5], weave, 0.25)
    parts = [
        drum(0.13 * size, 0, 0.28 * size, look.lacquer(rng), taper=1.3),
        drum(0.018, 0.25 * size, size, look.timber),
    ]
    for i in range(11):
        far = (0.24 - 0.016 * i) * size * rng.uniform(0.6, 1.1)
        where = _vec(far * np.cos(2.4 * i), -(0.45 + 0.055 * i) * size, far * np.sin(2.4 * i))
        spread = rng.uniform(0.09, 0.13, 3) * (1, 0.55, 1)
        parts.append(Part("ball", where, (size * spread).astype(np.float32), leaf))
    return parts


def toy(rng: np.random.Generator, look: Look) -> Parts:
    """One solid on the floor: ball, cube, cone, cylinder, pouf."""
    size, of = rng.uniform(0.14, 0.26), look.lacquer(rng)
    striped = Surface(np.stack([look.lacquer(rng).colours[0], look.palette[-1]]), stripes, 0.2, 0.25)
    choice: Parts = [
        ball(size, size, striped if look.style == "varied" else of),
        block(1.7 * size, 1.7 * size, 0, 1.7 * size, of),
        drum(size, 0, 2.6 * size, of, taper=0.0),
        drum(0.8 * size, 0, 2.2 * size, of),
        ball(1.3 * size, size, look.cloth(rng), tall=0.75),
    ]
    return [choice[rng.integers(len(choice))]]


def crates(rng: np.random.Generator, look: Look) -> Parts:
    """Two boxes, one on the other, with a ball on top."""
    a, b, c = rng.uniform(0.4, 0.55), rng.uniform(0.25, 0.35), rng.uniform(0.09, 0.13)
    return [block(a, a, 0, a * 0.8, look.timber), block(b, b, a * 0.8, a * 0.8 + b, look.lacquer(rng), 0.05),
            ball(c, a * 0.8 + b + c, look.lacquer(rng), 0.05)]  # fmt: skip


def rug(rng: np.random.Generator, look: Look) -> Parts:
    """A flat rug with a border."""
    width, depth = rng.uniform(1.6, 2.4), rng.uniform(1.3, 1.9)
    order = rng.permutation(np.arange(2, len(look.palette)))[:3]
    colours = look.palette[order]
    inner = Surface(colours, diamonds if look.style == "varied" else weave, rng.uniform(0.35, 0.6))
    return [block(width, depth, 0, 0.012, Surface(colours[::-1], weave)), block(width - 0.2, depth - 0.2, 0, 0.018, inner)]


def framed(rng: np.random.Generator, look: Look) -> Parts:
    """A painting for a wall, centred on eye level."""
    width, height, middle = rng.uniform(0.45, 1.0), rng.uniform(0.45, 0.8), rng.uniform(1.5, 1.65)
    colours = look.palette[rng.permutation(np.arange(1, len(look.palette)))[:5]]
    art = Surface(colours, canvas, width / 2)
    low, high = middle - height / 2, middle + height / 2
    mount = Surface(rgb("f4f1ea f4f1ea"), paint)
    return [block(width + 0.2, 0.03, low - 0.1, high + 0.1, look.timber),
            block(width + 0.14, 0.02, low - 0.07, high + 0.07, mount, z=-0.01),
            block(width, 0.02, low, high, art, z=-0.014)]  # fmt: skip


def shelf(rng: np.random.Generator, look: Look) -> Parts:
    """A board on the wall with things on it."""
    width, low = rng.uniform(0.8, 1.4), rng.uniform(1.3, 1.7)
    row = block(
        0.35,
        0.15,
        low + 0.03,
        low + 0.28,
        Surface(np.concatenate([look.wood[:1] * 0.2, look.palette]), books, 0.045),
        -width * 0.28,
    )
    things = [p for x in (0.1, 0.36) for p in trinket(rng, look, low + 0.03, x * width)]
    return [block(width, 0.24, low, low + 0.03, look.timber), row, *things]


def window(rng: np.random.Generator, look: Look) -> Parts:
    """A window with curtains; its glass glows."""
    width, low, high = rng.uniform(1.1, 1.7), rng.uniform(0.7, 0.95), rng.uniform(2.05, 2.25)
    white, air = (
        Surface(rgb("f2efe8 e2dfd8"), paint),
        ("8fbce6 e8f1f6 6f8f66", "f0b58a fbe6c8 7a7f78", "b9cfe0 eef2f2 8b9a86"),
    )
    glass = Surface(rgb(air[rng.integers(3)]), sky, (high - low) / 2, glow=0.75)
    bars = [block(0.04, 0.05, low, high, white), block(width, 0.05, (low + high) / 2 - 0.02, (low + high) / 2 + 0.02, white)]
    folds = Surface(look.cloth(rng).colours, stripes, 0.09)
    curtains = [block(0.3, 0.05, 0.15, high + 0.12, folds, x, -0.06) for x in (-width / 2 - 0.12, width / 2 + 0.12)]
    rail = block(width + 0.7, 0.03, high + 0.12, high + 0.15, look.timber, z=-0.06)
    bars += [block(0.06, 0.04, low, high, white, x) for x in (-width / 2, width / 2)]
    bars += [block(width + 0.06, 0.04, y, y + 0.06, white) for y in (low - 0.06, high)]
    sill = block(width + 0.2, 0.16, low - 0.1, low - 0.06, white, z=-0.05)
    return [block(width, 0.02, low, high, glass), *bars, *curtains, rail, sill]


def floor_lamp(rng: np.random.Generator, look: Look) -> Parts:
    """A standing lamp with a glowing shade, the last part."""
    height, metal = rng.uniform(1.4, 1.7), Surface(rgb("3a3835 2c2a28"), paint, gloss=0.3)
    shade_ = Surface(rgb("ffe9c4 f3cf94"), stripes, 0.05, glow=1.1)
    return [
        drum(0.15, 0, 0.03, metal),
        drum(0.014, 0.03, height, metal),
        drum(0.2, height - 0.28, height, shade_, taper=0.65),
    ]


def pendant(rng: np.random.Generator, look: Look) -> Parts:
    """A lamp that hangs from a ceiling at height 0 (its heights are negative); the shade is the last part."""
    drop, wide = rng.uniform(0.4, 0.8), rng.uniform(0.12, 0.19)
    cord = drum(0.008, -drop, 0, Surface(rgb("3a3835 2c2a28"), paint))
    glow = Surface(rgb("fff3dc f6dcae"), stripes, 0.06, glow=1.1)
    return [cord, ball(wide, -drop - wide * 0.8, glow, tall=0.85) if rng.random() < 0.5
            else drum(wide * 1.2, -drop - wide, -drop, glow, taper=0.4)]  # fmt: skip


# Rooms

Build = Callable[[np.random.Generator, Look], Parts]


@dataclass(frozen=True)
class Camera:
    """Position; yaw to the right and pitch down in radians; tangent of half the horizontal field of view."""

    at: Vec
    yaw: float
    pitch: float
    tangent: float

    def rays(self, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], width: int, height: int) -> Vecs:
        """World directions, 1 m deep, through picture positions (pixel centres at +0.5)."""
        k = self.intrinsics(width, height)
        d = np.stack([(x - k.cx) / k.fx, (y - k.cy) / k.fy, np.ones_like(x)]).astype(np.float32)
        c, s = np.float32(np.cos(self.pitch)), np.float32(np.sin(self.pitch))
        return turn(np.stack([d[0], c * d[1] + s * d[2], c * d[2] - s * d[1]]), self.yaw)

    def intrinsics(self, width: int, height: int) -> Intrinsics:
        """As a pinhole camera for pictures of this size."""
        focal = width / 2 / self.tangent
        return Intrinsics(focal, focal, width / 2, height / 2)

    def sees(self, point: Vec, margin: float = 0.9) -> bool:
        """Whether a point is within the left and right borders of the picture."""
        x, _, z = turn(point - self.at, -self.yaw)
        return bool(z > 0.8 and abs(x) < margin * self.tangent * z)


Spot = Callable[[Vec], tuple[Vec, float]]
"""Draws position and yaw for a piece of which the extent's high corner is given."""


@dataclass
class Layout:
    """A room being furnished: what fits stays; what finds no place in a few tries is left out."""

    rng: np.random.Generator
    look: Look
    low: Vec
    high: Vec
    camera: Camera
    pieces: list[Piece] = field(default_factory=list)

    def stand(self, build: Build) -> Piece | None:
        """On the floor in view, turned at random."""
        return self._place(build, self._floor_spot)

    def lean(self, build: Build) -> Piece | None:
        """Against the back, left or right wall, or hanging there."""
        return self._place(build, self._wall_spot)

    def hang(self, build: Build) -> Piece | None:
        """From the ceiling."""
        return self._place(build, self._ceiling_spot)

    def _place(self, build: Build, spot: Spot) -> Piece | None:
        parts = tuple(build(self.rng, self.look))
        reach = Piece(parts, _vec(0, 0, 0)).extent[1]
        for _ in range(10):
            at, yaw = spot(reach)
            if self.camera.sees(at) and self._fits(*(piece := Piece(parts, at, yaw)).bounds):
                self.pieces.append(piece)
                return piece
        return None

    def _floor_spot(self, reach: Vec) -> tuple[Vec, float]:
        away, side = self.rng.uniform(1.7, 6.0), self.rng.uniform(-0.85, 0.85)
        offset = turn(_vec(side * self.camera.tangent * away, 0, away), self.camera.yaw)
        return (self.camera.at + offset) * _vec(1, 0, 1), self.rng.uniform(-np.pi, np.pi)

    def _wall_spot(self, reach: Vec) -> tuple[Vec, float]:
        x, _, z = self.low + self.rng.uniform(0.12, 0.88) * (self.high - self.low)
        gap = reach[2] + 0.005
        walls = ((x, self.high[2] - gap, 0.0), (self.low[0] + gap, z, -np.pi / 2), (self.high[0] - gap, z, np.pi / 2))
        x, z, yaw = walls[self.rng.choice([0, 0, 1, 2])]
        return _vec(x, 0, z), yaw

    def _ceiling_spot(self, reach: Vec) -> tuple[Vec, float]:
        at = self.low + self.rng.uniform((0.2, 0, 0.5), (0.8, 0, 0.85)).astype(np.float32) * (self.high - self.low)
        at[1] = self.low[1]
        return at, 0.0

    def _fits(self, low: Vec, high: Vec) -> bool:
        """Whether a box is inside the room, clear of the camera and of every piece that is not flat."""
        if (low < self.low - 1e-3).any() or (high > self.high + 1e-3).any():
            return False
        clear = np.clip(self.camera.at, low, high) - self.camera.at
        if np.hypot(clear[0], clear[2]) < 1.2:
            return False
        others = [p.bounds for p in self.pieces if p.bounds[0][1] < -0.05]
        return not any((low < b).all() and (a < high).all() for a, b in others)


def draw_room(rng: np.random.Generator, style: Style) -> tuple[World, Camera]:
    """Size, camera, furniture, surfaces and light of one room."""
    size = _vec(rng.uniform(3.6, 5.6), rng.uniform(2.45, 2.9), rng.uniform(4.2, 6.2))
    low, high = size * _vec(-0.5, -1, -0.5), size * _vec(0.5, 0, 0.5)
    look = Look.draw(rng, style)
    layout = Layout(rng, look, low, high, _draw_camera(rng, low, high, style))
    lamps = _furnish_plain(layout) if style == "plain" else _furnish(layout)
    shell = _plain_shell() if style == "plain" else _shell(rng, look)
    bounce = shell[3].colours.mean(0) * 0.35 + 0.08
    ambient = np.stack([_vec(0.3, 0.29, 0.27), bounce if style == "varied" else _vec(0.5, 0.5, 0.5)])
    drift = _vec(rng.uniform(-0.12, 0.12) if style == "varied" else -1.7 / size[0], 0, 0)
    return World(low, high, shell, tuple(layout.pieces), tuple(lamps), ambient, drift), layout.camera


def _draw_camera(rng: np.random.Generator, low: Vec, high: Vec, style: Style) -> Camera:
    """Near the front wall, looking into the room; level and at half height in plain rooms."""
    width, height, depth = high - low
    at = _vec(rng.uniform(-0.3, 0.3) * width, -rng.uniform(1.2, 1.7), low[2] + rng.uniform(0.15, 0.5))
    if style == "plain":
        at *= _vec(0.4, 0, 1)
        at[1] = -height / 2 + rng.uniform(-0.1, 0.1)
        return Camera(at, rng.uniform(-0.12, 0.12), rng.uniform(-0.03, 0.03), rng.uniform(0.72, 0.85))
    yaw = np.arctan2(rng.uniform(-0.3, 0.3) * width - at[0], 0.75 * depth)
    return Camera(at, float(yaw), rng.uniform(0.06, 0.24), rng.uniform(0.58, 0.76))


def _choose(rng: np.random.Generator, builds: tuple[Build, ...], count: int) -> list[Build]:
    return [builds[k] for k in rng.permutation(len(builds))[:count]]


def _furnish(layout: Layout) -> list[Lamp]:
    """Fill a varied room, large pieces first, and give back its lights."""
    rng, lamps = layout.rng, []
    if rng.random() < 0.75 and (piece := layout.lean(window)):
        lamps += [_window_light(piece), _sun(piece, rng)]
    for build in _choose(rng, (sofa, bookcase, sideboard, bed, table), 5):
        layout.lean(build)
    if piece := layout.hang(pendant):
        lamps.append(_glow_light(piece, 1.6))
    if rng.random() < 0.7 and (piece := layout.lean(floor_lamp)):
        lamps.append(_glow_light(piece, 1.3))
    for build in (framed, framed, shelf, framed):
        layout.lean(build)
    small = (table, round_table, chair, plant, toy, toy, toy, crates, chair)
    for build in (rug, *_choose(rng, small, 8)):
        layout.stand(build)
    return lamps or [Lamp(layout.low * _vec(0.4, 0.95, 0), _vec(0.3, 0.03, 0.3), _vec(4, 3.8, 3.4))]


def _furnish_plain(layout: Layout) -> list[Lamp]:
    """A few pieces, and a light under the ceiling to the left."""
    for build in _choose(layout.rng, (sofa, bookcase, sideboard, bed, table), 2):
        layout.lean(build)
    for build in _choose(layout.rng, (toy, toy, chair, crates, round_table, plant), 3):
        layout.stand(build)
    at = layout.low + (layout.high - layout.low) * _vec(0.25, 0.15, 0.45)
    return [Lamp(at, _vec(0.3, 0.03, 0.3), _vec(1.0, 1.0, 1.0))]


def _glow_light(piece: Piece, power: float) -> Lamp:
    """The light of a lamp whose shade is its last part."""
    shade_ = piece.parts[-1]
    return Lamp(
        piece.at + turn(shade_.centre, piece.yaw),
        shade_.half * np.float32(0.8),
        _vec(1, 0.82, 0.6) * np.float32(power),
    )


def _window_light(piece: Piece) -> Lamp:
    """Daylight from a window, whose glass is its first part."""
    glass = piece.parts[0]
    at = piece.at + turn(glass.centre - _vec(0, 0, 0.25), piece.yaw)
    spread = np.abs(turn(glass.half, piece.yaw))
    return Lamp(at, spread, _vec(2.6, 3.0, 3.5))


def _sun(piece: Piece, rng: np.random.Generator) -> Lamp:
    """The sun in a window, 12 m away for this purpose."""
    glass = piece.parts[0]
    toward = turn(_vec(rng.uniform(-8, 8), -rng.uniform(5, 9), 8), piece.yaw)
    return Lamp(piece.at + turn(glass.centre, piece.yaw) + toward, _vec(0.12, 0.12, 0.12), _vec(3.4, 2.9, 2.2) * 140,
                Piece((glass,), piece.at, piece.yaw))  # fmt: skip


def _shell(rng: np.random.Generator, look: Look) -> tuple[Surface, ...]:
    """Walls (one of them in another colour), ceiling and floor of a varied room."""
    wall, accent = (np.stack([c, c * np.float32(0.93), look.palette[-1]]) for c in look.palette[:2])
    brick = np.concatenate([rgb("9c5b45 7a4836"), rgb("cfc4b4")])
    coats = ((wall, paint, 1.0), (wall, stripes, 0.22), (accent, paint, 1.0), (accent, stripes, 0.3), (brick, bricks, 0.24))
    papers = [Surface(colours, skirted(pattern, scale), scale) for colours, pattern, scale in coats]
    stone = rgb(("d9d3c7 cfc7b8 a59d90", "e6e1d8 6b7072 b5afa5", "c8ad8f b98f70 8c7a68")[rng.integers(3)])
    floor = (Surface(look.wood, planks, 1.2, 0.12), Surface(stone, tiles, 0.42, 0.2),
             Surface(look.palette[[5, 0]] * np.float32(0.8), weave, 0.6))[rng.choice([0, 0, 1, 2])]  # fmt: skip
    walls = [papers[rng.choice([0, 0, 1])]] * 4
    walls[rng.choice([0, 1, 3])] = papers[rng.choice([2, 3, 4])]
    return walls[0], walls[1], Surface(rgb("f3f0ea e9e5dc"), paint), floor, walls[2], walls[3]


def _plain_shell() -> tuple[Surface, ...]:
    """Light ceiling, middling walls, dark floor."""
    wall, ceiling, floor = (Surface(rgb(c), paint) for c in ("9c8f7c", "f4f2ec", "4a3a2e"))
    return wall, wall, ceiling, floor, wall, wall


def render_room(rng: np.random.Generator, width: int, height: int, style: Style = "varied") -> Scene:
    """A room that depends on the Generator alone: rgb, depth along the camera axis in metres, intrinsics.

    Style "varied" draws palettes, patterns and lights; style "plain" has one palette, a light ceiling,
    a dark floor and light that falls from the left, so that a tiny model can tell the quadrants apart.
    """
    world, camera = draw_room(rng, style)
    row, column = np.indices((height, width)).reshape(2, -1)
    rays = camera.rays(column + 0.5, row + 0.5, width, height)
    view = look(world, camera.at, rays)
    phase = (column % 4 + 4 * (row % 4)) * 7 % 16
    reached = smooth(reach_light(world, view, phase), view.key, width)
    colour = shade(world, camera.at, view, reached)
    exposure = (0.3 if style == "varied" else 0.2) / float(np.exp(np.log(colour.mean(0) + 1e-3).mean()))
    shown = picture(view, colour, exposure)
    if style == "varied":
        _antialias(shown, world, camera, view, reached, exposure, width, height)
    rgb8 = (shown * 255 + 0.5).astype(np.uint8).T.reshape(height, width, 3)
    return Scene(rgb8, view.t.reshape(height, width), "metre", camera.intrinsics(width, height))


def _antialias(
    shown: Vecs, world: World, camera: Camera, view: View, reached: Float32[np.ndarray, "k n"], exposure: float,
    width: int, height: int,
) -> None:  # fmt: skip
    """Draw the pixels at edges again, in place, each as the mean of four rays."""
    pixels = np.flatnonzero(_edges(shown.reshape(3, height, width)))
    owner = np.tile(pixels, 4)
    dx, dy = np.repeat(CORNERS, pixels.size, axis=1)
    again = look(world, camera.at, camera.rays(owner % width + dx, owner // width + dy, width, height))
    light, other = reached.take(owner, 1), again.key != view.key[owner]
    for step in (1, -1, width, -width):
        beside = np.clip(owner + step, 0, view.key.size - 1)
        same = other & (view.key[beside] == again.key)
        light[:, same] = reached[:, beside[same]]
        other &= ~same
    new = np.flatnonzero(other)
    light[:, new] = reach_light(world, again.take(new), (7 * owner[new] + 5 * (new // pixels.size)) % 16)
    finer = picture(again, shade(world, camera.at, again, light), exposure)
    shown[:, pixels] = finer.reshape(3, 4, -1).mean(1)


def _edges(image: Float32[np.ndarray, "3 h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels that differ clearly from one beside them."""
    across = np.abs(np.diff(image, axis=2)).max(0) > 0.14
    down = np.abs(np.diff(image, axis=1)).max(0) > 0.14
    edges = np.zeros(image.shape[1:], bool)
    for half, step in ((edges[:, 1:], across), (edges[:, :-1], across), (edges[1:], down), (edges[:-1], down)):
        half |= step
    return edges
