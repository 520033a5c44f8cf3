"""What a solver may see of a row: pictures, texts, and the geometry that a person sees.

A puzzle holds no answer, no margin, and none of the drawn parameters from which the answer follows,
so that no solver can look at them by mistake.

Convention: positions are (x, y) in pixels of the first picture, y down; boxes are left, top, right,
bottom, with right and bottom outside.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spatial_ssrl.grammar import Grammar
from spatial_ssrl.row import Row
from spatial_ssrl.scene import Box, decode_rgb
from spatial_ssrl.tasks import TASKS, make_task
from spatial_ssrl.tasks.patches import PatchTask

Features = dict[str, np.ndarray]
"""What a solver finds: by name, one number for each candidate answer."""
MOST_CANDIDATES = 5040
"""Answers of a puzzle are listed up to this number; beyond it a solver searches."""
OPTION = re.compile(r"^[A-Z]\. .*$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Puzzle:
    """A row without its answer."""

    task: str
    variant: str
    scene_id: str
    problem: str
    options: tuple[str, ...] | None
    form: Grammar
    files: tuple[bytes, ...]
    """The pictures as they are stored."""
    never_identity: bool
    """The order as shown is never the answer, and the row's chance says so."""
    boxes: tuple[Box, ...] = ()
    """Patches, in shown order."""
    grid: tuple[int, int] = (0, 0)
    """Rows and columns of the patches."""
    marks: tuple[tuple[int, int], ...] = ()
    """Centres of the marked places, by label."""
    half: int = 0
    """A mark leaves this many pixels to each side of its centre free."""
    view: int = 0
    """Degrees that an observer faces, as the question says."""
    proposed: tuple[str, ...] = ()
    """Likely answers, where there are too many to list."""

    @classmethod
    def from_row(cls, row: Row) -> "Puzzle":
        """Hide the answer of a row."""
        form = Grammar.from_spec(row["grammar"])
        options = row["options"] and tuple(row["options"])
        files = tuple(image["bytes"] for image in row["images"])
        never = row["task"] == "shuffle" and row["chance"] > 1 / form.size + 1e-9
        texts = (row["task"], row["variant"], row["scene_id"], row["problem"])
        boxes, grid = _patches(row)
        return cls(*texts, options or None, form, files, never, boxes, grid, *_marks(row))

    @cached_property
    def answers(self) -> tuple[str, ...]:
        """The answers that can be right; those that were proposed, where they are too many to list."""
        if self.form.size > MOST_CANDIDATES:
            return self.proposed
        listed = tuple(self.form.answers())
        return listed[1:] if self.never_identity else listed

    @cached_property
    def meanings(self) -> tuple[str, ...]:
        """What each answer says: the text of the option that a letter names, or the answer itself."""
        return self.options or self.answers

    @cached_property
    def wording(self) -> str:
        """The question without the texts of its options."""
        return OPTION.sub("", self.problem)

    @cached_property
    def pictures(self) -> list[np.ndarray]:
        """The pictures, decoded: uint8 (height, width, 3)."""
        return [decode_rgb(data) for data in self.files]

    @cached_property
    def patches(self) -> list[np.ndarray]:
        """The patches in shown order."""
        return [self.pictures[0][top:bottom, left:right] for left, top, right, bottom in self.boxes]


def _patches(row: Row) -> tuple[tuple[Box, ...], tuple[int, int]]:
    """Boxes of the patches and their grid, of a task that shows patches."""
    if not issubclass(TASKS[row["task"]], PatchTask):
        return (), (0, 0)
    task = make_task(row["task"], row["variant"], row["profile"])
    assert isinstance(task, PatchTask)
    return tuple(task.boxes(task.params.from_json(row["params"]))), task.grid


def _marks(row: Row) -> tuple[tuple[tuple[int, int], ...], int, int]:
    """Marked places, the free half side of a mark, and the view; nothing else of the parameters."""
    params = json.loads(row["params"])
    places = params.get("centres") or params.get("points") or ()
    return tuple((int(x), int(y)) for x, y in places), int(params.get("half", 0)), int(params.get("view", 0))
