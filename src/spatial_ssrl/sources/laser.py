"""Depth from laser scanners: DIODE, KITTI, ARKitScenes."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from spatial_ssrl.errors import SceneError
from spatial_ssrl.scene import Depth, Intrinsics, read_depth
from spatial_ssrl.sources.pairs import Pair, PairSource, by_time, fill_gaps, find, nearest, split, to_camera


@dataclass(frozen=True)
class Diode(PairSource):
    """DIODE: `NAME.png` (1024x768) with `NAME_depth.npy` and `NAME_depth_mask.npy`.

    unit          metres, float32, h x w x 1
    invalid       mask 0
    registration  depth is of the picture's pixels
    intrinsics    not with the data; the devkit gives 886.81 927.06 512 384, of which none is assumed here
    source        https://diode-dataset.org, https://github.com/diode-dataset/diode-devkit
    """

    name: ClassVar[str] = "diode"
    looked_for: ClassVar[str] = "NAME.png with NAME_depth.npy and NAME_depth_mask.npy"

    def pair(self, names: list[str]) -> Iterable[Pair]:
        pictures = (os.path.splitext(name) for name in names)
        return [(stem + suffix, f"{stem}_depth.npy") for stem, suffix in pictures if suffix.lower() == ".png"]

    def read(self, name: str) -> Depth:
        path = self.files.path(name)
        depth, valid = read_depth(path), read_depth(path.with_name(f"{path.stem}_mask.npy"))
        if valid.shape != depth.shape:
            raise SceneError("unreadable depth", f"{path.name}: mask {valid.shape}, depth {depth.shape}")
        return np.where(np.isnan(valid), np.float32(np.nan), depth)


@dataclass(frozen=True)
class Kitti(PairSource):
    """KITTI depth: pictures of the raw data with the annotated depth maps, or the selection of the benchmark.

    layout        DRIVE/image_02/data/0000000005.png with DRIVE/proj_depth/groundtruth/image_02/0000000005.png, anywhere
                  below the root (cameras 02 and 03), or image/NAME.png with groundtruth_depth/NAME.png, where `_image_`
                  in the name is `_groundtruth_depth_`
    unit          16 bit, value / 256 = metres
    invalid       0; one pixel in five has a reading (11 scans put together); gaps between readings that agree are filled,
                  see `fill_gaps`, since tasks ask for regions without gaps
    registration  readings are projected into the rectified picture
    intrinsics    3x3 in intrinsics/NAME.txt of the selection; P_rect_02 and 03 in calib_cam_to_cam.txt of the raw data
    source        development kit of https://www.cvlibs.net/datasets/kitti/eval_depth.php
    """

    name: ClassVar[str] = "kitti"
    looked_for: ClassVar[str] = (
        "DRIVE/image_02/data/FRAME.png with DRIVE/proj_depth/groundtruth/image_02/FRAME.png, "
        "or image/NAME.png with groundtruth_depth/NAME.png"
    )

    def pair(self, names: list[str]) -> Iterable[Pair]:
        drives = {m.groups(): m[0] for m in map(_GROUNDTRUTH.fullmatch, names) if m}
        selected = {(around, stem): name for around, stem, name in find(names, "groundtruth_depth", ".png")}
        for name in names:
            if frame := _FRAME.fullmatch(name):
                yield name, drives.get(frame.groups())
        for around, stem, name in find(names, "image", ".png"):
            yield name, selected.get((around, stem.replace("_image_", "_groundtruth_depth_", 1)))

    def read(self, name: str) -> Depth:
        return fill_gaps(read_depth(self.files.path(name), scale=256))

    def camera(self, name: str) -> Intrinsics | None:
        if self.intrinsics:
            return self.intrinsics
        if frame := _FRAME.fullmatch(name):
            return self._rectified(name, frame[2].removeprefix("image_"))
        folder, stem, _ = split(name)
        return self.read_camera(os.path.join(os.path.dirname(folder), "intrinsics", f"{stem}.txt"))

    def _rectified(self, name: str, camera: str) -> Intrinsics | None:
        """The camera of a raw picture DATE/DRIVE/image_02/data/FRAME.png, from DATE/calib_cam_to_cam.txt."""
        date = os.path.normpath(os.path.join(name, "..", "..", "..", ".."))
        try:
            text = self.files.read(os.path.join(date, "calib_cam_to_cam.txt")).decode()
            return to_camera(text.partition(f"P_rect_{camera}:")[2].split("\n")[0])
        except (SceneError, ValueError):
            return None


_FRAME = re.compile(r"(?:.*/)?([^/]+)/(image_0[23])/data/(\d+)\.(?:png|jpg)")
_GROUNDTRUTH = re.compile(r"(?:.*/)?([^/]+)/proj_depth/groundtruth/(image_0[23])/(\d+)\.png")
FOLDERS = ("wide", "vga_wide", "lowres_wide")


@dataclass(frozen=True)
class ArkitScenes(PairSource):
    """ARKitScenes: `wide`, `vga_wide` or `lowres_wide/VIDEO_TIME.png` with `lowres_depth/VIDEO_TIME.png`.

    unit          16 bit, millimetres; 256x192 beside pictures of 1920x1440, 640x480 or 256x192
    invalid       0; confidence 0 of 0, 1, 2 in confidence/VIDEO_TIME.png, where there is one
    registration  depth is of the picture's camera, scaled: the nearest pixel's reading is taken, so edges keep the
                  depth map's coarseness. A picture, the largest kind there is, goes with the depth map nearest in time
    intrinsics    FOLDER_intrinsics/VIDEO_TIME.pincam (width height fx fy cx cy), whose time may differ by 1 ms
    source        https://github.com/apple/ARKitScenes/blob/main/DATA.md
    """

    depth: Literal["lowres_depth", "highres_depth"] = "lowres_depth"
    """highres_depth is the laser scan, 1920x1440, of the upsampling subset."""
    max_difference: float = 0.01

    name: ClassVar[str] = "arkitscenes"
    looked_for: ClassVar[str] = "wide, vga_wide or lowres_wide/VIDEO_TIME.png with lowres_depth/VIDEO_TIME.png"

    def pair(self, names: list[str]) -> Iterable[Pair]:
        depths = by_time(find(names, self.depth, ".png"))
        pictures: dict[str, list[tuple[float, str]]] = defaultdict(list)
        for folder in reversed(FOLDERS):
            pictures.update(by_time(find(names, folder, ".png")))
        for around in sorted(pictures):
            for time, name in pictures[around]:
                yield name, nearest(time, depths[around], self.max_difference)

    def read(self, name: str) -> Depth:
        depth = read_depth(self.files.path(name), scale=1000)
        folder, stem, _ = split(name)
        confidence = self.files.path(os.path.join(os.path.dirname(folder), "confidence", f"{stem}.png"))
        if self.depth != "lowres_depth" or not confidence.exists():
            return depth
        known = read_depth(confidence)
        if known.shape != depth.shape:
            raise SceneError("unreadable depth", f"{stem}: confidence {known.shape}, depth {depth.shape}")
        return np.where(np.isnan(known), np.float32(np.nan), depth)

    def camera(self, name: str) -> Intrinsics | None:
        folder, stem, _ = split(name)
        video, _, time = stem.rpartition("_")
        near = (stem, *(f"{video}_{float(time) + step:.3f}" for step in (-0.001, 0.001)))
        cameras = (self._pincam(os.path.join(f"{folder}_intrinsics", f"{stamp}.pincam")) for stamp in near)
        return self.intrinsics or next(filter(None, cameras), None)

    def _pincam(self, name: str) -> Intrinsics | None:
        try:
            return Intrinsics(*map(float, self.files.read(name).split()[2:6]))
        except (SceneError, ValueError, TypeError):
            return None
