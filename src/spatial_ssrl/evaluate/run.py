"""Asking a model the questions of a benchmark, and scoring what it said.

OUT/replies.jsonl     replies as they come; a killed run goes on, a repeated one asks nothing
OUT/verdicts.jsonl    what was read in each reply and how it scored, under one policy
OUT/results.json      figures with intervals, and all that they depend on
OUT/predictions.tsv   the raw replies in VLMEvalKit's columns, for scoring by others
"""

import csv
import itertools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate.backends import Backend, Decoding, Prompt
from spatial_ssrl.evaluate.benchmark import Benchmark, Mode, Policy
from spatial_ssrl.evaluate.download import origin
from spatial_ssrl.evaluate.question import Question, Verdict
from spatial_ssrl.evaluate.reading import md5
from spatial_ssrl.evaluate.replies import ReplyFile, Stored, reply_key
from spatial_ssrl.evaluate.results import REPLIES, VERDICTS, Data, Results, figure, figures, score_tables
from spatial_ssrl.grammar import Reply
from spatial_ssrl.rng import digest

PREDICTIONS = "predictions.tsv"
MISSING = ("", "na", "n/a", "nan", "none", "null")
"""What pandas takes for a missing value, without its decorations and in lower case."""

Progress = Callable[[int, int, str], None]
"""Gets replies there, replies in all, and a note such as the running accuracy."""


@dataclass(frozen=True)
class Settings:
    """How a benchmark is run."""

    mode: Mode = "reasoning"
    policy: Policy = "robust"
    decoding: Decoding = field(default_factory=Decoding)
    samples: int = 1
    """Replies to each question, seeds counting up."""
    limit: int | None = None
    """Ask only the first questions."""
    retry_failed: bool = False
    """Ask again where the stored reply is an error."""


def evaluate(
    benchmark: Benchmark, path: Path, backend: Backend, out: Path, settings: Settings, progress: Progress
) -> Results:
    """Ask what was not asked yet, score everything, and write the files of `out`.

    Raises DatasetError for data that cannot be used, TrainingError when a local model cannot be loaded.
    """
    whole = benchmark.read(path)
    questions = whole[: settings.limit]
    if not questions:
        raise DatasetError(f"{path} holds no questions")
    table = md5(benchmark.tables(path))
    warnings = tuple(benchmark.warnings(table, whole))
    replies = ReplyFile(out / REPLIES)
    verdicts = _ask(benchmark, questions, backend, replies, settings, progress, table)
    data = Data(
        path=str(path.resolve()),
        origin=origin(path),
        md5=table,
        files=_files_beside(whole, path),
        questions=len(whole),
        warnings=warnings,
    )
    setup = backend.setup if replies.added else _stored_setup(out)
    results = summarise(benchmark, questions, verdicts, settings, data, backend, setup)
    write_verdicts(out, verdicts)
    write_predictions(out / PREDICTIONS, benchmark, questions, verdicts)
    results.write(out)
    return results


def _files_beside(questions: Sequence[Question], path: Path) -> str:
    """Hash of names and sizes of the pictures and videos that are files; reading gigabytes would take too long."""
    pictures = {picture.source for q in questions for picture in q.images if isinstance(picture.source, Path)}
    files = sorted(pictures | {q.video for q in questions if q.video})
    sizes = {os.path.relpath(file, path): file.stat().st_size if file.is_file() else 0 for file in files}
    return digest(*(part for item in sizes.items() for part in item)) if sizes else ""


def _stored_setup(out: Path) -> dict[str, Any]:
    """What the replies of a folder were asked with, by its results; nothing without any that can be read."""
    try:
        return Results.read(out).setup
    except DatasetError:
        return {}


def _ask(
    benchmark: Benchmark,
    questions: Sequence[Question],
    backend: Backend,
    file: ReplyFile,
    settings: Settings,
    progress: Progress,
    table: str,
) -> list[Verdict]:
    """Scored replies by sample and question, stored ones and new ones."""
    every = list(itertools.product(range(settings.samples), questions))
    asked = {**backend.identity, **asdict(settings.decoding), "data": table}
    prompts = [Prompt(benchmark.prompt(q, settings.mode), q.images, q.video, sample) for sample, q in every]
    keys = [reply_key(benchmark.name, q.id, p.text, asked, p.sample) for (_, q), p in zip(every, prompts, strict=True)]
    tally = _Tally(benchmark, settings, len(every), progress)
    missing = []
    for place, key in enumerate(keys):
        old = file.stored.get(key)
        if old is None or (old.error is not None and settings.retry_failed):
            missing.append(place)
        else:
            tally.count(place, every[place][1], old)
    if missing:
        _check_pictures(benchmark, questions)
        for outcome in backend.ask([prompts[place] for place in missing], settings.decoding):
            place = missing[outcome.place]
            sample, question = every[place]
            name, mode = benchmark.name, settings.mode
            stored = Stored(keys[place], name, question.id, sample, mode, outcome.reply, outcome.error)
            file.add(stored)
            tally.count(place, question, stored)
    return [tally.verdicts[place] for place in range(len(every))]


class _Tally:
    """Verdicts by place, and their accuracy for the progress bar."""

    def __init__(self, benchmark: Benchmark, settings: Settings, total: int, progress: Progress) -> None:
        self.benchmark, self.settings, self.total, self.progress = benchmark, settings, total, progress
        self.verdicts: dict[int, Verdict] = {}
        self.right, self.errors = 0.0, 0
        progress(0, total, "")

    def count(self, place: int, question: Question, reply: Stored) -> None:
        """Score a reply and show how it goes."""
        verdict = self.verdicts[place] = judge(self.benchmark, question, reply, self.settings)
        self.right += verdict.accuracy
        self.errors += verdict.error is not None
        failed = f", {self.errors} errors" if self.errors else ""
        self.progress(len(self.verdicts), self.total, f"{100 * self.right / len(self.verdicts):.1f}% right{failed}")


def _check_pictures(benchmark: Benchmark, questions: Sequence[Question]) -> None:
    """Raise DatasetError when the table names no pictures, as some published tables do."""
    if not any(question.images or question.video for question in questions):
        raise DatasetError(
            f"the table of {benchmark.title} names no pictures, so a model cannot be asked; "
            "use the form that has them, see docs/evaluate.md"
        )


def judge(benchmark: Benchmark, question: Question, stored: Stored, settings: Settings) -> Verdict:
    """Score one reply; an error scores 0."""
    reply = Reply.from_text(stored.reply or "")
    parsed = None if stored.reply is None else benchmark.extract(reply, question, settings.policy, settings.mode)
    accuracy = 0.0 if parsed is None else benchmark.score(parsed, question, settings.policy)
    if stored.error is not None:
        why = "the model could not be asked"
    elif parsed is None:
        why = "no box outside the thinking" if not reply.boxes else "no answer can be read"
    else:
        why = {1.0: "right", 0.0: "wrong"}.get(accuracy, "near")
    return Verdict(
        id=question.id,
        sample=stored.sample,
        category=question.category,
        cluster=question.cluster or question.id,
        fields=question.fields,
        answer=question.answer,
        choices=question.choices,
        reply=stored.reply,
        error=stored.error,
        parsed=parsed,
        accuracy=accuracy,
        format=float(reply.well_formed),
        why=why,
    )


def summarise(
    benchmark: Benchmark,
    questions: Sequence[Question],
    verdicts: Sequence[Verdict],
    settings: Settings,
    data: Data,
    backend: Backend,
    setup: dict[str, Any],
) -> Results:
    """Figures of scored replies."""
    decoding: dict[str, Any] = {**asdict(settings.decoding), "samples": settings.samples}
    return Results(
        benchmark=benchmark.name,
        model=backend.identity["model"],
        model_files=backend.identity.get("model_files"),
        backend=backend.name,
        setup=setup,
        data=data,
        rows=digest(*(question.id for question in questions)),
        split=getattr(benchmark, "split", ""),
        mode=settings.mode,
        policy=settings.policy,
        decoding=decoding,
        prompt=benchmark.prompt(questions[0], settings.mode),
        scored_by=f"spatial-ssrl {version('spatial-ssrl')}",
        errors=sum(v.error is not None for v in verdicts),
        metrics=tuple(figure(metric, samples) for metric, samples in figures(benchmark, verdicts)),
        **score_tables(verdicts, questions, benchmark),
    )


def write_verdicts(out: Path, verdicts: Sequence[Verdict]) -> None:
    """To verdicts.jsonl of a run folder."""
    text = "".join(json.dumps(verdict.as_dict()) + "\n" for verdict in verdicts)
    (out / VERDICTS).write_text(text, encoding="utf-8")


def read_verdicts(folder: Path) -> list[Verdict]:
    """From verdicts.jsonl of a run folder. Raises DatasetError when there are none."""
    try:
        with (folder / VERDICTS).open(encoding="utf-8") as lines:
            return [Verdict.from_dict(json.loads(line)) for line in lines]
    except FileNotFoundError:
        raise DatasetError(f"{folder} holds no {VERDICTS}; evaluate a model with --out {folder} first") from None
    except ValueError as error:
        raise DatasetError(f"{folder / VERDICTS} is damaged: {error}; evaluate again, which asks nothing") from None


def write_predictions(path: Path, benchmark: Benchmark, questions: Sequence[Question], verdicts: Sequence[Verdict]) -> None:
    """The first sample's replies beside VLMEvalKit's columns, for scoring by others.

    A reply that pandas would take for a missing value, such as "None" or an empty one, gets a space at its end.
    """
    replies = {v.id: v.reply or "" for v in verdicts if v.sample == 0}
    replies |= {i: f"{text} " for i, text in replies.items() if text.strip("#<>-").lower() in MISSING}
    rows = [{**benchmark.kit_row(question), "prediction": replies[question.id]} for question in questions]
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
