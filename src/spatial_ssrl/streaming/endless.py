"""An endless iterable of rows, whose state can be saved and restored."""

import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from spatial_ssrl.build.plan import Plan
from spatial_ssrl.build.recipe import Entry
from spatial_ssrl.errors import DatasetError, RecipeError, SourceError, TrainingError
from spatial_ssrl.rng import digest, generator
from spatial_ssrl.row import Row
from spatial_ssrl.streaming.ahead import Here, Processes
from spatial_ssrl.streaming.maker import ATTEMPTS, Made, Maker

AHEAD = 64
"""Rows that are chosen, and where there are workers made, before they are used."""
PATIENCE = 3
"""Rows of a variant that has given none before it is held to be impossible."""


class Chooser(Protocol):
    """Says how often each variant is wanted; asked anew for every row."""

    def weights(self) -> Mapping[str, float]:
        """A weight of each variant, by its name, such as "shuffle/2x2"."""

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs, as JSON can hold it."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""


class Stream:
    """Rows of one split without end. Row n depends on the plan, the split, n and its variant alone.

    Iterating goes on from where the stream is. In a worker process of torch's DataLoader it yields that worker's
    part: rows w, w + N, w + 2 N... of N workers. With `workers` of its own it makes rows in processes, `ahead` of
    their use, and yields the same rows as without. A chooser is asked for a row's variant `ahead` rows before it.

    A variant that no scene gives is an error at the start of the stream; later its rows are left out and counted.
    `rows`, `drops` and `skipped` count what this process has met since the stream was made.
    """

    def __init__(
        self, plan: Plan, split: str = "train", workers: int = 0, ahead: int = AHEAD, chooser: Chooser | None = None
    ) -> None:
        if split not in plan.recipe.splits:
            raise RecipeError(f"no split {split!r}; the recipe has {', '.join(plan.recipe.splits)}")
        self.plan, self.split, self.workers, self.ahead, self.chooser = plan, split, workers, ahead, chooser
        self.maker = Maker(plan, split)
        self.number = 0
        """Of the next row."""
        self.chosen: dict[int, Entry] = {}
        """What the chooser said of rows since the state last saved, and of those ahead."""
        self.rows: Counter[tuple[str, bool]] = Counter()
        """Rows made, and left out, by variant."""
        self.drops: Counter[tuple[str, str]] = Counter()
        """Draws that gave no row, by variant and reason."""
        self.skipped: dict[str, str] = {}
        """Input files that could not be used, and why."""

    def __iter__(self) -> Iterator[Row]:
        part, parts = _part()
        if parts > 1 and self.chooser:
            raise TrainingError("DataLoader's workers hear of no reward; use stream(..., workers=N) and num_workers=0")
        here = parts > 1 or not self.workers
        making: Here | Processes = Here(self.maker) if here else Processes(self.plan, self.split, self.workers)
        asked = first = self.number + (part - self.number) % parts
        try:
            for number in itertools.count(first, parts):
                while asked <= number + self.ahead * parts:
                    making.ask(asked, self._choose(asked))
                    asked += parts
                made = making.take()
                self.number = number + 1
                self._note(made, self._choose(number).name)
                if made.row:
                    yield made.row
        finally:
            making.close()

    def row(self, number: int) -> Row:
        """Row `number`, wherever the stream is. Raises SourceError where no scene gives it."""
        made = self.maker.make(number, self._choose(number))
        if made.row is None:
            raise SourceError(f"no scene gives row {number} ({_reasons(made.drops, made.skipped)}); ask for another number")
        return made.row

    def state_dict(self, number: int | None = None) -> dict[str, Any]:
        """All that decides the rows from `number` on, by default from the next one on; what came before is forgotten."""
        number = self.number if number is None else number
        self.chosen = {n: entry for n, entry in self.chosen.items() if n >= number}
        state = {"stream": self._identity, "number": number, "chosen": {str(n): e.name for n, e in self.chosen.items()}}
        return {**state, "chooser": self.chooser.state_dict()} if self.chooser else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state. Raises DatasetError when it is another stream's."""
        if state.get("stream") != self._identity:
            raise DatasetError("the state is of a stream of other sources, or of another recipe, seed or split")
        entries = {entry.name: entry for entry in self.plan.entries}
        self.number = state["number"]
        self.chosen = {int(n): entries[name] for n, name in state["chosen"].items()}
        if self.chooser:
            self.chooser.load_state_dict(state["chooser"])

    def _note(self, made: Made, name: str) -> None:
        self.rows[name, made.row is not None] += 1
        self.drops += made.drops
        self.skipped |= made.skipped
        if self.rows[name, False] >= PATIENCE and not self.rows[name, True]:
            drops = Counter({key: n for key, n in self.drops.items() if key[0] == name})
            raise SourceError(
                f"{PATIENCE * ATTEMPTS} scenes gave no row of {name} ({_reasons(drops, self.skipped)});"
                " leave it out of the recipe, or give other sources"
            )

    @property
    def _identity(self) -> str:
        return digest(self.plan.fingerprint, self.split)

    def _choose(self, number: int) -> Entry:
        """The variant of a row, drawn by the recipe's shares or as the chooser says."""
        if number in self.chosen:
            return self.chosen[number]
        entries, wanted = self.plan.entries, self.chooser.weights() if self.chooser else {}
        weights = np.array([wanted[e.name] if self.chooser else e.share for e in entries])
        place = generator(self.plan.recipe.seed, "variant", self.split, number).choice(
            len(entries), p=weights / weights.sum()
        )
        if self.chooser:
            self.chosen[number] = entries[place]
        return entries[place]


def _reasons(drops: Counter[tuple[str, str]], skipped: Mapping[str, str]) -> str:
    """The commonest reasons for which there is no row."""
    told = [f"{reason}: {n}" for (_, reason), n in drops.most_common(3)]
    return (
        "; ".join(told + [f"{name}: {why}" for name, why in list(skipped.items())[:3]]) or "all scenes are of other splits"
    )


def _part() -> tuple[int, int]:
    """Which part of the rows this process yields, and of how many."""
    torch = sys.modules.get("torch")
    worker = torch.utils.data.get_worker_info() if torch else None
    return (worker.id, worker.num_workers) if worker else (0, 1)
