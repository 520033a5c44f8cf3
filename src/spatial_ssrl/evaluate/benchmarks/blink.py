"""BLINK (arXiv 2404.12390), validation: 1,901 questions of fourteen kinds over one to four pictures.

Data: huggingface.co/datasets/BLINK-Benchmark/BLINK, */val-*.parquet, or VLMEvalKit's BLINK.tsv. The authors report the mean
over kinds (github.com/zeyofu/BLINK_Benchmark, eval/evaluate.py), VLMEvalKit and Spatial-SSRL the mean over questions. The
authors let a judge model read what its rule cannot; here such a reply is unparsed.
"""

from collections.abc import Sequence

from spatial_ssrl.evaluate.benchmark import Benchmark, choice_row
from spatial_ssrl.evaluate.download import Hub
from spatial_ssrl.evaluate.metrics import Metric, average, mean
from spatial_ssrl.evaluate.question import Question, Verdict
from spatial_ssrl.evaluate.reading import Pictures, Record

LETTERS = tuple("ABCDE")


class Blink(Benchmark):
    """Choice questions by kind."""

    name = "blink"
    title = "BLINK"
    files = ("BLINK.tsv", "BLINK")
    hub = Hub("BLINK-Benchmark/BLINK", ("*/val-*.parquet",))
    size = 1901
    official_reads_boxes = False

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        if "sub_task" not in record:
            return choice_row(record, pictures)
        images = pictures.of(record, "image_1", "image_2", "image_3", "image_4")
        answer = record["answer"].strip("()")
        if answer not in LETTERS:
            raise ValueError("a test row, whose answer is hidden")
        cluster, choices = images[0].digest if images else record["idx"], tuple(record["choices"])
        return Question(record["idx"], record["question"], (answer,), choices, record["sub_task"], cluster, images)

    def official(self, reply: str, question: Question) -> str | None:
        """Alone as A or (A); the one bracketed letter of the last paragraph, else of the whole reply."""
        letters = [f"({letter})" for letter in LETTERS[: len(question.choices)]]
        if reply.strip() in LETTERS or reply in letters:
            return reply.strip("() \n")
        for text in (reply.rpartition("\n\n")[2], reply):
            found = set(letters) & set(text.split())
            if len(found) == 1 and set(letters) & set(reply.split()):
                return found.pop()[1]
        return None

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        kinds = dict.fromkeys(v.category for v in verdicts)
        macro = average("macro", [mean(kind, [v for v in verdicts if v.category == kind]) for kind in kinds])
        return [mean(self.headline, verdicts), macro]
