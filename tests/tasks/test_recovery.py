"""Answers recovered from what is shown, in ways that share no code with the tasks."""

import io
import itertools
import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from spatial_ssrl.build.draw import draw_row
from spatial_ssrl.scene import Scene
from spatial_ssrl.sources import open_source
from spatial_ssrl.tasks import TASKS, Drop, make_task
from spatial_ssrl.tasks.noise import noise_of, steps_in_noise


def pictures(row):
    return [np.asarray(Image.open(io.BytesIO(i["bytes"])).convert("RGB")).astype(float) for i in row["images"]]


def rows_of(name, variant, scenes, count=3, profile="paper"):
    task = make_task(name, variant, profile)
    drawn = [(scene, draw_row(scene, task, profile, 7, "test", k)) for scene in scenes for k in range(count)]
    rows = [(scene, row) for scene, row in drawn if not isinstance(row, Drop)]
    assert len(rows) >= len(scenes) // 2
    return rows


def core(patch):
    """The middle of a patch, clear of its label."""
    h, w = patch.shape[0] // 3, patch.shape[1] // 3
    return patch[h : 2 * h, w : 2 * w]


def tile(image, k, rows, columns):
    h, w = image.shape[0] // rows, image.shape[1] // columns
    r, c = k // columns, k % columns
    return image[r * h : r * h + h, c * w : c * w + w]


@pytest.fixture(params=["rooms", "photographs"])
def scenes(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("variant", TASKS["shuffle"].variants)
def test_shuffle(variant, scenes):
    grid = tuple(map(int, variant.removesuffix("-masked").split("x")))
    for scene, row in rows_of("shuffle", variant, scenes):
        shown = pictures(row)[0]
        n = grid[0] * grid[1]
        found, white = [], []
        for k in range(n):
            if core(tile(shown, k, *grid)).min() > 250 and variant.endswith("masked"):
                white.append(k)
        for p in range(n):
            original = core(tile(scene.rgb.astype(float), p, *grid))
            errors = [np.abs(core(tile(shown, k, *grid)) - original).mean() for k in range(n)]
            found.append(int(np.argmin(errors)) if min(errors) < 6 else None)
        found = [white[0] if f is None else f for f in found]
        assert "-".join(map(str, found)) == row["answer"]
        assert row["answer"] != "-".join(map(str, range(n)))
        assert len(white) == variant.endswith("masked")


def test_flip(scenes):
    for scene, row in rows_of("flip", "2x2", scenes):
        shown = pictures(row)[0]
        matches = []
        for p in range(4):
            original = tile(scene.rgb.astype(float), p, 2, 2)
            seen = core(tile(shown, p, 2, 2))
            forms = {None: original, 0: original[::-1], 1: original[:, ::-1]}
            best = min(forms, key=lambda d: np.abs(core(forms[d]) - seen).mean())
            if best is not None:
                matches.append(f"{p}-{best}")
        assert matches == [row["answer"]]


@pytest.mark.parametrize("name", ["shuffle", "flip"])
def test_strict_asks_nothing_of_a_picture_with_an_empty_quarter(name, noise):
    checks = noise[:12, :16].repeat(16, axis=0).repeat(16, axis=1)
    checks[:96, :128] = 90 + np.arange(128, dtype=np.uint8)[:, None] // 32
    draws = [draw_row(Scene(checks), make_task(name, "2x2", "strict"), "strict", 0, "test", k) for k in range(6)]
    assert set(draws) == {Drop("a patch without contours", final=True)}
    published = [draw_row(Scene(checks), make_task(name, "2x2", "paper"), "paper", 0, "test", k) for k in range(6)]
    assert any(not isinstance(row, Drop) for row in published)


@pytest.mark.parametrize("profile", ["paper", "strict"])
@pytest.mark.parametrize("name", ["shuffle", "flip"])
def test_numbers_hide_little_of_small_patches(name, profile):
    for variant, side in itertools.product(TASKS[name].variants, (64, 80, 98, 112, 130, 160)):
        task = make_task(name, variant, profile)
        rng = np.random.default_rng(side)
        scene = Scene(rng.integers(0, 256, (side, side * 4 // 3, 3), dtype=np.uint8))
        for params in filter(lambda drawn: not isinstance(drawn, Drop), (task.draw(scene, rng) for _ in range(4))):
            boxes, shown = task.boxes(params), task.render(scene, params)[0]
            bare = task.cut(scene, params)
            for left, top, right, bottom in boxes:
                patch = shown[top:bottom, left:right]
                unlike = [np.any(patch != form, axis=2).mean() for form in forms_of(bare, name, variant)]
                assert min(unlike) < 0.2 or np.mean(patch == 255) > 0.5, (variant, side)


def forms_of(patches, name, variant):
    """The patches, and what a flip may have made of each."""
    if name == "shuffle":
        return patches
    if variant.endswith("turned"):
        return [np.rot90(patch, turns) for patch in patches for turns in range(4)]
    return [form for patch in patches for form in (patch, patch[::-1], patch[:, ::-1])]


def test_crop(scenes):
    for scene, row in rows_of("crop", "square", scenes):
        shown, *options = pictures(row)
        side = min(scene.rgb.shape[:2]) // 2
        black = shown.max(axis=2) < 12
        sums = black.cumsum(0).cumsum(1)
        sums = np.pad(sums, ((1, 0), (1, 0)))
        counts = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
        y, x = np.unravel_index(np.argmax(counts), counts.shape)
        truth = scene.rgb[y : y + side, x : x + side].astype(float)
        errors = [np.abs(o - truth).mean() if o.shape == truth.shape else np.inf for o in options]
        assert "ABCD"[int(np.argmin(errors))] == row["answer"]
        assert min(errors) < 4
        assert sorted(errors)[1] > 2 * min(errors)


def rgbd_scenes(real_data):
    sources = (
        f"diode:{real_data}/rgbd/diode",
        f"tum:{real_data}/rgbd/tum",
        f"pairs:{real_data}/rgbd/7scenes?image=**/*.color.jpg&depth=**/*.depth.png&invalid=0,65535&intrinsics=585,585,320,240",
    )
    opened = [open_source(text, 1, 0) for text in sources]
    return [source.load(key) for source in opened for key in source.list_keys()]


@pytest.fixture(params=["rooms", "real"])
def depth_scenes(request):
    kind = request.param
    return request.getfixturevalue("rooms") if kind == "rooms" else rgbd_scenes(request.getfixturevalue("real_data"))


def normalised(depth):
    known = sorted(float(v) for v in depth.ravel() if not math.isnan(v))
    low, high = (known[round(q * (len(known) - 1))] for q in (0.005, 0.995))
    return lambda v: min(1.0, max(0.0, (float(v) - low) / (high - low)))


@pytest.mark.parametrize("variant", ["order3", "order4"])
def test_depth(variant, depth_scenes):
    for scene, row in rows_of("depth", variant, depth_scenes):
        params = json.loads(row["params"])
        unit, half = normalised(scene.depth), params["half"]
        spans = {}
        for label, (x, y) in enumerate(params["centres"], start=1):
            values = [unit(scene.depth[v, u]) for v in range(y - half, y + half + 1) for u in range(x - half, x + half + 1)]
            assert not any(math.isnan(scene.depth[v, x]) for v in range(y - half, y + half + 1))
            spans[label] = (min(values), max(values))
            assert spans[label][1] - spans[label][0] < 0.15
        order = sorted(spans, key=lambda label: spans[label][0])
        assert "-".join(map(str, order)) == row["answer"]
        gaps = [spans[b][0] - spans[a][1] for a, b in pairwise(order)]
        assert min(gaps) > 0.05
        assert row["margin"] == pytest.approx(min(gaps), rel=0.02)  # limits from a sample of the readings


@pytest.mark.parametrize("variant", ["nearest", "farthest"])
def test_the_extreme_place(variant, depth_scenes):
    for scene, row in rows_of("depth", variant, depth_scenes):
        params = json.loads(row["params"])
        half, sign = params["half"], 1 if variant == "nearest" else -1
        windows = [scene.depth[y - half : y + half + 1, x - half : x + half + 1] for x, y in params["centres"]]
        ends = sorted((float((sign * w).max()), float((sign * w).min()), i + 1) for i, w in enumerate(windows))
        assert str(ends[0][2]) == row["answer"]
        assert len(ends) == 4
        assert all(ends[0][0] < other[1] for other in ends[1:])
        assert variant in row["problem"]


HEADING = {0: (0, 1), 90: (-1, 0), 180: (0, -1), 270: (1, 0)}
"""Where an observer looks, as (x to the right, z away from the camera)."""


@pytest.mark.parametrize("variant", TASKS["position"].variants)
def test_position(variant, depth_scenes):
    for scene, row in rows_of("position", variant, depth_scenes):
        params = json.loads(row["params"])
        unit = normalised(scene.depth)
        (x1, y1), (x2, y2) = params["points"]
        limit = 150 * min(1, scene.rgb.shape[1] / 640)
        dx = x2 - x1 if abs(x2 - x1) > limit else 0
        dz = unit(scene.depth[y2, x2]) - unit(scene.depth[y1, x1])
        dz = dz if abs(dz) > 0.25 else 0
        ahead_x, ahead_z = HEADING[params["view"]]
        front = dx * ahead_x + dz * ahead_z
        right = dx * ahead_z - dz * ahead_x
        words = [
            "front" if front > 0 else "back" if front < 0 else "",
            "right" if right > 0 else "left" if right < 0 else "",
        ]
        assert " ".join(w for w in words if w) == row["options"]["ABCD".index(row["answer"])]
        assert {0: "away", 90: "left side", 180: "toward the camera", 270: "right side"}[params["view"]] in row["problem"]


def in_space(scene, x, y):
    """Point behind a pixel, in metres from the camera."""
    width, height = scene.rgb.shape[1], scene.rgb.shape[0]
    camera = scene.intrinsics
    fx, fy, cx, cy = (
        (camera.fx, camera.fy, camera.cx, camera.cy) if camera else (max(width, height),) * 2 + (width / 2, height / 2)
    )
    z = float(scene.depth[y, x])
    return ((x - cx) / fx * z, (y - cy) / fy * z, z)


@pytest.mark.parametrize("profile", ["paper", "strict"])
def test_distance(profile, depth_scenes):
    scenes = [scene for scene in depth_scenes if scene.depth_unit == "metre"]
    for scene, row in rows_of("distance", "pairs", scenes, profile=profile):
        p1, p2, p3, p4 = (in_space(scene, x, y) for x, y in json.loads(row["params"])["points"])
        lengths = {"1 and 2": math.dist(p1, p2), "3 and 4": math.dist(p3, p4)}
        farther = max(lengths, key=lambda pair: lengths[pair])
        assert row["options"]["AB".index(row["answer"])] == farther
        assert max(lengths.values()) >= 1.3 * min(lengths.values()) * (1 - 1e-6)


def test_relative_depth_gives_no_distance(rooms):
    drop = draw_row(replace(rooms[0], depth_unit="relative"), make_task("distance", "pairs", "paper"), "paper", 0, "test", 0)
    assert drop == Drop("depth not in metres", final=True)


def test_noise_is_that_of_a_kinect():
    metres = np.array([0.4, 1.4, 3.4], np.float32)
    assert noise_of(metres, "metre") == pytest.approx([0.0012, 0.0031, 0.0183], rel=1e-3)
    assert noise_of(metres, "relative") == pytest.approx(metres / 100)
    assert steps_in_noise(metres[:1], metres[1:2], "relative") == pytest.approx(1 / math.hypot(0.004, 0.014))


@pytest.mark.parametrize("name", ["depth", "position", "distance"])
def test_marks_hide_nothing_of_what_they_mark(name, depth_scenes):
    for scene, row in rows_of(name, next(iter(TASKS[name].variants)), depth_scenes):
        task = make_task(row["task"], row["variant"], "paper")
        params = task.params.from_json(row["params"])
        shown = task.render(scene, params)[0]
        places = params.centres if name == "depth" else params.points
        changed = (shown != scene.rgb).any(axis=2)
        for x, y in places:
            half = params.half
            assert not changed[y - half : y + half + 1, x - half : x + half + 1].any()
            assert not math.isnan(scene.depth[y, x])
        assert changed.any()
