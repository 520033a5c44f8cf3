"""The contract of a pretext task: draw a puzzle from a scene, then pose, render and answer it.

All randomness is in `draw`; everything else is a pure function of the scene and the frozen
parameters, which live in the row as JSON.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from spatial_ssrl.grammar import Grammar
from spatial_ssrl.scene import RGB, Scene


@dataclass(frozen=True)
class Drop:
    """A draw that gives no row, with the reason by which it is counted."""

    reason: str
    final: bool = False
    """Other draws from the same scene would hardly fare better."""


@dataclass(frozen=True)
class Margin:
    """By how much an answer is decided, in its task's `margin_unit`; a draw below `threshold` is dropped."""

    value: float
    threshold: float


@dataclass(frozen=True)
class Params:
    """Drawn parameters of one puzzle; plain numbers, texts and tuples of them."""

    wording: int
    """Index of the question's wording, drawn so that no model learns one phrase."""

    def to_json(self) -> str:
        return json.dumps(vars(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Params":
        return cls(**{name: _tuples(value) for name, value in json.loads(text).items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


P = TypeVar("P", bound=Params)


@dataclass(frozen=True)
class Task(ABC, Generic[P]):
    """One pretext task in one variant; thresholds are fields, so that a profile is a set of values."""

    variant: str
    redraws: int = 0
    """Further draws after one that was dropped."""
    max_lift: float = math.inf
    """A draw whose cue is above this is kept the less often the higher the cue."""

    name: ClassVar[str]
    needs_depth: ClassVar[bool] = False
    thinning: ClassVar[float] = 2.0
    """A draw whose cue is above max_lift is kept with probability (max_lift / cue) to this power."""
    hopeless: ClassVar[float] = math.inf
    """A draw whose probability of being kept is this many times too low is the last one of its row: few others would do."""
    variants: ClassVar[dict[str, int]]
    """Variant names and their levels of difficulty, from 1."""
    params: ClassVar[type[Params]]
    wordings: ClassVar[tuple[str, ...]]

    @property
    def level(self) -> int:
        return self.variants[self.variant]

    @property
    def few_puzzles(self) -> bool:
        """Whether a scene gives so few different puzzles that two draws may be the same one."""
        return False

    @abstractmethod
    def draw(self, scene: Scene, rng: np.random.Generator) -> P | Drop:
        """Draw a puzzle, or say why this scene gives none. All randomness is here."""

    @abstractmethod
    def render(self, scene: Scene, params: P) -> list[RGB]:
        """The pictures of the puzzle, in the order of the question's placeholders."""

    @abstractmethod
    def question(self, params: P) -> str:
        """The question, with one <image> a picture and the form of the answer."""

    @abstractmethod
    def answer(self, params: P) -> str:
        """The canonical answer."""

    @abstractmethod
    def margin(self, scene: Scene, params: P) -> Margin:
        """How decided the answer is."""

    @property
    @abstractmethod
    def margin_unit(self) -> str:
        """What a margin counts."""

    def cue(self, scene: Scene, params: P) -> float:
        """How many times likelier than a guess, or than the least likely answer, cheap cues make the right one."""
        return 0.0

    @abstractmethod
    def grammar(self, params: P) -> Grammar:
        """The form of the answer."""

    def options(self, params: P) -> tuple[str, ...] | None:
        """Texts of the options of a choice question, in letter order."""
        return None

    def chance(self, params: P) -> float:
        """Accuracy of a uniform guess over the answers that can be right."""
        return 1 / self.grammar(params).size


def pick_wording(wordings: Iterable[str], rng: np.random.Generator) -> int:
    """A uniform index into the wordings."""
    return int(rng.integers(len(tuple(wordings))))
