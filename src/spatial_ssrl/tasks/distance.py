"""Distance in space: which of two pairs of marked points is farther apart?

Convention: points are in metres in the camera's frame, x to the right, y down, z forward:

    x = (column - cx) / fx * z        y = (row - cy) / fy * z

with the scene's intrinsics, or assumed ones where it has none. Markers 1 and 2 are a pair, 3 and 4 the
other. Lengths in the picture are in pixels, as logarithms of ratios where two are compared.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from spatial_ssrl.grammar import Letter
from spatial_ssrl.scene import RGB, Intrinsics, Scene
from spatial_ssrl.tasks.base import Drop, Margin, Params, Task, pick_wording
from spatial_ssrl.tasks.markcues import lift_of_truth, look_of_marks
from spatial_ssrl.tasks.marks import draw_marks, mark_spacing
from spatial_ssrl.tasks.noise import noise_of
from spatial_ssrl.tasks.regions import apart, find_regions, flat_places, sample, sizes

CANDIDATES = 160
CLOSE = 0.2
"""How far a difference may be from the drawn one, as a share of the largest that is drawn."""
CHOICES = ("1 and 2", "3 and 4")


@dataclass(frozen=True)
class DistanceParams(Params):
    """Two pairs of marked points."""

    points: tuple[tuple[int, int], ...]
    """(x, y) of markers 1 to 4."""
    farther: str
    """The pair that is farther apart."""
    half: int
    badge: int


class Pairs(NamedTuple):
    """Pairs of points of a scene."""

    ends: Int[np.ndarray, "n 2 2"]
    """(row, column) of both points."""
    length: Float[np.ndarray, "n"]
    """Distance in space."""
    noise: Float[np.ndarray, "n"]
    """Its standard deviation."""


@dataclass(frozen=True)
class Distance(Task[DistanceParams]):
    """Two pairs of marked points of clearly different lengths."""

    max_range: float = 0.05
    """A point's surroundings span less than this, normalised."""
    guard: float = 1.0
    """How many times wider than the mark its surroundings are that must be as flat."""
    min_ratio: float = 1.3
    """Smallest allowed ratio of the two distances."""
    min_sigmas: float = 4.0
    """Smallest allowed difference of the two distances, in standard deviations of the noise of both."""
    compared: int = 60
    """Pairs of points, of which two are chosen."""
    spread: tuple[float, float] | None = None
    """Where given, the logarithm of the ratio of lengths in the picture, and the difference in height as a share of
    the picture's height, are drawn up to these sizes, either sign as often; the scene must offer all four signs."""

    name: ClassVar[str] = "distance"
    needs_depth: ClassVar[bool] = True
    variants: ClassVar[dict[str, int]] = {"pairs": 1}
    params: ClassVar[type[Params]] = DistanceParams
    wordings: ClassVar[tuple[str, ...]] = (
        "Four places of this scene are framed and numbered. Which two are farther apart in space?",
        "Compare the distance in space from place 1 to place 2 with that from place 3 to place 4. Which one is larger?",
        "Think of the real scene, not of the picture: which of these pairs of numbered places has more space between them?",
    )

    def draw(self, scene: Scene, rng: np.random.Generator) -> DistanceParams | Drop:
        half, badge = sizes(*scene.size)
        half = max(3, round(0.7 * half))
        regions = find_regions(scene, round(self.guard * half), badge)
        if isinstance(regions, Drop):
            return regions
        if scene.depth_unit != "metre":
            return Drop("depth not in metres", final=True)
        places = regions.positions(sample(rng, flat_places(regions, self.max_range), CANDIDATES))
        spacing = mark_spacing(half, badge)
        two = self._draw_two(scene, _draw_pairs(scene, places, spacing, self.compared, rng), spacing, rng)
        if two is None:
            return Drop("no two pairs of clearly different lengths")
        first, ends = int(rng.integers(2)), np.stack([rng.permutation(pair) for pair in two])
        points = tuple((int(column), int(row)) for row, column in (ends if first == 0 else ends[::-1]).reshape(4, 2))
        return DistanceParams(pick_wording(self.wordings, rng), points, CHOICES[first], half, badge)

    def _draw_two(
        self, scene: Scene, pairs: Pairs, spacing: int, rng: np.random.Generator
    ) -> Int[np.ndarray, "2 2 2"] | None:
        """The ends of a longer and a shorter pair, or None."""
        found = np.argwhere(self._longer(pairs) & _far_from_each_other(pairs.ends, spacing))
        if self.spread is not None:
            looks = _looks(scene, pairs.ends) / np.array(self.spread)
            found = found[_with_drawn_difference(looks[found[:, 0]] - looks[found[:, 1]], rng)]
        return pairs.ends[found[rng.integers(len(found))]] if len(found) else None

    def _longer(self, pairs: Pairs) -> Bool[np.ndarray, "n n"]:
        """Which pairs are clearly longer than which others."""
        sigmas = (pairs.length[:, None] - pairs.length) / np.hypot(pairs.noise[:, None], pairs.noise)
        return (pairs.length[:, None] >= self.min_ratio * pairs.length) & (sigmas >= self.min_sigmas)

    def render(self, scene: Scene, params: DistanceParams) -> list[RGB]:
        return [draw_marks(scene.rgb, params.points, params.half, params.badge)]

    def question(self, params: DistanceParams) -> str:
        lines = "\n".join(f"{letter}. {choice}" for letter, choice in zip("AB", CHOICES, strict=True))
        return f"<image>\n{self.wordings[params.wording]}\n{lines}\nAnswer with one letter, A or B."

    def answer(self, params: DistanceParams) -> str:
        return "AB"[CHOICES.index(params.farther)]

    def options(self, params: DistanceParams) -> tuple[str, ...]:
        return CHOICES

    @property
    def margin_unit(self) -> str:
        return "standard deviations of the noise between both distances"

    def margin(self, scene: Scene, params: DistanceParams) -> Margin:
        """Difference of the two distances in standard deviations of the noise of both."""
        pairs = _measure(scene, np.array(params.points)[:, ::-1].reshape(2, 2, 2))
        sigmas = np.ptp(pairs.length) / np.hypot(*pairs.noise)
        return Margin(float(sigmas), self.min_sigmas)

    def candidates(self, scene: Scene, params: DistanceParams) -> Float[np.ndarray, "2 f"]:
        """Lengths in the picture, and what place and look of the marks add up to and differ by; the true pair first."""
        points = np.array(params.points, float).reshape(2, 2, 2)
        across, down = np.abs(points[:, 1] - points[:, 0]).T / scene.size[1]
        length = np.log(np.hypot(across, down))
        ends = look_of_marks(scene.rgb, params.points, params.half).reshape(2, 2, -1)
        sums, steps = ends.sum(axis=1), np.abs(ends[:, 1] - ends[:, 0])
        pairs = np.column_stack([length, across, down, sums, steps])
        return pairs if params.farther == CHOICES[0] else pairs[::-1]

    def cue(self, scene: Scene, params: DistanceParams) -> float:
        return lift_of_truth(self.candidates(scene, params), self.name)

    def grammar(self, params: DistanceParams) -> Letter:
        return Letter(len(CHOICES))


def _draw_pairs(scene: Scene, places: Int[np.ndarray, "n 2"], spacing: int, count: int, rng: np.random.Generator) -> Pairs:
    """A sample of the pairs of places whose marks hide nothing of each other."""
    found = np.argwhere(np.triu(apart(places, spacing)))
    return _measure(scene, places[rng.permutation(found)[:count]])


def _measure(scene: Scene, ends: Int[np.ndarray, "n 2 2"]) -> Pairs:
    """Distance in space between the ends of pairs, and what the noise of both depths makes of it."""
    assert scene.depth is not None
    camera = scene.intrinsics or Intrinsics.assumed(*scene.size)
    rows, columns = ends[..., 0], ends[..., 1]
    z = scene.depth[rows, columns]
    rays = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(z.shape)], axis=-1)
    points = rays * z[..., None]
    step = points[:, 1] - points[:, 0]
    length = np.linalg.norm(step, axis=1)
    along = (rays * step[:, None]).sum(axis=-1) / np.maximum(length, 1e-9)[:, None]  # change of length with each depth
    return Pairs(ends, length, np.linalg.norm(along * noise_of(z, scene.depth_unit), axis=1))


def _looks(scene: Scene, ends: Int[np.ndarray, "n 2 2"]) -> Float[np.ndarray, "n 2"]:
    """Logarithm of the length of each pair in the picture, and its height there as a share of the picture's height."""
    length = np.linalg.norm((ends[:, 1] - ends[:, 0]).astype(float), axis=1)
    return np.stack([np.log(np.maximum(length, 1)), ends[..., 0].mean(axis=1) / scene.size[1]], axis=1)


def _with_drawn_difference(differences: Float[np.ndarray, "n 2"], rng: np.random.Generator) -> Bool[np.ndarray, "n"]:
    """Those that are close to a difference drawn from -1 to 1; none where not all signs of it can be had."""
    length, height = rng.uniform(-1, 1, 2)
    longer, shorter = (np.abs(differences[:, 0] - sign * length) < CLOSE for sign in (1, -1))
    lower, higher = (np.abs(differences[:, 1] - sign * height) < CLOSE for sign in (1, -1))
    all_signs = all((a & b).any() for a in (longer, shorter) for b in (lower, higher))
    return longer & lower & all_signs


def _far_from_each_other(ends: Int[np.ndarray, "n 2 2"], spacing: int) -> Bool[np.ndarray, "n n"]:
    """Which pairs have marks that hide nothing of each other's."""
    clear = apart(ends.swapaxes(0, 1).reshape(-1, 2), spacing).reshape(2, len(ends), 2, len(ends))
    return clear[0, :, 0] & clear[0, :, 1] & clear[1, :, 0] & clear[1, :, 1]
