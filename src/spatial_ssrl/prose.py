"""What models write, in plain words: numbers and units, options named, denials and second thoughts.

The forms of answers in grammar.py are told by these. Every function takes time linear in the text.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

MOST_WORDS = 12
"""More words are an explanation, not an answer."""

NUMBER_WORDS = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
]

_METRES = {
    "mm millimeter millimeters millimetre millimetres": 0.001,
    "cm centimeter centimeters centimetre centimetres cms": 0.01,
    'in inch inches "': 0.0254,
    "ft foot feet '": 0.3048,
    "yd yard yards": 0.9144,
    "m meter meters metre metres": 1.0,
    "km kilometer kilometers kilometre kilometres": 1000.0,
}
UNIT_SIZES = {
    name + mark: (size**power, power)
    for names, size in _METRES.items()
    for name in names.split()
    for mark, power in (("", 1), ("2", 2))
}
"""Size of a unit in metres or square metres, and its power: 1 a length, 2 an area."""

_QUANTITY = re.compile(
    r"(?<![\w.])(?<!\d,)([-+]?(?:\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?)(?![\d,.]*\d)[\s-]?([a-z]+2?(?![a-z0-9])|[\"'])?"
)
_SUPERSCRIPT = re.compile(r"(?<=\d)(?=[\u00b2\u00b3\u00b9\u2070\u2074-\u2079])")
_TIMES = re.compile(r"(?<![a-z])x(?=\d)")
_SQUARE = re.compile(r"\b(?:square|sq\.?)[\s-]+([a-z]+)")
STATED = re.compile(
    r"\b(?:answer|(?:correct|right|best) (?:option|choice))\b[\s*'\"]{0,4}"
    r"(?:is|should be|would be|must be)?[\s*'\"]{0,4}[:=]?[\s*'\"]{0,4}",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(r"(?<=[^\s.])\.(?:\s|$)|\n")
NEGATION = re.compile(
    r"\b(?:not|no|neither|nor|never|cannot|unable|unclear|impossible|wrong|incorrect|exclude[sd]?|ruled? out|\w+n t)\b"
)
UNDECIDED = re.compile(
    r"\b(?:cannot|can t|unable|unclear|impossible|no (?:answer|clue|doubt|evidence|idea|image|information|picture|way))\b"
)
TAKEN_BACK = re.compile(r"\b(?:wait|hold on|scratch that|second thoughts?|correction)\b", re.IGNORECASE)
CONCLUSION = re.compile(r"\b(?:so|thus|hence|therefore)\b", re.IGNORECASE)
BRACKETED = re.compile(r"\(([A-Z])\)")
CLAIMED = re.compile(
    rf"\A\W{{0,3}}([A-Z])[.):,]|(?:(?i:{STATED.pattern})|\b[Oo]ption\s)(?:option\s)?\W{{0,3}}([A-Z])\b",
)
"""A letter at the beginning, or one that is said to be the answer or an option."""

_MARKUP = re.compile(r"\\[A-Za-z]+|\\[^A-Za-z]|[{}$*`~]")
_WORD = re.compile(r"\w+")
_LEAD = re.compile(r"\s*(?:the\s+)?(?:final\s+)?(?:answer|option|choice|order)(?:\s+is)?\s*[:=]?\s+", re.IGNORECASE)


def plain_text(text: str) -> str:
    """Text without LaTeX commands, Markdown, a leading "Answer:", and outer space; NFKC-normalised."""
    text = unicodedata.normalize("NFKC", text)
    text = _MARKUP.sub(" ", text).strip()
    lead = _LEAD.match(text)
    return text[lead.end() :] if lead else text


def find_quantities(text: str) -> list[tuple[str, str]]:
    """Numbers with the unit, or other word, behind each: "1,5" is none, "2 square meters" is ("2", "meters2").

    Powers and products of numbers are several numbers, of which none is the answer: "10^2", "3x4".
    """
    text = _TIMES.sub(" x ", plain_text(_SUPERSCRIPT.sub("^", text)).casefold())
    return _QUANTITY.findall(_SQUARE.sub(r"\g<1>2", re.sub(r"(?<=[a-z])\^", "", text)))


def to_number(digits: str) -> float:
    """The value of digits that commas may group."""
    return float(digits.replace(",", ""))


def is_short_answer(text: str) -> bool:
    """Whether a text is short and denies nothing, so that a number in it is an answer and no step of a thought."""
    words = to_words(text)
    return len(words.split()) <= MOST_WORDS and not NEGATION.search(words)


def named_option(text: str, options: Sequence[str]) -> str | None:
    """The letter of the one option that occurs in a text."""
    said = f" {to_words(text)} "
    return only_one(chr(ord("A") + i) for i, option in enumerate(options) if (o := to_words(option)) and f" {o} " in said)


def only_one(answers: Iterable[str | None]) -> str | None:
    """The one answer among several, None left aside; None when they disagree."""
    known = {answer for answer in answers if answer is not None}
    return known.pop() if len(known) == 1 else None


def to_words(text: str) -> str:
    """Lower-case words of a text, for comparing it with an option."""
    return " ".join(_WORD.findall(text.replace("_", " ").casefold()))


def to_tokens(text: str) -> list[str]:
    """Labels written in a row, separated by spaces, commas, hyphens, arrows or inequality signs."""
    plain = plain_text(text).rstrip(".").casefold()
    return [token for token in re.split(r"[\s,;:>/|<()\[\]\-\u2010-\u2015\u2192\u2212]+", plain) if token]
