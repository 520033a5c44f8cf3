"""HallusionBench (arXiv 2310.14566): yes or no about figures and their altered forms.

Data: github.com/tianyi-lab/HallusionBench, HallusionBench.json (1,129 questions, 951 with a picture), or VLMEvalKit's
HallusionBench.tsv (those 951). Figures over the questions with a picture: aAcc of questions, fAcc of the 346 pictures and
qAcc of the 455 questions that are asked of several pictures, all of whose answers must be right; the headline is the mean of
the three. VLMEvalKit's Hallusion_rating forgets the category, so that OCR questions of both categories fall into common
groups (332 and 429); its mean is told beside.
"""

from collections.abc import Callable, Sequence
from typing import Any

from spatial_ssrl.evaluate.benchmark import Benchmark, Mode
from spatial_ssrl.evaluate.download import Hub
from spatial_ssrl.evaluate.metrics import Metric, all_right, average, mean
from spatial_ssrl.evaluate.question import Picture, Question, Verdict
from spatial_ssrl.evaluate.reading import Pictures, Record
from spatial_ssrl.evaluate.vlmevalkit import infer_yes_no, last_box
from spatial_ssrl.grammar import YES_NO, Form


class HallusionBench(Benchmark):
    """Yes or no, in sets that share figures and questions."""

    name = "hallusionbench"
    title = "HallusionBench"
    files = ("HallusionBench.tsv", "HallusionBench.json", "HallusionBench")
    hub = Hub("lmms-lab/HallusionBench", ("data/image-*.parquet",))
    size = 951
    headline = "mean of aAcc, fAcc, qAcc"
    direct = "Please answer yes or no."

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        if "gt_answer" not in record:
            return _from_tsv(record, pictures)
        parts = [record[name] for name in ("category", "subcategory", "set_id", "figure_id", "question_id")]
        answer = "yes" if record["gt_answer"] == "1" else "no"
        images = pictures.of(record) if "image" in record else pictures.of(record, "filename")
        return _question("_".join(parts), record["question"], answer, parts, images)

    def warnings(self, md5: str, questions: Sequence[Question]) -> list[str]:
        """The size is that of the questions with a picture."""
        return super().warnings(md5, [q for q in questions if q.fields["picture"] == "yes"] or questions)

    def form(self, question: Question) -> Form:
        return YES_NO

    def official(self, reply: str, question: Question) -> str | None:
        return infer_yes_no(reply)

    def reference(self, reply: str, question: Question, mode: Mode) -> str | None:
        return infer_yes_no(last_box(reply))

    def chance(self, question: Question) -> float:
        return 0.5

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        shown = [v for v in verdicts if v.fields["picture"] == "yes"]
        hidden = [v for v in verdicts if v.fields["picture"] == "no"]
        return [
            self._average(self.headline, shown, "category"),
            mean("aAcc", shown),
            all_right("fAcc", shown, _key("category", "kind", "set", "figure")),
            all_right("qAcc", shown, _key("category", "kind", "set", "question")),
            self._average("mean as in VLMEvalKit", shown),
            *([mean("aAcc without picture", hidden)] if hidden else []),
        ]

    def _average(self, name: str, verdicts: Sequence[Verdict], *parts: str) -> Metric:
        figures = all_right("fAcc", verdicts, _key(*parts, "kind", "set", "figure"))
        questions = all_right("qAcc", verdicts, _key(*parts, "kind", "set", "question"))
        return average(name, [mean("aAcc", verdicts), figures, questions])

    def kit_cells(self, question: Question) -> dict[str, Any]:
        fields = question.fields
        cells = {"index": f"hallusion_{question.id}", "category": fields["category"], "l2-category": fields["kind"]}
        return cells | {"answer": question.answer.title()}


def _key(*parts: str) -> Callable[[Verdict], str]:
    return lambda verdict: "_".join(verdict.fields[part] for part in parts)


def _from_tsv(record: Record, pictures: Pictures) -> Question:
    """The index holds set, figure and question as its fourth to sixth part."""
    parts = (record["category"], record["l2-category"], *record["index"].split("_")[3:6])
    return _question(record["index"], record["question"], record["answer"].lower(), parts, pictures.of(record))


def _question(identity: str, text: str, answer: str, parts: Sequence[str], images: tuple[Picture, ...]) -> Question:
    fields = dict(zip(("category", "kind", "set", "figure", "question"), parts, strict=True))
    fields["picture"] = "yes" if images else "no"
    return Question(identity, text, (answer,), (), fields["kind"], "_".join(parts[:3]), images, fields=fields)
