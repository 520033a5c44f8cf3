"""Pictures with a depth file each: what all such layouts share, and the one that two globs describe.

Every reader returns depth along the camera axis, NaN where there is no reading, of the picture's size. Depth of
another size but the same shape is brought to it by nearest neighbour, so that no depth is invented at edges.
"""

import os
import re
from abc import abstractmethod
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from spatial_ssrl.errors import SceneError, SourceError
from spatial_ssrl.scene import Depth, DepthUnit, Intrinsics, Scene, read_depth, resize_depth
from spatial_ssrl.sources.base import LocalSource

SAME_SHAPE = 0.02
"""Aspect ratios of picture and depth may differ by this share, as rounding of sizes does."""
REACH, AGREE = 3, 0.05
"""How far, in pixels, and to what share of their depth readings must agree for a gap among them to be filled."""
Pair = tuple[str, str | None]
"""A picture and its depth file, if any."""


@dataclass(frozen=True)
class PairSource(LocalSource):
    """Pictures that each have a depth file; a layout says which, and how it is stored."""

    intrinsics: Intrinsics | None = None
    """fx, fy, cx, cy in pixels of the pictures as stored."""

    unit: ClassVar[DepthUnit | None] = "metre"

    @cached_property
    def pairs(self) -> dict[str, str | None]:
        """Depth file of each picture, None where it is missing."""
        names = self.files.list()
        there = {None, *names}
        return {picture: depth if depth in there else None for picture, depth in self.pair(names)}

    @abstractmethod
    def pair(self, names: list[str]) -> Iterable[Pair]:
        """Pictures among these files, in their order, and the depth file that each would have."""

    @abstractmethod
    def read(self, name: str) -> Depth:
        """Decode a depth file."""

    def camera(self, name: str) -> Intrinsics | None:
        """The camera of a picture."""
        return self.intrinsics

    def read_camera(self, name: str) -> Intrinsics | None:
        """The camera whose matrix a text file holds; None where there is no such file or it holds something else."""
        try:
            return to_camera(self.files.read(name).decode())
        except (SceneError, ValueError):
            return None

    def fit(self, depth: Depth, key: str, size: tuple[int, int]) -> Depth:
        """Depth at the (width, height) of its picture. Raises SceneError when their shapes differ."""
        width, height = size
        if depth.shape == (height, width):
            return depth
        if abs(depth.shape[1] / depth.shape[0] * height / width - 1) > SAME_SHAPE:
            raise SceneError("depth of another shape", f"picture {height, width}, depth {depth.shape}")
        return resize_depth(depth, (width, height))

    def list_keys(self) -> Sequence[str]:
        if self.files.only:
            raise SourceError(f"{self.name}: {self.files.only} is a file; expected a folder with {self.looked_for}")
        return self.require(list(self.pairs))

    def load(self, key: str, with_depth: bool = True, max_side: int | None = None) -> Scene:
        name = self.pairs[key]
        if name is None:
            raise SceneError("no depth file", key)
        rgb, size = self.read_picture(key, max_side)
        depth = self.fit(self.read(name), key, size) if with_depth else None
        camera = self.camera(key)
        if rgb.shape[1::-1] != size:
            depth = None if depth is None else resize_depth(depth, rgb.shape[1::-1])
            camera = camera and camera.scaled(rgb.shape[1] / size[0], rgb.shape[0] / size[1])
        assert self.unit is not None
        return Scene(rgb, depth, self.unit, camera, self.origin(key))


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

    def pair(self, names: list[str]) -> Iterable[Pair]:
        depths = dict(_matches(self.depth, names))
        return [(name, depths.get(match)) for match, name in _matches(self.image, names)]

    def read(self, name: str) -> Depth:
        return read_depth(self.files.path(name), scale=self.scale, invalid=self.invalid, key=self.key)


def _matches(glob: str, names: list[str]) -> list[tuple[tuple[str, ...], str]]:
    """Files that a glob names, each with the texts that its wildcards stand for."""
    pieces = re.split(r"(\*\*/|\*)", glob)
    wild = {"**/": r"((?:.*/)?)", "*": r"([^/]*)"}
    pattern = re.compile("".join(wild.get(piece) or re.escape(piece) for piece in pieces), re.DOTALL)
    found = ((pattern.fullmatch(name), name) for name in names)
    return [(_stems(match.groups()), name) for match, name in found if match]


def _stems(groups: tuple[str, ...]) -> tuple[str, ...]:
    """Wildcard texts, the last without a file suffix: `image/*` and `depth/*` match 1.jpg with 1.png."""
    return (*groups[:-1], os.path.splitext(groups[-1])[0]) if groups and groups[-1] else groups


def split(name: str) -> tuple[str, str, str]:
    """Folder, stem and suffix of a name; the folder of `a/b/c.png` is `a/b`."""
    folder, file = os.path.split(name)
    return folder, *os.path.splitext(file)


def find(names: Iterable[str], folder: str, *suffixes: str) -> list[tuple[str, str, str]]:
    """Files in folders of this name, at any depth: the folder around it, the stem, and the name."""
    return [
        (os.path.dirname(place), stem, name)
        for name in names
        for place, stem, suffix in [split(name)]
        if os.path.basename(place) == folder and suffix.lower() in suffixes
    ]


def by_time(found: list[tuple[str, str, str]]) -> dict[str, list[tuple[float, str]]]:
    """What `find` found, sorted by time, for each folder around; stems that are no time are left out."""
    timed: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for around, stem, name in found:
        if (time := time_of(stem)) is not None:
            timed[around].append((time, name))
    for names in timed.values():
        names.sort()
    return timed


def nearest(time: float, timed: list[tuple[float, str]], within: float) -> str | None:
    """Of files sorted by time in seconds, the one nearest to `time` and not farther from it than `within`."""
    at = bisect(timed, (time,))
    found = min(timed[max(0, at - 1) : at + 1], key=lambda item: abs(item[0] - time), default=None)
    return found[1] if found and abs(found[0] - time) <= within else None


def time_of(stem: str) -> float | None:
    """The time stamp that a file's stem is, or ends with after an underscore."""
    try:
        return float(stem.rpartition("_")[2])
    except ValueError:
        return None


def to_camera(text: str) -> Intrinsics:
    """The camera of a matrix of 3x3, 3x4 or 4x4 numbers, row by row. Raises ValueError where there are others."""
    numbers = [float(word) for word in text.split()]
    columns = {9: 3, 12: 4, 16: 4}.get(len(numbers))
    if columns is None:
        raise ValueError(f"{len(numbers)} numbers are no camera matrix")
    return Intrinsics(numbers[0], numbers[columns + 1], numbers[2], numbers[columns + 2])


def project(depth: Depth, camera: Intrinsics, onto: Intrinsics, shift: float, size: tuple[int, int]) -> Depth:
    """Depth seen by one camera as another one sees it that lies beside it and looks the same way.

    Every reading goes to the pixel that it falls on, the nearest one where several do; pixels that none falls on are
    NaN. `shift` is what is added to x, to the right in metres; `size` is width and height of the new map.
    """
    rows, columns = np.nonzero(~np.isnan(depth))
    z = depth[rows, columns]
    x = np.rint((columns - camera.cx) / camera.fx * onto.fx + shift * onto.fx / z + onto.cx).astype(int)
    y = np.rint((rows - camera.cy) / camera.fy * onto.fy + onto.cy).astype(int)
    seen = (x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])
    projected = np.full(size[0] * size[1], np.inf, np.float32)
    np.minimum.at(projected, (y * size[0] + x)[seen], z[seen])
    return np.where(np.isinf(projected), np.float32(np.nan), projected).reshape(size[::-1])


def look_up(depth: Depth, camera: Intrinsics, onto: Intrinsics, size: tuple[int, int]) -> Depth:
    """Depth as a camera at the same place sees it that looks the same way: each pixel takes the reading on its ray.

    `size` is width and height of the new map; pixels whose ray the depth map does not hold are NaN.
    """
    x = np.rint((np.arange(size[0]) - onto.cx) / onto.fx * camera.fx + camera.cx).astype(int)
    y = np.rint((np.arange(size[1]) - onto.cy) / onto.fy * camera.fy + camera.cy).astype(int)
    height, width = depth.shape
    seen = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))
    return np.where(seen, depth[np.clip(y, 0, height - 1)[:, None], np.clip(x, 0, width - 1)], np.float32(np.nan))


def fill_gaps(depth: Depth) -> Depth:
    """Sparse depth less the gaps whose surroundings leave no doubt.

    A pixel without reading gets the middle of the readings around it where each of the four squares of which it is a
    corner, REACH px wide, holds one, and the largest is at most AGREE above the smallest: no edge is filled across.
    """
    lowest, highest = (np.stack(_corners(depth, extreme)) for extreme in (np.fmin, np.fmax))
    low, high = lowest.min(axis=0), highest.max(axis=0)  # NaN where one of the four is empty
    return np.where(np.isnan(depth) & (high <= (1 + AGREE) * low), (low + high) / 2, depth)


def _corners(depth: Depth, extreme: np.ufunc) -> list[Depth]:
    """Smallest or largest reading of each of the four squares at every pixel."""
    above, below = _sweep(depth, extreme), _sweep(depth[::-1], extreme)[::-1]
    return [_sweep(part.T[::step], extreme)[::step].T for part in (above, below) for step in (1, -1)]


def _sweep(depth: Depth, extreme: np.ufunc) -> Depth:
    """Smallest or largest reading of each pixel and the REACH before it in its column."""
    swept = depth.copy()
    for step in range(1, REACH + 1):
        extreme(swept[step:], depth[:-step], out=swept[step:])
    return swept
