"""Rows a second of each task beside the time that the image codec alone takes; one JSON object a line.

python bench/build.py [--images FOLDER]

Pictures are rendered rooms of 640 x 480, stored as JPEG with 16-bit depth PNGs, or those of FOLDER
(for the tasks that need no depth).
"""

import argparse
import io
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from spatial_ssrl.build import Recipe, build
from spatial_ssrl.rng import generator
from spatial_ssrl.row import read_rows
from spatial_ssrl.scene import decode_rgb, encode_jpeg
from spatial_ssrl.sources import open_source
from spatial_ssrl.sources.rooms import render_room
from spatial_ssrl.tasks import TASKS, make_task

ROOMS, VIEWS, ROWS, WORKERS = 8, 50, 2000, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path)
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        pairs = "" if images else write_rooms(Path(folder) / "rooms")
        for name, task in TASKS.items():
            source = pairs if task.needs_depth else str(images or Path(folder) / "rooms/image")
            if source:
                print(json.dumps(measure(name, source, Path(folder) / name)), flush=True)
            if task.needs_depth:
                print(json.dumps(measure_draw(name)), flush=True)


def write_rooms(folder: Path) -> str:
    """Views of 640 x 480 cut from large rendered rooms, as image and depth pairs on disk."""
    for name in ("image", "depth"):
        (folder / name).mkdir(parents=True)
    for room in range(ROOMS):
        scene = render_room(generator("bench", room), 1280, 960)
        assert scene.depth is not None
        for view in range(VIEWS):
            x, y = (int(v) for v in generator("bench", room, view).integers((641, 481)))
            window = np.s_[y : y + 480, x : x + 640]
            Image.fromarray(scene.rgb[window]).save(folder / f"image/{room}-{view}.jpg", quality=92)
            Image.fromarray((scene.depth[window] * 1000).astype(np.uint16)).save(folder / f"depth/{room}-{view}.png")
    return f"pairs:{folder}?image=image/*&depth=depth/*"


def measure(task: str, source: str, out: Path) -> dict[str, object]:
    """Build rows of one task and time it; then decode and encode the same pictures and nothing else."""
    entries = [{"task": task, "variant": v} for v in TASKS[task].variants]
    recipe = Recipe.create(
        None, {"sources": (source,), "n": ROWS, "profile": "paper", "tasks": entries, "rows_per_shard": 250}
    )
    cpu, start = children_cpu(), time.perf_counter()
    rows = build(recipe, out, WORKERS, "bench", lambda done, total: None).rows
    wall, cpu = time.perf_counter() - start, children_cpu() - cpu
    codec = codec_seconds(source, out)
    return {
        "name": f"build/{task}",
        "rows": rows,
        "workers": WORKERS,
        "rows_per_s": round(rows / wall, 1),
        "cpu_s_per_row": round(cpu / rows, 5),
        "codec_s_per_row": round(codec, 5),
        "ratio": round(cpu / rows / codec, 2),
    }


def measure_draw(task: str) -> dict[str, object]:
    """CPU time of one draw, the search for regions included, in a depth map of 1024 x 768."""
    scene = render_room(generator("bench draw"), 1024, 768)
    drawn = make_task(task, next(iter(TASKS[task].variants)), "paper")
    times = []
    for i in range(20):
        fresh = replace(scene)  # or its regions would be known from the draw before
        start = time.process_time()
        drawn.draw(fresh, generator(i))
        times.append(time.process_time() - start)
    return {"name": f"draw/{task}", "size": [1024, 768], "cpu_ms": round(1000 * sorted(times)[10], 1)}


def codec_seconds(source: str, dataset: Path, sample: int = 100) -> float:
    """CPU seconds to decode one input picture (without its depth) and to encode the pictures of one row."""
    opened = open_source(source, 1, 0)
    root = Path(source.partition(":")[2].partition("?")[0] or source)
    inputs = [(root / key).read_bytes() for key in opened.list_keys()[:sample]]
    pictures = [
        [decode_rgb(image["bytes"]) for image in row["images"]]
        for row, _ in zip(rows_of(dataset), range(sample), strict=False)
    ]
    start = time.process_time()
    for data in inputs:
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    decode = (time.process_time() - start) / len(inputs)
    start = time.process_time()
    for row in pictures:
        for picture in row:
            encode_jpeg(picture)
    return decode + (time.process_time() - start) / len(pictures)


def rows_of(dataset: Path) -> Iterator[dict[str, list[dict[str, bytes]]]]:
    yield from read_rows(dataset, "train")  # type: ignore[misc]


def children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
