"""The forms that an answer can take, and the one parser of replies that reward and evaluation share.

A form is named in a row by a short text, its `spec`:

    letter:4             "C"        one of the first four letters
    permutation:4        "2-0-3-1"  the labels 0..3, each once
    permutation:3:1      "2-1-3"    the labels 1..3, each once
    label:4:1            "3"        one of the labels 1..4
    label-direction:4    "2-1"      a label 0..3 and a mirror direction: 0 rows reversed, 1 columns reversed
    label-turn:4         "2-90"     a label 0..3 and the degrees by which it was turned clockwise: 90, 180, 270

Benchmarks of others also ask for forms whose answers cannot be counted: Number, Quantity, Word, Text.

Parsing is tolerant of how models write (brackets, LaTeX, Markdown, full-width digits, the option's
text) and returns None when unsure; it never guesses. All of it takes time linear in the reply.
`parse` reads what was written as the answer, such as a box; `find` looks for it in prose.
"""

import itertools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from spatial_ssrl.errors import GrammarError
from spatial_ssrl.prose import (
    BRACKETED,
    CLAIMED,
    CONCLUSION,
    MOST_WORDS,
    NEGATION,
    NUMBER_WORDS,
    SENTENCE_END,
    STATED,
    TAKEN_BACK,
    UNDECIDED,
    UNIT_SIZES,
    find_quantities,
    is_short_answer,
    named_option,
    only_one,
    plain_text,
    to_number,
    to_tokens,
    to_words,
)

FORMAT_INSTRUCTION = "First reason inside <think> and </think>. Then give only the final answer inside \\boxed{}, and stop."
"""What a prompt adds to a row's problem, so that a reply can be scored."""

INSTRUCTIONS = {
    "think": FORMAT_INSTRUCTION,
    "boxed": "Give only the final answer inside \\boxed{}, and stop.",
    "none": "",
}
"""Instructions by name. The reward's format credit is for what "think" asks."""


class Form(ABC):
    """One form of answer."""

    @abstractmethod
    def parse(self, text: str, options: Sequence[str] | None = None) -> str | None:
        """Canonical form of what was written, or None when it is not surely one answer."""

    def find(self, text: str, options: Sequence[str] | None = None) -> str | None:
        """The answer that a text without a box states, or None when it is not surely one.

        The whole text, then the last "answer is ...", then the lines that hold nothing else, which must agree. What stands
        before a "wait" was taken back.
        """
        whole = self.parse(text, options)
        if whole is not None:
            return whole
        start = max((match.end() for match in TAKEN_BACK.finditer(text)), default=0)
        for match in list(STATED.finditer(text, start))[: -STATEMENTS - 1 : -1]:
            rest = text[match.end() : match.end() + LONGEST_STATEMENT].split("\n", 1)[0]
            stated = (self.parse(part, options) for part in (rest, SENTENCE_END.split(rest, maxsplit=1)[0]))
            if (found := next((answer for answer in stated if answer is not None), None)) is not None:
                return found
        return only_one(self.parse(line, options) for line in text[start:].splitlines()[start > 0 :])


class Grammar(Form):
    """A form whose answers can be counted."""

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
        text = plain_text(text)
        texts = [to_words(option) for option in options or ()]
        if texts.count(to_words(text)) == 1:
            return chr(ord("A") + texts.index(to_words(text)))
        match = re.fullmatch(r"\W{0,3}([A-Za-z])(?:[\W_]{1,3}(.*))?", text, re.DOTALL)
        if not match or (letter := match[1].upper()) not in list(self.answers()):
            return None
        rest = to_words(match[2] or "")
        if rest and texts:
            return letter if texts[ord(letter) - ord("A")] == rest else None
        delimited = re.match(r"\s*[^\w\s]", text[match.end(1) :])
        return letter if delimited or not rest else None

    def find(self, text: str, options: Sequence[str] | None = None) -> str | None:
        """As Form.find; then the one letter in brackets; then the one option that the first sentence names.

        None where a sentence with the letter denies something, where the reply begins with or states another letter, and
        where the conclusion ("so ...") names another option.
        """
        found = super().find(text, options)
        if found is not None:
            return found
        sentences = SENTENCE_END.split(text.strip())
        bracketed = {letter for letter in BRACKETED.findall(text) if letter in list(self.answers())}
        if bracketed:
            denied = any(NEGATION.search(to_words(sentence)) for sentence in sentences if BRACKETED.search(sentence))
            return None if denied else only_one({*bracketed, *(a or b for a, b in CLAIMED.findall(text))})
        unsure = NEGATION.search(to_words(sentences[0])) or UNDECIDED.search(to_words(text)) or TAKEN_BACK.search(text)
        if unsure or not options:
            return None
        return only_one(named_option(said, options) for said in (sentences[0], *CONCLUSION.split(text)[1:]))


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
        tokens = to_tokens(text)
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
        tokens = [token for token in to_tokens(text) if token not in NOUNS]
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
        tokens = [token for token in to_tokens(text) if token not in UNITS]
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


@dataclass(frozen=True)
class Number(Form):
    """One number, written in digits or, up to twenty, as a word; what is counted may stand beside it."""

    def parse(self, text: str, options: Sequence[str] | None = None) -> str | None:
        values = [to_number(digits) for digits, _ in find_quantities(text)]
        values += [float(NUMBER_WORDS.index(word)) for word in to_words(text).split() if word in NUMBER_WORDS]
        return f"{values[0]:.10g}" if len(values) == 1 and math.isfinite(values[0]) and is_short_answer(text) else None


@dataclass(frozen=True)
class Quantity(Form):
    """A length or an area, told in `unit`; one written in another unit is converted.

    A bare number counts as `unit`, unless the question leaves the unit open (`explicit`).
    """

    unit: str
    explicit: bool = False

    def parse(self, text: str, options: Sequence[str] | None = None) -> str | None:
        quantities = find_quantities(text) if is_short_answer(text) else []
        values = [value for q in quantities if (value := self._value(*q)) is not None]
        feet_and_inches = [UNIT_SIZES.get(unit) for _, unit in quantities] == [UNIT_SIZES["ft"], UNIT_SIZES["in"]]
        whole = len(values) == len(quantities) and (len(values) == 1 or feet_and_inches)
        return f"{sum(values):.10g}" if whole and math.isfinite(sum(values)) else None

    def _value(self, digits: str, unit: str) -> float | None:
        if not unit:
            return None if self.explicit else to_number(digits)
        (size, power), known = UNIT_SIZES[self.unit], UNIT_SIZES.get(unit)
        return to_number(digits) * known[0] / size if known and known[1] == power else None


@dataclass(frozen=True)
class Word(Form):
    """One of a few words, each with other ways to write it: (("left", "on the left"), ("on",))."""

    words: tuple[tuple[str, ...], ...]

    def parse(self, text: str, options: Sequence[str] | None = None) -> str | None:
        plain = plain_text(text)
        lead = re.match(r"\W{0,3}(\w+)\s?[,.;:!\n]", plain)
        return self._meant.get(to_words(plain)) or (self._meant.get(to_words(lead[1])) if lead else None)

    def find(self, text: str, options: Sequence[str] | None = None) -> str | None:
        """As Form.find; then the one word that the text holds; none where a sentence with it denies something."""
        if (found := super().find(text, options)) is not None:
            return found
        named: set[str] = set()
        for sentence in map(to_words, SENTENCE_END.split(text)):
            said = self._pattern.findall(sentence)
            if said and (NEGATION.search(self._pattern.sub(" ", sentence)) or UNDECIDED.search(sentence)):
                return None
            named.update(self._meant[word] for word in said)
        return only_one(named)

    @cached_property
    def _meant(self) -> dict[str, str]:
        return {way: ways[0] for ways in self.words for way in ways}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(r"\b(?:" + "|".join(sorted(map(re.escape, self._meant), key=len, reverse=True)) + r")\b")


YES_NO = Word((("yes", "true"), ("no", "false")))


@dataclass(frozen=True)
class Text(Form):
    """A short text, without LaTeX, Markdown and a final full stop."""

    def parse(self, text: str, options: Sequence[str] | None = None) -> str | None:
        said = plain_text(text).strip(" \t\r\n.\"'")
        return said if said and "\n" not in said and len(said.split()) <= MOST_WORDS else None

    def find(self, text: str, options: Sequence[str] | None = None) -> str | None:
        """As Form.find, but of several lines the last alone."""
        found = super().find(text, options)
        return found or self.parse(text.rstrip().rpartition("\n")[2], options)


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

STATEMENTS, LONGEST_STATEMENT = 3, 400
"""How many of the last "answer is ..." are tried, and how far each is read: both keep the time linear."""


@dataclass(frozen=True)
class Reply:
    """A model's reply taken apart."""

    text: str
    """All of it."""
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
        return cls(text, thinking, body, boxes, ends_with_box and tags_once and starts and reasoned)

    def parse(self, grammar: Grammar, options: Sequence[str] | None = None) -> str | None:
        """The canonical answer in the last box, or None when there is none."""
        return grammar.parse(self.boxes[-1], options) if self.boxes else None

    def read(self, form: Form, options: Sequence[str] | None = None) -> str | None:
        """The canonical answer in the last box; without any box, the one that the body states; None when unsure."""
        if self.boxes:
            return form.parse(self.boxes[-1], options)
        return None if "\\boxed" in self.body else form.find(self.body, options)


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
