"""A stream as an endless taskset of `verifiers` (0.4: `import verifiers.v1`), whose environments pose one task a rollout.

verifiers finds a taskset by the name of a package of its own, so one that names a Puzzles in `__all__` is all that
its command line needs; in Python `Puzzles(PuzzlesConfig(sources=["my-photographs"]))` is enough.
"""

import base64
from collections.abc import Iterator
from typing import Any

import verifiers.v1 as vf

from spatial_ssrl.grammar import FORMAT_INSTRUCTION
from spatial_ssrl.reward import Score, score
from spatial_ssrl.row import Row
from spatial_ssrl.streaming import stream
from spatial_ssrl.vlm import conversation

__all__ = ["Puzzles"]


class PuzzlesConfig(vf.TasksetConfig):  # type: ignore[misc]
    """What `spatial_ssrl.stream` takes."""

    sources: list[str]
    recipe: str | None = None
    """TOML file."""
    seed: int = 0
    split: str = "train"


class PuzzleData(vf.TaskData):  # type: ignore[misc]
    """A puzzle: its prompt, its number in the stream as its index, its row's id, and what scoring needs."""

    row: dict[str, Any]
    """The row's columns but problem and images."""


class Puzzle(vf.Task):  # type: ignore[misc]
    """Scores the last reply as `spatial_ssrl.score` does."""

    @vf.reward  # type: ignore[untyped-decorator]
    async def reward(self, trace: Any) -> float:
        return self._score(trace).total

    @vf.metric  # type: ignore[untyped-decorator]
    async def facts(self, trace: Any) -> dict[str, float]:
        s = self._score(trace)
        return {"accuracy": s.accuracy, "format": s.format, "unparsed": float(s.parsed is None)}

    def _score(self, trace: Any) -> Score:
        return score(trace.last_reply, self.data.row)


class Puzzles(vf.Taskset[Puzzle, PuzzlesConfig]):  # type: ignore[misc]
    """Row after row of a stream, made when it is asked for."""

    INFINITE = True

    def load(self) -> Iterator[Puzzle]:
        rows = stream(self.config.sources, self.config.recipe, self.config.seed, split=self.config.split)
        for row in rows:
            facts = {name: value for name, value in row.items() if name not in ("problem", "images")}
            yield Puzzle(PuzzleData(id=row["id"], prompt=[_message(row)], row=facts), self.config.task)


def _message(row: Row) -> Any:
    """The row's problem as a user message with its pictures inside, as data URLs."""
    urls = (f"data:image/jpeg;base64,{base64.b64encode(i['bytes']).decode()}" for i in row["images"])
    parts = conversation(row["problem"], FORMAT_INSTRUCTION)[0]["content"]
    shown = [p if p["type"] == "text" else {"type": "image_url", "image_url": {"url": next(urls)}} for p in parts]
    return vf.UserMessage(content=shown)
