"""What'sUp, controlled images (arXiv 2310.19785): where one object lies, 412 pictures (A) and 408 (B) in sets of four.

Data: github.com/amitakamath/whatsup_vlms, controlled_images_dataset.json and controlled_clevr_dataset.json (image_path and
four captions, the right one first), or the prompts of github.com/shiqichen17/AdaptVis as JSON lines (four words to choose
from, no picture named). Accuracy over both; a pair (left and right, or the other two) or a set is right when all of it is.

The evaluation of Spatial-SSRL shows the captions in the file's order, so that A is always right, and looks for a capital A
anywhere in the box or the direct reply. Here captions are shown in an order that the picture's name decides.
"""

import re
from collections.abc import Sequence
from pathlib import PurePath

from spatial_ssrl.evaluate.benchmark import DIRECT_CHOICE, Benchmark, Mode
from spatial_ssrl.evaluate.benchmarks.viewspatial import plain_box
from spatial_ssrl.evaluate.metrics import Metric, all_right, mean
from spatial_ssrl.evaluate.question import Question, Verdict
from spatial_ssrl.evaluate.reading import Pictures, Record, as_list
from spatial_ssrl.grammar import FORMAT_INSTRUCTION, Form, Letter, Word
from spatial_ssrl.rng import digest

SUBSETS = {"controlled_images_dataset": "A", "controlled_clevr_dataset": "B"}
PAIRS = {"left": "side", "right": "side"}
WAYS = {
    "left": ("left", "to the left", "on the left", "left of", "to the left of"),
    "right": ("right", "to the right", "on the right", "right of", "to the right of"),
    "on": ("on", "on top", "on top of", "above"),
    "under": ("under", "underneath", "below", "beneath"),
    "front": ("front", "in front", "in front of"),
    "behind": ("behind",),
}
_ASKED = re.compile(r"USER: (.*) ASSISTANT:|USER: (.*)\nASSISTANT:", re.DOTALL)
_OBJECTS = re.compile(r"Where (?:is|are) the (.+) in relation to the (.+?)\?")
_WORDS = re.compile(r"Answer with (.+?)\.")


class WhatsUp(Benchmark):
    """One of four relations."""

    name = "whatsup"
    title = "What'sUp"
    files = ("whatsup", "whatsup_*.jsonl")
    size = 820

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        if "caption_options" not in record:
            return _from_prompts(record, pictures)
        captions, path = record["caption_options"], PurePath(record["image_path"])
        parts = path.stem.split("_")
        subset = SUBSETS.get(record["_file"], record["_file"][-1])
        start = int(digest(path.name), 16) % len(captions)
        choices = (*captions[start:], *captions[:start])
        answer = "ABCD"[choices.index(captions[0])]
        fields = _fields(subset, f"{parts[0]} {parts[-1]}", parts[1])
        text = "Which caption describes the image?"
        images = pictures.of({"image_path": "/".join(path.parts[-2:])})
        return Question(path.name, text, (answer,), choices, subset, fields["set"], images, fields=fields)

    def prompt(self, question: Question, mode: Mode) -> str:
        how = (DIRECT_CHOICE if question.choices else "") if mode == "direct" else FORMAT_INSTRUCTION
        return f"<image>\n{self.stem(question)}\n{how}".rstrip()

    def form(self, question: Question) -> Form:
        if question.choices:
            return Letter(len(question.choices))
        return Word(tuple(WAYS[word] for word in question.fields["words"].split()))

    def official(self, reply: str, question: Question) -> str | None:
        """For prompts, the rule of AdaptVis: the answer occurs, though "on" not in "front"; else another word that does."""
        if question.choices:
            return super().official(reply, question)
        said = reply.lower()
        words = [question.answer, *question.fields["words"].split()]
        return next((w for w in words if w in said and not (w == "on" and "front" in said)), None)

    def reference(self, reply: str, question: Question, mode: Mode) -> str | None:
        """The right letter, where it occurs as a capital; else another that does."""
        if not question.choices:
            return self.official(reply, question)
        said = reply if mode == "direct" else plain_box(reply)
        return next((letter for letter in (question.answer, *"ABCD") if letter in said), None)

    def chance(self, question: Question) -> float:
        return 0.25

    def metrics(self, verdicts: Sequence[Verdict]) -> list[Metric]:
        return [
            mean(self.headline, verdicts),
            all_right("pairs", verdicts, lambda v: v.fields["pair"]),
            all_right("sets", verdicts, lambda v: v.fields["set"]),
        ]


def _from_prompts(record: Record, pictures: Pictures) -> Question:
    """The set is told by the two objects, which four rows of a subset share."""
    subset, text = record["_file"].rpartition("_")[2][-1], record["question"]
    asked = _ASKED.search(text)
    text = (asked[1] or asked[2]) if asked else text
    objects, listed = _OBJECTS.search(text), _WORDS.search(text)
    if not objects or not listed:
        raise ValueError(f"not a question of What'sUp: {text!r}")
    words = re.findall(r"left|right|on|under|front|behind", listed[1])
    answer = as_list(record["answer"])[0].lower()
    fields = _fields(subset, " / ".join(objects.groups()), answer) | {"words": " ".join(words)}
    images = pictures.of(record)
    return Question(f"{subset}{record['id']}", text, (answer,), (), subset, fields["set"], images, fields=fields)


def _fields(subset: str, objects: str, relation: str) -> dict[str, str]:
    group = f"{subset} {objects}"
    return {"set": group, "pair": f"{group} {PAIRS.get(relation, 'other')}"}
