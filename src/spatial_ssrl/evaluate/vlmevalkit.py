"""The rules by which VLMEvalKit reads replies without a judge model (github.com/open-compass/VLMEvalKit, ms-vlmeval 0.0.20).

Written anew from what its functions do; bench/oracles.py holds the two against each other on random replies.
"""

import re
import sys
from collections.abc import Sequence

REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
FAILED = "Failed to obtain answer via API"
TAIL = 5
ALL_WORDS = sys.maxsize

_SEPARATORS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_PERIODS = 32
"""It passes re.UNICODE where the count of replacements belongs."""


def infer_choice(reply: str, choices: Sequence[str], tail: int = TAIL) -> str | None:
    """`can_infer`: the one letter that stands alone, among the last words; else the one option named in a short reply.

    "Z" where the reply refuses, which is never right. The copy of Spatial-SSRL, which is older, looks at all words.
    """
    return _infer_letter(reply, len(choices), tail) or _infer_text(reply, choices)


def _infer_letter(reply: str, count: int, tail: int) -> str | None:
    """`can_infer_option`."""
    if FAILED in reply:
        return None
    if any(refusal in reply for refusal in REFUSALS):
        return "Z"
    words = reply.translate(_SEPARATORS).split()
    found = [letter for letter in map(chr, range(ord("A"), ord("A") + count)) if letter in words]
    if len(found) == 1:
        return found[0] if words.index(found[0]) > len(words) - tail else None
    return "Z" if not found and "Z" in words else None


def _infer_text(reply: str, choices: Sequence[str]) -> str | None:
    """`can_infer_text`: none where the reply is more than twice as long as all options together."""
    reply = reply.lower()
    if len(reply) > 2 * sum(map(len, choices)):
        return None
    named = [i for i, choice in enumerate(choices) if choice.lower() in reply]
    return chr(ord("A") + named[0]) if len(named) == 1 else None


def infer_yes_no(reply: str) -> str | None:
    """`YOrN_Extraction`: "yes" or "no" where only one of the two words occurs."""
    words = strip_punctuation(reply.lower()).split()
    found = [word for word in ("yes", "no") if word in words]
    return found[0] if len(found) == 1 else None


def strip_punctuation(text: str) -> str:
    """`process_punctuation`: marks removed, or turned to spaces where no space stands beside them."""
    thousands = re.search(r"\d,\d", text) is not None
    out = text
    for mark in _PUNCTUATION:
        out = out.replace(mark, "" if thousands or f"{mark} " in text or f" {mark}" in text else " ")
    return re.sub(r"(?<!\d)\.(?!\d)", "", out, count=_PERIODS)


def last_box(reply: str) -> str:
    """`post_process` of its Qwen-VL wrapper, which the paper turns on: from the last \\boxed{ to its closing brace.

    A box that never closes reaches to the end; a reply without a box is left as it is.
    """
    text = reply.rpartition("\\boxed{")[2]
    depth = 1
    for i, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[:i]
    return text or reply
