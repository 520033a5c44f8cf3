"""Spatial457 (arXiv 2502.08636): attributes, positions, poses and collisions in rendered scenes, seven levels.

Data: huggingface.co/datasets/RyanWW/Spatial457, questions/*.json, or VLMEvalKit's Spatial457.tsv. Scoring as in
VLMEvalKit's utils/spatial457.py: equality after a few normalisations, or two vehicles of one family. As there, the prompt
lists the words of answers. 2,154 answers of the table were wrong until February 2026; VLMEvalKit listed the MD5 below in
November 2025 (and still in August 2026).

Questions by level, L1 to L5_collision: 670, 4,995, 4,995, 3,534, 4,555, 1,837, 3,166 (alphaxiv.org/benchmarks, Spatial457;
the first two and L4_pose also on the card of huggingface.co/datasets/RyanWW/Spatial457-v2). Whether VLMEvalKit's table has
as many is not documented.
"""

import re
from typing import ClassVar

from spatial_ssrl.evaluate.benchmark import DIRECT_WORDS, Benchmark, Mode, Policy, short_form
from spatial_ssrl.evaluate.download import Hub
from spatial_ssrl.evaluate.question import Question
from spatial_ssrl.evaluate.reading import Pictures, Record
from spatial_ssrl.evaluate.vlmevalkit import last_box
from spatial_ssrl.grammar import Form, Reply, Text
from spatial_ssrl.prose import NUMBER_WORDS

FAMILIES = (
    {"suv", "wagon", "minivan", "sedan", "truck", "addi", "car"},
    {"articulated", "regular", "double", "school", "bus"},
    {"chopper", "dirtbike", "scooter", "cruiser", "motorbike"},
    {"jet", "fighter", "biplane", "airliner", "aeroplane"},
    {"road", "utility", "mountain", "tandem", "bicycle"},
)
NUMBERS = {word: str(value) for value, word in enumerate(NUMBER_WORDS[:11])}
TERMS = (
    "The answer is a size (small, large), a colour (gray, blue, purple, brown, green, cyan, red, yellow), a direction "
    "(left, right, front, back), a shape (airliner, biplane, fighter, jet; minivan, sedan, suv, truck, wagon; articulated "
    "bus, double bus, regular bus, school bus; chopper, cruiser, dirtbike, scooter; mountain bike, road bike, tandem bike, "
    "utility bike), a whole number, Yes or No."
)
"""The words that answers are written in."""
_ANSWER = [re.compile(p) for p in (r"Answer': '(.*?)'", r'Answer": "(.*?)"', r"Answer': (\d)")]


class Spatial457(Benchmark):
    """Short answers about rendered scenes."""

    name = "spatial457"
    title = "Spatial457"
    files = ("Spatial457.tsv", "Spatial457/questions", "Spatial457")
    hub = Hub("RyanWW/Spatial457", ("questions/*.json", "images/*"))
    size = 23_752
    direct = DIRECT_WORDS
    official_reads_boxes = False
    faulty: ClassVar = {"1f24f5a7b2cadc3d33a8a66ecf92ca68": "this table has 2,154 wrong answers, mended in February 2026"}

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        """`category` is the level; in the official form it is the name of the file."""
        images = pictures.of(record, "image_filename") if "image_filename" in record else pictures.of(record)
        level = record.get("category") or record["_file"].replace("2D", "2d")
        answer = {"True": "Yes", "False": "No"}.get(str(record["answer"]), str(record["answer"]))
        identity = record.get("index", f"{level}-{record.get('question_index', n)}-{n}")
        cluster = record.get("image_filename") or (images[0].digest if images else str(identity))
        return Question(str(identity), record["question"], (answer,), (), level, cluster, images)

    def stem(self, question: Question) -> str:
        return f"{super().stem(question)}\n{TERMS}"

    def form(self, question: Question) -> Form:
        return Text()

    def robust(self, reply: Reply, question: Question) -> str | None:
        """A number, yes or no where the question asks for one, also with words around it; otherwise a short text."""
        return reply.read(short_form(question.text)) or super().robust(reply, question)

    def official(self, reply: str, question: Question) -> str | None:
        """The `Answer` of the JSON that its prompt asks for; the whole reply where there is none."""
        return next((match[1] for pattern in _ANSWER if (match := pattern.search(reply))), reply)

    def reference(self, reply: str, question: Question, mode: Mode) -> str | None:
        return self.official(last_box(reply), question)

    def score(self, answer: str, question: Question, policy: Policy) -> float:
        said, gold = answer.lower(), question.answer
        if said == "none":
            answer = said = "no"
        same = said == gold.lower() or NUMBERS.get(said) == gold or (answer == "0" and gold == "No")
        some = gold.lower() == "yes" and answer in set("123456789")
        heads = {said.split(" ")[0], gold.lower().split(" ")[0]}
        return float(same or some or any(heads <= family for family in FAMILIES))
