import json
import os
import signal
from collections import Counter
from itertools import islice

import pytest
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset

from spatial_ssrl import Environment, Recipe, score, stream
from spatial_ssrl.errors import DatasetError, RecipeError, SourceError, TrainingError
from spatial_ssrl.row import SCHEMA
from spatial_ssrl.streaming.ahead import DIED, Processes
from spatial_ssrl.train.curriculum import Curriculum

ROOMS = "synthetic:12?size=112x112&style=plain"
RECIPE = Recipe(
    sources=("none",),
    profile="paper",
    splits={"train": 0.6, "validation": 0.3, "test": 0.1},
    tasks=({"task": "shuffle", "variant": "2x2", "weight": 3}, {"task": "flip", "variant": "2x2"}),
)


def rooms(**settings):
    return stream(ROOMS, RECIPE, seed=5, **settings)


@pytest.fixture(scope="module")
def rows():
    return list(islice(rooms(), 60))


def test_rows_are_rows_of_one_split_in_the_recipe_shares(rows):
    assert all(set(row) == set(SCHEMA.names) for row in rows)
    held_out = {row["scene_id"] for row in islice(rooms(split="validation"), 10)}
    assert {row["split"] for row in rows} == {"train"}
    assert held_out.isdisjoint(row["scene_id"] for row in rows)
    counts = Counter(row["task"] for row in rows)
    assert 36 <= counts["shuffle"] <= 54, "45 expected; 3 standard deviations are 10"


def test_scenes_come_again_with_other_puzzles(rows):
    visits = Counter(row["scene_id"] for row in rows)
    assert len(visits) < 12
    assert min(visits.values()) >= 2
    asked = {(row["scene_id"], row["task"], row["params"]) for row in rows if row["task"] == "shuffle"}
    assert len({row["id"] for row in rows}) == len(rows)
    assert len(asked) > 0.9 * sum(row["task"] == "shuffle" for row in rows)


def test_another_seed_gives_other_rows(rows):
    other = islice(stream(ROOMS, RECIPE, seed=6), 20)
    assert {row["id"] for row in rows}.isdisjoint(row["id"] for row in other)


def test_the_state_of_any_moment_goes_on_with_the_same_bytes(rows):
    first = rooms()
    assert list(islice(first, 7)) == rows[:7]
    state = json.loads(json.dumps(first.state_dict()))
    later = rooms()
    later.load_state_dict(state)
    assert list(islice(later, 20)) == rows[7:27]
    assert list(islice(first, 3)) == rows[7:10], "a stream that is iterated again goes on"


def test_workers_of_its_own_change_nothing(rows):
    streaming = rooms(workers=2, ahead=5)
    assert list(islice(streaming, 20)) == rows[:20]
    assert streaming.state_dict() == {"stream": rooms().state_dict()["stream"], "number": 20, "chosen": {}}


def with_curriculum(**settings):
    return rooms(ahead=4, chooser=Curriculum(("shuffle/2x2", "flip/2x2")), **settings)


def taught(streaming, n):
    """Rows of a stream whose curriculum hears after each that shuffle is never right, and flip half the time."""
    for row in islice(streaming, n):
        streaming.chooser.update(row["task"], row["variant"], [0.0, float(row["task"] == "flip")])
        yield row


def test_a_chooser_decides_and_is_restored():
    streaming = with_curriculum()
    before = list(taught(streaming, 12))
    state = json.loads(json.dumps(streaming.state_dict()))
    assert sorted(map(int, state["chosen"])) == [12, 13, 14, 15], "chosen ahead"
    after = list(taught(streaming, 28))
    assert sum(row["task"] == "flip" for row in after) > 20 > 12 > sum(row["task"] == "flip" for row in before)
    later = with_curriculum(workers=1)
    later.load_state_dict(state)
    assert list(taught(later, 28)) == after
    with pytest.raises(TrainingError, match="hear of no reward"):
        next(iter(DataLoader(with_curriculum(), batch_size=None, num_workers=2)))


def test_workers_of_a_loader_share_the_rows(rows):
    assert isinstance(rooms(), IterableDataset)
    loaded = list(islice(DataLoader(rooms(), batch_size=None, num_workers=2), 20))
    assert loaded == rows[:20], "one row a turn: worker 0 has the even numbers, worker 1 the odd ones"
    batches = list(islice(DataLoader(rooms(), batch_size=3, num_workers=2, collate_fn=list), 2))
    assert [row["id"] for row in batches[0] + batches[1]] == [rows[i]["id"] for i in (0, 2, 4, 1, 3, 5)]


def test_a_killed_worker_costs_no_row(rows):
    streaming = iter(rooms(workers=2, ahead=6))
    got = [next(streaming) for _ in range(5)]
    processes = streaming.gi_frame.f_locals["making"]
    for pid in list(processes.pool._processes):
        os.kill(pid, signal.SIGKILL)
    assert got + [next(streaming) for _ in range(15)] == rows[:20]


def test_a_row_that_kills_its_process_is_left_out(monkeypatch):
    deadly = rooms(workers=1, ahead=1)
    making = Processes(deadly.plan, "train", 1)
    entry = deadly.plan.entries[0]
    making.ask(0, entry)
    monkeypatch.setattr("spatial_ssrl.streaming.ahead._start", _die)
    for pid in list(making.pool._processes):
        os.kill(pid, signal.SIGKILL)
    made = making.take()
    making.close()
    assert made.row is None
    assert made.drops == {(entry.name, DIED): 1}


def _die(*_):
    os.abort()


def test_files_that_cannot_be_used_are_skipped_and_counted(rooms_on_disk):
    streaming = stream(str(rooms_on_disk), RECIPE)
    got = list(islice(streaming, 40))
    assert len(got) == 40
    assert set(streaming.skipped) == {"folder:broken.jpg"}
    other = stream(str(rooms_on_disk), RECIPE, workers=1)
    assert list(islice(other, 40)) == got
    assert other.skipped == streaming.skipped


@pytest.fixture
def rooms_on_disk(tmp_path):
    from spatial_ssrl.sources import open_source

    source = open_source("synthetic:8?size=112x112", 8, 0)
    for key in source.list_keys():
        Image.fromarray(source.load(key).rgb).save(tmp_path / f"{key}.jpg")
    (tmp_path / "broken.jpg").write_bytes((tmp_path / f"{key}.jpg").read_bytes()[:900])
    return tmp_path


def test_a_variant_that_no_scene_gives_ends_the_stream_at_once(tmp_path):
    Image.new("RGB", (112, 112), "grey").save(tmp_path / "plain.png")
    Image.new("RGB", (112, 113), "grey").save(tmp_path / "plain-too.png")
    with pytest.raises(SourceError, match=r"gave no row of (shuffle|flip)/2x2 \(.*leave it out of the recipe"):
        next(iter(stream(str(tmp_path), RECIPE.model_copy(update={"splits": {"train": 1.0}}))))


def test_clear_errors():
    with pytest.raises(RecipeError, match="no split 'dev'; the recipe has train, validation, test"):
        rooms(split="dev")
    with pytest.raises(DatasetError, match="of other sources, or of another recipe, seed or split"):
        rooms().load_state_dict(stream(ROOMS, RECIPE, seed=6).state_dict())


def test_an_environment_poses_a_row_and_scores_one_reply(rows):
    environment = Environment(rooms())
    prompt, images = environment.reset(seed=3)
    parts = prompt[0]["content"]
    assert sum(part["type"] == "image" for part in parts) == len(images) == len(rows[3]["images"])
    right = f"<think>so</think>\\boxed{{{rows[3]['answer']}}}"
    reward, facts = environment.step(right)
    assert reward == score(right, rows[3]).total == 1.0
    assert facts["id"] == rows[3]["id"]
    assert facts["why"] == "right"
    with pytest.raises(TrainingError, match="call reset"):
        environment.step(right)
    assert environment.reset(seed=3)[0] == prompt
