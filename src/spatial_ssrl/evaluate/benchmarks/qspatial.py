"""Q-Spatial Bench, QSpatial+ (arXiv 2409.09788): 101 distances and sizes in photographs, in any unit of length.

Data: huggingface.co/datasets/andrewliao11/Q-Spatial-Bench, QSpatial_plus-*.parquet. An answer counts when it is less than
a factor of 2 off, in centimetres; VLMEvalKit's QSpatial also tells the factor 1.5. It adds 1e-8 cm to both lengths, so
that exactly twice is right there, and wrong here.
"""

import ast
import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

from spatial_ssrl.evaluate.benchmark import Benchmark, Mode, Policy
from spatial_ssrl.evaluate.download import Hub
from spatial_ssrl.evaluate.metrics import Metric, mean
from spatial_ssrl.evaluate.question import Question, Verdict
from spatial_ssrl.evaluate.reading import Pictures, Record
from spatial_ssrl.grammar import Form, Quantity

CENTIMETRES = {
    **dict.fromkeys(("meters", "meter", "m", "metre", "metres"), 100.0),
    **dict.fromkeys(("centimeters", "centimeter", "cm"), 1.0),
    **dict.fromkeys(("feet", "foot", "ft"), 30.48),
    **dict.fromkeys(("inch", "inches", "in"), 2.54),
    "mm": 0.1,
}


class QSpatialPlus(Benchmark):
    """A length with its unit."""

    name = "qspatial"
    title = "QSpatial+"
    files = ("QSpatial_plus.tsv", "QSpatial_plus-*.parquet", "Q-Spatial-Bench/data/QSpatial_plus-*.parquet")
    hub = Hub("andrewliao11/Q-Spatial-Bench", ("data/QSpatial_plus-*.parquet",))
    size = 101
    headline = "within factor 2"
    direct = "Answer with a number and its unit, and nothing else."
    official_reads_boxes = False

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        split = "answer_unit" in record
        value, unit = [record[f"answer_{k}"] for k in ("value", "unit")] if split else ast.literal_eval(record["answer"])
        images = pictures.of(record)
        gold = repr(float(value) * CENTIMETRES[unit.lower()])
        identity = str(record.get("index", n))
        cluster = images[0].digest if images else identity
        return Question(identity, record["question"], (gold,), (), record.get("question_type", ""), cluster, images)

    def form(self, question: Question) -> Form:
        return Quantity("cm", explicit=True)

    def official(self, reply: str, question: Question) -> str | None:
        """The last \\scalar{...} and \\distance_unit{...} that its prompts ask for; several numbers count as their mean."""
        scalars, units = re.findall(r"scalar{([^}]*)}", reply), re.findall(r"distance_unit{([^}]*)}", reply)
        return _centimetres(scalars[-1], units[-1]) if scalars and units else None

    def reference(self, reply: str, question: Question, mode: Mode) -> str | None:
        """A box taken for a scalar that ends at its first space; the unit in any later braces."""
        if "boxed{" in reply:
            reply = reply.replace("boxed{", "scalar{")
            space = reply.find(" ", reply.find("scalar{"))
            reply = reply if space < 0 else f"{reply[:space]}}}{reply[space:]}"
            head, brace, tail = reply.rpartition("}")
            reply = head + tail if brace else reply
        patterns = (r"distance_unit{([^}]*)}", r"unit{([^}]*)}", r"\{([^}]*)\}")
        units = next((found for pattern in patterns if (found := re.findall(pattern, reply))), [])
        scalars = re.findall(r"scalar{([^}]*)}", reply)
        if not scalars or not units:
            return None
        unit = units[-1]
        if re.fullmatch(r"[-+]?[\d.]+", unit.strip()):
            unit = re.sub(r"[^a-zA-Z].*", "", reply.rpartition("\\")[2], flags=re.DOTALL) if "\\" in reply else ""
        return _centimetres(scalars[-1], unit)

    def score(self, answer: str, question: Question, policy: Policy) -> float:
        return float(off_by(answer, question.answer) < 2)

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        near = [
            dataclasses.replace(v, accuracy=float(v.parsed is not None and off_by(v.parsed, v.answer) < 1.5))
            for v in verdicts
        ]
        return [mean(self.headline, verdicts), mean("within factor 1.5", near)]

    def kit_cells(self, question: Question) -> dict[str, Any]:
        return {"answer": repr((question.row["answer_value"], question.row["answer_unit"]))}


def off_by(answer: str, gold: str) -> float:
    """The factor between two lengths in centimetres, at least 1; infinite for a length of nothing or less."""
    said, true = float(answer), float(gold)
    return max(said / true, true / said) if said > 0 else math.inf


def _centimetres(scalar: str, unit: str) -> str | None:
    numbers = [float(number) for number in re.findall(r"\d+\.?\d*", scalar)]
    size = CENTIMETRES.get(unit.lower())
    return repr(sum(numbers) / len(numbers) * size) if numbers and size else None
