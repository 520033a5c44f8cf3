"""Regional depth ordering (paper section 3.2): order three or four marked regions, or name an extreme one.

Convention: the answer lists marker labels, from 1, from the nearest region to the farthest; of variants
`nearest` and `farthest` it is the label of that region. Depths are normalised to [0, 1] as in regions.py.
A chain lists regions in the order of the answer, or the region asked for and then the others.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, permutations
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from spatial_ssrl.grammar import Grammar, Label, Permutation
from spatial_ssrl.scene import RGB, Scene
from spatial_ssrl.tasks.base import Drop, Margin, Params, Task, pick_wording
from spatial_ssrl.tasks.markcues import lift_of_truth, look_of_marks
from spatial_ssrl.tasks.marks import draw_marks, mark_spacing
from spatial_ssrl.tasks.noise import steps_in_noise
from spatial_ssrl.tasks.regions import Regions, apart, find_regions, flat_places, normalise, sample, sizes

BANDS = 3
CANDIDATES_A_BAND = 32
RATIO_BANDS, CANDIDATES_A_RATIO_BAND = 8, 24
MOST_CHAINS = 2000
"""Of more chains, this many are drawn."""
COUNTS = {3: "three", 4: "four"}
CHOICE = {"nearest": "nearest to", "farthest": "farthest from"}
CHOICE_WORDINGS = (
    "{count} small squares of this picture are framed and numbered. Which of them is {extreme} the camera?",
    "{count} places of this scene are framed here. Which one lies {extreme} the camera?",
    "Compare the depth of the numbered places in this picture. Which one is {extreme} the camera?",
)


@dataclass(frozen=True)
class DepthParams(Params):
    """Marked regions and their order."""

    centres: tuple[tuple[int, int], ...]
    """(x, y) of the region with marker 1, 2, ..."""
    half: int
    """A region spans `half` px to each side of its centre."""
    badge: int
    order: tuple[int, ...]
    """Markers from nearest to farthest, or the one that is asked for."""
    limits: tuple[float, float]
    """Depths that are normalised to 0 and 1."""


@dataclass(frozen=True)
class DepthOrder(Task[DepthParams]):
    """Flat regions with clear gaps between the depths that the answer compares."""

    max_range: float = 0.15
    """A region's depth range stays below this, normalised."""
    min_gap: float = 0.05
    """Smallest allowed gap between compared regions, normalised."""
    min_ratio: float = 1.0
    """Smallest allowed ratio of the depths of compared regions."""
    min_sigmas: float = 0.0
    """Smallest allowed gap between compared regions, in standard deviations of the noise of both."""
    guard: float = 1.0
    """How many times wider than the region its surroundings are that must be as flat: edges of depth and picture differ."""
    min_rise: float = 0.0
    """Smallest difference in height between two regions, as a share of the picture's height."""
    balanced: bool = False
    """The order of the regions' heights in the picture is drawn before the regions, so that height tells nothing."""

    name: ClassVar[str] = "depth"
    needs_depth: ClassVar[bool] = True
    variants: ClassVar[dict[str, int]] = {"order3": 1, "nearest": 1, "farthest": 1, "order4": 2}
    params: ClassVar[type[Params]] = DepthParams
    wordings: ClassVar[tuple[str, ...]] = (
        "{count} small squares of this picture are framed and numbered. Order them by their distance from the camera.",
        "How far from the camera are the {count} places framed here? Rank them.",
        "Compare the depth of the {count} numbered places in this picture.",
    )

    @property
    def count(self) -> int:
        """Number of regions."""
        return 3 if self.variant == "order3" else 4

    def draw(self, scene: Scene, rng: np.random.Generator) -> DepthParams | Drop:
        half, badge = sizes(*scene.size)
        regions = find_regions(scene, round(self.guard * half), badge)
        if isinstance(regions, Drop):
            return regions
        chain = self._draw_chain(scene, regions, mark_spacing(half, badge), rng)
        if chain is None:
            where = " in the drawn order of heights" if self.balanced else ""
            return Drop(f"no {COUNTS[self.count]} regions with clear gaps{where}")
        labels = rng.permutation(len(chain))
        centres = [(int(column), int(row)) for row, column in chain[labels]]
        order = tuple(int(i) + 1 for i in np.argsort(labels))[: 1 if self.variant in CHOICE else None]
        return DepthParams(pick_wording(self.wordings, rng), tuple(centres), half, badge, order, regions.limits)

    def _draw_chain(
        self, scene: Scene, regions: Regions, spacing: int, rng: np.random.Generator
    ) -> Int[np.ndarray, "k 2"] | None:
        """A uniform choice among chains of sampled regions, or None."""
        bands = (ratio_bands if self.balanced else depth_bands)(regions, self.max_range)
        candidates = CANDIDATES_A_RATIO_BAND if self.balanced else CANDIDATES_A_BAND
        found = np.concatenate([sample(rng, band, candidates) for band in bands])
        places = regions.positions(found)
        rise = np.abs(places[:, None, 0] - places[None, :, 0])
        clear = apart(places, spacing) & (rise >= self.min_rise * scene.size[1])
        chains = self._grow_chains(self._before(scene, regions, found) & clear, clear, rng)
        if self.balanced:
            chains = self._with_drawn_heights(chains, places[:, 0], rng)
        return places[chains[rng.integers(len(chains))]] if len(chains) else None

    def _before(self, scene: Scene, regions: Regions, places: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n n"]:
        """Which regions are clearly nearer than which others."""
        near, far = regions.nearest.ravel()[places], regions.farthest.ravel()[places]
        gap = near[None] - far[:, None] > self.min_gap
        start, end = regions.to_depth(near)[None], regions.to_depth(far)[:, None]
        return gap & (start >= self.min_ratio * end) & (steps_in_noise(end, start, scene.depth_unit) >= self.min_sigmas)

    def _grow_chains(
        self, before: Bool[np.ndarray, "n n"], clear: Bool[np.ndarray, "n n"], rng: np.random.Generator
    ) -> Int[np.ndarray, "m k"]:
        """Chains in which each region comes after the one ahead of it, or each other after the one asked for.

        A chain may be there twice where some of them were drawn, which leaves a choice among them uniform.
        """
        after, anchor = (before.T if self.variant == "farthest" else before), (0 if self.variant in CHOICE else -1)
        chains = np.arange(len(after))[:, None]
        while chains.shape[1] < self.count:
            fits = after[chains[:, anchor]]
            for place in chains.T:
                fits &= clear[place]
            found = np.flatnonzero(fits)
            if len(found) > MOST_CHAINS:
                found = rng.choice(found, MOST_CHAINS)
            which, added = np.divmod(found, len(after))
            chains = np.column_stack([chains[which], added])
        return chains

    def _with_drawn_heights(
        self, chains: Int[np.ndarray, "m k"], rows: Int[np.ndarray, "n"], rng: np.random.Generator
    ) -> Int[np.ndarray, "l k"]:
        """The chains whose heights are in a drawn order; none where the scene lacks the reverse, which is drawn as often.

        Of choices it must offer all ranks. Of orders of four, of which scenes have few, the number of pairs that are out of
        order counts.
        """
        keys = self._height_keys(rows[chains])
        wanted = rng.permutation(self.count)
        alike = permutations(range(self.count)) if self.variant in CHOICE else [wanted, wanted[::-1]]
        available = np.isin(self._height_keys(np.array(list(alike))), keys).all()
        return chains[(keys == self._height_keys(wanted[None])) & available]

    def _height_keys(self, heights: Int[np.ndarray, "m k"]) -> Int[np.ndarray, "m"]:
        """A number for each order of heights that is told from others: the rank of a choice, or which steps go up."""
        first, second = np.triu_indices(self.count, 1)
        rises = heights[:, first] > heights[:, second]
        if self.variant in CHOICE:
            return rises[:, : self.count - 1].sum(axis=1)
        return rises @ (1 << np.arange(3)) if self.count == 3 else rises.sum(axis=1)

    def render(self, scene: Scene, params: DepthParams) -> list[RGB]:
        return [draw_marks(scene.rgb, params.centres, params.half, params.badge)]

    def question(self, params: DepthParams) -> str:
        count = COUNTS[self.count]
        if self.variant in CHOICE:
            asked = CHOICE_WORDINGS[params.wording].format(count=count.capitalize(), extreme=CHOICE[self.variant])
            return f"<image>\n{asked} Answer with its number, from 1 to {self.count}."
        wording = self.wordings[params.wording]
        return (
            f"<image>\n{wording.format(count=count.capitalize() if wording.startswith('{') else count)} "
            f"List the numbers from the nearest to the farthest. "
            f"Answer in the form {'-'.join('L' * self.count)}, where each L is a number from 1 to {self.count}."
        )

    def answer(self, params: DepthParams) -> str:
        return "-".join(map(str, params.order))

    @property
    def margin_unit(self) -> str:
        return f"{'standard deviations of the noise' if self.min_sigmas else 'normalised depth'} between compared regions"

    def margin(self, scene: Scene, params: DepthParams) -> Margin:
        """The smallest step between compared regions, in normalised depth, or in its noise where that is limited."""
        spans = [_span(scene, centre, params.half) for centre in params.centres]
        steps = [(spans[nearer - 1][1], spans[farther - 1][0]) for nearer, farther in self._compared(params)]
        if self.min_sigmas:
            ends, starts = np.array(steps, dtype=np.float32).T
            sigmas = steps_in_noise(ends, starts, scene.depth_unit)
            return Margin(float(sigmas.min()), self.min_sigmas)
        gaps = [normalise(np.array(step, dtype=np.float32), *params.limits) for step in steps]
        gap = min(float(start - end) for end, start in gaps)
        return Margin(gap, self.min_gap)

    def candidates(self, scene: Scene, params: DepthParams) -> Float[np.ndarray, "m f"]:
        """How well each answer agrees with place and look of the marks, the true one first.

        An order counts from 1 for its first mark to -1 for its last one; a choice has the numbers of its mark.
        """
        looks = look_of_marks(scene.rgb, params.centres, params.half)
        true = [label - 1 for label in params.order]
        if self.variant in CHOICE:
            return looks[[*true, *(i for i in range(self.count) if i not in true)]]
        return np.array([np.linspace(1, -1, self.count) @ looks[list(order)] for order in permutations(true)])

    def cue(self, scene: Scene, params: DepthParams) -> float:
        return lift_of_truth(self.candidates(scene, params), self.variant)

    def _compared(self, params: DepthParams) -> list[tuple[int, int]]:
        """Markers of a nearer and a farther region, for each step that the answer rests on."""
        if self.variant not in CHOICE:
            return list(pairwise(params.order))
        asked, others = params.order[0], set(range(1, self.count + 1)) - set(params.order)
        return [(asked, other) if self.variant == "nearest" else (other, asked) for other in sorted(others)]

    def grammar(self, params: DepthParams) -> Grammar:
        return Label(self.count, first=1) if self.variant in CHOICE else Permutation(self.count, first=1)


def _span(scene: Scene, centre: tuple[int, int], half: int) -> tuple[float, float]:
    """Nearest and farthest depth of a region."""
    assert scene.depth is not None
    x, y = centre
    window = scene.depth[y - half : y + half + 1, x - half : x + half + 1]
    return float(window.min()), float(window.max())


@lru_cache(maxsize=2)
def depth_bands(regions: Regions, max_range: float) -> list[Int[np.ndarray, "n"]]:
    """Places of flat regions in the near, middle and far third of the depths."""
    places = flat_places(regions, max_range)
    return _split(places, regions.nearest.ravel()[places], np.linspace(0, 1, BANDS + 1))


@lru_cache(maxsize=2)
def ratio_bands(regions: Regions, max_range: float) -> list[Int[np.ndarray, "n"]]:
    """Places of flat regions by depth, in bands that are steps of one ratio apart."""
    places = flat_places(regions, max_range)
    if not places.size:
        return [places]
    depths = regions.to_depth(regions.nearest.ravel()[places])
    return _split(places, depths, np.geomspace(depths.min(), depths.max(), RATIO_BANDS + 1))


def _split(
    places: Int[np.ndarray, "n"], depths: Float32[np.ndarray, "n"], edges: Float[np.ndarray, "b"]
) -> list[Int[np.ndarray, "m"]]:
    """The places in each band of depths; the last band has no end."""
    ends = [*edges[1:-1], np.inf]
    return [places[(depths >= low) & (depths < high)] for low, high in zip(edges, ends, strict=False)]
