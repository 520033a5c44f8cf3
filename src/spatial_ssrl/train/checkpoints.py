"""Checkpoints of a run, and what is said when a run ends before its end: a full disk, or a SIGTERM."""

import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spatial_ssrl.errors import TrainingError

TERMINATED = 128 + signal.SIGTERM
"""Status of a process that a SIGTERM ended, as shells give it."""
UNWRITTEN = (
    "No space left on device",
    "Disk quota exceeded",
    "PytorchStreamWriter failed",
    "unexpected pos",
    "iostream error",
)
"""How safetensors, which hides the error's number, and torch.save, which has none, say that a disk is full."""


def last_checkpoint(out: Path) -> str | None:
    """The newest checkpoint that was written to its end, or None.

    The trainer writes trainer_state.json last, so a checkpoint cut short by a kill or a full disk lacks it or has
    a part of it.
    """
    numbered = [(int(p.name.removeprefix("checkpoint-")), p) for p in out.glob("checkpoint-*") if p.name[11:].isdigit()]
    whole = (str(path) for step, path in sorted(numbered, reverse=True) if _steps(path) == step)
    return next(whole, None)


def _steps(checkpoint: Path) -> int | None:
    try:
        step = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["global_step"]
    except (OSError, ValueError):
        return None
    return int(step)


def _how_to_go_on(out: Path) -> str:
    last = last_checkpoint(out)
    if last is None:
        return "no checkpoint was written yet, so the same command starts from the beginning"
    return f"the same command goes on from {last}"


@contextmanager
def full_disk_as_training_error(out: Path) -> Iterator[None]:
    """Turn the errors of a disk that is full into a TrainingError, which names the checkpoint that is whole."""
    try:
        yield
    except Exception as error:
        if not _is_full_disk(error):
            raise
        said = str(error).splitlines()[0]
        raise TrainingError(
            f"a disk is full, or cannot be written: that of {out}, /dev/shm or one of a cache ({said}); free some space:"
            f" {_how_to_go_on(out)}"
        ) from error


def _is_full_disk(error: BaseException | None) -> bool:
    """Whether an error, or one behind it, says so."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(error) for words in UNWRITTEN):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def sigterm_as_exit(out: Path, speaks: bool) -> Iterator[None]:
    """End at a SIGTERM with status 143; the process that `speaks` says what goes on from where.

    Batch systems send one before they kill. Nothing is saved at it: a checkpoint takes longer than some of them wait, and
    GRPO's can only fall between two generations.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python sets handlers in the main thread alone
        return
    owner = os.getpid()

    def end(number: int, frame: Any) -> None:
        if os.getpid() != owner:
            # A worker that was forked has this handler too, and is ended so by its parent every day
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        if speaks:
            why = "of a batch system, or since another process failed: see above"
            print(f"\nended by SIGTERM ({why}); {_how_to_go_on(out)}", file=sys.stderr)
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
