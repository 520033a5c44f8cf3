"""The rows of an endless stream, each made on its own: by its number, its variant and the plan alone.

Row n is asked first of the n-th scene in an order that visits all scenes before it visits one again, in an order
of its own each time; where that scene gives no such row, scenes drawn at random are asked. Within the scene it is
the n-th row, so that a scene never gives the same row twice.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from spatial_ssrl.build.draw import draw_row
from spatial_ssrl.build.plan import Plan, SceneRef, split_of
from spatial_ssrl.build.recipe import Entry
from spatial_ssrl.errors import SceneError
from spatial_ssrl.rng import generator
from spatial_ssrl.row import Row
from spatial_ssrl.scene import Scene
from spatial_ssrl.sources import spell
from spatial_ssrl.tasks import Drop, make_task

ATTEMPTS = 200
"""Scenes that are asked for a row before its number stays without one."""


@dataclass
class Made:
    """A row, and what was met on the way to it."""

    row: Row | None = None
    """None where no scene gave one, or the process that made it died."""
    drops: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Draws that gave no row, by variant and reason."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Input files that could not be used, and why."""


class Maker:
    """Makes rows of one split. It remembers the scenes that are of no use, which saves time and changes no row."""

    def __init__(self, plan: Plan, split: str) -> None:
        self.plan, self.split = plan, split
        self.useless: set[tuple[SceneRef, bool]] = set()
        """Scenes, with depth or without."""
        self.refs = {deep: [ref for ref in plan.refs if ref.has_depth or not deep] for deep in (False, True)}
        self.tasks = {e: make_task(e.task, e.variant, plan.recipe.profile) for e in plan.entries}

    def make(self, number: int, entry: Entry) -> Made:
        """Row `number` of the stream, of this variant."""
        made, recipe, task = Made(), self.plan.recipe, self.tasks[entry]
        for ref in self._candidates(number, task.needs_depth):
            scene = self._load(ref, task.needs_depth, made)
            if scene is None:
                continue
            row = draw_row(scene, task, recipe.profile, recipe.seed, self.split, number, unique=False)
            if not isinstance(row, Drop):
                made.row = row
                return made
            made.drops[entry.name, row.reason] += 1
        return made

    def _candidates(self, number: int, with_depth: bool) -> Iterator[SceneRef]:
        refs = self.refs[with_depth]
        turn, place = divmod(number, len(refs))
        yield refs[_order(self.plan.recipe.seed, turn, len(refs))[place]]
        others = generator(self.plan.recipe.seed, "stand-in", number)
        yield from (refs[others.integers(len(refs))] for _ in range(ATTEMPTS - 1))

    def _load(self, ref: SceneRef, with_depth: bool, made: Made) -> Scene | None:
        """The scene, where it can be used and is of this split."""
        if (ref, with_depth) in self.useless:
            return None
        source = self.plan.sources[ref.source]
        try:
            scene = source.load(ref.key, with_depth, self.plan.recipe.max_side).fit(self.plan.recipe.max_side)
        except SceneError as error:
            made.skipped[":".join(source.origin(ref.key))] = spell(str(error))
        else:
            if split_of(scene.id, self.plan.recipe.splits) == self.split:
                return scene
        self.useless.add((ref, with_depth))
        return None


@lru_cache(maxsize=4)
def _order(seed: int, turn: int, scenes: int) -> np.ndarray:
    """The order in which all scenes are visited for this turn."""
    return generator(seed, "turn", turn).permutation(scenes)
