"""Depth from several pictures of a scene: MegaDepth, Middlebury."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from spatial_ssrl.errors import SceneError
from spatial_ssrl.scene import Depth, DepthUnit, Intrinsics, read_depth
from spatial_ssrl.sources.base import IMAGE_SUFFIXES
from spatial_ssrl.sources.pairs import Pair, PairSource, find, split


@dataclass(frozen=True)
class MegaDepth(PairSource):
    """MegaDepth: `imgs/NAME.jpg` with `depths/NAME.h5`, key `depth`.

    unit          none: scale is unknown, and another one in every scene
    invalid       0; negative values are ordinal labels (foreground, background), not depths
    registration  depth is of the picture's pixels
    intrinsics    in the SfM models, which are another download
    source        https://www.cs.cornell.edu/projects/megadepth/
    """

    name: ClassVar[str] = "megadepth"
    unit: ClassVar[DepthUnit | None] = "relative"
    looked_for: ClassVar[str] = "imgs/NAME.jpg with depths/NAME.h5"
    extra: ClassVar[str | None] = "hdf5"

    def pair(self, names: list[str]) -> Iterable[Pair]:
        for around, stem, name in find(names, "imgs", *IMAGE_SUFFIXES):
            yield name, os.path.join(around, "depths", f"{stem}.h5")

    def read(self, name: str) -> Depth:
        return read_depth(self.files.path(name), key="depth")


@dataclass(frozen=True)
class Middlebury(PairSource):
    """Middlebury stereo of 2014 and 2021: `SCENE/im0.png` with `disp0.pfm` (or .npz, key arr_0) and `calib.txt`.

    unit          disparity d in pixels, float32; metres = baseline / 1000 * f / (d + doffs)
    invalid       inf
    registration  disparity is of the left picture, im0
    intrinsics    cam0=[f 0 cx; 0 f cy; 0 0 1], doffs and baseline (millimetres) in calib.txt; where it is missing,
                  options of the same names
    source        https://vision.middlebury.edu/stereo/data/scenes2014/
    """

    baseline: float = 0.0
    """Distance between the cameras, millimetres."""
    doffs: float = 0.0
    """Difference between the principal points, pixels."""

    name: ClassVar[str] = "middlebury"
    looked_for: ClassVar[str] = "im0.png with disp0.pfm (or disp0.npz) and calib.txt"

    def pair(self, names: list[str]) -> Iterable[Pair]:
        there = set(names)
        for name in names:
            folder, stem, suffix = split(name)
            if stem == "im0" and suffix.lower() in IMAGE_SUFFIXES:
                places = (os.path.join(folder, f"disp0{kind}") for kind in (".pfm", ".npz"))
                yield name, next((place for place in places if place in there), None)

    def read(self, name: str) -> Depth:
        disparity = read_depth(self.files.path(name), invalid=(), key="arr_0")
        camera, baseline, doffs = self._calibration(os.path.dirname(name))
        if camera is None or not baseline:
            raise SceneError("no calib.txt", f"{name}: needs it, or the options intrinsics, baseline, doffs")
        return (baseline / 1000 * camera.fx / (disparity + doffs)).astype(disparity.dtype)

    def camera(self, name: str) -> Intrinsics | None:
        return self._calibration(os.path.dirname(name))[0]

    def _calibration(self, folder: str) -> tuple[Intrinsics | None, float, float]:
        """Left camera, baseline in millimetres and doffs of a scene."""
        name = os.path.join(folder, "calib.txt")
        if self.intrinsics or not self.files.path(name).exists():
            return self.intrinsics, self.baseline, self.doffs
        try:
            lines = dict(line.split("=", 1) for line in self.files.read(name).decode().splitlines() if "=" in line)
            f, _, cx, _, fy, cy, *_ = (float(v) for v in lines["cam0"].strip("[] ").replace(";", " ").split())
            return Intrinsics(f, fy, cx, cy), float(lines["baseline"]), float(lines["doffs"])
        except (ValueError, KeyError) as error:
            raise SceneError("unreadable calib.txt", f"{name}: {error}") from None
