"""One self-contained HTML file that shows what a run came to: rows, training, results, replies.

Files in, one file out. A section appears where its files are:

    RUN/data/manifest.json, RUN/data/data/*.parquet    rows; or RUN is a dataset folder itself
    RUN/{cold-start,grpo}/trainer_state.json           training curves
    RUN/eval/NAME/results.json, replies.jsonl          results and replies of model NAME

This file computes numbers and geometry; report.html.jinja lays them out and escapes every text.
"""

import base64
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from spatial_ssrl.errors import DatasetError, MissingExtraError
from spatial_ssrl.row import Image, Row, read_rows

if TYPE_CHECKING:
    from jinja2 import Template

Json = dict[str, Any]
Floats = NDArray[np.float64]
Verdicts = tuple[bool, ...]

NAMES = {"base": "Base", "cold-start": "Cold start", "grpo": "GRPO"}
"""Models and stages that the pipeline makes, in its order; each has a colour of its own."""
ALL = "All rows"
SPLITS = ("train", "validation", "test")
TASKS = {
    "shuffle": ("Shuffled patches", "The picture was cut and its pieces were shuffled. Which piece belongs where?"),
    "flip": ("Flipped patch", "One of four patches was mirrored in its place. Which one, and which way?"),
    "crop": ("Cropped patch", "A square was painted black. Which of four pieces was there?"),
    "depth": ("Depth order", "Three places are marked. In what order do they lie, from near to far?"),
    "position": (
        "Relative position",
        "An observer stands at place 1 and faces one way. Where is place 2, seen from there?",
    ),
}
"""Title of a task and what it asks; a task that is not listed goes by its own name."""

MANIFEST_KEYS = ("command", "counts", "drops", "fingerprint", "recipe", "scenes", "short", "skipped", "unserved", "versions")
RESULT_KEYS = ("model", "split", "decoding", "policy", "scores", "overall")
SCORE_KEYS = ("n", "correct", "accuracy", "low", "high", "unparsed", "format", "chance")
REPLY_KEYS = ("id", "reply", "accuracy", "format", "parsed", "why")
FACTS = ("id", "task", "variant", "level", "answer", "grammar", "chance", "margin", "scene_id", "split")
"""Columns that are read of every row; pictures are read of the rows that are shown."""

EXAMPLES = 3
REPLIES = 6
LONGEST_REPLY = 1200
PICTURE_SIDE, OPTION_SIDE = 480, 240


def write_report(run: Path, out: Path) -> Path:
    """Write the report of a run folder, or of a dataset folder, to the file `out`.

    Raises DatasetError when the folder holds nothing to report or a damaged file, MissingExtraError
    when the template engine is not installed.
    """
    template = _template()
    read = Run.read(run)
    journeys = find_journeys(read.models, read.data)
    page = template.render(run=read, data=read.data, models=read.models, journeys=journeys)
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
    environment.globals |= {"TASKS": TASKS, "NAMES": NAMES, "ALL": ALL, "LONGEST_REPLY": LONGEST_REPLY}
    return environment.from_string(files("spatial_ssrl").joinpath("report.html.jinja").read_text(encoding="utf-8"))


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage: 0.6667 as 66.7%."""
    return f"{100 * share:.{digits}f}%"


# Files


def _read_json(path: Path, keys: Iterable[str]) -> Json:
    """A JSON object with these keys. Raises DatasetError when the file holds none."""
    try:
        return _check(json.loads(path.read_text(encoding="utf-8")), keys, path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is damaged: {error}; write it again") from None


def _check(content: Any, keys: Iterable[str], path: Path) -> Json:
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise DatasetError(f"{path} is damaged: it lacks {', '.join(missing)}; write it again")
    return dict(content)


def _pipeline_order(name: str) -> tuple[int, str]:
    return (list(NAMES).index(name) if name in NAMES else len(NAMES), name)


def _split_order(name: str) -> tuple[int, str]:
    return (SPLITS.index(name) if name in SPLITS else len(SPLITS), name)


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
        results = sorted(folder.glob("eval/*/results.json"), key=lambda path: _pipeline_order(path.parent.name))
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


# Rows


@dataclass(frozen=True)
class Data:
    """A dataset: its manifest and the facts of its rows, those of the test split first."""

    folder: Path
    manifest: Json
    facts: tuple[Row, ...]

    @classmethod
    def read(cls, folder: Path) -> "Data":
        manifest = _read_json(folder / "manifest.json", MANIFEST_KEYS)
        splits = sorted(manifest["counts"], key=_split_order, reverse=True)
        return cls(folder, manifest, tuple(row for split in splits for row in read_rows(folder, split, FACTS)))

    @property
    def splits(self) -> dict[str, int]:
        """Rows by split."""
        counts = self.manifest["counts"]
        return {split: sum(counts[split].values()) for split in sorted(counts, key=_split_order)}

    @property
    def variants(self) -> list[str]:
        """Names, as task/variant, of what was asked for, in the order of the recipe."""
        return [f"{entry['task']}/{entry['variant']}" for entry in self.manifest["recipe"]["tasks"]]

    @cached_property
    def tasks(self) -> dict[str, list[Row]]:
        """Facts of the rows of each task, in the order of the recipe."""
        found: dict[str, list[Row]] = {name.partition("/")[0]: [] for name in self.variants}
        for row in self.facts:
            found.setdefault(row["task"], []).append(row)
        return {task: rows for task, rows in found.items() if rows}

    @property
    def drops(self) -> list[tuple[str, str, int, float]]:
        """Variant, reason, dropped draws, and their share of the variant's draws."""
        found = []
        for name, reasons in self.manifest["drops"].items():
            draws = sum(reasons.values()) + sum(counts.get(name, 0) for counts in self.manifest["counts"].values())
            found += [(name, reason, n, n / draws) for reason, n in reasons.items()]
        return found

    @property
    def skipped(self) -> dict[str, list[str]]:
        """Files that could not be used, by reason."""
        by_reason: dict[str, list[str]] = {}
        for path, reason in self.manifest["skipped"].items():
            by_reason.setdefault(reason, []).append(path)
        return by_reason

    @property
    def balance(self) -> "list[Balance]":
        """How often each answer is the right one, for each task and form of answer."""
        groups: dict[tuple[str, float], Counter[str]] = {}
        for task, rows in self.tasks.items():
            for row in rows:
                groups.setdefault((task, row["chance"]), Counter())[row["answer"]] += 1
        return [Balance(task, chance, dict(sorted(counts.items()))) for (task, chance), counts in groups.items()]

    @property
    def examples(self) -> "dict[str, list[Example]]":
        """A few rows of each task, easier ones first."""
        chosen = {task: choose(rows, EXAMPLES) for task, rows in self.tasks.items()}
        rows = self.fetch([row for picked in chosen.values() for row in picked])
        return {task: [self.show(rows[row["id"]]) for row in picked] for task, picked in chosen.items()}

    def fetch(self, facts: Iterable[Row]) -> dict[str, Row]:
        """Whole rows, pictures included, by id."""
        wanted: dict[str, set[str]] = {}
        for fact in facts:
            wanted.setdefault(fact["split"], set()).add(fact["id"])
        found: list[Row] = []
        for split, ids in wanted.items():
            found += islice((row for row in read_rows(self.folder, split) if row["id"] in ids), len(ids))
        return {row["id"]: row for row in found}

    def show(self, row: Row) -> "Example":
        """A row made ready for the page."""
        return Example.create(row, max(fact["margin"] for fact in self.tasks[row["task"]]))


def choose(rows: Sequence[Row], n: int) -> list[Row]:
    """The first rows of different variants, levels and scenes, as far as there are; by level."""
    chosen: list[Row] = []
    used: Counter[object] = Counter()
    while len(chosen) < min(n, len(rows)):
        row = min(rows, key=lambda row: [used[key] for key in _traits(row)])
        used.update(_traits(row))
        chosen.append(row)
    return sorted(chosen, key=lambda row: row["level"])


def _traits(row: Row) -> list[object]:
    """What rows should not share when they are shown together, the worst first."""
    return [row["id"], ("variant", row["variant"]), row["level"], row["scene_id"]]


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, with its size as shown and the letter of the option that it is."""

    uri: str
    size: tuple[int, int]
    letter: str

    @classmethod
    def create(cls, image: Image, letter: str) -> "Picture":
        """A smaller JPEG of an image of a row. Raises DatasetError when it cannot be decoded."""
        try:
            with PIL.Image.open(io.BytesIO(image["bytes"])) as opened:
                picture = opened.convert("RGB")
        except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
            raise DatasetError(f"picture {image['path']} cannot be decoded: {error}; build the dataset again") from None
        side = OPTION_SIDE if letter else PICTURE_SIDE
        picture.thumbnail((side, side))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=85, subsampling=0, optimize=True)
        return cls("data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(), picture.size, letter)


@dataclass(frozen=True)
class Example:
    """A row with its pictures, its question without their placeholders, and the largest margin of its task."""

    row: Row
    pictures: tuple[Picture, ...]
    question: str
    largest_margin: float

    @classmethod
    def create(cls, row: Row, largest_margin: float) -> "Example":
        letters = re.findall(r"(?:^([A-Z])\. )?<image>", row["problem"], re.MULTILINE)
        pictures = map(Picture.create, row["images"], letters)
        question = re.sub(r"^(?:[A-Z]\. )?<image>\n?|<image>", "", row["problem"], flags=re.MULTILINE)
        return cls(row, tuple(pictures), question.strip(), largest_margin)

    @property
    def answer(self) -> str:
        """The answer, with the option's text where it has one."""
        answer, options = self.row["answer"], self.row["options"]
        return f"{answer} ({options[ord(answer) - ord('A')]})" if options else answer


@dataclass(frozen=True)
class Balance:
    """How many rows each answer of one form has, against equal shares."""

    task: str
    chance: float
    counts: Mapping[str, int]

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    @property
    def noise(self) -> float:
        """How far a share strays from `chance` in 95% of fair draws."""
        return 1.96 * math.sqrt(self.chance * (1 - self.chance) / self.rows)

    @property
    def top(self) -> float:
        """The share at the top of the chart."""
        return 1.05 * max(max(self.counts.values()) / self.rows, self.chance + self.noise, 1.5 * self.chance)


# Training

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
        history = _read_json(path, ("log_history",))["log_history"]
        series = read_series([_check(entry, ("step",), path) for entry in history])
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


# Results


@dataclass(frozen=True)
class Model:
    """An evaluated model: its scores by task/variant and for all rows, and its replies by row id."""

    name: str
    results: Json
    scores: Mapping[str, Json]
    replies: Mapping[str, Json]

    @classmethod
    def read(cls, path: Path) -> "Model":
        results = _read_json(path, RESULT_KEYS)
        named = [_check(score, ("task", "variant", *SCORE_KEYS), path) for score in results["scores"]]
        scores = {f"{score['task']}/{score['variant']}": score for score in named}
        scores[ALL] = _check(results["overall"], SCORE_KEYS, path)
        return cls(path.parent.name, results, scores, read_replies(path.with_name("replies.jsonl")))


def read_replies(path: Path) -> dict[str, Json]:
    """Replies by row id; none when there is no such file. Raises DatasetError for a damaged line."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8") as lines:
            return {reply["id"]: reply for reply in (_check(json.loads(line), REPLY_KEYS, path) for line in lines)}
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is damaged: {error}; write it again") from None


@dataclass(frozen=True)
class Journey:
    """A row that every model answered, and how many rows they answered with the same verdicts."""

    example: Example | None
    verdicts: Verdicts
    share: tuple[int, int]
    """Rows with these verdicts, and rows in all."""
    replies: Sequence[tuple[Model, Json]]


def find_journeys(models: Sequence[Model], data: Data | None) -> list[Journey]:
    """Rows that stand for the commonest verdicts, model by model, each from another task where possible."""
    answered = [model for model in models if model.replies]
    shared = [i for i in answered[0].replies if all(i in model.replies for model in answered)] if answered else []
    by_verdicts: dict[Verdicts, list[str]] = {}
    for i in shared:
        by_verdicts.setdefault(tuple(bool(model.replies[i]["accuracy"]) for model in answered), []).append(i)
    facts = {fact["id"]: fact for fact in data.facts} if data else {}
    chosen = _pick(by_verdicts, facts)
    rows = data.fetch([facts[i] for i in chosen.values() if i in facts]) if data else {}
    examples = {i: data.show(row) for i, row in rows.items()} if data else {}
    return [
        Journey(examples.get(i), verdicts, (len(by_verdicts[verdicts]), len(shared)), [(m, m.replies[i]) for m in answered])
        for verdicts, i in chosen.items()
    ]


def _pick(by_verdicts: Mapping[Verdicts, Sequence[str]], facts: Mapping[str, Row]) -> dict[Verdicts, str]:
    """The id of one row for each of the commonest verdicts, with tasks in turn."""
    chosen: dict[Verdicts, str] = {}
    used: Counter[str] = Counter()
    for verdicts, ids in sorted(by_verdicts.items(), key=lambda item: -len(item[1]))[:REPLIES]:
        tasks = {i: facts[i]["task"] if i in facts else "" for i in ids}
        chosen[verdicts] = min(ids, key=lambda i: used[tasks[i]])
        used[tasks[chosen[verdicts]]] += 1
    return chosen
