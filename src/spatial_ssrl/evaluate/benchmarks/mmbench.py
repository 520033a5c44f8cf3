"""MMBench v1.1, English test (arXiv 2307.06281): choice questions, each in all rotations of its options.

Data: VLMEvalKit's MMBench_TEST_EN_V11.tsv. The index of a rotation is that of its question plus a multiple of 1,000,000; a
question is right when all its rotations are. The public test table lacks answers: the organisers' server scores
OUT/predictions.tsv.
"""

from collections import Counter
from collections.abc import Sequence

from spatial_ssrl.evaluate.benchmark import Benchmark, choice_row
from spatial_ssrl.evaluate.metrics import Metric, all_right, mean
from spatial_ssrl.evaluate.question import Question, Verdict
from spatial_ssrl.evaluate.reading import Pictures, Record

ROTATION = 1_000_000


class MMBench(Benchmark):
    """Circular choice questions."""

    name = "mmbench"
    title = "MMBench v1.1 EN"
    files = ("MMBench_TEST_EN_V11.tsv", "MMBench_V11.tsv", "MMBench_DEV_EN_V11.tsv")
    headline = "circular"

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        group = str(record.get("g_index") or int(record["index"]) % ROTATION)
        fields = {"group": group, "ability": record.get("l2-category", "")}
        images = pictures.of(record)
        return choice_row(record, pictures, cluster=images[0].digest if images else group, fields=fields)

    def warnings(self, md5: str, questions: Sequence[Question]) -> list[str]:
        """Also of questions without all rotations of their options, as a table cut short has."""
        rows = Counter(question.fields["group"] for question in questions)
        short = {q.fields["group"] for q in questions if rows[q.fields["group"]] < len(q.choices)}
        lacking = [f"{self.title}: {len(short)} of {len(rows)} questions lack rotations; is the table cut short?"]
        return super().warnings(md5, questions) + (lacking if short else [])

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        abilities = sorted({v.fields["ability"] for v in verdicts} - {""})
        groups = [(name, [v for v in verdicts if v.fields["ability"] == name]) for name in abilities]
        return [
            all_right(self.headline, verdicts, _group),
            mean("vanilla", verdicts),
            *(all_right(f"circular: {name}", group, _group) for name, group in groups),
        ]


def _group(verdict: Verdict) -> str:
    return verdict.fields["group"]
