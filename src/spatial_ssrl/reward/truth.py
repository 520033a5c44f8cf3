"""What scoring needs of a row, as the one text that a trainer carries for it: its ground truth."""

import json
from collections.abc import Mapping
from typing import Any

from spatial_ssrl.errors import GrammarError

KEYS = ("answer", "grammar", "options")


def write_truth(row: Mapping[str, Any]) -> str:
    """Answer, grammar and options of a row, as JSON."""
    return json.dumps({key: row[key] for key in KEYS}, ensure_ascii=False)


def read_truth(text: str) -> dict[str, Any]:
    """What `score` takes as a row. Raises GrammarError for a text that `write_truth` did not write."""
    try:
        row = json.loads(text)
        return {key: row[key] for key in KEYS}
    except (ValueError, TypeError, KeyError):
        raise GrammarError(
            f"no ground truth: {text!r}; expected the JSON that `spatial-ssrl export` writes"
            " (with EasyR1, is data.answer_key=ground_truth set?)"
        ) from None
