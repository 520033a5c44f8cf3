"""Furniture, built of boxes, balls and cones from a Generator and the look of the room.

Convention: each builder works around its own origin on the floor, the back towards positive z, sizes
in metres and heights above the floor (y is minus the height).
"""

from collections.abc import Callable

import numpy as np

from spatial_ssrl.sources.rooms.geometry import Part, Surface, vec
from spatial_ssrl.sources.rooms.patterns import Look, books, canvas, diamonds, grain, paint, pick, rgb, sky, stripes, weave

Parts = list[Part]
Build = Callable[[np.random.Generator, Look], Parts]


def block(width: float, depth: float, low: float, high: float, of: Surface, x: float = 0, z: float = 0) -> Part:
    """A box from height `low` to `high`, centred on (x, z)."""
    return Part("box", vec(x, -(low + high) / 2, z), vec(width, high - low, depth) / 2, of)


def drum(radius: float, low: float, high: float, of: Surface, x: float = 0, z: float = 0, taper: float = 1.0) -> Part:
    """An upright cylinder or cone, its upper radius `taper` times the lower."""
    return Part("frustum", vec(x, -(low + high) / 2, z), vec(radius, (high - low) / 2, radius), of, taper)


def ball(radius: float, height: float, of: Surface, x: float = 0, z: float = 0, tall: float = 1.0) -> Part:
    """A ball with its centre at `height`, stretched upright by `tall`."""
    return Part("ball", vec(x, -height, z), vec(radius, radius * tall, radius), of)


def legs(width: float, depth: float, height: float, of: Surface, thick: float = 0.05) -> Parts:
    """Four legs under a rectangle."""
    x, z = (width - thick) / 2 - 0.02, (depth - thick) / 2 - 0.02
    return [block(thick, thick, 0, height, of, i * x, j * z) for i in (-1, 1) for j in (-1, 1)]


def trinket(rng: np.random.Generator, look: Look, low: float, x: float, z: float = 0.0) -> Parts:
    """A small thing standing at height `low`: vase, bowl, box, ball or a stack of books."""
    kind, size, of = rng.integers(5), rng.uniform(0.07, 0.12), pick(rng, look.lacquers)
    if kind == 0:
        neck = drum(size * 0.35, low + 2.2 * size, low + 3.4 * size, of, x, z, 1.4)
        return [ball(size, low + 1.3 * size, of, x, z, 1.3), neck]
    if kind == 1:
        return [drum(size * 0.7, low, low + size, of, x, z, 1.9)]
    if kind == 2:
        return [block(2.4 * size, 1.8 * size, low, low + 1.6 * size, pick(rng, look.cloths), x, z)]
    if kind == 3:
        return [ball(size, low + size, of, x, z)]
    heights = (low, low + 0.035, low + 0.07)
    return [block(0.2, 0.14, y, y + 0.033, pick(rng, look.lacquers), x + 0.01 * i, z) for i, y in enumerate(heights)]


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
    of = pick(rng, look.cloths)
    posts = [block(0.035, 0.035, 0.46, 0.9, look.timber, x, 0.19) for x in (-0.18, 0.18)]
    seat = [block(0.44, 0.44, 0.42, 0.47, of), block(0.42, 0.035, 0.62, 0.92, of, z=0.2)]
    return [*seat, *posts, *legs(0.44, 0.44, 0.42, look.timber, 0.035)]


def sofa(rng: np.random.Generator, look: Look) -> Parts:
    """A sofa or an armchair, with a cushion."""
    width, of = rng.choice([0.85, 1.7, 2.1]), pick(rng, look.cloths)
    arms = [block(0.18, 0.85, 0.08, 0.6, of, x) for x in (0.09 - width / 2, width / 2 - 0.09)]
    seats = max(1, round((width - 0.36) / 0.75))
    each = (width - 0.36) / seats
    pads = [block(each - 0.02, 0.62, 0.3, 0.47, of, (i - (seats - 1) / 2) * each, -0.08) for i in range(seats)]
    cushion = Part("ball", vec(-width * 0.22, -0.6, 0.1), vec(0.21, 0.19, 0.09), pick(rng, look.cloths))
    return [block(width - 0.3, 0.8, 0.1, 0.3, of), block(width - 0.3, 0.2, 0.3, 0.82, of, z=0.32), *arms, *pads, cushion]


def bed(rng: np.random.Generator, look: Look) -> Parts:
    """A bed, its head to the wall."""
    width, quilt = rng.choice([1.0, 1.5]), pick(rng, look.cloths)
    sheet = Surface(look.palette[-1:].repeat(2, 0), weave)
    pillows = [Part("ball", vec(x * width, -0.6, 0.72), vec(0.28, 0.1, 0.19), sheet) for x in (-0.22, 0.22)]
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
    front = pick(rng, look.lacquers) if rng.random() < 0.5 else Surface(look.wood * 1.25, grain)
    doors = [block(width / 3 - 0.03, 0.02, 0.15, height - 0.03, front, (i - 1) * width / 3, -0.215) for i in range(3)]
    knobs = [ball(0.018, height * 0.6, pick(rng, look.lacquers), (i - 0.7) * width / 3, -0.24) for i in range(3)]
    things = [p for x in (-0.3, 0.05, 0.35) for p in trinket(rng, look, height, x * width)]
    body = [block(width, 0.42, 0.12, height, look.timber), *legs(width, 0.4, 0.12, look.timber, 0.04)]
    return [*body, *doors, *knobs, *things]


def plant(rng: np.random.Generator, look: Look) -> Parts:
    """A pot with a leafy plant."""
    size, green = rng.uniform(0.8, 1.3), rgb("3f6b3a 6f9a55") * np.float32(rng.uniform(0.7, 1.1))
    leaf = Surface(green if look.style == "varied" else look.palette[3:5], weave, 0.25)
    pot = drum(0.13 * size, 0, 0.28 * size, pick(rng, look.lacquers), taper=1.3)
    parts = [pot, drum(0.018, 0.25 * size, size, look.timber)]
    for i in range(11):
        far = (0.24 - 0.016 * i) * size * rng.uniform(0.6, 1.1)
        where = vec(far * np.cos(2.4 * i), -(0.45 + 0.055 * i) * size, far * np.sin(2.4 * i))
        spread = rng.uniform(0.09, 0.13, 3) * (1, 0.55, 1)
        parts.append(Part("ball", where, vec(*(size * spread)), leaf))
    return parts


def toy(rng: np.random.Generator, look: Look) -> Parts:
    """One solid on the floor: ball, cube, cone, cylinder, pouf."""
    size, of = rng.uniform(0.14, 0.26), pick(rng, look.lacquers)
    striped = Surface(np.stack([pick(rng, look.lacquers).colours[0], look.palette[-1]]), stripes, 0.2, 0.25)
    pouf = ball(1.3 * size, size, pick(rng, look.cloths), tall=0.75)
    cube, cone, cylinder = (
        block(1.7 * size, 1.7 * size, 0, 1.7 * size, of),
        drum(size, 0, 2.6 * size, of, taper=0.0),
        drum(0.8 * size, 0, 2.2 * size, of),
    )
    return [pick(rng, (ball(size, size, striped if look.style == "varied" else of), cube, cone, cylinder, pouf))]


def crates(rng: np.random.Generator, look: Look) -> Parts:
    """Two boxes, one on the other, with a ball on top."""
    a, b, c = rng.uniform(0.4, 0.55), rng.uniform(0.25, 0.35), rng.uniform(0.09, 0.13)
    upper = block(b, b, a * 0.8, a * 0.8 + b, pick(rng, look.lacquers), 0.05)
    return [block(a, a, 0, a * 0.8, look.timber), upper, ball(c, a * 0.8 + b + c, pick(rng, look.lacquers), 0.05)]


def rug(rng: np.random.Generator, look: Look) -> Parts:
    """A flat rug with a border."""
    width, depth, colours = rng.uniform(1.6, 2.4), rng.uniform(1.3, 1.9), rng.permutation(look.palette[2:])[:3]
    inner = Surface(colours, diamonds, rng.uniform(0.35, 0.6))
    return [block(width, depth, 0, 0.012, Surface(colours[::-1], weave)), block(width - 0.2, depth - 0.2, 0, 0.018, inner)]


def framed(rng: np.random.Generator, look: Look) -> Parts:
    """A painting for a wall, centred on eye level."""
    width, height, middle = rng.uniform(0.45, 1.0), rng.uniform(0.45, 0.8), rng.uniform(1.5, 1.65)
    art = Surface(rng.permutation(look.palette[1:])[:5], canvas, width / 2)
    layers = ((0.1, 0.03, look.timber, 0.0), (0.07, 0.02, Surface(rgb("f4f1ea"), paint), -0.01), (0.0, 0.02, art, -0.014))
    return [block(width + 2 * rim, thick, middle - height / 2 - rim, middle + height / 2 + rim, of, z=z)
            for rim, thick, of, z in layers]  # fmt: skip


def shelf(rng: np.random.Generator, look: Look) -> Parts:
    """A board on the wall with things on it."""
    width, low = rng.uniform(0.8, 1.4), rng.uniform(1.3, 1.7)
    spines = Surface(np.concatenate([look.wood[:1] * 0.2, look.palette]), books, 0.045)
    row = block(0.35, 0.15, low + 0.03, low + 0.28, spines, -width * 0.28)
    things = [p for x in (0.1, 0.36) for p in trinket(rng, look, low + 0.03, x * width)]
    return [block(width, 0.24, low, low + 0.03, look.timber), row, *things]


def window(rng: np.random.Generator, look: Look) -> Parts:
    """A window with curtains; its glass glows."""
    width, low, high = rng.uniform(1.1, 1.7), rng.uniform(0.7, 0.95), rng.uniform(2.05, 2.25)
    air = pick(rng, ("8fbce6 e8f1f6 6f8f66", "f0b58a fbe6c8 7a7f78", "b9cfe0 eef2f2 8b9a86"))
    glass = block(width, 0.02, low, high, Surface(rgb(air), sky, (high - low) / 2, glow=0.75))
    white, folds = Surface(rgb("f2efe8"), paint), Surface(pick(rng, look.cloths).colours, stripes, 0.09)
    frame = [block(0.06, 0.04, low, high, white, x) for x in (-width / 2, width / 2)]
    frame += [block(width + 0.06, 0.04, y, y + 0.06, white) for y in (low - 0.06, high)]
    bars = [block(0.04, 0.05, low, high, white), block(width, 0.05, (low + high) / 2 - 0.02, (low + high) / 2 + 0.02, white)]
    curtains = [block(0.3, 0.05, 0.15, high + 0.12, folds, x, -0.06) for x in (-width / 2 - 0.12, width / 2 + 0.12)]
    rail = block(width + 0.7, 0.03, high + 0.12, high + 0.15, look.timber, z=-0.06)
    return [glass, *bars, *frame, *curtains, rail, block(width + 0.2, 0.16, low - 0.1, low - 0.06, white, z=-0.05)]


def floor_lamp(rng: np.random.Generator, look: Look) -> Parts:
    """A standing lamp with a glowing shade."""
    height, metal = rng.uniform(1.4, 1.7), Surface(rgb("3a3835"), paint, gloss=0.3)
    shade = drum(0.2, height - 0.28, height, Surface(rgb("ffe9c4 f3cf94"), stripes, 0.05, glow=1.1), taper=0.65)
    return [drum(0.15, 0, 0.03, metal), drum(0.014, 0.03, height, metal), shade]


def pendant(rng: np.random.Generator, look: Look) -> Parts:
    """A glowing lamp that hangs from a ceiling at height 0 (its heights are negative)."""
    drop, wide = rng.uniform(0.4, 0.8), rng.uniform(0.12, 0.19)
    cord = drum(0.008, -drop, 0, Surface(rgb("3a3835"), paint))
    glow = Surface(rgb("fff3dc f6dcae"), stripes, 0.06, glow=1.1)
    globe, cone = ball(wide, -drop - wide * 0.8, glow, tall=0.85), drum(wide * 1.2, -drop - wide, -drop, glow, taper=0.4)
    return [cord, globe if rng.random() < 0.5 else cone]
