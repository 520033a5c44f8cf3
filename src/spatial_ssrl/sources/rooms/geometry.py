"""Rays and solids: where lines meet boxes, balls, cylinders and cones, in numpy.

Convention: x to the right, y down, z forward, metres. Vectors lie along the first axis, (3,), (3, n)
or (3, k, n), float32. A ray is origin + t * direction, the direction not normalised: t then survives
any change of frame, and is the depth where the direction has z = 1 in the camera's frame. Yaw is in
radians about the vertical; positive turns +z towards +x.

Every solid is a unit shape, stretched (`Part`), in a frame that is turned and moved (`Piece`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int

Shape = Literal["box", "ball", "frustum"]
Vec = Float32[np.ndarray, "3"]
Vecs = Float32[np.ndarray, "3 ..."]
Scalars = Float32[np.ndarray, "..."]
Colours = Float32[np.ndarray, "_ 3"]
Pattern = Callable[[Scalars, Scalars, Colours], Vecs]
"""Paints points with coordinates (u, v) in units of the pattern; colours are linear RGB."""

BLOCK = 1 << 15
"""Rays cast at a time, so that they stay in the cache."""

TINY = np.float32(1e-12)
"""Keeps divisions by a direction finite."""


def vec(*values: float | np.float32) -> Vec:
    """A vector of these components."""
    return np.array(values, np.float32)


def dot(a: Vecs, b: Vecs) -> Scalars:
    """Scalar products along the first axis."""
    return np.asarray(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def turn(v: Vecs, yaw: float | Scalars) -> Vecs:
    """Vectors turned about the vertical."""
    angle = np.asarray(yaw, np.float32)
    c, s = np.cos(angle), np.sin(angle)
    out = np.empty_like(v)
    out[0], out[1], out[2] = c * v[0] + s * v[2], v[1], c * v[2] - s * v[0]
    return out


@dataclass(frozen=True)
class Surface:
    """What a solid is made of; `scale` is the size in metres of one unit of the pattern."""

    colours: Colours
    pattern: Pattern
    scale: float = 1.0
    gloss: float = 0.0
    glow: float = 0.0
    """Light given off after exposure, as a multiple of the colour; what glows casts no shadow."""


@dataclass(frozen=True)
class Part:
    """A unit shape scaled by `half` and moved to `centre`, in the frame of its piece.

    Box and ball fill [-1, 1]^3. The frustum stands along y; its radius is 1 at the bottom (y = 1)
    and `taper` at the top, so that 1 is a cylinder and 0 a cone.
    """

    shape: Shape
    centre: Vec
    half: Vec
    surface: Surface
    taper: float = 1.0

    def entry(self, origin: Vecs, direction: Vecs) -> Scalars:
        """t at which lines enter, negative if behind the origin, inf where they miss."""
        o, half = origin - self.centre[:, None], self.half[:, None]
        if self.shape == "box":
            return _enter_box(o, direction, half)
        o, d = o / half, direction / half
        return _enter_ball(o, d) if self.shape == "ball" else _enter_frustum(o, d, np.float32(self.taper))


@dataclass(frozen=True)
class Piece:
    """Parts that move together: turned by `yaw`, then moved to `at`."""

    parts: tuple[Part, ...]
    at: Vec
    yaw: float = 0.0

    @cached_property
    def extent(self) -> tuple[Vec, Vec]:
        """Lowest and highest corner of the box around the parts, in the piece's frame."""
        centre, half = np.stack([p.centre for p in self.parts]), np.stack([p.half for p in self.parts])
        return (centre - half).min(0), (centre + half).max(0)

    @cached_property
    def hull(self) -> tuple[Vec, Vec]:
        """Centre and half size of that box."""
        low, high = self.extent
        return (low + high) / 2, (high - low) / 2

    @cached_property
    def ball(self) -> tuple[Vec, float]:
        """Centre in the world and radius of a ball around the piece."""
        return self.to_world(self.hull[0]), float(np.linalg.norm(self.hull[1]))

    @cached_property
    def bounds(self) -> tuple[Vec, Vec]:
        """Lowest and highest corner of the box around the piece, in the world."""
        c, s = abs(np.cos(self.yaw)), abs(np.sin(self.yaw))
        x, y, z = self.hull[1]
        half = vec(c * x + s * z, y, s * x + c * z)
        return self.ball[0] - half, self.ball[0] + half

    def to_world(self, point: Vec) -> Vec:
        """A point of the piece's frame in the world."""
        return np.asarray(turn(point, self.yaw) + self.at)

    def entry(self, origin: Vecs, direction: Vecs, least: Scalars) -> tuple[Scalars, Int[np.ndarray, " n"]]:
        """Smallest t above `least` at which lines enter a part, and which; in the piece's frame."""
        best, part = np.full(least.shape, np.inf, np.float32), np.full(least.shape, -1, np.int32)
        for k, one in enumerate(self.parts):
            t = one.entry(origin, direction)
            closer = (t > least) & (t < best)
            np.copyto(best, t, where=closer)
            part[closer] = k
        return best, part


@dataclass(frozen=True)
class Hits:
    """First thing that each ray meets before `t` = its reach; `part` is -1 where there is none."""

    t: Scalars
    part: Int[np.ndarray, " n"]


def cast(pieces: tuple[Piece, ...], origin: Vecs, direction: Vecs, reach: float = np.inf) -> Hits:
    """Meet rays with pieces, whose parts are counted through; `origin` is (3, n), or (3, 1) if shared."""
    n = direction.shape[1]
    hits = Hits(np.full(n, reach, np.float32), np.full(n, -1, np.int32))
    for low in range(0, n, BLOCK):
        some = slice(low, low + BLOCK)
        o, d = origin[:, some] if origin.shape[1] == n else origin, direction[:, some]
        squared, first = dot(d, d), 0
        for piece in pieces:
            _cast_piece(piece, first, o, d, squared, reach, Hits(hits.t[some], hits.part[some]))
            first += len(piece.parts)
    return hits


def _cast_piece(piece: Piece, first: int, origin: Vecs, direction: Vecs, squared: Scalars, reach: float, hits: Hits) -> None:
    """Update `hits` with a piece, looking only at the rays that come near its ball, then those that meet its hull.

    Distances are taken from the point nearest to the ball's centre: float32 stays exact for small far things.
    """
    centre, radius = piece.ball
    away = centre[:, None] - origin
    along = dot(away, direction)
    nearest = np.minimum(np.maximum(along / squared, 0), reach)
    gap = dot(away, away) - nearest * (2 * along - nearest * squared)
    rays = np.flatnonzero(gap < np.float32(1.02 * radius * radius + 1e-4))
    if rays.size == 0:
        return
    d, start = direction.take(rays, 1), nearest[rays]
    o = start * d - (away if away.shape[1] == 1 else away.take(rays, 1)) + centre[:, None] - piece.at[:, None]
    o, d, best = turn(o, -piece.yaw), turn(d, -piece.yaw), hits.t[rays] - start
    middle, half = (v[:, None] for v in piece.hull)
    closer = np.flatnonzero(_enter_box(o - middle, d, half) < best)
    if closer.size == 0:
        return
    rays, start, best = rays[closer], start[closer], best[closer]
    t, part = piece.entry(o.take(closer, 1), d.take(closer, 1), -start)
    closer = np.flatnonzero(t < best)
    hits.t[rays[closer]] = t[closer] + start[closer]
    hits.part[rays[closer]] = part[closer] + first


def leave_box(origin: Vecs, direction: Vecs, low: Vec, high: Vec) -> Scalars:
    """t at which rays that start inside a box leave it."""
    direction = direction + TINY  # a ray along a wall never reaches it
    wall = np.where(direction > 0, high[:, None], low[:, None])
    return _least((wall - origin) / direction)


def _least(v: Vecs) -> Scalars:
    return np.asarray(np.minimum(np.minimum(v[0], v[1]), v[2]))


def _enter_box(o: Vecs, d: Vecs, half: Vecs) -> Scalars:
    reciprocal = 1 / (d + TINY)
    middle, reach = o * reciprocal, half * np.abs(reciprocal)
    near, far = -_least(middle + reach), _least(reach - middle)
    near[near >= far] = np.inf
    return near


def _enter_ball(o: Vecs, d: Vecs) -> Scalars:
    a, b = dot(d, d), dot(o, d)
    rest = b * b - a * (dot(o, o) - 1)
    return np.where(rest > 0, (-b - np.sqrt(np.maximum(rest, 0))) / a, np.float32(np.inf))


def _enter_frustum(o: Vecs, d: Vecs, taper: np.float32) -> Scalars:
    """Nearest valid crossing of the slanted side, x^2 + z^2 = r(y)^2, and of the two lids."""
    slope = (1 - taper) / 2
    r, dr = 1 - slope + slope * o[1], slope * d[1]
    a = d[0] * d[0] + d[2] * d[2] - dr * dr + TINY
    b = o[0] * d[0] + o[2] * d[2] - r * dr
    rest = b * b - a * (o[0] * o[0] + o[2] * o[2] - r * r)
    root = np.sqrt(np.maximum(rest, 0))
    best: Scalars = np.full_like(a, np.inf)
    for t in ((-b - root) / a, (-b + root) / a):
        valid = (rest > 0) & (np.abs(o[1] + t * d[1]) <= 1) & (t < best)
        best = np.where(valid, t, best)
    for lid, radius in ((1, np.float32(1)), (-1, taper)):
        t = (lid - o[1]) / (d[1] + TINY)
        valid = ((o[0] + t * d[0]) ** 2 + (o[2] + t * d[2]) ** 2 <= radius * radius) & (t < best)
        best = np.where(valid, t, best)
    return best
