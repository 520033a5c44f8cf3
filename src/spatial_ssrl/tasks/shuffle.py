"""Shuffled patch reordering (paper section 3.2): which shown patch belongs where?

Convention: position k of the shown picture holds original patch `permutation[k]`. The answer is the
inverse: for each original position in row-major order, the label (shown position) of its patch.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spatial_ssrl.grammar import Permutation
from spatial_ssrl.scene import RGB, Scene
from spatial_ssrl.tasks.base import Drop, Margin, Params, pick_wording
from spatial_ssrl.tasks.cues import CUE_SIDE, UNKNOWN, Candidates, orders
from spatial_ssrl.tasks.grid import WHITE, smallest_difference
from spatial_ssrl.tasks.patches import PatchParams, PatchTask


@dataclass(frozen=True)
class ShuffleParams(PatchParams):
    """Where the patches went."""

    permutation: tuple[int, ...]
    masked: int | None
    """Original patch that is painted white, or None."""


@dataclass(frozen=True)
class Shuffle(PatchTask[ShuffleParams]):
    """Patches of a grid in a new order, never the old one.

    A masked patch is found by elimination; strips are never masked, since the gap could be at
    either end.
    """

    min_difference: float = 8.0
    """Smallest allowed difference between two visible patches, in grey levels."""

    name: ClassVar[str] = "shuffle"
    variants: ClassVar[dict[str, int]] = {"1x3": 1, "3x1": 1, "1x4": 2, "4x1": 2, "2x2": 2, "2x2-masked": 3, "3x3": 4}
    params: ClassVar[type[Params]] = ShuffleParams
    wordings: ClassVar[tuple[str, ...]] = (
        "This picture was cut into {n} equal {pieces}, which were then put in a wrong order. Each one carries a number.",
        "The {n} numbered {pieces} of this picture are out of place.",
        "Someone cut a picture into {n} equal {pieces} and shuffled them; a number marks each one as shown here.",
    )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.variant.removesuffix("-masked").split("x")
        return int(rows), int(columns)

    @property
    def cue_kind(self) -> str:
        """Which weights the cue has."""
        return "row" if self.grid[0] == 1 else "column" if self.grid[1] == 1 else "square"

    def draw(self, scene: Scene, rng: np.random.Generator) -> ShuffleParams | Drop:
        n = math.prod(self.grid)
        identity = tuple(range(n))
        permutation = identity
        while permutation == identity:
            permutation = tuple(map(int, rng.permutation(n)))
        masked = int(rng.integers(n)) if self.variant.endswith("-masked") else None
        wording = pick_wording(self.wordings, rng)
        cuts = self.draw_cuts(scene, (0, 0, *scene.size), rng)
        return cuts if isinstance(cuts, Drop) else ShuffleParams(wording, cuts, permutation, masked)

    def render(self, scene: Scene, params: ShuffleParams) -> list[RGB]:
        patches = self.cut(scene, params)
        if params.masked is not None:
            patches[params.masked] = np.full_like(patches[params.masked], WHITE)
        return [self.show([patches[p] for p in params.permutation], params)]

    def question(self, params: ShuffleParams) -> str:
        rows, columns = self.grid
        pieces, order = "patches", "row by row, from the top left to the bottom right"
        if rows == 2:
            order = "in the order top left, top right, bottom left, bottom right"
        if rows == 1:
            pieces, order = "vertical strips", "from left to right"
        if columns == 1:
            pieces, order = "horizontal strips", "from top to bottom"
        hidden = " One of them is painted white." if params.masked is not None else ""
        form = "-".join("L" * rows * columns)
        return (
            f"<image>\n{self.wordings[params.wording].format(n=rows * columns, pieces=pieces)}{hidden} "
            f"Which number belongs at each place of the original picture? List the numbers for its places {order}. "
            f"Answer in the form {form}, where each L is a number from 0 to {rows * columns - 1}."
        )

    def answer(self, params: ShuffleParams) -> str:
        return "-".join(str(params.permutation.index(p)) for p in range(len(params.permutation)))

    @property
    def margin_unit(self) -> str:
        return "grey levels between the two most alike patches"

    def margin(self, scene: Scene, params: ShuffleParams) -> Margin:
        visible = [patch for p, patch in enumerate(self.thumbnails(scene, params)) if p != params.masked]
        return Margin(smallest_difference(visible), self.min_difference)

    def candidates(self, scene: Scene, params: ShuffleParams) -> tuple[list[RGB], Candidates]:
        """Every order but the shown one."""
        patches = self.thumbnails(scene, params, CUE_SIDE)
        tried = np.array([order for order in orders(len(patches)) if order != params.permutation])
        return patches, np.where(tried == params.masked, UNKNOWN, tried)

    def grammar(self, params: ShuffleParams) -> Permutation:
        return Permutation(len(params.permutation))

    def chance(self, params: ShuffleParams) -> float:
        return 1 / (self.grammar(params).size - 1)
