"""One build over files of every bad kind: no crash, no hang, nothing written elsewhere, each counted by its reason."""

import hashlib
import io
import json
import os
import struct
import tarfile
import zipfile
import zlib

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from spatial_ssrl.row import read_rows

SHAPE = (144, 192)


def pixels(seed, shape=SHAPE):
    """Coloured blocks, another picture for each seed."""
    height, width = shape
    blocks = np.random.default_rng(seed).integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    return blocks.repeat(16, 0).repeat(16, 1)[:height, :width]


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(seed):
    return encode(Image.fromarray(pixels(seed)))


def jpeg(seed, **options):
    return encode(Image.fromarray(pixels(seed)), "JPEG", quality=95, **options)


def png_of_zeros(width, height):
    """A PNG that claims this size, and in a few kilobytes holds it where it can."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packed = zlib.compress(bytes(min(height * (width // 8 + 1), 1 << 24)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def odd_pictures():
    """Pictures that can be used, by name as bytes."""
    turned = Image.Exif()
    turned[0x0112] = 6
    frames = [Image.fromarray(pixels(seed)) for seed in (20, 21)]
    palette = Image.fromarray(pixels(22)).convert("P", palette=Image.Palette.ADAPTIVE)
    deep = (pixels(23).astype(np.uint16) * 257)[..., 0]
    return {
        b"png-named.jpg": png(10),
        b"jpeg-named.PNG": jpeg(11),
        b"cmyk.jpg": encode(Image.fromarray(pixels(12)).convert("CMYK"), "JPEG"),
        b"deep.png": encode(Image.fromarray(deep)),
        b"float.tiff": encode(Image.fromarray(pixels(13)[..., 0].astype(np.float32) / 255), "TIFF"),
        b"palette.png": encode(palette, transparency=0),
        b"turned.jpg": jpeg(14, exif=turned),
        b"animated.png": encode(frames[0], save_all=True, append_images=frames[1:]),
        b"animated.webp": encode(frames[1], "WEBP", save_all=True, append_images=frames[:1], lossless=True),
        b"large.png": encode(Image.fromarray(pixels(15, (1500, 2000)))),
        b"nul-in-exif.jpg": jpeg(16, exif=b"Exif\0\0" + bytes(40)),
        b"caf\xe9.png": png(17),
        b"line\nbreak, 'quotes' \"and\" \\.png": png(18),
        b"n" * 251 + b".png": png(19),
    }


def bad_pictures():
    """Pictures that cannot be used, and why."""
    return {
        "cut.jpg": (jpeg(1)[: len(jpeg(1)) // 2], "truncated or damaged"),
        "cut.png": (png(1)[:-500], "truncated or damaged"),
        "garbled.png": (png(1)[:60] + b"\xff" * 80 + png(1)[140:], "truncated or damaged"),
        "cut.webp": (encode(Image.fromarray(pixels(1)), "WEBP")[:400], "truncated or damaged"),
        "cut.tif": (encode(Image.fromarray(pixels(1)), "TIFF")[:-900], "truncated or damaged"),
        "bomb.png": (png_of_zeros(60_000, 60_000), "too many pixels"),
        "bomb-under-pillows-limit.png": (png_of_zeros(9_500, 9_500), "too many pixels"),
        "empty.png": (b"", "not a picture"),
        "text.jpg": (b"no picture", "not a picture"),
        "zeros.bmp": (bytes(5000), "not a picture"),
        "page.html.png": (b"<html><body>403 Forbidden</body></html>", "not a picture"),
        "1x1.png": (encode(Image.new("RGB", (1, 1))), "too small"),
        "strip.png": (encode(Image.new("RGB", (64, 20_000))), "too small"),
    }


def write_pictures(folder):
    folder.mkdir(parents=True)
    for name, data in odd_pictures().items():
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(data)
    reasons = {}
    for name, (data, reason) in bad_pictures().items():
        (folder / name).write_bytes(data)
        reasons[f"folder:{name}"] = reason
    (folder / "loop").symlink_to(folder)
    (folder / "itself.png").symlink_to("itself.png")
    (folder / "broken.png").symlink_to("/nowhere/x.png")
    os.mkfifo(folder / "pipe.png")
    return reasons | {"folder:itself.png": "unreadable file", "folder:broken.png": "unreadable file"}


def write_list(folder):
    with (folder / "huge.png").open("wb") as file:
        file.truncate(1 << 31)
    lines = {"gone.png": "unreadable file", "pictures": "unreadable file", "huge.png": "too large a file"}
    lines |= {"pictures/pipe.png": "unreadable file", "/dev/zero": "unreadable file", "nul\0.png": "unreadable file"}
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    return {f"list:{line}": reason for line, reason in lines.items()}


def write_tars(folder):
    folder.mkdir()
    with tarfile.open(folder / "a.tar", "w") as archive:
        for name, data in {"../../outside.png": png(30), "/etc/cron.png": png(31), "text.png": b"no picture"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    (folder / "cut.tar").write_bytes((folder / "a.tar").read_bytes()[:700])
    (folder / "text.tar").write_text("no archive" * 200)
    return {
        "tar:a.tar/text.png": "not a picture",
        "tar:cut.tar/../../outside.png": "truncated or damaged",
        "tar:cut.tar": "damaged archive",
        "tar:text.tar": "damaged archive",
    }


def write_tables(folder):
    folder.mkdir()
    pq.write_table(pa.table({"image": pa.array([png(32), b"", None], pa.binary())}), folder / "a.parquet")
    (folder / "text.parquet").write_text("no table")
    return {
        "parquet:a.parquet#1": "not a picture",
        "parquet:a.parquet#2": "no picture in this row",
        "parquet:text.parquet": "damaged table",
    }


def zip_bomb(path):
    """An .npz whose array is a thousand times the file."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("depth.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy_header((200, 1 << 20)))
        for _ in range(200):
            member.write(bytes(4 << 20))


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npy_header(shape):
    """The start of an .npy file of float32 that claims this shape."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def write_depths(folder):
    """Good pictures with depth of every kind; those that need not be skipped have NaN or a far smaller map."""
    (folder / "depth").mkdir(parents=True)
    (folder / "image").mkdir()
    depth = np.linspace(1, 5, SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE)
    whole = {"npz": io.BytesIO(), "h5": io.BytesIO()}
    np.savez(whole["npz"], depth=depth)
    with h5py.File(whole["h5"], "w") as file:
        file["depth"] = depth
    with h5py.File(folder / "depth/other-key.h5", "w") as file:
        file["range"] = depth
    with h5py.File(folder / "depth/group.h5", "w") as file:
        file.create_group("depth")["x"] = depth
    with h5py.File(folder / "depth/bomb.h5", "w") as file:
        file.create_dataset("depth", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024), compression="gzip")
    zip_bomb(folder / "depth/bomb-in.npz")
    files = {
        "pickled.npy": npy(np.array([{"run": "me"}], dtype=object), allow_pickle=True),
        "bomb.npy": npy_header((1 << 30, 1 << 30)),
        "cube.npy": npy(np.ones((4, 5, 6))),
        "complex.npy": npy(depth.astype(complex)),
        "cut.npy": npy(depth)[:-100],
        "cut.npz": whole["npz"].getvalue()[:-2000],
        "garbled.npz": whole["npz"].getvalue()[:300] + b"x" * 300 + whole["npz"].getvalue()[600:],
        "cut.h5": whole["h5"].getvalue()[:3000],
        "empty.h5": b"",
        "text.png": b"no picture",
        "colour.png": png(1),
        "bomb.png": png_of_zeros(60_000, 60_000),
        "empty.pgm": b"",
    }
    reasons = dict.fromkeys([*files, "other-key.h5", "group.h5", "bomb.h5", "bomb-in.npz"], "unreadable depth")
    files |= {"tall.npy": npy(depth.T), "nan.npy": npy(depth * np.nan), "infinite.npy": npy(depth * -np.inf)}
    files |= {"small.npy": npy(depth[::8, ::8]), "flat.npy": npy(depth * 0 + 2)}
    reasons |= {"tall.npy": "depth of another shape", "none.": "no depth file"}
    for name, data in files.items():
        (folder / "depth" / name).write_bytes(data)
    for seed, stem in enumerate([path.stem + path.suffix for path in sorted((folder / "depth").iterdir())] + ["none."], 40):
        (folder / "image" / f"{stem}.png").write_bytes(png(seed))
        if stem != "none.":
            (folder / "depth" / stem).rename(folder / "depth" / f"{stem}{os.path.splitext(stem)[1]}")
    return {f"pairs:image/{stem}.png": reason for stem, reason in reasons.items()}


def everything_below(folder):
    """Names of all files, and digests of those of a sensible size."""
    found = {}
    for path in sorted(folder.rglob("*")):
        regular = path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 27
        found[os.fsencode(path)] = hashlib.sha256(path.read_bytes()).hexdigest() if regular else None
    return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder of bad input, the SOURCE texts that name it, and the reason expected of each scene that is skipped."""
    root = tmp_path_factory.mktemp("corpus")
    reasons = write_pictures(root / "pictures") | write_list(root) | write_tars(root / "tars")
    reasons |= write_tables(root / "tables") | write_depths(root / "pairs")
    texts = [f"{root}/pictures", f"{root}/list.txt", f"tar:{root}/tars", f"parquet:{root}/tables"]
    return root, [*texts, f"pairs:{root}/pairs?scale=1"], reasons


def test_every_bad_file_is_skipped_for_its_reason_and_nothing_else_is(corpus, tmp_path, cli):
    root, texts, reasons = corpus
    before = everything_below(root)
    flags = ("--n", 400, "--profile", "paper", "--workers", 2, "--out", tmp_path / "out")
    done = cli("build", *texts, *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    manifest = json.loads((tmp_path / "out/manifest.json").read_text(encoding="utf-8"))
    assert {key: why.split(":")[0] for key, why in manifest["skipped"].items()} == reasons
    assert manifest["scenes"] == len(reasons) + len(odd_pictures()) + 2 + 1 + 4
    assert everything_below(root) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    sources = {row["source"] for split in manifest["counts"] for row in read_rows(tmp_path / "out", split)}
    assert not sources & set(reasons)
    assert {"folder:caf\\xe9.png", "tar:a.tar/../../outside.png", "parquet:a.parquet#0"} <= sources


def test_a_bad_file_alone_ends_in_a_message(corpus, tmp_path, cli):
    root = corpus[0]
    done = cli("build", f"{root}/pictures/cut.jpg", "--n", 4, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "no row could be made; folder:cut.jpg: truncated or damaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_source_whose_path_is_no_utf8_is_told(tmp_path, cli):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    with open(folder + b"/a.png", "wb") as file:
        file.write(png(1))
    done = cli("build", os.fsdecode(folder), "--n", 4, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "caf\\udce9' is no UTF-8; rename it" in done.stderr
