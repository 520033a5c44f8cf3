"""One self-contained HTML page to browse a benchmark's questions: picture, prompt, reply, what was read, verdict.

With a second run, the questions on which the two disagree come first. Filters, search and keys are a script in the page.
"""

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from PIL import Image

from spatial_ssrl.errors import DatasetError, MissingExtraError
from spatial_ssrl.evaluate.backends.media import data_url, decoded, glimpses
from spatial_ssrl.evaluate.benchmark import Benchmark
from spatial_ssrl.evaluate.benchmarks import BENCHMARKS
from spatial_ssrl.evaluate.benchmarks.pretext import Pretext
from spatial_ssrl.evaluate.question import Picture, Question, Verdict
from spatial_ssrl.evaluate.reading import md5
from spatial_ssrl.evaluate.results import Results, check_same_questions
from spatial_ssrl.evaluate.run import read_verdicts

SIDE = 320
"""Long side of a shown picture, in pixels."""
PICTURES = 6
GLIMPSES = 4
"""Frames shown of a video."""
QUALITY = 75


@dataclass(frozen=True)
class Entry:
    """A question and what each run made of it."""

    question: Question
    prompt: str
    verdicts: Sequence[Verdict]
    pictures: Sequence[str]
    left_out: int
    """Pictures that are not shown."""

    @property
    def kinds(self) -> list[str]:
        """The filters that show it, the one that places it first."""
        scores = [v.accuracy for v in self.verdicts]
        if len(set(scores)) > 1:
            found = ["first" if scores[0] > scores[1] else "second", "disagree"]
        else:
            found = ["right" if scores[0] == 1 else "wrong"]
        return found + ["unparsed"] * any(v.parsed is None for v in self.verdicts)


def kinds(names: Sequence[str]) -> dict[str, str]:
    """The filters of a page, with their labels."""
    if len(names) == 1:
        return {"all": "all", "right": "right", "wrong": "wrong", "unparsed": "unparsed"}
    better = {"disagree": "disagree", "first": f"better: {names[0]}", "second": f"better: {names[1]}"}
    return {"all": "all", **better, "right": "both right", "wrong": "both wrong", "unparsed": "unparsed"}


def write_page(runs: Sequence[Path], out: Path, limit: int) -> Path:
    """Write the page of one or two run folders of the same questions; questions beyond `limit` are left out.

    Raises DatasetError when a folder holds no results, they are of other questions, or the table is no longer the one that
    was asked, MissingExtraError without jinja2.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise MissingExtraError("jinja2", "eval") from None
    if len(runs) not in (1, 2):
        raise DatasetError(f"a page shows one run or two; got {len(runs)}")
    results = [Results.read(run) for run in runs]
    check_same_questions(runs, results)
    first = results[0]
    benchmark = Pretext(first.split) if first.benchmark == Pretext.name else BENCHMARKS[first.benchmark]()
    entries = _entries(benchmark, first, runs, limit)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = files("spatial_ssrl").joinpath("evaluate", "page.html.jinja").read_text(encoding="utf-8")
    models = [r.model for r in results]
    names = models if len(set(models)) == len(models) else [str(run) for run in runs]
    filters = kinds(names)
    page = environment.from_string(template).render(
        benchmark=benchmark,
        results=results,
        names=names,
        entries=entries,
        kinds=filters,
        counts={kind: sum(kind in ("all", *entry.kinds) for entry in entries) for kind in filters},
        categories=sorted({entry.question.category for entry in entries} - {""}),
        split=split_thought,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8", errors="replace")
    return out


def _entries(benchmark: Benchmark, results: Results, runs: Sequence[Path], limit: int) -> list[Entry]:
    """The questions to show, disagreements first, in the table's order."""
    path = Path(results.data.path)
    if (found := md5(benchmark.tables(path))) != results.data.md5:
        raise DatasetError(
            f"{path} has changed since it was asked, MD5 {found} in place of {results.data.md5}; put the table back that "
            "was asked, or evaluate again"
        )
    questions = {question.id: question for question in benchmark.read(path)}
    by_run = [{v.id: v for v in read_verdicts(run) if v.sample == 0} for run in runs]
    bare = [Entry(questions[i], "", [run[i] for run in by_run], (), 0) for i in by_run[0] if i in questions]
    chosen = sorted(bare, key=lambda entry: "disagree" not in entry.kinds)[:limit]
    return [_illustrated(entry, benchmark.prompt(entry.question, results.mode)) for entry in chosen]


def _illustrated(entry: Entry, prompt: str) -> Entry:
    question = entry.question
    shown = [url for picture in question.images[:PICTURES] for url in _pictures(picture)]
    frames = _frames(question.video) if question.video else ()
    return Entry(question, prompt, entry.verdicts, [*shown, *frames], len(question.images) - len(shown))


def _pictures(picture: Picture) -> tuple[str, ...]:
    """The picture, made small; nothing where it is damaged."""
    try:
        return (_small(decoded(picture.data)),)
    except DatasetError:
        return ()


@functools.lru_cache(maxsize=64)
def _frames(video: Path) -> tuple[str, ...]:
    """Some frames of a video; none where it, or PyAV, is not there."""
    try:
        return tuple(_small(frame) for frame in glimpses(video, GLIMPSES))
    except (DatasetError, MissingExtraError):
        return ()


def _small(image: Image.Image) -> str:
    image.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "WEBP", quality=QUALITY, method=2)
    return data_url(stream.getvalue())


def split_thought(reply: str) -> tuple[str, str]:
    """The thinking of a reply with its tags, also where it is never closed, and what is said after it."""
    thought, close, said = reply.rpartition("</think>")
    if not close and "<think>" in reply:
        return reply, ""
    return thought + close, said
