"""The local engine: processes of this machine, each with a pipe by which it gets shards and reports."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from spatial_ssrl.build.engine import attempt
from spatial_ssrl.build.place import Place
from spatial_ssrl.build.plan import Plan

POLL_SECONDS = 0.1


class Processes:
    """A pool of processes of this machine, started when they are needed."""

    def __init__(self, plan: Plan, out: Place, workers: int) -> None:
        self.plan, self.out, self.slots = plan, out, workers
        self.context = multiprocessing.get_context("spawn")
        self.idle: list[tuple[SpawnProcess, Connection]] = []
        self.busy: dict[Connection, tuple[SpawnProcess, int]] = {}

    def start(self, index: int, banned: frozenset[str]) -> None:
        process, pipe = self.idle.pop() if self.idle else self._spawn()
        self.busy[pipe] = process, index
        with suppress(OSError):  # it died while idle: its pipe's end tells `wait`
            pipe.send((index, banned))

    def wait(self) -> Iterator[tuple[int, bool]]:
        for pipe in wait(list(self.busy), POLL_SECONDS):
            assert isinstance(pipe, Connection)
            process, index = self.busy.pop(pipe)
            try:
                error = pipe.recv()
            except (EOFError, OSError):
                process.join()
                yield index, False
                continue
            self.idle.append((process, pipe))
            if error:
                raise error
            yield index, True

    def close(self) -> None:
        """End all processes at once; a file that exists is whole."""
        everyone = [process for process, _ in (*self.idle, *self.busy.values())]
        for process in everyone:
            process.kill()
        for process in everyone:
            process.join()

    def _spawn(self) -> tuple[SpawnProcess, Connection]:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=_serve, args=(self.plan, self.out, theirs), daemon=True)
        process.start()
        theirs.close()
        return process, ours


@contextmanager
def local_pool(plan: Plan, out: Place, workers: int) -> Iterator[Processes]:
    """Processes of this machine, ended when the block is left."""
    pool = Processes(plan, out, workers)
    try:
        yield pool
    finally:
        pool.close()


def _serve(plan: Plan, out: Place, pipe: Connection) -> None:
    """Make the shards that the pipe names until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    while True:
        index, banned = pipe.recv()
        pipe.send(attempt(plan, out, index, banned))


def end_with_parent() -> None:
    """End this process with the one that started it: a run that was killed leaves none behind."""
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)
