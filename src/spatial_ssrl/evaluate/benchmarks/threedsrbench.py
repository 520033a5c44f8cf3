"""3DSRBench (arXiv 2412.07825): height, location, orientation and multi-object questions about photographs.

Data: huggingface.co/datasets/ccvl/3DSRBench, 3dsrbench_v1_vlmevalkit_circular.tsv or 3dsrbench_v1_vlmevalkit.tsv.
Figures as in VLMEvalKit's _3DSRBench: vanilla over all rows; circular, flip and flip-circular over groups that must be all
right. A group is told by `qid`: eight characters name the question, `-flip` the mirrored picture, the rest the rotation.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from spatial_ssrl.evaluate.benchmark import Benchmark, choice_row
from spatial_ssrl.evaluate.download import Hub
from spatial_ssrl.evaluate.metrics import Metric, all_right, mean
from spatial_ssrl.evaluate.question import Question, Verdict
from spatial_ssrl.evaluate.reading import Pictures, Record


class ThreeDSRBench(Benchmark):
    """Choice questions, rotated and mirrored."""

    name = "3dsrbench"
    title = "3DSRBench"
    files = (
        "3DSRBench.tsv",
        "3DSRBench/3dsrbench_v1_vlmevalkit_circular.tsv",
        "3dsrbench_v1_vlmevalkit_circular.tsv",
        "3dsrbench_v1_vlmevalkit.tsv",
        "3dsrbench_v1.csv",
    )
    hub = Hub("ccvl/3DSRBench", ("3dsrbench_v1_vlmevalkit_circular.tsv",))
    headline = "vanilla"

    def read(self, path: Path) -> list[Question]:
        """As Benchmark.read; what shares a picture, and a question with its mirrored picture, are one cluster."""
        questions = super().read(path)
        joined: dict[str, str] = {}
        for question in questions:
            joined[_root(joined, question.fields["qid"][:8] or question.cluster)] = _root(joined, question.cluster)
        return [dataclasses.replace(question, cluster=_root(joined, question.cluster)) for question in questions]

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        """Without `qid`, as in the authors' CSV, only vanilla is told."""
        qid = record.get("qid", "")
        shown = {"cluster": record["image_url"]} if "image_url" in record else {}
        return choice_row(record, pictures, fields={"qid": qid}, **shown)

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        vanilla = mean(self.headline, verdicts)
        if not all(v.fields["qid"] for v in verdicts):
            return [vanilla]
        return [
            vanilla,
            all_right("circular", verdicts, lambda v: v.fields["qid"][: 13 if "-flip" in v.fields["qid"] else 8]),
            all_right("flip", verdicts, lambda v: v.fields["qid"].replace("-flip", "")),
            all_right("flip-circular", verdicts, lambda v: v.fields["qid"][:8]),
        ]


def _root(joined: dict[str, str], name: str) -> str:
    """The name that stands for all that are joined to this one."""
    while (other := joined.setdefault(name, name)) != name:
        joined[name] = name = joined[other]  # half of the way is cut off, so that chains stay short
    return name
