"""What a build would take, measured by drawing a few of its rows."""

import time
from dataclasses import dataclass
from itertools import islice

from spatial_ssrl.build.draw import draw_row
from spatial_ssrl.build.plan import Plan, split_of
from spatial_ssrl.build.recipe import Entry
from spatial_ssrl.errors import SceneError
from spatial_ssrl.row import Row
from spatial_ssrl.scene import Scene
from spatial_ssrl.tasks import TASKS, Drop, make_task

SCENES = 12
"""Scenes of each kind, with and without depth, that are drawn from."""
ROWS = 4
"""Rows of each variant after which no more are drawn."""


@dataclass(frozen=True)
class Cost:
    """What the rows of one variant cost, by those that were drawn."""

    rows: int
    draws: int
    seconds: float
    """CPU seconds of all draws."""
    bytes: int
    """Encoded pictures of all rows."""


@dataclass(frozen=True)
class Estimate:
    """Costs by variant, and of the scenes that were loaded."""

    plan: Plan
    costs: dict[Entry, Cost]
    seconds_a_scene: float
    """CPU seconds to read, decode and scale one."""

    @property
    def seconds(self) -> float:
        """CPU seconds of the whole build; variants that gave no row count for nothing."""
        visits = self.plan.rows / self.plan.rows_a_visit
        return visits * self.seconds_a_scene + sum(n * c.seconds / c.rows for n, c in self._measured())

    @property
    def bytes(self) -> float:
        return sum(n * c.bytes / c.rows for n, c in self._measured())

    def _measured(self) -> list[tuple[int, Cost]]:
        return [(n, self.costs[entry]) for (_, entry), n in self.plan.quotas.items() if self.costs[entry].rows]


def estimate(plan: Plan) -> Estimate:
    """Load a few scenes and draw a few rows of each variant; nothing is written."""
    start = time.process_time()
    scenes = {deep: _load(plan, deep) for deep in {TASKS[entry.task].needs_depth for entry in plan.entries}}
    loaded = max(1, sum(map(len, scenes.values())))
    seconds = (time.process_time() - start) / loaded
    costs = {entry: _cost(plan, entry, scenes[TASKS[entry.task].needs_depth]) for entry in plan.entries}
    return Estimate(plan, costs, seconds)


def _load(plan: Plan, with_depth: bool) -> list[Scene]:
    """The first scenes that a build visits and that can be used."""
    scenes, max_side = [], plan.recipe.max_side
    refs = (ref for i in range(plan.shards) for ref in plan.deal(i, 0) if ref.has_depth or not with_depth)
    for ref in islice(refs, SCENES):
        try:
            scenes.append(plan.sources[ref.source].load(ref.key, with_depth, max_side).fit(max_side))
        except SceneError:
            continue
    return scenes


def _cost(plan: Plan, entry: Entry, scenes: list[Scene]) -> Cost:
    recipe, rows, draws = plan.recipe, list[Row](), 0
    task = make_task(entry.task, entry.variant, recipe.profile)
    start = time.process_time()
    for scene in scenes:
        draws += 1
        row = draw_row(scene, task, recipe.profile, recipe.seed, split_of(scene.id, recipe.splits), 0)
        if not isinstance(row, Drop):
            rows.append(row)
        if len(rows) == ROWS:
            break
    size = sum(len(image["bytes"]) for row in rows for image in row["images"])
    return Cost(len(rows), draws, time.process_time() - start, size)
