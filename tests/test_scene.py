"""Decoding: what is read, and what is refused with which reason."""

import io
import struct
import zlib

import h5py
import numpy as np
import pytest
from PIL import Image, ImageCms

from spatial_ssrl.errors import SceneError
from spatial_ssrl.scene import MIN_SIDE, Intrinsics, Scene, decode_rgb, encode_jpeg, read_depth, resize_depth


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width=96, height=80):
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)


def test_rgb_png_is_read_as_it_is():
    assert np.array_equal(decode_rgb(encoded(Image.fromarray(gradient()))), gradient())


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate 90 degrees clockwise to show
    data = encoded(Image.fromarray(gradient()), "JPEG", exif=exif, quality=95, subsampling=0)
    turned = decode_rgb(data)
    assert turned.shape == (96, 80, 3)
    assert np.abs(turned.astype(int) - np.rot90(gradient(), -1)).mean() < 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP", "BMP"])
def test_every_mode_becomes_rgb(mode, kind):
    grey = gradient()[..., 0]
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "I":
        image = Image.fromarray(grey.astype(np.int32) * 257)
    elif mode == "F":
        image = Image.fromarray(grey.astype(np.float32) / 255)
    elif mode == "LAB":
        image = ImageCms.profileToProfile(
            Image.fromarray(np.stack([grey] * 3, -1)),
            ImageCms.createProfile("sRGB"),
            ImageCms.createProfile("LAB"),
            outputMode="LAB",
        )
    else:
        image = Image.fromarray(np.stack([grey] * 3, -1)).convert(mode, palette=Image.Palette.ADAPTIVE)
    if kind == "WEBP" and mode in ("I;16", "I", "F"):
        pytest.skip("stored clipped to 8 bits by the encoder")
    try:
        data = encoded(image, kind)
    except OSError:
        pytest.skip(f"{kind} cannot store {mode}")
    rgb = decode_rgb(data)
    assert rgb.shape == (80, 96, 3)
    assert rgb.dtype == np.uint8
    if mode != "1":
        assert np.abs(rgb.mean(axis=2) - grey).mean() < 8


def test_alpha_is_laid_over_white():
    rgba = np.zeros((80, 96, 4), np.uint8)
    rgba[:, :48, 3] = 255
    rgb = decode_rgb(encoded(Image.fromarray(rgba)))
    assert rgb[:, :48].max() == 0
    assert rgb[:, 48:].min() == 255


def test_palette_with_transparency_is_laid_over_white():
    image = Image.fromarray(np.repeat([[0, 1]], 80, 0).repeat(48, 1).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 200, 0, 0] + [0] * 762)
    rgb = decode_rgb(encoded(image, transparency=0))
    assert tuple(rgb[0, 0]) == (255, 255, 255)
    assert tuple(rgb[0, -1]) == (200, 0, 0)


def test_dark_16_bit_grey_stays_dark():
    image = Image.fromarray(np.full((80, 96), 200, np.uint16))
    assert decode_rgb(encoded(image)).max() == 0


def test_first_frame_of_an_animation():
    frames = [Image.fromarray(np.full((80, 96, 3), v, np.uint8)) for v in (10, 200)]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert abs(int(decode_rgb(data).mean()) - 10) <= 1


def png_header(width, height):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a picture"),
        (b"hello", "not a picture"),
        (encoded(Image.fromarray(gradient()), "JPEG")[:-600], "truncated or damaged"),
        (encoded(Image.fromarray(gradient()))[:-200], "truncated or damaged"),
        (png_header(60_000, 60_000), "too many pixels"),
        (png_header(9_500, 9_500), "too many pixels"),
        (png_header(300, 300), "truncated or damaged"),
        (encoded(Image.fromarray(gradient(63, 400))), "too small"),
        (encoded(Image.fromarray(gradient(1, 1))), "too small"),
    ],
)
def test_refusals_have_a_reason(data, reason):
    with pytest.raises(SceneError) as caught:
        decode_rgb(data, MIN_SIDE)
    assert caught.value.reason == reason


def test_jpeg_round_trip_is_close():
    assert np.abs(decode_rgb(encode_jpeg(gradient())).astype(int) - gradient()).max() <= 6


def depth_file(path, values):
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, depth=values)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["depth"] = values
    else:
        Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("d.png", np.uint16),
        ("d.pgm", np.uint16),
        ("d.tiff", np.float32),
        ("d.npy", np.float32),
        ("d.npz", np.float64),
        ("d.h5", np.float32),
    ],
)
def test_depth_is_scaled_and_gaps_are_nan(tmp_path, name, dtype):
    values = np.full((70, 90), 2500, dtype)
    values[0, :3] = [0, 65535, 1000]
    depth = read_depth(depth_file(tmp_path / name, values), scale=1000, invalid=(0, 65535))
    assert depth.dtype == np.float32
    assert np.isnan(depth[0, :2]).all()
    assert depth[0, 2] == 1
    assert depth[1, 1] == 2.5


def test_depth_that_is_not_finite_or_not_positive_is_nan(tmp_path):
    values = np.array([[1.0, -1.0, np.inf, np.nan, 0.0]], np.float32)
    assert np.isnan(read_depth(depth_file(tmp_path / "d.npy", values))[0, 1:]).all()


def bad_depth(tmp_path):
    np.save(tmp_path / "object.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "cube.npy", np.zeros((4, 5, 6)))
    (tmp_path / "cut.npy").write_bytes(depth_file(tmp_path / "whole.npy", np.zeros((50, 50))).read_bytes()[:-100])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "text.h5").write_text("no data")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["range"] = np.ones((4, 4))
    return ["object.npy", "cube.npy", "cut.npy", "text.png", "text.h5", "other.h5", "missing.png"]


def test_bad_depth_is_refused(tmp_path):
    for name in bad_depth(tmp_path):
        with pytest.raises(SceneError) as caught:
            read_depth(tmp_path / name)
        assert caught.value.reason == "unreadable depth", name


def test_resized_depth_holds_only_depths_that_were_there():
    depth = np.random.default_rng(0).uniform(1, 9, (48, 64)).astype(np.float32)
    for size in ((640, 480), (31, 17)):
        resized = resize_depth(depth, size)
        assert resized.shape == size[::-1]
        assert np.isin(resized, depth).all()


def test_fit_scales_picture_depth_and_camera_together():
    depth = np.tile(np.arange(200, dtype=np.float32), (100, 1)) + 1
    scene = Scene(np.zeros((100, 200, 3), np.uint8), depth, "metre", Intrinsics(100, 100, 100, 50))
    small = scene.fit(160)
    assert small.rgb.shape == (80, 160, 3)
    assert small.depth.shape == (80, 160)
    assert small.intrinsics == Intrinsics(80, 80, 80, 40)
    assert scene.fit(200) is scene
    with pytest.raises(SceneError, match="too small"):
        scene.fit(100)


def test_id_is_of_pixels_and_shape():
    a, b = np.zeros((70, 80, 3), np.uint8), np.zeros((80, 70, 3), np.uint8)
    c = a.copy()
    c[0, 0, 0] = 1
    assert len({Scene(x).id for x in (a, b, c)}) == 3
    assert Scene(a).id == Scene(a.copy(), origin=("x", "y")).id


def test_depth_of_another_size_is_refused():
    with pytest.raises(SceneError, match="depth of another size"):
        Scene(np.zeros((70, 80, 3), np.uint8), np.ones((80, 70), np.float32))
