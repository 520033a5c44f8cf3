"""What an audit says of each variant: how far shortcut solvers get, and the gate's word on it."""

from collections.abc import Sequence
from dataclasses import dataclass

from spatial_ssrl.audit import Audit, Line
from spatial_ssrl.audit.balance import Balance

SHOWN = 4
"""Solvers of a variant that are seen at once, each with its best head; all else is folded away."""


@dataclass(frozen=True)
class Verdict:
    """One variant: what solvers reach, the one that breaks its limit most or comes nearest to it first."""

    name: str
    rows: int
    """Rows that the solvers were asked."""
    lines: tuple[Line, ...]
    balance: tuple[Balance, ...]
    failures: tuple[str, ...]
    """What fails the gate, a sentence each; the variant passes where there is none."""

    @classmethod
    def create(cls, audit: Audit, name: str) -> "Verdict":
        lines = [line for line in audit.lines if f"{line.task}/{line.variant}" == name]
        tests = [test for test in audit.balance if f"{test.task}/{test.variant}" == name]
        failures = [text.removeprefix(f"{name}: ") for text in audit.failures if text.startswith(f"{name}: ")]
        ranked = sorted(lines, key=lambda line: line.limit - line.gap)
        return cls(name, audit.audited[name], tuple(ranked), tuple(tests), tuple(failures))

    @property
    def best(self) -> list[Line]:
        """The strongest line of each of a few solvers."""
        by_solver = {line.solver: line for line in reversed(self.lines)}
        return [line for line in self.lines if line is by_solver[line.solver]][:SHOWN]

    @property
    def others(self) -> list[Line]:
        """All other lines."""
        best = self.best
        return [line for line in self.lines if line not in best]


def verdicts_of(audit: Audit, variants: Sequence[str]) -> list[Verdict]:
    """A verdict for each audited variant, in the order given."""
    order = {name: i for i, name in enumerate(variants)}
    return [Verdict.create(audit, name) for name in sorted(audit.audited, key=lambda name: order.get(name, len(order)))]
