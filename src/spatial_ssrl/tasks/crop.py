"""Cropped patch inpainting (paper section 3.2): which of four pictures fills the black square?

Convention: the hole is a square of side s = min(height, width) / 2 with its top-left corner at
(x, y). Clockwise is as seen on the picture.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from spatial_ssrl.grammar import Letter
from spatial_ssrl.scene import RGB, Scene
from spatial_ssrl.tasks.base import Margin, Params, Task, pick_wording
from spatial_ssrl.tasks.grid import difference, thumbnail

TRUE = "true"
DISTRACTORS = ("rotated-clockwise", "rotated-counterclockwise", "interior", "surroundings-25", "surroundings-50")
OPTIONS = 4


@dataclass(frozen=True)
class CropParams(Params):
    """Where the hole is and what the options show."""

    x: int
    y: int
    kinds: tuple[str, ...]
    """What each option shows, in letter order: "true" or one of the distractors."""


@dataclass(frozen=True)
class Crop(Task[CropParams]):
    """A square painted black, its true content and three distractors made from it."""

    min_difference: float = 8.0
    """Smallest allowed difference between the true crop and a distractor, in grey levels."""

    name: ClassVar[str] = "crop"
    variants: ClassVar[dict[str, int]] = {"square": 1}
    params: ClassVar[type[Params]] = CropParams
    wordings: ClassVar[tuple[str, ...]] = (
        "The black square hides a part of this picture. Which of these pictures is the hidden part?",
        "A square of this picture was painted black. Which of the four pieces below was there before?",
        "Which one of the following pieces fills the black square so that the picture is whole again?",
    )

    def draw(self, scene: Scene, rng: np.random.Generator) -> CropParams:
        width, height = scene.size
        side = min(width, height) // 2
        x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
        kinds = (TRUE, *rng.choice(DISTRACTORS, OPTIONS - 1, replace=False))
        order = tuple(str(kinds[i]) for i in rng.permutation(OPTIONS))
        return CropParams(pick_wording(self.wordings, rng), x, y, order)

    def render(self, scene: Scene, params: CropParams) -> list[RGB]:
        side = min(scene.size) // 2
        shown = scene.rgb.copy()
        shown[params.y : params.y + side, params.x : params.x + side] = 0
        return [shown, *(_resize(show(scene.rgb, params.x, params.y, side, kind), side) for kind in params.kinds)]

    def question(self, params: CropParams) -> str:
        lines = "\n".join(f"{chr(ord('A') + i)}. <image>" for i in range(OPTIONS))
        return f"<image>\n{self.wordings[params.wording]}\n{lines}\nAnswer with one letter from A to D."

    def answer(self, params: CropParams) -> str:
        return chr(ord("A") + params.kinds.index(TRUE))

    def margin(self, scene: Scene, params: CropParams) -> Margin:
        side = min(scene.size) // 2
        small = {kind: thumbnail(show(scene.rgb, params.x, params.y, side, kind)) for kind in params.kinds}
        value = min(difference(small[TRUE], small[kind]) for kind in params.kinds if kind != TRUE)
        return Margin(value, self.min_difference, "grey levels between the true part and the nearest other option")

    def grammar(self, params: CropParams) -> Letter:
        return Letter(OPTIONS)


def show(rgb: RGB, x: int, y: int, side: int, kind: str) -> RGB:
    """What an option shows of the picture: the square at (x, y), turned, its middle, or its surroundings."""
    square = rgb[y : y + side, x : x + side]
    if kind == TRUE:
        return square
    if kind.startswith("rotated"):
        return np.rot90(square, 1 if kind == "rotated-counterclockwise" else -1)
    if kind == "interior":
        quarter = side // 4
        return square[quarter : side - quarter, quarter : side - quarter]
    reach = side * int(kind.removeprefix("surroundings-")) // 100
    return rgb[max(0, y - reach) : y + side + reach, max(0, x - reach) : x + side + reach]


def _resize(rgb: RGB, side: int) -> RGB:
    """An option as it is shown: a square of the hole's side."""
    if rgb.shape[:2] == (side, side):
        return rgb
    return np.asarray(Image.fromarray(rgb).resize((side, side), Image.Resampling.BICUBIC))
