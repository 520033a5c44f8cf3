"""Replies sampled while GRPO trained, as `train/grpo.py` keeps them: for a few steps, one puzzle and what was said to it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from spatial_ssrl.errors import DatasetError
from spatial_ssrl.report.reading import Json, check
from spatial_ssrl.report.rows import Data, Example

KEYS = ("id", "task", "variant", "answer", "reply", "reward", "parsed", "why")
SHOWN_STEPS, SHOWN_REPLIES = 4, 4


@dataclass(frozen=True)
class Sample:
    """The replies to one puzzle before an update, the best first."""

    step: int
    example: Example | None
    replies: Sequence[Json]
    size: int
    """Of the group, whose equal replies are shown once."""


def read_samples(stage: Path, data: Data | None) -> list[Sample]:
    """Samples of a few steps of a stage, from the first to the last; none where there are no files.

    Of each step that puzzle is shown whose replies differ most in reward. Raises DatasetError for a damaged file.
    """
    paths = spread(sorted((stage / "replies").glob("step-*.jsonl")), SHOWN_STEPS)
    groups = {int(path.stem.removeprefix("step-")): _most_divided(_read(path)) for path in paths}
    ids = {group[0]["id"] for group in groups.values()}
    rows = data.fetch([fact for fact in data.facts if fact["id"] in ids]) if data else {}
    examples = {i: data.show(row) for i, row in rows.items()} if data else {}
    return [Sample(step, examples.get(g[0]["id"]), _distinct(g)[:SHOWN_REPLIES], len(g)) for step, g in groups.items()]


def _read(path: Path) -> list[Json]:
    try:
        lines = [check(json.loads(line), KEYS, path) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is damaged: {error}; remove it, or train again") from None
    if not lines:
        raise DatasetError(f"{path} is damaged: it is empty; remove it, or train again")
    return lines


def _most_divided(lines: Sequence[Json]) -> list[Json]:
    """The replies to one puzzle, which stand together, where rewards are farthest apart."""
    groups = [list(group) for _, group in groupby(lines, key=lambda line: line["id"])]
    return max(groups, key=lambda group: max(g["reward"] for g in group) - min(g["reward"] for g in group))


def _distinct(group: Iterable[Json]) -> list[Json]:
    """Replies of different text, the best and the worst first."""
    once = list({line["reply"]: line for line in sorted(group, key=lambda line: float(line["reward"]))}.values())
    ranked = once[::-1]
    return [*ranked[:1], *ranked[-1:], *ranked[1:-1]] if len(ranked) > 1 else ranked


def spread(paths: Sequence[Path], n: int) -> list[Path]:
    """At most n of the paths, evenly, the first and the last among them."""
    if len(paths) <= n:
        return list(paths)
    return [paths[round(i * (len(paths) - 1) / (n - 1))] for i in range(n)]
