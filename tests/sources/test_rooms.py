import math

import numpy as np
import pytest

from spatial_ssrl.rng import generator
from spatial_ssrl.sources.rooms import render_room
from spatial_ssrl.sources.rooms.room import draw_room


def is_inside(part, piece, point) -> bool:
    """Whether a world point is inside a part, by its inequality and in plain floats."""
    x, y, z = (float(point[i] - piece.at[i]) for i in range(3))
    c, s = math.cos(piece.yaw), math.sin(piece.yaw)
    local = (c * x - s * z, y, s * x + c * z)
    x, y, z = ((local[i] - float(part.centre[i])) / float(part.half[i]) for i in range(3))
    if part.shape == "box":
        return max(abs(x), abs(y), abs(z)) < 1
    if part.shape == "ball":
        return x * x + y * y + z * z < 1
    return abs(y) < 1 and math.hypot(x, z) < part.taper + (1 - part.taper) * (y + 1) / 2


def is_solid(world, point) -> bool:
    """Whether a world point is outside the room or inside a thing."""
    if any(not float(world.low[i]) < point[i] < float(world.high[i]) for i in range(3)):
        return True
    return any(is_inside(part, piece, point) for piece in world.pieces for part in piece.parts)


def ray_through(camera, k, column: int, row: int) -> np.ndarray:
    """World direction, 1 m deep, from the intrinsics and the camera's angles."""
    x, y = (column + 0.5 - k.cx) / k.fx, (row + 0.5 - k.cy) / k.fy
    cp, sp, cy, sy = *(f(camera.pitch) for f in (math.cos, math.sin)), *(f(camera.yaw) for f in (math.cos, math.sin))
    pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return yaw @ pitch @ np.array([x, y, 1.0])


@pytest.mark.parametrize("style", ["varied", "plain"])
def test_depth_is_where_the_first_thing_begins(style):
    """Along each ray, marched in small steps, all is air up to the depth and not air just behind it."""
    world, camera = draw_room(generator(3, style), style)
    scene = render_room(generator(3, style), 96, 72, style)
    for row, column in [(r, c) for r in range(4, 72, 9) for c in range(4, 96, 9)]:
        ray, depth = ray_through(camera, scene.intrinsics, column, row), float(scene.depth[row, column])
        before = [camera.at + ray * t for t in [*np.linspace(0.01, depth - 0.02, 30), depth - 1e-3]]
        assert not any(is_solid(world, point) for point in before)
        assert is_solid(world, camera.at + ray * (depth + 1e-3)) or _is_grazing(world, camera.at, ray, depth)


def _is_grazing(world, eye, ray, depth: float) -> bool:
    """Whether the ray only clips a thing, less than a millimetre deep."""
    return any(is_solid(world, eye + ray * (depth + t)) for t in np.geomspace(1e-6, 1e-3, 12))


def test_floor_points_lie_on_one_plane():
    world, camera = draw_room(generator(5), "varied")
    scene = render_room(generator(5), 96, 72)
    points = [
        camera.at + ray_through(camera, scene.intrinsics, c, r) * scene.depth[r, c] for r in range(72) for c in range(96)
    ]
    heights = -np.array(points)[:, 1]
    floor = np.abs(heights) < 1e-5
    assert floor.mean() > 0.05
    assert floor.sum() > 0.97 * (np.abs(heights) < 0.01).sum()
    assert heights.min() > -1e-5
    assert heights.max() < -world.low[1] + 1e-5


def test_scene_depends_on_the_generator_alone():
    first, second, other = (render_room(generator(seed), 80, 64) for seed in (1, 1, 2))
    assert first.id == second.id
    assert np.array_equal(first.depth, second.depth)
    assert first.id != other.id


@pytest.mark.parametrize("style", ["varied", "plain"])
def test_every_pixel_has_depth_and_no_picture_is_dark_or_flat(style):
    for seed in range(10):
        scene = render_room(generator(seed, "all"), 80, 64, style)
        assert scene.rgb.shape == (64, 80, 3)
        assert scene.rgb.dtype == np.uint8
        assert scene.depth.dtype == np.float32
        assert np.isfinite(scene.depth).all()
        assert scene.depth.min() > 0.5
        assert 60 < scene.rgb.mean() < 230
        assert scene.rgb.std() > 20


def test_plain_rooms_are_lighter_above_and_to_the_left():
    for seed in range(30):
        grey = render_room(generator(seed, "plain"), 112, 112, "plain").rgb.mean(axis=2)
        (top_left, top_right), (bottom_left, bottom_right) = (
            (half[:, :56].mean(), half[:, 56:].mean()) for half in (grey[:56], grey[56:])
        )
        assert min(top_left, top_right) > max(bottom_left, bottom_right)
        assert top_left > top_right + 10
        assert bottom_left > bottom_right + 10


def test_a_ray_along_a_wall_meets_what_is_ahead():
    """In this room one ray has a direction of exactly 0 along an axis."""
    depth = render_room(generator(1, "synthetic", "room-00001837"), 112, 112, "plain").depth
    assert 0 < depth.min() <= depth.max() < 12
