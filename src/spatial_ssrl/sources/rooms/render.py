"""The picture of a room: one ray a pixel for colour and depth, two more where there is an edge.

Convention: pixel centres at +0.5; pixels are flat indices, row by row; depth is along the camera's axis.
"""

import numpy as np
from jaxtyping import Bool, Float32, Int

from spatial_ssrl.scene import Scene
from spatial_ssrl.sources.rooms.light import Reached, picture, reach_light, shade, smooth
from spatial_ssrl.sources.rooms.patterns import Style
from spatial_ssrl.sources.rooms.room import Camera, draw_room
from spatial_ssrl.sources.rooms.world import View, World, look

Image = Float32[np.ndarray, "3 h w"]

CORNERS = np.array([[0.2, 0.8], [0.65, 0.35]], np.float32)
"""Where in a pixel (x, y) the further rays of an edge go."""


def render_room(rng: np.random.Generator, width: int, height: int, style: Style = "varied") -> Scene:
    """A room that depends on the Generator alone: rgb, depth along the camera axis in metres, intrinsics.

    Style "varied" draws palettes, patterns and lights; style "plain" has one palette, a light ceiling,
    a dark floor and light that falls from the left, so that a tiny model can tell the quadrants apart.
    """
    world, camera = draw_room(rng, style)
    row, column = np.indices((height, width)).reshape(2, -1)
    view = look(world, camera.at, camera.rays(column + 0.5, row + 0.5, width, height))
    phase = (column % 4 + 4 * (row % 4)) * 7 % 16
    reached = smooth(reach_light(world, view.point, view.normal, phase), view.key, width)
    colour = shade(world, camera.at, view, reached)
    exposure = (0.3 if style == "varied" else 0.2) / float(np.exp(np.log(colour.mean(0) + 1e-3).mean()))
    shown = picture(view, colour, exposure).reshape(3, height, width)
    if style == "varied":
        _antialias(shown, world, camera, view, reached, exposure)
    rgb8 = (shown * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
    return Scene(np.ascontiguousarray(rgb8), view.t.reshape(height, width), "metre", camera.intrinsics(width, height))


def _antialias(shown: Image, world: World, camera: Camera, view: View, reached: Reached, exposure: float) -> None:
    """Draw the pixels at edges again, in place, each as the mean of its three rays."""
    height, width = shown.shape[1:]
    row, column = np.nonzero(_edges(shown))
    pixels = row * width + column
    owner = np.tile(pixels, CORNERS.shape[1])
    dx, dy = np.repeat(CORNERS, pixels.size, axis=1)
    again = look(world, camera.at, camera.rays(owner % width + dx, owner // width + dy, width, height))
    light, new = _light_nearby(again, owner, view, reached, width)
    phase = (7 * owner[new] + 5 * (new // pixels.size)) % 16
    light[:, new] = reach_light(world, again.point.take(new, 1), again.normal.take(new, 1), phase)
    finer = picture(again, shade(world, camera.at, again, light), exposure)
    shown[:, row, column] = (shown[:, row, column] + finer.reshape(3, CORNERS.shape[1], -1).sum(1)) / 3


def _light_nearby(
    again: View, owner: Int[np.ndarray, " m"], view: View, reached: Reached, width: int
) -> tuple[Float32[np.ndarray, "k m"], Int[np.ndarray, " new"]]:
    """Light that reached the same surface in the ray's pixel or one beside it; and the rays for which there is none."""
    light, other = reached.take(owner, 1), again.key != view.key[owner]
    for step in (1, -1, width, -width):
        beside = np.clip(owner + step, 0, view.key.size - 1)
        same = other & (view.key[beside] == again.key)
        light[:, same] = reached[:, beside[same]]
        other &= ~same
    return light, np.flatnonzero(other)


def _edges(image: Image) -> Bool[np.ndarray, "h w"]:
    """Pixels that differ clearly from one beside them."""
    across, down = (np.abs(np.diff(image, axis=axis)).max(0) > 0.14 for axis in (2, 1))
    edges = np.zeros(image.shape[1:], bool)
    for half, step in ((edges[:, 1:], across), (edges[:, :-1], across), (edges[1:], down), (edges[:-1], down)):
        half |= step
    return edges
