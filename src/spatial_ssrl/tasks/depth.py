"""Regional depth ordering (paper section 3.2): order three marked regions from near to far.

Convention: the answer lists marker labels 1 to 3 from the nearest region to the farthest. Depths are
normalised to [0, 1] as in regions.py.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from spatial_ssrl.grammar import Permutation
from spatial_ssrl.scene import RGB, Scene
from spatial_ssrl.tasks.base import Drop, Margin, Params, Task, pick_wording
from spatial_ssrl.tasks.marks import draw_marks, mark_spacing
from spatial_ssrl.tasks.regions import Regions, apart, find_regions, normalise, sample, sizes

BANDS = 3
CANDIDATES_A_BAND = 32


@dataclass(frozen=True)
class DepthParams(Params):
    """Three marked regions and their order."""

    centres: tuple[tuple[int, int], ...]
    """(x, y) of the region with marker 1, 2, 3."""
    half: int
    """A region spans `half` px to each side of its centre."""
    badge: int
    order: tuple[int, ...]
    """Markers from nearest to farthest."""
    limits: tuple[float, float]
    """Depths that are normalised to 0 and 1."""


@dataclass(frozen=True)
class DepthOrder(Task[DepthParams]):
    """Three flat regions with clear gaps between their depths."""

    max_range: float = 0.15
    """A region's depth range stays below this, normalised."""
    min_gap: float = 0.05
    """Smallest allowed gap between consecutive regions, normalised."""
    min_ratio: float = 1.0
    """Smallest allowed ratio of the depths of consecutive regions."""
    guard: float = 1.0
    """How many times wider than the region its surroundings are that must be as flat: edges of depth and picture differ."""
    min_rise: float = 0.0
    """Smallest difference in height between two regions, as a share of the picture's height."""
    balanced: bool = False
    """The order of the regions' heights in the picture is drawn before the regions, so that height tells nothing."""

    name: ClassVar[str] = "depth"
    needs_depth: ClassVar[bool] = True
    variants: ClassVar[dict[str, int]] = {"order3": 1}
    params: ClassVar[type[Params]] = DepthParams
    wordings: ClassVar[tuple[str, ...]] = (
        "Three small squares of this picture are framed and numbered. Order them by their distance from the camera.",
        "How far from the camera are the three places framed here? Rank them.",
        "Compare the depth of the three numbered places in this picture.",
    )

    def draw(self, scene: Scene, rng: np.random.Generator) -> DepthParams | Drop:
        half, badge = sizes(*scene.size)
        regions = find_regions(scene, round(self.guard * half), badge)
        if isinstance(regions, Drop):
            return regions
        chain = self._draw_chain(regions, mark_spacing(half, badge), rng)
        if chain is None:
            return Drop("no three regions with clear gaps" + (" in the drawn order of heights" if self.balanced else ""))
        labels = rng.permutation(len(chain))
        centres = [(int(column) + regions.margin, int(row) + regions.margin) for row, column in chain[labels]]
        order = tuple(int(i) + 1 for i in np.argsort(labels))
        return DepthParams(pick_wording(self.wordings, rng), tuple(centres), half, badge, order, regions.limits)

    def _draw_chain(self, regions: Regions, spacing: int, rng: np.random.Generator) -> Int[np.ndarray, "3 2"] | None:
        """A uniform choice among chains near, middle, far of sampled regions, or None."""
        places = _sample_by_band(regions, self.max_range, rng)
        near, far = regions.nearest[tuple(places.T)], regions.farthest[tuple(places.T)]
        rise = np.abs(places[:, None, 0] - places[None, :, 0])
        clear = apart(places, spacing) & (rise >= self.min_rise * regions.normalised.shape[0])
        ratio = regions.to_depth(near)[None] >= self.min_ratio * regions.to_depth(far)[:, None]
        before = (near[None] - far[:, None] > self.min_gap) & ratio & clear
        chains = np.argwhere(before[:, :, None] & before[None, :, :] & clear[:, None, :])
        if self.balanced:
            chains = _with_drawn_heights(chains, places[:, 0], rng)
        return places[chains[rng.integers(len(chains))]] if len(chains) else None

    def render(self, scene: Scene, params: DepthParams) -> list[RGB]:
        return [draw_marks(scene.rgb, params.centres, params.half, params.badge)]

    def question(self, params: DepthParams) -> str:
        return (
            f"<image>\n{self.wordings[params.wording]} List the numbers from the nearest to the farthest. "
            "Answer in the form L-L-L, where each L is a number from 1 to 3."
        )

    def answer(self, params: DepthParams) -> str:
        return "-".join(map(str, params.order))

    def margin(self, scene: Scene, params: DepthParams) -> Margin:
        """The smallest step between consecutive regions, in normalised depth, or as a ratio where one is required."""
        assert scene.depth is not None
        spans = []
        for label in params.order:
            x, y = params.centres[label - 1]
            window = scene.depth[y - params.half : y + params.half + 1, x - params.half : x + params.half + 1]
            spans.append((float(window.min()), float(window.max())))
        if self.min_ratio > 1:
            ratio = min(following[0] / previous[1] for previous, following in pairwise(spans))
            return Margin(ratio, self.min_ratio, "ratio of the depths of consecutive regions")
        unit = [normalise(np.array(span, dtype=np.float32), *params.limits) for span in spans]
        gap = min(float(following[0] - previous[1]) for previous, following in pairwise(unit))
        return Margin(gap, self.min_gap, "normalised depth between consecutive regions")

    def grammar(self, params: DepthParams) -> Permutation:
        return Permutation(len(params.centres), first=1)


def _with_drawn_heights(
    chains: Int[np.ndarray, "n 3"], rows: Int[np.ndarray, "m"], rng: np.random.Generator
) -> Int[np.ndarray, "k 3"]:
    """The chains whose heights are in a drawn order; none where no chain has the reverse, which is drawn as often."""
    heights = np.argsort(rows[chains], axis=1)
    wanted = rng.permutation(3)
    reverse = (heights == wanted[::-1]).all(axis=1)
    return chains[(heights == wanted).all(axis=1) & reverse.any()]


def _sample_by_band(regions: Regions, max_range: float, rng: np.random.Generator) -> Int[np.ndarray, "n 2"]:
    """Flat regions, equally many from the near, middle and far third of the depths where there are."""
    flat = regions.flat(max_range)
    edges = np.linspace(0, 1, BANDS + 1)
    edges[-1] = np.inf
    bands = [flat & (regions.nearest >= low) & (regions.nearest < high) for low, high in pairwise(edges)]
    return np.concatenate([sample(rng, band, CANDIDATES_A_BAND) for band in bands])
