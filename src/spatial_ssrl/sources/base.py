"""The contract of a source, and the text form by which a user names one."""

import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args, get_origin
from urllib.parse import parse_qsl

from spatial_ssrl.errors import SourceError
from spatial_ssrl.scene import MIN_SIDE, DepthUnit, Intrinsics, Picture, Scene, decode_picture
from spatial_ssrl.sources.files import Files, Span, is_url, spell

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
BY_SUFFIX = {".txt": "list", ".tar": "tar", ".parquet": "parquet", ".mat": "nyu"}
"""Layout of a path that names none; any other is a folder, or one picture."""


@dataclass(frozen=True)
class Source(ABC):
    """A finite list of scenes, each known by a key and loaded on demand, in any process."""

    name: ClassVar[str]
    """Layout name, as in `layout:path`."""
    unit: ClassVar[DepthUnit | None] = None
    """Unit of the depth that every scene has; None where there is none."""
    looked_for: ClassVar[str]
    """The files that make up the layout."""
    extra: ClassVar[str | None] = None
    """Extra of this package that the layout needs."""

    @property
    def has_depth(self) -> bool:
        return self.unit is not None

    @abstractmethod
    def list_keys(self) -> Sequence[str]:
        """Keys of the scenes, in a fixed order. Raises SourceError, naming what was looked for, when there are none."""

    def span(self, key: str) -> Span | None:
        """Where the picture's encoded bytes lie; None where it is rendered, compressed, or on another machine."""
        return None

    @abstractmethod
    def load(self, key: str, with_depth: bool = True, max_side: int | None = None) -> Scene:
        """The scene of a key, without its depth unless asked for. Raises SceneError when its files cannot be used.

        A picture whose longer side is above `max_side` may come smaller, yet hardly below that; `Scene.fit` does the rest.
        """

    def origin(self, key: str) -> tuple[str, str]:
        """Layout and key as rows and manifest name a scene."""
        return self.name, spell(key)

    @classmethod
    def options(cls) -> dict[str, str]:
        """Names of the options and their defaults, as text."""
        given = {f.name: f.default for f in fields(cls) if f.name != "files"}
        return {name: "" if default is None else _to_text(default) for name, default in given.items()}


@dataclass(frozen=True)
class PathSource(Source):
    """A source that reads files under a root folder."""

    files: Files

    @classmethod
    def from_text(cls, path: str, options: dict[str, str]) -> "PathSource":
        """Build from the path and the options of a SOURCE text. Raises SourceError."""
        known = {f.name: f.type for f in fields(cls) if f.name != "files"}
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise SourceError(f"{cls.name}: unknown option {unknown[0]!r}; known: {', '.join(known) or 'none'}")
        try:
            return cls(Files.at(path), **{name: _convert(value, known[name]) for name, value in options.items()})
        except (ValueError, SourceError) as error:
            raise SourceError(f"{cls.name}: {error}") from None

    def span(self, key: str) -> Span | None:
        return None if is_url(self.files.place(key)) else Span(self.files.path(key))

    def read_picture(self, name: str, max_side: int | None) -> Picture:
        """Decode a picture file, see `decode_picture`. Raises SceneError."""
        return decode_picture(self.files.read(name), MIN_SIDE, max_side)

    def require(self, keys: list[str]) -> list[str]:
        """The keys, or a SourceError that says what was looked for and what is there."""
        if keys:
            return keys
        seen = Counter(os.path.splitext(name)[1] or os.path.basename(name) for name in self.files.list())
        found = ", ".join(f"{kind} ({n})" for kind, n in seen.most_common(8))
        raise SourceError(
            f"{self.name}: looked for {self.looked_for} under {self.files.folder}; found {found or 'no files'}"
        )


@dataclass(frozen=True)
class LocalSource(PathSource):
    """A source whose files must lie on this machine, in a folder."""

    @classmethod
    def from_text(cls, path: str, options: dict[str, str]) -> "PathSource":
        if is_url(path):
            raise SourceError(f"{cls.name}: reads files of this machine alone, got {path}; copy or mount it")
        return super().from_text(path, options)


def parse_source(text: str) -> tuple[str, str, dict[str, str]]:
    """Split `layout:path?name=value&...` into its parts; where no layout is named, the path's suffix tells it."""
    place, _, query = text.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    named = re.fullmatch(r"([\w-]{2,}):(?!//)(.*)", place, re.DOTALL)
    if named:
        return named[1], named[2], options
    if place == "synthetic":
        return place, "", options
    return BY_SUFFIX.get(os.path.splitext(place)[1].lower(), "folder"), place, options


def _convert(value: str, kind: Any) -> Any:
    """An option's text as the type of its field."""
    if kind is float:
        return float(value)
    if kind == tuple[float, ...]:
        return tuple(float(v) for v in value.split(","))
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise ValueError(f"expected one of {', '.join(get_args(kind))}; got {value!r}")
    if kind == Intrinsics | None:
        numbers = [float(v) for v in value.split(",")]
        if len(numbers) != 4:
            raise ValueError(f"intrinsics are four numbers fx,fy,cx,cy; got {value!r}")
        return Intrinsics(*numbers)
    return value


def _to_text(value: Any) -> str:
    """A default as it would be written in a SOURCE text."""
    if isinstance(value, Intrinsics):
        value = (value.fx, value.fy, value.cx, value.cy)
    if isinstance(value, tuple):
        return ",".join(map(_to_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
