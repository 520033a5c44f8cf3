"""3DSRBench (arXiv 2412.07825): height, location, orientation and multi-object questions about photographs.

Data: huggingface.co/datasets/ccvl/3DSRBench, 3dsrbench_v1_vlmevalkit_circular.tsv or 3dsrbench_v1_vlmevalkit.tsv.
Figures as in VLMEvalKit's _3DSRBench: vanilla over all rows; circular, flip and flip-circular over groups that must be all
right. A group is told by `qid`: eight characters name the question, `-flip` the mirrored picture, the rest the rotation.
"""

from collections.abc import Sequence

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

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        """Without `qid`, as in the authors' CSV, only vanilla is told."""
        qid = record.get("qid", "")
        cluster = record.get("image_url") or qid[:8] or str(record["index"])
        return choice_row(record, pictures, cluster=cluster, fields={"qid": qid})

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
