"""ChartQA, test (arXiv 2203.10244): 2,500 questions about charts, half of them written by people.

Data: huggingface.co/datasets/HuggingFaceM4/ChartQA, test-*.parquet; the authors' test_human.json and test_augmented.json
with png/; or VLMEvalKit's ChartQA_TEST.tsv. Relaxed accuracy: numbers may be 5% off, texts must be equal but for case.
"""

import re
from typing import Any

from spatial_ssrl.evaluate.benchmark import DIRECT_WORDS, Benchmark, Mode, Policy
from spatial_ssrl.evaluate.download import Hub
from spatial_ssrl.evaluate.question import Question
from spatial_ssrl.evaluate.reading import Pictures, Record, as_list
from spatial_ssrl.grammar import Form, Text

TOLERANCE = 0.05
HALVES = {"0": "human", "1": "augmented", "test_human": "human", "test_augmented": "augmented"}


class ChartQA(Benchmark):
    """Numbers and short texts."""

    name = "chartqa"
    title = "ChartQA test"
    files = ("ChartQA_TEST.tsv", "ChartQA")
    hub = Hub("HuggingFaceM4/ChartQA", ("data/test-*.parquet",))
    size = 2500
    headline = "relaxed accuracy"
    direct = DIRECT_WORDS
    official_reads_boxes = False

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        half = str(record.get("split", record.get("human_or_machine", record["_file"])))
        gold = record["label"] if "label" in record else record["answer"]
        answers = tuple(str(a) for a in as_list(gold))
        name = record.get("imgname")
        images = pictures.of({"image_path": f"png/{name}"}) if name else pictures.of(record)
        identity = str(record.get("index", n))
        text = record["query"] if "query" in record else record["question"]
        return Question(identity, text, answers, (), HALVES.get(half, half), name or images[0].digest, images)

    def form(self, question: Question) -> Form:
        return Text()

    def official(self, reply: str, question: Question) -> str | None:
        return reply.strip()

    def reference(self, reply: str, question: Question, mode: Mode) -> str | None:
        """The last box up to its first brace, without LaTeX percent signs, `\\text{` and the commas of thousands."""
        said = next(reversed(re.findall(r"boxed\{([^}]*)\}", reply)), reply)
        return re.sub(r"(?<=\d),(?=\d)", "", said.replace("\\%", "").replace("\\text{", "")).strip()

    def score(self, answer: str, question: Question, policy: Policy) -> float:
        """Robust also takes a number without its thousands commas, currency or percent sign for the same number."""
        said = {answer, re.sub(r"(?<=\d),(?=\d{3})|[$€£%]", "", answer).strip()} if policy == "robust" else {answer}
        return float(any(relaxed(gold, text) for gold in question.answers for text in said))

    def kit_cells(self, question: Question) -> dict[str, Any]:
        return {"split": f"test_{question.category}"}


def relaxed(gold: str, said: str) -> bool:
    """Equal but for case, or numbers at most 5% apart; a percentage is its hundredth; 0 must be written as it is."""
    true, number = _number(gold), _number(said)
    if true and number is not None:
        return abs(number - true) / abs(true) <= TOLERANCE
    return said.lower() == gold.lower()


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
