"""Can a trivial solver pass the puzzles of a dataset? Are they decided, balanced and clean?

Only built rows are read. Each solver (example.py) gives features to every candidate answer; heads
(heads.py) fitted on the rows of one half of the scenes answer those of the other half (attacks.py).
The solvers are not the cues that draws are balanced against: they are written apart and stronger, so
that the audit can fail.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from spatial_ssrl.audit.balance import balance_of, margins_of
from spatial_ssrl.audit.duplicates import Print, matches, print_of, read_collection
from spatial_ssrl.audit.example import Example, examine
from spatial_ssrl.audit.heads import require_extra
from spatial_ssrl.audit.reading import choose, read_chosen, read_columns, representatives
from spatial_ssrl.audit.result import Audit, Matches
from spatial_ssrl.audit.table import Line, lines_of, strongest
from spatial_ssrl.row import Row

__all__ = ["Audit", "Line", "audit", "strongest"]

BATCH = 64
"""Rows held in memory at a time, a process."""


@dataclass(frozen=True)
class _Job:
    """What is to be done with a row."""

    row: Row
    solve: bool
    hash: bool


def audit(
    dataset: Path,
    *,
    against: Path | None = None,
    limit: int = 1000,
    workers: int = 1,
    command: str = "",
    progress: Callable[[int, int], None],
) -> Audit:
    """Audit a built dataset, with at most `limit` rows of each variant asked of the solvers.

    `progress` gets rows examined and rows in all. Raises DatasetError when the folder holds no rows
    or `against` no images, MissingExtraError without the `audit` extra.
    """
    require_extra()
    rows = read_columns(dataset)
    theirs = read_collection(against) if against else None
    groups, prints = _examine_all(dataset, rows, limit, workers, progress)
    lines = [line for key in sorted(groups) for line in lines_of(*key, groups[key])]
    return Audit(
        command=command,
        dataset=str(dataset),
        rows=len(rows),
        audited={"/".join(key): len(groups[key]) for key in sorted(groups)},
        lines=tuple(lines),
        duplicates=Matches.of(len(prints), matches(prints)),
        contamination=Matches.of(len(prints), matches(prints, theirs)) if theirs else None,
        balance=tuple(balance_of(rows)),
        margins=tuple(margins_of(rows)),
    )


def _examine_all(
    dataset: Path, rows: list[Row], limit: int, workers: int, progress: Callable[[int, int], None]
) -> tuple[dict[tuple[str, str], list[Example]], list[Print]]:
    """Examples by task and variant, and the hash of each scene."""
    asked, hashed = choose(rows, limit), representatives(rows)
    jobs = (_Job(row, row["id"] in asked, row["id"] in hashed) for row in read_chosen(dataset, asked | hashed))
    groups: dict[tuple[str, str], list[Example]] = defaultdict(list)
    prints: list[Print] = []
    total = len(asked | hashed)
    for done, (key, example, scene) in enumerate(_run(jobs, workers), start=1):
        if example:
            groups[key].append(example)
        if scene:
            prints.append(scene)
        progress(done, total)
    return groups, prints


_Done = tuple[tuple[str, str], Example | None, Print | None]


def _run(jobs: Iterator[_Job], workers: int) -> Iterator[_Done]:
    """Do the jobs in order, in this process or in several."""
    if workers == 1:
        yield from map(_do, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        while batch := list(islice(jobs, BATCH * workers)):
            yield from pool.map(_do, batch, chunksize=BATCH // 8)


def _do(job: _Job) -> _Done:
    key = (job.row["task"], job.row["variant"])
    return key, examine(job.row) if job.solve else None, print_of(job.row) if job.hash else None
