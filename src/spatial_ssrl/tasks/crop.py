"""Cropped patch inpainting (paper section 3.2): which of four pictures fills the black square?

Convention: boxes are in pixels of the scene; clockwise is as seen on the picture. As published, the
whole scene is shown, and the distractors are made from the true part. A view smaller than the scene
leaves a rest that nobody sees, from which a distractor of the same scale and sharpness is cut; where
it came from the visible part, "the option found nowhere in the picture" would be right. Both are shown
mirrored, too: statistics can tell at most which two of the four belong together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spatial_ssrl.grammar import Letter
from spatial_ssrl.scene import RGB, Box, Scene
from spatial_ssrl.tasks.base import Drop, Margin, Params, Task, pick_wording
from spatial_ssrl.tasks.cues import CUE_SIDE, HIGHEST, UNKNOWN, Candidates, scores
from spatial_ssrl.tasks.grid import THUMBNAIL, difference, levels, match_levels, resize, take, thumbnail

TRUE = "true"
UNSEEN = (TRUE, "mirrored", "elsewhere", "elsewhere-mirrored")
"""What options are in a view smaller than the scene: two parts of it, and what a mirror makes of them."""
MADE = ("rotated-clockwise", "rotated-counterclockwise", "interior", "surroundings-25", "surroundings-50")
TURNS = {"rotated-clockwise": -1, "rotated-counterclockwise": 1}
OPTIONS = 4
TRIES = 4
"""Holes tried for one puzzle."""
GRID = (3, 3)
BESIDE = {1: (0, -1), 3: (-1, 0), 5: (1, 0), 7: (0, 1)}
"""Places of the grid beside its middle, and their columns and rows from there."""
POOL = 32
"""Places considered for distractors from elsewhere."""


@dataclass(frozen=True)
class CropParams(Params):
    """What is shown, where the hole is, and what the options show."""

    frame: Box
    """The part of the scene that the picture shows."""
    hole: Box
    kinds: tuple[str, ...]
    """What each option is, in letter order: one of UNSEEN, or "true" and how others were made from the true part."""
    cuts: tuple[Box, ...]
    """The part of the scene that each option shows, before it is turned or mirrored."""


@dataclass(frozen=True)
class Crop(Task[CropParams]):
    """A square painted black, its true content and three distractors."""

    min_difference: float = 8.0
    """Smallest allowed difference between the true part and a distractor, in grey levels."""
    hole: float = 0.5
    """Side of the hole, as a share of the scene's shorter side."""
    inset: float = 1.0
    """Share of the hole's side that the true option shows, around its centre."""
    view: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest share of each of the scene's sides that the picture shows."""
    zoom: float = 1.0
    """An option shows at least this share of the sides of its part, drawn anew for each."""
    equalise: float = 0.0
    """How far the mean and spread of an option's channels are moved to those of the hole's surroundings, 0 to 1."""
    detail: int = 0
    """Side in pixels to which options are reduced first, so that no pixel at their edges tells; 0 leaves them."""

    name: ClassVar[str] = "crop"
    thinning: ClassVar[float] = 1.0
    variants: ClassVar[dict[str, int]] = {"square": 1}
    params: ClassVar[type[Params]] = CropParams
    wordings: ClassVar[tuple[str, ...]] = (
        "The black square hides a part of this picture. Which of these pictures is the hidden part?",
        "A square of this picture was painted black. Which of the four pieces below was there before?",
        "Which one of the following pieces fills the black square so that the picture is whole again?",
    )

    def draw(self, scene: Scene, rng: np.random.Generator) -> CropParams | Drop:
        if self.view[0] < 1:
            kinds = list(UNSEEN)
            frame, hole, cuts = self._draw_elsewhere(scene, rng)
        else:
            frame, hole = self.draw_hole(scene.size, rng)
            kinds = [TRUE, *map(str, rng.choice(MADE, OPTIONS - 1, replace=False))]
            cuts = [_source(hole, kind, scene.size) for kind in kinds]
        if len(cuts) < OPTIONS:
            return Drop("no distractors of the wanted likeness")
        order = rng.permutation(OPTIONS)
        wording = pick_wording(self.wordings, rng)
        return CropParams(wording, frame, hole, tuple(kinds[i] for i in order), tuple(cuts[i] for i in order))

    def draw_hole(self, size: tuple[int, int], rng: np.random.Generator) -> tuple[Box, Box]:
        """The part of a scene that is shown, and the hole in it."""
        width, height = (round(rng.uniform(*self.view) * side) for side in size)
        left, top = int(rng.integers(size[0] - width + 1)), int(rng.integers(size[1] - height + 1))
        side = int(self.hole * min(size))
        x, y = left + int(rng.integers(width - side + 1)), top + int(rng.integers(height - side + 1))
        return (left, top, left + width, top + height), (x, y, x + side, y + side)

    def _draw_elsewhere(self, scene: Scene, rng: np.random.Generator) -> tuple[Box, Box, list[Box]]:
        """Frame, hole, and what each of UNSEEN is cut from; of several holes the first that gives them."""
        for _ in range(TRIES):
            frame, hole = self.draw_hole(scene.size, rng)
            cuts = self._choose(scene, frame, hole, rng)
            if len(cuts) == OPTIONS:
                break
        return frame, hole, cuts

    def _choose(self, scene: Scene, frame: Box, hole: Box, rng: np.random.Generator) -> list[Box]:
        """The true part and the one that the cues rank next above or below it, as drawn before, each twice.

        Two neighbours in rank are drawn with one probability from either, so that their rank tells as much as it does
        anyway, and no more. A distractor picked for its likeness to the true part would give it away. Parts that look
        like their mirror image are left out.
        """
        boxes, below = self.draw_pool(scene.size, frame, hole, rng), rng.random() < 0.5
        if not self._is_lopsided(self.parts(scene, hole, boxes[:1], CUE_SIDE)[0]):
            return []
        parts = self.parts(scene, hole, boxes, CUE_SIDE)
        fits = scores(*self.candidates(scene, frame, hole, parts), GRID, "crop pool")
        ranked = list(map(int, np.argsort(-fits, kind="stable")))
        place = ranked.index(0)
        beside = ranked[place + 1 :] if below else ranked[:place][::-1]
        other = next((i for i in beside if self._is_lopsided(parts[i])), None)
        if other is None or difference(parts[0], parts[other]) < self.min_difference:
            return []
        return [boxes[0], boxes[0], boxes[other], boxes[other]]

    def _is_lopsided(self, part: RGB) -> bool:
        """Whether a part is told from its mirror image."""
        return difference(part, part[:, ::-1]) >= self.min_difference

    def draw_pool(self, size: tuple[int, int], frame: Box, hole: Box, rng: np.random.Generator) -> list[Box]:
        """What the true option shows, and up to POOL boxes of about that size outside the frame."""
        sides = np.round(self.inset * (hole[2] - hole[0]) * rng.uniform(self.zoom, 1, 1 + 4 * POOL)).astype(int)
        corners = (rng.random((len(sides), 2)) * (np.array(size) - sides[:, None] + 1)).astype(int)
        boxes = [(int(x), int(y), int(x + s), int(y + s)) for (x, y), s in zip(corners[1:], sides[1:], strict=True)]
        unseen = [box for box in boxes if not _overlap(box, frame)]
        return [_centred(hole, int(sides[0])), *unseen[:POOL]]

    def candidates(self, scene: Scene, frame: Box, hole: Box, parts: Sequence[RGB]) -> tuple[list[RGB], Candidates]:
        """Thumbnails of what lies beside the hole, then these parts; and places around each of them in turn."""
        side = round(self.inset * (hole[2] - hole[0]))
        reach = (hole[2] - hole[0] + side) // 2
        middle = _centred(hole, side)
        around: list[RGB] = []
        places = np.full((len(parts), 9), UNKNOWN)
        for place, (x, y) in BESIDE.items():
            box = _clipped(_moved(middle, reach * x, reach * y), frame)
            if box:
                places[:, place] = len(around)
                around.append(scene.thumbnail(box, CUE_SIDE))
        places[:, 4] = len(around) + np.arange(len(parts))
        return [*around, *parts], places

    def filled(self, scene: Scene, params: CropParams) -> tuple[list[RGB], Candidates]:
        """The candidates that the options are, the true one first."""
        options = self._options(scene, params, CUE_SIDE)
        true = params.kinds.index(TRUE)
        return self.candidates(scene, params.frame, params.hole, [options[true], *options[:true], *options[true + 1 :]])

    def cue(self, scene: Scene, params: CropParams) -> float:
        """How many times likelier than the least likely option the cues make the true one.

        Draws kept in proportion to one over it leave each of the four options equally likely in the cues' eyes.
        """
        found = scores(*self.filled(scene, params), GRID, "crop")
        return float(np.exp(min(found[0] - found.min(), HIGHEST)))

    def _options(self, scene: Scene, params: CropParams, side: int) -> list[RGB]:
        """The options in letter order, at this side in pixels."""
        parts = self.parts(scene, params.hole, params.cuts, side)
        return [_changed(part, kind) for part, kind in zip(parts, params.kinds, strict=True)]

    def parts(self, scene: Scene, hole: Box, boxes: Sequence[Box], side: int) -> list[RGB]:
        """Parts of the scene as options show them before they are turned, at this side in pixels."""
        parts = [self._part(scene, box, side) for box in boxes]
        if not self.equalise:
            return parts
        around = scene.thumbnail(_grown(hole, (hole[2] - hole[0]) // 2, scene.size), THUMBNAIL)
        return match_levels(parts, levels([around]), self.equalise)

    def _part(self, scene: Scene, box: Box, side: int) -> RGB:
        if side == CUE_SIDE and self.detail in (0, CUE_SIDE):
            return scene.thumbnail(box, CUE_SIDE)
        if not self.detail:
            return scene.part(box, side, side)
        part = scene.thumbnail(box, self.detail)
        return thumbnail(part, side) if side == CUE_SIDE else resize(part, side, side)

    def render(self, scene: Scene, params: CropParams) -> list[RGB]:
        shown = take(scene.rgb, params.frame).copy()
        take(shown, self.visible_hole(params))[:] = 0
        side = round(self.inset * (params.hole[2] - params.hole[0]))
        return [shown, *self._options(scene, params, side)]

    def question(self, params: CropParams) -> str:
        lines = "\n".join(f"{chr(ord('A') + i)}. <image>" for i in range(OPTIONS))
        part = " The pieces show its middle, in adjusted colours, and two are mirrored." if self.inset < 1 else ""
        return f"<image>\n{self.wordings[params.wording]}{part}\n{lines}\nAnswer with one letter from A to D."

    def answer(self, params: CropParams) -> str:
        return chr(ord("A") + params.kinds.index(TRUE))

    @property
    def margin_unit(self) -> str:
        return "grey levels between the true part and the nearest other option"

    def margin(self, scene: Scene, params: CropParams) -> Margin:
        small = self._options(scene, params, CUE_SIDE)
        true = small.pop(params.kinds.index(TRUE))
        value = min(difference(true, other) for other in small)
        return Margin(value, self.min_difference)

    def grammar(self, params: CropParams) -> Letter:
        return Letter(OPTIONS)

    def visible_hole(self, params: CropParams) -> Box:
        """The black square, in pixels of the picture that is shown."""
        x, y = params.frame[:2]
        return params.hole[0] - x, params.hole[1] - y, params.hole[2] - x, params.hole[3] - y


def _source(hole: Box, kind: str, size: tuple[int, int]) -> Box:
    """What a published option shows of the scene: the hole, its middle, or its surroundings."""
    side = hole[2] - hole[0]
    if kind == "interior":
        return _grown(hole, -(side // 4), size)
    if kind.startswith("surroundings-"):
        return _grown(hole, side * int(kind.removeprefix("surroundings-")) // 100, size)
    return hole


def _changed(part: RGB, kind: str) -> RGB:
    """A part as an option of this kind shows it."""
    return part[:, ::-1] if kind.endswith("mirrored") else np.rot90(part, TURNS.get(kind, 0))


def _grown(box: Box, reach: int, size: tuple[int, int]) -> Box:
    """A box with `reach` px more on each side, inside a scene of this size."""
    left, top, right, bottom = box
    return max(0, left - reach), max(0, top - reach), min(size[0], right + reach), min(size[1], bottom + reach)


def _centred(hole: Box, side: int) -> Box:
    """The square of this side around the middle of the hole."""
    edge = (hole[2] - hole[0] - side) // 2
    return hole[0] + edge, hole[1] + edge, hole[0] + edge + side, hole[1] + edge + side


def _moved(box: Box, x: int, y: int) -> Box:
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _clipped(box: Box, frame: Box) -> Box | None:
    """The part of a box inside a frame, or None where less than a third of a side is."""
    inside = (max(box[0], frame[0]), max(box[1], frame[1]), min(box[2], frame[2]), min(box[3], frame[3]))
    least = (box[2] - box[0]) / 3
    return inside if min(inside[2] - inside[0], inside[3] - inside[1]) > least else None
