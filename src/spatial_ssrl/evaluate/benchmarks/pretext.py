"""Held-out rows of our own: the rows that `spatial-ssrl build` made, one split of them.

All policies read them as the reward does: the last box outside the thinking, by the row's grammar. The direct prompt asks
for the box alone: a row's problem states the form of its answer.
"""

from pathlib import Path

from spatial_ssrl.evaluate.benchmark import Benchmark, Mode, Policy
from spatial_ssrl.evaluate.question import Picture, Question
from spatial_ssrl.evaluate.reading import Pictures, Record
from spatial_ssrl.grammar import INSTRUCTIONS, Form, Grammar, Reply
from spatial_ssrl.row import read_rows, split_files


class Pretext(Benchmark):
    """Puzzles, by task and variant."""

    name = "pretext"
    title = "Held-out puzzles"
    files = ("manifest.json",)

    def __init__(self, split: str = "test") -> None:
        self.split = split

    def read(self, path: Path) -> list[Question]:
        """The rows of the split. Raises DatasetError when there are none."""
        return [self.question(dict(row), Pictures((), path), n) for n, row in enumerate(read_rows(path, self.split))]

    def tables(self, path: Path) -> list[Path]:
        return split_files(path, self.split)

    def question(self, record: Record, pictures: Pictures, n: int) -> Question:
        return Question(
            id=record["id"],
            text=record["problem"],
            answers=(record["answer"],),
            choices=tuple(record["options"] or ()),
            category=f"{record['task']}/{record['variant']}",
            cluster=record["scene_id"],
            images=tuple(Picture(image["bytes"]) for image in record["images"]),
            fields={"grammar": record["grammar"], "chance": repr(record["chance"])},
        )

    def prompt(self, question: Question, mode: Mode) -> str:
        return f"{question.text}\n{INSTRUCTIONS['boxed' if mode == 'direct' else 'think']}"

    def form(self, question: Question) -> Form:
        return Grammar.from_spec(question.fields["grammar"])

    def extract(self, reply: Reply, question: Question, policy: Policy, mode: Mode) -> str | None:
        return reply.parse(Grammar.from_spec(question.fields["grammar"]), question.choices or None)

    def chance(self, question: Question) -> float:
        return float(question.fields["chance"])
