"""Rows of our own are read and scored in the evaluation as in the reward."""

import pytest

from evaluate.helpers import QUIET, Scripted
from spatial_ssrl.build import Recipe, build
from spatial_ssrl.evaluate import Settings, evaluate
from spatial_ssrl.evaluate.benchmarks.pretext import Pretext
from spatial_ssrl.evaluate.run import read_verdicts
from spatial_ssrl.reward import score
from spatial_ssrl.row import read_rows

REPLIES = (
    "<think>so</think>\\boxed{%s}",
    "\\boxed{%s}",
    "<think>\\boxed{%s}</think>",
    "%s",
    "<think>so</think>\\boxed{A}",
    "",
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretext") / "data"
    recipe = Recipe.create(
        None, {"sources": ("synthetic:8?size=160x120",), "n": 30, "profile": "paper", "splits": {"test": 1.0}}
    )
    build(recipe, folder, 1, "test", lambda made, total: None)
    return folder


def test_verdicts_are_those_of_the_reward(dataset, tmp_path):
    rows = list(read_rows(dataset, "test"))
    replies = {row["id"]: REPLIES[i % len(REPLIES)].replace("%s", row["answer"]) for i, row in enumerate(rows)}
    order = iter(rows)
    backend = Scripted(lambda prompt: replies[next(order)["id"]])
    results = evaluate(Pretext(), dataset, backend, tmp_path, Settings(), QUIET)
    verdicts = read_verdicts(tmp_path)
    expected = [score(replies[row["id"]], row) for row in rows]
    assert [(v.accuracy, v.format, v.parsed) for v in verdicts] == [(s.accuracy, s.format, s.parsed) for s in expected]
    assert {v.cluster for v in verdicts} == {row["scene_id"] for row in rows}
    assert results.overall.chance == pytest.approx(sum(row["chance"] for row in rows) / len(rows))
    assert [s.name for s in results.scores] == sorted({f"{row['task']}/{row['variant']}" for row in rows})
