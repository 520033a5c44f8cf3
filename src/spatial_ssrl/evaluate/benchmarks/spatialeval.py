"""SpatialEval (arXiv 2406.14852): maps, mazes, grids and real scenes; the picture form (vqa) has 4,635 questions.

Data: huggingface.co/datasets/MilaWang/SpatialEval, vqa/*.parquet (id, image, text with the options in it, oracle_option),
or VLMEvalKit's SpatialEval.tsv. The subset is the first part of the id.
"""

import re

from spatial_ssrl.evaluate.benchmark import Benchmark, choice_row
from spatial_ssrl.evaluate.download import Hub
from spatial_ssrl.evaluate.question import Question
from spatial_ssrl.evaluate.reading import Pictures, Record
from spatial_ssrl.grammar import Form, Letter

_OPTION = re.compile(r"^\s*([A-D])[.)] ?(.+?)\s*$", re.MULTILINE)
OPTIONS = 4


class SpatialEval(Benchmark):
    """Choice questions by subset."""

    name = "spatialeval"
    title = "SpatialEval"
    files = ("SpatialEval.tsv", "SpatialEval")
    hub = Hub("MilaWang/SpatialEval", ("vqa/test-*.parquet",))
    size = 4635

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        if "oracle_option" not in record:
            return choice_row(record, pictures)
        images = pictures.of(record)
        found = _OPTION.findall(record["text"])
        listed = [letter for letter, _ in found] == list("ABCD"[: len(found)])
        choices = tuple(text for _, text in found) if listed else ()
        answer, subset = record["oracle_option"].strip("()., "), record["id"].split(".")[0]
        fields = {"inline": "yes"}
        return Question(record["id"], record["text"], (answer,), choices, subset, images[0].digest, images, fields=fields)

    def stem(self, question: Question) -> str:
        """The official text has its options in it."""
        return question.text if "inline" in question.fields else super().stem(question)

    def form(self, question: Question) -> Form:
        return Letter(len(question.choices) or OPTIONS)

    def chance(self, question: Question) -> float:
        return 1 / (len(question.choices) or OPTIONS)
