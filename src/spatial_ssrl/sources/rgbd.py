"""Pictures with depth: the layouts of DIODE, MegaDepth and TUM RGB-D, and pairs matched by globs.

Every reader returns depth along the camera axis, NaN where there is no reading, of the picture's
size; depth of another size but the same shape is brought to it by nearest neighbour.
"""

import re
from abc import abstractmethod
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from spatial_ssrl.errors import SceneError, SourceError
from spatial_ssrl.scene import RGB, Depth, DepthUnit, Intrinsics, Scene, read_depth, read_rgb, resize_depth
from spatial_ssrl.sources.base import IMAGE_SUFFIXES, PathSource

ROS_INTRINSICS = Intrinsics(525.0, 525.0, 319.5, 239.5)
SAME_SHAPE = 0.02
"""Aspect ratios of picture and depth may differ by this share, as rounding of sizes does."""


@dataclass(frozen=True)
class PairSource(PathSource):
    """Pictures that each have a depth file beside them; a layout says which, and how it is stored."""

    intrinsics: Intrinsics | None = None
    """fx, fy, cx, cy in pixels of the pictures as stored."""

    has_depth: ClassVar[bool] = True
    unit: ClassVar[DepthUnit] = "metre"
    looked_for: ClassVar[str]

    @cached_property
    def pairs(self) -> dict[str, Path | None]:
        """Depth file of each picture, by the picture's path relative to the root; None where it is missing."""
        return {str(p.relative_to(self.root)): d for p, d in self.find_pairs()}

    @abstractmethod
    def find_pairs(self) -> list[tuple[Path, Path | None]]:
        """Pictures and their depth files, sorted by picture."""

    @abstractmethod
    def read(self, path: Path) -> Depth:
        """Decode a depth file."""

    def list_keys(self) -> Sequence[str]:
        if self.root.is_file():
            raise SourceError(f"{self.name}: {self.root} is a file; expected a folder with {self.looked_for}")
        return self.require(list(self.pairs), self.looked_for)

    def load(self, key: str, with_depth: bool = True) -> Scene:
        path = self.pairs.get(key)
        if path is None or not path.is_file():
            raise SceneError("no depth file", key)
        rgb = read_rgb(self.root / key)
        depth = _to_size(self.read(path), rgb) if with_depth else None
        return Scene(rgb, depth, self.unit, self.intrinsics, (self.name, key))


def _to_size(depth: Depth, rgb: RGB) -> Depth:
    height, width = rgb.shape[:2]
    if depth.shape == (height, width):
        return depth
    if abs(depth.shape[1] / depth.shape[0] * height / width - 1) > SAME_SHAPE:
        raise SceneError("depth of another shape", f"picture {height, width}, depth {depth.shape}")
    return resize_depth(depth, (width, height))


@dataclass(frozen=True)
class Diode(PairSource):
    """DIODE: `NAME.png` with `NAME_depth.npy` (metres, h x w x 1) and `NAME_depth_mask.npy` (1 = valid)."""

    name: ClassVar[str] = "diode"
    looked_for: ClassVar[str] = "NAME.png with NAME_depth.npy and NAME_depth_mask.npy"

    def find_pairs(self) -> list[tuple[Path, Path | None]]:
        return [(p, _if_file(p.with_name(f"{p.stem}_depth.npy"))) for p in self.find((".png",))]

    def read(self, path: Path) -> Depth:
        depth = read_depth(path)
        valid = read_depth(path.with_name(f"{path.stem}_mask.npy"))
        if valid.shape != depth.shape:
            raise SceneError("unreadable depth", f"{path.name}: mask {valid.shape}, depth {depth.shape}")
        return np.where(np.isnan(valid), np.float32(np.nan), depth)


@dataclass(frozen=True)
class MegaDepth(PairSource):
    """MegaDepth: `imgs/NAME.jpg` with `../depths/NAME.h5`, key `depth`, unknown scale.

    0 means no reading and negative values are ordinal labels; both become NaN.
    """

    name: ClassVar[str] = "megadepth"
    unit: ClassVar[DepthUnit] = "relative"
    looked_for: ClassVar[str] = "imgs/NAME.jpg with depths/NAME.h5"

    def find_pairs(self) -> list[tuple[Path, Path | None]]:
        pictures = [p for p in self.find(IMAGE_SUFFIXES) if p.parent.name == "imgs"]
        return [(p, _if_file(p.parent.parent / "depths" / f"{p.stem}.h5")) for p in pictures]

    def read(self, path: Path) -> Depth:
        return read_depth(path, key="depth")


@dataclass(frozen=True)
class Tum(PairSource):
    """TUM RGB-D: `rgb/*.png` and `depth/*.png` (16 bit, value / 5000 metres, 0 = no reading).

    A picture goes with the depth map nearest in time, at most `max_difference` seconds away; file
    names are the time stamps. Default intrinsics are those of the benchmark's own ROS recordings.
    """

    intrinsics: Intrinsics | None = ROS_INTRINSICS
    max_difference: float = 0.02

    name: ClassVar[str] = "tum"
    looked_for: ClassVar[str] = "rgb/TIMESTAMP.png with depth/TIMESTAMP.png"

    def find_pairs(self) -> list[tuple[Path, Path | None]]:
        pictures = [p for p in self.find((".png",)) if p.parent.name == "rgb" and _time(p) is not None]
        depths = {folder: _by_time(folder.parent / "depth") for folder in {p.parent for p in pictures}}
        return [(p, self._nearest(p, depths[p.parent])) for p in pictures]

    def _nearest(self, picture: Path, depths: list[tuple[float, Path]]) -> Path | None:
        time = _time(picture) or 0.0
        at = bisect(depths, (time,))
        near = min(depths[max(0, at - 1) : at + 1], key=lambda d: abs(d[0] - time), default=None)
        return near[1] if near and abs(near[0] - time) <= self.max_difference else None

    def read(self, path: Path) -> Depth:
        return read_depth(path, scale=5000)


@dataclass(frozen=True)
class Pairs(PairSource):
    """Any other layout: two globs relative to the root, matched by what their wildcards stand for.

    `pairs:PATH?image=color/*.png&depth=depth/*.pgm&scale=1000&invalid=0,65535&intrinsics=fx,fy,cx,cy`
    """

    image: str = "image/*"
    depth: str = "depth/*"
    """Globs; `*` stands for any text within a name, `**/` for any folders."""
    scale: float = 1000.0
    """Stored depth / scale = metres."""
    invalid: tuple[float, ...] = (0.0,)
    """Stored values that mean no reading."""
    key: str = "depth"
    """Name of the array in .npz and .h5 files."""

    name: ClassVar[str] = "pairs"
    looked_for: ClassVar[str] = "files that match the globs `image` and `depth`"

    def find_pairs(self) -> list[tuple[Path, Path | None]]:
        depths = dict(self._matches(self.depth))
        return [(path, depths.get(match)) for match, path in self._matches(self.image)]

    def _matches(self, glob: str) -> list[tuple[tuple[str, ...], Path]]:
        """Files that a glob names, each with the texts that its wildcards stand for."""
        pieces = re.split(r"(\*\*/|\*)", glob)
        wild = {"**/": r"((?:.*/)?)", "*": r"([^/]*)"}
        pattern = re.compile("".join(wild.get(piece) or re.escape(piece) for piece in pieces))
        files = sorted(p for p in self.root.rglob("*") if p.is_file())
        found = ((pattern.fullmatch(p.relative_to(self.root).as_posix()), p) for p in files)
        return [(_stems(match.groups()), p) for match, p in found if match]

    def read(self, path: Path) -> Depth:
        return read_depth(path, scale=self.scale, invalid=self.invalid, key=self.key)


def _stems(groups: tuple[str, ...]) -> tuple[str, ...]:
    """Wildcard texts, the last without a file suffix: `image/*` and `depth/*` match 1.jpg with 1.png."""
    return (*groups[:-1], Path(groups[-1]).stem) if groups and groups[-1] else groups


def _if_file(path: Path) -> Path | None:
    return path if path.is_file() else None


def _time(path: Path) -> float | None:
    try:
        return float(path.stem)
    except ValueError:
        return None


def _by_time(folder: Path) -> list[tuple[float, Path]]:
    return sorted((t, p) for p in folder.glob("*.png") if (t := _time(p)) is not None)
