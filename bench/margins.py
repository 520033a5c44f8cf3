"""Do answers survive noise? Rows whose depth or pictures are disturbed, and answered again; one JSON object a line.

python bench/margins.py --photos FOLDER --depth SOURCE... [--trials 1000] [--only depth/order3...]

Depth gets noise of the readings (tasks/noise.py), anew in each of ten trials a row; pictures are stored as JPEG of
quality 75, which is the same each time, so there each trial is another row. Answers are derived by other means than
the tasks': medians of regions, points in space, and patches and options held against the clean picture.
"""

import argparse
import io
import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from spatial_ssrl.build.draw import draw_row
from spatial_ssrl.errors import SceneError
from spatial_ssrl.rng import generator
from spatial_ssrl.row import Row
from spatial_ssrl.scene import Intrinsics, Scene
from spatial_ssrl.sources import open_source
from spatial_ssrl.tasks import PROFILES, TASKS, Drop, Task, make_task, offered
from spatial_ssrl.tasks.noise import noise_of

MAX_SIDE, QUALITY, REPEATS, ROUNDS = 640, 75, 10, 30
THUMBNAIL = 24
HEADINGS = {0: (0, 1), 90: (-1, 0), 180: (0, -1), 270: (1, 0)}
"""Where an observer looks, as (x to the right, z away from the camera)."""

Json = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", nargs="*", default=[], help="sources for the tasks that need no depth")
    parser.add_argument("--depth", nargs="*", default=[], help="sources for the tasks that need depth")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--only", nargs="*", help="tasks or variants")
    parser.add_argument("--profiles", nargs="*", default=list(PROFILES))
    arguments = parser.parse_args()
    for needs_depth, texts in ((False, arguments.photos), (True, arguments.depth)):
        scenes = list(load(texts))
        for name, variant, profile in variants(needs_depth, arguments.profiles if scenes else []):
            if not arguments.only or {name, f"{name}/{variant}"} & set(arguments.only):
                print(json.dumps(measure(make_task(name, variant, profile), profile, scenes, arguments.trials)), flush=True)


def variants(needs_depth: bool, profiles: list[str]) -> Iterator[tuple[str, str, str]]:
    """Task, variant and profile of all that need depth, or that do not."""
    for name, task in TASKS.items():
        for profile in profiles if task.needs_depth == needs_depth else []:
            yield from ((name, variant, profile) for variant in offered(name, profile))


def load(texts: list[str]) -> Iterator[Scene]:
    for text in texts:
        source = open_source(text, 100, 0)
        for key in source.list_keys():
            try:
                yield source.load(key, source.has_depth).fit(MAX_SIDE)
            except SceneError:
                continue


def measure(task: Task[Any], profile: str, scenes: list[Scene], trials: int) -> Json:
    """How many trials keep the answer of their row, and the rows and scenes that they come from."""
    repeats = REPEATS if task.needs_depth else 1
    rows = list(islice(draw_rows(task, profile, scenes), trials // repeats))
    kept = sum(
        ANSWERS[task.name](task, scene, row, generator("margins", row["id"], trial)) == row["answer"]
        for scene, row in rows
        for trial in range(repeats)
    )
    done = repeats * len(rows)
    found: Json = {"task": task.name, "variant": task.variant, "profile": profile, "trials": done, "kept": kept}
    counts = {"rows": len(rows), "scenes": len({scene.id for scene, _ in rows})}
    return found | {"share": round(kept / done, 4) if done else None} | counts


def draw_rows(task: Task[Any], profile: str, scenes: list[Scene]) -> Iterator[tuple[Scene, Row]]:
    """Rows and their scenes, one of each scene before a second of any."""
    for k in range(ROUNDS):
        for scene in scenes:
            row = draw_row(scene, task, profile, 0, "test", k)
            if not isinstance(row, Drop):
                yield scene, row


def noisy(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """The depth with noise of its readings."""
    assert scene.depth is not None
    noise = rng.standard_normal(scene.depth.shape, np.float32) * noise_of(scene.depth, scene.depth_unit)
    return scene.depth + noise


def answer_depth(task: Task[Any], scene: Scene, row: Row, rng: np.random.Generator) -> str:
    params, depth = json.loads(row["params"]), noisy(scene, rng)
    half = params["half"]
    medians = [np.median(depth[y - half : y + half + 1, x - half : x + half + 1]) for x, y in params["centres"]]
    order = [str(i + 1) for i in np.argsort(medians)]
    return {"nearest": order[0], "farthest": order[-1]}.get(task.variant, "-".join(order))


def in_space(scene: Scene, depth: np.ndarray, points: list[list[int]]) -> np.ndarray:
    """Points (n, 3) in the camera's frame behind pixels (x, y)."""
    camera = scene.intrinsics or Intrinsics.assumed(*scene.size)
    x, y = np.array(points).T
    z = depth[y, x]
    return np.stack([(x - camera.cx) / camera.fx * z, (y - camera.cy) / camera.fy * z, z], axis=1)


def answer_position(task: Any, scene: Scene, row: Row, rng: np.random.Generator) -> str:
    """The side on which an observer finds the second point, in space; single directions by the task's thresholds."""
    params, depth = json.loads(row["params"]), noisy(scene, rng)
    (x1, y1), (x2, y2) = params["points"]
    first, second = in_space(scene, depth, params["points"])
    dx, _, dz = second - first
    if task.variant == "single":
        low, high = np.nanquantile(depth, (0.005, 0.995))
        step = float(np.diff(np.clip((depth[[y1, y2], [x1, x2]] - low) / (high - low), 0, 1))[0])
        dx = x2 - x1 if abs(x2 - x1) > task.min_pixels * min(1, scene.size[0] / 640) else 0
        dz = step if abs(step) > task.min_depth else 0
    ahead = HEADINGS[params["view"]]
    front, right = dx * ahead[0] + dz * ahead[1], dx * ahead[1] - dz * ahead[0]
    words = ["front" * bool(front > 0) + "back" * bool(front < 0), "right" * bool(right > 0) + "left" * bool(right < 0)]
    said = " ".join(word for word in words if word)
    return "ABCD"[params["choices"].index(said)] if said in params["choices"] else ""


def answer_distance(task: Task[Any], scene: Scene, row: Row, rng: np.random.Generator) -> str:
    points = in_space(scene, noisy(scene, rng), json.loads(row["params"])["points"])
    lengths = np.linalg.norm(points[[0, 2]] - points[[1, 3]], axis=1)
    return "AB"[int(np.argmax(lengths))]


def shown(row: Row) -> list[np.ndarray]:
    """The pictures of a row after they were stored as JPEG of quality 75."""
    found = []
    for image in row["images"]:
        buffer = io.BytesIO()
        Image.open(io.BytesIO(image["bytes"])).convert("RGB").save(buffer, "JPEG", quality=QUALITY)
        found.append(np.asarray(Image.open(buffer).convert("RGB")))
    return found


def small(picture: np.ndarray) -> np.ndarray:
    """A thumbnail with each channel's mean 0 and spread 1, without the corner that a label may cover."""
    thumbnail = np.asarray(Image.fromarray(picture).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), float)
    thumbnail = (thumbnail - thumbnail.mean(axis=(0, 1))) / (thumbnail.std(axis=(0, 1)) + 1)
    thumbnail[: THUMBNAIL // 3, : THUMBNAIL // 3] = 0
    return thumbnail


def unlike(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())


def patches(task: Any, scene: Scene, row: Row) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Patches as shown, and as cut from the clean picture, in original order."""
    params, picture = task.params.from_json(row["params"]), shown(row)[0]
    seen = [picture[top:bottom, left:right] for left, top, right, bottom in task.boxes(params)]
    return seen, [scene.rgb[top:bottom, left:right] for left, top, right, bottom in params.cuts]


def answer_shuffle(task: Any, scene: Scene, row: Row, rng: np.random.Generator) -> str:
    seen, clean = patches(task, scene, row)
    white = [k for k, patch in enumerate(seen) if np.quantile(patch, 0.25) > 250 and task.variant.endswith("masked")]
    where = {p: white[0] for p in range(len(clean)) if white}  # what no visible patch is like is the white one
    for k in set(range(len(seen))) - set(white):
        where[int(np.argmin([unlike(small(seen[k]), small(patch)) for patch in clean]))] = k
    return "-".join(str(where.get(p)) for p in range(len(clean)))


def answer_flip(task: Any, scene: Scene, row: Row, rng: np.random.Generator) -> str:
    """The one patch, and the way, that explain most of what differs from the clean picture."""
    changes: dict[int, Callable[[np.ndarray], np.ndarray]] = {0: np.flipud, 1: np.fliplr}
    if task.variant.endswith("turned"):
        changes = {90: lambda p: np.rot90(p, 3), 180: lambda p: np.rot90(p, 2), 270: np.rot90}
    explained = {
        f"{k}-{way}": unlike(small(patch), small(clean)) - unlike(small(patch), small(change(clean)))
        for k, (patch, clean) in enumerate(zip(*patches(task, scene, row), strict=True))
        for way, change in changes.items()
    }
    return max(explained, key=explained.__getitem__)


def answer_crop(task: Any, scene: Scene, row: Row, rng: np.random.Generator) -> str:
    params = json.loads(row["params"])
    left, top, right, bottom = params["cuts"][params["kinds"].index("true")]
    true = scene.rgb[top:bottom, left:right]
    return "ABCD"[int(np.argmin([unlike(small(option), small(true)) for option in shown(row)[1:]]))]


ANSWERS: dict[str, Callable[[Any, Scene, Row, np.random.Generator], str]] = {
    "shuffle": answer_shuffle,
    "flip": answer_flip,
    "crop": answer_crop,
    "depth": answer_depth,
    "position": answer_position,
    "distance": answer_distance,
}


if __name__ == "__main__":
    main()
