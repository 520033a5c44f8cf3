"""SEED-Bench-2-Plus (arXiv 2404.16790): 2,277 questions about charts, maps and web pages.

Data: huggingface.co/datasets/AILab-CVC/SEED-Bench-2-plus, SEED-Bench-2-plus-*.json (questions with choice_a to choice_d), or
VLMEvalKit's SEEDBench2_Plus.tsv.
"""

from spatial_ssrl.evaluate.benchmark import Benchmark, choice_row
from spatial_ssrl.evaluate.download import Hub
from spatial_ssrl.evaluate.question import Question
from spatial_ssrl.evaluate.reading import Pictures, Record, letters


class SeedBench2Plus(Benchmark):
    """Choice questions by source."""

    name = "seedbench2plus"
    title = "SEED-Bench-2-Plus"
    files = ("SEEDBench2_Plus.tsv", "SEED-Bench-2-plus-text-rich.json", "SEED-Bench-2-plus/SEED-Bench-2-plus-text-rich.json")
    hub = Hub("AILab-CVC/SEED-Bench-2-plus", ("SEED-Bench-2-plus-text-rich.json", "text_rich.zip"))
    size = 2277

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        if "data_id" not in record:
            return choice_row(record, pictures)
        choices = letters({name.lower(): value for name, value in record.items()}, [f"choice_{k}" for k in "abcd"])
        images = pictures.of(record, "data_id")
        category = record.get("question_image_type") or record["data_id"].split("/")[0]
        return Question(
            record["question_id"], record["question"], (record["answer"],), choices, category, record["data_id"], images
        )
