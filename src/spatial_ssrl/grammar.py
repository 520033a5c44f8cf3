"""The forms that an answer can take, and the one parser of replies that reward and evaluation share.

A form is named in a row by a short text, its `spec`:

    letter:4             "C"        one of the first four letters
    permutation:4        "2-0-3-1"  the labels 0..3, each once
    permutation:3:1      "2-1-3"    the labels 1..3, each once
    label:4:1            "3"        one of the labels 1..4
    label-direction:4    "2-1"      a label 0..3 and a mirror direction: 0 rows reversed, 1 columns reversed
    label-turn:4         "2-90"     a label 0..3 and the degrees by which it was turned clockwise: 90, 180, 270

Parsing is tolerant of how models write (brackets, LaTeX, Markdown, full-width digits, the option's
text) and returns None when unsure; it never guesses. All of it takes time linear in the reply.
"""

import itertools
import math
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from spatial_ssrl.errors import GrammarError

FORMAT_INSTRUCTION = "First reason inside <think> and </think>. Then give only the final answer inside \\boxed{}, and stop."
"""What a prompt adds to a row's problem, so that a reply can be scored."""

INSTRUCTIONS = {
    "think": FORMAT_INSTRUCTION,
    "boxed": "Give only the final answer inside \\boxed{}, and stop.",
    "none": "",
}
"""Instructions by name. The reward's format credit is for what "think" asks."""


class Grammar(ABC):
    """One form of answer."""

    @property
    @abstractmethod
    def spec(self) -> str:
        """The text that names this form in a row."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of different answers."""

    @abstractmethod
    def answers(self) -> Iterator[str]:
        """All canonical answers."""

    @abstractmethod
    def parse(self, text: str, options: Sequence[str] | None = None) -> str | None:
        """Canonical form of what was written, or None when it is not surely one answer."""

    @classmethod
    def from_spec(cls, spec: str) -> "Grammar":
        """The form that a spec names. Raises GrammarError for an unknown one."""
        name, *numbers = spec.split(":")
        try:
            return FORMS[name](*map(int, numbers))
        except (KeyError, TypeError, ValueError):
            raise GrammarError(f"unknown answer form {spec!r}; known: {', '.join(FORMS)}") from None


@dataclass(frozen=True)
class Letter(Grammar):
    """One capital letter of the first `count`."""

    count: int

    @property
    def spec(self) -> str:
        return f"letter:{self.count}"

    @property
    def size(self) -> int:
        return self.count

    def answers(self) -> Iterator[str]:
        return (chr(ord("A") + i) for i in range(self.count))

    def parse(self, text: str, options: Sequence[str] | None = None) -> str | None:
        text = _plain(text)
        texts = [_words(option) for option in options or ()]
        if texts.count(_words(text)) == 1:
            return chr(ord("A") + texts.index(_words(text)))
        match = re.fullmatch(r"\W{0,3}([A-Za-z])(?:[\W_]{1,3}(.*))?", text, re.DOTALL)
        if not match or (letter := match[1].upper()) not in list(self.answers()):
            return None
        rest = _words(match[2] or "")
        if rest and texts:
            return letter if texts[ord(letter) - ord("A")] == rest else None
        delimited = re.match(r"\s*[^\w\s]", text[match.end(1) :])
        return letter if delimited or not rest else None


@dataclass(frozen=True)
class Permutation(Grammar):
    """The labels `first` to `first + count - 1`, each once, joined by hyphens."""

    count: int
    first: int = 0

    @property
    def spec(self) -> str:
        return f"permutation:{self.count}" + (f":{self.first}" if self.first else "")

    @property
    def size(self) -> int:
        return math.factorial(self.count)

    @property
    def labels(self) -> range:
        return range(self.first, self.first + self.count)

    def answers(self) -> Iterator[str]:
        return ("-".join(map(str, order)) for order in itertools.permutations(self.labels))

    def parse(self, text: str, options: Sequence[str] | None = None) -> str | None:
        tokens = _tokens(text)
        if len(tokens) == 1 and len(tokens[0]) == self.count:
            tokens = list(tokens[0])
        if sorted(tokens) != sorted(map(str, self.labels)):
            return None
        return "-".join(tokens)


@dataclass(frozen=True)
class Label(Grammar):
    """One of the labels `first` to `first + count - 1`."""

    count: int
    first: int = 0

    @property
    def spec(self) -> str:
        return f"label:{self.count}" + (f":{self.first}" if self.first else "")

    @property
    def size(self) -> int:
        return self.count

    def answers(self) -> Iterator[str]:
        return map(str, range(self.first, self.first + self.count))

    def parse(self, text: str, options: Sequence[str] | None = None) -> str | None:
        tokens = [token for token in _tokens(text) if token not in NOUNS]
        return tokens[0] if len(tokens) == 1 and tokens[0] in self.answers() else None


@dataclass(frozen=True)
class LabelledWay(Grammar):
    """A label 0 to `count - 1`, a hyphen, and one of a few ways in which it was changed."""

    count: int

    name: ClassVar[str]
    ways: ClassVar[tuple[int, ...]]
    words: ClassVar[dict[str, int]] = {}
    """Words for the ways."""

    @property
    def spec(self) -> str:
        return f"{self.name}:{self.count}"

    @property
    def size(self) -> int:
        return len(self.ways) * self.count

    def answers(self) -> Iterator[str]:
        return (f"{label}-{way}" for label in range(self.count) for way in self.ways)

    def parse(self, text: str, options: Sequence[str] | None = None) -> str | None:
        tokens = [token for token in _tokens(text) if token not in UNITS]
        if len(tokens) == 1 and re.fullmatch(r"\d\d+", tokens[0]):
            tokens = [tokens[0][0], tokens[0][1:]]
        if len(tokens) != 2 or tokens[0] not in map(str, range(self.count)):
            return None
        way = {**self.words, **{str(way): way for way in self.ways}}.get(tokens[1].removesuffix("°"))
        return None if way is None else f"{tokens[0]}-{way}"


class LabelDirection(LabelledWay):
    """A label, and 0 (mirrored vertically) or 1 (horizontally)."""

    name = "label-direction"
    ways = (0, 1)
    words: ClassVar[dict[str, int]] = {"vertical": 0, "vertically": 0, "horizontal": 1, "horizontally": 1}


class LabelTurn(LabelledWay):
    """A label, and by how many degrees clockwise it was turned: 90, 180 or 270."""

    name = "label-turn"
    ways = (90, 180, 270)


FORMS: dict[str, type[Grammar]] = {
    "letter": Letter,
    "permutation": Permutation,
    "label": Label,
    "label-direction": LabelDirection,
    "label-turn": LabelTurn,
}

NOUNS = {"place", "marker", "mark", "number", "square"}
"""Words that may stand before a label and change nothing."""

UNITS = {"degrees", "degree", "deg", "clockwise"}
"""Words that may follow a turn and change nothing."""

_LEAD = re.compile(r"\s*(?:the\s+)?(?:final\s+)?(?:answer|option|choice|order)(?:\s+is)?\s*[:=]?\s+", re.IGNORECASE)


def _plain(text: str) -> str:
    """Text without LaTeX commands, Markdown, a leading "Answer:", and outer space; NFKC-normalised."""
    text = unicodedata.normalize("NFKC", text)
    text = re.sub(r"\\[A-Za-z]+|\\[^A-Za-z]|[{}$*`~]", " ", text).strip()
    lead = _LEAD.match(text)
    return text[lead.end() :] if lead else text


def _words(text: str) -> str:
    """Lower-case words of a text, for comparing it with an option."""
    return " ".join(re.findall(r"\w+", text.replace("_", " ").casefold()))


def _tokens(text: str) -> list[str]:
    """Labels written in a row, separated by spaces, commas, hyphens, arrows or inequality signs."""
    return [t for t in re.split(r"[\s,;:>/|<()\[\]\-\u2010-\u2015\u2192\u2212]+", _plain(text).rstrip(".").casefold()) if t]


@dataclass(frozen=True)
class Reply:
    """A model's reply taken apart."""

    thinking: str | None
    """What stands before the last </think>, or after a <think> that was never closed; None without either."""
    body: str
    """What stands outside the thinking."""
    boxes: tuple[str, ...]
    """Contents of the balanced \\boxed{} of the body, in the order in which they close."""
    well_formed: bool
    """One <think>...</think> that is not empty, then a body with one box at its end, and nothing else."""

    @classmethod
    def from_text(cls, text: str) -> "Reply":
        """Take a reply apart, in linear time for any input."""
        thinking, body = _split_thinking(text)
        spans = find_boxes(body)
        boxes = tuple(body[start:end] for start, end in spans)
        ends_with_box = len(spans) == 1 and not body[spans[0][1] + 1 :].strip(" \t\r\n.$*")
        tags_once = text.count("<think>") == text.count("</think>") == 1
        starts = text.lstrip().startswith("<think>")
        reasoned = thinking is not None and bool(thinking.replace("<think>", "", 1).strip())
        return cls(thinking, body, boxes, ends_with_box and tags_once and starts and reasoned)

    def parse(self, grammar: Grammar, options: Sequence[str] | None = None) -> str | None:
        """The canonical answer in the last box, or None when there is none."""
        return grammar.parse(self.boxes[-1], options) if self.boxes else None


def _split_thinking(text: str) -> tuple[str | None, str]:
    head, closed, tail = text.rpartition("</think>")
    body, opened, unclosed = tail.partition("<think>")
    if not closed and not opened:
        return None, body
    return (head if closed else unclosed), body


def find_boxes(text: str) -> list[tuple[int, int]]:
    """Start and end of the contents of each balanced \\boxed{...}, in the order in which they close."""
    spans: list[tuple[int, int]] = []
    open_braces: list[int | None] = []
    for match in re.finditer(r"\\boxed[ \t]*\{|\\[{}]|[{}]", text):
        token = match.group()
        if token in ("\\{", "\\}"):
            continue
        if token != "}":
            open_braces.append(None if token == "{" else match.end())
        elif open_braces and (start := open_braces.pop()) is not None:
            spans.append((start, match.start()))
    return spans
