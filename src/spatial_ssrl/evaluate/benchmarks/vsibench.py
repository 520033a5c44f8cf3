"""VSI-Bench (arXiv 2412.14171): counts, sizes, distances, directions, routes and orders in 288 videos of rooms.

Data: huggingface.co/datasets/nyu-visionx/VSI-Bench, test.jsonl or test-*.parquet with the videos beside it; the JSON of
Spatial-SSRL's evaluation; VLMEvalKit's VSI-Bench.tsv. Scoring as in github.com/vision-x-nyu/thinking-in-space, lmms_eval/
tasks/vsibench: the first word, without its full stop; choices by equality, numbers by mean relative accuracy; the mean
over eight tasks, relative directions averaged first. The paper of Spatial-SSRL takes the mean over questions (micro).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from spatial_ssrl.evaluate.benchmark import DIRECT_CHOICE, Benchmark, Mode, Policy
from spatial_ssrl.evaluate.benchmarks.viewspatial import plain_box
from spatial_ssrl.evaluate.download import Hub
from spatial_ssrl.evaluate.metrics import Metric, mean, weighted
from spatial_ssrl.evaluate.question import Question, Verdict
from spatial_ssrl.evaluate.reading import Pictures, Record, as_list, letters
from spatial_ssrl.grammar import FORMAT_INSTRUCTION, Form, Letter, Number, Quantity

FORMS: dict[str, Form] = {
    "object_counting": Number(),
    "object_size_estimation": Quantity("cm"),
    "object_abs_distance": Quantity("m"),
    "room_size_estimation": Quantity("m2"),
}
DIRECTION = "object_rel_direction"
THRESHOLDS = np.linspace(0.5, 0.95, 10)


class VSIBench(Benchmark):
    """Choices and numbers about videos."""

    name = "vsi-bench"
    title = "VSI-Bench"
    files = ("VSI-Bench.tsv", "vsi_bench.json", "VSI-Bench/test.jsonl", "VSI-Bench")
    hub = Hub("nyu-visionx/VSI-Bench", ("test.jsonl", "*.zip"))
    size = 5130
    headline = "micro"
    official_reads_boxes = False
    direct_number: ClassVar[str] = "Answer briefly and directly in one float number."

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        task = record["question_type"]
        listed = as_list(record.get("options", record.get("candidates", ()))) or letters(record, "ABCD")
        choices = tuple(option.split(". ", 1)[-1] for option in listed)
        names = (record.get("mp4_path"), record.get("video"), f"{record.get('dataset')}/{record.get('scene_name')}.mp4")
        video = next(name for name in names if name)
        answer = str(record["ground_truth"] if "ground_truth" in record else record["answer"])
        if (task in FORMS) == bool(choices):
            raise ValueError(f"unknown type of question {task!r}")
        identity = str(record.get("id", record.get("index", n)))
        path = pictures.folder / video
        return Question(identity, record["question"], (answer,), choices, task, video, video=path)

    def stem(self, question: Question) -> str:
        return "These are frames of a video.\n" + super().stem(question)

    def prompt(self, question: Question, mode: Mode) -> str:
        direct = DIRECT_CHOICE if question.choices else self.direct_number
        return f"{self.stem(question)}\n{direct if mode == 'direct' else FORMAT_INSTRUCTION}"

    def form(self, question: Question) -> Form:
        return FORMS.get(question.category) or Letter(len(question.choices))

    def official(self, reply: str, question: Question) -> str | None:
        word = reply.split(" ")[0].rstrip(".").strip()
        return word.upper() if question.choices else word if _number(word) is not None else None

    def reference(self, reply: str, question: Question, mode: Mode) -> str | None:
        """The last box up to its first brace, or a direct reply as it is: a letter alone, else what float() takes."""
        said = reply.strip() if mode == "direct" else plain_box(reply)
        if len(said) == 1 and said.isalpha():
            return said.upper()
        return said if _number(said) is not None else None

    def score(self, answer: str, question: Question, policy: Policy) -> float:
        if question.choices:
            return float(answer == question.answer)
        said = _number(answer)
        return 0.0 if said is None else mean_relative_accuracy(said, float(question.answer), strict=policy == "reference")

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        tasks: dict[str, list[str]] = {}
        for category in dict.fromkeys(v.category for v in verdicts):
            tasks.setdefault(DIRECTION if category.startswith(DIRECTION) else category, []).append(category)
        weights = {c: 1 / len(tasks) / len(same) for same in tasks.values() for c in same}
        groups = [(weight, [v for v in verdicts if v.category == c]) for c, weight in weights.items()]
        return [mean(self.headline, verdicts), weighted("macro", groups)]

    def kit_cells(self, question: Question) -> dict[str, Any]:
        listed = [f"{chr(ord('A') + i)}. {choice}" for i, choice in enumerate(question.choices)]
        return {"video": question.cluster, "candidates": repr(listed) if listed else ""}


def mean_relative_accuracy(said: float, true: float, strict: bool = False) -> float:
    """The share of ten thresholds t, 0.50 to 0.95, for which the relative error is at most (strict: less than) 1 - t."""
    error = abs(said - true) / true if true else abs(said - true)
    if strict:
        return sum(error < 1 - (0.5 + i * 0.05) for i in range(10)) / 10
    return float((error <= 1 - THRESHOLDS).mean())


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
