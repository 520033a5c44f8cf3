"""The score of a reply: 0.9 for the answer, 0.1 for the form (paper section 3.3).

A row's `answer`, `grammar` and `options` are all that scoring needs, so any trainer can call
`score(reply, row)` with the row as it stands in the parquet file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from spatial_ssrl.grammar import Grammar, Permutation, Reply, find_boxes

ACCURACY_WEIGHT = 0.9
FORMAT_WEIGHT = 0.1

Policy = Literal["robust", "exact"]


@dataclass(frozen=True)
class Score:
    """What a reply earned, and why."""

    accuracy: float
    format: float
    parsed: str | None
    """The canonical answer that was read, or None."""
    why: str
    """"right", "wrong", or what kept the answer from being read."""
    credit: float | None = None
    """With partial credit, what the answer is worth, from 0 to 1 when right; None without."""

    @property
    def total(self) -> float:
        """The reward, in [0, 1]. With partial credit the form counts where the answer is right, and not else."""
        if self.credit is None:
            return ACCURACY_WEIGHT * self.accuracy + FORMAT_WEIGHT * self.format
        return ACCURACY_WEIGHT * self.credit + FORMAT_WEIGHT * self.format * self.accuracy


def score(reply: str, row: Mapping[str, Any], policy: Policy = "robust", partial: bool = False) -> Score:
    """Score a reply to a row, in time linear in the reply.

    "robust" reads the last box outside the thinking by the row's grammar, and gives the format
    credit only to a thought followed by one box at the end. "exact" is the paper's rule: the last
    balanced box of the whole reply must equal the answer to the letter.

    With `partial`, a wrong permutation earns by its labels in the right place, beyond the one that a random order has on
    average: (right - 1) / (labels - 1), so nothing for one of three. In a group of replies that all fail, rewards then
    differ by these places alone: the form earns nothing there, so that its noise has no gradient.
    Raises GrammarError when the row's grammar does not exist.
    """
    s = _exact(reply, row) if policy == "exact" else _robust(reply, row)
    return replace(s, credit=_credit(s, row)) if partial else s


def _credit(s: Score, row: Mapping[str, Any]) -> float:
    if s.accuracy or s.parsed is None or not isinstance(Grammar.from_spec(row["grammar"]), Permutation):
        return s.accuracy
    said, answer = s.parsed.split("-"), row["answer"].split("-")
    if sorted(said) != sorted(answer):  # the exact policy reads any text
        return 0.0
    right = sum(a == b for a, b in zip(said, answer, strict=True))
    return max(0.0, (right - 1) / (len(answer) - 1))


def _robust(text: str, row: Mapping[str, Any]) -> Score:
    reply = Reply.from_text(text)
    parsed = reply.parse(Grammar.from_spec(row["grammar"]), row.get("options"))
    if not reply.boxes:
        why = "no box outside the thinking"
    elif parsed is None:
        why = f"box is not of the form {row['grammar']}"
    else:
        why = "right" if parsed == row["answer"] else "wrong"
    return Score(float(parsed == row["answer"]), float(reply.well_formed), parsed, why)


def _exact(text: str, row: Mapping[str, Any]) -> Score:
    spans = find_boxes(text)
    parsed = text[slice(*spans[-1])].strip() if spans else None
    closed = text.find("</think>")
    form = text.lstrip().startswith("<think>") and closed >= 0 and bool(spans) and spans[-1][0] > closed
    why = "no box" if parsed is None else "right" if parsed == row["answer"] else "wrong"
    return Score(float(parsed == row["answer"]), float(form), parsed, why)
