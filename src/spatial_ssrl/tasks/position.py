"""Relative 3D position (paper section 3.2): where is point 2 for an observer at point 1?

Convention: the observer stands at point 1 and faces `view` degrees, counted counter-clockwise from
the camera's z axis as seen from above: 0 away from the camera, 90 to the left of the picture, 180
toward the camera, 270 to the right. With d = point 2 - point 1, x to the right and z away from the
camera, the observer sees

    x' = cos(view) dx + sin(view) dz     positive to the observer's right
    z' = cos(view) dz - sin(view) dx     positive in front

dx is decided in pixels of the picture, dz in normalised depth; height is ignored.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from spatial_ssrl.grammar import Letter
from spatial_ssrl.scene import RGB, Intrinsics, Scene
from spatial_ssrl.tasks.base import Drop, Margin, Params, Task, pick_wording
from spatial_ssrl.tasks.marks import draw_marks, mark_spacing
from spatial_ssrl.tasks.noise import steps_in_noise
from spatial_ssrl.tasks.regions import apart, find_regions, flat_places, normalise, sample, sizes

VIEWS = {
    0: "away from the camera, into the picture",
    90: "toward the left side of the picture",
    180: "toward the camera",
    270: "toward the right side of the picture",
}
ROTATION = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}
"""Cosine and sine of each view."""
SINGLE = {(-1, 0): "left", (1, 0): "right", (0, 1): "front", (0, -1): "back"}
DIAGONAL = {(-1, 1): "front left", (1, 1): "front right", (-1, -1): "back left", (1, -1): "back right"}
CANDIDATES = 160
CLOSE = 0.02
"""Rises are alike that differ by less than this share of the picture's height."""
REFERENCE_WIDTH = 640


@dataclass(frozen=True)
class PositionParams(Params):
    """Two marked points and an observer."""

    points: tuple[tuple[int, int], tuple[int, int]]
    """(x, y) of marker 1, where the observer stands, and of marker 2."""
    view: int
    choices: tuple[str, ...]
    """Directions in letter order."""
    direction: str
    """Where point 2 is."""
    half: int
    badge: int
    limits: tuple[float, float]
    """Depths that are normalised to 0 and 1."""


@dataclass(frozen=True)
class Position(Task[PositionParams]):
    """Two marked points, clearly apart along the axes that the answer names and close along the other."""

    min_pixels: float = 150.0
    """dx that counts as left or right, in pixels of a picture at least 640 wide; narrower ones in proportion."""
    min_depth: float = 0.25
    """dz that counts as front or back, normalised."""
    max_range: float = 0.05
    """A point's surroundings span less than this, normalised."""
    min_share: float = 0.1
    """dx and dz keep at least this share of their threshold away from it."""
    min_ratio: float = 1.0
    """Smallest allowed ratio of the two depths."""
    min_angle: float = 0.0
    """A displacement on the ground is at least this far, in degrees, from each axis of the camera."""
    min_sigmas: float = 0.0
    """Smallest allowed gap between the two depths, in standard deviations of the noise of both."""
    min_rise: float = 0.0
    """Smallest difference in height between the points, as a share of the picture's height."""
    balanced: bool = False
    """Whether the nearer point is the higher one, and by how much, is drawn before the points: height tells nothing."""

    name: ClassVar[str] = "position"
    needs_depth: ClassVar[bool] = True
    variants: ClassVar[dict[str, int]] = {"single": 1, "diagonal": 2}
    params: ClassVar[type[Params]] = PositionParams
    wordings: ClassVar[tuple[str, ...]] = (
        "You stand at place 1 and look {view}. Where is place 2, seen from you?",
        "An observer at the place marked 1 faces {view}. In which direction does the observer find the place marked 2?",
        "Imagine standing at mark 1 and facing {view}. On which side of you is mark 2?",
    )

    @property
    def directions(self) -> dict[tuple[int, int], str]:
        """Signs of (x', z') and the direction they mean."""
        return SINGLE if self.variant == "single" else DIAGONAL

    def draw(self, scene: Scene, rng: np.random.Generator) -> PositionParams | Drop:
        half, badge = sizes(*scene.size)
        half = max(3, round(0.7 * half))
        regions = find_regions(scene, half, badge)
        if isinstance(regions, Drop):
            return regions
        places = regions.positions(sample(rng, flat_places(regions, self.max_range), CANDIDATES))
        view = int(rng.choice(list(VIEWS)))
        pair = self._draw_pair(scene, regions.limits, places, mark_spacing(half, badge), view, rng)
        if pair is None:
            return Drop("no two points clearly apart")
        (first, second), direction = pair
        points = ((int(first[1]), int(first[0])), (int(second[1]), int(second[0])))
        choices = tuple(str(c) for c in rng.permutation(list(self.directions.values())))
        return PositionParams(
            pick_wording(self.wordings, rng), points, view, choices, direction, half, badge, regions.limits
        )

    def _draw_pair(
        self,
        scene: Scene,
        limits: tuple[float, float],
        places: Int[np.ndarray, "n 2"],
        spacing: int,
        view: int,
        rng: np.random.Generator,
    ) -> tuple[Int[np.ndarray, "2 2"], str] | None:
        """A direction, uniform among those that the places offer, and a uniform pair that lies so."""
        steps = self._steps(scene, limits, places)
        rise = places[None, :, 0] - places[:, None, 0]
        allowed = apart(places, spacing) & (np.abs(rise) >= self.min_rise * scene.size[1]) & self._decided(scene, places)
        for signs in rng.permutation(list(self.directions)):
            along_x, along_z = _to_camera(signs, view)
            found = np.argwhere(allowed & (steps[0] == along_x) & (steps[1] == along_z))
            if self.balanced:
                found = found[_with_drawn_rise(rise[tuple(found.T)] / scene.size[1], rng)]
            if len(found):
                return places[found[rng.integers(len(found))]], self.directions[(int(signs[0]), int(signs[1]))]
            if self.balanced:
                return None
        return None

    def _decided(self, scene: Scene, places: Int[np.ndarray, "n 2"]) -> Bool[np.ndarray, "n n"]:
        """Pairs clearly apart in depth and direction, and on the same side of each other in the picture and in space."""
        assert scene.depth is not None
        camera = scene.intrinsics or Intrinsics.assumed(*scene.size)
        z = scene.depth[tuple(places.T)]
        x = (places[:, 1] - camera.cx) / camera.fx * z
        dx, dz = x[None, :] - x[:, None], z[None, :] - z[:, None]
        least, most = np.minimum(np.abs(dx), np.abs(dz)), np.maximum(np.abs(dx), np.abs(dz))
        clear = np.maximum(z[None], z[:, None]) >= self.min_ratio * np.minimum(z[None], z[:, None])
        clear &= np.abs(steps_in_noise(z[None], z[:, None], scene.depth_unit)) >= self.min_sigmas
        same_side = dx * (places[None, :, 1] - places[:, None, 1]) >= 0
        return clear & same_side & (least >= math.tan(math.radians(self.min_angle)) * most)

    def _steps(
        self, scene: Scene, limits: tuple[float, float], places: Int[np.ndarray, "n 2"]
    ) -> tuple[Int[np.ndarray, "n n"], Int[np.ndarray, "n n"]]:
        """Signs of dx and dz from each place to each other; 0 where it is below the threshold."""
        dx = places[None, :, 1] - places[:, None, 1]
        assert scene.depth is not None
        depth = normalise(scene.depth[tuple(places.T)], *limits)
        dz = depth[None, :] - depth[:, None]
        return _sign(dx, self._min_dx(scene)), _sign(dz, self.min_depth)

    def _min_dx(self, scene: Scene) -> float:
        return self.min_pixels * min(1.0, scene.size[0] / REFERENCE_WIDTH)

    def render(self, scene: Scene, params: PositionParams) -> list[RGB]:
        return [draw_marks(scene.rgb, params.points, params.half, params.badge)]

    def question(self, params: PositionParams) -> str:
        lines = "\n".join(f"{chr(ord('A') + i)}. {choice}" for i, choice in enumerate(params.choices))
        return (
            f"<image>\nTwo places in this scene are framed and numbered. "
            f"{self.wordings[params.wording].format(view=VIEWS[params.view])} Ignore differences in height.\n"
            f"{lines}\nAnswer with one letter from A to D."
        )

    def answer(self, params: PositionParams) -> str:
        return chr(ord("A") + params.choices.index(params.direction))

    def options(self, params: PositionParams) -> tuple[str, ...]:
        return params.choices

    @property
    def margin_unit(self) -> str:
        if self.min_sigmas:
            return "standard deviations of the noise between both depths"
        return "share of the threshold that decides the direction"

    def margin(self, scene: Scene, params: PositionParams) -> Margin:
        """Distance of dx and dz from the threshold that decides them, as a share of it; the smaller one.

        Where the noise is limited, it is dz in standard deviations of it: dx is far more certain.
        """
        assert scene.depth is not None
        (x1, y1), (x2, y2) = params.points
        if self.min_sigmas:
            sigmas = np.abs(steps_in_noise(scene.depth[[y1], [x1]], scene.depth[[y2], [x2]], scene.depth_unit))
            return Margin(float(sigmas[0]), self.min_sigmas)
        z1, z2 = normalise(scene.depth[[y1, y2], [x1, x2]], *params.limits)
        shares = (abs(x2 - x1) / self._min_dx(scene), abs(float(z2 - z1)) / self.min_depth)
        return Margin(min(abs(share - 1) for share in shares), self.min_share)

    def grammar(self, params: PositionParams) -> Letter:
        return Letter(len(params.choices))


def _with_drawn_rise(rises: Float[np.ndarray, "n"], rng: np.random.Generator) -> Bool[np.ndarray, "n"]:
    """Those that go up, or down, as drawn, by an amount that both ways offer; none where one of them lacks it.

    The amount is one of the rarer way, as the other has more to choose from.
    """
    ways = [rises > 0, rises < 0]
    rarer = rises[min(ways, key=np.count_nonzero)]
    amount = abs(rng.choice(rarer)) if len(rarer) else math.inf
    alike = np.abs(np.abs(rises) - amount) < CLOSE
    drawn, other = (alike & ways[i] for i in rng.permutation(2))
    return drawn & other.any()


def _sign(values: np.ndarray, threshold: float) -> Int[np.ndarray, "n n"]:
    return (values > threshold).astype(int) - (values < -threshold).astype(int)


def _to_camera(signs: Int[np.ndarray, "2"], view: int) -> tuple[int, int]:
    """Signs (x', z') of the observer as signs (dx, dz) of the camera: the inverse rotation."""
    cos, sin = ROTATION[view]
    return int(cos * signs[0] - sin * signs[1]), int(sin * signs[0] + cos * signs[1])
