"""RealWorldQA (x.ai, 2024): 765 questions about photographs, most taken from cars.

Data: huggingface.co/datasets/xai-org/RealworldQA, test-*.parquet (image, question with its options, answer), or VLMEvalKit's
RealWorldQA.tsv, where all are choice questions. What a question without options asks for (a number, yes or no, a word) is
told by its words.
"""

import re

from spatial_ssrl.evaluate.benchmark import Benchmark, Policy, choice_row, short_form
from spatial_ssrl.evaluate.download import Hub
from spatial_ssrl.evaluate.question import Question
from spatial_ssrl.evaluate.reading import Pictures, Record
from spatial_ssrl.grammar import Form, Letter

_OPTION = re.compile(r"^([A-H])\. (.+)$", re.MULTILINE)
_HOW = re.compile(r"\n[^\n]*Please answer directly[^\n]*$")


class RealWorldQA(Benchmark):
    """Choices, and in the authors' form short words."""

    name = "realworldqa"
    title = "RealWorldQA"
    files = ("RealWorldQA.tsv", "RealWorldQA", "RealworldQA")
    hub = Hub("xai-org/RealworldQA", ("data/test-*.parquet",))
    size = 765

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        if "A" in record:
            return choice_row(record, pictures)
        text = _HOW.sub("", record["question"])
        choices = tuple(option for _, option in _OPTION.findall(text))
        images = pictures.of(record)
        cluster = images[0].digest if images else str(n)
        return Question(str(n), _OPTION.sub("", text).rstrip(), (record["answer"],), choices, "", cluster, images)

    def form(self, question: Question) -> Form:
        return Letter(len(question.choices)) if question.choices else short_form(question.text)

    def score(self, answer: str, question: Question, policy: Policy) -> float:
        return float(answer.lower() == question.answer.lower())
