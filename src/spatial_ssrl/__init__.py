"""Verifiable spatial puzzles from ordinary images, to train vision-language models and to prove the gain.

from spatial_ssrl import read_rows, score

for row in read_rows("my-puzzles", "train"):
    reply = my_model(row["images"], row["problem"])
    reward = score(reply, row).total
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spatial_ssrl.build import Recipe
    from spatial_ssrl.errors import SpatialSSRLError
    from spatial_ssrl.reward import Score, score
    from spatial_ssrl.row import Row, read_rows
    from spatial_ssrl.scene import Intrinsics, Scene
    from spatial_ssrl.sources import SOURCES, Source, open_source
    from spatial_ssrl.streaming import Environment, Stream, stream
    from spatial_ssrl.tasks import TASKS, Task, make_task

_HOMES = {
    "Recipe": "build",
    "SpatialSSRLError": "errors",
    "Score": "reward",
    "score": "reward",
    "Row": "row",
    "read_rows": "row",
    "Intrinsics": "scene",
    "Scene": "scene",
    "SOURCES": "sources",
    "Source": "sources",
    "open_source": "sources",
    "Environment": "streaming",
    "Stream": "streaming",
    "stream": "streaming",
    "TASKS": "tasks",
    "Task": "tasks",
    "make_task": "tasks",
}

__all__ = [
    "SOURCES",
    "TASKS",
    "Environment",
    "Intrinsics",
    "Recipe",
    "Row",
    "Scene",
    "Score",
    "Source",
    "SpatialSSRLError",
    "Stream",
    "Task",
    "make_task",
    "open_source",
    "read_rows",
    "score",
    "stream",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'spatial_ssrl' has no attribute {name!r}")
    return getattr(import_module(f"spatial_ssrl.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
