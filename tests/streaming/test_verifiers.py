"""The taskset of `verifiers`, which has an environment of its own: `make test-verifiers`."""

import asyncio
import base64
import io
from itertools import islice

import pytest
from PIL import Image

from spatial_ssrl import stream

vf = pytest.importorskip("verifiers.v1", reason="verifiers has an environment of its own: make test-verifiers")

SOURCE = "synthetic:8?size=112x112&style=plain"
RECIPE = """
sources = ["none"]
profile = "paper"
tasks = [{ task = "shuffle", variant = "2x2" }, { task = "crop", variant = "square" }]
"""


@pytest.fixture
def puzzles(tmp_path):
    from spatial_ssrl.streaming.verifiers import Puzzles, PuzzlesConfig

    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    return Puzzles(PuzzlesConfig(sources=[SOURCE], recipe=str(recipe), seed=3)), recipe


def test_tasks_are_the_rows_of_the_stream(puzzles):
    taskset, recipe = puzzles
    assert not taskset.bounded
    tasks, rows = list(taskset.take(6)), list(islice(stream(SOURCE, recipe, seed=3), 6))
    assert [(task.data.idx, task.data.id) for task in tasks] == list(enumerate(row["id"] for row in rows))
    for task, row in zip(tasks, rows, strict=True):
        urls = [part.image_url.url for part in task.data.prompt[0].content if part.type == "image_url"]
        shown = [base64.b64decode(url.removeprefix("data:image/jpeg;base64,")) for url in urls]
        assert shown == [image["bytes"] for image in row["images"]]
        assert Image.open(io.BytesIO(shown[0])).format == "JPEG"
        assert task.data.prompt_text.startswith(row["problem"].split("<image>")[0].strip()[:20])


def test_a_trace_is_scored_as_score_does(puzzles):
    task = next(iter(puzzles[0].take(1)))
    for reply, reward, accuracy in ((f"\\boxed{{{task.data.row['answer']}}}", 0.9, 1.0), ("no idea", 0.0, 0.0)):
        trace = vf.Trace(
            task=vf.TraceTask(type="Puzzle", data=task.data),
            agent=vf.AgentInfo.model_construct(),
            nodes=[vf.MessageNode(message=vf.AssistantMessage(content=reply), sampled=True)],
        )
        asyncio.run(task.score(trace))
        assert trace.reward == pytest.approx(reward)
        assert trace.metrics["accuracy"] == accuracy
        assert trace.metrics["unparsed"] == 1 - accuracy
