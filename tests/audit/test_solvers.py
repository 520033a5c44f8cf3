"""Solvers pass published rows, and fail where the pictures do not tell: nothing leaks past them."""

import json
from dataclasses import fields

import numpy as np
import pytest

from audit.helpers import accuracy, boil_down, noise_image, rows_of
from spatial_ssrl.audit.altered import restore
from spatial_ssrl.audit.attacks import MOST_CLASSES, Attack, Counting, attacks_on, cross_fit
from spatial_ssrl.audit.crop import find_hole
from spatial_ssrl.audit.depth import weights
from spatial_ssrl.audit.distance import distance_length
from spatial_ssrl.audit.example import examine
from spatial_ssrl.audit.heads import HEADS, credits
from spatial_ssrl.audit.position import camera_steps
from spatial_ssrl.audit.puzzle import Puzzle
from spatial_ssrl.audit.search import propose
from spatial_ssrl.audit.shuffle import visible
from spatial_ssrl.grammar import Permutation
from spatial_ssrl.scene import Scene
from spatial_ssrl.tasks import TASKS
from spatial_ssrl.tasks.grid import cells, join, take
from spatial_ssrl.tasks.marks import label_boxes

VARIANTS = [(name, variant) for name, task in TASKS.items() for variant in task.variants]


@pytest.mark.parametrize(
    ("name", "variant", "solver", "least"),
    [
        ("shuffle", "2x2", "seams", 0.6),
        ("shuffle", "3x1", "seams", 0.6),
        ("flip", "2x2", "seams", 0.6),
        ("crop", "square", "options alone", 0.7),
    ],
)
def test_pixels_solve_published_rows(name, variant, solver, least, rooms):
    rows = rows_of(name, variant, rooms, 3)
    assert accuracy(rows, solver) > least > 2 * rows[0]["chance"]


@pytest.mark.parametrize("head", HEADS)
def test_every_head_learns_the_seams(head, rooms):
    assert accuracy(rows_of("flip", "2x2", rooms, 3), "seams", head) > 0.5


@pytest.mark.parametrize(
    ("name", "variant", "solver", "published"),
    [
        ("shuffle", "2x2", "seams", 0.86),
        ("shuffle", "2x2-masked", "seams", 0.76),
        ("shuffle", "4x1", "seams", 0.91),
        ("flip", "2x2", "seams", 0.94),
        ("crop", "square", "border", 0.90),
        ("crop", "square", "options alone", 0.95),
    ],
)
def test_solvers_reach_what_was_published(name, variant, solver, published, photographs):
    assert accuracy(rows_of(name, variant, [p.fit(512) for p in photographs], 2), solver) >= published


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_a_puzzle_does_not_hold_the_answer(name, variant, rooms):
    """Whatever else could have been drawn, with the same geometry, is the same puzzle."""
    row = rows_of(name, variant, rooms, 4)[0]
    answers = {"permutation", "masked", "patch", "direction", "kinds", "x", "y", "order", "limits"}
    other = {
        k: v[::-1] if isinstance(v, list) else 1 - int(bool(v)) for k, v in json.loads(row["params"]).items() if k in answers
    }
    changed = {**row, "params": json.dumps(json.loads(row["params"]) | other), "answer": "?", "margin": 0.0}
    first, second = Puzzle.from_row(row), Puzzle.from_row(changed)
    assert all(getattr(first, f.name) == getattr(second, f.name) for f in fields(Puzzle))


@pytest.mark.parametrize(("name", "variant"), [("shuffle", "1x3"), ("flip", "2x2")])
def test_without_the_picture_all_attacks_are_near_chance(name, variant, rooms):
    rows = rows_of(name, variant, rooms, 4)
    blind = [
        examine({**row, "images": [noise_image(100 * i + j) for j in range(len(row["images"]))]})
        for i, row in enumerate(rows)
    ]
    for attack in attacks_on(blind[0]):
        credit = cross_fit(attack, blind)
        assert credit is None or credit.mean() < rows[0]["chance"] + 4 * 0.5 / len(rows) ** 0.5, attack


def test_a_fit_never_sees_the_scenes_it_is_asked_about(rooms):
    taught = []

    class Spy(Attack):
        def fit(self, examples):
            taught[:] = [e.scene_id for e in examples]

        def scores(self, examples):
            assert taught
            assert not {e.scene_id for e in examples} & set(taught)
            return [np.zeros(len(e.answers)) for e in examples]

    examples = [boil_down(row, {}) for row in rows_of("flip", "2x2", rooms, 2)]
    assert cross_fit(Spy(), examples) == pytest.approx(1 / 8)


def test_ties_share_the_credit():
    assert credits(np.array([[1.0], [1.0], [0.0]]), 0) == pytest.approx(0.5)
    assert credits(np.array([[1.0], [0.0]]), -1) == 0


def test_words_that_give_the_answer_are_found(rooms):
    rows = rows_of("position", "diagonal", rooms, 10)
    told = [{**row, "problem": f"It is {row['options'][ord(row['answer']) - ord('A')]}."} for row in rows]
    shares = [cross_fit(Counting("words", "question"), [boil_down(row, {}) for row in some]).mean() for some in (rows, told)]
    assert shares[0] < 0.5 < 0.8 < shares[1]


def test_turned_patches_are_turned_back(noise):
    square = noise[:64, :64]
    for degrees in (90, 180, 270):
        assert np.array_equal(restore(np.rot90(square, -degrees // 90), str(degrees)), square)


def test_white_patches_are_not_taken_for_the_painted_one():
    """A thing on white: most of a patch may be white."""
    rgb = np.full((240, 320, 3), 255, dtype=np.uint8)
    for i, (y, x) in enumerate(((60, 80), (60, 240), (180, 80), (180, 240))):
        rgb[y - 20 : y + 20, x - 30 : x + 30] = 50 * i
    rows = rows_of("shuffle", "2x2-masked", [Scene(rgb)], 8)
    for row in rows:
        drawn = json.loads(row["params"])
        assert visible(Puzzle.from_row(row)).tolist() == [p != drawn["masked"] for p in drawn["permutation"]]
    assert len(rows) > 3
    assert examine(rows_of("shuffle", "2x2", [Scene(rgb)], 1)[0]).tables["seams"].any()


def test_the_hole_is_found(rooms):
    for row in rows_of("crop", "square", rooms):
        left, top, side = find_hole(Puzzle.from_row(row).pictures[0])
        drawn = json.loads(row["params"])
        assert drawn["frame"][:2] == [0, 0]
        assert np.abs(np.subtract((left, top, left + side, top + side), drawn["hole"])).max() <= 1


def test_nine_patches_are_put_in_order_by_search(rooms):
    cut = cells((0, 0, 318, 240), 3, 3)
    order = np.random.default_rng(1).permutation(9)
    shown = label_boxes(join([take(rooms[0].rgb, cut[p]) for p in order], cut), cut)
    puzzle = Puzzle("shuffle", "3x3", "s", "?", None, Permutation(9), (), True, tuple(cut), (3, 3))
    object.__setattr__(puzzle, "pictures", [shown])
    answer = "-".join(str(list(order).index(p)) for p in range(9))
    assert answer in propose(puzzle)
    assert puzzle.form.size > MOST_CLASSES


def test_orders_weigh_near_marks_against_far_ones(rooms):
    puzzle = Puzzle.from_row(rows_of("depth", "order3", rooms, 2)[0])
    assert weights(puzzle)[puzzle.answers.index("2-1-3")].tolist() == [0.0, 1.0, -1.0]


def test_a_right_option_means_the_step_that_the_marks_take(rooms):
    for row in rows_of("position", "diagonal", rooms, 4):
        puzzle = Puzzle.from_row(row)
        (x1, _), (x2, _) = puzzle.marks
        assert camera_steps(puzzle)[puzzle.answers.index(row["answer"])][0] == np.sign(x2 - x1)


def test_longer_in_the_picture_is_mostly_longer_in_space(rooms):
    assert accuracy(rows_of("distance", "pairs", rooms, 6), "length") > 0.65


def test_a_pair_is_measured_between_its_marks(rooms):
    for row in rows_of("distance", "pairs", rooms, 2):
        points = np.array(json.loads(row["params"])["points"])
        puzzle = Puzzle.from_row(row)
        lengths = distance_length(puzzle)["length"] * puzzle.pictures[0].shape[0]
        assert lengths == pytest.approx(np.hypot(*(points[::2] - points[1::2]).T))


def test_lower_is_nearer_solves_published_outdoor_rows(real_data):
    from spatial_ssrl.audit.depth import depth_place
    from spatial_ssrl.sources import open_source

    source = open_source(f"diode:{real_data}/rgbd/diode", 1, 0)
    rows = rows_of("depth", "order3", [source.load(source.list_keys()[0]).fit(640)], 30)
    puzzles = [Puzzle.from_row(row) for row in rows]
    found = [p.answers[int(np.argmax(depth_place(p)["y"]))] == row["answer"] for p, row in zip(puzzles, rows, strict=True)]
    assert np.mean(found) >= 0.8
