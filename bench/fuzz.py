"""Fuzz what reads files of others: every input ends in a result or in an error of ours.

    python bench/fuzz.py [--seconds 600] [--seed 0] [--target rgb]

Valid files are cut and changed at random bytes by hypothesis; a target that ends in any other exception is printed with
the smallest input that does so, and the status is 1. A JSON line a target: {target, inputs, accepted, refused}.
"""

import argparse
import io
import json
import resource
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from spatial_ssrl.build.recipe import Recipe
from spatial_ssrl.errors import SpatialSSRLError
from spatial_ssrl.scene import decode_rgb, read_depth
from spatial_ssrl.sources import open_source

MEMORY = 8 << 30
BATCH = 500
RGB = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
DEPTH = np.linspace(1, 9, 72 * 96, dtype=np.float32).reshape(72, 96)
RECIPE = b'sources = ["synthetic"]\nn = 9\n[splits]\ntrain = 1.0\n[[tasks]]\ntask = "flip"\nvariant = "2x2"\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=TARGETS, action="append")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    names = options.target or list(TARGETS)
    for name in names:
        print(json.dumps({"target": name, **fuzz(name, options.seconds / len(names), options.seed)}), flush=True)


def fuzz(name: str, seconds: float, start: int) -> Counter[str]:
    """Give a target changed inputs for so many seconds; raises what it raises."""
    samples, target = TARGETS[name]
    counts: Counter[str] = Counter(inputs=0, accepted=0, refused=0)

    def run(data: bytes) -> None:
        counts["inputs"] += 1
        try:
            target(data)
        except SpatialSSRLError:
            counts["refused"] += 1
        else:
            counts["accepted"] += 1

    limits = settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seed(start)(limits(given(changed(samples()))(run)))()
        start += 1
    return counts


@st.composite
def changed(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """One of the samples with up to eight bytes changed, most of them near its start, and perhaps cut or grown."""
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.one_of(st.integers(0, min(200, len(data) - 1)), st.integers(0, len(data) - 1)))
        data[at] = draw(st.integers(0, 255))
    cut = draw(st.one_of(st.none(), st.integers(0, len(data))))
    return bytes(data[:cut]) + draw(st.binary(max_size=8))


def encoded(*kinds: str) -> list[bytes]:
    pictures = []
    for kind in kinds:
        buffer = io.BytesIO()
        Image.fromarray(RGB).save(buffer, kind)
        pictures.append(buffer.getvalue())
    return pictures


def pictures() -> list[bytes]:
    return encoded("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "TGA", "ICO", "PCX")


def depths(suffix: str) -> Callable[[], list[bytes]]:
    def write() -> list[bytes]:
        buffer = io.BytesIO()
        if suffix == ".npy":
            np.save(buffer, DEPTH)
        elif suffix == ".npz":
            np.savez_compressed(buffer, depth=DEPTH)
        elif suffix == ".h5":
            with h5py.File(buffer, "w") as file:
                file.create_dataset("depth", data=DEPTH, compression="gzip")
        else:
            Image.fromarray((DEPTH * 1000).astype(np.uint16)).save(buffer, suffix[1:])
        return [buffer.getvalue()]

    return write


def tars() -> list[bytes]:
    forms = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
            for name in ("a.png", "é" * 40 + ".png"):
                info = tarfile.TarInfo(name)
                info.size = len(encoded("PNG")[0])
                archive.addfile(info, io.BytesIO(encoded("PNG")[0]))
        forms.append(buffer.getvalue())
    return forms


def tables() -> list[bytes]:
    buffer = io.BytesIO()
    cells = [{"bytes": data, "path": None} for data in encoded("PNG", "JPEG")]
    pq.write_table(pa.table({"image": pa.array(cells)}), buffer)
    return [buffer.getvalue()]


def in_file(suffix: str, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    def write_and_read(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"x{suffix}"
            path.write_bytes(data)
            read(path)

    return write_and_read


def load_all(path: Path) -> None:
    """List a source and load what it lists; refused scenes are as good as loaded ones."""
    source = open_source(str(path), 1, 0)
    for key in source.list_keys():
        try:
            source.load(key)
        except SpatialSSRLError:
            continue


TARGETS: dict[str, tuple[Callable[[], list[bytes]], Callable[[bytes], object]]] = {
    "rgb": (pictures, decode_rgb),
    **{suffix: (depths(suffix), in_file(suffix, read_depth)) for suffix in (".png", ".npy", ".npz", ".h5")},
    "tar": (tars, in_file(".tar", load_all)),
    "parquet": (tables, in_file(".parquet", load_all)),
    "recipe": (lambda: [RECIPE], in_file(".toml", lambda path: Recipe.create(path, {}))),
}

if __name__ == "__main__":
    main()
