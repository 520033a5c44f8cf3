"""A furnished room, and what rays see of it: depth, normals and painted surfaces.

Convention: that of geometry.py. Walls, floor and ceiling are faces of one box seen from inside;
faces are counted 2 * axis + (1 on the positive side).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Float32, Int

from spatial_ssrl.sources.rooms.geometry import Colours, Part, Piece, Scalars, Surface, Vec, Vecs, cast, dot, leave_box, turn


@dataclass(frozen=True)
class Lamp:
    """A light whose rays start evenly within `spread` (half sizes) of `at`; `colour` is its power.

    What shines from outside comes in through an opening alone.
    """

    at: Vec
    spread: Vec
    colour: Vec
    opening: Piece | None = None


@dataclass(frozen=True)
class World:
    """A room: the box from `low` to `high`, its six surfaces by face, and what is in it."""

    low: Vec
    high: Vec
    shell: tuple[Surface, ...]
    pieces: tuple[Piece, ...]
    lamps: tuple[Lamp, ...]
    ambient: Colours
    """Light from everywhere: rows for surfaces that look up, for those that look down, ..."""
    drift: Vec
    """... and its relative change per metre."""

    @cached_property
    def blockers(self) -> tuple[Piece, ...]:
        """The pieces that cast shadows: not the flat ones, nor parts that glow."""
        thick = [p for p in self.pieces if p.hull[1].min() > 0.03]
        return tuple(Piece(tuple(part for part in p.parts if not part.surface.glow), p.at, p.yaw) for p in thick)


@dataclass(frozen=True)
class View:
    """What the rays see: `key` tells faces apart, `t` is where along the ray they are."""

    t: Scalars
    point: Vecs
    normal: Vecs
    albedo: Vecs
    gloss: Scalars
    glow: Scalars
    key: Int[np.ndarray, " n"]

    def paint(self, rays: Int[np.ndarray, " m"], surface: Surface, seen: "Faces", key: int) -> None:
        """Note what these rays see: a surface with `seen` normals, coordinates and faces, which count from `key`."""
        self.normal[:, rays], (u, v), self.key[rays] = seen[0], seen[1] / np.float32(surface.scale), seen[2] + key
        self.albedo[:, rays] = surface.pattern(u, v, surface.colours)
        self.gloss[rays], self.glow[rays] = surface.gloss, surface.glow


Faces = tuple[Vecs, Float32[np.ndarray, "2 n"], Int[np.ndarray, " n"]]
"""Normals, coordinates along the surface in metres, and faces of points."""


def look(world: World, eye: Vec, direction: Vecs) -> View:
    """The first surface along each ray from `eye`, painted."""
    hits = cast(world.pieces, eye[:, None], direction)
    wall = leave_box(eye[:, None], direction, world.low, world.high)
    t = np.minimum(hits.t, wall)
    point = eye[:, None] + t * direction
    normal, albedo, gloss, glow = (np.empty_like(v) for v in (point, point, t, t))
    view = View(t, point, normal, albedo, gloss, glow, np.empty(t.size, np.int32))
    _see_shell(view, np.flatnonzero(hits.t >= wall), world)
    parts = [(piece, part) for piece in world.pieces for part in piece.parts]
    for k, rays in _groups(np.where(hits.t < wall, hits.part, -1), len(parts)):
        _see_part(view, rays, *parts[k], 8 * k)
    return view


def _groups(number: Int[np.ndarray, " n"], count: int) -> Iterator[tuple[int, Int[np.ndarray, " m"]]]:
    """Each number below `count` that occurs, and where."""
    order = np.argsort(number.astype(np.int16), kind="stable")
    ends = np.searchsorted(number[order], np.arange(count + 1))
    return ((k, order[low:high]) for k, (low, high) in enumerate(pairwise(ends)) if low < high)


def _see_shell(view: View, rays: Int[np.ndarray, " m"], world: World) -> None:
    """Points on the room itself; the second coordinate on walls is y."""
    half = (world.high - world.low)[:, None] / 2
    normal, uv, face = _box_face((view.point.take(rays, 1) - world.low[:, None]) / half - 1, half)
    uv[1] -= np.where(face // 2 == 1, 0, half[1])
    for k, some in _groups(face, 6):
        view.paint(rays[some], world.shell[k], (-normal.take(some, 1), uv.take(some, 1), face[some]), -6)


def _see_part(view: View, rays: Int[np.ndarray, " m"], piece: Piece, part: Part, key: int) -> None:
    """Points on a part of a piece."""
    half = part.half[:, None]
    p = (turn(view.point.take(rays, 1) - piece.at[:, None], -piece.yaw) - part.centre[:, None]) / half
    normal, uv, face = _box_face(p, half) if part.shape == "box" else _round_face(p, half, part)
    view.paint(rays, part.surface, (turn(normal, piece.yaw), uv, face), key)


def _box_face(p: Vecs, half: Vecs) -> Faces:
    """Points `p` on the box [-1, 1]^3 stretched by `half`; coordinates are (z, y), (x, z), (x, y) by axis."""
    x, y, z = np.abs(p)
    axis = np.where((x >= y) & (x >= z), 0, np.where(y >= z, 1, 2)).astype(np.int32)
    sign = np.sign(np.where(axis == 0, p[0], np.where(axis == 1, p[1], p[2])))
    normal = (np.arange(3)[:, None] == axis) * sign
    m = p * half
    uv = np.stack([np.where(axis == 0, m[2], m[0]), np.where(axis == 1, m[2], m[1])])
    return normal, uv, 2 * axis + (sign > 0)


def _round_face(p: Vecs, half: Vecs, part: Part) -> Faces:
    """Points on a ball or frustum: (arc, y) on the side, face 0; (x, z) on the lids, face 1."""
    ball, tilt = part.shape == "ball", np.float32((part.taper - 1) / 2)
    side = ball | (np.abs(p[1]) < 0.999)
    upright = p[1] if ball else np.where(side, tilt * np.hypot(p[0], p[2]), p[1])
    normal = np.stack([p[0] * side, upright, p[2] * side]) / half
    u = np.where(side, np.arctan2(p[0], p[2]), p[0]) * half[0]
    v = np.where(side, p[1] * half[1], p[2] * half[2])
    return normal / np.sqrt(dot(normal, normal)), np.stack([u, v]), (~side).astype(np.int32)
