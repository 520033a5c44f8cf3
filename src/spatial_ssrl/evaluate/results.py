"""results.json: what a run came to, with all that the figures depend on. Typed and versioned."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate.benchmark import Benchmark, Mode, Policy
from spatial_ssrl.evaluate.metrics import Metric, mean, over_samples
from spatial_ssrl.evaluate.question import Question, Verdict

RESULTS, VERDICTS, REPLIES = "results.json", "verdicts.jsonl", "replies.jsonl"


class Strict(BaseModel):
    """Immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Score(Strict):
    """Accuracy of a category, or of all questions, with its 95% interval."""

    name: str
    n: int
    """Questions; those that could not be asked are among them, and count as wrong."""
    correct: float
    accuracy: float
    low: float
    high: float
    unparsed: float
    """Share of replies in which no answer could be read; they count as wrong."""
    format: float
    """Share of replies that are one thought followed by one box."""
    chance: float


class Figure(Strict):
    """A metric with its 95% interval."""

    name: str
    value: float
    low: float
    high: float
    units: int
    """What is right or wrong as a whole: questions, or groups of them."""
    clusters: int
    """Units of one cluster share a picture or scene; the interval allows for it."""
    samples: tuple[float, ...]
    """The value of each sample of replies."""

    @property
    def spread(self) -> float | None:
        """Standard deviation over samples, or None of a single one."""
        return float(np.std(self.samples, ddof=1)) if len(self.samples) > 1 else None


class Data(Strict):
    """The table that was asked."""

    path: str
    origin: str = ""
    """Repository and revision that it was downloaded from, as repo@revision."""
    md5: str
    files: str = ""
    """Hash of names and sizes of the pictures and videos beside the table, which its MD5 leaves out; empty without any."""
    questions: int
    """Questions of the table; a limited run asks fewer."""
    warnings: tuple[str, ...]


class Results(Strict):
    """A model on a benchmark."""

    version: Literal[1] = 1
    benchmark: str
    model: str
    model_files: str | None
    """Hash of names, sizes and times of a model folder's weights."""
    backend: str
    setup: dict[str, Any] = {}
    """What the model ran with when replies were last asked: versions, precision, limits of pictures; empty of a server."""
    data: Data
    rows: str
    """Hash of the ids that were asked: scores of runs with the same rows can be compared."""
    split: str
    mode: Mode
    policy: Policy
    decoding: dict[str, Any]
    prompt: str = ""
    """What the first question was asked with."""
    scored_by: str = ""
    """Package and version."""
    errors: int
    """Replies that are errors, such as a server that could not be reached."""
    metrics: tuple[Figure, ...]
    """The headline first."""
    overall: Score
    scores: tuple[Score, ...]
    """By category, in order of name."""

    @property
    def headline(self) -> Figure:
        """The figure that a table shows."""
        return self.metrics[0]

    def category(self, name: str) -> Score:
        """The score of a category."""
        return next(score for score in self.scores if score.name == name)

    def write(self, folder: Path) -> None:
        """To results.json of the folder."""
        (folder / RESULTS).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Results":
        """Raises DatasetError when the folder holds no results of this version."""
        path = folder / RESULTS
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DatasetError(f"{folder} holds no {RESULTS}; evaluate a model with --out {folder} first") from None
        except (ValidationError, OSError) as error:
            raise DatasetError(
                f"{path} is damaged or of another version: {error}; evaluate again, which asks nothing"
            ) from None


def check_same_questions(folders: Sequence[Path], results: Sequence[Results]) -> None:
    """Raise DatasetError unless the runs of these folders asked the same questions of the same data."""
    named = " and ".join(map(str, folders))
    if len({(r.benchmark, r.rows) for r in results}) > 1:
        raise DatasetError(f"{named} answered other questions; run both with the same data, split and --limit")
    if len({r.data.md5 for r in results}) > 1:
        hashes = " and ".join(f"{r.data.path} with MD5 {r.data.md5}" for r in results)
        raise DatasetError(f"{named} asked other versions of the data, {hashes}; run both on one table")


def figures(benchmark: Benchmark, verdicts: Sequence[Verdict]) -> list[tuple[Metric, tuple[float, ...]]]:
    """The benchmark's metrics over all samples, and the value of each sample."""
    by_sample = [benchmark.metrics(sample) for sample in split_samples(verdicts)]
    return [(over_samples(same), tuple(metric.value for metric in same)) for same in zip(*by_sample, strict=True)]


def split_samples(verdicts: Sequence[Verdict]) -> list[list[Verdict]]:
    """The verdicts of each sample, questions in the same order."""
    return [[v for v in verdicts if v.sample == s] for s in sorted({v.sample for v in verdicts})]


def figure(metric: Metric, samples: tuple[float, ...]) -> Figure:
    """A metric with its interval."""
    low, high = metric.interval()
    clusters = len(metric.cluster_names)
    return Figure(
        name=metric.name, value=metric.value, low=low, high=high, units=metric.n, clusters=clusters, samples=samples
    )


def score(name: str, verdicts: Sequence[Verdict], chances: dict[str, float]) -> Score:
    """Accuracy over some questions, all samples together."""
    metric = over_samples([mean(name, sample) for sample in split_samples(verdicts)])
    low, high = metric.interval()
    return Score(
        name=name,
        n=metric.n,
        correct=metric.value * metric.n,
        accuracy=metric.value,
        low=low,
        high=high,
        unparsed=sum(v.parsed is None for v in verdicts) / len(verdicts),
        format=sum(v.format for v in verdicts) / len(verdicts),
        chance=sum(chances[v.id] for v in verdicts) / len(verdicts),
    )


def score_tables(verdicts: Sequence[Verdict], questions: Sequence[Question], benchmark: Benchmark) -> dict[str, Any]:
    """`overall` and `scores` of results."""
    chances = {question.id: benchmark.chance(question) for question in questions}
    categories = sorted({v.category for v in verdicts})
    groups = {name: [v for v in verdicts if v.category == name] for name in categories if name}
    return {
        "overall": score("overall", verdicts, chances),
        "scores": tuple(score(name, group, chances) for name, group in groups.items()),
    }
