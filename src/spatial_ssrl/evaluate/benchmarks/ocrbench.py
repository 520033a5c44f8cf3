"""OCRBench (arXiv 2305.07895): 1,000 questions about text in pictures, ten types.

Data: github.com/Yuliang-Liu/MultimodalOCR, OCRBench.json, or VLMEvalKit's OCRBench.tsv. A reply is right when it holds one
of the answers, compared in lower case, for formulas in their own case and without spaces; the score counts of 1,000.
"""

from typing import Any, ClassVar

from spatial_ssrl.evaluate.benchmark import DIRECT_WORDS, Benchmark, Mode, Policy
from spatial_ssrl.evaluate.download import Hub
from spatial_ssrl.evaluate.question import Question
from spatial_ssrl.evaluate.reading import Pictures, Record, as_list
from spatial_ssrl.evaluate.vlmevalkit import last_box
from spatial_ssrl.grammar import Form, Reply, Text

FORMULAS = "Handwritten Mathematical Expression Recognition"


class OCRBench(Benchmark):
    """Text that must occur in the reply."""

    name = "ocrbench"
    title = "OCRBench"
    files = ("OCRBench.tsv", "OCRBench.json", "OCRBench")
    hub = Hub("echo840/OCRBench", ("data/test-*.parquet",))
    size = 1000
    direct: ClassVar[str] = DIRECT_WORDS

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        answers = tuple(str(a) for a in as_list(record["answers"] if "answers" in record else record["answer"]))
        images = pictures.of(record)
        category = record.get("type") or record.get("question_type") or record["category"]
        identity = str(record.get("index", n))
        return Question(identity, record["question"], answers, (), category, images[0].digest, images)

    def form(self, question: Question) -> Form:
        return Text()

    def robust(self, reply: Reply, question: Question) -> str | None:
        """The last box as it is, or the body: its substrings are what counts."""
        return (reply.boxes[-1] if reply.boxes else reply.body).strip() or None

    def official(self, reply: str, question: Question) -> str | None:
        return reply

    def reference(self, reply: str, question: Question, mode: Mode) -> str | None:
        return last_box(reply)

    def score(self, answer: str, question: Question, policy: Policy) -> float:
        said = _comparable(answer, question.category)
        return float(any(_comparable(gold, question.category) in said for gold in question.answers))

    def kit_cells(self, question: Question) -> dict[str, Any]:
        return {"answer": repr(list(question.answers))}


def _comparable(text: str, category: str) -> str:
    if category == FORMULAS:
        return text.strip().replace("\n", " ").replace(" ", "")
    return text.lower().strip().replace("\n", " ")
