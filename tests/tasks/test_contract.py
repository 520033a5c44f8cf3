"""What every task promises. A new line in TASKS inherits all of it."""

import json
import math
from collections import Counter
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from spatial_ssrl.build.draw import draw_row
from spatial_ssrl.grammar import Grammar
from spatial_ssrl.reward import score
from spatial_ssrl.rng import generator
from spatial_ssrl.scene import MIN_SIDE, Scene, decode_rgb
from spatial_ssrl.tasks import PROFILES, TASKS, Drop, make_task, offered
from spatial_ssrl.tasks.shuffle import Shuffle

ALL = [(name, variant, profile) for profile in PROFILES for name in TASKS for variant in offered(name, profile)]
MOST_ASKED = 5000
"""Of more answers, this many are tried."""


@pytest.fixture(scope="module", params=ALL, ids=lambda p: "/".join(p))
def task(request):
    return make_task(*request.param)


@pytest.fixture(params=[names for names in ALL if names[2] == "paper"], ids=lambda p: "/".join(p))
def published(request):
    """What does not depend on the profile is asked of one."""
    return make_task(*request.param)


def rows_of(task, scenes, count=3, seed=0):
    return _rows_of(task, tuple(scenes), count, seed)


@lru_cache(maxsize=8)
def _rows_of(task, scenes, count, seed):
    drawn = [draw_row(scene, task, "paper", seed, "train", k) for scene in scenes for k in range(count)]
    rows = [row for row in drawn if not isinstance(row, Drop)]
    assert rows, {d.reason for d in drawn}
    return rows


def draws_of(task, scenes, count):
    """Many parameter draws, spread over the scenes."""
    drawn = [draw(task, scenes[i % len(scenes)], i) for i in range(count)]
    return [params for params in drawn if not isinstance(params, Drop)]


@lru_cache(maxsize=4096)
def draw(task, scene, i):
    return task.draw(scene, generator("draws", i))


def test_a_row_can_be_scored_from_itself(task, rooms):
    for row in rows_of(task, rooms):
        reply = f"<think>I looked.</think>\n\\boxed{{{row['answer']}}}"
        assert score(reply, row).total == pytest.approx(1.0)
        assert score(f"<think>no</think> {row['answer']}", row).total == 0
        for garbage in ("", "I do not know.", "\\boxed{}", f"<think>\\boxed{{{row['answer']}}}</think>"):
            assert score(garbage, row).total == 0, garbage


def test_every_other_answer_is_wrong(published, rooms):
    row = rows_of(published, rooms)[0]
    answers = list(Grammar.from_spec(row["grammar"]).answers())
    asked = {row["answer"], *answers[:: 1 + len(answers) // MOST_ASKED]}
    right = [a for a in asked if score(f"\\boxed{{{a}}}", row).accuracy == 1]
    assert right == [row["answer"]]
    assert 1 / len(answers) <= row["chance"] <= 1 / (len(answers) - 1)


def test_same_key_same_row_and_order_does_not_matter(task, rooms):
    forward = rows_of(task, rooms)
    backward = rows_of(task, rooms[::-1])
    key = {row["id"]: row for row in backward}
    assert len(key) == len(forward)
    assert all(key[row["id"]] == row for row in forward)


def test_another_seed_gives_other_rows(task, rooms):
    first, second = rows_of(task, rooms, seed=42), rows_of(task, rooms, seed=43)
    assert not {r["id"] for r in first} & {r["id"] for r in second}
    same = sum(a["params"] == b["params"] for a in first for b in second)
    assert same <= 0.2 * len(first) * len(second)


def test_images_match_placeholders_and_margin_its_threshold(task, rooms):
    for row in rows_of(task, rooms):
        assert row["problem"].count("<image>") == len(row["images"])
        assert row["margin"] >= row["margin_threshold"]
        assert row["level"] == TASKS[row["task"]].variants[row["variant"]]
        assert "think" not in row["problem"]


def test_params_survive_json_and_render_the_same_pixels(task, rooms):
    for params in draws_of(task, rooms, 12):
        back = task.params.from_json(params.to_json())
        assert back == params
        pairs = zip(task.render(rooms[0], back), task.render(rooms[0], params), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
        assert json.loads(params.to_json())["wording"] == params.wording


def test_rendering_leaves_the_scene_alone(task, rooms):
    before = rooms[1].rgb.copy()
    task.render(rooms[1], draws_of(task, rooms, 24)[0])
    assert np.array_equal(rooms[1].rgb, before)


def test_answers_are_spread_evenly(task, rooms):
    """Chi-square against the uniform distribution over the answers that can be right."""
    draws = draws_of(task, rooms, 120 if task.needs_depth or task.name == "crop" else 1200)
    counts = Counter(task.answer(params) for params in draws)
    possible = round(1 / task.chance(draws[0]))
    expected = len(draws) / possible
    statistic = sum((n - expected) ** 2 for n in counts.values()) / expected + (possible - len(counts)) * expected
    degrees = possible - 1
    limit = degrees * (1 - 2 / (9 * degrees) + 3.09 * (2 / (9 * degrees)) ** 0.5) ** 3  # Wilson-Hilferty, p = 0.001
    assert statistic < limit, counts


def test_all_wordings_are_used_and_ask_the_same(task, rooms):
    draws = draws_of(task, rooms, 40)
    assert {params.wording for params in draws} == set(range(len(task.wordings)))
    questions = {task.question(replace(draws[0], wording=w)) for w in range(len(task.wordings))}
    assert len(questions) == len(task.wordings) >= 2
    assert all("Answer" in q for q in questions)


def test_draws_of_one_scene_differ(task, rooms):
    rows = rows_of(task, rooms, 4)
    puzzles = {(row["scene_id"], json.dumps({**json.loads(row["params"]), "wording": 0})) for row in rows}
    assert len(puzzles) == len(rows)


@pytest.mark.parametrize("size", [(MIN_SIDE, MIN_SIDE), (MIN_SIDE, 500), (500, MIN_SIDE), (101, 97)])
def test_small_and_long_pictures_give_a_row_or_a_reason(task, size):
    rng = generator("small", *size)
    rgb = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    depth = np.linspace(1, 5, size[0] * size[1], dtype=np.float32).reshape(size[1], size[0])
    for k in range(6):
        row = draw_row(Scene(rgb, depth), task, "paper", 0, "train", k)
        assert isinstance(row, Drop) or all(decode_rgb(image["bytes"]).size for image in row["images"])


def test_depth_without_readings_gives_a_reason(task):
    if not task.needs_depth:
        return
    rgb = np.zeros((120, 160, 3), np.uint8)
    for depth in (np.full((120, 160), np.nan, np.float32), np.ones((120, 160), np.float32)):
        drop = draw_row(Scene(rgb, depth), task, "paper", 0, "train", 0)
        assert drop == Drop("no depth range", final=True)


@pytest.mark.parametrize(("patience", "draws"), [(Shuffle.hopeless, 1), (math.inf, 5)])
def test_a_draw_that_is_far_too_likely_is_the_last_one(noise, patience, draws):
    drawn = []

    class Watched(Shuffle):
        hopeless = patience

        def draw(self, scene, rng):
            drawn.append(super().draw(scene, rng))
            return drawn[-1]

    task = replace(Watched(**vars(make_task("shuffle", "1x3", "strict"))), max_lift=1e-9, min_difference=0.0)
    row = draw_row(Scene(noise.repeat(4, axis=0).repeat(4, axis=1)), task, "strict", 0, "train", 0)
    assert row == Drop("given away by a cue")
    assert len(drawn) == draws
