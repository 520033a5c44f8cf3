"""The score of a reply: 0.9 for the answer, 0.1 for the form (paper section 3.3).

A row's `answer`, `grammar` and `options` are all that scoring needs, so any trainer can call
`score(reply, row)` with the row as it stands in the parquet file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from spatial_ssrl.grammar import Grammar, Reply, find_boxes

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

    @property
    def total(self) -> float:
        """The reward, in [0, 1]."""
        return ACCURACY_WEIGHT * self.accuracy + FORMAT_WEIGHT * self.format


def score(reply: str, row: Mapping[str, Any], policy: Policy = "robust") -> Score:
    """Score a reply to a row, in time linear in the reply.

    "robust" reads the last box outside the thinking by the row's grammar, and gives the format
    credit only to a thought followed by one box at the end. "exact" is the paper's rule: the last
    balanced box of the whole reply must equal the answer to the letter.
    Raises GrammarError when the row's grammar does not exist.
    """
    return _exact(reply, row) if policy == "exact" else _robust(reply, row)


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
