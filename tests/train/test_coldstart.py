"""The texts of the cold start: right, true where that can be checked against the scene, and varied."""

import json
import math
import re
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from spatial_ssrl.coldstart import BRIEF, cold_start_reply
from spatial_ssrl.reward import score
from spatial_ssrl.rng import digest, generator
from spatial_ssrl.tasks import PROFILES, TASKS, Drop, make_task, offered

ALL = [(name, variant, profile) for profile in PROFILES for name in TASKS for variant in offered(name, profile)]
DRAWS = 60


def row_of(task, params, i):
    """What a row says of a puzzle, without its pictures."""
    return {
        "id": digest("row", i),
        "task": task.name,
        "variant": task.variant,
        "answer": task.answer(params),
        "grammar": task.grammar(params).spec,
        "options": task.options(params),
        "params": params.to_json(),
    }


@cache
def puzzles_of(name, variant, profile, scenes):
    """Rows, and the scenes and parameters that they are about."""
    task = make_task(name, variant, profile)
    drawn = [(scenes[i % len(scenes)], task.draw(scenes[i % len(scenes)], generator("said", i))) for i in range(DRAWS)]
    found = [(row_of(task, p, i), scene, p, task) for i, (scene, p) in enumerate(drawn) if not isinstance(p, Drop)]
    assert found, {p.reason for _, p in drawn}
    return found


@pytest.fixture(params=ALL, ids=lambda p: "/".join(p))
def puzzles(request, rooms):
    return puzzles_of(*request.param, tuple(rooms))


def thought_of(reply):
    return re.fullmatch(r"<think>(.*)</think>\n\\boxed\{.*\}", reply)[1]


def sentences(reply):
    return re.split(r"(?<=[.?])\s", thought_of(reply))


def test_every_text_leads_to_the_right_answer(puzzles):
    for row, *_ in puzzles:
        reply = cold_start_reply(row)
        assert score(reply, row).total == 1.0
        assert score(reply, row, "exact").total == 1.0
        last, answer = sentences(reply)[-1], row["answer"]
        if row["task"] == "flip":
            patch, way = answer.split("-")
            assert re.search(rf"\b{patch} .*\b{way}\b", last)
        else:
            numbers = re.sub(r"place \d from|row \d, column \d", "", last)
            order = re.findall(r"\b\d\b", numbers) if row["grammar"].startswith(("permutation", "label")) else []
            assert order[-len(answer.split("-")) :] == answer.split("-") or re.search(rf"\b{answer}\b", last)


def middle(box):
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def lies_beside(it, b, side, a):
    """Shown patch b is one cell right of, or below, shown patch a in the scene."""
    rows, columns = it.task.grid
    pitch = it.scene.size[0] / columns, it.scene.size[1] / rows
    (xa, ya), (xb, yb) = (middle(it.params.cuts[it.params.permutation[int(k)]]) for k in (a, b))
    steps = round((xb - xa) / pitch[0]), round((yb - ya) / pitch[1])
    return steps == ((1, 0) if side == "right of" else (0, 1))


def is_white(it, k):
    picture = it.task.render(it.scene, it.params)[0]
    left, top, right, bottom = it.task.boxes(it.params)[int(k)]
    return (picture[(top + bottom) // 2 : bottom, (left + right) // 2 : right] == 255).all()


def broken(it, a, b):
    return it.params.patch in (int(a), int(b)) and beside(a, b)


def whole(it, a, b):
    return it.params.patch not in (int(a), int(b)) and beside(a, b)


def beside(a, b):
    return abs(int(a) % 2 - int(b) % 2) + abs(int(a) // 2 - int(b) // 2) == 1


def undoes(it, patch):
    """The patch as it was is nothing but the shown one changed back."""
    return it.params.patch == int(patch)


def is_turned(it, letter, way):
    """Turned back, the option is the one that fits: the true one."""
    options = dict(zip("ABCD", it.task.render(it.scene, it.params)[1:], strict=True))
    true = options[it.task.answer(it.params)].astype(float)
    back, forth = (np.rot90(options[letter], k).astype(float) for k in ((1, -1) if way == "clockwise" else (-1, 1)))
    return np.abs(back - true).mean() < min(np.abs(forth - true).mean(), 3)


def area_of(it, letter):
    left, top, right, bottom = it.params.cuts["ABCD".index(letter)]
    return (right - left) * (bottom - top)


def compare_area(sign):
    return lambda it, letter: sign * (area_of(it, letter) - (it.params.hole[2] - it.params.hole[0]) ** 2) > 0


def is_elsewhere(it, letter):
    x, y = middle(it.params.cuts["ABCD".index(letter)])
    left, top, right, bottom = it.params.hole
    return not (left <= x < right and top <= y < bottom)


def is_centred(it, half, side):
    black = (it.task.render(it.scene, it.params)[0] == 0).all(axis=2)
    rows, columns = (np.flatnonzero(black.mean(axis=i) > 0.2) for i in (1, 0))
    height, width = black.shape
    close = [
        (rows.min() + rows.max() + 1 - height) * (1 if half == "lower" else -1),
        (columns.min() + columns.max() + 1 - width) * (1 if side == "right" else -1),
    ]
    return min(close) >= -2


def is_nearer(it, near, far, *height):
    (x1, y1), (x2, y2) = (it.params.centres[int(k) - 1] for k in (near, far))
    seen = {"lower": y1 > y2, "higher": y1 < y2}
    return it.scene.depth[y1, x1] < it.scene.depth[y2, x2] and all(seen[word] for word in height if word)


def is_deeper(it, word):
    (x1, y1), (x2, y2) = it.params.points
    return (it.scene.depth[y2, x2] > it.scene.depth[y1, x1]) == (word == "farther from")


def is_across(it, side):
    (x1, _), (x2, _) = it.params.points
    return (x2 > x1) == (side == "right")


def points_to(it, name, where):
    """The rotation that tasks/position.py states, of a step in the camera's frame."""
    angle = math.radians(it.params.view)
    steps = {"right in the picture": (1, 0), "left in the picture": (-1, 0)}
    dx, dz = (steps | {"away from the camera": (0, 1), "toward the camera": (0, -1)})[where]
    right, front = math.cos(angle) * dx + math.sin(angle) * dz, math.cos(angle) * dz - math.sin(angle) * dx
    return (round(right), round(front)) == {"right": (1, 0), "left": (-1, 0), "front": (0, 1), "back": (0, -1)}[name]


def spans(it):
    a, b, c, d = np.array(it.params.points, float)
    return {"1 and 2": np.linalg.norm(a - b), "3 and 4": np.linalg.norm(c - d)}


def is_shorter(it, pair):
    return spans(it)[pair] == min(spans(it).values())


CLAIMS = {
    "shuffle": {
        r"Number (\d) (?:comes|goes on) (right of|below) (?:number )?(\d)\.": lies_beside,
        r"Number (\d) is white.*": is_white,
    },
    "flip": {
        r"Number (\d) does not fit number (\d)\.": broken,
        r"The border of (\d) and (\d) is broken\.": broken,
        r"Numbers (\d) and (\d) fit each other\.": whole,
        r"Across their border, (\d) and (\d) go on\.": whole,
        r"Turned back by (\d+) degrees counter-clockwise, number (\d) fits.*": (
            lambda it, way, k: int(way) == it.params.way and undoes(it, k)
        ),
        r"With top and bottom exchanged again, number (\d) fits.*": lambda it, k: it.params.way == 0 and undoes(it, k),
        r"With left and right exchanged again, number (\d) fits.*": lambda it, k: it.params.way == 1 and undoes(it, k),
    },
    "crop": {
        r"([A-D]) is turned (clockwise|counter-clockwise)\.": is_turned,
        r"In ([A-D]) everything is turned by 90 degrees (clockwise|counter-clockwise)\.": is_turned,
        r"([A-D]) shows only the middle of the part, enlarged\.": compare_area(-1),
        r"([A-D]) is too near: it shows less than the square hides\.": compare_area(-1),
        r"([A-D]) shows more than fits into the square\.": compare_area(1),
        r"([A-D]) also shows what is around the square\.": compare_area(1),
        r"([A-D]) is another part of the scene\.": is_elsewhere,
        r"What is around the square does not go on in ([A-D])\.": is_elsewhere,
        r"([A-D]) (?:goes on with|continues) what is around the square\.": lambda it, k: k == it.task.answer(it.params),
        r"The middle of the square lies in the (upper|lower) half, to the (left|right)\.": is_centred,
        r"The square is centred (upper|lower) (left|right)\.": is_centred,
    },
    "depth": {
        r"Place (\d) is nearer than place (\d)(?:\.|, (?:and|although) it lies (lower|higher) in the picture\.)": is_nearer,
        r"Place (\d) is farther than place (\d)\.": lambda it, far, near: is_nearer(it, near, far),
    },
    "position": {
        r"For the observer, (\w+) is (.*)\.": points_to,
        r"The observer's (\w+) points (.*)\.": points_to,
        r"Place 2 is (left|right) of place 1 in the picture\.": is_across,
        r"In the picture, 2 lies to the (left|right) of 1\.": is_across,
        r"Place 2 is (farther from|nearer to) the camera than place 1\.": is_deeper,
        r"Of the two, place 2 is (farther from|nearer to) the camera\.": is_deeper,
    },
    "distance": {
        r"In the picture, .* are farther apart than (1 and 2|3 and 4)\.": is_shorter,
        r"On the picture's plane (1 and 2|3 and 4) are closer\.": is_shorter,
    },
}


def test_what_is_said_is_true(puzzles):
    checked = 0
    for row, scene, params, task in puzzles:
        it = SimpleNamespace(scene=scene, params=params, task=task)
        for sentence in sentences(cold_start_reply(row))[:-1]:
            for pattern, holds in CLAIMS[task.name].items():
                if match := re.fullmatch(pattern, sentence):
                    assert holds(it, *match.groups()), (sentence, params)
                    checked += 1
    assert checked >= len(puzzles) / 3


def test_texts_vary_with_the_id_alone(puzzles):
    row = puzzles[0][0]
    assert cold_start_reply(row) == cold_start_reply(dict(row))
    texts = [cold_start_reply({**row, "id": digest("other", i)}) for i in range(100)]
    lengths = sorted(map(len, texts))
    assert len(set(texts)) >= 15, "of one and the same puzzle"
    assert lengths[-1] >= 1.5 * lengths[0]
    assert lengths[-1] < 2000


def test_the_other_forms(puzzles):
    row = puzzles[0][0]
    assert cold_start_reply(row, "boxed") == f"\\boxed{{{row['answer']}}}"
    assert cold_start_reply(row, "none") == row["answer"]
    assert thought_of(cold_start_reply(row, "brief")) == BRIEF[row["task"]]
    assert json.loads(row["params"])["wording"] >= 0
