"""Which variant to ask next, by how a model's groups of replies fared: the curriculum of a stream.

A group teaches nothing where all of its replies are right, or all are wrong. So within a task the variants whose
success is nearest to one half are asked most, and a task is asked the more, the more the replies of its groups still
disagree. Both are running means over groups; each variant keeps a tenth of its even share, or a variant that was
too hard once would never be tried again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FLOOR = 0.1
"""Of its even share, what a variant is asked at least."""
RATE = 0.1
"""Of a running mean, what the newest group counts."""


class Curriculum:
    """Running means of success and variance for each variant, and the weights that follow from them.

    Before its first group a variant is held to be half solved, which is what is wanted: what is new is tried.
    """

    def __init__(self, names: Iterable[str], floor: float = FLOOR, rate: float = RATE) -> None:
        self.floor, self.rate = floor, rate
        self.success = dict.fromkeys(names, 0.5)
        """Mean reward, by variant, such as "shuffle/2x2"."""
        self.variance = dict.fromkeys(self.success, 0.25)
        """Variance of the rewards within a group, without bias by its size."""

    def update(self, task: str, variant: str, rewards: Sequence[float]) -> None:
        """Hear of the rewards, in [0, 1], of the replies to one row. A lone reply says nothing of variance."""
        name, mean = f"{task}/{variant}", sum(rewards) / len(rewards)
        self.success[name] += self.rate * (mean - self.success[name])
        if len(rewards) > 1:
            variance = sum((reward - mean) ** 2 for reward in rewards) / (len(rewards) - 1)
            self.variance[name] += self.rate * (variance - self.variance[name])

    def weights(self) -> dict[str, float]:
        """The share of rows that each variant is wanted in; they sum to 1."""
        shares = {task: _normalised({n: self._closeness(n) for n in names}) for task, names in self._tasks().items()}
        disagreement = {task: sum(share * self.variance[n] for n, share in of.items()) for task, of in shares.items()}
        wanted = _normalised(disagreement)
        return {
            name: (1 - self.floor) * wanted[task] * share + self.floor / len(shares) / len(of)
            for task, of in shares.items()
            for name, share in of.items()
        }

    def task_weights(self) -> dict[str, float]:
        """The weights of the variants, summed by task."""
        weights = self.weights()
        return {task: sum(weights[name] for name in names) for task, names in self._tasks().items()}

    def state_dict(self) -> dict[str, Any]:
        """All that the weights depend on, as JSON can hold it."""
        return {"success": dict(self.success), "variance": dict(self.variance)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""
        self.success, self.variance = dict(state["success"]), dict(state["variance"])

    def _tasks(self) -> dict[str, list[str]]:
        tasks: dict[str, list[str]] = {}
        for name in self.success:
            tasks.setdefault(name.partition("/")[0], []).append(name)
        return tasks

    def _closeness(self, name: str) -> float:
        """1 where half of the replies are right, 0 where all or none are."""
        return (4 * self.success[name] * (1 - self.success[name])) ** 2


def _normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights that sum to 1; even ones where all are 0."""
    total = sum(weights.values())
    return {name: weight / total if total else 1 / len(weights) for name, weight in weights.items()}
