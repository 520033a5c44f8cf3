"""Indoor scenes from structured-light and time-of-flight cameras: TUM, 7-Scenes, ScanNet, SUN RGB-D, NYU Depth v2."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from spatial_ssrl.errors import MissingExtraError, SceneError, SourceError
from spatial_ssrl.scene import RGB, Depth, DepthUnit, Intrinsics, Scene, read_depth
from spatial_ssrl.sources.base import IMAGE_SUFFIXES, LocalSource
from spatial_ssrl.sources.files import Span
from spatial_ssrl.sources.pairs import Pair, PairSource, by_time, find, look_up, nearest, project, split, time_of

KINECT_COLOUR = Intrinsics(525.0, 525.0, 319.5, 239.5)
"""Defaults of the ROS driver for the colour camera of a Kinect v1."""
KINECT_DEPTH = Intrinsics(585.0, 585.0, 320.0, 240.0)
SEVEN_SCENES_COLOUR = Intrinsics(525.0, 525.0, 320.0, 240.0)
KINECT_SHIFT = -0.025
"""From the depth camera of a Kinect v1 to its colour camera, metres along x of the points."""


@dataclass(frozen=True)
class Tum(PairSource):
    """TUM RGB-D: `rgb/TIME.png` and `depth/TIME.png`, 640x480.

    unit          16 bit, value / 5000 = metres
    invalid       0
    registration  depth is aligned with the picture by the driver; a picture goes with the depth map nearest in time, at
                  most `max_difference` seconds away; rgb.txt and depth.txt say no more than the file names
    intrinsics    those of the ROS driver, with which the recordings were aligned, unless others are given
    source        https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats
    """

    intrinsics: Intrinsics | None = KINECT_COLOUR
    max_difference: float = 0.02

    name: ClassVar[str] = "tum"
    looked_for: ClassVar[str] = "rgb/TIME.png with depth/TIME.png"

    def pair(self, names: list[str]) -> Iterable[Pair]:
        depths = by_time(find(names, "depth", ".png"))
        for around, stem, name in find(names, "rgb", ".png"):
            if (time := time_of(stem)) is not None:
                yield name, nearest(time, depths[around], self.max_difference)

    def read(self, name: str) -> Depth:
        return read_depth(self.files.path(name), scale=5000)


@dataclass(frozen=True)
class SevenScenes(PairSource):
    """7-Scenes: `seq-01/frame-000000.color.png` with `frame-000000.depth.png`, 640x480.

    unit          16 bit, millimetres
    invalid       0 and 65535
    registration  none in the files: depth is of the depth camera (focal length 585), which is 25 mm beside the colour
                  camera (525) of a Kinect v1; readings are projected into the picture. On the frames in
                  tests/sources/test_layouts.py edges of depth then meet edges of the picture far better
    intrinsics    525 525 320 240, nominal: the colour camera was not calibrated
    source        https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes/
    """

    intrinsics: Intrinsics | None = SEVEN_SCENES_COLOUR

    name: ClassVar[str] = "7scenes"
    looked_for: ClassVar[str] = "frame-NUMBER.color.png (or jpg) with frame-NUMBER.depth.png"

    def pair(self, names: list[str]) -> Iterable[Pair]:
        for name in names:
            folder, stem, suffix = split(name)
            if stem.endswith(".color") and suffix.lower() in IMAGE_SUFFIXES:
                yield name, os.path.join(folder, stem.removesuffix("color") + "depth.png")

    def read(self, name: str) -> Depth:
        depth = read_depth(self.files.path(name), scale=1000, invalid=(0, 65535))
        assert self.intrinsics is not None
        return project(depth, KINECT_DEPTH, self.intrinsics, KINECT_SHIFT, depth.shape[::-1])


@dataclass(frozen=True)
class ScanNet(PairSource):
    """ScanNet as SensReader exports it, and its 25k frames: `color/0.jpg` (1296x968) with `depth/0.png` (640x480).

    unit          16 bit, millimetres
    invalid       0
    registration  both cameras look from the same place; a pixel of the picture takes the reading on its ray, by the
                  intrinsics of both where there are, by shape where not
    intrinsics    4x4 in intrinsic/intrinsic_color.txt and intrinsic_depth.txt, or intrinsics_*.txt beside color/
    source        https://github.com/ScanNet/ScanNet/tree/master/SensReader/python
    """

    name: ClassVar[str] = "scannet"
    looked_for: ClassVar[str] = "color/NUMBER.jpg with depth/NUMBER.png"

    def pair(self, names: list[str]) -> Iterable[Pair]:
        for around, stem, name in find(names, "color", ".jpg", ".png"):
            yield name, os.path.join(around, "depth", f"{stem}.png")

    def read(self, name: str) -> Depth:
        return read_depth(self.files.path(name), scale=1000)

    def camera(self, name: str) -> Intrinsics | None:
        return self.intrinsics or self._stored(name, "color")

    def _stored(self, name: str, kind: str) -> Intrinsics | None:
        around = os.path.dirname(os.path.dirname(name))
        places = (f"intrinsic/intrinsic_{kind}.txt", f"intrinsics_{kind}.txt")
        return next(filter(None, (self.read_camera(os.path.join(around, place)) for place in places)), None)

    def fit(self, depth: Depth, key: str, size: tuple[int, int]) -> Depth:
        colour, camera = self._stored(key, "color"), self._stored(key, "depth")
        if colour is None or camera is None:
            return super().fit(depth, key, size)
        return look_up(depth, camera, colour, size)


@dataclass(frozen=True)
class SunRgbd(PairSource):
    """SUN RGB-D: `SENSOR/.../SCENE/image/*.jpg` with `depth/*.png` of the same name, or the only one there.

    unit          16 bit, rotated by three bits: m = (v >> 3) | (v << 13), millimetres
    invalid       0; above 8 m, where the toolbox cuts, nothing is known. `depth_bfx` is filled in and not used
    registration  depth is aligned with the picture
    intrinsics    3x3 in SCENE/intrinsics.txt
    source        https://rgbd.cs.princeton.edu, SUNRGBDtoolbox/readData/read3dPoints.m
    """

    name: ClassVar[str] = "sunrgbd"
    looked_for: ClassVar[str] = "image/NAME.jpg with depth/NAME.png"
    max_metres: ClassVar[float] = 8.0

    def pair(self, names: list[str]) -> Iterable[Pair]:
        depths: dict[str, dict[str, str]] = defaultdict(dict)
        for around, stem, name in find(names, "depth", ".png"):
            depths[around][stem] = name
        for around, stem, name in find(names, "image", *IMAGE_SUFFIXES):
            only = next(iter(depths[around].values()), None) if len(depths[around]) == 1 else None
            yield name, depths[around].get(stem, only)

    def read(self, name: str) -> Depth:
        stored = np.nan_to_num(read_depth(self.files.path(name))).astype(np.uint16)
        metres = (stored >> 3 | stored << 13).astype(np.float32) / 1000
        return np.where((metres > 0) & (metres <= self.max_metres), metres, np.float32(np.nan))

    def camera(self, name: str) -> Intrinsics | None:
        around = os.path.dirname(os.path.dirname(name))
        return self.intrinsics or self.read_camera(os.path.join(around, "intrinsics.txt"))


NYU_ROWS, NYU_COLUMNS = slice(44, 471), slice(40, 601)
"""Where depth was projected to (get_projection_mask.m of the toolbox); the frame around it is white or without depth."""
NYU_COLOUR = Intrinsics(518.857901, 519.469611, 325.582449, 253.736166)
"""camera_params.m of the toolbox, for 640x480."""


def _cut_nyu(rgb: RGB, depth: Depth | None, camera: Intrinsics | None, origin: tuple[str, str]) -> Scene:
    """A 640x480 scene less the frame without depth."""
    if rgb.shape != (480, 640, 3):
        raise SceneError("not of NYU Depth v2", f"picture {rgb.shape[:2]}, expected {(480, 640)}")
    inner = None if camera is None else Intrinsics(camera.fx, camera.fy, camera.cx - 40, camera.cy - 44)
    cut = None if depth is None else np.ascontiguousarray(depth[NYU_ROWS, NYU_COLUMNS])
    return Scene(np.ascontiguousarray(rgb[NYU_ROWS, NYU_COLUMNS]), cut, "metre", inner, origin)


@dataclass(frozen=True)
class Nyu(LocalSource):
    """NYU Depth v2, `nyu_depth_v2_labeled.mat` (MATLAB v7.3, that is HDF5): 1,449 scenes in one file.

    layout        `images` uint8, `rawDepths` and `depths` float32; MATLAB's axes h x w x 3 x n arrive reversed, as
                  n x 3 x w x h
    unit          metres
    invalid       0; 10 and more, where the toolbox clips. `depths` is `rawDepths` with its gaps filled in by
                  colourisation, that is, guessed; it is read only when asked for
    registration  depth is projected into the picture; scenes are cut to the 561x427 px where it was
    intrinsics    518.857901 519.469611 325.582449 253.736166 of the uncut picture
    source        https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html and its toolbox
    """

    depth: Literal["rawDepths", "depths"] = "rawDepths"
    intrinsics: Intrinsics | None = NYU_COLOUR

    name: ClassVar[str] = "nyu"
    unit: ClassVar[DepthUnit | None] = "metre"
    looked_for: ClassVar[str] = "nyu_depth_v2_labeled.mat with images and rawDepths"
    extra: ClassVar[str | None] = "hdf5"

    def list_keys(self) -> Sequence[str]:
        wanted = self.files.only or "nyu_depth_v2_labeled.mat"
        names = [name for name in self.files.list() if os.path.basename(name) == wanted]
        return self.require([f"{name}#{i:04d}" for name in names for i in self._count(name)])

    def _count(self, name: str) -> range:
        """Scenes of a file. Raises SourceError when it is another."""
        try:
            with _open_h5(self.files.path(name)) as file:
                shapes = {key: getattr(file[key], "shape", ()) for key in file}
        except OSError as error:
            raise SourceError(f"{self.name}: {name} is no HDF5 (MATLAB v7.3) file: {error}") from None
        (n, *_) = shapes.get("images") or (0,)
        expected = {"images": (n, 3, 640, 480), self.depth: (n, 640, 480)}
        if not expected.items() <= shapes.items():
            raise SourceError(f"{self.name}: looked for {expected} in {name}; found {shapes}")
        return range(n)

    def span(self, key: str) -> Span | None:
        return None

    def load(self, key: str, with_depth: bool = True, max_side: int | None = None) -> Scene:
        name, _, number = key.rpartition("#")
        try:
            with _open_h5(self.files.path(name)) as file:
                rgb = file["images"][int(number)].transpose(2, 1, 0)
                depth = file[self.depth][int(number)].T if with_depth else None
        except (OSError, KeyError, ValueError) as error:
            raise SceneError("unreadable file", f"{key}: {error}") from None
        if depth is not None:
            depth = np.where((depth > 0) & (depth < 10), depth, np.nan).astype(np.float32)
        return _cut_nyu(rgb, depth, self.intrinsics, self.origin(key))


@dataclass(frozen=True)
class NyuSync(PairSource):
    """NYU Depth v2 as PNG: `rgb_00045.jpg` with `sync_depth_00045.png`, 640x480, what depth estimators train on.

    unit          16 bit, millimetres
    invalid       0
    registration  as in the .mat file: aligned, cut to 561x427 px; the raw dumps (r-*.ppm, d-*.pgm) are not, and not read
    intrinsics    as in the .mat file
    source        extract_official_train_test_set_from_mat.py of BTS, https://github.com/cleinc/bts
    """

    intrinsics: Intrinsics | None = NYU_COLOUR

    name: ClassVar[str] = "nyu-sync"
    looked_for: ClassVar[str] = "rgb_NUMBER.jpg (or png) with sync_depth_NUMBER.png"

    def pair(self, names: list[str]) -> Iterable[Pair]:
        for name in names:
            folder, stem, suffix = split(name)
            if stem.startswith("rgb_") and suffix.lower() in IMAGE_SUFFIXES:
                yield name, os.path.join(folder, f"sync_depth_{stem.removeprefix('rgb_')}.png")

    def read(self, name: str) -> Depth:
        return read_depth(self.files.path(name), scale=1000)

    def load(self, key: str, with_depth: bool = True, max_side: int | None = None) -> Scene:
        scene = super().load(key, with_depth)
        return _cut_nyu(scene.rgb, scene.depth, scene.intrinsics, scene.origin)


def _open_h5(path: Any) -> Any:
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("h5py", "hdf5") from None
    return h5py.File(path, "r")
