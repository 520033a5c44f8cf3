"""A room drawn at random: its size, the camera, the furniture and where it stands, surfaces and lamps.

Convention: that of geometry.py; the floor is y = 0 and the back wall is at positive z, where the camera
roughly looks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from spatial_ssrl.scene import Intrinsics
from spatial_ssrl.sources.rooms import furniture as f
from spatial_ssrl.sources.rooms.geometry import Piece, Surface, Vec, Vecs, turn, vec
from spatial_ssrl.sources.rooms.patterns import Look, Style, bricks, paint, pick, planks, rgb, skirted, stripes, tiles, weave
from spatial_ssrl.sources.rooms.world import Lamp, World


@dataclass(frozen=True)
class Camera:
    """Position; yaw to the right and pitch down in radians; tangent of half the horizontal field of view."""

    at: Vec
    yaw: float
    pitch: float
    tangent: float

    @classmethod
    def draw(cls, rng: np.random.Generator, low: Vec, high: Vec, style: Style) -> "Camera":
        """Near the front wall, looking into the room; level and at half height in plain rooms."""
        width, height, depth = high - low
        at = vec(rng.uniform(-0.3, 0.3) * width, -rng.uniform(1.2, 1.7), low[2] + rng.uniform(0.15, 0.5))
        if style == "plain":
            at *= vec(0.4, 0, 1)
            at[1] = -height / 2 + rng.uniform(-0.1, 0.1)
            return cls(at, rng.uniform(-0.12, 0.12), rng.uniform(-0.03, 0.03), rng.uniform(0.72, 0.85))
        yaw = np.arctan2(rng.uniform(-0.3, 0.3) * width - at[0], 0.75 * depth)
        return cls(at, float(yaw), rng.uniform(0.06, 0.24), rng.uniform(0.58, 0.76))

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

    def place(self, build: f.Build, spot: Spot) -> Piece | None:
        """Build a piece and put it on a spot of this kind, in view and clear of others."""
        parts = tuple(build(self.rng, self.look))
        reach = Piece(parts, vec(0, 0, 0)).extent[1]
        for _ in range(10):
            at, yaw = spot(reach)
            if self.camera.sees(at) and self._fits(*(piece := Piece(parts, at, yaw)).bounds):
                self.pieces.append(piece)
                return piece
        return None

    def floor(self, reach: Vec) -> tuple[Vec, float]:
        """On the floor, turned at random."""
        away, side = self.rng.uniform(1.7, 6.0), self.rng.uniform(-0.85, 0.85)
        offset = turn(vec(side * self.camera.tangent * away, 0, away), self.camera.yaw)
        return (self.camera.at + offset) * vec(1, 0, 1), self.rng.uniform(-np.pi, np.pi)

    def wall(self, reach: Vec) -> tuple[Vec, float]:
        """Against the back, left or right wall."""
        x, _, z = self.low + self.rng.uniform(0.12, 0.88) * (self.high - self.low)
        gap = reach[2] + 0.005
        walls = ((x, self.high[2] - gap, 0.0), (self.low[0] + gap, z, -np.pi / 2), (self.high[0] - gap, z, np.pi / 2))
        x, z, yaw = walls[self.rng.choice([0, 0, 1, 2])]
        return vec(x, 0, z), yaw

    def ceiling(self, reach: Vec) -> tuple[Vec, float]:
        """Hanging."""
        at = self.low + self.rng.uniform((0.2, 0, 0.5), (0.8, 0, 0.85)).astype(np.float32) * (self.high - self.low)
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
    size = vec(rng.uniform(3.6, 5.6), rng.uniform(2.45, 2.9), rng.uniform(4.2, 6.2))
    low, high = size * vec(-0.5, -1, -0.5), size * vec(0.5, 0, 0.5)
    look = Look.draw(rng, style)
    layout = Layout(rng, look, low, high, Camera.draw(rng, low, high, style))
    if style == "plain":
        lamps, shell, bounce, drift = _furnish_plain(layout), _plain_shell(), vec(0.5, 0.5, 0.5), -1.7 / size[0]
    else:
        lamps, shell = _furnish(layout), _shell(rng, look)
        bounce, drift = shell[3].colours.mean(0) * 0.35 + 0.08, rng.uniform(-0.12, 0.12)
    ambient = np.stack([vec(0.3, 0.29, 0.27), bounce])
    return World(low, high, shell, tuple(layout.pieces), tuple(lamps), ambient, vec(drift, 0, 0)), layout.camera


LARGE = (f.sofa, f.bookcase, f.sideboard, f.bed, f.table)
SMALL = (f.table, f.round_table, f.chair, f.plant, f.toy, f.toy, f.toy, f.crates, f.chair)
PLAIN = (f.toy, f.toy, f.chair, f.crates, f.round_table, f.plant)


def _choose(rng: np.random.Generator, builds: tuple[f.Build, ...], count: int) -> list[f.Build]:
    return [builds[k] for k in rng.permutation(len(builds))[:count]]


def _furnish(layout: Layout) -> list[Lamp]:
    """Fill a varied room, large pieces first, and give back its lights."""
    rng, lamps = layout.rng, []
    if rng.random() < 0.75 and (piece := layout.place(f.window, layout.wall)):
        lamps += _daylight(piece, rng)
    for build in _choose(rng, LARGE, 5):
        layout.place(build, layout.wall)
    if piece := layout.place(f.pendant, layout.ceiling):
        lamps.append(_lamplight(piece, 1.6))
    if rng.random() < 0.7 and (piece := layout.place(f.floor_lamp, layout.wall)):
        lamps.append(_lamplight(piece, 1.3))
    for build in (f.framed, f.framed, f.shelf, f.framed):
        layout.place(build, layout.wall)
    for build in (f.rug, *_choose(rng, SMALL, 8)):
        layout.place(build, layout.floor)
    return lamps or [Lamp(layout.low * vec(0.4, 0.95, 0), vec(0.3, 0.03, 0.3), vec(4, 3.8, 3.4))]


def _furnish_plain(layout: Layout) -> list[Lamp]:
    """A few pieces, and a light under the ceiling to the left."""
    for build in _choose(layout.rng, LARGE, 2):
        layout.place(build, layout.wall)
    for build in _choose(layout.rng, PLAIN, 3):
        layout.place(build, layout.floor)
    at = layout.low + (layout.high - layout.low) * vec(0.25, 0.15, 0.45)
    return [Lamp(at, vec(0.3, 0.03, 0.3), vec(1.0, 1.0, 1.0))]


def _lamplight(piece: Piece, power: float) -> Lamp:
    """The light of a lamp, from within its shade."""
    shade = next(part for part in piece.parts if part.surface.glow)
    return Lamp(piece.to_world(shade.centre), shade.half * np.float32(0.8), vec(1, 0.82, 0.6) * np.float32(power))


def _daylight(piece: Piece, rng: np.random.Generator) -> list[Lamp]:
    """The sky in a window, a lamp in front of the glass, and the sun through it, 12 m away for this purpose."""
    glass = next(part for part in piece.parts if part.surface.glow)
    sky = Lamp(piece.to_world(glass.centre - vec(0, 0, 0.25)), np.abs(turn(glass.half, piece.yaw)), vec(2.6, 3.0, 3.5))
    sun = piece.to_world(glass.centre + vec(rng.uniform(-8, 8), -rng.uniform(5, 9), 8))
    opening = Piece((glass,), piece.at, piece.yaw)
    return [sky, Lamp(sun, vec(0.12, 0.12, 0.12), vec(3.4, 2.9, 2.2) * 140, opening)]


def _shell(rng: np.random.Generator, look: Look) -> tuple[Surface, ...]:
    """Walls (one of them in another colour), ceiling and floor of a varied room."""
    wall, accent = (np.stack([c, c * np.float32(0.93), look.palette[-1]]) for c in look.palette[:2])
    brick = rgb("9c5b45 7a4836 cfc4b4")
    coats = ((wall, paint, 1.0), (wall, stripes, 0.22), (accent, paint, 1.0), (accent, stripes, 0.3), (brick, bricks, 0.24))
    papers = [Surface(colours, skirted(pattern, scale), scale) for colours, pattern, scale in coats]
    stone = rgb(pick(rng, ("d9d3c7 cfc7b8 a59d90", "e6e1d8 6b7072 b5afa5", "c8ad8f b98f70 8c7a68")))
    wood, carpet = Surface(look.wood, planks, 1.2, 0.12), look.palette[[5, 0]] * np.float32(0.8)
    floor = pick(rng, (wood, wood, Surface(stone, tiles, 0.42, 0.2), Surface(carpet, weave, 0.6)))
    walls = [pick(rng, (papers[0], papers[0], papers[1]))] * 4
    walls[rng.choice([0, 1, 3])] = pick(rng, papers[2:])
    return walls[0], walls[1], Surface(rgb("f3f0ea"), paint), floor, walls[2], walls[3]


def _plain_shell() -> tuple[Surface, ...]:
    """Light ceiling, middling walls, dark floor."""
    wall, ceiling, floor = (Surface(rgb(c), paint) for c in ("9c8f7c", "f4f2ec", "4a3a2e"))
    return wall, wall, ceiling, floor, wall, wall
