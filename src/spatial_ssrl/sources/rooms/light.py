"""Light in a room: shadows, darker corners, highlights, and the way to the values of a picture.

Convention: that of geometry.py; colours are linear RGB until `picture`. `reached` has one row for each
lamp and a last one for the surroundings: the share of their light that arrives at each point.
"""

import numpy as np
from jaxtyping import Float32, Int

from spatial_ssrl.sources.rooms.geometry import Vec, Vecs, cast, dot
from spatial_ssrl.sources.rooms.world import View, World

NUDGE = np.float32(2e-3)
"""Metres by which a ray that starts on a surface is lifted off it."""

CORNER = np.float32(0.7)
"""Metres within which things darken each other's corners."""

CUBE = ((np.arange(1, 17) * np.array([[0.8191725], [0.6710436], [0.5497005]])) % 1 * 2 - 1).astype(np.float32)
"""Sixteen points that fill [-1, 1]^3 evenly (additive recurrence) ..."""

BALL = CUBE / np.sqrt(dot(CUBE, CUBE))
"""... and the directions to them."""

Reached = Float32[np.ndarray, "k n"]


def reach_light(world: World, point: Vecs, normal: Vecs, phase: Int[np.ndarray, " n"]) -> Reached:
    """One ray from each point towards each lamp, and one into the surroundings.

    `phase` (0 to 15) picks the ray; sixteen points with all phases together give the soft value.
    """
    start = point + NUDGE * normal
    owners, ways = [np.arange(phase.size)], [(normal + BALL.take(phase, 1)) * CORNER]
    for lamp in world.lamps:
        to = (lamp.at[:, None] + lamp.spread[:, None] * CUBE).take(phase, 1) - start
        lit = np.flatnonzero(dot(to, normal) > 0)
        if lamp.opening:
            lit = lit[cast((lamp.opening,), start.take(lit, 1), to.take(lit, 1), 1.0).part == 0]
        owners.append(lit)
        ways.append(to.take(lit, 1))
    rays, rows = np.concatenate(owners), np.repeat(np.arange(len(owners)), [lit.size for lit in owners])
    reached = np.zeros((len(owners), phase.size), np.float32)
    # rows are one lower than owners, so that the surroundings, the first of these, come last
    reached[rows - 1, rays] = cast(world.blockers, start.take(rays, 1), np.concatenate(ways, 1), 1.0).t
    reached[:-1] = reached[:-1] == 1
    return reached


def smooth(reached: Reached, key: Int[np.ndarray, " n"], width: int) -> Reached:
    """Mean over 4 x 4 pixels of the same surface, first across and then down."""
    planes, keys = reached.reshape(len(reached), -1, width), key.reshape(-1, width)
    for axis in (1, 0):
        total, count = planes.copy(), np.ones(keys.shape, np.float32)
        for step in (-2, -1, 1):
            same = (np.roll(keys, step, axis) == keys).astype(np.float32)
            total += same * np.roll(planes, step, axis + 1)
            count += same
        planes = total / count
    return planes.reshape(reached.shape)


def shade(world: World, eye: Vec, view: View, reached: Reached) -> Vecs:
    """Linear colour of the light that is thrown back, given the light that arrives."""
    back = eye[:, None] - view.point
    back /= np.sqrt(dot(back, back))
    light = _ambient(world, view) * reached[-1]
    shine = np.zeros_like(light)
    for lamp, seen in zip(world.lamps, reached, strict=False):
        to = lamp.at[:, None] - view.point
        squared = dot(to, to)
        to /= np.sqrt(squared)
        arriving = seen * np.maximum(dot(to, view.normal), 0) / (squared + np.float32(0.4))
        light += lamp.colour[:, None] * arriving
        half = to + back
        cosine = np.maximum(dot(half, view.normal), 0) / np.sqrt(dot(half, half))
        shine += lamp.colour[:, None] * (arriving * cosine**32)
    return np.asarray(view.albedo * light + shine * view.gloss)


def _ambient(world: World, view: View) -> Vecs:
    """Light from the surroundings, dimmed where the room's own corners are near."""
    up = (1 - view.normal[1]) / 2
    light: Vecs = world.ambient[1][:, None] * (1 - up) + world.ambient[0][:, None] * up
    middle = (world.low + world.high) / 2
    light *= np.maximum(1 + world.drift @ (view.point - middle[:, None]), np.float32(0.1))
    for axis in range(3):
        for side, sign in ((world.low, 1), (world.high, -1)):
            near = np.abs(view.point[axis] - side[axis]) / CORNER
            facing = np.clip(1 - sign * view.normal[axis], 0, 1)
            light *= 1 - np.float32(0.4) * facing * np.exp(-2.5 * near)
    return light


def picture(view: View, colour: Vecs, exposure: float) -> Vecs:
    """Display values in 0..1 of exposed colours and of what glows: a filmic curve, then the sRGB gamma."""
    c = colour * np.float32(exposure) + view.albedo * view.glow
    c = c * (2.51 * c + 0.03) / (c * (2.43 * c + 0.59) + 0.14)
    return np.asarray(np.clip(c, 0, 1) ** np.float32(1 / 2.2))
