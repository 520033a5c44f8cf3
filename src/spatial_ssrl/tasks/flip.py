"""Flipped patch recognition (paper section 3.2): which patch of a 2 x 2 grid is mirrored, and how?

Convention: direction 0 reverses the rows of the patch (upside down, a vertical flip), direction 1
reverses its columns (left and right exchanged, a horizontal flip). Nothing is rotated.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spatial_ssrl.grammar import LabelDirection
from spatial_ssrl.scene import RGB, Scene
from spatial_ssrl.tasks.base import Margin, Params, pick_wording
from spatial_ssrl.tasks.grid import difference, thumbnail
from spatial_ssrl.tasks.patches import PatchParams, PatchTask

ROWS, COLUMNS = 2, 2


@dataclass(frozen=True)
class FlipParams(PatchParams):
    """The mirrored patch, and 0 or 1 for the direction."""

    patch: int
    direction: int


@dataclass(frozen=True)
class Flip(PatchTask[FlipParams]):
    """One patch of four, mirrored in place."""

    min_asymmetry: float = 8.0
    """Smallest allowed difference, in grey levels, between the patch and its mirror images."""

    name: ClassVar[str] = "flip"
    few_puzzles: ClassVar[bool] = True
    variants: ClassVar[dict[str, int]] = {"2x2": 1}
    params: ClassVar[type[Params]] = FlipParams
    wordings: ClassVar[tuple[str, ...]] = (
        "One of the four numbered patches of this picture was mirrored in its place.",
        "This picture is whole but for one of its four numbered patches, which was replaced by its mirror image.",
        "Of the four numbered quarters of this picture, exactly one has been flipped.",
    )

    @property
    def grid(self) -> tuple[int, int]:
        return ROWS, COLUMNS

    def draw(self, scene: Scene, rng: np.random.Generator) -> FlipParams:
        patch, direction = int(rng.integers(ROWS * COLUMNS)), int(rng.integers(2))
        wording = pick_wording(self.wordings, rng)
        return FlipParams(wording, *self.draw_cuts((0, 0, *scene.size), rng), patch, direction)

    def render(self, scene: Scene, params: FlipParams) -> list[RGB]:
        patches = self.cut(scene, params)
        patches[params.patch] = np.flip(patches[params.patch], axis=params.direction)
        return [self.show(patches, params)]

    def question(self, params: FlipParams) -> str:
        return (
            f"<image>\n{self.wordings[params.wording]} Which one, and how? Answer in the form L-D, where L is the number of "
            "the patch, and D is 0 if it was flipped vertically (upside down) or 1 if it was flipped horizontally (left and "
            "right exchanged)."
        )

    def answer(self, params: FlipParams) -> str:
        return f"{params.patch}-{params.direction}"

    def margin(self, scene: Scene, params: FlipParams) -> Margin:
        """Smallest difference among the patch and its two mirror images: which one, and which way."""
        true = thumbnail(self.cut(scene, params)[params.patch])
        vertical, horizontal = true[::-1], true[:, ::-1]
        value = min(difference(true, vertical), difference(true, horizontal), difference(vertical, horizontal))
        return Margin(value, self.min_asymmetry, "grey levels between the patch and its mirror images")

    def grammar(self, params: FlipParams) -> LabelDirection:
        return LabelDirection(ROWS * COLUMNS)
