"""The reply that a cold start imitates."""

from collections.abc import Mapping
from typing import Any

THOUGHTS = {
    "shuffle": "Patches that belong together continue each other.",
    "flip": "The flipped patch does not continue the others.",
    "crop": "The right piece continues the picture.",
    "depth": "I compare how far the places are.",
    "position": "I look from the first place.",
    "distance": "I compare how far apart the places are in space.",
}
"""What a cold start writes as its reasoning; the paper found the quality of that text not to matter."""


def cold_start_reply(row: Mapping[str, Any], instruction: str = "think") -> str:
    """The right reply in the form that the instruction (a key of INSTRUCTIONS) asks for."""
    if instruction == "none":
        return str(row["answer"])
    box = f"\\boxed{{{row['answer']}}}"
    thought = THOUGHTS.get(row["task"], "I look at the picture closely.")
    return box if instruction == "boxed" else f"<think>{thought}</think>\n{box}"
