"""CPU time and memory of a row of each task, beside the time that the image codec alone takes; one JSON object a line.

python bench/build.py [--images FOLDER] [--only TEXT] [--rows-a-picture N] [--workers] [--reference DIR]

Pictures are views of rendered rooms at two sizes, as JPEG with 16-bit depth PNG (made once, in runs/bench), or the JPEG
files of FOLDER for the tasks that need no depth. A row is counted whole, as a worker makes it: reading, decoding,
draws that were dropped, encoding, writing parquet. The codec decodes each picture once, and its depth where the task
needs that, and encodes the pictures of the rows: Pillow's, on the same files and in the same process. CPU times
are the smallest of a few turns, since other work on a machine can only add to them; peak memory is that of the process
when it has made its rows.
"""

import argparse
import io
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reference import SCRIPTS, measure_reference
from spatial_ssrl.build import Plan, Recipe, build
from spatial_ssrl.build.engine import attempt
from spatial_ssrl.rng import generator
from spatial_ssrl.row import read_rows
from spatial_ssrl.scene import Scene, decode_rgb
from spatial_ssrl.sources.rooms import render_room
from spatial_ssrl.tasks import PROFILES, TASKS, offered

ROOMS, VIEWS = 12, 8
SIZES = {"640x480": 640, "1600x1200": 1600}
TURNS = 3
SCALED = 24
"""Rows a picture of the builds that are timed with 1 and 2 workers."""
SAMPLE = 50
"""Rows whose pictures are encoded again by the codec alone."""


@dataclass(frozen=True)
class Pictures:
    """A folder of JPEG files, `image/`, and, where there are any, `depth/` with a PNG of millimetres for each."""

    name: str
    folder: Path

    @property
    def images(self) -> list[Path]:
        return sorted(self.folder.glob("image/*.jpg"))

    @property
    def depths(self) -> list[Path]:
        return sorted(self.folder.glob("depth/*.png"))

    @property
    def has_depth(self) -> bool:
        return bool(self.depths)

    def recipe(self, task: str, profile: str, rows: int) -> Recipe:
        source = f"pairs:{self.folder}?image=image/*&depth=depth/*" if TASKS[task].needs_depth else f"{self.folder}/image"
        entries = [{"task": task, "variant": variant} for variant in offered(task, profile)]
        return Recipe.create(
            None, {"sources": (source,), "n": rows, "profile": profile, "tasks": entries, "splits": {"train": 1.0}}
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of JPEG files in place of rendered rooms")
    parser.add_argument("--only", default="", help="part of the names of what is measured, such as crop/strict")
    parser.add_argument("--rows-a-picture", type=int, default=1)
    parser.add_argument("--workers", action="store_true", help="rows a second of the whole build with 1 and 2 workers, too")
    parser.add_argument("--reference", type=Path, help="checkout of InternLM/Spatial-SSRL, whose scripts are timed, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sets = [link_images(args.images, Path(folder))] if args.images else list(render_rooms(Path("runs/bench").resolve()))
        for pictures in sets:
            for task, profile in ((t, p) for t in TASKS for p in PROFILES if pictures.has_depth or not TASKS[t].needs_depth):
                name = f"{task}/{profile}/{pictures.name}"
                if args.only in name:
                    rows = args.rows_a_picture * len(pictures.images)
                    tell(name, in_new_process(measure_row, pictures, task, profile, rows))
                    if args.workers:
                        tell(f"workers/{name}", measure_scaling(pictures, task, profile))
            for task in SCRIPTS if args.reference else ():
                name = f"reference/{task}/{pictures.name}"
                if args.only in name and (pictures.has_depth or not TASKS[task].needs_depth):
                    tell(name, in_new_process(measure_reference, args.reference, task, pictures.images, pictures.depths))


def render_rooms(folder: Path) -> Iterator[Pictures]:
    """Views of rendered rooms, the same ones at each size."""
    sets = [Pictures(name, folder / name) for name in SIZES]
    if not (folder / "whole").exists():
        for kind in ("image", "depth"):
            for pictures in sets:
                (pictures.folder / kind).mkdir(parents=True, exist_ok=True)
        for room in range(ROOMS):
            whole = render_room(generator("bench", room), 2000, 1500)
            for view in range(VIEWS):
                scene = cut_view(whole, *map(int, generator("bench", room, view).integers((401, 301))))
                for pictures in sets:
                    store_scene(scene.fit(SIZES[pictures.name]), pictures, f"{room:02d}-{view}")
        (folder / "whole").touch()
    yield from sets


def cut_view(room: Scene, x: int, y: int) -> Scene:
    """A view of 1600 x 1200 pixels from this corner of a larger picture."""
    assert room.depth is not None
    window = np.s_[y : y + 1200, x : x + 1600]
    return Scene(np.ascontiguousarray(room.rgb[window]), room.depth[window])


def store_scene(scene: Scene, pictures: Pictures, name: str) -> None:
    assert scene.depth is not None
    Image.fromarray(scene.rgb).save(pictures.folder / f"image/{name}.jpg", quality=92)
    Image.fromarray((scene.depth * 1000).astype(np.uint16)).save(pictures.folder / f"depth/{name}.png")


def link_images(images: Path, folder: Path) -> Pictures:
    """The JPEG files of a folder, without what else is there."""
    (folder / "image").mkdir()
    for path in images.glob("*.jpg"):
        (folder / "image" / path.name).symlink_to(path.resolve())
    return Pictures(images.name, folder)


def measure_row(pictures: Pictures, task: str, profile: str, rows: int) -> dict[str, object]:
    """Make rows and run the codec on the same pictures, by turns."""
    plan, times, peak = Plan.create(pictures.recipe(task, profile, rows)), [], 0.0
    for _ in range(TURNS):
        with tempfile.TemporaryDirectory() as out:
            for name in ("data", ".build"):
                Path(out, name).mkdir()
            wall, cpu = time.perf_counter(), time.process_time()
            for shard in range(plan.shards):
                if error := attempt(plan, Path(out), shard, frozenset()):
                    raise error
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            peak = peak or peak_mb()
            made = [row["images"] for row in read_rows(out, "train")]
            times.append((cpu / len(made), codec_seconds(pictures, task, made), wall / len(made)))
    cpu, codec, wall = map(min, zip(*times, strict=True))
    return {
        "rows": len(made),
        "rows_per_s": round(1 / wall, 1),
        "cpu_s_per_row": round(cpu, 5),
        "codec_s_per_row": round(codec, 5),
        "ratio": round(cpu / codec, 2),
        "peak_mb": round(peak),
    }


def codec_seconds(pictures: Pictures, task: str, made: list[Any]) -> float:
    """CPU seconds a row of Pillow to decode each picture once, and its depth, and to encode the pictures of the rows."""
    decode = mean_cpu(lambda path: np.asarray(Image.open(path).convert("RGB")), pictures.images)
    if TASKS[task].needs_depth:
        decode += mean_cpu(lambda path: np.asarray(Image.open(path)), pictures.depths)
    decode *= len(pictures.images) / len(made)
    sample = made[:: max(1, len(made) // SAMPLE)]
    shown = [decode_rgb(image["bytes"]) for images in sample for image in images]
    return decode + mean_cpu(encode, shown) * len(shown) / len(sample)


def mean_cpu(run: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    start = time.process_time()
    for each in inputs:
        run(each)
    return (time.process_time() - start) / len(inputs)


def encode(rgb: np.ndarray) -> None:
    Image.fromarray(rgb).save(io.BytesIO(), "JPEG", quality=95, subsampling=0)


def measure_scaling(pictures: Pictures, task: str, profile: str) -> dict[str, object]:
    """Rows a second of the whole command with 1 and 2 workers, their start included: the best of a few turns."""
    recipe = pictures.recipe(task, profile, SCALED * len(pictures.images))
    recipe = recipe.model_copy(update={"rows_per_shard": recipe.n // 16})
    speeds = {1: 0.0, 2: 0.0}
    for workers in (1, 2) * (TURNS - 1):
        with tempfile.TemporaryDirectory() as out:
            start = time.perf_counter()
            made = build(recipe, Path(out), workers, "bench", lambda done, total: None).rows
            speeds[workers] = max(speeds[workers], made / (time.perf_counter() - start))
    return {"rows_per_s": [round(speed, 1) for speed in speeds.values()], "scaling": round(speeds[2] / speeds[1], 2)}


def peak_mb() -> float:
    """The most memory that this process has held, in MB; unlike ru_maxrss, without what its parent held."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


def in_new_process(run: Callable[..., dict[str, object]], *args: object) -> dict[str, object]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run, *args).result()


def tell(name: str, found: dict[str, object]) -> None:
    print(json.dumps({"name": name} | found), flush=True)


if __name__ == "__main__":
    main()
