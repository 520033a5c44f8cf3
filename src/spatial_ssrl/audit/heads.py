"""Heads: from the features of the candidates to an answer, fitted on the rows of other scenes.

Convention: a table is (candidates, features), standardised over the candidates of its puzzle; scores
are (candidates,), and the highest is the answer.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from spatial_ssrl.errors import MissingExtraError

Table = np.ndarray
RIDGE = 3e-3
"""Weight of the squared coefficients beside the mean log loss."""


def require_extra() -> None:
    """Raise MissingExtraError where the packages of the `audit` extra are not installed."""
    try:
        import imagehash  # noqa: F401
    except ImportError:
        raise MissingExtraError("imagehash", "audit") from None
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise MissingExtraError("scikit-learn", "audit") from None


def standardise(table: Table) -> Table:
    """Each feature relative to its mean and spread over the candidates."""
    table = np.nan_to_num(np.asarray(table, np.float64), posinf=0.0, neginf=0.0)
    off = table - table.mean(axis=0)
    return off / (off.std(axis=0) + 1e-9)


def credits(scores: np.ndarray, right: int) -> np.ndarray:
    """By column of scores (candidates, k): 1 where the right candidate is highest, 1/m where m tie for it."""
    top = scores >= scores.max(axis=0) - 1e-9
    return top[right] / top.sum(axis=0) if right >= 0 else np.zeros(scores.shape[1])


class Head(ABC):
    """A rule with parameters that are fitted."""

    name: str

    @abstractmethod
    def fit(self, tables: Sequence[Table], right: np.ndarray) -> None:
        """Learn from tables, each with the index of its right candidate."""

    @abstractmethod
    def score(self, table: Table) -> np.ndarray:
        """Scores of the candidates of one table, or of many stacked."""


class BestCue(Head):
    """The one feature, with its sign, that answers best by itself."""

    name = "best cue"

    def fit(self, tables: Sequence[Table], right: np.ndarray) -> None:
        signed = [np.concatenate([table, -table], axis=1) for table in tables]
        found = np.mean([credits(t, r) for t, r in zip(signed, right, strict=True)], axis=0)
        self.column = int(found.argmax())

    def score(self, table: Table) -> np.ndarray:
        width = table.shape[1]
        return table[:, self.column % width] * (1 if self.column < width else -1)


class Logit(Head):
    """Conditional logit: a softmax over the candidates of a weighted sum of their features."""

    name = "logit"

    def fit(self, tables: Sequence[Table], right: np.ndarray) -> None:
        from scipy.optimize import minimize

        counts = np.array([len(table) for table in tables])
        starts = np.r_[0, np.cumsum(counts)[:-1]]
        stacked = np.concatenate(tables)
        settings = {"jac": True, "method": "L-BFGS-B", "options": {"maxiter": 200}}
        fitted = minimize(_log_loss, np.zeros(stacked.shape[1]), (stacked, starts, counts, starts + right), **settings)
        self.weights = fitted.x

    def score(self, table: Table) -> np.ndarray:
        return table @ self.weights


def _log_loss(
    weights: np.ndarray, stacked: np.ndarray, starts: np.ndarray, counts: np.ndarray, answers: np.ndarray
) -> tuple[float, np.ndarray]:
    """Mean log loss with a ridge, and its gradient, of puzzles stacked below each other."""
    scores = stacked @ weights
    scores -= np.repeat(np.maximum.reduceat(scores, starts), counts)
    odds = np.exp(scores)
    totals = np.add.reduceat(odds, starts)
    shares = odds / np.repeat(totals, counts)
    slope = (shares @ stacked - stacked[answers].sum(axis=0)) / len(starts)
    loss = (np.log(totals) - scores[answers]).mean() + RIDGE * weights @ weights
    return float(loss), slope + 2 * RIDGE * weights


class Boosting(Head):
    """Gradient-boosted trees that tell the right candidate from the others."""

    name = "boosting"

    def fit(self, tables: Sequence[Table], right: np.ndarray) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier

        labels = np.concatenate([np.arange(len(t)) == r for t, r in zip(tables, right, strict=True)])
        stacked = np.concatenate(tables).astype(np.float32)
        settings = {"max_iter": 80, "max_leaf_nodes": 12, "learning_rate": 0.1, "l2_regularization": 1.0}
        self.model = HistGradientBoostingClassifier(**settings, early_stopping=False, random_state=0)
        self.model.fit(stacked, labels)

    def score(self, table: Table) -> np.ndarray:
        scores: np.ndarray = self.model.predict_proba(table.astype(np.float32))[:, 1]
        return scores


HEADS: tuple[type[Head], ...] = (BestCue, Logit, Boosting)
