"""Figures of results: headlines of several models as a radar, categories of one benchmark as bars with intervals."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spatial_ssrl.errors import DatasetError, MissingExtraError
from spatial_ssrl.evaluate.benchmarks import BENCHMARKS
from spatial_ssrl.evaluate.results import Results

Runs = Mapping[str, Mapping[str, Results]]
FEWEST_AXES = 3
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Of Okabe and Ito, that colour-blind readers can tell apart; more models than these repeat them."""
INK, SOFT, LINE = "#333333", "#707070", "#dddddd"
UPRIGHT = 0.2
"""Sine of the angle from the vertical within which an axis's label is centred."""


def write_radar(runs: Runs, out: Path) -> Path:
    """Headline of each benchmark that all models ran, in %; SVG, PDF or PNG by the name of `out`.

    Raises DatasetError where fewer than three are shared, MissingExtraError without matplotlib.
    """
    names = [name for name in BENCHMARKS if all(name in run for run in runs.values())]
    if len(names) < FEWEST_AXES:
        raise DatasetError(f"a radar needs {FEWEST_AXES} benchmarks that all models ran; got {', '.join(names) or 'none'}")
    figure = _figure((7, 7))
    axes = figure.add_subplot(projection="polar", theta_offset=math.pi / 2, theta_direction=-1)
    angles = [2 * math.pi * i / len(names) for i in range(len(names))]
    for colour, (model, run) in zip(itertools.cycle(COLOURS), runs.items(), strict=False):
        values = [100 * run[name].headline.value for name in names]
        axes.plot([*angles, angles[0]], [*values, values[0]], "o-", markersize=4, color=colour, label=model)
        axes.fill(angles, values, color=colour, alpha=0.08)
    axes.set_xticks(angles, [BENCHMARKS[name].title for name in names])
    for label, angle in zip(axes.get_xticklabels(), angles, strict=True):
        side = math.sin(angle)
        label.set_horizontalalignment("center" if abs(side) < UPRIGHT else "left" if side > 0 else "right")
    axes.set_ylim(0, 100)
    axes.set_rgrids([20, 40, 60, 80], color=SOFT, fontsize=8, angle=180 / len(names))
    axes.grid(color=LINE)
    axes.spines["polar"].set_color(LINE)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return _save(figure, out)


def write_bars(runs: Runs, benchmark: str, out: Path) -> Path:
    """Accuracy by category with 95% intervals, a bar a model, a gap where a model was not asked the category.

    Raises DatasetError where no model ran the benchmark.
    """
    ran = {model: run[benchmark] for model, run in runs.items() if benchmark in run}
    if not ran:
        raise DatasetError(
            f"no model ran {benchmark!r}; ran: {', '.join(sorted({n for run in runs.values() for n in run}))}"
        )
    names = list(dict.fromkeys(score.name for results in ran.values() for score in results.scores))
    figure = _figure((8, 1 + 0.3 * len(names) * len(ran)))
    axes = figure.add_subplot()
    for k, (colour, (model, results)) in enumerate(zip(itertools.cycle(COLOURS), ran.items(), strict=False)):
        shown = results.scores
        places = [names.index(score.name) + k / (len(ran) + 1) for score in shown]
        errors = [[100 * (s.accuracy - s.low) for s in shown], [100 * (s.high - s.accuracy) for s in shown]]
        values = [100 * s.accuracy for s in shown]
        whiskers = {"ecolor": INK, "elinewidth": 1, "capsize": 2, "capthick": 1}
        axes.barh(places, values, 1 / (len(ran) + 1), xerr=errors, label=model, color=colour, error_kw=whiskers)
    axes.set_yticks([i + (len(ran) - 1) / (len(ran) + 1) / 2 for i in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"{BENCHMARKS[benchmark].title}: % right, 95% interval")
    axes.grid(axis="x", color=LINE)
    axes.set_axisbelow(True)
    axes.tick_params(left=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return _save(figure, out)


def _figure(size: tuple[float, float]) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "eval") from None
    return Figure(figsize=size, layout="constrained")


def _save(figure: Any, out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        figure.savefig(out)
    except ValueError as error:
        raise DatasetError(f"{out} cannot be written: {error}; name it .svg, .pdf or .png") from None
    return out
