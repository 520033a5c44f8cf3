"""Rays against simple solids in a box-shaped room, and their light, in numpy: what synthetic.py draws with.

Convention: x to the right, y down, z forward, metres. Vectors lie along the first axis, (3,), (3, n)
or (3, k, n), float32. A ray is origin + t * direction, the direction not normalised: t then survives
any change of frame, and is the depth where the direction has z = 1 in the camera's frame.

Every solid is a unit shape, stretched (`Part`), in a frame that is turned about the vertical (`Piece`).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float32, Int

Shape = Literal["box", "ball", "frustum"]
Vec = Float32[np.ndarray, "3"]
Vecs = Float32[np.ndarray, "3 ..."]
Scalars = Float32[np.ndarray, "..."]

Colours = Float32[np.ndarray, "_ 3"]
Pattern = Callable[[Scalars, Scalars, Colours], Vecs]
"""Paints points with coordinates (u, v) in tiles of the pattern; colours are linear RGB."""

NUDGE = np.float32(2e-3)
"""Metres by which a ray that starts on a surface is lifted off it."""

BLOCK = 1 << 15
"""Rays cast at a time, so that they stay in the cache."""

TINY = np.float32(1e-12)
"""Keeps divisions by a direction finite."""

CORNER = np.float32(0.7)
"""Metres within which things darken each other's corners."""


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


@dataclass(frozen=True)
class Solids:
    """Parts of one shape, to be met together; `index` is their place in the piece."""

    shape: Shape
    index: Int[np.ndarray, " k"]
    centre: Float32[np.ndarray, "3 k 1"]
    half: Float32[np.ndarray, "3 k 1"]
    taper: Float32[np.ndarray, "k 1"]

    def entry(self, origin: Vecs, direction: Vecs) -> Float32[np.ndarray, "k n"]:
        """t at which lines enter each solid, negative if behind the origin, inf where they miss."""
        o, d = origin[:, None] - self.centre, direction[:, None]
        if self.shape == "box":
            return _enter_box(o, d, self.half)
        o, d = o / self.half, d / self.half
        return _enter_ball(o, d) if self.shape == "ball" else _enter_frustum(o, d, self.taper)


@dataclass(frozen=True)
class Piece:
    """Parts that move together: turned by `yaw` (radians, positive turns +z towards +x), then moved to `at`."""

    parts: tuple[Part, ...]
    at: Vec
    yaw: float = 0.0

    @cached_property
    def solids(self) -> list[Solids]:
        """The parts by shape."""
        groups = []
        for shape in sorted({p.shape for p in self.parts}):
            index = np.array([k for k, p in enumerate(self.parts) if p.shape == shape], np.int32)
            chosen = [self.parts[k] for k in index]
            centre, half = (np.stack(v, 1)[..., None] for v in ([p.centre for p in chosen], [p.half for p in chosen]))
            groups.append(Solids(shape, index, centre, half, np.array([[p.taper] for p in chosen], np.float32)))
        return groups

    @cached_property
    def hull(self) -> Solids:
        """The box around the parts."""
        low, high = (corner[:, None, None] for corner in self.extent)
        return Solids("box", np.zeros(1, np.int32), (low + high) / 2, (high - low) / 2, np.ones((1, 1), np.float32))

    def entry(self, origin: Vecs, direction: Vecs, least: Scalars) -> tuple[Scalars, Int[np.ndarray, " n"]]:
        """Smallest t above `least` at which lines enter a part, and which; in the piece's frame."""
        best, part = np.full(least.shape, np.inf, np.float32), np.full(least.shape, -1, np.int32)
        for solids in self.solids:
            t = solids.entry(origin, direction)
            t[t <= least] = np.inf
            which = t.argmin(0)
            nearest = t[which, np.arange(which.size)]
            part = np.where(nearest < best, solids.index[which], part)
            best = np.minimum(nearest, best)
        return best, part

    @cached_property
    def extent(self) -> tuple[Vec, Vec]:
        """Lowest and highest corner of the box around the parts, in the piece's frame."""
        centre, half = np.stack([p.centre for p in self.parts]), np.stack([p.half for p in self.parts])
        return (centre - half).min(0), (centre + half).max(0)

    @cached_property
    def ball(self) -> tuple[Vec, float]:
        """Centre in the world and radius of a ball around the piece."""
        low, high = self.extent
        return turn((low + high) / 2, self.yaw) + self.at, float(np.linalg.norm(high - low)) / 2

    @cached_property
    def bounds(self) -> tuple[Vec, Vec]:
        """Lowest and highest corner of the box around the piece, in the world."""
        low, high = self.extent
        c, s = abs(np.cos(self.yaw)), abs(np.sin(self.yaw))
        x, y, z = (high - low) / 2
        centre, half = self.ball[0], np.array([c * x + s * z, y, s * x + c * z], np.float32)
        return centre - half, centre + half

    def local(self, points: Vecs) -> Vecs:
        """World points in the piece's frame."""
        return turn(points - self.at[:, None], -self.yaw)


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
    """Update `hits` with a piece, looking only at the rays that come near its ball.

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
    o = start * d - (away if away.shape[1] == 1 else away.take(rays, 1))
    o, d, best = piece.local(o + centre[:, None]), turn(d, -piece.yaw), hits.t[rays] - start
    closer = np.flatnonzero(piece.hull.entry(o, d)[0] < best)
    rays, start, best = rays[closer], start[closer], best[closer]
    t, part = piece.entry(o.take(closer, 1), d.take(closer, 1), -start)
    closer = np.flatnonzero(t < best)
    hits.t[rays[closer]] = t[closer] + start[closer]
    hits.part[rays[closer]] = part[closer] + first


def dot(a: Vecs, b: Vecs) -> Scalars:
    """Scalar products along the first axis."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _least(v: Vecs) -> Scalars:
    return np.minimum(np.minimum(v[0], v[1]), v[2])


def turn(v: Vecs, yaw: float | Scalars) -> Vecs:
    """Vectors turned about the vertical; positive turns +z towards +x."""
    angle = np.asarray(yaw, np.float32)
    c, s = np.cos(angle), np.sin(angle)
    out = np.empty_like(v)
    out[0], out[1], out[2] = c * v[0] + s * v[2], v[1], c * v[2] - s * v[0]
    return out


def leave_box(origin: Vecs, direction: Vecs, low: Vec, high: Vec) -> Scalars:
    """t at which rays that start inside a box leave it."""
    wall = np.where(direction > 0, high[:, None], low[:, None])
    return _least((wall - origin) / (direction + TINY))


Faces = tuple[Vecs, Float32[np.ndarray, "2 n"], Int[np.ndarray, " n"]]
"""Outward normals, coordinates along the surface in metres, and faces (0 to 5) of points on unit shapes."""


def box_face(p: Vecs, half: Vecs) -> Faces:
    """Points `p` on the box [-1, 1]^3 stretched by `half`.

    Face is 2 * axis + (1 on the positive side); coordinates are (z, y), (x, z), (x, y) by axis.
    """
    x, y, z = np.abs(p)
    axis = np.where((x >= y) & (x >= z), 0, np.where(y >= z, 1, 2)).astype(np.int32)
    sign = np.sign(np.where(axis == 0, p[0], np.where(axis == 1, p[1], p[2])))
    normal = (np.arange(3)[:, None] == axis) * sign
    m = p * half
    uv = np.stack([np.where(axis == 0, m[2], m[0]), np.where(axis == 1, m[2], m[1])])
    return normal, uv, 2 * axis + (sign > 0)


def round_face(p: Vecs, half: Vecs, taper: Scalars, ball: Bool[np.ndarray, " n"]) -> Faces:
    """Points on balls and frustums: (arc, y) on the side, face 0; (x, z) on the lids, face 1."""
    side = ball | (np.abs(p[1]) < 0.999)
    lean = np.where(ball, p[1], (taper - 1) / 2 * np.hypot(p[0], p[2]))
    normal = np.stack([p[0] * side, np.where(side, lean, p[1]), p[2] * side]) / half
    u = np.where(side, np.arctan2(p[0], p[2]), p[0]) * half[0]
    v = np.where(side, p[1] * half[1], p[2] * half[2])
    return normal / np.sqrt(dot(normal, normal)), np.stack([u, v]), (~side).astype(np.int32)


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


def _enter_frustum(o: Vecs, d: Vecs, taper: Float32[np.ndarray, "k 1"]) -> Scalars:
    """Nearest valid crossing of the slanted side, x^2 + z^2 = r(y)^2, and of the two lids."""
    slope = (1 - taper) / 2
    r, dr = 1 - slope + slope * o[1], slope * d[1]
    a = d[0] * d[0] + d[2] * d[2] - dr * dr + TINY
    b = o[0] * d[0] + o[2] * d[2] - r * dr
    rest = b * b - a * (o[0] * o[0] + o[2] * o[2] - r * r)
    root = np.sqrt(np.maximum(rest, 0))
    best = np.full_like(a, np.inf)
    for t in ((-b - root) / a, (-b + root) / a):
        valid = (rest > 0) & (np.abs(o[1] + t * d[1]) <= 1) & (t < best)
        best = np.where(valid, t, best)
    for lid, radius in ((1, np.ones_like(taper)), (-1, taper)):
        t = (lid - o[1]) / (d[1] + TINY)
        valid = ((o[0] + t * d[0]) ** 2 + (o[2] + t * d[2]) ** 2 <= radius * radius) & (t < best)
        best = np.where(valid, t, best)
    return best


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
        thick = [p for p in self.pieces if np.subtract(*p.extent).max() < -0.06]
        dark = [(p, tuple(part for part in p.parts if not part.surface.glow)) for p in thick]
        return tuple(Piece(parts, p.at, p.yaw) for p, parts in dark)

    @cached_property
    def surfaces(self) -> list[Surface]:
        """Those of the shell by face, then those of the parts, each once."""
        return [*self.shell, *{id(p.surface): p.surface for piece in self.pieces for p in piece.parts}.values()]

    @cached_property
    def finish(self) -> Float32[np.ndarray, "2 s"]:
        """Gloss and glow by surface."""
        return np.array([[s.gloss for s in self.surfaces], [s.glow for s in self.surfaces]], np.float32)

    @cached_property
    def places(self) -> tuple[Vecs, Vecs, Vecs]:
        """By part: position of its piece, centre in the piece, half size."""
        parts = [(piece.at, p.centre, p.half) for piece in self.pieces for p in piece.parts]
        at, centre, half = np.array(parts, np.float32).reshape(-1, 3, 3).transpose(1, 2, 0)
        return at, centre, half

    @cached_property
    def traits(self) -> Float32[np.ndarray, "4 p"]:
        """By part: yaw, taper, shape (0 box, 1 ball, 2 frustum), number of the surface."""
        number = {id(s): k for k, s in enumerate(self.surfaces)}
        shapes = get_args(Shape)
        rows = [(piece.yaw, p.taper, shapes.index(p.shape), number[id(p.surface)])
                for piece in self.pieces for p in piece.parts]  # fmt: skip
        return np.array(rows, np.float32).reshape(-1, 4).T


@dataclass(frozen=True)
class View:
    """What the rays see: `key` tells surfaces apart, `t` is where along the ray they are."""

    t: Scalars
    key: Int[np.ndarray, " n"]
    point: Vecs
    normal: Vecs
    albedo: Vecs
    gloss: Scalars
    glow: Scalars

    def take(self, rays: Int[np.ndarray, " m"]) -> "View":
        """What some of the rays see."""
        return View(*(getattr(self, f.name).take(rays, -1) for f in fields(self)))


def look(world: World, eye: Vec, direction: Vecs) -> View:
    """The first surface along each ray from `eye`, painted."""
    hits = cast(world.pieces, eye[:, None], direction)
    wall = leave_box(eye[:, None], direction, world.low, world.high)
    t = np.minimum(hits.t, wall)
    point = eye[:, None] + t * direction
    normal, uv, ids = np.empty_like(point), np.empty_like(point[:2]), np.empty((2, t.size), np.int32)
    bare = hits.t >= wall
    for rays, find in ((np.flatnonzero(bare), _find_shell), (np.flatnonzero(~bare), _find_solid)):
        normal[:, rays], uv[:, rays], ids[:, rays] = find(world, point.take(rays, 1), hits.part[rays])
    return View(t, ids[0], point, normal, _paint(world.surfaces, ids[1], uv), *world.finish.take(ids[1], 1))


Found = tuple[Vecs, Float32[np.ndarray, "2 n"], Int[np.ndarray, "2 n"]]
"""Normals; coordinates on the surface in metres; key and number of the surface."""


def _find_shell(world: World, point: Vecs, part: Int[np.ndarray, " n"]) -> Found:
    """Points on the room itself; the second coordinate on walls is y."""
    half = (world.high - world.low)[:, None] / 2
    normal, uv, face = box_face((point - world.low[:, None]) / half - 1, half)
    uv[1] -= np.where(face // 2 == 1, 0, half[1])
    return -normal, uv, np.stack([face - 6, face])


def _find_solid(world: World, point: Vecs, part: Int[np.ndarray, " n"]) -> Found:
    """Points on the parts of pieces."""
    at, centre, half = (v.take(part, 1) for v in world.places)
    yaw, taper, shape, surface = (v[part] for v in world.traits)
    p = (turn(point - at, -yaw) - centre) / half
    normal, uv, face = np.empty_like(p), np.empty_like(p[:2]), np.empty(part.size, np.int32)
    box, other = np.flatnonzero(shape == 0), np.flatnonzero(shape != 0)
    normal[:, box], uv[:, box], face[box] = box_face(p.take(box, 1), half.take(box, 1))
    normal[:, other], uv[:, other], face[other] = round_face(
        p.take(other, 1), half.take(other, 1), taper[other], shape[other] == 1
    )
    return turn(normal, yaw), uv, np.stack([part * 8 + face, surface.astype(np.int32)])


def _paint(surfaces: list[Surface], which: Int[np.ndarray, " n"], uv: Float32[np.ndarray, "2 n"]) -> Vecs:
    albedo, order = np.empty((3, which.size), np.float32), np.argsort(which, kind="stable")
    ends = np.searchsorted(which[order], np.arange(len(surfaces) + 1))
    for surface, low, high in zip(surfaces, ends, ends[1:], strict=False):
        if low < high:
            points = order[low:high]
            u, v = uv.take(points, 1) / np.float32(surface.scale)
            albedo[:, points] = surface.pattern(u, v, surface.colours)
    return albedo


def _spread(n: int) -> Float32[np.ndarray, "3 n"]:
    """Points that fill [-1, 1]^3 evenly in any number (additive recurrence)."""
    return ((np.arange(1, n + 1) * np.array([[0.8191725], [0.6710436], [0.5497005]])) % 1 * 2 - 1).astype(np.float32)


def reach_light(world: World, view: View, phase: Int[np.ndarray, " n"]) -> Float32[np.ndarray, "k n"]:
    """Share of each lamp, then of the surroundings, that reaches the points: one ray for each.

    `phase` (0 to 15) picks the ray; sixteen points with all phases together give the soft value.
    """
    cube, points = _spread(16), np.arange(phase.size)
    start = view.point + NUDGE * view.normal
    ways, owners = [], []
    for lamp in world.lamps:
        to = (lamp.at[:, None] + lamp.spread[:, None] * cube).take(phase, 1) - start
        lit = np.flatnonzero(dot(to, view.normal) > 0)
        if lamp.opening:
            lit = lit[cast((lamp.opening,), start.take(lit, 1), to.take(lit, 1), 1.0).part == 0]
        ways.append(to.take(lit, 1))
        owners.append(lit)
    ball = cube / np.sqrt(dot(cube, cube))
    ways.append((view.normal + ball.take(phase, 1)) * CORNER)
    owners.append(points)
    free = cast(world.blockers, start.take(np.concatenate(owners), 1), np.concatenate(ways, 1), 1.0).t
    reached = np.zeros((len(owners), phase.size), np.float32)
    for row, owner, t in zip(reached, owners, np.split(free, np.cumsum([o.size for o in owners])[:-1]), strict=True):
        row[owner] = t
    reached[:-1] = reached[:-1] == 1
    return reached


def smooth(values: Float32[np.ndarray, "k n"], key: Int[np.ndarray, " n"], width: int) -> Float32[np.ndarray, "k n"]:
    """Mean over 4 x 4 pixels of the same surface, first across and then down."""
    planes, keys = values.reshape(len(values), -1, width), key.reshape(-1, width)
    for axis in (1, 0):
        total, count = planes.copy(), np.ones(keys.shape, np.float32)
        for step in (-2, -1, 1):
            same = (np.roll(keys, step, axis) == keys).astype(np.float32)
            total += same * np.roll(planes, step, axis + 1)
            count += same
        planes = total / count
    return planes.reshape(values.shape)


def shade(world: World, eye: Vec, view: View, reached: Float32[np.ndarray, "k n"]) -> Vecs:
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
    return view.albedo * light + shine * view.gloss


def _ambient(world: World, view: View) -> Vecs:
    """Light from the surroundings, dimmed where the room's own corners are near."""
    up = (1 - view.normal[1]) / 2
    light = world.ambient[1][:, None] * (1 - up) + world.ambient[0][:, None] * up
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
    return np.clip(c, 0, 1) ** np.float32(1 / 2.2)
