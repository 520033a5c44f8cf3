import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_ssrl.train.curriculum import FLOOR, Curriculum

NAMES = ("shuffle/2x2", "shuffle/3x3", "shuffle/4x1", "flip/2x2", "depth/order3", "depth/order4")
EVEN = {"shuffle": 1 / 9, "flip": 1 / 3, "depth": 1 / 6}
GROUPS = st.lists(st.tuples(st.sampled_from(NAMES), st.lists(st.floats(0, 1), min_size=1, max_size=8)), max_size=300)


def after(groups):
    curriculum = Curriculum(NAMES)
    for name, rewards in groups:
        curriculum.update(*name.split("/"), rewards)
    return curriculum


@given(GROUPS)
def test_no_variant_starves_whatever_the_rewards(groups):
    weights = after(groups).weights()
    assert set(weights) == set(NAMES)
    assert math.isclose(sum(weights.values()), 1)
    assert all(weight >= FLOOR * EVEN[name.split("/")[0]] * (1 - 1e-9) for name, weight in weights.items())


@given(GROUPS, GROUPS)
def test_a_restored_curriculum_goes_on_the_same(before, then):
    one = after(before)
    other = Curriculum(NAMES)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    for name, rewards in then:
        for curriculum in (one, other):
            curriculum.update(*name.split("/"), rewards)
    assert one.weights() == other.weights()
    assert one.state_dict() == other.state_dict()


def test_before_the_first_group_tasks_are_even():
    assert Curriculum(NAMES).task_weights() == pytest.approx({"shuffle": 1 / 3, "flip": 1 / 3, "depth": 1 / 3})


def test_a_task_whose_groups_agree_gives_way_to_one_whose_groups_do_not():
    """Half of shuffle's rows are always right and half never: half is right, and yet no group teaches anything."""
    groups = [("shuffle/2x2", [float(i % 2)] * 8) for i in range(60)] + [("flip/2x2", [0.0, 1.0] * 4) for _ in range(60)]
    curriculum = Curriculum(("shuffle/2x2", "flip/2x2"))
    for name, rewards in groups:
        curriculum.update(*name.split("/"), rewards)
    assert abs(curriculum.success["shuffle/2x2"] - 0.5) < 0.05
    assert curriculum.weights()["flip/2x2"] > 0.9


def learner(weights_of, steps=400, rows=16, replies=8, seed=0):
    """A learner whose skill at a task grows with the disagreement it meets: asked variants' success, step by step."""
    rng = np.random.default_rng(seed)
    difficulty = {"shuffle/easy": -3.0, "shuffle/fair": 0.0, "shuffle/hard": 3.0, "flip/easy": -2.0, "flip/hard": 4.0}
    skill, curriculum, met = {"shuffle": -1.0, "flip": -1.0}, Curriculum(difficulty), []
    for _ in range(steps):
        weights = weights_of(curriculum)
        asked = rng.choice(list(weights), size=rows, p=list(weights.values()))
        for name in asked:
            task, variant = name.split("/")
            chance = 1 / (1 + math.exp(difficulty[name] - skill[task]))
            rewards = rng.random(replies) < chance
            curriculum.update(task, variant, rewards.astype(float).tolist())
            skill[task] += 0.005 * rewards.var()
            met.append(chance)
    return np.array(met), skill


def test_a_learner_meets_what_it_half_knows_and_learns_more():
    def even(curriculum):
        return dict.fromkeys(curriculum.success, 1 / len(curriculum.success))

    for seed in range(3):
        met, skill = learner(Curriculum.weights, seed=seed)
        met_evenly, skill_evenly = learner(even, seed=seed)
        assert np.abs(met - 0.5).mean() < 0.85 * np.abs(met_evenly - 0.5).mean()
        assert all(skill[task] > skill_evenly[task] for task in skill)
