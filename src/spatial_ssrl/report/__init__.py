"""One self-contained HTML file that shows what a run came to: rows, training, results, replies.

Files in, one file out. A section appears where its files are:

    RUN/data/manifest.json, RUN/data/data/*.parquet    rows; or RUN is a dataset folder itself
    RUN/data/audit.json                                what shortcut solvers reach on the rows
    RUN/{cold-start,grpo}/trainer_state.json           training curves
    RUN/grpo/replies/step-*.jsonl                      replies sampled while training
    RUN/eval/NAME/results.json, verdicts.jsonl         results and replies of model NAME

The files here compute numbers and geometry; page.html.jinja lays them out and escapes every text.
"""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from spatial_ssrl.errors import DatasetError, MissingExtraError
from spatial_ssrl.report.curves import Stage
from spatial_ssrl.report.reading import ALL, NAMES, Json, percent, pipeline_order
from spatial_ssrl.report.results import Model, find_journeys
from spatial_ssrl.report.rows import Data
from spatial_ssrl.report.samples import read_samples

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["write_report"]

TASKS = {
    "shuffle": ("Shuffled patches", "The picture was cut and its pieces were shuffled. Which piece belongs where?"),
    "flip": ("Flipped patch", "One of four patches was mirrored in its place. Which one, and which way?"),
    "crop": ("Cropped patch", "A square was painted black. Which of four pieces was there?"),
    "depth": ("Depth order", "Places are marked. In what order do they lie, from near to far, or which is the extreme one?"),
    "position": (
        "Relative position",
        "An observer stands at place 1 and faces one way. Where is place 2, seen from there?",
    ),
    "distance": ("Distance in space", "Two pairs of places are marked. Which pair is farther apart in space?"),
}
"""Title of a task and what it asks; a task that is not listed goes by its own name."""

LONGEST_REPLY = 1200


def write_report(run: Path, out: Path) -> Path:
    """Write the report of a run folder, or of a dataset folder, to the file `out`.

    Raises DatasetError when the folder holds nothing to report or a damaged file, MissingExtraError
    when the template engine is not installed.
    """
    template = _template()
    read = Run.read(run)
    journeys = find_journeys(read.models, read.data)
    samples = read_samples(run / "grpo", read.data)
    page = template.render(run=read, data=read.data, models=read.models, journeys=journeys, samples=samples)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def _template() -> "Template":
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise MissingExtraError("jinja2", "report") from None
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "task_title": lambda task: TASKS.get(task, (task, ""))[0]}
    environment.globals |= {"TASKS": TASKS, "NAMES": NAMES, "ALL": ALL}
    environment.globals["LONGEST_REPLY"] = LONGEST_REPLY
    return environment.from_string(files("spatial_ssrl").joinpath("report", "page.html.jinja").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Run:
    """What a run folder holds."""

    data: "Data | None"
    stages: tuple["Stage", ...]
    models: tuple["Model", ...]

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """Find and read a run's files. Raises DatasetError when there are none."""
        dataset = next((d for d in (folder / "data", folder) if (d / "manifest.json").is_file()), None)
        states = [path for name in NAMES if (path := folder / name / "trainer_state.json").is_file()]
        results = sorted(folder.glob("eval/*/results.json"), key=lambda path: pipeline_order(path.parent.name))
        if not (dataset or states or results):
            raise DatasetError(
                f"{folder} holds nothing to report; expected data/manifest.json (or manifest.json), "
                "cold-start/ or grpo/trainer_state.json, or eval/NAME/results.json; build, train or evaluate first"
            )
        return cls(Data.read(dataset) if dataset else None, tuple(map(Stage.read, states)), tuple(map(Model.read, results)))

    @property
    def gain(self) -> "tuple[Model, Model] | None":
        """The cold start, or the base where there is none, and the model after GRPO."""
        models = {model.name: model for model in self.models}
        before, after = models.get("cold-start") or models.get("base"), models.get("grpo")
        return (before, after) if before and after else None

    @property
    def table(self) -> "list[tuple[str, list[tuple[Model, Json | None]]]]":
        """A line of scores, model by model, for each variant that any of them was asked, and for all rows."""
        names = dict.fromkeys(name for model in self.models for name in model.scores if name != ALL)
        return [(name, [(model, model.scores.get(name)) for model in self.models]) for name in (*names, ALL)]

    @property
    def hues(self) -> dict[str, int]:
        """A colour's number for each model: the pipeline's own are always the same."""
        others = [model.name for model in self.models if model.name not in NAMES]
        return {name: i for i, name in enumerate(NAMES)} | {name: len(NAMES) + i % 3 for i, name in enumerate(others)}
