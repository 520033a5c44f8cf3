"""Attacks: ways to answer all rows of a variant, each fitted on one half of the scenes and asked about the other."""

import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spatial_ssrl.audit.example import Example
from spatial_ssrl.audit.heads import HEADS, Head, credits, standardise
from spatial_ssrl.rng import digest

MOST_CLASSES = 24
"""Probes that name an answer outright are fitted only where there are few answers."""


def halves_of(scene_ids: Sequence[str]) -> list[int]:
    """The half, 0 or 1, of each of these: a scene is in one half, and both have as many scenes, or one more."""
    order = sorted(set(scene_ids), key=lambda scene_id: digest("audit half", scene_id))
    half = {scene_id: place % 2 for place, scene_id in enumerate(order)}
    return [half[scene_id] for scene_id in scene_ids]


class Attack(ABC):
    """One solver with one way of fitting it."""

    solver: str
    head: str
    sees_picture: bool = True

    @abstractmethod
    def fit(self, examples: Sequence[Example]) -> None:
        """Learn from examples whose right candidate is known, and forget all earlier ones."""

    @abstractmethod
    def scores(self, examples: Sequence[Example]) -> list[np.ndarray]:
        """Scores (candidates,) for each example; the highest is the answer."""


@dataclass
class Ranking(Attack):
    """A head over the features that one or more solvers give each candidate."""

    solver: str
    tables: tuple[str, ...]
    rule: Head

    def __post_init__(self) -> None:
        self.head = self.rule.name

    def fit(self, examples: Sequence[Example]) -> None:
        self.rule.fit([self._table(e) for e in examples], np.array([e.right for e in examples]))

    def scores(self, examples: Sequence[Example]) -> list[np.ndarray]:
        tables = [self._table(e) for e in examples]
        ends = np.cumsum([len(table) for table in tables])
        return np.split(self.rule.score(np.concatenate(tables)), ends[:-1])

    def _table(self, example: Example) -> np.ndarray:
        return standardise(np.concatenate([example.tables[name] for name in self.tables], axis=1))


@dataclass
class Counting(Attack):
    """The answer most often right among rows whose words are the same."""

    solver: str
    words: str
    letters: bool = False
    """Count letters, not what the options say."""
    head: str = "counts"
    sees_picture: bool = False
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def fit(self, examples: Sequence[Example]) -> None:
        self.counts = Counter((e.words[self.words], self._said(e)[e.right]) for e in examples)

    def scores(self, examples: Sequence[Example]) -> list[np.ndarray]:
        return [np.array([self.counts[e.words[self.words], text] for text in self._said(e)], float) for e in examples]

    def _said(self, example: Example) -> tuple[str, ...]:
        return example.answers if self.letters else example.meanings


@dataclass
class Probing(Attack):
    """Multinomial logistic regression from a vector about the whole puzzle to what the answer says."""

    solver: str
    head: str = "logit"

    def fit(self, examples: Sequence[Example]) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        said = [e.meanings[e.right] for e in examples]
        self.model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=60))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model.fit(np.stack([e.vectors[self.solver] for e in examples]), said)

    def scores(self, examples: Sequence[Example]) -> list[np.ndarray]:
        shares = self.model.predict_proba(np.stack([e.vectors[self.solver] for e in examples]))
        column = {text: i for i, text in enumerate(self.model.classes_)}
        return [
            np.array([row[column[text]] if text in column else 0.0 for text in e.meanings])
            for e, row in zip(examples, shares, strict=True)
        ]


def attacks_on(example: Example) -> list[Attack]:
    """All attacks on a variant, of which this is a row."""
    solvers: dict[str, tuple[str, ...]] = {name: (name,) for name in example.tables}
    if len(solvers) > 1:
        solvers["all together"] = tuple(example.tables)
    attacks: list[Attack] = [Ranking(name, tables, head()) for name, tables in solvers.items() for head in HEADS]
    if example.listed:
        attacks += [Counting(f"most frequent, given {words}", words) for words in example.words]
    if example.listed and example.meanings != example.answers:
        attacks.append(Counting("most frequent letter", "nothing", letters=True))
    if example.listed and len(example.answers) <= MOST_CLASSES:
        attacks += [Probing(vector) for vector in example.vectors]
    return attacks


def cross_fit(attack: Attack, examples: Sequence[Example]) -> np.ndarray | None:
    """Credit (n,) for each example, by a fit that never saw its scene; None where it cannot be fitted.

    An attack on proposed candidates that hold the right one in fewer than two rows has failed, and gets no credit.
    """
    halves = halves_of([example.scene_id for example in examples])
    given = np.zeros(len(examples))
    for half in (0, 1):
        taught = [e for e, h in zip(examples, halves, strict=True) if h != half and e.right >= 0]
        asked = [i for i, h in enumerate(halves) if h == half]
        if len({e.meanings[e.right] for e in taught}) < 2 or not asked:
            return None if examples[0].listed else np.zeros(len(examples))
        attack.fit(taught)
        for i, scores in zip(asked, attack.scores([examples[i] for i in asked]), strict=True):
            given[i] = credits(scores[:, None], examples[i].right)[0]
    return given
