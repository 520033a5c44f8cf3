"""The built-in source: rendered rooms with exact depth and known intrinsics, as many as are asked for.

From the ground up: geometry (rays and solids), world (what rays see of a room), light (how bright it is),
patterns (surfaces and palettes), furniture, room (what stands where), render (the picture).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

from spatial_ssrl.errors import SourceError
from spatial_ssrl.rng import generator
from spatial_ssrl.scene import MIN_SIDE, DepthUnit, Scene
from spatial_ssrl.sources.base import Source
from spatial_ssrl.sources.rooms.patterns import Style
from spatial_ssrl.sources.rooms.render import render_room

__all__ = ["Rooms", "Style", "render_room"]

SIZE = "320x240"


@dataclass(frozen=True)
class Rooms(Source):
    """`synthetic`, `synthetic:200`, `synthetic:200?size=640x480&style=plain`."""

    count: int
    seed: int
    width: int
    height: int
    style: Style = "varied"

    name: ClassVar[str] = "synthetic"
    unit: ClassVar[DepthUnit | None] = "metre"
    looked_for: ClassVar[str] = "nothing: rooms are rendered"

    @classmethod
    def options(cls) -> dict[str, str]:
        return {"size": SIZE, "style": cls.style}

    @classmethod
    def from_text(cls, count: str, options: dict[str, str], scenes: int, seed: int) -> "Rooms":
        """Build from the number and the options of a SOURCE text. Raises SourceError."""
        unknown = sorted(set(options) - {"size", "style"})
        if unknown:
            raise SourceError(f"synthetic: unknown option {unknown[0]!r}; known: size, style")
        style = options.get("style", "varied")
        if style not in get_args(Style):
            raise SourceError(f"synthetic: unknown style {style!r}; known: {', '.join(get_args(Style))}")
        try:
            width, height = map(int, options.get("size", SIZE).split("x"))
            number = int(count or scenes)
        except ValueError:
            raise SourceError(
                f"synthetic: expected synthetic[:NUMBER][?size=WIDTHxHEIGHT], got {count!r}, {options}"
            ) from None
        if number < 1 or min(width, height) < MIN_SIDE:
            raise SourceError(f"synthetic: needs at least 1 scene of at least {MIN_SIDE} px, got {number}, {width}x{height}")
        return cls(number, seed, width, height, style)  # type: ignore[arg-type]

    def list_keys(self) -> Sequence[str]:
        return [f"room-{i:08d}" for i in range(self.count)]

    def load(self, key: str, with_depth: bool = True, max_side: int | None = None) -> Scene:
        scene = render_room(generator(self.seed, self.name, key), self.width, self.height, self.style)
        return Scene(scene.rgb, scene.depth, scene.depth_unit, scene.intrinsics, self.origin(key))
