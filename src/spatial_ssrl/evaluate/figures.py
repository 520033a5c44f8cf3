"""Figures of results: headlines of several models as a radar, categories of one benchmark as bars with intervals."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spatial_ssrl.errors import DatasetError, MissingExtraError
from spatial_ssrl.evaluate.benchmarks import BENCHMARKS
from spatial_ssrl.evaluate.results import Results

Runs = Mapping[str, Mapping[str, Results]]
FEWEST_AXES = 3


def write_radar(runs: Runs, out: Path) -> Path:
    """Headline of each benchmark that all models ran, in %; SVG, PDF or PNG by the name of `out`.

    Raises DatasetError where fewer than three are shared, MissingExtraError without matplotlib.
    """
    names = [name for name in BENCHMARKS if all(name in run for run in runs.values())]
    if len(names) < FEWEST_AXES:
        raise DatasetError(f"a radar needs {FEWEST_AXES} benchmarks that all models ran; got {', '.join(names) or 'none'}")
    figure = _figure((6, 6))
    axes = figure.add_subplot(projection="polar")
    angles = [2 * math.pi * i / len(names) for i in range(len(names))]
    for model, run in runs.items():
        values = [100 * run[name].headline.value for name in names]
        axes.plot([*angles, angles[0]], [*values, values[0]], label=model)
    axes.set_xticks(angles, [BENCHMARKS[name].title for name in names])
    axes.tick_params(axis="x", pad=12)
    axes.set_ylim(0, 100)
    figure.legend(loc="outside lower right")
    return _save(figure, out)


def write_bars(runs: Runs, benchmark: str, out: Path) -> Path:
    """Accuracy by category with 95% intervals, a bar a model. Raises DatasetError where no model ran the benchmark."""
    ran = {model: run[benchmark] for model, run in runs.items() if benchmark in run}
    if not ran:
        raise DatasetError(
            f"no model ran {benchmark!r}; ran: {', '.join(sorted({n for run in runs.values() for n in run}))}"
        )
    names = [score.name for score in next(iter(ran.values())).scores]
    figure = _figure((8, 1 + 0.3 * len(names) * len(ran)))
    axes = figure.add_subplot()
    for k, (model, results) in enumerate(ran.items()):
        scores = {score.name: score for score in results.scores}
        shown = [scores[name] for name in names]
        places = [i + k / (len(ran) + 1) for i in range(len(names))]
        errors = [[100 * (s.accuracy - s.low) for s in shown], [100 * (s.high - s.accuracy) for s in shown]]
        values = [100 * s.accuracy for s in shown]
        axes.barh(places, values, 1 / (len(ran) + 1), xerr=errors, label=model, capsize=2)
    axes.set_yticks([i + (len(ran) - 1) / (len(ran) + 1) / 2 for i in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"{BENCHMARKS[benchmark].title}: % right, 95% interval")
    figure.legend(loc="outside upper right")
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
