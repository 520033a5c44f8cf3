"""What an audit found, its file, and what of it fails the gate."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatial_ssrl.audit.balance import Balance, Margins
from spatial_ssrl.audit.duplicates import Match
from spatial_ssrl.audit.table import Line, strongest
from spatial_ssrl.errors import DatasetError

FEWEST_ROWS = 100
ROUNDING = 1e-9
"""0.40 - 0.25 is more than 0.15 to a computer."""
LISTED = 20
"""Matches listed in the file; all are counted."""


@dataclass(frozen=True)
class Matches:
    """Pictures that were compared, and pairs that are nearly the same."""

    compared: int
    within_splits: int
    across_splits: int
    listed: tuple[Match, ...]

    @classmethod
    def of(cls, compared: int, found: list[Match]) -> "Matches":
        """Count and list; those across splits, or collections, first."""
        across = [m for m in found if m.places[0] != m.places[1]]
        within = [m for m in found if m.places[0] == m.places[1]]
        return cls(compared, len(within), len(across), tuple((across + within)[:LISTED]))


@dataclass(frozen=True)
class Audit:
    """Everything that `audit.json` holds."""

    command: str
    dataset: str
    rows: int
    audited: dict[str, int]
    """Rows that the solvers were asked, by task/variant."""
    lines: tuple[Line, ...]
    duplicates: Matches
    contamination: Matches | None
    """Pictures that also occur in the collection that was named."""
    balance: tuple[Balance, ...]
    margins: tuple[Margins, ...]

    @property
    def failures(self) -> list[str]:
        """What fails the gate, a sentence each; point estimates are held against the limits."""
        few = [
            f"{name}: too few rows to say ({n}, at least {FEWEST_ROWS})"
            for name, n in self.audited.items()
            if n < FEWEST_ROWS
        ]
        return [*few, *self._solved(), *self._copies(), *self._imbalances()]

    def _solved(self) -> list[str]:
        return [
            f"{line.task}/{line.variant}: {line.solver} ({line.head}) reaches {line.accuracy:.3f}, "
            f"{line.gap:.3f} above {line.floor:.3f}; at most {line.limit:.2f}"
            for line in strongest(self.lines).values()
            if line.gap > line.limit + ROUNDING
        ]

    def _copies(self) -> list[str]:
        found = []
        if self.duplicates.across_splits:
            found.append(f"duplicates: {self.duplicates.across_splits} pairs of pictures lie in two splits")
        if self.contamination and self.contamination.across_splits:
            found.append(f"contamination: {self.contamination.across_splits} pictures also occur in the other collection")
        return found

    def _imbalances(self) -> list[str]:
        return [f"{b.task}/{b.variant}: {b.what} unbalanced (p = {b.p_value:.1g})" for b in self.balance if b.significant]

    def write(self, path: Path) -> None:
        """Write the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {**dataclasses.asdict(self), "failures": self.failures}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Audit":
        """Read the file. Raises DatasetError when it is missing or not one of ours."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content.pop("failures")
            contamination = content["contamination"] and _matches(content["contamination"])
            lists = {"lines": Line, "balance": Balance, "margins": Margins}
            typed = {name: tuple(kind(**item) for item in content[name]) for name, kind in lists.items()}
            return cls(**{**content, **typed, "duplicates": _matches(content["duplicates"]), "contamination": contamination})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatasetError(f"{path} is not an audit; run `spatial-ssrl audit` again ({error})") from None


def _matches(content: dict[str, Any]) -> Matches:
    listed = tuple(Match(**{**item, "places": tuple(item["places"])}) for item in content["listed"])
    return Matches(**{**content, "listed": listed})
