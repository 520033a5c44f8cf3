"""Training as small charts: what a trainer logged, step by step, as geometry of SVG paths."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spatial_ssrl.report.reading import Json, check, percent, read_json

Floats = NDArray[np.float64]

PANELS = {
    r"loss": ("Loss", False),
    r"eval_loss": ("Loss, development", False),
    r"mean_token_accuracy": ("Next tokens right", True),
    r"reward": ("Reward", False),
    r"dev/accuracy": ("Development accuracy", True),
    r"dev/unparsed": ("Development unparsed", True),
    r"format": ("Well-formed replies", True),
    r"unparsed": ("Unparsed replies", True),
    r"accuracy": ("Accuracy", True),
    r"accuracy/(.+)": ("Accuracy, {}", True),
    r"frac_reward_zero_std": ("Groups without variance", True),
    r"completions/clipped_ratio": ("Replies cut off", True),
    r"completions/mean_length": ("Tokens a reply", False),
    r"kl": ("KL divergence", False),
}
"""Logged quantities that are shown, in this order: their titles, and whether they are shares from 0 to 1."""
MOST_POINTS = 300
"""Longer histories are averaged down to as many points."""


class PLOT:
    """The place of the curve within a chart of 240 x 140 SVG units."""

    left, top, width, height = 36, 8, 198, 108


@dataclass(frozen=True)
class Stage:
    """One stage of training: what was logged, step by step."""

    name: str
    curves: "tuple[Curve, ...]"

    @classmethod
    def read(cls, path: Path) -> "Stage":
        history = read_json(path, ("log_history",))["log_history"]
        series = read_series([check(entry, ("step",), path) for entry in history])
        hidden = {"loss"} if "reward" in series else set()
        return cls(path.parent.name, tuple(draw_curves({k: v for k, v in series.items() if k not in hidden})))


def read_series(history: Iterable[Json]) -> dict[str, list[tuple[float, float]]]:
    """Steps and finite values of each logged quantity, by its name without a trainer's decoration."""
    series: dict[str, list[tuple[float, float]]] = {}
    for entry in history:
        for key, value in entry.items():
            if isinstance(value, int | float) and math.isfinite(value):
                name = re.sub(r"^(train|rewards)/|/mean$", "", key)
                series.setdefault(name, []).append((entry["step"], value))
    return series


def draw_curves(series: Mapping[str, Sequence[tuple[float, float]]]) -> "Iterator[Curve]":
    """A chart for each quantity that PANELS lists."""
    for pattern, (title, is_share) in PANELS.items():
        for name, points in series.items():
            match = re.fullmatch(pattern, name)
            if match and not name.endswith("/std"):
                steps, values = _thin(np.array(points, dtype=float))
                yield Curve(title.format(*match.groups()), is_share, steps, values)


def _thin(points: Floats) -> Floats:
    """Steps and values, averaged over neighbours where there are too many."""
    parts = np.array_split(points, min(len(points), MOST_POINTS))
    return np.array([part.mean(axis=0) for part in parts]).T


@dataclass(frozen=True, eq=False)
class Curve:
    """One quantity over the steps of training, as a small chart."""

    title: str
    is_share: bool
    steps: Floats
    values: Floats

    @cached_property
    def smooth(self) -> Floats:
        """Moving average over a tenth of the points, narrower at both ends."""
        window = np.ones(len(self.values) // 10 | 1)
        return np.convolve(self.values, window, "same") / np.convolve(np.ones_like(self.values), window, "same")

    @cached_property
    def range(self) -> tuple[float, float]:
        """Values at the bottom and the top of the chart: 0, or less where there is less, and a round number."""
        low, high = float(self.values.min()), float(self.values.max())
        return min(0.0, low), 1.0 if self.is_share and high <= 1 else round_up(high)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Heights and labels of the horizontal lines."""
        low, high = self.range
        return [(self._y(value), self.text(value)) for value in (low, (low + high) / 2, high)]

    @property
    def dots(self) -> str:
        """SVG path of the values: strokes of no length, which round caps make dots."""
        return " ".join(f"M{x} {y}h0" for x, y in self._places(self.values))

    @property
    def line(self) -> str:
        """SVG path of the moving average."""
        return "M" + "L".join(f"{x} {y}" for x, y in self._places(self.smooth))

    def text(self, value: float) -> str:
        """A value as the chart writes it."""
        return percent(value, 0) if self.is_share else f"{value:.{3 if abs(value) >= 1 else 2}g}"

    def _places(self, values: Floats) -> Iterator[tuple[float, float]]:
        first, last = self.steps[0], self.steps[-1]
        for step, value in zip(self.steps, values, strict=True):
            share = (step - first) / (last - first) if last > first else 0.5
            yield round(PLOT.left + share * PLOT.width, 1), self._y(value)

    def _y(self, value: float) -> float:
        low, high = self.range
        return round(PLOT.top + PLOT.height * (high - value) / (high - low), 1)


def round_up(value: float) -> float:
    """The next number with one digit, 1, 2, 3, 4, 5, 6 or 8, times a power of ten; 1 for what is not positive."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 3, 4, 5, 6, 8, 10) if value <= step * power * (1 + 1e-9))
