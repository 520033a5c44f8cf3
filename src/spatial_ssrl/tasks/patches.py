"""Pictures shown as a grid of numbered patches: where each is cut from, and how it is shown.

Convention: patches and slots are counted in row-major order from 0 at the top left. Published rows
show the picture's equal cells edge to edge; a disguise shows a part of each cell, drawn apart, so
that borders and colours no longer tell which patches belonged together.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

from spatial_ssrl.scene import RGB, Box, Scene
from spatial_ssrl.tasks.base import Drop, Params, Task
from spatial_ssrl.tasks.cues import CUE_SIDE, Candidates, truth_probability
from spatial_ssrl.tasks.grid import THUMBNAIL, cells, equalise, join, slots, weakest_contour
from spatial_ssrl.tasks.marks import label_boxes

SMALLEST_PATCH = 12
"""Shortest side in pixels of a patch that can carry a number."""
SMALLEST_AREA = 36 * 36
"""Area in pixels of a patch of which the smallest number hides little."""


@dataclass(frozen=True)
class Disguise:
    """How far the shown patches depart from the picture's cells."""

    erosion: float = 0.0
    """Share of the whole frame's side that is cut off each cell at each of its edges."""
    zoom: float = 1.0
    """A patch shows at least this share of the sides of its eroded cell, at a place drawn anew."""
    gap: float = 0.0
    """Space between slots, as a share of the shorter side of a slot."""
    equalise: float = 0.0
    """How far the mean and spread of each colour channel are moved to those of all patches, 0 to 1."""

    def cut(self, frame: Box, cell: Box, rng: np.random.Generator) -> Box:
        """The part of a frame's cell that is shown."""
        (left, top, right, bottom), sides = cell, (frame[2] - frame[0], frame[3] - frame[1])
        edges = round(self.erosion * sides[0]), round(self.erosion * sides[1])
        width, height = right - left - 2 * edges[0], bottom - top - 2 * edges[1]
        share = rng.uniform(self.zoom, 1.0) if self.zoom < 1 else 1.0
        w, h = round(share * width), round(share * height)
        x = left + edges[0] + int(rng.integers(width - w + 1))
        y = top + edges[1] + int(rng.integers(height - h + 1))
        return x, y, x + w, y + h


@dataclass(frozen=True)
class PatchParams(Params):
    """Where the patches come from."""

    cuts: tuple[Box, ...]
    """The part of the picture that each original patch shows: left, top, right, bottom."""


P = TypeVar("P", bound=PatchParams)


@dataclass(frozen=True)
class PatchTask(Task[P]):
    """A task that shows a grid of numbered patches."""

    disguise: Disguise = Disguise()
    min_contour: float = 0.0
    """What the clearest contours of each patch must reach, in grey levels, for an eye to have something to go by."""

    hopeless: ClassVar[float] = 16.0

    @property
    def few_puzzles(self) -> bool:
        return self.disguise.zoom == 1

    @property
    @abstractmethod
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    @abstractmethod
    def cue_kind(self) -> str:
        """Which weights of the cues apply."""

    @abstractmethod
    def candidates(self, scene: Scene, params: P) -> tuple[list[RGB], Candidates]:
        """Thumbnails of patches, and where every answer that a cue tries puts them, the true one first."""

    def cue(self, scene: Scene, params: P) -> float:
        """What seams and layout make of the true answer."""
        tiles, candidates = self.candidates(scene, params)
        return truth_probability(tiles, candidates, self.grid, self.cue_kind) * len(candidates)

    def draw_cuts(self, scene: Scene, frame: Box, rng: np.random.Generator) -> tuple[Box, ...] | Drop:
        """What each patch shows of a frame of the picture."""
        cuts = tuple(self.disguise.cut(frame, cell, rng) for cell in cells(frame, *self.grid))
        sides = [(right - left, bottom - top) for left, top, right, bottom in cuts]
        if min(map(min, sides)) < SMALLEST_PATCH or min(map(math.prod, sides)) < SMALLEST_AREA:
            return Drop("patches too small for their numbers")
        if self.min_contour and weakest_contour([scene.thumbnail(box, CUE_SIDE) for box in cuts]) < self.min_contour:
            return Drop("a patch without contours", final=frame == (0, 0, *scene.size))
        return cuts

    def cut(self, scene: Scene, params: P) -> list[RGB]:
        """The patches in their original order, all of one size, as they are shown."""
        size = self.patch_size(params)
        return equalise([scene.part(box, *size) for box in params.cuts], self.disguise.equalise)

    def thumbnails(self, scene: Scene, params: P, side: int = THUMBNAIL) -> list[RGB]:
        """The same patches as small squares."""
        return equalise([scene.thumbnail(box, side) for box in params.cuts], self.disguise.equalise)

    def patch_size(self, params: P) -> tuple[int, int]:
        """Width and height of a shown patch: the largest that any cut has."""
        return max(right - left for left, _, right, _ in params.cuts), max(bottom - top for _, top, _, bottom in params.cuts)

    def boxes(self, params: P) -> list[Box]:
        """Where the shown picture has each patch, in shown order."""
        return slots(self.patch_size(params), *self.grid, self.disguise.gap)

    def show(self, patches: Sequence[RGB], params: P) -> RGB:
        """The picture of patches in shown order, with their numbers."""
        boxes = self.boxes(params)
        return label_boxes(join(patches, boxes), boxes)
