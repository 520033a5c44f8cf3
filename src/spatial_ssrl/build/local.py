"""The local engine: shards made by processes of this machine."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

from spatial_ssrl.build.plan import Plan
from spatial_ssrl.build.shard import make_shard
from spatial_ssrl.build.store import finish_shard
from spatial_ssrl.errors import DatasetError

POLL_SECONDS = 0.1


class Stopped(Exception):
    """Raised inside a worker when the run was interrupted."""


def run_local(plan: Plan, out: Path, shards: Sequence[int], workers: int, progress: Callable[[int], None]) -> None:
    """Make the shards and write them under `out`; `progress` gets the number of rows made so far.

    An interrupt stops the workers at their next row; shards that are finished stay finished.
    Raises DatasetError when a worker dies.
    """
    context = multiprocessing.get_context("spawn")
    made, stop = context.Value("q", 0), context.Event()
    pool = ProcessPoolExecutor(workers, context, _start_worker, (plan, out, made, stop))
    try:
        for _ in _watch([pool.submit(_make, index) for index in shards]):
            progress(made.value)
    except BrokenProcessPool:
        raise DatasetError(
            "a worker process died, most likely for lack of memory; finished shards are kept: "
            "run the same command again with fewer --workers"
        ) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _watch(futures: list[Future[None]]) -> Iterator[None]:
    """Yield every now and then until all are done; raise what the first failing one raised."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, POLL_SECONDS, FIRST_COMPLETED)
        for future in done:
            future.result()
        yield


_plan: Plan
_out: Path
_made: "Synchronized[int]"
_stop: Event


def _start_worker(plan: Plan, out: Path, made: "Synchronized[int]", stop: Event) -> None:
    global _plan, _out, _made, _stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _plan, _out, _made, _stop = plan, out, made, stop


def _make(index: int) -> None:
    finish_shard(_out, index, _plan.shards, make_shard(_plan, index, _tick))


def _tick(rows: int) -> None:
    if _stop.is_set():
        raise Stopped
    with _made.get_lock():
        _made.value += rows
