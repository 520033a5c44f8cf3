"""The contract of a source, and the text form by which a user names one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from spatial_ssrl.errors import SourceError
from spatial_ssrl.scene import Intrinsics, Scene

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class Source(ABC):
    """A finite list of scenes, each known by a key and loaded on demand, in any process."""

    name: ClassVar[str]
    """Layout name, as in `layout:path`."""
    has_depth: ClassVar[bool]

    @abstractmethod
    def list_keys(self) -> Sequence[str]:
        """Keys of the scenes, sorted. Raises SourceError, naming what was looked for, when there are none."""

    def file(self, key: str) -> Path | None:
        """The picture's file; None where the picture is rendered."""
        return None

    @abstractmethod
    def load(self, key: str, with_depth: bool = True) -> Scene:
        """The scene of a key, without its depth unless asked for. Raises SceneError when its files cannot be used."""


@dataclass(frozen=True)
class PathSource(Source):
    """A source that reads files under a root folder."""

    root: Path

    @classmethod
    def from_text(cls, path: str, options: dict[str, str]) -> "PathSource":
        """Build from the path and the options of a SOURCE text. Raises SourceError."""
        root = Path(path).expanduser()
        if not root.exists():
            raise SourceError(f"{cls.name}: no such file or folder: {path}")
        known = {f.name: f.type for f in fields(cls) if f.name != "root"}
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise SourceError(f"{cls.name}: unknown option {unknown[0]!r}; known: {', '.join(known) or 'none'}")
        try:
            return cls(root, **{name: _convert(value, known[name]) for name, value in options.items()})
        except ValueError as error:
            raise SourceError(f"{cls.name}: {error}") from None

    def file(self, key: str) -> Path | None:
        return (self.root.parent if self.root.is_file() else self.root) / key

    def find(self, suffixes: tuple[str, ...]) -> list[Path]:
        """Files under the root with one of these suffixes, at any depth, links to folders not followed."""
        if self.root.is_file():
            return [self.root]
        return sorted(p for p in self.root.rglob("*") if p.suffix.lower() in suffixes and p.is_file())

    def require(self, keys: list[str], looked_for: str) -> list[str]:
        """The keys, or a SourceError that says what was looked for and what is there."""
        if keys:
            return keys
        seen = sorted({p.suffix or p.name for p in self.root.rglob("*") if p.is_file()})[:8]
        raise SourceError(f"{self.name}: looked for {looked_for} under {self.root}; found {', '.join(seen) or 'no files'}")


def parse_source(text: str) -> tuple[str, str, dict[str, str]]:
    """Split `layout:path?name=value&...` into its parts; the layout is "folder" where none is named."""
    place, _, query = text.partition("?")
    layout, colon, path = place.partition(":")
    named = bool(colon) and layout.isidentifier() and len(layout) > 1
    if not named:
        layout, path = ("synthetic", "") if place == "synthetic" else ("folder", place)
    return layout, path, dict(parse_qsl(query, keep_blank_values=True))


def _convert(value: str, kind: Any) -> Any:
    """An option's text as the type of its field."""
    if kind is float:
        return float(value)
    if kind == tuple[float, ...]:
        return tuple(float(v) for v in value.split(","))
    if kind == Intrinsics | None:
        numbers = [float(v) for v in value.split(",")]
        if len(numbers) != 4:
            raise ValueError(f"intrinsics are four numbers fx,fy,cx,cy; got {value!r}")
        return Intrinsics(*numbers)
    return value
