"""What the commands share: tables, progress bars, interrupts, errors."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NoReturn

from spatial_ssrl.errors import DatasetError

INTERRUPTED = 130
TABLE_WIDTH = 120
Progress = Callable[..., None]
"""Gets what is done, what there is to do, and perhaps a note."""


def fail(message: str) -> NoReturn:
    """Print an error and end with status 2."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def folder_here(text: str) -> Path:
    """A folder to read rows from. Raises DatasetError for a URL."""
    if "://" in text:
        raise DatasetError(
            f"{text} is no folder of this machine; copy it to one, or read data/*.parquet there with `datasets`"
        )
    return Path(text)


@contextmanager
def progress_bar(what: str, remedy: str) -> Iterator[Progress]:
    """A progress bar with rate and time left, that can be interrupted; it shows once something is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    rate, said = TextColumn("{task.fields[rate]}"), TextColumn("{task.fields[note]}")
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), rate, TimeElapsedColumn(), TimeRemainingColumn(), said)
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(what, total=None, rate="", note="")

    def update(done: int, total: int, note: str = "") -> None:
        bar.start()
        speed = bar.tasks[0].speed
        bar.update(task, completed=done, total=total, rate=f"{speed:.3g}/s" if speed else "", note=note)

    with resumable(remedy):
        try:
            yield update
        finally:
            bar.stop()


@contextmanager
def resumable(remedy: str) -> Iterator[None]:
    """An interrupt prints the remedy and ends with status 130."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\ninterrupted; {remedy}", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def print_table(head: list[str], rows: list[list[str]], align: Literal["left", "right"] = "right") -> None:
    """A table as wide as the terminal, or 120 characters where that is more."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    table = Table(box=SIMPLE)
    for i, name in enumerate(head):
        table.add_column(name, justify=align if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
