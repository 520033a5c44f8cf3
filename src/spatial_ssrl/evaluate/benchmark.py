"""What a benchmark is: how its rows are read, asked, understood, scored and summed up.

One file each in benchmarks/; a file's docstring names the source of its facts. Three ways to understand a reply:

    robust      (default) one parser for all benchmarks, shared with the reward: thinking left aside, also where it is never
                closed, then the last balanced box, or what the body states; None when unsure
    official    the benchmark's own rule, or VLMEvalKit's without a judge model where the benchmark has none
    reference   what the evaluation code of Spatial-SSRL (arXiv 2510.27606) does, its faults included; where a judge
                model or a random guess would decide there, the reply counts as unparsed
"""

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate import vlmevalkit
from spatial_ssrl.evaluate.download import Hub
from spatial_ssrl.evaluate.metrics import Metric, mean
from spatial_ssrl.evaluate.question import Question, Verdict
from spatial_ssrl.evaluate.reading import Pictures, Record, data_files, letters, plain_cells, read_records
from spatial_ssrl.grammar import FORMAT_INSTRUCTION, YES_NO, Form, Letter, Number, Reply, Text

Policy = Literal["robust", "official", "reference"]
Mode = Literal["direct", "reasoning"]

DIRECT_WORDS = "Answer the question using a single word or phrase."
DIRECT_CHOICE = "Answer with the option's letter from the given choices directly."

_COUNT = re.compile(r"\bhow (?:many|much|fast|far|tall|high)\b|\b(?:what|which) number\b|\bspeed limit\b", re.IGNORECASE)
_WHETHER = re.compile(r"(?:\A|[.,:;!?\n]) ?(?:is|are|was|were|does|do|did|can|could|has|have|will|should)\b", re.IGNORECASE)
_ALTERNATIVE = re.compile(r"\b(?:or|what|which|who|where|when|why|how)\b", re.IGNORECASE)


class Benchmark(ABC):
    """A benchmark; subclasses are stateless."""

    name: ClassVar[str]
    title: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    """Names under which its table is known, for finding it in a folder."""
    hub: ClassVar[Hub | None] = None
    """Where `--download` gets it."""
    size: ClassVar[int | None] = None
    """Questions of the whole benchmark."""
    faulty: ClassVar[Mapping[str, str]] = {}
    """What is wrong with known bad versions, by MD5 of the table."""
    headline: ClassVar[str] = "accuracy"
    """The metric that a table shows; the paper's where the paper has one."""
    direct: ClassVar[str] = DIRECT_CHOICE
    """What a direct prompt adds."""
    official_reads_boxes: ClassVar[bool] = True
    """Whether the official rule finds the answer in the box that the reasoning prompt asks for."""

    def read(self, path: Path) -> list[Question]:
        """All questions of a table. Raises DatasetError when it cannot be read or is another benchmark's."""
        records = read_records(path)
        pictures = Pictures(records, path if path.is_dir() else path.parent)
        try:
            questions = [
                dataclasses.replace(self.question(record, pictures, n), row=plain_cells(record))
                for n, record in enumerate(records)
            ]
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise DatasetError(
                f"{path} is not a table of {self.title}: {error!r} in row with {sorted(records[0])}"
            ) from None
        ids = {question.id for question in questions}
        if len(ids) < len(questions):
            raise DatasetError(f"{path} has {len(questions) - len(ids)} rows with an index that another row has")
        return questions

    def tables(self, path: Path) -> list[Path]:
        """The files that its rows come from."""
        return data_files(path)

    def warnings(self, md5: str, questions: Sequence[Question]) -> list[str]:
        """What a reader of scores on this data must know."""
        found = [self.faulty[md5]] if md5 in self.faulty else []
        if self.size is not None and len(questions) != self.size:
            found.append(f"{len(questions)} questions, the whole benchmark has {self.size}")
        if not any(question.answer for question in questions):
            found.append("the table has no answers, so scores say nothing; predictions.tsv is what its organisers score")
        return [f"{self.title}: {text}" for text in found]

    @abstractmethod
    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        """The question of row `n`. A row of something else raises what its missing or other cells raise."""

    def prompt(self, question: Question, mode: Mode) -> str:
        """The words put to the model, an `<image>` where a picture belongs."""
        parts = [self.stem(question), self.direct if mode == "direct" else FORMAT_INSTRUCTION]
        text = "\n".join(part for part in parts if part)
        return "<image>" * (len(question.images) - text.count("<image>")) + text

    def stem(self, question: Question) -> str:
        """Hint, question and options."""
        hint = [f"Hint: {question.hint}"] if question.hint else []
        options = [f"{chr(ord('A') + i)}. {choice}" for i, choice in enumerate(question.choices)]
        return "\n".join([*hint, question.text, *options])

    def form(self, question: Question) -> Form:
        """The form of the answer."""
        return Letter(len(question.choices))

    def extract(self, reply: Reply, question: Question, policy: Policy, mode: Mode) -> str | None:
        """What a reply says, or None when nothing can be read."""
        if policy == "robust":
            return self.robust(reply, question)
        return self.official(reply.text, question) if policy == "official" else self.reference(reply.text, question, mode)

    def robust(self, reply: Reply, question: Question) -> str | None:
        """By the parser that reward and evaluation share."""
        return reply.read(self.form(question), question.choices or None)

    def official(self, reply: str, question: Question) -> str | None:
        """By the benchmark's rule. Unless another is given: VLMEvalKit's for choice questions."""
        return vlmevalkit.infer_choice(reply, question.choices)

    def reference(self, reply: str, question: Question, mode: Mode) -> str | None:
        """As the paper's code, a copy of VLMEvalKit: the last box, then its rule for choice questions."""
        return vlmevalkit.infer_choice(vlmevalkit.last_box(reply), question.choices, vlmevalkit.ALL_WORDS)

    def score(self, answer: str, question: Question, policy: Policy) -> float:
        """How right an extracted answer is, in [0, 1]."""
        return float(answer == question.answer)

    def chance(self, question: Question) -> float:
        """Accuracy of a uniform guess; 0 where answers cannot be counted."""
        return 1 / len(question.choices) if question.choices else 0.0

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        """The benchmark's figures over one sample of replies, the headline first."""
        return [mean(self.headline, verdicts)]

    def kit_row(self, question: Question) -> dict[str, Any]:
        """The row of VLMEvalKit's table: as it was read, or made from another form's."""
        if "index" in question.row:
            return dict(question.row)
        letters = {chr(ord("A") + i): choice for i, choice in enumerate(question.choices)}
        usual = {"index": question.id, "question": question.text, "answer": question.answer, "category": question.category}
        return question.row | usual | letters | self.kit_cells(question)

    def kit_cells(self, question: Question) -> dict[str, Any]:
        """What VLMEvalKit's table has beside, or in place of, the usual columns."""
        return {}


def short_form(question: str) -> Form:
    """The form of a short answer, by the words of the question: a number, yes or no, or, where they do not tell, a text."""
    if _COUNT.search(question):
        return Number()
    return YES_NO if _WHETHER.search(question) and not _ALTERNATIVE.search(question) else Text()


def choice_row(record: Record, pictures: Pictures, **more: Any) -> Question:
    """The question of a row of VLMEvalKit's choice tables. A test table may lack the answer."""
    images = pictures.of(record)
    values: dict[str, Any] = {
        "id": str(record["index"]),
        "text": record["question"],
        "answers": (record.get("answer", ""),),
        "choices": letters(record),
        "category": record.get("category", ""),
        "cluster": images[0].digest if images else str(record["index"]),
        "images": images,
        "hint": record.get("hint", ""),
    }
    if not values["choices"]:
        raise KeyError("A")
    return Question(**(values | more))
