"""One picture, with depth and camera where they are known, and the safe decoding of both.

Convention: arrays are (height, width); x runs to the right, y down, z forward from the camera.
Depth is measured along the camera axis; NaN means no reading.
"""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import simplejpeg
import xxhash
from jaxtyping import Float32, UInt8
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from spatial_ssrl.errors import MissingExtraError, SceneError

MIN_SIDE = 64
"""Scenes with a shorter side, in pixels, are refused: labels would not be legible."""

MAX_PIXELS = 89_478_485
"""Larger pictures are refused as decompression bombs (Pillow's own limit, 1 GiB of RGB and alpha)."""

CLOSE = 0.9
"""A JPEG that can be decoded at this share of the wanted size, or more, is not scaled any further."""

ROWS_AVERAGED = 3
"""Rows of pixels, at least, that are averaged into one of a thumbnail where the picture has as many."""

DepthUnit = Literal["metre", "relative"]
Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are outside."""
RGB = UInt8[np.ndarray, "_ _ 3"]
Depth = Float32[np.ndarray, "_ _"]


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole camera: focal lengths and principal point in pixels of the picture they belong to."""

    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def assumed(cls, width: int, height: int) -> "Intrinsics":
        """A camera whose focal length is its longer side (53 degrees), for pictures without one."""
        return cls(max(width, height), max(width, height), width / 2, height / 2)

    def scaled(self, x: float, y: float) -> "Intrinsics":
        """The same camera after the picture was scaled by `x` across and `y` down."""
        return Intrinsics(self.fx * x, self.fy * y, self.cx * x, self.cy * y)


@dataclass(frozen=True, eq=False)
class Scene:
    """What the tasks draw from: `rgb` sRGB with EXIF orientation applied, `depth` of the same size."""

    rgb: RGB
    depth: Depth | None = None
    depth_unit: DepthUnit = "metre"
    intrinsics: Intrinsics | None = None
    origin: tuple[str, str] = ("", "")
    """Name of the source and path relative to it."""

    def __post_init__(self) -> None:
        if self.depth is not None and self.depth.shape != self.rgb.shape[:2]:
            raise SceneError("depth of another size", f"picture {self.rgb.shape[:2]}, depth {self.depth.shape}")

    @cached_property
    def id(self) -> str:
        """Hash of the decoded pixels, 32 hexadecimal digits."""
        h = xxhash.xxh3_128(repr(self.rgb.shape).encode())
        h.update(np.ascontiguousarray(self.rgb).data)
        return h.hexdigest()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.rgb.shape[1], self.rgb.shape[0]

    @cached_property
    def thumbnail(self) -> Callable[[Box, int], RGB]:
        """The part of the picture in a box, averaged down to a square of this side in pixels.

        The last ones are kept, since draws from a scene ask for the same parts again.
        """
        return lru_cache(maxsize=256)(partial(_shrink, self.rgb))

    @cached_property
    def _image(self) -> Image.Image:
        return Image.fromarray(self.rgb)

    def part(self, box: Box, width: int, height: int) -> RGB:
        """The part of the picture in a box, at this size in pixels."""
        left, top, right, bottom = box
        if (right - left, bottom - top) == (width, height):
            return self.rgb[top:bottom, left:right]
        return np.asarray(self._image.resize((width, height), Image.Resampling.HAMMING, box, reducing_gap=1.0))

    def fit(self, max_side: int) -> "Scene":
        """The scene with its longer side at most `max_side` px; depth by nearest neighbour.

        Raises SceneError with reason "too small" for a picture so long that nothing legible is left.
        """
        width, height = self.size
        scale = min(1.0, max_side / max(width, height))
        new = (round(width * scale), round(height * scale))
        if min(new) < MIN_SIDE:
            raise SceneError("too small", f"{new[0]} x {new[1]} when scaled, shorter side under {MIN_SIDE}")
        if scale == 1:
            return self
        rgb = self.part((0, 0, width, height), *new)
        intrinsics = self.intrinsics and self.intrinsics.scaled(new[0] / width, new[1] / height)
        depth = None if self.depth is None else resize_depth(self.depth, new)
        return replace(self, rgb=rgb, depth=depth, intrinsics=intrinsics)


def _shrink(rgb: RGB, box: Box, side: int) -> RGB:
    """The average of a box, of whose rows evenly spaced ones are looked at."""
    left, top, right, bottom = box
    step = max(1, (bottom - top) // (ROWS_AVERAGED * side))
    part = Image.fromarray(rgb[top:bottom:step, left:right])
    return np.asarray(part.resize((side, side), Image.Resampling.BOX, reducing_gap=1.0))


def resize_depth(depth: Depth, size: tuple[int, int]) -> Depth:
    """Depth at `size` = (width, height) by nearest neighbour, so that no depth is invented at edges."""
    height, width = depth.shape
    rows = ((np.arange(size[1]) + 0.5) * height / size[1]).astype(int)
    columns = ((np.arange(size[0]) + 0.5) * width / size[0]).astype(int)
    return depth[rows[:, None], columns]


class Picture(NamedTuple):
    """A decoded picture."""

    rgb: RGB
    size: tuple[int, int]
    """Width and height in pixels that it would have had at its full size."""


def decode_rgb(data: bytes, min_side: int = 1) -> RGB:
    """Decode a picture at its full size, see `decode_picture`."""
    return decode_picture(data, min_side).rgb


def decode_picture(data: bytes, min_side: int = 1, max_side: int | None = None) -> Picture:
    """Decode a picture of any mode to sRGB, first frame, EXIF orientation applied, shorter side at least `min_side` px.

    A JPEG with a longer side above `max_side` is decoded at that many eighths of its size which come close to it.
    Raises SceneError with reason "not a picture", "truncated or damaged", "too many pixels", "too small" or
    "unknown colour mode".
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data)) as image:
                _check_size(image, min_side)
                rgb = _decode_jpeg(data, image.size, max_side) if _is_plain_jpeg(image) else None
                if rgb is not None:
                    return Picture(rgb, image.size)
                whole = _to_rgb(ImageOps.exif_transpose(image))
                return Picture(np.asarray(whole), whole.size)
        except SceneError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise SceneError("too many pixels", str(error)) from None
        except UnidentifiedImageError:
            raise SceneError("not a picture", f"{len(data)} bytes") from None
        except Exception as error:  # decoders of damaged files raise whatever they stumble over
            raise SceneError("truncated or damaged", f"{type(error).__name__}: {error}") from None


def _is_plain_jpeg(image: Image.Image) -> bool:
    """Whether the pixels of a JPEG are what is asked for: no colour profile, nothing to turn."""
    plain = image.format in ("JPEG", "MPO") and image.mode == "RGB" and not _has_profile(image)
    return plain and image.getexif().get(ExifTags.Base.Orientation, 1) == 1


def _has_profile(image: Image.Image) -> bool:
    """Whether there is an embedded colour profile that is not sRGB."""
    return b"sRGB" not in (image.info.get("icc_profile") or b"sRGB")


def _eighths(longer: int, max_side: int | None) -> int:
    """At how many eighths of its size to decode a JPEG with this longer side, so that little or nothing is left to scale."""
    if max_side is None or longer <= max_side:
        return 8
    below = 8 * max_side // longer
    return below if longer * below / 8 >= CLOSE * max_side else below + 1


def _decode_jpeg(data: bytes, size: tuple[int, int], max_side: int | None) -> RGB | None:
    """A JPEG of this size, or some eighths of it; None where it is damaged, and Pillow may yet make something of it."""
    eighths = _eighths(max(size), max_side)
    try:
        return simplejpeg.decode_jpeg(data, "RGB", min_width=size[0] * eighths // 8, min_height=size[1] * eighths // 8)
    except ValueError:
        return None


def _check_size(image: Image.Image, min_side: int) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise SceneError("too many pixels", f"{width} x {height}, limit {MAX_PIXELS}")
    if min(width, height) < min_side:
        raise SceneError("too small", f"{width} x {height}, shorter side under {min_side}")


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode to RGB: high bit depths scaled, alpha over white, profiles applied."""
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bit(np.asarray(image))).convert("RGB")
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba).convert("RGB")
    return _apply_profile(image)


def _to_8_bit(grey: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    """Grey values of more than 8 bits to 0..255: floats of 0..1, integers of 0..65535."""
    values = np.nan_to_num(grey.astype(np.float64), posinf=0.0, neginf=0.0)
    top = values.max(initial=0.0)
    steps = (1.0, 255.0, 65535.0) if grey.dtype.kind == "f" else (65535.0,)
    full = next((f for f in steps if top <= f), top)
    return np.clip(values * (255.0 / full), 0, 255).astype(np.uint8)


def _apply_profile(image: Image.Image) -> Image.Image:
    """To sRGB through the embedded colour profile, where there is a usable one that is not sRGB."""
    try:
        if image.mode == "LAB":
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        elif _has_profile(image) and image.mode in ("RGB", "CMYK"):
            source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        else:
            return image.convert("RGB")
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        if image.mode == "LAB":
            raise SceneError("unknown colour mode", f"{image.mode}: {error}") from None
        return image.convert("RGB")
    return converted if converted is not None else image.convert("RGB")


def read_depth(path: Path, *, scale: float = 1.0, invalid: tuple[float, ...] = (0.0,), key: str = "depth") -> Depth:
    """Decode a depth file (.png, .pgm, .tif; .npy, .npz; .h5) to stored value / `scale`.

    Values in `invalid`, non-finite ones and all that is not positive become NaN. Arrays of Python
    objects are refused, and `key` names the array in .npz and .h5 files.
    Raises SceneError with reason "unreadable depth", or MissingExtraError where .h5 needs h5py.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = _read_array(path, key)
    except (SceneError, MissingExtraError):
        raise
    except Exception as error:  # decoders of damaged files raise whatever they stumble over
        raise SceneError("unreadable depth", f"{path.name}: {type(error).__name__}: {error}") from None
    depth = raw[..., 0] if raw.ndim == 3 and raw.shape[2] == 1 else raw
    if depth.ndim != 2 or depth.dtype.kind not in "uif" or depth.size > MAX_PIXELS:
        raise SceneError("unreadable depth", f"{path.name}: shape {depth.shape}, type {depth.dtype}")
    with np.errstate(invalid="ignore"):  # bytes of a damaged file can be a NaN that signals
        unknown = ~(depth > 0)
        if depth.dtype.kind == "f":
            unknown |= depth == np.inf
        for value in invalid:
            if value > 0:
                unknown |= depth == value
        scaled = depth.astype(np.float32)
        scaled /= np.float32(scale)
        scaled[unknown] = np.nan
    return scaled


def _read_array(path: Path, key: str) -> np.ndarray:
    """The array of a depth file, refused before it is read where it is too large."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        array = np.load(path, allow_pickle=False, mmap_mode="r")
        return np.asarray(_limited(array, array.size))
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            _limited(archive, archive.zip.getinfo(f"{key}.npy").file_size // 8)
            return np.asarray(archive[key])
    if suffix in (".h5", ".hdf5"):
        try:
            import h5py
        except ImportError:
            raise MissingExtraError("h5py", "hdf5") from None
        with h5py.File(path, "r") as file:
            return np.asarray(_limited(file[key], file[key].size))
    with Image.open(path) as image:
        return np.asarray(_limited(image, image.width * image.height))


def _limited(opened: Any, values: int) -> Any:
    if values > MAX_PIXELS:
        raise ValueError(f"{values} values, limit {MAX_PIXELS}")
    return opened


def encode_jpeg(rgb: RGB) -> bytes:
    """The picture as a JPEG of quality 95 without chroma subsampling: no trace to be seen at 1:1."""
    return simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality=95, colorspace="RGB", colorsubsampling="444")
