"""ViewSpatial-Bench (arXiv 2505.21500): directions seen by the camera or by a person, 5,712 questions, five types.

Data: github.com/ZJU-REAL/ViewSpatial-Bench, eval/ViewSpatial-Bench.json, with the pictures of the dataset of the same name.
Scoring as in its evaluate.py: the first standing letter A to D, in either case; so the article "a" is read as A.
"""

import re
from typing import Any

from spatial_ssrl.evaluate.benchmark import Benchmark, Mode
from spatial_ssrl.evaluate.download import Hub
from spatial_ssrl.evaluate.question import Question
from spatial_ssrl.evaluate.reading import Pictures, Record, as_list

_LETTER = re.compile(r"\b([A-D])\b", re.IGNORECASE)
_SCENE = re.compile(r"scene\d+_\d+")


class ViewSpatial(Benchmark):
    """Choice questions over one to 32 pictures."""

    name = "viewspatial"
    title = "ViewSpatial"
    files = ("ViewSpatial-Bench.json", "ViewSpatialBench.tsv", "ViewSpatial-Bench/ViewSpatial-Bench.json")
    hub = Hub("lidingm/ViewSpatial-Bench", ("ViewSpatial-Bench.json", "*.zip"))
    size = 5712

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        listed = as_list(record["choices"] if "choices" in record else record["candidates"])
        lines = listed[0].split("\n") if len(listed) == 1 else listed
        choices = tuple(re.sub(r"^[A-D]\. ?", "", line) for line in lines)
        first = str(as_list(record["image_path"])[0])
        scene = _SCENE.search(first)
        images = pictures.of(record)
        answer = record["answer"].strip()[0]
        category = record.get("question_type") or record["category"]
        cluster = scene[0] if scene else first
        return Question(str(record.get("index", n)), record["question"], (answer,), choices, category, cluster, images)

    def official(self, reply: str, question: Question) -> str | None:
        found = _LETTER.search(reply)
        return found[1].upper() if found else None

    def reference(self, reply: str, question: Question, mode: Mode) -> str | None:
        """As official, in the last box up to its first brace; direct replies as they are."""
        return self.official(reply if mode == "direct" else plain_box(reply), question)

    def kit_cells(self, question: Question) -> dict[str, Any]:
        return {"candidates": question.row["choices"]}


def plain_box(reply: str) -> str:
    """The last `\\boxed{...}` up to the first closing brace; empty without one."""
    return next(reversed(re.findall(r"\\boxed\{([^}]*)\}", reply)), "")
