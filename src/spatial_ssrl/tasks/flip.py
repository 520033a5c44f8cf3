"""Flipped patch recognition (paper section 3.2): which patch of a 2 x 2 grid was changed in its place, and how?

Convention: in variant 2x2, way 0 reverses the rows of the patch (upside down, a vertical flip) and way 1
its columns (left and right exchanged, a horizontal flip). In variant 2x2-turned the patches are square,
and the way is the number of degrees by which the patch was turned clockwise.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spatial_ssrl.grammar import LabelDirection, LabelledWay, LabelTurn
from spatial_ssrl.scene import RGB, Scene
from spatial_ssrl.tasks.base import Drop, Margin, Params, pick_wording
from spatial_ssrl.tasks.cues import CUE_SIDE, Candidates
from spatial_ssrl.tasks.grid import smallest_difference
from spatial_ssrl.tasks.patches import PatchParams, PatchTask

ROWS, COLUMNS = 2, 2
MIRRORED = "where L is the number of the patch, and D is 0 if it was flipped vertically (upside down) or 1 if horizontally"
TURNED = "where L is the number of the patch, and D says by how many degrees it was turned clockwise: 90, 180 or 270"


@dataclass(frozen=True)
class FlipParams(PatchParams):
    """The changed patch, and the way in which it was changed."""

    patch: int
    way: int


@dataclass(frozen=True)
class Flip(PatchTask[FlipParams]):
    """One patch of four, mirrored or turned in its place."""

    min_asymmetry: float = 8.0
    """Smallest allowed difference, in grey levels, between the patch and its changed forms, and among these."""

    name: ClassVar[str] = "flip"
    variants: ClassVar[dict[str, int]] = {"2x2": 1, "2x2-turned": 2}
    params: ClassVar[type[Params]] = FlipParams
    wordings: ClassVar[tuple[str, ...]] = (
        "One of the four numbered patches of this picture was {changed} in its place.",
        "This picture is whole but for one of its four numbered patches, which was {changed}.",
        "Of the four numbered quarters of this picture, exactly one has been {changed}.",
    )

    @property
    def turned(self) -> bool:
        return self.variant.endswith("-turned")

    @property
    def grid(self) -> tuple[int, int]:
        return ROWS, COLUMNS

    @property
    def cue_kind(self) -> str:
        return "flip"

    @property
    def form(self) -> LabelledWay:
        """The form of the answer; it lists the ways."""
        return LabelTurn(ROWS * COLUMNS) if self.turned else LabelDirection(ROWS * COLUMNS)

    def draw(self, scene: Scene, rng: np.random.Generator) -> FlipParams | Drop:
        patch, way = int(rng.integers(ROWS * COLUMNS)), int(rng.choice(self.form.ways))
        wording = pick_wording(self.wordings, rng)
        width, height = scene.size
        side = min(scene.size)
        x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
        frame = (x, y, x + side, y + side) if self.turned else (0, 0, width, height)
        cuts = self.draw_cuts(scene, frame, rng)
        return cuts if isinstance(cuts, Drop) else FlipParams(wording, cuts, patch, way)

    def render(self, scene: Scene, params: FlipParams) -> list[RGB]:
        return [self.show(self._change(self.cut(scene, params), params.patch, params.way), params)]

    def question(self, params: FlipParams) -> str:
        changed, ways = ("turned", TURNED) if self.turned else ("flipped", MIRRORED)
        wording = self.wordings[params.wording].format(changed=changed)
        return f"<image>\n{wording} Which one, and how? Answer in the form L-D, {ways}."

    def answer(self, params: FlipParams) -> str:
        return f"{params.patch}-{params.way}"

    @property
    def margin_unit(self) -> str:
        return "grey levels between the patch and its changed forms"

    def margin(self, scene: Scene, params: FlipParams) -> Margin:
        """Smallest difference among the patch and its changed forms: which one, and which way."""
        true = self.thumbnails(scene, params)[params.patch]
        forms = [true, *(_changed(true, way) for way in self.form.ways)]
        return Margin(smallest_difference(forms), self.min_asymmetry)

    def candidates(self, scene: Scene, params: FlipParams) -> tuple[list[RGB], Candidates]:
        """The picture as it was, and with every other change to the shown one undone."""
        true = self.thumbnails(scene, params, CUE_SIDE)
        shown = self._change(true, params.patch, params.way)
        guesses = [(patch, way) for patch in range(len(true)) for way in self.form.ways]
        guesses.sort(key=lambda guess: guess != (params.patch, params.way))
        undone = [_changed(shown[patch], -way) for patch, way in guesses]
        places = np.tile(np.arange(len(shown)), (len(guesses), 1))
        places[range(len(guesses)), [patch for patch, _ in guesses]] = len(shown) + np.arange(len(guesses))
        return shown + undone, places

    def grammar(self, params: FlipParams) -> LabelledWay:
        return self.form

    def _change(self, patches: list[RGB], patch: int, way: int) -> list[RGB]:
        """The patches with one of them changed; a negative way undoes it."""
        return [_changed(each, way) if k == patch else each for k, each in enumerate(patches)]


def _changed(patch: RGB, way: int) -> RGB:
    """A patch mirrored along an axis (way 0 or 1), or turned clockwise by degrees."""
    return np.flip(patch, axis=abs(way)) if abs(way) < 2 else np.rot90(patch, -way // 90)
